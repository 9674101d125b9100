"""The relay on its tap: what a callback hands on is said at once, and the coroutine only supervises."""

from __future__ import annotations

import asyncio

import pytest

from tests.proxy.relay_setup import END, Bench, TappedBody, begun, settle
from tests.support.upstream import text_of, words
from translators.errors import GatewayError, ShuttingDown, UpstreamIncomplete, UpstreamMalformed
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


async def test_an_answer_that_ended_with_its_first_bytes_leaves_in_one_piece():
    bench, body = tapped()
    body.over = True
    await (await begun(bench, words(1)[0]))
    [said] = bench.outlet.said
    assert said.index(b"w0") < said.index(b'"upstream_incomplete"')
    assert (bench.outlet.opened, bench.outlet.ended, body.ended) == (1, True, ["closed"])
    bench.relay.sweep.close()


async def test_so_does_the_rest_of_one_whose_head_was_sent_before():
    bench, body = tapped()
    task = await begun(bench)
    await bench.pass_time(4)
    assert (bench.outlet.opened, content(bench)) == (1, "")
    body.over = True
    assert not body.push(words(1)[0])
    assert (len(bench.outlet.said), content(bench), bench.outlet.ended) == (2, "w0", True)
    await task
    assert '"upstream_incomplete"' in bench.outlet.said[-1].decode()
    bench.relay.sweep.close()


async def test_a_refusal_that_ended_is_still_a_status():
    bench, body = tapped()
    body.over = True
    with pytest.raises(GatewayError):
        await (await begun(bench, b'data: {"error":{"message":"no"}}\n\n'))
    assert (bench.outlet.opened, body.ended) == (0, ["closed"])
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


# Until something is said.


async def opening() -> tuple[Bench, TappedBody, asyncio.Task[None]]:
    bench, body = tapped()
    task = bench.start()
    await settle()
    return bench, body, task


async def test_the_first_words_are_said_in_the_callback_in_which_they_came():
    bench, body, task = await opening()
    assert body.push(b": hello\n\n")
    assert bench.outlet.opened == 0
    assert body.push(words(1)[0])
    assert (bench.outlet.opened, content(bench)) == (1, "w0")
    assert body.push(words(1, first=1)[0])
    assert content(bench) == "w0w1"
    task.cancel()


async def test_an_answer_that_is_complete_at_once_is_opened_and_ended_in_one():
    bench, body, task = await opening()
    assert not body.push(words(1)[0] + END)
    assert (bench.outlet.opened, bench.outlet.ended, len(bench.outlet.said)) == (1, True, 1)
    await task
    assert body.ended == ["finished"]


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_an_answer_that_fails_at_once_is_raised_unless_its_head_is_out(late):
    bench, body, task = await opening()
    await bench.pass_time(4 if late else 0)
    assert bench.outlet.opened == late
    assert not body.push(b'data: {"error": {"message": "no", "code": 429}}\n\n')
    if late:
        await task
        assert (bench.outlet.text.count('"error"'), bench.outlet.ended) == (1, True)
    else:
        with pytest.raises(GatewayError):
            await task
        assert bench.outlet.said == []
    assert body.ended == ["closed"]


async def test_words_after_a_late_head_are_no_second_head():
    bench, body, task = await opening()
    await bench.pass_time(4)
    body.push(words(1)[0])
    assert (bench.outlet.opened, content(bench)) == (1, "w0")
    assert bench.outlet.text.count('"role"') == 1
    task.cancel()


async def test_a_message_that_ends_before_anything_was_said_is_raised():
    bench, body, task = await opening()
    assert body.sink is not None
    body.sink.end(None)
    with pytest.raises(UpstreamIncomplete):
        await task
    assert bench.outlet.said == []


async def test_a_body_that_breaks_before_anything_was_said_is_raised():
    _, body, task = await opening()
    assert body.sink is not None
    body.sink.end(UpstreamIncomplete("broke off"))
    with pytest.raises(UpstreamIncomplete, match="broke off"):
        await task


async def test_an_endless_beginning_has_a_bound(monkeypatch):
    monkeypatch.setattr("proxy.relay.MAX_UNSAID", 1000)
    bench, body, task = await opening()
    while body.push(b": " + b"x" * 100 + b"\n\n"):
        assert bench.relay.stream.received < 2000
    with pytest.raises(UpstreamMalformed, match="over 1000 bytes"):
        await task


async def test_a_reader_that_is_full_at_the_first_words_stops_the_upstream():
    bench, body, task = await opening()
    bench.outlet.full, bench.outlet.waiting = True, 70_000
    assert not body.push(words(1)[0])
    assert body.told == ["pull", "stop"]
    bench.outlet.full = False
    bench.outlet.room.set()
    await settle()
    assert body.told == ["pull", "stop", "go on"]
    task.cancel()


async def test_what_comes_after_a_stop_is_not_the_beginning_of_an_answer():
    bench, body, task = await opening()
    bench.relay.stop(STOP)
    assert not body.push(words(1)[0])
    with pytest.raises(ShuttingDown):
        await task
    assert bench.outlet.said == []


async def test_silence_before_the_first_words_has_the_limit_of_a_first_byte():
    bench, _, task = await opening()
    await bench.pass_time(59)
    assert not task.done()
    await bench.pass_time(2)
    await task
    assert '"upstream_timeout"' in bench.outlet.said[-1].decode()
