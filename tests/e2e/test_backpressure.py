"""Readers that are slow, that stop, and that leave while bytes wait for them.

A stream holds little for its reader (256 KiB in the gateway and its kernel's send queue together) and then lets the
upstream wait. What lies in kernel buffers between upstream and gateway is the kernel's to size and is not counted,
see ``tests/support/pressure``; that the upstream's sending blocks is what shows that it is bounded too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Hang, Send, Step, chunk, event_stream_head, last_chunk, stream
from tests.support.gateway import GatewayThread, openai_upstream
from tests.support.pressure import Held, held
from tests.support.raw import RawClient, question
from tests.support.upstream import DONE, ScriptThread, answer, delta, text_of
from tests.support.waiting import until

LIMIT = 256 * 1024
FILLER = "x" * 1000
BETWEEN = 512 * 1024
"""Enough for either kernel buffer between upstream and gateway, both of which were asked to be 64 KiB."""
COUNT = 4000
FLOODED = "".join(f"{number:06d}{FILLER}" for number in range(COUNT))
BRIEF = b'data: {"choices":[{"delta":{"content":"abc"}}]}\n\n'
END = Send(chunk(delta(finish="stop")) + chunk(DONE) + last_chunk())


def numbered(request: Recorded) -> Iterator[Step]:
    """4 MB in numbered frames of a kilobyte, each a chunk."""
    yield Send(event_stream_head())
    for start in range(0, COUNT, 100):
        yield Send(b"".join(chunk(delta(f"{n:06d}{FILLER}")) for n in range(start, start + 100)))
    yield END


def brief(request: Recorded) -> Iterator[Step]:
    """Frames a quarter of the size of what is made of them, in chunks of a megabyte."""
    yield Send(event_stream_head())
    for _ in range(12):
        yield Send(chunk(BRIEF * (1024 * 1024 // len(BRIEF))))
    yield END


def tiny(request: Recorded) -> Iterator[Step]:
    """Every byte a chunk of its own."""
    yield Send(event_stream_head())
    storm = b"".join(b"1\r\n%c\r\n" % byte for byte in BRIEF * 400)
    for _ in range(80):
        yield Send(storm)
    yield END


def at_rest(gateway: GatewayThread, upstream: ScriptThread) -> list[Held]:
    """What is held when nothing has moved for a while."""
    seen: list[object] = []

    def still() -> bool:
        seen.append((upstream.sent, held(gateway)))
        time.sleep(0.02)
        return len(seen) > 10 and all(one == seen[-1] for one in seen[-10:])

    until(still, "everything at rest")
    return held(gateway)


@pytest.mark.parametrize("flood", [numbered, brief, tiny])
def test_little_is_held_for_a_stalled_reader_and_the_upstream_waits(serve, flood):
    with ScriptThread(flood, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port, receive_buffer=4096) as client:
            client.post(question())
            [now] = at_rest(gateway, upstream)
            assert now.gateway <= LIMIT
            assert upstream.blocked
            assert upstream.sent - now.received < LIMIT + 2 * BETWEEN


def test_a_reader_that_reads_on_gets_every_byte(serve, log):
    with ScriptThread(numbered, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port, receive_buffer=4096) as client:
            client.post(question())
            until(lambda: upstream.blocked, "the upstream blocked")
            reply = client.reply()
        assert (reply.complete, reply.frames[-1]) == (True, "[DONE]")
        assert reply.text == FLOODED
        gateway.until_idle()
        until(lambda: bool(log.requests), "the line of the request")
        assert log.requests[0]["pauses"] > 0


def test_a_slow_reader_is_never_cut(serve):
    """It takes three times the limit to read what waits, but something moves all the time."""
    with ScriptThread(numbered, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"write_timeout": 0.4})
        with RawClient(gateway.port, receive_buffer=4096) as client:
            client.post(question())
            until(lambda: upstream.blocked, "the upstream blocked")
            began = time.monotonic()
            while time.monotonic() - began < 1.3:
                client.take(16 * 1024)
                time.sleep(0.05)
            reply = client.reply()
        assert (reply.complete, reply.text) == (True, FLOODED)


def test_a_stalled_reader_is_cut_and_its_upstream_let_go(serve, log):
    with ScriptThread(numbered, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"write_timeout": 0.5})
        with RawClient(gateway.port, receive_buffer=4096) as client:
            client.post(question())
            upstream.received()
            began = time.monotonic()
            waited = upstream.closed_by_peer() - began
            gateway.until_idle()
            reply = client.reply()
        assert 0.4 < waited < 3.0
        assert not reply.complete
        until(lambda: bool(log.requests), "the line of the request")
        assert (log.requests[0]["status"], len(log.events), log.tracebacks) == (499, 1, [])


def test_a_reader_that_stalls_at_the_very_end_is_cut_too(serve):
    """The upstream has said everything and gone home; only the reader keeps the answer alive."""
    with ScriptThread(stream(answer(400), per_write=100)) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"write_timeout": 0.5})
        with RawClient(gateway.port, receive_buffer=2048) as client:
            client.post(question())
            until(lambda: gateway.held()["places"] == 0 and bool(upstream.requests), "the upstream done")
            assert gateway.held()["answers"] == 1
            assert gateway.until_idle(5.0) > 0.3
            reply = client.reply()
            assert not reply.complete


@pytest.mark.parametrize("leave", [RawClient.reset, lambda client: client.socket.close()], ids=["RST", "FIN"])
def test_a_stalled_reader_that_leaves_is_noticed_at_once(serve, leave):
    with ScriptThread(numbered, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        client = RawClient(gateway.port, receive_buffer=4096)
        client.post(question())
        until(lambda: upstream.blocked, "the upstream blocked")
        at = time.monotonic()
        leave(client)
        assert upstream.closed_by_peer() - at < 0.5
        gateway.until_idle()


def test_neighbours_of_stalled_readers_do_not_notice(serve):
    def script(request: Recorded) -> Iterator[Step]:
        stalled = request.document["messages"][0]["content"] == "stall"
        return numbered(request) if stalled else iter(stream(answer(100), delay=0.002))

    with ScriptThread(script, send_buffer=64 * 1024) as upstream, ExitStack() as stalled:
        gateway = serve(openai_upstream(upstream.url))
        for _ in range(10):
            client = stalled.enter_context(RawClient(gateway.port, receive_buffer=4096))
            client.post(question(messages=[{"role": "user", "content": "stall"}]))
        until(lambda: len(held(gateway)) == 10 and upstream.blocked, "ten readers stalled")
        with RawClient(gateway.port) as neighbour:
            for _ in range(3):
                began = time.monotonic()
                neighbour.post(question())
                reply = neighbour.reply()
                assert (reply.complete, reply.text) == (True, text_of(100))
                assert time.monotonic() - began < 3.0
        assert [one.gateway for one in held(gateway) if one.gateway > LIMIT] == []


def test_silence_while_the_reader_is_behind_is_not_held_against_the_upstream(serve):
    """The upstream is paused for longer than it may be silent."""
    with ScriptThread(numbered, send_buffer=64 * 1024) as upstream:
        gateway = serve(openai_upstream(upstream.url, idle_timeout=0.3))
        with RawClient(gateway.port, receive_buffer=4096) as client:
            client.post(question())
            until(lambda: upstream.blocked, "the upstream blocked")
            time.sleep(0.7)
            reply = client.reply()
        assert (reply.complete, reply.text) == (True, FLOODED)


def test_a_whole_answer_has_a_limit_too(serve, monkeypatch):
    monkeypatch.setattr("proxy.relay.MAX_UNSAID", 1024 * 1024)
    with ScriptThread(numbered) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question(stream=False))
            reply = client.reply()
        assert (reply.status, reply.json["error"]["code"]) == (502, "bad_upstream_response")


def test_what_comes_before_the_first_word_has_a_limit(serve, monkeypatch):
    monkeypatch.setattr("proxy.relay.MAX_UNSAID", 1024 * 1024)

    def comments(request: Recorded) -> Iterator[Step]:
        yield Send(event_stream_head())
        for _ in range(64):
            yield Send(chunk(b": still thinking\n\n" * 2000))
        yield Hang()

    with ScriptThread(comments) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question())
            reply = client.reply()
        assert (reply.status, reply.json["error"]["code"]) == (502, "bad_upstream_response")
