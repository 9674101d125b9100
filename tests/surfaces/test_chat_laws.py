"""Laws of the chat surface over generated answers, with text from all of Unicode.

One id, one created, the role once for each choice and before its first piece, exactly one terminal, the pieces
joined are what the whole form says, and an independent reader finds exactly the frames that were meant: nothing
an upstream can say makes a line end.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.surfaces.strict import documents, loads, payloads
from tests.wires.reader import ENVELOPE
from translators.errors import UpstreamError
from translators.events import (
    Activity,
    Citation,
    Event,
    Failed,
    File,
    Finish,
    Opened,
    Ping,
    Reasoning,
    Refusal,
    Replace,
    Suggestion,
    Text,
    ToolCall,
    Usage,
    Verbatim,
)
from translators.ids import Envelope
from translators.surfaces import chat
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.wirejson import dumps

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates included
HOSTILE = st.sampled_from(
    ["\r\n\r\ndata: [DONE]\n\n", "\n\nevent: x\n", "\0", "\u2028", "\u2029\x85", "\ud83d", '"}}]}', "\r"]
)
WORDS = st.one_of(ANYTHING, HOSTILE)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)
MORE = st.dictionaries(ANYTHING.map(lambda name: f"x_{name}"), VALUES, max_size=2)
SAID = st.one_of(
    WORDS.map(lambda text: {"content": text}), WORDS.map(lambda text: {"reasoning_content": text}), MORE
)
CALL = st.builds(ToolCall, st.just(0), st.sampled_from(["", "c"]), st.sampled_from(["", "f"]), WORDS)

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Text, WORDS),
    st.builds(Reasoning, WORDS),
    st.builds(Refusal, WORDS),
    CALL,
    st.builds(Activity, WORDS, WORDS),
    st.builds(Citation, st.none() | st.integers(), st.none() | st.integers(), WORDS, WORDS, WORDS),
    st.builds(File, WORDS, WORDS, WORDS, WORDS),
    st.builds(Suggestion, WORDS),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.none(), st.none(), st.none() | MORE),
    st.builds(Ping),
    st.builds(
        Verbatim,
        st.integers(0, 2),
        SAID,
        MORE,
        MORE,
        st.none() | st.sampled_from(["stop", "length"]),
        st.just(()),
    ),
)
ENDS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Finish, st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
    st.builds(Failed, st.builds(UpstreamError, WORDS, param=st.none() | WORDS, code=WORDS)),
)
ANSWERS = st.builds(
    lambda opened, events, end: [Opened(constants=opened), *events, end],
    st.none() | MORE,
    st.lists(EVENTS, max_size=8),
    ENDS,
)


def told(value: Any) -> str:
    return value if isinstance(value, str) else ""


@settings(max_examples=250, deadline=None)
@given(ANSWERS, st.booleans(), WORDS)
@example([Text("\ud83d"), Text("\ude00"), Finish("stop")], True, "m")
def test_every_answer_is_well_formed(events: list[Event], include_usage: bool, model: str) -> None:
    envelope = Envelope("chatcmpl-1", 1700000000, model)
    out = Chat(envelope, include_usage).render(events)
    frames = payloads(out)
    failed = type(events[-1]) is Failed
    assert frames.count("[DONE]") == (0 if failed else 1)
    chunks = [loads(frame) for frame in frames if frame != "[DONE]"]
    if failed:
        assert set(chunks[-1]) == {"error"}
        assert set(chunks[-1]["error"]) == {"message", "type", "param", "code"}
        chunks.pop()
    else:
        assert frames[-1] == "[DONE]"
    for chunk in chunks:
        same = (chunk["id"], chunk["object"], chunk["created"], chunk["model"])
        assert same == ("chatcmpl-1", "chat.completion.chunk", 1700000000, loads(dumps(model)))
        assert ("usage" in chunk) == include_usage
    begun: set[int] = set()
    ended: set[int] = set()
    for chunk in chunks:
        for choice in chunk["choices"]:
            index = choice["index"]
            assert index not in ended
            assert ("role" in choice["delta"]) == (index not in begun)
            begun.add(index)
            if choice["finish_reason"] is not None:
                ended.add(index)
    assert ended == (set() if failed else begun)


@settings(max_examples=100, deadline=None)
@given(ANSWERS, st.booleans(), st.none() | MORE)
@example([Text("a"), Finish("stop")], False, {"b": 1})
def test_the_end_that_is_made_already_is_the_usual_end(
    events: list[Event], extensions: bool, platform: dict[str, Any] | None
) -> None:
    if type(events[-1]) is Finish:
        events[-1] = Finish(events[-1].reason, platform)
    out = Chat(ENVELOPE, False, extensions).render(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat, "_BEGUN", None)
        assert Chat(ENVELOPE, False, extensions).render(events) == out


@settings(max_examples=250, deadline=None)
@given(ANSWERS)
def test_the_pieces_joined_are_what_the_whole_form_says(events: list[Event]) -> None:
    out = ChatWhole(ENVELOPE).render(events)
    if type(events[-1]) is Failed:
        assert out == b""
        return
    whole = loads(out)
    assert whole["object"] == "chat.completion"
    chunks = documents(Chat(ENVELOPE, True).render(events))
    for choice in whole["choices"]:
        pieces = [
            piece["delta"]
            for chunk in chunks
            for piece in chunk["choices"]
            if piece["index"] == choice["index"]
        ]
        for member in ("content", "reasoning_content", "refusal"):
            joined = "".join(told(piece.get(member)) for piece in pieces)
            assert told(choice["message"].get(member)) == joined or "\ufffd" in joined
        arguments = "".join(
            call["function"]["arguments"] for piece in pieces for call in piece.get("tool_calls", ())
        )
        calls = choice["message"].get("tool_calls", ())
        assert "".join(call["function"]["arguments"] for call in calls) == arguments or "\ufffd" in arguments
        assert choice["finish_reason"] in [
            piece["finish_reason"]
            for chunk in chunks
            for piece in chunk["choices"]
            if piece["index"] == choice["index"]
        ]
    assert {choice["index"] for choice in whole["choices"]} == {
        choice["index"] for chunk in chunks for choice in chunk["choices"]
    }


@settings(max_examples=300, deadline=None)
@given(WORDS, WORDS)
def test_a_replaced_text_is_sent_on_or_after_a_blank_line(said: str, text: str) -> None:
    events: list[Event] = [Text(said), Replace(text, said), Finish("stop")]
    chunks = documents(Chat(ENVELOPE, False).render(events))
    joined = "".join(told(chunk["choices"][0]["delta"].get("content")) for chunk in chunks)
    expected = text if text.startswith(said) else f"{said}\n\n{text}"
    assert len(joined) == len(loads(dumps(expected))) or "\ufffd" in joined
    whole = loads(ChatWhole(ENVELOPE).render(events))["choices"][0]["message"]["content"]
    assert whole == loads(dumps(text))


def test_folding_a_long_answer_takes_linear_time() -> None:
    """A list that is copied for every piece would make an hour of a long answer with logprobs."""

    def seconds(count: int) -> float:
        surface = ChatWhole(ENVELOPE)
        events = [Verbatim(0, {}, {"logprobs": {"content": [{"token": "a"}]}}, {}, None, ())] * count
        started = time.process_time()
        surface.render([*events, Finish("stop")])
        return time.process_time() - started

    ratios = []
    for _ in range(6):
        ratios.append(seconds(16_000) / max(seconds(8_000), 2e-3))
        if ratios[-1] <= 2.5:
            return
    raise AssertionError(ratios)
