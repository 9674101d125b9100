"""The relay on its tap: what a callback hands on is said at once, and the coroutine only supervises."""

from __future__ import annotations

import asyncio

from tests.proxy.relay_setup import END, Bench, TappedBody, begun, settle
from tests.support.upstream import text_of, words
from translators.errors import ShuttingDown, UpstreamIncomplete
from translators.surfaces.chat import Chat

STOP = ShuttingDown("going")


def tapped() -> tuple[Bench, TappedBody]:
    body = TappedBody()
    return Bench(body=body), body


def content(bench: Bench) -> str:
    return "".join(word for word in text_of(9).split(" ") if f'"content":"{word} "' in bench.outlet.text)


async def test_a_frame_is_said_in_the_callback_in_which_it_came():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    assert body.told == ["pull"]
    assert body.push(words(1, first=1)[0])
    assert content(bench) == "w0w1"
    assert not body.push(END)
    assert bench.outlet.ended and bench.outlet.text.endswith("data: [DONE]\n\n")
    await task
    assert (body.told[-1], body.ended) == ("detach", ["finished"])
    bench.relay.sweep.close()


async def test_a_full_reader_stops_the_upstream_until_it_has_room():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    assert not body.push(words(1, first=1)[0])
    assert body.told == ["pull", "stop"]
    await settle()
    bench.outlet.full = False
    bench.outlet.room.set()
    await settle()
    assert body.told == ["pull", "stop", "go on"]
    assert bench.relay.pauses == 1
    task.cancel()


async def test_a_reader_that_takes_nothing_is_cut_and_hears_no_comment_meanwhile():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    body.push(words(1, first=1)[0])
    await bench.pass_time(10)
    assert not bench.outlet.aborted
    await bench.pass_time(2)
    assert bench.outlet.aborted
    assert Chat.keep_alive not in bench.outlet.said
    task.cancel()


async def test_an_end_that_breaks_off_is_one_error_frame():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    assert body.sink is not None
    body.sink.end(UpstreamIncomplete("broke off"))
    body.sink.end(UpstreamIncomplete("broke off again"))
    await task
    assert bench.outlet.text.count('"error"') == 1
    assert '"upstream_incomplete"' in bench.outlet.said[-1].decode()
    assert "again" not in bench.outlet.text
    assert (bench.outlet.ended, body.ended) == (True, ["closed"])
    bench.relay.sweep.close()


async def test_a_message_that_ends_without_its_answers_end_is_incomplete():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    assert body.sink is not None
    body.sink.end(None)
    await task
    assert '"upstream_incomplete"' in bench.outlet.said[-1].decode()
    bench.relay.sweep.close()


async def test_a_stop_in_the_middle_is_said_once():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    bench.relay.stop(STOP)
    bench.relay.stop(STOP)
    await task
    assert bench.outlet.text.count('"error"') == 1
    assert '"shutting_down"' in bench.outlet.said[-1].decode()
    assert body.ended == ["closed"]
    bench.relay.sweep.close()


async def test_an_answer_that_is_complete_before_a_stop_is_heard_stays_complete():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    bench.relay.stop(STOP)
    body.push(END)
    await task
    assert '"error"' not in bench.outlet.text and bench.outlet.text.endswith("data: [DONE]\n\n")
    assert body.ended == ["finished"]
    bench.relay.sweep.close()


async def test_silence_is_noticed_and_frames_in_time_are_not():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    for number in range(1, 4):
        await bench.pass_time(18)
        body.push(words(1, first=number)[0])
    assert not task.done()
    await bench.pass_time(22)
    await task
    assert '"upstream_timeout"' in bench.outlet.said[-1].decode()
    bench.relay.sweep.close()


async def test_a_client_that_leaves_takes_the_tap_with_it():
    bench, body = tapped()
    task = await begun(bench, words(1)[0])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (body.told[-1], body.ended, len(bench.relay.sweep)) == ("detach", ["closed"], 0)
    bench.relay.sweep.close()
