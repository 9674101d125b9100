"""Each step of a plan, over real sockets and both wires: what it brings, what it meets, and what is left of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from proxy import errands as module
from proxy.background import Background
from proxy.errands import Errands
from proxy.memory import LocalMemory
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Script,
    ScriptServer,
    Send,
    Wait,
    chunk,
    event_stream_head,
)
from proxy.wire.base import Wire
from proxy.wire.lean import LeanWire
from tests.proxy.wires_setup import BOTH, Wired, in_turn, says
from tests.support.loglines import LogLines
from translators.errors import (
    GatewayError,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.upstreams.plan import Cached, Call, Caller, Pause, Plan, Recall, Remember

ASK = Call("POST", "v1/thing?n=1", b'{"q":1}', {"X-Id": "a"})
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(params=BOTH)
def wired(request: pytest.FixtureRequest) -> Wired:
    return BOTH[request.param]


def errands_of(
    wire: Wire | None, seconds: float = 5.0, waits: Callable[..., float | None] = lambda *_: None
) -> Errands:
    return Errands("up", wire, seconds, waits, LocalMemory(), Background())


@asynccontextmanager
async def running(
    wired: Wired, script: Script, **options: Any
) -> AsyncIterator[tuple[Errands, ScriptServer]]:
    async with wired(script) as (wire, server):
        yield errands_of(wire, **options), server


def one(step: Any) -> Plan[Any]:
    """A plan of one step, whose result is what it brought."""
    return (yield step)


def every(*steps: Any) -> Plan[list[Any]]:
    brought = []
    for step in steps:
        brought.append((yield step))
    return brought


# Calls.


@pytest.mark.parametrize("status", [200, 201, 302, 404, 500])
async def test_a_call_brings_the_whole_reply_whatever_its_status(wired, status):
    async with running(wired, says(b"body", status, x_tt_logid="L1")) as (errands, server):
        reply = await errands.carry_out(one(ASK), "me")
        assert (reply.status, reply.body, reply.headers["x-tt-logid"]) == (status, b"body", "L1")
        [asked] = server.requests
        assert (asked.method, asked.path, asked.body) == ("POST", "/v1/thing?n=1", ASK.body)
        assert (asked.headers["X-Id"], asked.headers["Authorization"]) == ("a", "Bearer ours")


async def test_calls_one_after_the_other_share_a_connection(wired):
    async with running(wired, says(b"x")) as (errands, server):
        assert len(await errands.carry_out(every(ASK, ASK, ASK), "me")) == 3
        assert (len(server.requests), server.connections) == (3, 1)


async def test_a_reply_is_read_no_further_than_the_limit(wired, monkeypatch):
    monkeypatch.setattr(module, "MAX_REPLY", 1000)
    flood = [Send(event_stream_head()), *(Send(chunk(b"x" * 400)) for _ in range(5)), Hang()]
    async with running(wired, flood) as (errands, server):
        with pytest.raises(UpstreamMalformed, match="over 1000 bytes"):
            await errands.carry_out(one(ASK), "me")
        await server.wait_closed_by_peer(2)
        server.script = says(b"x" * 1000)
        assert len((await errands.carry_out(one(ASK), "me")).body) == 1000


async def test_a_compressed_reply_cannot_be_read(wired):
    async with running(wired, says(b"\x1f\x8b", Content_Encoding="gzip")) as (errands, _):
        with pytest.raises(UpstreamMalformed, match="compressed"):
            await errands.carry_out(one(ASK), "me")


SLOW: dict[str, list[Any]] = {
    "nothing comes": [Hang()],
    "a head and no body": [Send(event_stream_head()), Hang()],
    "a body that never ends": [Send(event_stream_head()), *[Send(chunk(b"x")), Wait(0.05)] * 40],
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_reply_has_to_be_whole_in_time(wired, name):
    async with running(wired, SLOW[name], seconds=0.2) as (errands, server):
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await errands.carry_out(one(ASK), "me")
        assert 0.15 < time.monotonic() - began < 1.5
        await server.wait_closed_by_peer(2)


BROKEN: dict[str, tuple[list[Any], type[GatewayError]]] = {
    "FIN": ([Close()], UpstreamDisconnected),
    "RST": ([Abort()], UpstreamDisconnected),
    "cut in the body": ([Send(event_stream_head() + chunk(b"x")), Close()], UpstreamIncomplete),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_reached_the_upstream_is_not_sent_again(wired, name):
    script, error = BROKEN[name]
    async with running(wired, script, waits=lambda *_: 0.0) as (errands, server):
        with pytest.raises(error):
            await errands.carry_out(one(ASK), "me")
        assert len(server.requests) == 1


async def test_neither_is_what_the_upstream_is_too_busy_for(wired):
    async with running(wired, says(b"busy", 503), waits=lambda *_: 0.0) as (errands, server):
        assert (await errands.carry_out(one(ASK), "me")).status == 503
        assert len(server.requests) == 1


async def test_what_did_not_reach_it_is_sent_again_by_the_rules_of_the_dialer():
    asked = []

    def waits(error: GatewayError, attempt: int) -> float | None:
        asked.append((type(error), attempt))
        return 0.01 if attempt < 2 else None

    wire = LeanWire(NOWHERE, {}, 1.0)
    with pytest.raises(UpstreamUnreachable):
        await errands_of(wire, waits=waits).carry_out(one(ASK), "me")
    assert asked == [(UpstreamUnreachable, 0), (UpstreamUnreachable, 1), (UpstreamUnreachable, 2)]


async def test_a_kept_connection_that_was_dead_is_no_failure(wired):
    dying = [*says(b"first"), Wait(0.02), Abort()]
    async with running(wired, in_turn(dying, says(b"second")), waits=lambda *_: 0.0) as (errands, _):
        brought = await errands.carry_out(every(ASK, Pause(0.1), ASK), "me")
        assert (brought[0].body, brought[2].body) == (b"first", b"second")


# Failures.


async def test_a_plan_may_have_another_way_when_a_call_fails(wired):
    def plan() -> Plan[str]:
        try:
            yield Call("GET", "first")
        except UpstreamDisconnected as error:
            reply = yield Call("GET", "second")
            return f"{error.code}, then {reply.body.decode()}"
        return "no failure"

    def script(request):
        return [Close()] if request.path == "/first" else says(b"fine")

    async with running(wired, script) as (errands, _):
        assert await errands.carry_out(plan(), "me") == "upstream_disconnected, then fine"


async def test_an_error_that_a_plan_raises_is_what_its_caller_gets(wired):
    def plan() -> Plan[None]:
        reply = yield ASK
        raise UpstreamError(f"status {reply.status}")

    async with running(wired, says(b"", 418)) as (errands, _):
        with pytest.raises(UpstreamError, match="status 418"):
            await errands.carry_out(plan(), "me")


UNREADABLE = [
    lambda reply: reply.body.decode("ascii"),
    lambda reply: {}["data"],
    lambda reply: None + 1,
    lambda reply: reply.nothing,
]


@pytest.mark.parametrize("read", UNREADABLE)
async def test_a_reply_that_a_plan_cannot_read_is_the_upstreams_fault(wired, read):
    def plan() -> Plan[None]:
        read((yield ASK))

    async with running(wired, says(b"\xff")) as (errands, _):
        with pytest.raises(UpstreamMalformed) as caught:
            await errands.carry_out(plan(), "me")
        assert caught.value.__cause__ is not None


async def test_who_leaves_takes_plan_and_call_along(wired):
    ended = []

    def plan() -> Plan[None]:
        try:
            yield ASK
        finally:
            ended.append("closed")

    async with running(wired, [Hang()]) as (errands, server):
        task = asyncio.create_task(errands.carry_out(plan(), "me"))
        await server.received()
        task.cancel()
        await server.wait_closed_by_peer(2)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["closed"]


# Replies that serve again.


async def test_a_good_reply_serves_again(wired):
    async with running(wired, says(b"x")) as (errands, server):
        for _ in range(3):
            assert (await errands.carry_out(one(Cached(ASK, "k", 60.0)), "me")).body == b"x"
        assert len(server.requests) == 1
        await errands.carry_out(one(Cached(ASK, "other", 60.0)), "me")
        assert len(server.requests) == 2


async def test_but_not_after_its_time(wired):
    async with running(wired, says(b"x")) as (errands, server):
        await errands.carry_out(every(Cached(ASK, "k", 0.05), Pause(0.08), Cached(ASK, "k", 0.05)), "me")
        assert len(server.requests) == 2


async def test_not_for_another_credential(wired):
    def with_key(key: str) -> Cached:
        return Cached(Call("GET", "x", b"", {"Authorization": f"Bearer {key}"}), "k", 60.0)

    async with running(wired, says(b"x")) as (errands, server):
        await errands.carry_out(every(*map(with_key, "abab")), "me")
        assert [asked.headers["Authorization"] for asked in server.requests] == ["Bearer a", "Bearer b"]
        kept = repr([*errands._replies._kept])
        assert "Bearer" not in kept


async def test_which_replies_are_good_is_for_the_platform_to_say(wired):
    asked = Cached(ASK, "k", 60.0, lambda reply: b'"code":0' in reply.body)
    async with running(wired, in_turn(says(b'{"code":7}'), says(b'{"code":0}'))) as (errands, server):
        brought = await errands.carry_out(every(asked, asked, asked), "me")
        assert [reply.body for reply in brought] == [b'{"code":7}', b'{"code":0}', b'{"code":0}']
        assert len(server.requests) == 2


async def test_a_reply_that_something_was_made_is_good(wired):
    async with running(wired, says(b"file", 201)) as (errands, server):
        await errands.carry_out(every(Cached(ASK, "k", 60.0), Cached(ASK, "k", 60.0)), "me")
        assert len(server.requests) == 1


@pytest.mark.parametrize("bad", [says(b"no", 500), says(b"moved", 302), [Close()]])
async def test_and_what_is_not_good_is_not_kept(wired, bad):
    def plan() -> Plan[Any]:
        with suppress(GatewayError):
            yield Cached(ASK, "k", 60.0)
        return (yield Cached(ASK, "k", 60.0))

    async with running(wired, in_turn(bad, says(b"good"))) as (errands, server):
        assert (await errands.carry_out(plan(), "me")).body == b"good"
        assert len(server.requests) == 2


async def test_many_who_ask_at_once_cause_one_call(wired):
    slow = [Wait(0.1), *says(b"x")]
    async with running(wired, slow) as (errands, server):
        plans = [errands.carry_out(one(Cached(ASK, "k", 60.0)), f"owner {number}") for number in range(20)]
        assert {reply.body for reply in await asyncio.gather(*plans)} == {b"x"}
        assert len(server.requests) == 1


async def test_who_leaves_does_not_take_the_call_from_the_others(wired):
    async with running(wired, [Wait(0.1), *says(b"x")]) as (errands, server):
        first = asyncio.create_task(errands.carry_out(one(Cached(ASK, "k", 60.0)), "me"))
        await server.received()
        second = asyncio.create_task(errands.carry_out(one(Cached(ASK, "k", 60.0)), "you"))
        await asyncio.sleep(0.02)
        first.cancel()
        assert (await second).body == b"x"
        assert len(server.requests) == 1


# Pauses and memory.


async def test_a_pause_lasts():
    began = time.monotonic()
    assert await errands_of(None).carry_out(one(Pause(0.1)), "me") is None
    assert 0.09 < time.monotonic() - began < 0.6


async def test_what_is_remembered_is_recalled_by_the_same_owner_of_the_same_upstream():
    errands = errands_of(None)
    other = Errands("other", None, 1.0, lambda *_: None, errands.memory, Background())
    assert await errands.carry_out(every(Remember("k", {"n": 1}, 9.0), Recall("k")), "me") == [None, {"n": 1}]
    assert await errands.carry_out(one(Recall("k")), "you") is None
    assert await other.carry_out(one(Recall("k")), "me") is None
    assert await errands.carry_out(every(Remember("k", None, 9.0), Recall("k")), "me") == [None, None]


async def test_every_step_that_took_time_is_a_sign_of_life(wired):
    signs = []
    async with running(wired, says(b"x")) as (errands, _):
        plan = every(Recall("k"), ASK, Cached(ASK, "k", 9.0), Remember("k", 1, 9.0), Pause(0.0))
        await errands.carry_out(plan, "me", lambda: signs.append(1))
    assert len(signs) == 3


# When an answer is over.


class Over:
    """As much of an upstream as the end of an answer needs."""

    caller = Caller("me")

    def __init__(self, farewell: Any = None, settle: Any = None) -> None:
        self.farewell = farewell or (lambda: None)
        self.settle = settle or (lambda: None)


async def test_nothing_to_tell_and_nothing_to_settle_starts_nothing():
    errands = errands_of(None)
    errands.farewell(Over())
    errands.settle(Over())
    assert len(errands.background) == 0


async def test_a_farewell_is_sent_by_itself(wired):
    async with running(wired, says(b"{}")) as (errands, server):
        errands.farewell(Over(farewell=lambda: Call("POST", "cancel", b"ids")))
        assert (await server.received()).body == b"ids"
        await errands.background.close(1.0)


@pytest.mark.parametrize("script", [says(b"no", 404), says(b"no", 500), [Close()], [Hang()]])
async def test_whatever_becomes_of_a_farewell_is_only_whispered(wired, script, monkeypatch):
    monkeypatch.setattr(module, "FAREWELL", 0.2)
    async with running(wired, script) as (errands, server):
        with LogLines() as log:
            errands.farewell(Over(farewell=lambda: Call("POST", "cancel")))
            await server.received()
            await errands.background.close(2.0)
        assert len(server.requests) == 1
        assert [record for record in log.events if record.levelno > logging.DEBUG] == []


def cannot(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", [KeyError("id"), UpstreamError("x")])
async def test_an_upstream_that_does_not_know_what_to_tell_hurts_nobody(error):
    errands = errands_of(None)
    with LogLines() as log:
        errands.farewell(Over(farewell=cannot(error)))
    assert (len(errands.background), log.events) == (0, [])
    assert "what to tell up at the end of an answer is not known" in log.text


async def test_what_needs_no_waiting_is_settled_at_once():
    errands = errands_of(None)
    errands.settle(Over(settle=lambda: every(Remember("k", 7, 9.0), Recall("k"))))
    assert errands.memory.recall("up", "me", "k") == 7
    assert len(errands.background) == 0


async def test_the_rest_is_settled_in_the_background(wired):
    def plan() -> Plan[None]:
        yield Remember("before", 1, 9.0)
        reply = yield ASK
        yield Remember("after", reply.body.decode(), 9.0)

    async with running(wired, [Wait(0.05), *says(b"x")]) as (errands, _):
        errands.settle(Over(settle=plan))
        assert (errands.memory.recall("up", "me", "before"), errands.memory.recall("up", "me", "after")) == (
            1,
            None,
        )
        await errands.background.close(2.0)
        assert errands.memory.recall("up", "me", "after") == "x"


def raising(error: Exception, *steps: Any) -> Callable[[], Plan[None]]:
    def plan() -> Plan[None]:
        yield from steps
        raise error

    return plan


@pytest.mark.parametrize("settle", [cannot(KeyError("shape")), raising(UpstreamError("it broke"))])
async def test_what_cannot_be_settled_is_a_warning(settle):
    errands = errands_of(None)
    with LogLines() as log:
        errands.settle(Over(settle=settle))
    [line] = log.events
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith("settling an answer of up failed: ")


async def test_nor_what_fails_in_the_background():
    errands = errands_of(None)
    with LogLines() as log:
        errands.settle(Over(settle=raising(UpstreamError("it broke"), Pause(0.0))))
        await errands.background.close(1.0)
    assert [record.getMessage() for record in log.events] == ["settling an answer of up failed: it broke"]
