"""Dify on real sockets, over all four relays: readers that leave, and the one stop call that each of them causes.

A run goes on at the platform until somebody stops it by its task id, under the user who began it: so whoever ends
an answer early causes exactly one stop call, wherever the answer was, and who leaves when it is over causes none.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import Failure, RunFailure
from proxy.simulators.dify_runs import Run
from tests.e2e.dify_scene import (
    CHAT,
    COUNT,
    COUNTED,
    LONG,
    UPLOAD,
    asked,
    dify_upstream,
    open_app,
    questions,
    runs,
    stand_in_of,
    stops,
)
from tests.e2e.plans_setup import no_work_left
from tests.e2e.sdk_setup import asking, hosted
from tests.e2e.test_dify_pictures import PNG, data_uri, image, showing
from tests.support.raw import RawClient, ask, question
from tests.support.waiting import until

one_way = pytest.mark.parametrize("way", [("tap", "uvloop")], indirect=True, ids=["tap-uvloop"])


@pytest.fixture(scope="module")
def shared() -> Iterator[DifyStandIn]:
    with hosted(stand_in_of) as stand_in:
        yield stand_in


@pytest.fixture
def platform(shared: DifyStandIn) -> DifyStandIn:
    """The same for all, having heard nothing yet."""
    shared.requests.clear()
    return shared


def about(words: Any = LONG, streamed: bool = True, **more: Any) -> dict[str, Any]:
    return question(streamed, messages=asking(words), **more)


def begun(stand_in: DifyStandIn, key: str) -> Run:
    until(lambda: bool(runs(stand_in, key)), "a run")
    (run,) = runs(stand_in, key)
    return run


def stopped_once(stand_in: DifyStandIn, key: str, left: float, seconds: float = 1.0) -> None:
    """One stop call for the one run, of its own task and user, that soon after ``left``; and none after it."""
    until(lambda: bool(stops(stand_in, key)), "a stop call")
    assert time.monotonic() - left < seconds
    run = begun(stand_in, key)
    until(run.done.is_set, "the run is over")
    time.sleep(0.05)
    assert stops(stand_in, key) == [(run.turn.task_id, run.turn.user)]
    assert run.status == "stopped"  # another user's wish would have failed it, or changed nothing


# Readers that leave.


LEFT = [("chat", True), ("workflow", True), ("advanced-chat", False), ("completion", False)]


def test_clients_that_leave_stop_their_runs_once_and_at_once(serve, platform, log):
    gateway = serve(dify_upstream(platform.url))
    keys = {open_app(platform, mode, delay=0.005): streamed for mode, streamed in LEFT}
    with no_work_left(gateway), ExitStack() as clients:
        talking = {}
        for key, streamed in keys.items():
            talking[key] = clients.enter_context(RawClient(gateway.port))
            talking[key].post(about(streamed=streamed), headers={"Authorization": f"Bearer {key}"})
        for key, streamed in keys.items():
            if streamed:
                talking[key].until(b'" 2"')
            run = begun(platform, key)
            until(lambda run=run: run.told > 8, "words")
        left = time.monotonic()
        for client in talking.values():
            client.reset()
        for key in keys:
            stopped_once(platform, key, left)
    assert [record for record in log.events if record.levelno > logging.INFO] == []
    assert log.tracebacks == []


@one_way
def test_who_shuts_only_half_has_left_too(serve, platform):
    key = open_app(platform, delay=0.01)
    gateway = serve(dify_upstream(platform.url, key=key))
    with RawClient(gateway.port) as client:
        client.post(about())
        client.until(b'" 2"')
        left = time.monotonic()
        client.socket.shutdown(socket.SHUT_WR)
        stopped_once(platform, key, left)


def test_who_leaves_before_the_first_event_is_stopped_as_soon_as_it_has_a_name(serve, platform):
    """The head of the answer has come; the first event has not."""
    keys = [open_app(platform, mode, delay=0.2) for mode in ("chat", "workflow")]
    gateway = serve(dify_upstream(platform.url, input_variable="topic"))
    with no_work_left(gateway), RawClient(gateway.port) as one, RawClient(gateway.port) as other:
        for client, key, streamed in ((one, keys[0], True), (other, keys[1], False)):
            client.post(about(streamed=streamed), headers={"Authorization": f"Bearer {key}"})
        began = [begun(platform, key) for key in keys]
        time.sleep(0.05)  # nothing shows that the heads are there
        left = time.monotonic()
        one.reset()
        other.reset()
        time.sleep(0.05)
        assert [run.told for run in began] == [0, 0]
        assert stops(platform, keys[0]) == stops(platform, keys[1]) == []
        for key in keys:
            stopped_once(platform, key, left, 1.2)


def test_who_leaves_before_the_head_of_the_answer(serve, platform):
    """The question has been asked, so there will be a run."""
    key = open_app(platform, "chat", first_delay=0.1, delay=0.01)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        client.post(about())
        until(lambda: bool(questions(platform, key)), "the question")
        left = time.monotonic()
        client.reset()
        assert runs(platform, key) == []
        stopped_once(platform, key, left, 1.3)


@one_way
def test_a_platform_that_never_names_the_run_is_not_listened_to_for_ever(serve, platform, monkeypatch):
    monkeypatch.setattr("proxy.exchange.LISTENING", 0.15)
    key = open_app(platform, "chat", delay=2.0)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        client.post(about())
        begun(platform, key)
        time.sleep(0.05)
        client.reset()
        (heard,) = asked(platform, key, CHAT)
        until(lambda: heard.left is not None, "the platform is left")
    assert stops(platform, key) == []


@one_way
def test_nobodys_question_is_not_asked_again(serve, platform, log):
    """A refusal that would be worth another try comes when its reader has left."""
    for failure in (Failure(429, "too_many_requests"), Failure(400, "not_chat_app")):
        key = open_app(platform, "chat", first_delay=0.1)
        platform.apps[key].knobs.failures.append(failure)
        gateway = serve(dify_upstream(platform.url, key=key, mode="chat"))
        with no_work_left(gateway), RawClient(gateway.port) as client:
            client.post(about())
            until(lambda key=key: bool(questions(platform, key)), "the question")
            client.reset()
        time.sleep(0.15)
        assert len(asked(platform, key)) == 1 and runs(platform, key) == []
    assert log.tracebacks == []
    assert [record for record in log.events if record.levelno > logging.INFO] == []


def test_who_leaves_the_queue_is_not_heard_of(serve, platform):
    key = open_app(platform, "chat", delay=0.02)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat", max_concurrency=1))
    with no_work_left(gateway), RawClient(gateway.port) as first, RawClient(gateway.port) as second:
        first.post(about())
        first.until(b'" 2"')
        second.post(about(COUNT))
        until(lambda: gateway.held()["waiting"] == 1, "one in the queue")
        second.reset()
        until(lambda: gateway.held()["waiting"] == 0, "nobody in the queue")
        assert len(questions(platform, key)) == 1
        left = time.monotonic()
        first.reset()
        stopped_once(platform, key, left)


def test_who_leaves_while_a_file_is_handed_in_asks_nothing(serve, platform):
    key = open_app(platform, "chat", first_delay=0.15)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        client.post(question(messages=showing(image(data_uri(PNG)))))
        until(lambda: bool(asked(platform, key, UPLOAD)), "the upload")
        left = time.monotonic()
        client.reset()
        gateway.until_idle(1.0)
        assert time.monotonic() - left < 1.0
        time.sleep(0.2)
    assert [heard.path for heard in asked(platform, key)] == [UPLOAD]


# Readers that stay.


@one_way
def test_nobody_stops_a_run_that_is_over(serve, platform):
    """Well or not, whatever the platform still has to send, and however the client goes."""
    spoken = {"speech": 40, "delay": 0.003}
    fails = {"failure": RunFailure(2), "delay": 0.01}
    cases = [("chat", spoken), ("advanced-chat", spoken), ("workflow", {}), ("agent-chat", {})]
    cases += [("chat", fails), ("advanced-chat", fails), ("workflow", fails)]
    gateway = serve(dify_upstream(platform.url))
    with no_work_left(gateway):
        for mode, knobs in cases:
            for streamed in (True, False):
                key = open_app(platform, mode, **knobs)
                with RawClient(gateway.port) as client:
                    client.post(about(COUNT, streamed), headers={"Authorization": f"Bearer {key}"})
                    told = client.reply()
                    client.reset()
                assert told.status == (200 if streamed or knobs is not fails else 502)
                assert told.complete and len(runs(platform, key)) == 1
    time.sleep(0.05)
    assert [heard.path for heard in platform.requests if heard.path.endswith("/stop")] == []


@one_way
def test_what_becomes_of_a_stop_call_changes_nothing(serve, platform, log):
    key = open_app(platform, "chat", delay=0.01)
    failures = platform.apps[key].knobs.failures
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat", max_concurrency=1, max_queue=0))
    for failure in (Failure(404, "not_found", path="/stop"), Failure(500, body=b"oops", path="/stop")):
        with no_work_left(gateway):
            failures.append(failure)
            before = len(stops(platform, key))
            with RawClient(gateway.port) as client:
                client.post(about())
                client.until(b'" 2"')
                client.reset()
            until(lambda before=before: len(stops(platform, key)) > before, "a stop call")
            until(lambda: not failures, "the failure")
            assert ask(gateway.port, about(COUNT)).text == COUNTED
    assert len(stops(platform, key)) == 2
    assert [record for record in log.events if record.levelno > logging.INFO] == []


# We that leave.


def test_our_own_timeout_stops_the_run(serve, platform):
    key = open_app(platform, "advanced-chat", delay=0.01)
    gateway = serve(dify_upstream(platform.url, key=key, idle_timeout=0.15))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        client.post(about())
        client.until(b'" 2"')
        run = begun(platform, key)
        run.turn.knobs.delay = 30.0
        assert b"upstream_timeout" in client.until(b"0\r\n\r\n")
        stopped_once(platform, key, time.monotonic())


def test_a_first_event_that_does_not_come_in_time(serve, platform):
    """The reader has its answer, and the run is stopped when it shows its name."""
    key = open_app(platform, "chat", delay=0.2)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat", first_byte_timeout=0.1))
    with no_work_left(gateway):
        told = ask(gateway.port, about())
        assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
        assert begun(platform, key).told == 0
        stopped_once(platform, key, time.monotonic())


@one_way
def test_a_stream_that_the_platform_breaks_off_is_stopped(serve, platform):
    """The body ended without an end: the run may still be going on, so it is told."""
    key = open_app(platform, "chat", end_after=3, delay=0.05)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"))
    with no_work_left(gateway):
        told = ask(gateway.port, about())
        assert told.chunks[-1]["error"]["code"] == "upstream_incomplete"
        stopped_once(platform, key, time.monotonic())


def test_a_shutdown_stops_the_run(serve, platform):
    key = open_app(platform, "chat", delay=0.05)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"), server={"drain": 0.1})
    with RawClient(gateway.port) as client:
        client.post(about())
        client.until(b'" 2"')
        gateway.call(gateway.serving.drain)
        assert b"shutting_down" in client.until(b"0\r\n\r\n")
    gateway.__exit__()
    run = begun(platform, key)
    assert stops(platform, key) == [(run.turn.task_id, run.turn.user)]


@one_way
def test_a_shutdown_before_the_first_event_waits_for_the_name(serve, platform):
    key = open_app(platform, "chat", delay=0.4)
    gateway = serve(dify_upstream(platform.url, key=key, mode="chat"), server={"drain": 0.1})
    with RawClient(gateway.port) as client:
        client.post(about())
        begun(platform, key)
        gateway.call(gateway.serving.drain)
        assert client.reply().status == 503
    gateway.__exit__()
    run = begun(platform, key)
    assert stops(platform, key) == [(run.turn.task_id, run.turn.user)]
