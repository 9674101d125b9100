"""Bedrock on real sockets, over all four relays: silence, broken bytes, readers that leave, sessions that are busy.

Nobody can stop an agent that runs, so whoever leaves takes the connection and the turn with him and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from proxy.simulators.bedrock import BedrockStandIn
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Sleep
from proxy.simulators.bedrock_turn import chunk
from tests.e2e.bedrock_scene import (
    COUNT,
    COUNTED,
    LONG,
    asked,
    bedrock_upstream,
    built,
    runs,
    sessions,
    stand_in_of,
)
from tests.e2e.plans_setup import no_work_left
from tests.e2e.sdk_setup import asking, hosted
from tests.support.gateway import GatewayThread
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.waiting import nothing_left, until

COMMENT = b": keep-alive\n\n"
BARE = {"bedrock": {"enableTrace": False, "streamFinalResponse": True}}
SLOW = Wire(delay=0.01)
SLACK = 0.5
"""The goal is 0.1 s; a busy machine may take longer to schedule."""
one_way = pytest.mark.parametrize("way", [("tap", "uvloop")], indirect=True, ids=["tap-uvloop"])


@pytest.fixture(scope="module")
def platform() -> Iterator[BedrockStandIn]:
    with hosted(stand_in_of) as stand_in:
        stand_in.knobs.abandoned = "stops"
        yield stand_in


def about(model: str, words: str = LONG, streamed: bool = True, **more: Any) -> dict[str, Any]:
    return question(streamed, model=model, messages=asking(words), **more)


def told(gateway: GatewayThread, model: str, words: str = COUNT, streamed: bool = True, **more: Any) -> Reply:
    return ask(gateway.port, about(model, words, streamed, **more))


def begun(platform: BedrockStandIn, model: str, count: int = 1) -> None:
    until(lambda: runs(platform, model) == count, f"{count} runs")


def turns(gateway: GatewayThread) -> int:
    """Sessions of which the gateway holds the turn."""

    async def count() -> int:
        return sum(len(dialer.turns) for dialer in gateway.serving.gateway._dialers.values())

    return int(gateway.call(count))


def left(platform: BedrockStandIn, model: str, number: int = -1) -> float:
    """When the platform saw that nobody listens any more."""
    until(lambda: asked(platform, model)[number].left is not None, "the platform is left")
    at = asked(platform, model)[number].left
    assert at is not None
    return at


# Readers that leave.


LEAVE: dict[str, tuple[Wire, bool]] = {
    "mid-stream": (SLOW, True),
    "whole answer": (SLOW, False),
    "before the head": (Wire(first_delay=30.0), True),
    "before the first frame": (Wire(delay=30.0), True),
}


@pytest.mark.parametrize("phase", LEAVE)
def test_case_21_who_leaves_takes_connection_and_turn_with_him(serve, platform, log, phase):
    wire, streamed = LEAVE[phase]
    model = built(platform, wire=wire)
    gateway = serve(bedrock_upstream(platform.url))
    with nothing_left(gateway), RawClient(gateway.port) as client:
        client.post(about(model, streamed=streamed, session_id="ada.1"))
        until(lambda: len(asked(platform, model)) == 1, "the question")
        if phase == "mid-stream":
            client.until(b'" 2"')
        elif phase == "whole answer":
            begun(platform, model)
        at = time.monotonic()
        client.reset()
        assert left(platform, model) - at < SLACK
        until(lambda: turns(gateway) == 0, "the turn is handed on")
    platform.agents[model[:10]].wire = None
    assert told(gateway, model, session_id="ada.1").text == COUNTED
    assert len(asked(platform, model)) == 2
    assert [record for record in log.events if record.levelno > logging.INFO] == []
    assert log.tracebacks == []


@one_way
def test_a_run_that_nobody_can_stop_keeps_its_session_busy(serve, platform, monkeypatch):
    """The turn is free here and not there: the next question hears so, and nothing was begun for it."""
    monkeypatch.setattr(platform.knobs, "abandoned", "runs")
    model = built(platform, wire=SLOW)
    gateway = serve(bedrock_upstream(platform.url))
    for conflict in ("http", "event"):
        monkeypatch.setattr(platform.knobs, "conflict", conflict)
        with RawClient(gateway.port) as client:
            client.post(about(model, session_id=conflict))
            client.until(b'" 2"')
            client.reset()
        left(platform, model)
        for streamed in (True, False):
            reply = told(gateway, model, streamed=streamed, session_id=conflict)
            assert (reply.status, reply.json["error"]["code"]) == (409, "session_busy")
    assert runs(platform, model) == 2


# One answer of a session at a time.


def test_case_22_the_next_question_waits_for_its_turn_and_not_for_ever(serve, platform):
    model = built(platform, wire=SLOW)
    gateway = serve(bedrock_upstream(platform.url, session_wait=0.15))
    with no_work_left(gateway), RawClient(gateway.port) as first:
        first.post(about(model, session_id="ada.1"))
        first.until(b'" 2"')
        began = time.monotonic()
        reply = told(gateway, model, session_id="ada.1")
        assert 0.15 <= time.monotonic() - began < 1.5
        error = reply.json["error"]
        assert (reply.status, error["code"], error["param"]) == (409, "session_busy", "session_id")
        assert len(asked(platform, model)) == 1
        assert told(gateway, model, session_id="other").text == COUNTED
        first.reset()
        left(platform, model, 0)
    assert turns(gateway) == 0


def test_questions_to_one_session_are_answered_one_after_the_other(serve, platform):
    model = built(platform, wire=Wire(delay=0.005))
    gateway = serve(bedrock_upstream(platform.url))
    replies: list[Reply] = []

    def say(streamed: bool) -> None:
        replies.append(told(gateway, model, streamed=streamed, session_id="ada.1"))

    with no_work_left(gateway):
        clients = [threading.Thread(target=say, args=(number % 2 == 0,)) for number in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert [reply.status for reply in replies] == [200] * 4
    times = [(one.arrived, one.fate.ended) for one in asked(platform, model)]
    assert all(ended <= arrived for (_, ended), (arrived, _) in pairwise(times))
    (session,) = sessions(platform, model)
    assert session.turns == 4


@one_way
def test_who_leaves_the_line_is_not_heard_of(serve, platform):
    model = built(platform, wire=SLOW)
    gateway = serve(bedrock_upstream(platform.url))
    with RawClient(gateway.port) as first, RawClient(gateway.port) as second:
        first.post(about(model, session_id="ada.1"))
        first.until(b'" 2"')
        second.post(about(model, COUNT, session_id="ada.1"))
        until(lambda: gateway.held()["answers"] == 2, "two answers under way")
        second.reset()
        until(lambda: gateway.held()["answers"] == 1, "one answer under way")
        first.reset()
        left(platform, model)
    until(lambda: turns(gateway) == 0, "the turn is handed on")
    assert len(asked(platform, model)) == 1


# Silence.


def test_case_20_silence_in_the_middle_ends_in_an_error(serve, platform):
    model = built(platform, script=(chunk("one "), Sleep(30.0), chunk("two")))
    gateway = serve(bedrock_upstream(platform.url, idle_timeout=0.2))
    with nothing_left(gateway):
        reply = told(gateway, model, session_id="ada.1")
        ended = time.monotonic()
        assert (reply.status, reply.text, reply.complete) == (200, "one ", True)
        assert reply.chunks[-1]["error"]["code"] == "upstream_timeout"
        assert "[DONE]" not in reply.frames
        assert left(platform, model) - ended < SLACK
        assert turns(gateway) == 0
        whole = told(gateway, model, streamed=False)
        assert (whole.status, whole.json["error"]["code"]) == (504, "upstream_timeout")
        assert whole.headers["x-should-retry"] == "false"
    assert len(asked(platform, model)) == 2


def test_case_27_a_function_that_takes_its_time_is_waited_for(serve, platform):
    """Before the first word the head and the role come alone; after it, comments."""
    script = (Sleep(0.25), chunk("one "), Sleep(0.25), chunk("two"))
    model = built(platform, script=script)
    gateway = serve(bedrock_upstream(platform.url), limits={"commit_after": 0.06, "keepalive": 0.08})
    with RawClient(gateway.port) as client:
        client.post(about(model, COUNT))
        opening = client.until(b"\n\n") + client.until(COMMENT)
        assert b"200 OK" in opening and b'"role":"assistant"' in opening and b"one " not in opening
        rest = client.until(b"[DONE]\n\n")
    between, _, end = rest.partition(b'"one "')[2].partition(b'"two"')
    assert COMMENT in between and COMMENT not in end
    assert b'"finish_reason":"stop"' in end


# Bytes that are wrong.


def test_case_18_a_wrong_checksum_in_the_third_frame(serve, platform):
    words = ("one ", "two ", "three ", "four")
    gateway = serve(bedrock_upstream(platform.url))
    for what in ("message", "prelude", "payload"):
        wire = Wire(corrupt=what, corrupt_at=2, delay=0.005)
        model = built(platform, said=words, wire=wire)
        reply = told(gateway, model, **BARE)
        assert (reply.status, reply.text, reply.complete) == (200, "one two ", True)
        assert reply.chunks[-1]["error"]["code"] == "upstream_error"
        assert "[DONE]" not in reply.frames
        whole = told(gateway, model, streamed=False, **BARE)
        assert (whole.status, whole.json["error"]["code"]) == (502, "upstream_error")
        first, second = (one.connection for one in asked(platform, model))
        sound = built(platform)
        assert told(gateway, sound).text == told(gateway, sound).text == COUNTED
        third, fourth = (one.connection for one in asked(platform, sound))
        assert len({first, second, third}) == 3 and fourth == third


def test_case_19_frames_come_as_they_come(serve, platform):
    text = "Grüß dich, 世界 🙂. " * 5
    gateway = serve(bedrock_upstream(platform.url, split="off"))
    for wire in (Wire(seed=1), Wire(bytes_per_write=7), Wire(per_write=0), Wire(per_write=5)):
        model = built(platform, said=(text,), chunk_bytes=3, wire=wire)
        reply = told(gateway, model)
        assert (reply.text, reply.frames[-1]) == (text, "[DONE]")


# We that leave.


def test_a_shutdown_ends_answers_that_do_not_end_in_time(serve, platform):
    model = built(platform, wire=SLOW)
    gateway = serve(bedrock_upstream(platform.url), server={"drain": 0.1})
    with RawClient(gateway.port) as client, RawClient(gateway.port) as waits:
        client.post(about(model, session_id="ada.1"))
        client.until(b'" 2"')
        waits.post(about(model, COUNT, session_id="ada.1"))
        until(lambda: gateway.held()["answers"] == 2, "two answers under way")
        gateway.call(gateway.serving.drain)
        assert b"shutting_down" in client.until(b"0\r\n\r\n")
        assert waits.reply().status == 503
        left(platform, model)
    gateway.__exit__()
    assert len(asked(platform, model)) == 1


@one_way
def test_a_shutdown_lets_answers_end(serve, platform):
    model = built(platform, wire=SLOW)
    gateway = serve(bedrock_upstream(platform.url))
    with RawClient(gateway.port) as client:
        client.post(about(model, "count to 20"))
        client.until(b'" 2"')
        gateway.call(gateway.serving.drain)
        assert b"[DONE]" in client.until(b"0\r\n\r\n")
    assert asked(platform, model)[0].left is None
