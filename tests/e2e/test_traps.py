"""The nine traps of the hot path, as a client would meet them; ``tests/wire`` has our own parts one by one.

Every one of them was found in the source of aiohttp or of an event loop, and a careless relay falls into it. The
loop over aiohttp's client is put to the same tests as the tap on our own connections, because what the client sees
must not depend on the way.
"""

from __future__ import annotations

import ast
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp.connector
import pytest

import proxy
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import (
    Abort,
    Hang,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    stream,
)
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, ask, question
from tests.support.tls import TlsFront, anonymous
from tests.support.upstream import DONE, ScriptThread, answer, delta, text_of, words
from tests.support.waiting import until
from translators.stream import Stream

END = [Send(chunk(delta(finish="stop")) + chunk(DONE) + last_chunk())]
OPEN = Send(event_stream_head())


def asked(text: str) -> dict[str, object]:
    return question(messages=[{"role": "user", "content": text}])


def echo(request: Recorded) -> list[Step]:
    """Each question's own words back, ten times."""
    said = request.document["messages"][0]["content"]
    return [*stream([delta(f"{said} ")] * 10, delay=0.001, end=False), *END]


def test_trap_1_one_connection_serves_one_question_after_another(serve):
    with ScriptThread(echo) as upstream:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=1))
        with RawClient(gateway.port) as one, RawClient(gateway.port) as two:
            for turn in range(10):
                one.post(asked(f"one{turn}"))
                two.post(asked(f"two{turn}"))
                assert one.reply().text == f"one{turn} " * 10
                assert two.reply().text == f"two{turn} " * 10
        assert upstream.connections == 1


def test_trap_1_holds_when_the_answer_ends_in_one_segment(serve):
    """The end of the body is parsed before the relay has seen a single byte of it."""
    at_once = [Send(event_stream_head() + chunk(b"".join(answer(3))) + last_chunk())]
    with ScriptThread(at_once) as upstream:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=1))
        with RawClient(gateway.port) as client:
            for _ in range(10):
                client.post(question())
                assert client.reply().text == text_of(3)
        assert upstream.connections == 1


def test_trap_1_a_slow_readers_bytes_and_the_next_answers_do_not_meet(serve):
    """The upstream may be done with one answer, and its connection serve another, while bytes of the first wait."""

    def long_or_short(request: Recorded) -> list[Step]:
        said = request.document["messages"][0]["content"]
        count = 300 if said == "long" else 3
        frames = [delta(f"{said}{number:04d}{'-' * 500}") for number in range(count)]
        return stream([*frames, delta(finish="stop"), DONE], per_write=100)

    with ScriptThread(long_or_short) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port, receive_buffer=4096) as slow:
            slow.post(asked("long"))
            time.sleep(0.1)
            for _ in range(5):
                assert ask(gateway.port, asked("short")).text == "".join(
                    f"short{number:04d}{'-' * 500}" for number in range(3)
                )
            assert slow.reply().text == "".join(f"long{number:04d}{'-' * 500}" for number in range(300))


def test_trap_2_a_request_larger_than_the_sockets_buffers_is_sent_while_tapped(serve):
    """An upload must neither be cut nor mixed with the last one on a connection that has served already."""
    with ScriptThread(echo) as upstream:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=1))
        long = "y" * 4_000_000
        with RawClient(gateway.port) as client:
            for text in ("short", long, "short"):
                more = {"role": "user", "content": text}
                client.post(question(messages=[{"role": "user", "content": "a"}, more]))
                assert client.reply().text == "a " * 10
        assert [len(r.document["messages"][1]["content"]) for r in upstream.requests] == [5, 4_000_000, 5]
        assert upstream.connections == 1


def test_trap_3_a_bug_of_ours_ends_one_answer_and_leaves_one_traceback(serve, way, log, monkeypatch):
    honest = Stream.feed

    def feed(self: Stream, data: bytes) -> bytes:
        if b"boom" in data:
            raise ZeroDivisionError("planted bug")
        return honest(self, data)

    monkeypatch.setattr(Stream, "feed", feed)
    bad = [OPEN, Send(chunk(words(1)[0])), Wait(0.05), Send(chunk(delta("boom"))), Hang()]
    with ScriptThread(bad) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question())
        upstream.closed_by_peer()
        gateway.until_idle()
        upstream.play(stream(answer(3)))
        assert ask(gateway.port, question()).text == text_of(3)
    if way[0] == "tap":
        assert reply.complete
        assert [frame.get("error", {}).get("code") for frame in reply.chunks][-1] == "internal_error"
        assert len([frame for frame in reply.chunks if "error" in frame]) == 1
    else:
        assert not reply.complete  # the error boundary cuts an answer that it cannot take back
    assert b"planted" not in reply.body and b"[DONE]" not in reply.body
    assert len(log.tracebacks) == 1 and "planted bug" in log.tracebacks[0]
    assert gateway.errors == []


def test_trap_4_after_a_reset_the_next_question_is_answered(serve, log):
    with ScriptThread([OPEN, Send(chunk(words(1)[0])), Wait(0.03), Abort()]) as upstream:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=1))
        for _ in range(3):
            reply = ask(gateway.port, question())
            assert reply.chunks[-1]["error"]["code"] == "upstream_incomplete"
        upstream.play(stream(answer(3)))
        assert ask(gateway.port, question()).text == text_of(3)
        gateway.until_idle()
    assert log.tracebacks == []


def test_trap_5_a_storm_of_tiny_chunks_needs_no_further_packet(serve):
    frames = b"".join(words(300))
    storm = b"".join(b"1\r\n%c\r\n" % byte for byte in frames)
    assert len(frames) > 16 * 1024
    with ScriptThread([OPEN, Send(storm), Hang()]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question())
            assert b"w299 " in client.until(b"w299 ")


def test_trap_5_a_burst_at_a_slow_reader_needs_no_further_packet(serve):
    """A megabyte and then silence: whatever was paused on the way has to go on by itself."""
    burst = [
        Send(chunk(b"".join(delta(f"{n:04d}{'z' * 1000}") for n in range(at, at + 50))))
        for at in range(0, 1000, 50)
    ]
    with ScriptThread([OPEN, *burst, Hang()]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port, receive_buffer=8192) as client:
            client.post(question())
            time.sleep(0.3)
            client.until(b"0999z")


def test_trap_6_nothing_is_compressed_either_way(serve):
    with ScriptThread(stream(answer(3))) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question(), headers={"Accept-Encoding": "gzip, deflate, br"})
        assert "content-encoding" not in reply.headers
        assert reply.text == text_of(3)
        assert upstream.requests[0].headers.getall("Accept-Encoding") == ["identity"]


def test_trap_7_streams_side_by_side_keep_their_own_ids_and_words(serve):
    with ScriptThread(echo) as upstream, ThreadPoolExecutor(12) as pool:
        gateway = serve(openai_upstream(upstream.url))
        names = [f"n{number}" for number in range(36)]
        replies = list(pool.map(lambda name: ask(gateway.port, asked(name)), names))
    assert [reply.text for reply in replies] == [f"{name} " * 10 for name in names]
    ids = [{chunk["id"] for chunk in reply.chunks} for reply in replies]
    assert all(len(one) == 1 for one in ids)
    assert len(set.union(*ids)) == len(names)


def test_trap_7_no_module_on_the_way_of_a_token_knows_context_variables():
    root = Path(proxy.__file__).parents[1]
    files = [*(root / "proxy" / "wire").glob("*.py"), *(root / "translators").rglob("*.py")]
    assert len(files) > 20
    for path in (*files, root / "proxy/relay.py", root / "proxy/outlet.py"):
        nodes = [
            n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.Import, ast.ImportFrom))
        ]
        assert "contextvars" not in {alias.name for node in nodes for alias in node.names}
        assert "contextvars" not in {getattr(node, "module", None) for node in nodes}


def test_trap_8_what_waits_is_capped_by_bytes_and_not_by_the_loops_word(serve):
    """A fast upstream and a reader that keeps up: at no moment does much wait."""

    def flood(request: Recorded) -> Iterator[Step]:
        yield OPEN
        for _ in range(40):
            yield Send(chunk(b"".join(delta("f" * 1000) for _ in range(100))))
        yield from END

    with ScriptThread(flood) as upstream, ThreadPoolExecutor(1) as pool:
        gateway = serve(openai_upstream(upstream.url))
        most = 0

        async def waiting() -> int:
            return max((relay._outlet.waiting for relay in gateway.serving.gateway._sweep.all()), default=0)

        reply = pool.submit(ask, gateway.port, question())
        while not reply.done():
            most = max(most, gateway.call(waiting))
        assert len(reply.result().text) == 4_000_000
        assert most < 192 * 1024


def test_trap_9_frames_that_came_together_leave_together(serve):
    """Ten HTTP chunks in one segment are one write: neither per chunk nor per line."""
    ten = b"".join(chunk(word) for word in words(10, first=1))
    with ScriptThread([OPEN, Send(chunk(words(1)[0])), Wait(0.1), Send(ten), Wait(0.05), *END]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question())
            client.until(b"w0 ")
            client.until(b"\r\n")
            together = client.exactly(int(client.until(b"\r\n"), 16))
            assert together.count(b"data: ") == 10
            assert b"w1 " in together and b"w10 " in together


def test_trap_9_an_event_longer_than_any_line_limit_passes(serve):
    with ScriptThread([OPEN, Send(chunk(delta("L" * 1_000_000))), *END]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question())
    assert (reply.complete, reply.text) == (True, "L" * 1_000_000)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    trust = anonymous(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trust)
    monkeypatch.setattr(ssl, "create_default_context", lambda: trust)


def test_all_of_it_holds_over_tls(serve, trusting):
    """There the transport is another one, with buffers and a protocol of its own."""
    with ScriptThread(echo) as upstream, TlsFront(upstream.port) as front:
        gateway = serve(openai_upstream(front.url, max_concurrency=1))
        with RawClient(gateway.port) as client:
            for turn in range(5):
                client.post(asked(f"t{turn}"))
                assert client.reply().text == f"t{turn} " * 10
        assert upstream.connections == 1

        upstream.play([OPEN, *(Send(chunk(delta(f"{n:04d}{'z' * 1000}"))) for n in range(2000)), *END])
        with RawClient(gateway.port, receive_buffer=8192) as client:
            client.post(question())
            time.sleep(0.3)
            assert client.reply().text == "".join(f"{n:04d}{'z' * 1000}" for n in range(2000))

        upstream.play([OPEN, Send(chunk(words(1)[0])), Wait(0.03), Abort()])
        assert b'"upstream_incomplete"' in ask(gateway.port, question()).body

        upstream.play([OPEN, Send(chunk(words(1)[0])), Hang()])
        count = upstream.connections
        with RawClient(gateway.port) as client:
            client.post(question())
            client.until(b"w0 ")
        until(lambda: upstream.connections > count, "the last connection made")
        upstream.closed_by_peer()
        gateway.until_idle()
