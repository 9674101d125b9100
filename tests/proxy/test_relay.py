"""The relay with a clock in hand: a queue for an outlet, a list for an upstream, and no sockets.

The end-to-end tests show what clients see; here the sweep is turned by hand, so that every limit can be put to its
exact second.
"""

from __future__ import annotations

import asyncio

import pytest
from attrs import define, field

from proxy.relay import Patience, Relay
from proxy.sweep import Sweep
from tests.support.upstream import DONE, delta, words
from translators.errors import GatewayError, ShuttingDown, UpstreamMalformed, UpstreamUnreachable
from translators.framing.sniff import Sniff
from translators.ids import Envelope
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.openai import OpenAI, OpenAISettings

COMMENT = Chat.keep_alive
END = delta(finish="stop") + DONE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@define(eq=False)
class QueueBody:
    """An upstream's answer, piece by piece as the test puts them in; an error is raised, nothing is the end."""

    pieces: asyncio.Queue[bytes | GatewayError] = field(factory=asyncio.Queue)
    ended: list[str] = field(factory=list)
    trouble: GatewayError | None = None

    async def read(self) -> bytes:
        piece = await self.pieces.get()
        if isinstance(piece, GatewayError):
            raise piece
        return piece

    def tap(self, sink: object) -> None:
        return None

    def fail(self, error: GatewayError) -> None:
        self.pieces.put_nowait(error)

    def broken(self) -> GatewayError | None:
        return self.trouble

    def finish(self) -> None:
        self.ended.append("finished")

    def close(self) -> None:
        self.ended.append("closed")


@define(eq=False)
class QueueOutlet:
    """Takes everything; while ``full`` it drains only when told to."""

    said: list[bytes] = field(factory=list)
    sent: int = 0
    full: bool = False
    waiting: int = 0
    aborted: bool = False
    opening: asyncio.Event = field(factory=asyncio.Event)
    room: asyncio.Event = field(factory=asyncio.Event)
    closed: bool = False

    async def open(self, first: bytes) -> None:
        await self.opening.wait()
        self.write(first)

    def write(self, data: bytes) -> None:
        self.said.append(data)
        self.sent += len(data)

    async def drain(self) -> None:
        await self.room.wait()

    async def close(self, last: bytes) -> None:
        self.write(last)
        if self.full:
            await self.drain()
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def text(self) -> str:
        return b"".join(self.said).decode()


@define(eq=False)
class Bench:
    """One relay and everything around it."""

    clock: Clock = field(factory=Clock)
    body: QueueBody = field(factory=QueueBody)
    outlet: QueueOutlet = field(factory=QueueOutlet)
    relay: Relay = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outlet.opening.set()
        self.relay = self.make(Chat(ENVELOPE, include_usage=False))

    def make(self, surface: Chat | ChatWhole) -> Relay:
        patience = Patience(first_byte=60.0, idle=20.0, write=10.0, keepalive=5.0, commit_after=3.0)
        upstream = OpenAI(PROMPT, OpenAISettings(), ENVELOPE, "m")
        return Relay(Stream(Sniff(), upstream, surface), patience, Sweep(1e9), False, self.clock)

    async def dial(self) -> QueueBody:
        return self.body

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.relay.run(self.dial, self.outlet))

    async def pass_time(self, seconds: float) -> None:
        """Turn the sweep once a second."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.relay.tick(self.clock.now)
            await settle()


ENVELOPE = Envelope("chatcmpl-1", 1, "m")
PROMPT = Prompt.from_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def begun(bench: Bench, *pieces: bytes) -> asyncio.Task[None]:
    task = bench.start()
    for piece in pieces:
        bench.body.pieces.put_nowait(piece)
    await settle()
    return task


async def test_a_complete_answer_finishes_its_body():
    bench = Bench()
    await (await begun(bench, *words(2), END))
    assert bench.outlet.closed and bench.outlet.text.endswith("data: [DONE]\n\n")
    assert bench.body.ended == ["finished"]
    assert (len(bench.relay.sweep), bench.relay.first_byte_after) == (0, 0.0)
    bench.relay.sweep.close()


async def test_the_upstream_is_let_go_before_its_last_words_are_taken():
    bench = Bench()
    bench.outlet.full = True
    bench.outlet.room.clear()
    task = await begun(bench, words(1)[0] + END)
    assert (bench.body.ended, bench.outlet.closed, task.done()) == (["finished"], False, False)
    bench.outlet.room.set()
    await task
    bench.relay.sweep.close()


async def test_comments_keep_time_from_the_last_word_either_way():
    bench = Bench()
    task = await begun(bench, words(1)[0])
    await bench.pass_time(5)
    assert bench.outlet.said.count(COMMENT) == 0
    await bench.pass_time(1)
    assert bench.outlet.said.count(COMMENT) == 1
    await bench.pass_time(4)
    bench.body.pieces.put_nowait(words(1)[0])
    await settle()
    await bench.pass_time(5)
    assert bench.outlet.said.count(COMMENT) == 1
    task.cancel()


async def test_silence_in_the_middle_ends_the_answer_after_the_limit():
    bench = Bench()
    task = await begun(bench, words(1)[0])
    await bench.pass_time(19)
    assert not task.done()
    await bench.pass_time(3)
    await task
    assert '"upstream_timeout"' in bench.outlet.said[-1].decode()
    assert bench.body.ended == ["closed"]
    bench.relay.sweep.close()


async def test_a_head_goes_out_late_and_says_the_role_once():
    bench = Bench()
    task = await begun(bench)
    await bench.pass_time(2)
    assert bench.outlet.said == []
    await bench.pass_time(2)
    assert bench.outlet.text.count('"role":"assistant"') == 1
    bench.body.pieces.put_nowait(words(1)[0] + END)
    await task
    assert bench.outlet.text.count('"role":"assistant"') == 1
    bench.relay.sweep.close()


async def test_no_comment_overtakes_a_head_that_is_going_out():
    bench = Bench()
    bench.outlet.opening.clear()
    task = await begun(bench)
    await bench.pass_time(15)
    assert bench.outlet.said == []
    bench.outlet.opening.set()
    await settle()
    await bench.pass_time(1)
    assert [b'"role"' in bench.outlet.said[0], *bench.outlet.said[1:]] == [True, COMMENT]
    task.cancel()


async def test_a_reader_that_takes_nothing_is_cut_after_the_limit_and_not_before():
    bench = Bench()
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    task = await begun(bench, *words(2))
    await bench.pass_time(9)
    assert not bench.outlet.aborted
    await bench.pass_time(3)
    assert bench.outlet.aborted
    task.cancel()


async def test_a_reader_that_takes_a_little_now_and_then_is_kept():
    bench = Bench()
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    task = await begun(bench, *words(2))
    for _ in range(10):
        await bench.pass_time(9)
        bench.outlet.waiting -= 1
    assert not bench.outlet.aborted
    task.cancel()


async def test_two_pauses_with_as_much_waiting_are_two_pauses():
    """What waited when the reader was slow an hour ago says nothing about now."""
    bench = Bench()
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    task = await begun(bench, *words(2))
    await bench.pass_time(5)
    bench.outlet.full = False
    bench.outlet.room.set()
    await settle()
    bench.outlet.room.clear()
    await bench.pass_time(15)
    bench.outlet.full = True
    bench.body.pieces.put_nowait(words(1)[0])
    await settle()
    await bench.pass_time(5)
    assert not bench.outlet.aborted
    assert bench.relay.pauses == 2
    task.cancel()


async def test_time_in_which_the_reader_was_behind_does_not_count_as_silence():
    bench = Bench()
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    task = await begun(bench, *words(1), *words(1))
    for _ in range(5):
        await bench.pass_time(9)
        bench.outlet.waiting -= 1
    bench.outlet.full = False
    bench.outlet.room.set()
    await settle()
    await bench.pass_time(18)
    assert not task.done()
    task.cancel()


async def test_a_body_that_broke_unnoticed_ends_the_answer_at_the_next_turn():
    bench = Bench()
    task = await begun(bench, words(1)[0])
    bench.body.trouble = UpstreamMalformed("not valid HTTP")
    await bench.pass_time(1)
    await task
    assert '"bad_upstream_response"' in bench.outlet.said[-1].decode()
    bench.relay.sweep.close()


STOP = ShuttingDown("going")


async def test_a_stop_while_nothing_has_been_said_is_raised():
    bench = Bench()
    bench.relay.now = asyncio.get_running_loop().time
    task = await begun(bench)
    bench.relay.stop(STOP)
    bench.relay.stop(UpstreamMalformed("too late"))
    with pytest.raises(ShuttingDown):
        await task
    assert bench.outlet.said == []
    bench.relay.sweep.close()


async def test_a_stop_in_the_moment_in_which_patience_ends_is_harmless():
    bench = Bench()
    loop = asyncio.get_running_loop()
    bench.relay.now = loop.time
    task = await begun(bench)
    troubles: list[Exception] = []

    def again() -> None:
        try:
            bench.relay.stop(STOP)
        except RuntimeError as error:
            troubles.append(error)

    bench.relay.stop(STOP)
    loop.call_soon(again)  # after the deadline has struck, before the task hears of it
    with pytest.raises(ShuttingDown):
        await task
    assert troubles == []
    bench.relay.sweep.close()


async def test_a_stop_while_the_head_is_going_out_is_the_next_thing_said():
    bench = Bench()
    bench.outlet.opening.clear()
    task = await begun(bench, words(1)[0])
    bench.relay.stop(STOP)
    bench.outlet.opening.set()
    await task
    assert '"shutting_down"' in bench.outlet.said[-1].decode()
    assert bench.body.ended == ["closed"]
    bench.relay.sweep.close()


async def test_a_stop_in_the_middle_is_said_once():
    bench = Bench()
    task = await begun(bench, words(1)[0])
    bench.relay.stop(STOP)
    bench.relay.stop(STOP)
    await task
    assert bench.outlet.text.count('"error"') == 1
    bench.relay.sweep.close()


async def test_cutting_hangs_up_on_the_reader():
    bench = Bench()
    task = await begun(bench, words(1)[0])
    bench.relay.cut()
    assert bench.outlet.aborted
    task.cancel()


async def test_a_whole_answer_cannot_be_cut_but_stopped():
    bench = Bench()
    relay = bench.make(ChatWhole(ENVELOPE))
    relay.now = asyncio.get_running_loop().time
    task = asyncio.create_task(relay.whole(bench.dial))
    await settle()
    relay.tick(relay.now())
    relay.cut()
    relay.stop(STOP)
    with pytest.raises(ShuttingDown):
        await task
    relay.sweep.close()


async def test_a_failed_dial_leaves_nothing_behind():
    bench = Bench()

    async def refuse() -> QueueBody:
        raise UpstreamUnreachable("no")

    with pytest.raises(UpstreamUnreachable):
        await bench.relay.run(refuse, bench.outlet)
    assert (bench.outlet.said, bench.body.ended, len(bench.relay.sweep)) == ([], [], 0)
    bench.relay.sweep.close()


async def test_a_client_that_leaves_while_the_late_head_goes_out_leaves_no_complaint():
    bench = Bench()
    bench.outlet.opening.clear()
    task = await begun(bench)
    await bench.pass_time(4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await settle()
    assert len(asyncio.all_tasks()) == 1
    bench.relay.sweep.close()
