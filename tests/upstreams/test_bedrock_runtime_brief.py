"""What a runtime yields, read past its events: the same is told as without a shortcut, in as many pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import translators.stream
from tests.support.split import cut_at
from tests.upstreams.bedrock_setup import Platform, contents, dumped
from tests.upstreams.bedrock_sisters import ready_runtime, streamed
from translators.stream import Stream
from translators.upstreams.bedrock_runtime import AgentRuntime
from translators.upstreams.bedrock_runtime_framing import RuntimeFraming


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Every frame of words is worth a shortcut, and every read is long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translators.stream, "MANY", 1)
        patch.setattr(translators.stream, "LONG", 0)
        patch.setattr(translators.stream, "SHORT", 40)
        patch.setattr(translators.stream, "ROUNDS", 3)
        yield


class Blind(RuntimeFraming):
    """Knows no shortcut."""

    __slots__ = ()

    def shortcut(self, data: bytes, template: Any) -> None:
        return None


def event(document: Any, gap: bytes = b" ") -> bytes:
    return b"data:" + gap + dumped(document) + b"\n\n"


def delta(text: str) -> dict[str, Any]:
    return {"event": {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}}


def outcome(upstream: AgentRuntime, parts: list[bytes]) -> list[Any]:
    stream = streamed(upstream)
    out = b"".join(map(stream.feed, parts)) + stream.close()
    platform = Platform()
    platform.carry_out(upstream.settle())
    failure = stream.failure
    error = None if failure is None else (type(failure), failure.message, failure.detail)
    return [out, upstream._told.all, stream.done, stream.received, error, platform.memory]


def blind(**settings: Any) -> AgentRuntime:
    upstream = ready_runtime(**settings)
    upstream._framed = Blind(upstream._longest)
    upstream._framed.content_type = "text/event-stream"
    return upstream


TEXTS = st.text(max_size=8) | st.sampled_from(["word", " more", "数据\n", '"', "\u2028", "x " * 60, "w" * 65])
EVENTS = st.one_of(
    TEXTS.map(delta),
    TEXTS.map(delta),
    TEXTS.map(lambda text: {"data": text}),
    st.sampled_from(
        [
            "word",
            {"event": {"messageStart": {"role": "assistant"}}},
            {"event": {"messageStop": {"stopReason": "end_turn"}}},
            {"type": "thinking", "thinking": "Hm."},
            {"message": {"role": "assistant", "content": [{"text": "word"}]}},
            {"error": "no"},
        ]
    ),
)
FRAMES = st.lists(
    EVENTS.map(event) | st.sampled_from([b": ping\n\n", b"data: half", b"data: plain\n\n"]), max_size=12
)


@st.composite
def parts(draw: st.DrawFn) -> list[bytes]:
    """Reads of an answer: of one event, of several, now and then cut anywhere."""
    sent = [frame for frame in draw(FRAMES) for _ in range(draw(st.integers(1, 3)))]
    edges = [sum(map(len, sent[:number])) for number in range(len(sent) + 1)]
    places = [edge for edge in edges if draw(st.booleans()) or draw(st.booleans())]
    places += draw(st.one_of(st.just([]), st.lists(st.integers(0, edges[-1]), max_size=3)))
    return cut_at(b"".join(sent), sorted(places))


@settings(max_examples=200, deadline=None)
@given(parts(), st.sampled_from(["words", "off"]))
def test_nobody_can_tell_a_runtimes_shortcut_from_the_ordinary_road(parts: list[bytes], split: str) -> None:
    assert outcome(ready_runtime(split=split), parts) == outcome(blind(split=split), parts)


def test_a_runtimes_words_are_read_past_translate(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Stream = streamed(ready_runtime())
    word = event(delta("word"))
    out = stream.feed(word) + stream.feed(word)
    monkeypatch.setattr(AgentRuntime, "translate", None)
    out += stream.feed(word) + stream.feed(word + event(delta(" more")))
    assert contents(out) == ["word", "word", "word", "word", " more"]
    assert stream.upstream._told.text == "wordwordwordword more"  # type: ignore[attr-defined]


def test_a_long_text_is_told_in_words_after_short_ones() -> None:
    stream = streamed(ready_runtime())
    out = b"".join(stream.feed(event(delta(text))) for text in ("a", "b", "c", "word " * 20, "d"))
    assert contents(out) == ["a", "b", "c", *["word "] * 20, "d"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_what_has_no_events_has_no_shortcut(content_type: str) -> None:
    stream = streamed(ready_runtime(content_type=content_type))
    for text in (b'"a ', b"b ", b"c ", b'd"'):
        stream.feed(text)
        assert stream._shortcut is None
