"""Events of any shape: nothing escapes, one end for each answer, and what is kept in mind stays small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.upstreams.dify_setup import (
    CHAT,
    END,
    chunk,
    dify,
    events_of,
    frames,
    heard,
    node,
    say,
    streamed,
    whole,
)
from tests.wires.reader import told
from translators.errors import GatewayError, UpstreamMalformed
from translators.events import Activity, Citation, Failed, File, Finish
from translators.upstreams.dify_answer import MAX_KNOWN, DifyAnswer

NAMES = sorted(name.decode() for name in DifyAnswer._ON)
WORDS = [
    "",
    "a",
    "<think>",
    "https://x.example.org/a",
    "/f",
    "failed",
    "stopped",
    "paused",
    "llm",
    "length",
    "\ud800",
    "a" * 300,
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
)
FIELDS = st.sampled_from(
    [
        *(
            "answer",
            "text",
            "data",
            "metadata",
            "usage",
            "files",
            "url",
            "status",
            "outputs",
            "error",
            "id",
            "tool",
        ),
        *(
            "reasons",
            "form_id",
            "form_content",
            "actions",
            "retriever_resources",
            "doc_metadata",
            "source",
            "reasoning",
        ),
        *(
            "conversation_id",
            "task_id",
            "message_id",
            "mode",
            "from_variable_selector",
            "node_type",
            "process_data",
        ),
        *(
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "tool_input",
            "observation",
            "type",
            "related_id",
        ),
        *(
            "code",
            "message",
            "params",
            "errors",
            "node_id",
            "title",
            "reason",
            "annotation_reply",
            "filename",
        ),
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5)
)
EVENTS = st.builds(
    lambda name, ids, fields: {"event": name, **(CHAT if ids else {}), **fields},
    st.sampled_from([*NAMES, "brand_new"]),
    st.booleans(),
    st.dictionaries(FIELDS, VALUES, max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=6), st.sampled_from(["keep", "split", "drop"]), st.booleans())
def test_any_event_is_read_or_refused(events: list[dict[str, Any]], reasoning: str, trace: bool) -> None:
    sent = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    options: dict[str, Any] = {"reasoning": reasoning, "tool_trace": trace}
    read = events_of(dify({"stream": True}, **options), [sent])
    ends = [event for event in read if type(event) in (Finish, Failed)]
    assert ends == read[-1:]
    for make in (streamed, whole):
        upstream = dify({"stream": make is streamed}, **options)
        upstream.prepare()
        stream = make(upstream)
        told(stream, [sent])
        assert stream.failure is None or isinstance(stream.failure, GatewayError)
        upstream.farewell()
        plan = upstream.settle()
        assert plan is not None
        list(plan)


BAD: list[dict[str, Any]] = [
    say(7),  # type: ignore[arg-type]
    {"event": "message", **CHAT},
    {**say(["a"]), "event": "agent_message"},  # type: ignore[arg-type]
    {"event": "text_chunk", **CHAT},
    {"event": "text_chunk", **CHAT, "data": {"text": {"a": 1}}},
    {"event": "message_replace", **CHAT, "answer": None},
    {"event": "workflow_finished", **CHAT, "data": None},
    {"event": "reasoning_chunk", **CHAT},
    {"event": "node_finished", **CHAT},
]


@pytest.mark.parametrize("event", BAD)
def test_a_known_event_of_an_unreadable_shape_ends_the_answer(event: dict[str, Any]) -> None:
    last = heard(say("a"), event)[-1]
    assert type(last) is Failed
    assert type(last.error) is UpstreamMalformed


@pytest.mark.parametrize("payload", [b"[]", b"7", b'"a"', b"null", b"{", b"<", b"[DONE]"])
def test_a_frame_that_is_no_event_ends_the_answer(payload: bytes) -> None:
    stream = streamed(dify())
    stream.feed(frames(say("a")))
    stream.feed(b"data: %b\n\n" % payload)
    assert type(stream.failure) is UpstreamMalformed


def test_a_frame_without_anything_is_nothing() -> None:
    stream = streamed(dify())
    stream.feed(frames(say("a")) + b"data:\n\n" + frames(END))
    assert stream.failure is None


def test_what_is_kept_in_mind_is_bounded() -> None:
    many = MAX_KNOWN + 40
    events: list[dict[str, Any]] = []
    for n in range(many):
        events += [
            say("x", from_variable_selector=[f"n{n}", "text"]),
            node("finished", "llm", node_id=f"n{n}", outputs={"finish_reason": "length"}),
            {"event": "agent_thought", **CHAT, "id": f"th{n}", "tool": "t"},
            {"event": "message_file", **CHAT, "id": f"f{n}", "url": f"https://x.example.org/{n}.png"},
            {"event": "human_input_required", **CHAT, "data": {"form_id": f"fo{n}", "form_content": "?"}},
        ]
    sources = [{"doc_metadata": {"url": f"https://x.example.org/{n}"}} for n in range(many)]
    upstream = dify()
    sent = frames(*events, {**END, "metadata": {"retriever_resources": sources}})
    read = events_of(upstream, [sent])
    kept = upstream._kept
    for seen in (upstream._spoke, kept.cut, kept.tools, kept.shown, kept.forms):
        assert len(seen) == MAX_KNOWN
    assert sum(type(event) is File for event in read) == MAX_KNOWN
    assert sum(type(event) is Activity and event.kind == "tool" for event in read) == MAX_KNOWN
    assert sum(type(event) is Citation for event in read) == 64
    last = read[-1]
    assert type(last) is Finish
    assert last.platform is not None
    assert len(last.platform["retriever_resources"]) == 64


SOURCES: list[tuple[Any, list[Citation]]] = [
    (
        {"doc_metadata": {"url": "https://x/a"}, "document_name": "a"},
        [Citation(None, None, "https://x/a", "a", "")],
    ),
    ({"doc_metadata": {"url": "no", "source": "https://x/b"}}, [Citation(None, None, "https://x/b", "", "")]),
    (
        {"url": "https://x/c", "title": "C", "content": "q" * 3000},
        [Citation(None, None, "https://x/c", "C", "q" * 2000)],
    ),
    ({"doc_metadata": None, "url": "/files/a"}, []),
    ({"doc_metadata": {"url": "javascript:x"}}, []),
    ({"doc_metadata": {"url": "https://x/" + "a" * 5000}}, []),
    ({}, []),
    ("no object", []),
]


@pytest.mark.parametrize(("source", "citations"), SOURCES)
def test_sources(source: Any, citations: list[Citation]) -> None:
    events = heard(say("a"), {**END, "metadata": {"retriever_resources": [source]}})
    assert [event for event in events if type(event) is Citation] == citations
    last = events[-1]
    assert type(last) is Finish
    assert last.platform is not None
    assert last.platform["retriever_resources"] == [source]
    assert type(heard(say("a"), {**END, "metadata": {"retriever_resources": {"a": 1}}})[-1]) is Finish


FORMS: list[tuple[Any, str]] = [
    (
        {"form_id": "f", "form_content": "Sure?", "actions": [{"title": "Yes"}, {"id": "no"}, {}, 7]},
        "Sure?\n- Yes\n- no",
    ),
    ({"form_id": "f", "form_content": "", "node_title": "Approval"}, "Approval"),
    ({"form_id": "f", "form_content": None, "actions": "x"}, ""),
    ([], ""),
]


@pytest.mark.parametrize(("form", "text"), FORMS)
def test_forms(form: Any, text: str) -> None:
    asked = {"event": "human_input_required", **CHAT, "data": form}
    events = heard(asked, asked, {"event": "workflow_paused", **CHAT, "data": {"reasons": [form]}})
    assert "".join(getattr(event, "text", "") for event in events) == text
    assert type(events[-1]) is Finish
    assert type(heard({"event": "workflow_paused", **CHAT, "data": None})[-1]) is Finish


def test_chunks_and_words_do_not_share_a_template() -> None:
    upstream = dify()
    for event in (chunk("a"), say("b"), chunk("c")):
        upstream.translate(b"", json.dumps(event).encode(), lambda event: None)
    assert upstream._template.match(json.dumps(say("d")).encode()) is None
