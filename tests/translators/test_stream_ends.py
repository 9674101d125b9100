"""The ends of a stream that no recorded wire has: too much, too late, in the middle, before the beginning."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.wires.reader import Recorder, openai, stream_to, streamed, told, whole
from translators import stream as module
from translators.errors import ShuttingDown, UpstreamIncomplete, UpstreamMalformed, UpstreamRejected
from translators.events import Emit, Failed, Text
from translators.stream import Stream
from translators.upstreams.openai import OpenAI

HI = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def test_a_whole_answer_is_bounded_and_a_stream_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 2 * len(HI))
    held, passed = whole(), streamed()
    for stream in (held, passed):
        for _ in range(3):
            assert not stream.done
            stream.feed(HI)
    assert type(held.failure) is UpstreamMalformed
    assert f"over {2 * len(HI)} bytes" in held.failure.message
    assert passed.failure is None and not passed.done


class Refusing(OpenAI):
    """It learns from the end that the answer was refused."""

    refusal: ClassVar[UpstreamRejected] = UpstreamRejected("Not this one.")

    def eof(self, emit: Emit) -> None:
        raise self.refusal


def test_an_error_that_the_end_brings() -> None:
    plain, recorder = openai(), Recorder()
    upstream = Refusing(plain.prompt, plain.settings, plain.envelope, plain.model)
    stream = Stream(upstream.framing(), upstream, recorder)
    told(stream, [HI])
    assert recorder.events[-2:] == [Text("hi"), Failed(Refusing.refusal)]
    assert stream.failure is Refusing.refusal and stream.done


def test_half_an_event_at_the_end_is_an_answer_cut_short() -> None:
    recorder = Recorder()
    stream = stream_to(recorder)
    told(stream, [HI + STOP + b"data: {"])
    assert type(stream.failure) is UpstreamIncomplete
    assert recorder.events[-1] == Failed(stream.failure)


def test_nothing_is_said_after_the_end() -> None:
    stream = streamed()
    assert told(stream, [HI + STOP + DONE]).endswith(DONE)
    assert stream.feed(HI) == stream.close() == stream.fail(ShuttingDown("x")) == b""
    assert stream.failure is None


def test_what_is_said_before_the_upstream_speaks() -> None:
    assert b'"role":"assistant"' in streamed().begin()
    assert whole().begin() == b""
