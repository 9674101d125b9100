"""A stream never raises for what an upstream sent, says one terminal thing, and nothing after it.

The garbage law: arbitrary bytes, cut anywhere, into both forms. The rest are the ways a stream can end: by its
bytes, by a fault in the framing, from outside.
"""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import partitions
from tests.surfaces.strict import loads, payloads
from tests.wires.reader import ENVELOPE, NAMES, Recorder, openai, stream_to, streamed, told, whole, wire
from translators.errors import ShuttingDown, UpstreamIncomplete, UpstreamMalformed, UpstreamTimeout
from translators.events import Failed, Finish, Text
from translators.framing.base import MAX_BODY
from translators.framing.sse import SSE
from translators.stream import Stream
from translators.surfaces.chat import Chat

HI = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"

WORDS = st.sampled_from(
    [
        b"data: ",
        b"\n\n",
        b"\r\n",
        b"event: error\n",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"null",
        b"true",
        b"1e999",
        b'{"choices":[',
        b'{"delta":{',
        b'"content":',
        b'"tool_calls":[',
        b'"index":',
        b'"error":',
        b"[DONE]",
        b"<html>",
        b'"usage":',
        b"99999999999999999999999",
        b'"\\ud83d"',
        b"\xff",
        b"\xe2\x80\xa8",
        HI,
        STOP,
        DONE,
    ]
)
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(WORDS, max_size=20).map(b"".join),
    st.lists(WORDS, max_size=20).map(lambda words: b"data: " + b"".join(words)),
)


def assert_ended_well(stream: Stream, out: bytes) -> None:
    assert stream.done
    assert stream.feed(HI) == b"" == stream.close() == stream.fail(ShuttingDown("x"))
    if stream.surface.streams:
        frames = payloads(out)
        errors = [frame for frame in frames if frame != "[DONE]" and "error" in loads(frame)]
        assert len(errors) == (stream.failure is not None)
        assert (frames[-1] == "[DONE]") == (stream.failure is None)
    else:
        assert bool(out) == (stream.failure is None)


@settings(max_examples=400, deadline=None)
@given(GARBAGE.flatmap(lambda data: st.tuples(st.just(data), partitions(data))))
def test_garbage_never_raises(case: tuple[bytes, list[bytes]]) -> None:
    data, parts = case
    for make in (streamed, whole):
        stream = make()
        out = told(stream, parts)
        assert_ended_well(stream, out)
        assert out == told(make(), [data])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_recorded_wires_with_a_piece_replaced_never_raise(name: str, data: st.DataObject) -> None:
    sent = wire(name)
    start = data.draw(st.integers(0, len(sent)))
    end = data.draw(st.integers(start, min(len(sent), start + 20)))
    sent = sent[:start] + data.draw(st.one_of(st.binary(max_size=4), WORDS)) + sent[end:]
    for make in (streamed, whole):
        stream = make()
        assert_ended_well(stream, told(stream, [sent]))


def test_memory_is_bounded_whatever_comes() -> None:
    limit = 64 * 1024
    piece = b"x" * 4096
    tracemalloc.start()
    try:
        for opening in (b"data: ", b": ", b'data: {"choices":[{"delta":{"content":"'):
            stream = Stream(SSE(limit), openai(), Chat(ENVELOPE, True))
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            stream.feed(opening)
            for _ in range(200):
                stream.feed(piece)
            assert tracemalloc.get_traced_memory()[1] - before < 6 * limit
            assert type(stream.failure) is UpstreamMalformed
    finally:
        tracemalloc.stop()


def test_a_whole_answer_has_a_bound_however_it_is_framed() -> None:
    """It is held until it ends, so an upstream that never ends must not fill the memory."""
    piece = b'data: {"choices":[{"delta":{"content":"' + b"x" * (1 << 20) + b'"}}]}\n\n'
    held, passed = whole(), streamed()
    for _ in range(MAX_BODY // len(piece) + 1):
        assert held.feed(piece) == b""
        passed.feed(piece)
    assert type(held.failure) is UpstreamMalformed
    assert f"over {MAX_BODY} bytes" in held.failure.message
    assert not passed.done


def test_events_before_and_after_the_end() -> None:
    recorder = Recorder()
    stream = stream_to(recorder)
    stream.feed(HI + STOP + DONE + HI)
    stream.feed(HI)
    stream.close()
    assert recorder.events[1:] == [Text("hi"), Finish("stop")]
    assert (stream.done, stream.failure) == (True, None)
    assert stream.received == len(HI + STOP + DONE + HI)


def test_a_fault_of_the_framing_comes_after_what_was_whole() -> None:
    stream = Stream(SSE(60), openai(), Chat(ENVELOPE, False))
    out = stream.feed(HI + b"x" * 100)
    assert b'"content":"hi"' in out
    assert b"over 60 bytes" in out
    assert type(stream.failure) is UpstreamMalformed


def test_a_fault_of_the_framing_after_the_end_is_none() -> None:
    stream = Stream(SSE(60), openai(), Chat(ENVELOPE, False))
    out = stream.feed(HI + STOP + DONE + b"x" * 100)
    assert out.endswith(DONE)
    assert stream.failure is None


@pytest.mark.parametrize("rest", [b"", b"\n", b": bye", DONE[:-2], b'data: {"choices":[]}'])
def test_a_clean_end_after_the_reason_is_complete(rest: bytes) -> None:
    stream = streamed()
    assert told(stream, [HI + STOP, rest]).endswith(DONE)
    assert stream.failure is None


@pytest.mark.parametrize("rest", [b"data: {", b"dat", b"id: 7", b"data: [DON", b"data:"])
def test_half_an_event_after_the_reason_is_not(rest: bytes) -> None:
    stream = streamed()
    out = told(stream, [HI + STOP, rest])
    assert type(stream.failure) is UpstreamIncomplete
    assert b'finish_reason":"' not in out


def test_an_error_in_the_last_open_event() -> None:
    stream = streamed()
    out = told(stream, [HI + b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}'])
    assert stream.failure is not None
    assert stream.failure.code == "upstream_error"
    assert out.count(b'data: {"error"') == 1


def test_fail_from_outside() -> None:
    stream = streamed()
    stream.feed(HI)
    error = UpstreamTimeout("Silence.")
    out = stream.fail(error)
    assert loads(payloads(out)[0]) == error.document()
    assert stream.failure is error
    assert stream.fail(ShuttingDown("x")) == b""
    recorder = Recorder()
    stream_to(recorder).fail(error)
    assert recorder.events == [Failed(error)]


def test_begin_is_the_surface_s() -> None:
    assert b'"role":"assistant"' in streamed().begin()
    assert whole().begin() == b""
