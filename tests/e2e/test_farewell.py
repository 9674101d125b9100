"""When nobody waits for the rest of an answer, its platform hears of it: once, at once, at nobody's cost.

And when an answer is over, what is to be kept of it is there before its reader can ask again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from proxy import errands
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import (
    Close,
    Hang,
    Script,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    reply,
    stream,
)
from tests.e2e.plans_setup import Planner, no_work_left, planner
from tests.support.raw import RawClient, ask, question
from tests.support.upstream import ScriptThread, answer, text_of, words
from translators.errors import ShuttingDown, UpstreamError
from translators.upstreams.openai import OpenAI
from translators.upstreams.plan import Call, Pause, Plan, Recall, Remember

pytestmark = [pytest.mark.usefixtures("plans"), pytest.mark.two_ways]

CANCEL = "/cancel"
OPEN = Send(event_stream_head())
STUCK: list[Step] = [OPEN, *(Send(chunk(word)) for word in words(3)), Hang()]
TAKEN: list[Step] = [Send(reply(200, b"{}"))]


def script(question: Script, cancel: Script = TAKEN) -> Callable[[Recorded], Any]:
    return lambda asked: cancel if asked.path == CANCEL else question


def cancel(upstream: Planner) -> Call | None:
    """As a platform would: only what has begun can be told to stop."""
    return Call("POST", CANCEL.removeprefix("/"), b"%d" % upstream.said) if upstream.said else None


def cancels(upstream: ScriptThread) -> list[Recorded]:
    return [asked for asked in upstream.requests if asked.path == CANCEL]


def leave(client: RawClient) -> float:
    client.reset()
    return time.monotonic()


def begin(client: RawClient, upstream: ScriptThread, streamed: bool, count: int = 1) -> None:
    client.post(question(streamed))
    upstream.received(count)
    if streamed:
        client.until(b"w2 ")
    else:
        time.sleep(0.1)  # nothing shows that the gateway has the words


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_is_told_of_once_and_at_once(serve, streamed, log):
    with ScriptThread(script(STUCK)) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel))
        with no_work_left(gateway):
            with RawClient(gateway.port) as client:
                begin(client, upstream, streamed)
                left = leave(client)
                assert upstream.received(2).body == b"3"
                assert time.monotonic() - left < 0.5
            upstream.closed_by_peer(1)
        time.sleep(0.05)
        assert len(cancels(upstream)) == 1
    assert [record.levelno for record in log.events] == [logging.INFO]


def test_who_leaves_before_anything_began_leaves_nothing_to_tell(serve):
    with ScriptThread(script([OPEN, Hang()])) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel))
        with no_work_left(gateway), RawClient(gateway.port) as client:
            client.post(question())
            upstream.received()
            leave(client)
            upstream.closed_by_peer(1)
        assert cancels(upstream) == []


COMPLETE: dict[str, Script] = {
    "in pieces": stream(answer(5)),
    "in one piece": stream(answer(5), per_write=9),
    "whose message does not end": [OPEN, Send(chunk(b"".join(answer(5)))), Hang()],
}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", COMPLETE)
def test_a_complete_answer_is_not_told_of(serve, name, streamed):
    with ScriptThread(script(COMPLETE[name])) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel))
        with no_work_left(gateway):
            assert ask(gateway.port, question(streamed)).status == 200
        assert len(upstream.requests) == 1


ENDS: dict[str, tuple[Script, dict[str, Any], str]] = {
    "silence": (STUCK, {"idle_timeout": 0.3}, "upstream_timeout"),
    "cut": ([OPEN, *(Send(chunk(word)) for word in words(3)), Close()], {}, "upstream_incomplete"),
    "nonsense": (
        [
            OPEN,
            *(Send(chunk(word)) for word in words(2)),
            Wait(0.1),
            Send(chunk(b"data: {oops}\n\n")),
            Hang(),
        ],
        {},
        "bad_upstream_response",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_answer_that_we_end_is_told_of_too(serve, name):
    steps, changes, code = ENDS[name]
    with ScriptThread(script(steps)) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel, **changes))
        with no_work_left(gateway):
            told = ask(gateway.port, question())
            assert told.chunks[-1]["error"]["code"] == code
            assert upstream.received(2).body == b"3"
        assert len(cancels(upstream)) == 1


BECOMES: dict[str, Script] = {
    "that nobody answers": [Hang()],
    "that is refused": [Send(reply(404, b"gone"))],
    "that breaks": [Close()],
}


@pytest.mark.parametrize("name", BECOMES)
def test_a_stop_call_delays_nobody_and_takes_no_place(serve, name, log, monkeypatch):
    monkeypatch.setattr(errands, "FAREWELL", 0.5)
    answered = iter([STUCK, stream(answer(4))])
    with ScriptThread(lambda asked: BECOMES[name] if asked.path == CANCEL else next(answered)) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel, max_concurrency=1, max_queue=0))
        with no_work_left(gateway):
            with RawClient(gateway.port) as client:
                begin(client, upstream, True)
                leave(client)
            upstream.received(2)
            gateway.until_idle()
            assert ask(gateway.port, question()).text == text_of(4)
        assert len(cancels(upstream)) == 1
    assert [record for record in log.events if record.levelno > logging.INFO] == []
    assert log.tracebacks == []


def test_a_reader_that_takes_nothing_does_not_keep_the_platform_working(serve):
    flood: list[Step] = [OPEN, *(Send(chunk(b"".join(words(1000)))) for _ in range(30)), Hang()]
    with ScriptThread(script(flood)) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel), limits={"write_timeout": 60.0})
        with RawClient(gateway.port, receive_buffer=4096) as stalled:
            stalled.post(question())
            upstream.received()
            time.sleep(0.3)
            began = time.monotonic()
            for relay in gateway.serving.gateway._sweep.all():
                gateway.loop.call_soon_threadsafe(relay.stop, ShuttingDown("enough"))
            assert int(upstream.received(2).body) > 0
            assert time.monotonic() - began < 1.0
            stalled.reset()
        assert len(cancels(upstream)) == 1


@pytest.mark.parametrize("answers", [True, False], ids=["that is answered", "that nobody answers"])
def test_a_shutdown_says_its_farewells_and_waits_for_them_only_so_long(serve, monkeypatch, answers):
    monkeypatch.setattr("proxy.gateway.LAST_ERRANDS", 0.5)
    with ScriptThread(script(STUCK, TAKEN if answers else [Hang()])) as upstream:
        gateway = serve(planner(upstream.url, farewell=cancel), server={"drain": 0.1})
        with RawClient(gateway.port) as client:
            begin(client, upstream, True)
            gateway.call(gateway.serving.drain)
            assert b"shutting_down" in client.until(b"0\r\n\r\n")
        began = time.monotonic()
        gateway.__exit__()
        assert time.monotonic() - began < 2.0
        assert [asked.body for asked in cancels(upstream)] == [b"3"]


# When it is over.


def count_turns(upstream: Planner) -> Plan[None]:
    before = yield Recall("turns")
    yield Remember("turns", (before or 0) + 1, 60.0)


def tell_turns(upstream: Planner) -> Plan[None]:
    upstream.known["turns"] = yield Recall("turns")


def with_turns(upstream: Planner) -> Call:
    return Call("POST", f"chat/{upstream.known['turns']}", OpenAI.call(upstream).body)


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_what_an_answer_leaves_in_mind_is_there_for_the_next_request(serve, streamed):
    """On another connection, sent the moment the last byte is there."""
    with ScriptThread(stream(answer(2))) as upstream:
        gateway = serve(planner(upstream.url, prepare=tell_turns, call=with_turns, settle=count_turns))
        clients = [RawClient(gateway.port) for _ in range(20)]
        for client in clients:
            client.post(question(streamed))
            client.reply()
        for client in clients:
            client.socket.close()
        assert [asked.path.rpartition("/")[2] for asked in upstream.requests] == [
            "None",
            *map(str, range(1, 20)),
        ]


def test_an_answer_that_was_left_is_settled_too(serve):
    with ScriptThread(STUCK) as upstream:
        gateway = serve(planner(upstream.url, prepare=tell_turns, call=with_turns, settle=count_turns))
        with no_work_left(gateway), RawClient(gateway.port) as client:
            begin(client, upstream, True)
            leave(client)
        upstream.play(stream(answer(1)))
        ask(gateway.port, question())
        assert upstream.requests[-1].path == "/chat/1"


def test_what_takes_time_is_settled_behind_the_clients_back(serve):
    def slow(upstream: Planner) -> Plan[None]:
        yield Pause(0.2)
        yield Call("POST", "settled", b"done")

    with ScriptThread(lambda asked: TAKEN if asked.path == "/settled" else stream(answer(2))) as upstream:
        gateway = serve(planner(upstream.url, settle=slow, max_concurrency=1, max_queue=0))
        with no_work_left(gateway):
            began = time.monotonic()
            for _ in range(3):
                assert ask(gateway.port, question()).text == text_of(2)
            assert time.monotonic() - began < 0.2
            upstream.received(6)
        assert [asked.body for asked in upstream.requests[3:]] == [b"done"] * 3


def breaking(upstream: Planner) -> Plan[None]:
    yield Pause(0.0)
    raise UpstreamError("it broke")


def test_what_cannot_be_settled_is_a_warning_and_no_more(serve, log):
    with ScriptThread(stream(answer(2))) as upstream:
        gateway = serve(planner(upstream.url, settle=breaking))
        with no_work_left(gateway):
            assert ask(gateway.port, question()).text == text_of(2)
    warnings = [record.getMessage() for record in log.events if record.levelno == logging.WARNING]
    assert warnings == ["settling an answer of up failed: it broke"]
    assert log.tracebacks == []


def test_what_is_being_settled_at_a_shutdown_may_end(serve):
    def slow(upstream: Planner) -> Plan[None]:
        yield Pause(0.2)
        yield Call("POST", "settled", b"done")

    with ScriptThread(lambda asked: TAKEN if asked.path == "/settled" else stream(answer(2))) as upstream:
        gateway = serve(planner(upstream.url, settle=slow))
        assert ask(gateway.port, question()).text == text_of(2)
        gateway.__exit__()
        assert [asked.path for asked in upstream.requests][-1] == "/settled"
