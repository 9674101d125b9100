"""Asking again: only before an answer has begun, and only where the upstream cannot do the work twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

import pytest

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Script,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    reply,
    stream,
)
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, ask, question
from tests.support.upstream import ScriptThread, answer, text_of, words
from tests.support.waiting import until

OK = [Send(event_stream_head() + chunk(b"".join(answer(3))) + last_chunk())]
"""In one piece, so that the connection is free again when the client has its answer."""
BUSY = b'{"error": {"message": "busy", "type": "server_error"}}'


def in_turn(*scripts: list[Step]) -> Callable[[Recorded], list[Step]]:
    """One script after another; the last one stays."""
    left = list(scripts)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def refusal(status: int, **headers: str) -> list[Step]:
    return [Send(reply(status, BUSY, headers={name.replace("_", "-"): v for name, v in headers.items()}))]


AGAIN: dict[str, list[list[Step]]] = {
    "503": [refusal(503), OK],
    "503 twice": [refusal(503), refusal(503), OK],
    "503 with a short wait": [refusal(503, retry_after_ms="30"), OK],
    "429": [refusal(429), OK],
    "429 with no wait": [refusal(429, Retry_After="0"), OK],
    "529": [refusal(529), OK],
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_busy_upstream_is_asked_again(serve, name):
    with ScriptThread(in_turn(*AGAIN[name])) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question())
        assert (reply.status, reply.text) == (200, text_of(3))
        assert len(upstream.requests) == len(AGAIN[name])
        assert len({request.body for request in upstream.requests}) == 1
        assert gateway.held()["places"] == 0


ONCE: dict[str, tuple[Script, int, str]] = {
    "429 with a long wait": (refusal(429, Retry_After="60"), 429, "rate_limit_exceeded"),
    "503 with a long wait": (refusal(503, Retry_After="60"), 503, "upstream_overloaded"),
    "500": (refusal(500), 502, "upstream_error"),
    "502": (refusal(502), 502, "upstream_error"),
    "504": (refusal(504), 504, "upstream_timeout"),
    "400": (refusal(400), 400, "None"),
    "401": (refusal(401), 502, "upstream_auth_failed"),
    "fresh connection, FIN": ([Close()], 502, "upstream_disconnected"),
    "fresh connection, RST": ([Abort()], 502, "upstream_disconnected"),
    "half a head": ([Send(b"HTTP/1.1 20"), Close()], 502, "upstream_disconnected"),
    "head and RST": ([Send(event_stream_head()), Wait(0.03), Abort()], 502, "upstream_incomplete"),
    "silence": ([Hang()], 504, "upstream_timeout"),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_may_have_been_done_is_not_asked_again(serve, name):
    script, status, code = ONCE[name]
    with ScriptThread(script) as upstream:
        gateway = serve(openai_upstream(upstream.url, first_byte_timeout=0.5))
        reply = ask(gateway.port, question())
        assert (reply.status, str(reply.json["error"]["code"])) == (status, code)
        assert len(upstream.requests) == 1
        assert reply.headers.get("retry-after") == ("60" if "long wait" in name else None)
        gateway.until_idle()


def test_a_broken_answer_is_never_asked_for_again(serve):
    begun = [Send(event_stream_head()), Send(chunk(words(1)[0])), Wait(0.03), Abort()]
    with ScriptThread(in_turn(begun, OK)) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question())
        assert reply.chunks[-1]["error"]["code"] == "upstream_incomplete"
        assert len(upstream.requests) == 1
        whole = ask(gateway.port, question(stream=False))
        assert whole.status == 200 and len(upstream.requests) == 2


def test_an_upstream_that_comes_up_meanwhile_is_reached(serve):
    """Refused at first; the port opens while the gateway waits to try again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        gateway = serve(openai_upstream(f"http://127.0.0.1:{port}"))

        def come_up() -> None:
            time.sleep(0.05)
            taken.listen()
            connection, _ = taken.accept()
            with connection:
                connection.recv(65536)
                for step in OK:
                    connection.sendall(step.data)

        late = threading.Thread(target=come_up)
        late.start()
        reply = ask(gateway.port, question())
        late.join(5)
    assert (reply.status, reply.text) == (200, text_of(3))


def test_an_upstream_that_stays_down_is_given_up(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gateway = serve(openai_upstream(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        reply = ask(gateway.port, question())
    assert (reply.status, reply.json["error"]["code"]) == (503, "upstream_unreachable")
    gateway.until_idle()


@pytest.mark.parametrize("death", [Close(), Abort()], ids=["FIN", "RST"])
def test_a_kept_connection_that_turns_out_dead_is_replaced_once(serve, death):
    """The upstream hangs up on the second request of a connection instead of answering it."""

    def script(request: Recorded) -> list[Step]:
        earlier = [r for r in upstream.requests if r.connection == request.connection]
        return OK if len(earlier) == 1 else [death]

    with ScriptThread(script) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        for _ in range(3):
            reply = ask(gateway.port, question())
            assert (reply.status, reply.text) == (200, text_of(3))
        assert upstream.connections == 3
        assert [request.connection for request in upstream.requests] == [1, 1, 2, 2, 3]


def test_retries_can_be_switched_off(serve):
    with ScriptThread(in_turn(refusal(503), OK)) as upstream:
        gateway = serve(openai_upstream(upstream.url, retries=0))
        assert ask(gateway.port, question()).status == 503
        assert len(upstream.requests) == 1


def test_a_client_that_leaves_during_the_wait_ends_the_trying(serve):
    with ScriptThread(in_turn(refusal(503, Retry_After="2"), OK)) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            client.post(question())
            upstream.received()
            time.sleep(0.05)
        assert gateway.until_idle() < 1.0
        assert len(upstream.requests) == 1


# Places at an upstream, from outside; ``tests/proxy/test_slots.py`` has the rules one by one.


def test_no_more_than_the_limit_run_and_whom_the_queue_does_not_hold_is_refused_at_once(serve):
    go = threading.Event()

    def script(request: Recorded) -> Iterator[Step]:
        yield Send(event_stream_head() + chunk(words(1)[0]))
        while not go.is_set():
            yield Wait(0.01)
        yield Send(chunk(b"".join(answer(3))) + last_chunk())

    with ScriptThread(script) as upstream, ExitStack() as stack:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=2, max_queue=4))
        clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(6)]
        for number, client in enumerate(clients):
            client.post(question(stream=number % 2 == 0))
        until(
            lambda: gateway.held() == {"answers": 6, "places": 2, "waiting": 4}, "two running, four waiting"
        )
        for _ in range(5):
            began = time.monotonic()
            refused = ask(gateway.port, question())
            assert time.monotonic() - began < 0.5
            assert (refused.status, refused.json["error"]["code"]) == (429, "upstream_queue_full")
            assert refused.headers["retry-after"] == "1"
        assert len(upstream.requests) == 2
        go.set()
        assert [client.reply().status for client in clients] == [200] * 6
        gateway.until_idle()
        assert upstream.connections == 2


def test_hundreds_of_random_departures_leave_no_place_taken(serve):
    chance = Random(7)

    def script(request: Recorded) -> Iterator[Step]:
        yield from stream(answer(5), delay=0.004)

    with ScriptThread(script) as upstream, ThreadPoolExecutor(16) as pool:
        gateway = serve(openai_upstream(upstream.url, max_concurrency=3, max_queue=50))

        def visit(seconds: float) -> None:
            with RawClient(gateway.port) as client:
                client.post(question())
                time.sleep(seconds)
                client.reset()

        list(pool.map(visit, [chance.random() * 0.05 for _ in range(250)]))
        gateway.until_idle(5.0)
        until(lambda: upstream.open_connections <= 3, "the abandoned connections closed")
        assert ask(gateway.port, question()).text == text_of(5)
    assert gateway.errors == []
