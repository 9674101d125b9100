"""A small Dify server and many readers: who waits, who is refused in words, and that a stop call never waits.

The stock container takes ten connections, and an eleventh hangs without a byte. So the gateway is told to use
fewer, and its own queue, which has an end, takes the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from proxy.simulators.dify import DifyStandIn
from tests.e2e.dify_scene import (
    COUNT,
    COUNTED,
    LONG,
    dify_upstream,
    open_app,
    questions,
    runs,
    stand_in_of,
    stops,
)
from tests.e2e.plans_setup import no_work_left
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.gateway import GatewayThread, config_of
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.waiting import until

pytestmark = pytest.mark.two_ways

TEN = 10
NINE = TEN - 1
"""What the gateway is allowed: one connection is left for stop calls."""


@pytest.fixture(scope="module")
def small() -> Iterator[DifyStandIn]:
    with hosted(lambda: stand_in_of(connections=TEN)) as stand_in:
        yield stand_in


def post(client: RawClient, words: str = LONG) -> None:
    client.post(question(messages=asking(words)))


def all_busy(running: ExitStack, gateway: GatewayThread, stand_in: DifyStandIn, key: str) -> list[RawClient]:
    """As many streams as the gateway may have, every one of them under way."""
    clients = [running.enter_context(RawClient(gateway.port)) for _ in range(NINE)]
    for client in clients:
        post(client)
    for client in clients:
        client.until(b'" 2"')
    assert stand_in.open_connections >= NINE
    return clients


def test_one_waits_the_next_is_refused_and_a_stop_call_goes_past_them(serve, small):
    key = open_app(small, "chat", delay=0.02)
    gateway = serve(dify_upstream(small.url, key=key, mode="chat", max_concurrency=NINE, max_queue=1))
    with no_work_left(gateway), ExitStack() as running:
        busy = all_busy(running, gateway, small, key)
        waits = running.enter_context(RawClient(gateway.port))
        post(waits, COUNT)
        until(lambda: gateway.held()["waiting"] == 1, "one in the queue")
        began = time.monotonic()
        told: Reply = ask(gateway.port, question(messages=asking(COUNT)))
        assert (told.status, told.json["error"]["code"]) == (429, "upstream_queue_full")
        assert told.json["error"]["type"] == "rate_limit_error" and told.headers["retry-after"] == "1"
        assert "9 requests at once and 1 are waiting" in told.json["error"]["message"]
        assert time.monotonic() - began < 1.0
        assert len(questions(small, key)) == NINE
        busy[0].reset()
        until(lambda: bool(stops(small, key)), "a stop call", 1.0)
        assert waits.reply().text == COUNTED
        for client in busy[1:]:
            client.reset()
        until(lambda: len(stops(small, key)) == NINE, "a stop call for each", 2.0)
    until(lambda: all(run.done.is_set() for run in runs(small, key)), "all runs are over")
    assert sorted(stops(small, key)) == sorted(
        (run.turn.task_id, run.turn.user) for run in runs(small, key) if run.status == "stopped"
    )


@pytest.mark.parametrize("way", [("loop", "uvloop"), ("tap", "uvloop")], indirect=True, ids=["loop", "tap"])
def test_stop_calls_do_not_take_the_places_of_those_who_wait(serve, small):
    """All leave at once, and nobody who comes next may find a connection that is kept for nothing."""
    key = open_app(small, "chat", delay=0.02)
    gateway = serve(dify_upstream(small.url, key=key, mode="chat", max_concurrency=NINE))
    with no_work_left(gateway), ExitStack() as running:
        busy = all_busy(running, gateway, small, key)
        waiting = [running.enter_context(RawClient(gateway.port)) for _ in range(NINE)]
        for client in waiting:
            post(client, COUNT)
        until(lambda: gateway.held()["waiting"] == NINE, "nine in the queue")
        began = time.monotonic()
        for client in busy:
            client.reset()
        assert [client.reply().text for client in waiting] == [COUNTED] * NINE
        until(lambda: len(stops(small, key)) == NINE, "a stop call for each")
        assert time.monotonic() - began < 3.0


def test_a_full_queue_is_a_typed_exception(serve_config, small):
    key = open_app(small, "chat", delay=0.02)
    up = dify_upstream(small.url, key=key, mode="chat", max_concurrency=1, max_queue=0)
    gateway = serve_config(config_of(up))
    with RawClient(gateway.port) as busy, sdk(gateway.url + "/v1") as client:
        post(busy)
        busy.until(b'" 2"')
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="m", messages=asking(COUNT))
        assert caught.value.code == "upstream_queue_full"
        busy.reset()
        gateway.until_idle()
        client.chat.completions.create(model="m", messages=asking(COUNT))


def test_nobody_waits_for_a_place_for_ever(serve_config, small):
    key = open_app(small, "chat", delay=0.02)
    up = dify_upstream(small.url, key=key, mode="chat", max_concurrency=1, first_byte_timeout=0.2)
    gateway = serve_config(config_of(up))
    with RawClient(gateway.port) as busy:
        post(busy)
        busy.until(b'" 2"')
        told = ask(gateway.port, question(messages=asking(COUNT)))
        assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
        assert len(questions(small, key)) == 1


def test_thirty_readers_share_ten_connections(serve_config, small):
    key = open_app(small, "chat", delay=0.002)
    up = dify_upstream(small.url, key=key, max_concurrency=NINE)
    gateway = serve_config(config_of(up))
    told: list[str] = []

    def read() -> None:
        told.append(ask(gateway.port, question(messages=asking(COUNT))).text)

    readers = [threading.Thread(target=read) for _ in range(30)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert told == [COUNTED] * 30
    assert stops(small, key) == []
    assert small.open_connections <= TEN


# The app's own limit.


@pytest.mark.parametrize("documented", [True, False])
def test_the_limit_of_an_app_is_a_429_however_it_is_told(serve_config, small, documented):
    key = open_app(small, "chat", max_active=1, limit_as_429=documented, delay=0.02)
    gateway = serve_config(config_of(dify_upstream(small.url, key=key, mode="chat", retries=0)))
    with RawClient(gateway.port) as busy:
        post(busy)
        busy.until(b'" 2"')
        told: Any = ask(gateway.port, question(messages=asking(COUNT)))
        assert (told.status, told.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert told.json["error"]["type"] == "rate_limit_error"
        assert told.headers["retry-after"] == "1"
        assert told.json["error"]["message"].startswith("Too many requests.")


def test_the_gateway_tries_again_after_a_moment(serve_config, small):
    key = open_app(small, "chat", max_active=1, delay=0.02)
    gateway = serve_config(config_of(dify_upstream(small.url, key=key, mode="chat")))
    with RawClient(gateway.port) as busy:
        post(busy, COUNT)
        busy.until(b'" 2"')
        assert ask(gateway.port, question(messages=asking(COUNT))).text == COUNTED
    assert len(questions(small, key)) == 3
