"""The relay with a clock in hand: a queue for an outlet, a list for an upstream, and no sockets.

The end-to-end tests show what clients see; here the sweep is turned by hand, so that every limit can be put to its
exact second.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.proxy.relay_setup import END, ENVELOPE, Bench, QueueBody, begun, settle
from tests.support.upstream import words
from translators.errors import (
    GatewayError,
    ShuttingDown,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole

COMMENT = Chat.keep_alive


async def test_a_complete_answer_finishes_its_body():
    bench = Bench()
    await (await begun(bench, *words(2), END))
    assert bench.outlet.ended and bench.outlet.text.endswith("data: [DONE]\n\n")
    assert bench.body.ended == ["finished"]
    assert (len(bench.relay.sweep), bench.relay.first_byte_after) == (0, 0.0)
    bench.relay.sweep.close()


async def test_the_upstream_is_let_go_before_its_last_words_are_taken():
    bench = Bench()
    bench.outlet.waiting = 1000
    task = await begun(bench, words(1)[0] + END)
    assert (bench.body.ended, bench.outlet.ended, task.done()) == (["finished"], True, False)
    bench.outlet.room.set()
    await task
    bench.relay.sweep.close()


async def test_a_reader_that_never_takes_the_last_words_is_cut_after_the_limit_and_not_before():
    bench = Bench()
    bench.outlet.waiting = 1000
    task = await begun(bench, words(1)[0] + END)
    await bench.pass_time(10)
    assert not bench.outlet.aborted
    await bench.pass_time(2)
    assert bench.outlet.aborted
    task.cancel()


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


async def test_comments_after_a_late_head_come_after_it_and_keep_time():
    bench = Bench()
    task = await begun(bench)
    await bench.pass_time(15)
    assert bench.outlet.opened == 1
    assert [b'"role"' in bench.outlet.said[0], *bench.outlet.said[1:]] == [True, COMMENT, COMMENT]
    task.cancel()


async def test_an_upstream_that_never_answers_is_given_up_after_its_limit_and_not_before():
    bench = Bench()
    bench.relay.patience.commit_after = 1e9
    task = await begun(bench)
    await bench.pass_time(59)
    assert not task.done()
    await bench.pass_time(1)
    with pytest.raises(UpstreamTimeout):
        await task
    assert (bench.outlet.said, bench.body.ended) == ([], ["closed"])
    bench.relay.sweep.close()


async def test_an_upstream_that_never_answers_after_a_late_head_is_told_in_the_stream():
    bench = Bench()
    task = await begun(bench)
    await bench.pass_time(60)
    await task
    assert '"upstream_timeout"' in bench.outlet.said[-1].decode()
    assert (bench.outlet.opened, bench.outlet.ended, bench.body.ended) == (1, True, ["closed"])
    bench.relay.sweep.close()


async def test_silence_after_bytes_that_say_nothing_is_counted_from_those_bytes():
    bench = Bench()
    bench.relay.patience.commit_after = 1e9
    task = await begun(bench)
    await bench.pass_time(50)
    bench.body.pieces.put_nowait(b": hello\n\n")
    await settle()
    await bench.pass_time(20)
    assert not task.done()
    await bench.pass_time(1)
    with pytest.raises(UpstreamTimeout):
        await task
    bench.relay.sweep.close()


async def test_an_answer_that_fails_before_its_first_frame_is_raised_and_not_told():
    bench = Bench()
    task = await begun(bench, b'data: {"error": {"message": "no", "type": "x", "code": 400}}\n\n')
    with pytest.raises(GatewayError):
        await task
    assert (bench.outlet.opened, bench.body.ended) == (0, ["closed"])
    bench.relay.sweep.close()


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


async def test_a_stop_after_a_late_head_is_the_next_thing_said():
    bench = Bench()
    task = await begun(bench)
    await bench.pass_time(4)
    bench.relay.stop(STOP)
    await bench.pass_time(30)
    await task
    assert [b'"role"' in bench.outlet.said[0], len(bench.outlet.said)] == [True, 2]
    assert '"shutting_down"' in bench.outlet.said[-1].decode()
    assert bench.body.ended == ["closed"]
    bench.relay.sweep.close()


async def test_a_stop_before_the_head_keeps_the_head_from_going_out():
    """The turn that looks at the clock must not commit an answer that is being given up."""
    bench = Bench()
    task = await begun(bench)
    bench.clock.now += 5.0
    bench.relay.stop(STOP)
    bench.relay.tick(bench.clock.now)
    with pytest.raises(ShuttingDown):
        await task
    assert bench.outlet.opened == 0
    bench.relay.sweep.close()


async def test_a_client_that_leaves_in_the_moment_of_a_stop_has_left():
    bench = Bench()
    task = await begun(bench)
    bench.relay.stop(STOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.outlet.said, bench.body.ended, len(bench.relay.sweep)) == ([], ["closed"], 0)
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


async def test_a_client_that_leaves_after_a_late_head_leaves_nothing_behind():
    bench = Bench()
    task = await begun(bench)
    await bench.pass_time(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    said = list(bench.outlet.said)
    bench.relay.stop(STOP)
    await settle()
    assert bench.outlet.said == said
    assert (bench.body.ended, len(bench.relay.sweep), len(asyncio.all_tasks())) == (["closed"], 0, 1)
    bench.relay.sweep.close()
