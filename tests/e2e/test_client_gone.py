"""A client that leaves takes its upstream request with it, at once, whatever it was waiting for.

Five phases × {FIN, RST} × four ways, several cycles each. The upstream notes when its peer went; the time from the
client's leaving to that is the figure. Afterwards nothing is left: no answer, no place, no task, no socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest

from proxy.simulators.script import Hang, Script, Send, chunk, event_stream_head, stream
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, question
from tests.support.upstream import BluntThread, ScriptThread, answer, text_of, words
from tests.support.waiting import nothing_left, until

CYCLES = 8
SLACK = 0.5
"""The goal is 0.05 s; a busy machine may take longer to schedule four threads."""

OPEN = Send(event_stream_head())
PHASES: dict[str, tuple[Script, bool]] = {
    "headers": ([Hang()], True),
    "first token": ([OPEN, Hang()], True),
    "mid-stream": ([OPEN, *(Send(chunk(word)) for word in words(3)), Hang()], True),
    "whole answer": ([OPEN, *(Send(chunk(word)) for word in words(3)), Hang()], False),
}
LEAVE: dict[str, Callable[[RawClient], None]] = {
    "FIN": lambda client: client.socket.close(),
    "RST": RawClient.reset,
    "half-close": lambda client: client.socket.shutdown(1),
}


def leave(client: RawClient, how: str) -> float:
    at = time.monotonic()
    LEAVE[how](client)
    return at


@pytest.mark.parametrize("how", LEAVE)
@pytest.mark.parametrize("phase", PHASES)
def test_the_upstream_is_let_go_at_once(serve, phase, how, record_property):
    script, streamed = PHASES[phase]
    with ScriptThread(script) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        delays = []
        with nothing_left(gateway):
            for cycle in range(1, CYCLES + 1):
                with RawClient(gateway.port) as client:
                    client.post(question(streamed))
                    upstream.received(cycle)
                    if phase == "mid-stream":
                        client.until(b"w2 ")
                    at = leave(client, how)
                    delays.append(upstream.closed_by_peer(cycle) - at)
        record_property("median_ms", round(median(delays) * 1000, 2))
        record_property("worst_ms", round(max(delays) * 1000, 2))
        assert max(delays) < SLACK
        assert len(upstream.requests) == CYCLES


@pytest.mark.parametrize("how", LEAVE)
def test_a_connection_that_is_still_being_made_is_let_go_at_once(serve, how, record_property):
    """An upstream that accepts but never answers the TLS handshake."""
    with BluntThread() as upstream:
        gateway = serve(openai_upstream(f"https://127.0.0.1:{upstream.port}"))
        delays = []
        with nothing_left(gateway):
            for cycle in range(CYCLES):
                with RawClient(gateway.port) as client:
                    client.post(question())
                    upstream.wait_heard()
                    at = leave(client, how)
                    until(lambda cycle=cycle: len(upstream.left) > cycle, "the connection closed")
                    delays.append(upstream.left[cycle] - at)
        record_property("median_ms", round(median(delays) * 1000, 2))
        record_property("worst_ms", round(max(delays) * 1000, 2))
        assert max(delays) < SLACK


def test_who_waits_for_a_place_and_leaves_gives_up_its_turn(serve):
    with ScriptThread([OPEN, Hang()]) as upstream:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=1))
        with nothing_left(gateway), RawClient(gateway.port) as first:
            first.post(question())
            upstream.received(1)
            waiting = [RawClient(gateway.port) for _ in range(3)]
            for client in waiting:
                client.post(question())
            until(lambda: gateway.held()["waiting"] == 3, "three in the queue")
            for client in waiting[:2]:
                client.reset()
            until(lambda: gateway.held()["waiting"] == 1, "one in the queue")
            first.reset()
            upstream.received(2)
            waiting[2].reset()
            upstream.closed_by_peer(2)
        assert len(upstream.requests) == 2


def test_a_client_that_leaves_early_leaves_one_line(serve, log):
    with ScriptThread([Hang()]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question())
            upstream.received()
        until(lambda: len(log.requests) == 1, "the line of the request")
    assert [fields["status"] for fields in log.requests] == [499]
    assert (len(log.events), log.tracebacks) == (1, [])


def test_neighbours_on_the_same_upstream_do_not_notice(serve):
    with ScriptThread(stream(answer(60), delay=0.005)) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as staying:
            staying.post(question())
            for _ in range(5):
                with RawClient(gateway.port) as leaving:
                    leaving.post(question())
                    leaving.until(b"w1 ")
            reply = staying.reply()
        assert (reply.text, reply.complete) == (text_of(60), True)
        gateway.until_idle()
