"""One connection between a real transport and a sink, on both event loops: what is handed on, and what goes wrong.

The server is a script; the sink notes what it was given and when. Whatever happens, what came before it counts, the
end is told once and last, and nothing is raised into the event loop.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Send,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    reply,
)
from proxy.wire.base import SLICE
from tests.wire.wire_setup import ASK, Notes, answered, body, until, wired
from translators.errors import (
    Internal,
    ShuttingDown,
    UpstreamDisconnected,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamStale,
)


class Failing(Notes):
    def take(self, data: bytes) -> bool:
        raise ZeroDivisionError("ours")


# Handing on.


def test_bytes_are_handed_on_in_the_callback_in_which_they_came(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            incoming.tap(notes)
            for piece in (b"one", b"two", b"three"):
                connection.data_received(chunk(piece))
                assert notes.pieces[-1] == piece
            connection.data_received(last_chunk())
            assert (notes.data, notes.ends) == (b"onetwothree", [None])

    run(main())


def test_what_came_before_the_tap_is_pulled_by_hand(run):
    async def main() -> None:
        async with answered([Send(event_stream_head() + chunk(b"early")), Hang()]) as (incoming, _, _):
            await until(lambda: incoming._waiting == 5)
            notes = Notes()
            tap = incoming.tap(notes)
            assert notes.data == b""
            tap.pull()
            assert (notes.data, notes.ends) == (b"early", [])

    run(main())


@pytest.mark.parametrize("end", [True, False])
def test_who_takes_the_last_of_what_waits_can_know_that_it_is(run, end):
    async def main() -> None:
        sent = event_stream_head() + chunk(b"x" * (SLICE + 1)) + (last_chunk() if end else b"")
        async with answered([Send(sent), Close()]) as (incoming, _, _):
            await until(lambda: incoming._ended)
            seen: list[bool] = []

            class Asks(Notes):
                def take(self, data: bytes) -> bool:
                    seen.append(incoming.over)
                    return super().take(data)

            incoming.tap(Asks()).pull()
            assert seen == [False, end]

    run(main())


def test_what_waits_goes_first(run):
    async def main() -> None:
        async with answered([Send(event_stream_head() + chunk(b"early")), Hang()]) as (
            incoming,
            connection,
            _,
        ):
            await until(lambda: incoming._waiting == 5)
            notes = Notes()
            tap = incoming.tap(notes)
            connection.data_received(chunk(b"late"))
            tap.pull()
            assert notes.data == b"earlylate"

    run(main())


def test_a_body_that_has_ended_before_the_tap_gives_everything_to_the_first_pull(run):
    async def main() -> None:
        at_once = [Send(event_stream_head() + chunk(b"all") + last_chunk())]
        async with answered(at_once) as (incoming, _, _):
            await until(lambda: incoming.connection is None)
            notes = Notes()
            incoming.tap(notes).pull()
            assert (notes.data, notes.ends) == (b"all", [None])

    run(main())


def test_a_body_that_has_broken_before_the_tap_says_so_after_its_bytes(run):
    async def main() -> None:
        async with answered([Send(event_stream_head() + chunk(b"some")), Close()]) as (incoming, _, _):
            await until(lambda: incoming.connection is None)
            notes = Notes()
            incoming.tap(notes).pull()
            assert notes.data == b"some"
            assert [type(error) for error in notes.ends] == [UpstreamIncomplete]

    run(main())


def test_a_sink_that_has_left_is_told_nothing_more(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            tap = incoming.tap(notes)
            connection.data_received(chunk(b"x"))
            tap.detach()
            tap.detach()
            connection.data_received(chunk(b"y") + last_chunk())
            tap.pull()
            assert (notes.data, notes.ends) == (b"x", [])

    run(main())


# What goes wrong.


@pytest.mark.parametrize("early", [False, True], ids=["as it comes", "pulled"])
def test_a_failing_sink_ends_its_answer_once_and_never_reaches_the_loop(run, caplog, early):
    async def main() -> None:
        async with answered(body(b"x", b"y", end=False)) as (incoming, _, server):
            if early:
                await until(lambda: incoming._waiting == 2)
            notes = Failing()
            incoming.tap(notes).pull()
            await notes.over.wait()
            await server.wait_closed_by_peer(2)
            await until(lambda: incoming.connection is None)
            incoming.go_on()
            assert [type(error) for error in notes.ends] == [Internal]
            assert "ours" not in notes.ends[0].message

    with caplog.at_level(logging.ERROR):
        run(main())
    [record] = caplog.records
    assert record.name == "deltawire" and "ZeroDivisionError: ours" in caplog.text


def test_a_sink_that_fails_on_the_last_bytes_leaves_no_dead_connection_to_the_next(run, caplog):
    async def main() -> None:
        async with wired(body(b"x")) as (wire, server):
            answer = await wire.send(ASK)
            notes = Failing()
            answer.body.tap(notes)
            await notes.over.wait()
            answer = await wire.send(ASK)
            assert await answer.body.read() == b"x"
            answer.body.close()
            assert [type(error) for error in notes.ends] == [Internal]
            assert server.connections == 2

    run(main())
    assert len(caplog.records) == 1


@pytest.mark.parametrize("ending", [Abort(), Close()], ids=["RST", "FIN"])
def test_a_failure_is_told_once_and_leaving_afterwards_is_harmless(run, ending):
    async def main() -> None:
        async with answered([*body(b"some", end=False)[:-1], Wait(0.02), ending]) as (incoming, _, _):
            notes = Notes()
            tap = incoming.tap(notes)
            await notes.over.wait()
            assert notes.data == b"some"
            assert [type(error) for error in notes.ends] == [UpstreamIncomplete]
            tap.detach()
            tap.pull()
            incoming.close()
            assert len(notes.ends) == 1

    run(main())


def test_what_came_before_malformed_bytes_counts_and_the_connection_is_given_up(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, server):
            notes = Notes()
            incoming.tap(notes)
            connection.data_received(chunk(b"some") + b"zz\r\n")
            assert notes.data == b"some"
            assert [type(error) for error in notes.ends] == [UpstreamMalformed]
            await server.wait_closed_by_peer(2)

    run(main())


def test_a_read_raises_what_happened_after_what_came(run):
    async def main() -> None:
        async with answered([*body(b"some", end=False)[:-1], Wait(0.02), Abort()]) as (incoming, _, _):
            assert await incoming.read() == b"some"
            for _ in range(2):
                with pytest.raises(UpstreamIncomplete):
                    await incoming.read()

    run(main())


def test_a_failure_from_outside_wakes_the_read_that_waits(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, _, _):
            waiting = asyncio.create_task(incoming.read())
            await asyncio.sleep(0)
            incoming.fail(ShuttingDown("going"))
            incoming.fail(UpstreamIncomplete("too late"))
            with pytest.raises(ShuttingDown):
                await waiting

    run(main())


def test_an_end_that_comes_in_the_same_moment_does_not_hide_a_failure(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            waiting = asyncio.create_task(incoming.read())
            await asyncio.sleep(0)
            incoming.fail(ShuttingDown("going"))
            connection.data_received(last_chunk())
            with pytest.raises(ShuttingDown):
                await waiting

    run(main())


def test_a_held_connection_that_is_cut_can_still_be_told_to_go_on(run):
    """The sink's owner cannot know yet, and the event loop has not told the connection either."""

    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            tap = incoming.tap(notes)
            tap.stop()
            connection.close()
            tap.go_on()
            tap.stop()
            await notes.over.wait()
            assert [type(error) for error in notes.ends] == [UpstreamIncomplete]

    run(main())


BEGUN = {"half a head": b"HTTP/1.1 200 O", "an interim answer": b"HTTP/1.1 103 Hints\r\n\r\n"}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_a_kept_connection_that_dies_after_it_said_something_is_not_stale(run, begun):
    """Stale means that the same question may be sent again; here the upstream has begun to answer it."""

    async def main() -> None:
        answers = iter([[Send(reply(200, b"first"))], [Send(begun), Close()]])
        async with wired(lambda asked: next(answers)) as (wire, _):
            assert await (await wire.send(ASK)).body.read() == b"first"
            with pytest.raises(UpstreamDisconnected) as caught:
                await wire.send(ASK)
            assert not isinstance(caught.value, UpstreamStale)

    run(main())
