"""The shapes in which agents speak, and how they are told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.bedrock_setup import dumped
from tests.upstreams.bedrock_sisters import (
    events_of,
    failure,
    ready_runtime,
    sse,
    streamed,
    text_of,
    whole,
)
from tests.wires.reader import told
from translators.errors import (
    UpstreamDependencyFailed,
    UpstreamFailed,
    UpstreamIncomplete,
    UpstreamMalformed,
)
from translators.events import Event, Finish, Opened, Reasoning, Text, Usage
from translators.upstreams import bedrock_runtime_answer


def heard(*documents: Any, **settings: Any) -> list[Event]:
    """What these events mean, without what opens them."""
    events = events_of(ready_runtime(**settings), [sse(*documents)])
    return [event for event in events if type(event) is not Opened]


def said(*documents: Any) -> str:
    return text_of(heard(*documents))


def event(**members: Any) -> dict[str, Any]:
    return {"event": members}


def delta(text: str, **members: Any) -> dict[str, Any]:
    return event(contentBlockDelta={"delta": {"text": text}, "contentBlockIndex": 0}, **members)


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        (["a", "b"], "ab"),
        ([{"text": "a"}, {"text": "b"}], "ab"),
        ([{"token": "a"}, {"token": "b"}], "ab"),
        ([{"response": "a"}, {"response": "b"}], "ab"),
        ([{"chunk": {"text": "a"}}, {"chunk": "b"}], "ab"),
        ([{"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "text": "no"}]}], "a"),
        ([{"event": "token", "data": {"content": "a"}}, {"event": "status", "data": "no"}], "a"),
        ([{"contentBlockDelta": {"delta": {"text": "a"}}}, {"metadata": {}}], "a"),
        ([event(type="words", text="a")], "a"),
        ([event(contentBlockStop={}), delta("a")], "a"),
        ([{"text": "a", "metadata": {"x": 1}}], "a"),
        ([{"role": "user", "content": "no"}, {"role": None, "content": "a"}], "a"),
        ([{"role": ["odd"], "content": "no"}, {"content": "a"}], "a"),
        ([{"text": "a", "error": None}], "a"),
        ([{"text": "a", "error": "not so bad"}], "a"),
        ([{"type": ["odd"], "text": "a"}], "a"),
        # The better source wins, and what repeats is not said again.
        ([{"text": "Wait. "}, delta("a"), {"data": "a"}, delta("b"), {"data": "b"}, {"result": "ab"}], "Wait. ab"),
        ([{"data": "a"}, {"content": "no"}, {"data": "b"}], "ab"),
        ([{"message": "Starting."}, {"data": "a"}, {"message": "Done."}], "a"),
        ([{"message": "a"}, {"message": "b"}], "ab"),
        ([{"message": "a"}, {"result": "all"}], "all"),
        ([{"result": {"content": [{"text": "all"}]}}], "all"),
        ([{"type": "final", "output": "all"}], "all"),
        ([{"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}], "a"),
        ([{"choices": 7}, {"text": "a"}], "a"),
        ([b"plain", b'"quoted"', b"null", b"7", b"{", b"[1]"], 'plain"quoted"null7{[1]'),
        ([None, True], "true"),
        (["{'data': 'x', 'agent': <Agent object at 0x7f>}", "a"], "a"),
        (["{'data': 'x', 'id': UUID('1')}", "a"], "a"),
        (["{'a': 1}"], "{'a': 1}"),
        # Nothing else was there.
        ([{"odd": 1}, {"start": True}], '{"odd": 1}'),
        ([{"odd": 7, "choices": []}], '{"odd": 7, "choices": []}'),
    ],
)  # fmt: skip
def test_words_are_found_in_every_usual_shape(documents: list[Any], text: str) -> None:
    assert said(*documents) == text


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"result": "a"}, "a"),
        ({"output": {"message": {"content": [{"text": "a"}]}}}, "a"),
        ({"result": {"parts": [{"kind": "text", "text": "a"}]}}, "a"),
        ({"result": {"role": "assistant", "content": "a"}, "response": "no"}, "a"),
        ({"statusCode": 200, "body": "a"}, "a"),
        ({"error": "none to speak of", "result": "a"}, "a"),
        ({"role": "user", "content": "x"}, '{"role":"user","content":"x"}'),
        ([["a"], {"text": "b"}], "ab"),
        ([1, 2], "[1,2]"),
        (True, "true"),
        ({}, "{}"),
    ],
)
def test_words_of_a_document(document: Any, text: str) -> None:
    for streams in (True, False):
        upstream = ready_runtime(streams, "application/json; charset=utf-8")
        assert text_of(events_of(upstream, [dumped(document)])) == text


def test_values_within_values_are_not_followed_for_ever() -> None:
    document: Any = "deep"
    for _ in range(50):
        document = {"content": [document]}
    assert text_of(events_of(ready_runtime(content_type="application/json"), [dumped(document)])) != "deep"


def test_thoughts_come_from_one_source() -> None:
    raw = event(contentBlockDelta={"delta": {"reasoningContent": {"text": "Hm."}}})
    own = {"reasoning": True, "reasoningText": "Hm."}
    events = heard(raw, own, delta("a"))
    assert [e for e in events if type(e) is Reasoning] == [Reasoning("Hm.")]
    assert [e for e in heard(own, own, "a") if type(e) is Reasoning] == [Reasoning("Hm.")] * 2
    assert [e for e in heard({"reasoningText": 7}, "a") if type(e) is Reasoning] == []
    assert not [e for e in heard(raw, "a", reasoning=False) if type(e) is Reasoning]
    for shape in (
        {"type": "thinking", "thinking": "Hm."},
        {"type": "reasoning", "content": "Hm."},
        {"choices": [{"delta": {"reasoning_content": "Hm."}}]},
    ):
        assert [e for e in heard(shape, "a") if type(e) is Reasoning] == [Reasoning("Hm.")]


def test_thoughts_alone_are_an_answer() -> None:
    assert type(heard({"type": "thinking", "thinking": "Hm."})[-1]) is Finish


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("guardrail_intervened", "content_filter"),
        (["x"], "stop"),
    ],
)
def test_why_a_model_stopped(reason: Any, told: str) -> None:
    *_, last = heard(event(messageStart={}), delta("a"), event(messageStop={"stopReason": reason}))
    assert type(last) is Finish
    assert last.reason == told
    assert (
        last == heard(event(messageStop={"stopReason": reason}))[-1]
    )  # said nothing, and said that it is over


def test_a_message_that_was_not_ended_is_no_answer() -> None:
    for documents in (
        [event(messageStart={"role": "assistant"}), delta("a")],
        [event(messageStart={"role": "assistant"}), {"result": "a"}],
    ):
        upstream = ready_runtime()
        assert isinstance(failure(upstream, sse(*documents)), UpstreamIncomplete)


@pytest.mark.parametrize(
    ("documents", "usage"),
    [
        ([event(metadata={"usage": {"inputTokens": 3, "outputTokens": 2}})] * 2, Usage(6, 4)),
        ([{"metadata": {"usage": {"inputTokens": 3}}}], Usage(3, 0)),
        ([{"usage": {"prompt_tokens": 3, "completion_tokens": 2}}, {"usage": None}], Usage(3, 2)),
        ([{"usage": {"input_tokens": 3, "output_tokens": -2}}], Usage(3, 0)),
    ],
)
def test_usage_of_a_runtime(documents: list[Any], usage: Usage) -> None:
    assert [e for e in heard("a", *documents) if type(e) is Usage] == [usage]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (sse({"error": "boom"}), "boom"),
        (sse({"error": {"message": "boom", "code": 7}}), "boom"),
        (sse({"error": {"code": 7}}), "no reason was given"),
        (sse({"type": "error", "content": "boom"}), "boom"),
        (sse({"event": "error", "data": "boom"}), "boom"),
        (b'event: error\ndata: {"message": "boom"}\n\n', "boom"),
        (b'event: error\ndata: "boom"\n\n', "boom"),
        (b"event: error\ndata: boom\n\n", "boom"),
        (b"event: error\ndata: 7\n\n", "no reason was given"),
        (b'{"error": "boom", "message": "An error occurred"}', "boom"),
    ],
)
def test_an_agent_that_failed(sent: bytes, words: str) -> None:
    error = failure(ready_runtime(), sent)
    assert isinstance(error, UpstreamDependencyFailed)
    assert (error.status, error.should_retry) == (424, False)
    assert error.message == f"The agent in the runtime failed: {words}"


# How it comes.


@pytest.mark.parametrize(
    ("content_type", "sent", "text"),
    [
        ("text/plain", b'{"text": "a"}', '{"text": "a"}'),
        ("text/markdown; charset=utf-8", b"  # A\n", "  # A\n"),
        ("text/event-stream", b'\n\n  "a"', "a"),
        ("text/event-stream", b": hi\n\ndata: a\n\n", "a"),
        ("text/event-stream", b"  \n" * 2000 + b'\ndata: "a"\n\n', "a"),
        ("application/json", b' \n{"text": "a"}\n', "a"),
        ("application/problem+json", b'"a"', "a"),
        ("application/octet-stream", b"Words", "Words"),
        ("", b"none", "none"),
        ("", b'data: "a"\n\n', "a"),
    ],
)
def test_types_of_content(content_type: str, sent: bytes, text: str) -> None:
    upstream = ready_runtime(content_type=content_type)
    assert text_of(events_of(upstream, [sent[:1], sent[1:]])) == text


@pytest.mark.parametrize(
    ("content_type", "sent", "kind"),
    [
        ("application/json", b"Words", UpstreamIncomplete),
        ("", b"[1, 2", UpstreamIncomplete),
        ("application/octet-stream", b'"a', UpstreamIncomplete),
        ("text/html", b"<p>Hi", UpstreamMalformed),
        ("application/json", b"<p>Hi", UpstreamMalformed),
        ("text/event-stream", b"Words\n\n", UpstreamFailed),
        ("text/event-stream", b"Words", UpstreamIncomplete),
        ("text/event-stream", b"data: x\n\ndata: {", UpstreamIncomplete),
        ("text/event-stream", b"data: x\n\ndata: y", UpstreamIncomplete),
    ],
)
def test_what_cannot_be_read(content_type: str, sent: bytes, kind: type[Exception]) -> None:
    assert type(failure(ready_runtime(content_type=content_type), sent)) is kind


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [("text/plain", b""), ("application/json", b" \n"), ("text/event-stream", b": a\n\n")],
)
def test_a_body_without_a_word_is_no_answer(content_type: str, sent: bytes) -> None:
    error = failure(ready_runtime(content_type=content_type), sent)
    assert (error.status, error.message) == (502, "The agent in the runtime returned no output.")


def test_the_last_event_needs_no_blank_line() -> None:
    for first, last in (('"a"', '"b"'), ('{"text": "a"}', '{"text": "b"}'), ("a", "b\n")):
        sent = f"data: {first}\n\ndata: {last}".encode()
        assert text_of(events_of(ready_runtime(), [sent])) == "ab"


def test_a_stream_that_keeps_itself_alive_with_blanks() -> None:
    parts = [*[b"\n" * 100] * 60, b'data: "a"\n\n']
    assert text_of(events_of(ready_runtime(), parts)) == "a"


def test_plain_text_is_told_as_it_comes() -> None:
    upstream = ready_runtime(content_type="text/plain")
    stream = streamed(upstream)
    assert b'"content":"Gr"' in stream.feed(b"Gr\xc3")
    assert "ü".encode() in stream.feed(b"\xbc")
    assert stream.feed(b"") == b""
    assert stream.close().endswith(b"data: [DONE]\n\n")


# Shortcuts and bounds.


class Forgetful(bedrock_runtime_answer.Template):
    """A template that matches nothing."""

    def learn(self, payload: bytes, text: str) -> None:
        pass


PIECES = st.text(max_size=8) | st.sampled_from(
    ['"text": "x"', "\\", "\ud83d", '{"text": ', "</s>\n\n", "data: "]
)
FRAMES = st.one_of(
    PIECES.map(lambda text: {"text": text}),
    PIECES.map(delta),
    PIECES.map(lambda text: {"data": text, "delta": {"text": text}}),
    PIECES.map(lambda text: {"choices": [{"index": 0, "delta": {"content": text}}]}),
    PIECES.map(lambda text: {"type": "token", "content": text}),
    st.sampled_from(
        [event(messageStart={}), event(messageStop={}), {"message": {"content": "m"}}, "s", None]
    ),
)


@given(st.lists(FRAMES, max_size=12))
def test_the_template_is_never_seen(documents: list[Any]) -> None:
    sent = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in documents)
    plain = ready_runtime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bedrock_runtime_answer, "Template", Forgetful)
        parsed = events_of(plain, [sent])
    assert repr(events_of(ready_runtime(), [sent])) == repr(parsed)


def test_usual_frames_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = ready_runtime()
    stream = streamed(upstream)
    stream.feed(sse(delta("a")))
    monkeypatch.setattr(bedrock_runtime_answer, "parsed", None)
    assert b'"content":"b"' in stream.feed(sse(delta("b")))
    assert upstream.done is False


def test_what_is_kept_is_bounded() -> None:
    upstream = ready_runtime()
    stream = streamed(upstream)
    for number in range(3000):
        stream.feed(sse({"odd": number, "filler": "x" * 40}))
    for _ in range(3000):
        stream.feed(sse({"message": "x" * 40}))
    stream.feed(sse({"result": "x" * (bedrock_runtime_answer._MAX_HELD - 100)}))
    stream.feed(sse({"message": {"content": [{"text": ""}]}}))
    assert sum(map(len, upstream._strange)) <= 64 * 1024
    assert sum(map(len, upstream._remarks)) <= 64 * 1024
    upstream._hold("x" * (bedrock_runtime_answer._MAX_HELD + 1))
    assert len(upstream._held) < bedrock_runtime_answer._MAX_HELD


@given(st.binary(max_size=200), st.sampled_from(["", "text/event-stream", "application/json", "text/plain"]))
def test_garbage_is_told_or_refused(sent: bytes, content_type: str) -> None:
    for make in (streamed, whole):
        stream = make(ready_runtime(content_type=content_type))
        told(stream, [sent])
        assert stream.done


NAMES = [
    *("event", "type", "role", "text", "content", "delta", "data", "choices", "message", "error", "result"),
    *("contentBlockDelta", "contentBlockStart", "start", "toolUse", "metadata", "usage", "messageStop"),
    *("reasoningText", "inputTokens", "finish_reason", "thinking"),
]
SIMPLE = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["thinking", "tool"])
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_no_object_is_a_fault(document: Any) -> None:
    events = heard(document, "a")
    assert type(events[-1]) is Finish or (
        type(getattr(events[-1], "error", None)) in (UpstreamDependencyFailed, UpstreamIncomplete)
    )


def test_a_tool_is_told_as_something_the_platform_does() -> None:
    start = event(contentBlockStart={"start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}})
    activity = heard(start, "a")[0]
    assert (activity.kind, activity.id, activity.name, activity.state) == ("tool", "t1", "weather", "started")
    assert [type(one) for one in heard(event(contentBlockStart={"start": {}}), "a")] == [Text, Usage, Finish]


def test_an_answer_too_long_to_keep_is_an_answer() -> None:
    upstream = ready_runtime(content_type="application/json")
    upstream._told._room = 3
    *_, last = events_of(upstream, [b'{"result": "Hello"}'])
    assert type(last) is Finish
