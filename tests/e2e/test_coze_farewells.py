"""Coze on real sockets, over all four relays: streams that break off, clients that leave, runs that are cancelled.

A run goes on at the platform, and keeps its conversation busy, until it is told: so whoever ends an answer early
causes exactly one cancel call with both ids, and nobody waits for it or hears what became of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest

from proxy.simulators.coze import CozeStandIn
from proxy.simulators.coze_knobs import Ask, Break, Failure, Node, WorkflowKnobs
from tests.e2e.coze_scene import BLUE_JAY, CANCEL, CHAT, cancels, coze_upstream, new_bot
from tests.e2e.plans_setup import no_work_left
from tests.e2e.sdk_setup import hosted
from tests.support.gateway import GatewayThread
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.waiting import until

pytestmark = pytest.mark.two_ways

LONG = tuple(f"w{number} " for number in range(200))
both = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def platform() -> Iterator[CozeStandIn]:
    with hosted(CozeStandIn) as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(platform: CozeStandIn) -> CozeStandIn:
    """The same for all, having heard nothing yet."""
    platform.requests.clear()
    platform.world.conversations.clear()
    return platform


def about(bot: str, streamed: bool = True) -> dict[str, Any]:
    return question(streamed, model=f"bot/{bot}")


def ids_of(stand_in: CozeStandIn) -> list[dict[str, str]]:
    """Both ids of every chat that the platform began."""
    return [
        {"conversation_id": conversation.id, "chat_id": chat}
        for conversation in stand_in.world.conversations.values()
        for chat in conversation.chats
    ]


def told_of(stand_in: CozeStandIn) -> None:
    """Exactly one cancel for every chat that was begun, and none after it."""
    assert len(ids_of(stand_in)) == 1
    until(lambda: bool(cancels(stand_in)), "a cancel")
    time.sleep(0.05)
    assert cancels(stand_in) == ids_of(stand_in)


def begin(client: RawClient, stand_in: CozeStandIn, bot: str, streamed: bool = True) -> None:
    """Ask, and wait until the answer is under way."""
    client.post(about(bot, streamed))
    if streamed:
        client.until(b"w2 ")
    else:
        until(lambda: bool(ids_of(stand_in)), "a chat")
        time.sleep(0.1)  # nothing shows that the gateway has its ids


@contextmanager
def idle_again(gateway: GatewayThread) -> Iterator[None]:
    """It holds nothing afterwards; counting its tasks as well takes ten times as long, so only some tests do."""
    yield
    gateway.until_idle(5.0)


# Answers that break.


def test_a_chat_that_fails_under_way_ends_with_an_error_frame(serve, stand_in):
    bot = new_bot(
        stand_in, said=(BLUE_JAY,), fault=Break(3, "failed", 5000, "event interval error"), delay=0.02
    )
    gateway = serve(coze_upstream(stand_in.url))
    told = ask(gateway.port, about(bot))
    assert (told.status, told.text, told.complete) == (200, "Blue", True)
    assert "event interval error" in told.chunks[-1]["error"]["message"]
    ended_badly(told, "upstream_error")
    assert ask(gateway.port, about(bot, False)).status == 502
    gateway.until_idle()
    assert cancels(stand_in) == []


def ended_badly(told: Reply, code: str) -> None:
    assert told.chunks[-1]["error"]["code"] == code
    assert told.frames[-1] != "[DONE]"
    assert not [c for chunk in told.chunks[:-1] for c in chunk["choices"] if c["finish_reason"]]


@pytest.mark.parametrize("how", ["drop", "end"])
def test_a_stream_that_is_cut_is_never_finished(serve, stand_in, how):
    fault = Break(3, how)
    bot = new_bot(stand_in, said=(BLUE_JAY,), fault=fault, delay=0.02, abandoned="stays")
    gateway = serve(coze_upstream(stand_in.url))
    told = ask(gateway.port, about(bot))
    assert (told.status, told.text) == (200, "Blue")
    ended_badly(told, "upstream_incomplete")
    told_of(stand_in)
    whole = ask(gateway.port, about(bot, False))
    assert (whole.status, whole.json["error"]["code"]) == (502, "upstream_incomplete")


# Readers that leave.


@both
def test_a_client_that_leaves_ends_the_run_once_and_at_once(serve, stand_in, streamed, log):
    bot = new_bot(stand_in, said=(LONG,), delay=0.01, abandoned="stays")
    gateway = serve(coze_upstream(stand_in.url))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        begin(client, stand_in, bot, streamed)
        left = time.monotonic()
        client.reset()
        (heard,) = stand_in.heard(CHAT)
        until(lambda: heard.left is not None, "the platform noticed")
        assert heard.left - left < 1.0
        told_of(stand_in)
        (conversation,) = stand_in.world.conversations.values()
        assert [chat.status for chat in conversation.chats.values()] == ["canceled"]
    assert [record for record in log.events if record.levelno > logging.INFO] == []


REFUSED = [Failure(4104, "already over", path=CANCEL), Failure(status=500, body=b"oops", path=CANCEL)]


@pytest.mark.parametrize("failure", REFUSED, ids=["4104", "500"])
def test_what_becomes_of_a_cancel_changes_nothing(serve, stand_in, failure, log):
    bot = new_bot(stand_in, said=(LONG,), delay=0.01)
    gateway = serve(coze_upstream(stand_in.url, max_concurrency=1, max_queue=0))
    with idle_again(gateway):
        stand_in.platform.failures.append(failure)
        with RawClient(gateway.port) as client:
            begin(client, stand_in, bot)
            client.reset()
        told_of(stand_in)
        assert ask(gateway.port, about(new_bot(stand_in, said=(BLUE_JAY,)))).text == "Blue jay."
    assert [record for record in log.events if record.levelno > logging.INFO] == []
    assert log.tracebacks == []


def test_who_leaves_before_the_first_word_is_told_of_too(serve, stand_in):
    """The ids are known from the platform's first event on."""
    bot = new_bot(stand_in, said=(BLUE_JAY,), delay=0.15, abandoned="stays")
    gateway = serve(coze_upstream(stand_in.url))
    with idle_again(gateway), RawClient(gateway.port) as client:
        client.post(about(bot))
        until(lambda: knows_its_chat(gateway), "the ids")
        client.reset()
        told_of(stand_in)


def knows_its_chat(gateway: GatewayThread) -> bool:
    return any("x-chat-id" in relay.stream.upstream.headers for relay in gateway.serving.gateway._sweep.all())


def test_who_leaves_before_anything_began_leaves_nothing_to_tell(serve, stand_in):
    bot = new_bot(stand_in, first_delay=5.0)
    gateway = serve(coze_upstream(stand_in.url))
    with idle_again(gateway), RawClient(gateway.port) as client:
        client.post(about(bot))
        until(lambda: bool(stand_in.heard(CHAT)), "the question")
        left = time.monotonic()
        client.reset()
        (heard,) = stand_in.heard(CHAT)
        until(lambda: heard.left is not None, "the platform noticed")
        assert heard.left - left < 1.0
    assert cancels(stand_in) == []


@both
def test_nobody_is_told_of_a_run_that_is_over(serve, stand_in, streamed):
    """Whatever the platform still has to send, and however the client goes."""
    bot = new_bot(stand_in, said=(BLUE_JAY,), audio=50, delay=0.005)
    asks = new_bot(stand_in, rounds=((Ask("ring"),),), delay=0.005)
    gateway = serve(coze_upstream(stand_in.url))
    with idle_again(gateway):
        for one in (bot, asks):
            with RawClient(gateway.port) as client:
                client.post(about(one, streamed))
                told = client.reply()
                client.reset()
            assert (told.status, told.complete) == (200, True)
    time.sleep(0.05)
    assert len(stand_in.heard(CHAT)) == 2 and cancels(stand_in) == []


# We that leave.


def test_silence_ends_the_run(serve, stand_in):
    bot = new_bot(stand_in, said=(LONG,), delay=0.01, abandoned="stays")
    gateway = serve(coze_upstream(stand_in.url, idle_timeout=0.2))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        begin(client, stand_in, bot)
        stand_in.bots[bot].delay = 10.0
        assert b"upstream_timeout" in client.until(b"0\r\n\r\n")
        told_of(stand_in)


def test_a_shutdown_ends_the_run(serve, stand_in):
    bot = new_bot(stand_in, said=(LONG,), delay=0.01, abandoned="stays")
    gateway = serve(coze_upstream(stand_in.url), server={"drain": 0.1})
    with RawClient(gateway.port) as client:
        begin(client, stand_in, bot)
        gateway.call(gateway.serving.drain)
        assert b"shutting_down" in client.until(b"0\r\n\r\n")
    gateway.__exit__()
    assert cancels(stand_in) == ids_of(stand_in)


def test_a_poll_that_is_left_ends_the_run(serve, stand_in):
    bot = new_bot(stand_in, said=(BLUE_JAY,), polls=100)
    gateway = serve(coze_upstream(stand_in.url, polling=True))
    with idle_again(gateway), RawClient(gateway.port) as client:
        begin(client, stand_in, bot, streamed=False)
        client.reset()
        told_of(stand_in)


def test_a_workflow_is_only_left(serve, stand_in):
    knobs = WorkflowKnobs(nodes=(Node("Message", LONG),), delay=0.01, abandoned="stays")
    stand_in.workflows["7"] = knobs
    gateway = serve(coze_upstream(stand_in.url))
    with no_work_left(gateway), RawClient(gateway.port) as client:
        client.post(question(model="workflow/7"))
        client.until(b"w2 ")
        client.reset()
        (heard,) = stand_in.heard("/v1/workflow/stream_run")
        until(lambda: heard.left is not None, "the platform noticed")
    assert len(stand_in.requests) == 1


# Many at once.


async def read(session: aiohttp.ClientSession, url: str, number: int) -> tuple[str, str, str, set[str]]:
    """The ids in the head, the words, and the ids in the chunks."""
    body = question(messages=[{"role": "user", "content": f"repeat: stream {number} says {number * 7919}"}])
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        lines = [line async for line in answer.content]
    chunks = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert lines[-2] == b"data: [DONE]\n" and not [chunk for chunk in chunks if "error" in chunk]
    ids = {chunk["id"] for chunk in chunks}
    return answer.headers["x-conversation-id"], answer.headers["x-chat-id"], text, ids


async def test_three_hundred_streams_do_not_mix(serve, stand_in):
    gateway = serve(coze_upstream(stand_in.url))
    bot, connector = stand_in.knobs, aiohttp.TCPConnector(limit=0)
    bot.delay, bot.first_delay = 0.01, 0.2
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            told = await asyncio.gather(*(read(session, gateway.url, number) for number in range(300)))
    finally:
        bot.delay = bot.first_delay = 0.0
    assert len({id for *_, ids in told for id in ids}) == 300
    for number, (conversation_id, chat_id, text, ids) in enumerate(told):
        assert (text, len(ids)) == (f"stream {number} says {number * 7919}", 1)
        conversation = stand_in.world.conversations[conversation_id]
        assert [*conversation.chats] == [chat_id]
        assert conversation.heard()[-1].content == text
    gateway.until_idle()
    assert cancels(stand_in) == []
