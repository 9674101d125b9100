"""Pausing, refilling, and the next answer on the same connection, on both event loops.

Two kinds of mistakes are looked for: bytes that nobody hands on because something was paused and not resumed, and
an answer that touches a connection, or bytes, that belong to the next one.
"""

from __future__ import annotations

import asyncio

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
from proxy.wire.base import HIGH_WATER, SLICE
from tests.wire.wire_setup import ASK, Notes, answered, body, reading, until, wired
from translators.errors import ShuttingDown

ONE_READ = 256 * 1024
"""As much as either event loop reads at once."""


# Pausing and refilling.


def test_more_chunks_than_bytes_in_one_segment_need_no_further_packet(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            incoming.tap(notes)
            letters = bytes(97 + number % 26 for number in range(40_000))
            connection.data_received(b"".join(b"1\r\n%c\r\n" % letter for letter in letters))
            assert notes.data == letters
            assert reading(connection)

    run(main())


def test_a_burst_comes_in_slices_so_that_a_reader_can_say_stop(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            incoming.tap(notes)
            burst = b"".join(b"%08d" % number for number in range(200_000))
            connection.data_received(
                b"".join(chunk(burst[at : at + 1000]) for at in range(0, len(burst), 1000))
            )
            assert notes.data == burst
            assert max(map(len, notes.pieces)) <= SLICE
            assert reading(connection)

    run(main())


def test_a_full_sink_makes_the_upstream_wait_and_little_is_kept(run):
    async def main() -> None:
        flood = [Send(chunk(b"x" * 100_000)) for _ in range(300)]
        script = [Send(event_stream_head()), Wait(0.02), *flood, Send(last_chunk())]
        async with answered(script) as (incoming, connection, server):
            notes = Notes(full_after=1)
            incoming.tap(notes)
            await until(lambda: not reading(connection) and server.blocked)
            await asyncio.sleep(0.05)
            assert server.sent < 25_000_000
            assert incoming._waiting <= HIGH_WATER + ONE_READ
            assert len(notes.data) <= SLICE
            notes.room = None
            incoming.go_on()
            await notes.over.wait()
            assert (len(notes.data), notes.ends) == (30_000_000, [None])

    run(main())


def test_going_on_hands_on_what_is_here_already_and_no_more_than_is_wanted(run):
    async def main() -> None:
        burst = b"x" * 300_000
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes(full_after=1)
            tap = incoming.tap(notes)
            connection.data_received(chunk(burst))
            assert (len(notes.pieces), reading(connection)) == (1, False)
            notes.room = len(notes.data) + 1
            tap.go_on()
            assert (len(notes.pieces), reading(connection)) == (2, False)
            notes.room = None
            tap.go_on()
            assert (notes.data, notes.ends) == (burst, [])
            assert reading(connection)

    run(main())


def test_bytes_that_come_after_a_stop_keep_their_place(run):
    async def main() -> None:
        async with answered(body(end=False)) as (incoming, connection, _):
            notes = Notes()
            tap = incoming.tap(notes)
            connection.data_received(chunk(b"a"))
            tap.stop()
            assert not reading(connection)
            for piece in (b"b", b"c", b"d"):
                connection.data_received(chunk(piece))
            assert notes.data == b"a"
            tap.go_on()
            connection.data_received(chunk(b"e"))
            assert notes.data == b"abcde"

    run(main())


@pytest.mark.parametrize("ending", [[Send(last_chunk())], [Abort()], [Close()]], ids=["end", "RST", "FIN"])
def test_the_end_waits_until_the_bytes_before_it_are_taken(run, ending):
    """Clean or not: what has come counts, and the end is the last thing said."""

    async def main() -> None:
        script = [*body(b"y" * (SLICE + 10), end=False)[:-1], Wait(0.05), *ending]
        async with answered(script) as (incoming, _, _):
            notes = Notes(full_after=1)
            tap = incoming.tap(notes)
            await until(lambda: incoming.connection is None)
            assert (len(notes.data), notes.ends) == (SLICE, [])
            notes.room = None
            tap.go_on()
            assert len(notes.data) == SLICE + 10
            assert [error is None for error in notes.ends] == [ending == [Send(last_chunk())]]
            tap.go_on()
            tap.pull()
            assert len(notes.ends) == 1

    run(main())


def test_a_read_gives_what_came_and_lets_the_upstream_go_on(run):
    async def main() -> None:
        flood = [Send(chunk(b"x" * 100_000)) for _ in range(100)]
        script = [Send(event_stream_head()), *flood, Send(last_chunk())]
        async with answered(script) as (incoming, connection, server):
            await until(lambda: not reading(connection) and server.blocked)
            assert HIGH_WATER < incoming._waiting <= HIGH_WATER + ONE_READ
            total = 0
            while piece := await incoming.read():
                assert len(piece) <= SLICE
                total += len(piece)
            assert total == 10_000_000
            assert await incoming.read() == b""

    run(main())


# The next answer on the same connection.


def test_a_slow_readers_bytes_stay_its_own_while_the_connection_serves_the_next(run):
    async def main() -> None:
        answers = iter([body(b"a" * (3 * SLICE)), body(b"b" * (3 * SLICE))])
        async with wired(lambda asked: next(answers)) as (wire, server):
            first, slow = await wire.send(ASK), Notes(full_after=1)
            first_tap = first.body.tap(slow)
            await until(lambda: first.body.connection is None)
            assert (len(slow.data), slow.ends) == (SLICE, [])
            second, quick = await wire.send(ASK), Notes()
            second.body.tap(quick)
            await quick.over.wait()
            assert server.connections == 1
            slow.room = None
            first_tap.go_on()
            assert (slow.data, slow.ends) == (b"a" * (3 * SLICE), [None])
            assert (quick.data, quick.ends) == (b"b" * (3 * SLICE), [None])

    run(main())


def test_an_answer_that_has_ended_can_do_nothing_to_the_next_on_its_connection(run):
    async def main() -> None:
        answers = iter([body(b"z"), body(end=False)])
        async with wired(lambda asked: next(answers)) as (wire, _):
            first, notes = await wire.send(ASK), Notes()
            tap = first.body.tap(notes)
            await notes.over.wait()
            second = await wire.send(ASK)
            connection = second.body.connection
            tap.stop()
            assert reading(connection)
            connection.hold()
            tap.go_on()
            assert not reading(connection)
            connection.flow()
            first.body.fail(ShuttingDown("going"))
            first.body.finish()
            first.body.close()
            heard = Notes()
            second.body.tap(heard)
            connection.data_received(chunk(b"fine"))
            assert (heard.data, heard.ends, connection.usable) == (b"fine", [], True)
            second.body.close()

    run(main())


def test_a_connection_held_to_its_last_byte_is_reading_again_in_the_pool(run):
    async def main() -> None:
        async with wired([Send(event_stream_head())]) as (wire, server):
            for _ in range(3):
                answer, notes = await wire.send(ASK), Notes(full_after=1)
                connection, tap = answer.body.connection, answer.body.tap(notes)
                connection.data_received(chunk(b"q" * (2 * HIGH_WATER)))
                assert not reading(connection)
                connection.data_received(last_chunk())
                assert reading(connection)
                assert (len(notes.data), notes.ends) == (SLICE, [])
                notes.room = None
                tap.go_on()
                assert (len(notes.data), notes.ends) == (2 * HIGH_WATER, [None])
            assert server.connections == 1

    run(main())


def test_whoever_leaves_in_the_moment_the_answer_ends_does_not_cut_the_next(run):
    """The answer came whole, its connection was given to another question, and only then the first one hears."""

    async def main() -> None:
        async with wired([Hang()]) as (wire, server):
            first = asyncio.create_task(wire.send(ASK))
            await server.received(1)
            [connection] = wire._pool._open
            connection.data_received(reply(200, b"whole"))
            second = asyncio.create_task(wire.send(ASK))
            first.cancel()
            await asyncio.wait([first])
            await asyncio.sleep(0)
            assert first.cancelled()
            connection.data_received(reply(200, b"yours"))
            answer = await second
            assert await answer.body.read() == b"yours"
            assert server.connections == 1

    run(main())
