"""The tap between a real transport and aiohttp's own handler, on both event loops.

The client is aiohttp's, the server a script; only the sink is ours, and it notes what it was given and when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from proxy.dial import client_session
from proxy.server import loop_factory
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
    last_chunk,
)
from proxy.tap import SLICE, Tap
from translators.errors import GatewayError, Internal, UpstreamIncomplete


class Notes:
    """A sink that notes everything; ``full_after`` bytes it wants no more until told."""

    def __init__(self, full_after: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[GatewayError | None] = []
        self.room = full_after
        self.over = asyncio.Event()

    def take(self, data: bytes) -> bool:
        self.pieces.append(data)
        return self.room is None or len(self.data) < self.room

    def end(self, error: GatewayError | None) -> None:
        self.ends.append(error)
        self.over.set()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run one coroutine on a loop whose exception handler must not be called."""

    def go(main: Coroutine[Any, Any, None]) -> None:
        complaints: list[dict[str, Any]] = []

        async def guarded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            await main

        with asyncio.Runner(loop_factory=loop_factory(request.param)) as runner:
            runner.run(guarded())
        assert complaints == []

    return go


@asynccontextmanager
async def answered(
    script: Script,
) -> AsyncIterator[tuple[aiohttp.ClientResponse, aiohttp.ClientSession, Any]]:
    async with ScriptServer(script) as server, client_session() as session:
        response = await session.post(server.url, data=b"{}")
        yield response, session, server
        response.close()


def body(*pieces: bytes, end: bool = True) -> list[Any]:
    steps = [Send(event_stream_head()), Wait(0.02), *(Send(chunk(piece)) for piece in pieces)]
    return [*steps, Send(last_chunk())] if end else [*steps, Hang()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def test_bytes_are_handed_on_in_the_callback_in_which_they_came(run):
    async def main() -> None:
        async with answered(body(b"one", b"two", b"three")) as (response, _, _):
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            assert tap is not None
            await notes.over.wait()
            assert (notes.data, notes.ends) == (b"onetwothree", [None])

    run(main())


def test_what_came_before_the_tap_is_pulled_by_hand(run):
    async def main() -> None:
        steps = [Send(event_stream_head() + chunk(b"early")), Hang()]
        async with answered(steps) as (response, _, _):
            await until(lambda: response.content.total_bytes == 5)
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            assert notes.data == b""
            tap.pull()
            assert notes.data == b"early"

    run(main())


def test_a_body_that_has_ended_cannot_be_tapped(run):
    async def main() -> None:
        async with answered([Send(event_stream_head() + chunk(b"all") + last_chunk())]) as (response, _, _):
            await until(response.content.is_eof)
            assert Tap.install(response, 0, Notes()) is None
            assert await response.content.readany() == b"all"

    run(main())


def test_a_body_that_has_failed_cannot_be_tapped(run):
    async def main() -> None:
        async with answered(body(end=False)) as (response, _, _):
            response.content.set_exception(UpstreamIncomplete("gone"))
            assert Tap.install(response, 0, Notes()) is None

    run(main())


def test_trap_1_the_tap_is_gone_before_the_connection_is_back_in_the_pool(run):
    async def main() -> None:
        async with answered(body(b"first")) as (response, session, server):
            transport, handler = response.connection.transport, response.connection.protocol
            notes, later = Notes(), Notes()
            tap = Tap.install(response, 0, notes)
            protocols: list[Any] = []
            response.content.on_eof(lambda: protocols.append(transport.get_protocol()))
            await notes.over.wait()
            assert protocols == [handler]
            second = await session.post(server.url, data=b"{}", trace_request_ctx={})
            assert second.connection.transport is transport
            tap.pull()
            tap.detach()
            assert Tap.install(second, 0, later) is not None
            await later.over.wait()
            assert (notes.data, later.data, server.connections) == (b"first", b"first", 1)
            second.close()

    run(main())


CALLBACKS = {
    "data_received": (b"",),
    "eof_received": (),
    "connection_lost": (None,),
    "pause_writing": (),
    "resume_writing": (),
}


def test_trap_2_all_five_callbacks_reach_the_handler():
    heard: list[tuple[str, tuple[Any, ...]]] = []

    class Handler:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: heard.append((name, args))

    content = SimpleNamespace(total_bytes=0, exception=lambda: None, is_eof=lambda: False)
    connection = SimpleNamespace(protocol=Handler(), transport=SimpleNamespace())
    tap = Tap(SimpleNamespace(content=content), connection, 0, SimpleNamespace())
    for name, args in CALLBACKS.items():
        getattr(tap, name)(*args)
    assert heard == list(CALLBACKS.items())


def test_trap_3_a_failing_sink_ends_the_answer_and_not_the_transport(run, caplog):
    class Failing(Notes):
        def take(self, data: bytes) -> bool:
            raise ZeroDivisionError("ours")

    async def main() -> None:
        async with answered(body(b"x", end=False)) as (response, _, server):
            transport, notes = response.connection.transport, Failing()
            Tap.install(response, 0, notes)
            await notes.over.wait()
            await asyncio.sleep(0.02)
            assert [type(error) for error in notes.ends] == [Internal]
            assert "ours" not in notes.ends[0].message
            assert not transport.is_closing()
            assert server.open_connections == 1

    with caplog.at_level(logging.ERROR):
        run(main())
    [record] = caplog.records
    assert record.name == "deltawire" and "ZeroDivisionError: ours" in caplog.text


@pytest.mark.parametrize("ending", [Abort(), Close()], ids=["RST", "FIN"])
def test_trap_4_a_failure_is_told_once_and_detaching_afterwards_is_harmless(run, ending):
    async def main() -> None:
        async with answered([*body(b"some", end=False)[:-1], Wait(0.02), ending]) as (response, _, _):
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            await notes.over.wait()
            assert notes.data == b"some"
            assert [type(error) for error in notes.ends] == [UpstreamIncomplete]
            tap.detach()
            tap.detach()
            tap.pull()
            assert len(notes.ends) == 1

    run(main())


def test_trap_4_an_exception_set_on_a_living_connection_leaves_the_detaching_to_the_supervisor(run):
    async def main() -> None:
        async with answered(body(b"some", end=False)) as (response, _, _):
            transport, handler = response.connection.transport, response.connection.protocol
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            await until(lambda: notes.data == b"some")
            response.content.set_exception(UpstreamIncomplete("told from outside"))
            assert transport.get_protocol() is tap
            tap.pull()
            assert [error.message for error in notes.ends] == ["told from outside"]
            tap.detach()
            assert transport.get_protocol() is handler

    run(main())


def test_trap_5_more_chunks_than_aiohttp_holds_in_one_segment(run):
    """aiohttp stops its parser at so many chunks and goes on only when asked; no further packet may be needed."""

    async def main() -> None:
        async with answered(body(end=False)) as (response, _, _):
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            letters = bytes(97 + number % 26 for number in range(40_000))
            tap.data_received(b"".join(b"1\r\n%c\r\n" % letter for letter in letters))
            assert notes.data == letters

    run(main())


def test_trap_5_a_burst_larger_than_aiohttp_buffers_in_one_segment(run):
    async def main() -> None:
        async with answered(body(end=False)) as (response, _, _):
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            burst = b"".join(b"%08d" % number for number in range(200_000))
            tap.data_received(b"".join(chunk(burst[at : at + 1000]) for at in range(0, len(burst), 1000)))
            assert notes.data == burst
            assert max(map(len, notes.pieces)) <= SLICE

    run(main())


def test_trap_5_going_on_after_a_pause_hands_on_what_is_here_already(run):
    async def main() -> None:
        burst = b"x" * 300_000
        async with answered(body(burst, end=False)) as (response, _, _):
            notes = Notes(full_after=1)
            tap = Tap.install(response, 0, notes)
            await until(lambda: len(notes.pieces) == 1)
            tap.stop()
            await asyncio.sleep(0.05)
            assert len(notes.data) <= SLICE
            notes.room = None
            tap.go_on()
            await until(lambda: len(notes.data) == len(burst))
            assert notes.ends == []

    run(main())


def test_the_end_of_the_body_waits_until_its_last_bytes_are_taken(run):
    async def main() -> None:
        async with answered(body(b"y" * (SLICE + 10))) as (response, _, _):
            notes = Notes(full_after=1)
            tap = Tap.install(response, 0, notes)
            await until(response.content.is_eof)
            assert (len(notes.data) <= SLICE, notes.ends) == (True, [])
            notes.room = None
            tap.go_on()
            assert (len(notes.data), notes.ends) == (SLICE + 10, [None])

    run(main())


def test_stopping_and_going_on_after_the_end_touches_no_strangers_connection(run):
    """The connection is in the pool, or with the next request: it is not this tap's to pause."""

    async def main() -> None:
        async with answered(body(b"z")) as (response, _, _):
            transport = response.connection.transport
            notes = Notes()
            tap = Tap.install(response, 0, notes)
            await notes.over.wait()
            tap.stop()
            assert transport.is_reading()
            transport.pause_reading()
            tap.go_on()
            assert not transport.is_reading()
            transport.resume_reading()

    run(main())
