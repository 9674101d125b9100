"""Coze streams as nobody should send them: whatever comes, a stream ends with one ending and raises nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import partitions
from tests.upstreams.coze_setup import (
    CREATED,
    FOLDER,
    NAMES,
    completed,
    coze,
    delta,
    event,
    events_of,
    of_wire,
    streamed,
    wire,
)
from tests.wires.reader import told
from translators.errors import UpstreamMalformed
from translators.events import Failed, Finish, Suggestion, Text, ToolCall
from translators.framing.base import MAX_FRAME
from translators.upstreams.coze_framing import CozeFraming

PIECES = [
    *(
        b"\n",
        b"\r",
        b"\n\n",
        b"data:",
        b"event:",
        b"event:done",
        b":",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
        b'"',
        b"\\",
    ),
    *(b"{", b"}", b"[", b"]", b",", b"null", b"-1", b"1e999", b"18446744073709551616", b"NaN", b'"\\ud83d"'),
    *(
        b"<",
        b"conversation.chat.completed",
        b"conversation.message.delta",
        b"Message",
        b"Interrupt",
        b"Error",
    ),
    *(
        b'"type":',
        b'"content":',
        b'"id":',
        b'"code":4014',
        b'"required_action":',
        b'"usage":7',
        b'"interrupt_data":{}',
    ),
]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    sent = wire(draw(st.sampled_from(NAMES)))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted((draw(st.integers(0, len(sent))), draw(st.integers(0, len(sent)))))
        how = draw(st.integers(0, 3))
        piece = draw(st.sampled_from(PIECES))
        other = wire(draw(st.sampled_from(NAMES)))
        middle = [b"", sent[start:end] * 2, piece, other[: end - start]][how]
        sent = sent[:start] + middle + sent[end if how != 2 else start :]
    return sent


@settings(max_examples=400, deadline=None)
@given(mangled(), st.booleans(), st.data())
def test_mangled_streams_end_once(sent: bytes, workflow: bool, data: st.DataObject) -> None:
    make = lambda: coze(model_type="workflow" if workflow else "chat")  # noqa: E731
    events = events_of(make(), [sent])
    assert [type(event) in (Finish, Failed) for event in events] == [False] * (len(events) - 1) + [True]
    parts = data.draw(partitions(sent))
    assert told(streamed(make()), parts) == told(streamed(make()), [sent])


SHAPES: list[Any] = [None, 7, "x", [], [7], {}, {"id": []}, {"content": 7}, {"type": {}, "content": "x"}]
EVENTS = [
    *("conversation.chat.created", "conversation.chat.completed", "conversation.chat.requires_action"),
    *(
        "conversation.chat.failed",
        "conversation.message.delta",
        "conversation.message.completed",
        "error",
        "done",
    ),
    *("Message", "Interrupt", "Error", "Done", "PING"),
]


@pytest.mark.parametrize("shape", [json.dumps(shape) for shape in SHAPES] + ["{", "x"])
@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("model_type", ["chat", "workflow"])
def test_any_shape_under_any_name(name: str, shape: str, model_type: str) -> None:
    events = events_of(coze(model_type=model_type), [event(name, shape) + delta("x")])
    assert [type(event) in (Finish, Failed) for event in events].count(True) == 1


@pytest.mark.parametrize(
    "action",
    [
        {"submit_tool_outputs": {"tool_calls": "x"}},
        {"submit_tool_outputs": {"tool_calls": {"a": 1}}},
        {"submit_tool_outputs": {"tool_calls": [7]}},
        {"submit_tool_outputs": {"tool_calls": [{"function": {"name": 7}, "id": "a"}]}},
        {"submit_tool_outputs": {"tool_calls": [{"function": {"name": "f"}}]}},
        {"submit_tool_outputs": {"tool_calls": [{"function": {"name": "f"}, "id": 7}]}},
        [7],
        "x",
    ],
)
def test_actions_that_cannot_be_read(action: Any) -> None:
    last = events_of(coze(), [event("conversation.chat.requires_action", {"required_action": action})])[-1]
    assert type(last) is Failed
    assert type(last.error) is UpstreamMalformed


def test_arguments_may_be_an_object_and_calls_are_bounded() -> None:
    calls = [
        {"id": str(n), "type": "function", "function": {"name": "f", "arguments": {"n": n}}}
        for n in range(200)
    ]
    action = {"submit_tool_outputs": {"tool_calls": calls}}
    events = events_of(coze(), [event("conversation.chat.requires_action", {"required_action": action})])
    found = [event for event in events if type(event) is ToolCall]
    assert (len(found), found[1].arguments, found[1].index) == (128, '{"n":1}', 1)


def test_suggestions_are_bounded() -> None:
    sent = b"".join(completed("x" * 5000, str(n), type="follow_up") for n in range(50))
    found = [event for event in events_of(coze(), [CREATED + sent]) if type(event) is Suggestion]
    assert (len(found), len(found[0].text)) == (16, 1000)


def test_addresses_are_bounded() -> None:
    long = "https://h/" + "x" * 3000
    sent = delta("a") + event("done", {"debug_url": long})
    finish = events_of(coze(), [sent])[-1]
    assert type(finish) is Finish
    assert "debug_url" not in (finish.platform or {})


def test_nodes_are_bounded() -> None:
    def node(name: str) -> bytes:
        return event("Message", {"content": "x", "node_title": name, "node_seq_id": "1"})

    sent = b"".join(node(str(n)) for n in range(70)) + node("69") + node("0")
    said = [event.text for event in events_of(coze(model_type="workflow"), [sent]) if type(event) is Text]
    assert said == ["x", *["\n\nx"] * 69, "x", "\n\nx"]


def test_events_are_bounded() -> None:
    last = events_of(coze(), [delta("a"), b"event:x\ndata:" + b"x" * (MAX_FRAME + 10)])[-1]
    assert type(last) is Failed
    assert type(last.error) is UpstreamMalformed


# What the framing owes beyond the grammar.


def framed(sent: bytes) -> list[tuple[bytes, bytes]]:
    framing = CozeFraming()
    return [*framing.feed(sent), *framing.close()]


@pytest.mark.parametrize(
    ("sent", "frames"),
    [
        (b"event:a\ndata:b\n\n", [(b"a", b"b")]),
        (b"event:a\nid:5\n\n", [(b"a", b"")]),
        (b"event: a\ndata: b\n\n", [(b"a", b"b")]),
        (b"event:  a\ndata:  b \n\n", [(b" a", b" b ")]),
        (b"data:b\nevent:a\n\n", [(b"a", b"b")]),
        (b"id:1\nevent:a\ndata:b\nretry:1\n\n", [(b"a", b"b")]),
        (b"event:a\ndata:b\ndata: c\n\n", [(b"a", b"b\nc")]),
        (b"event:a\nevent:b\ndata:c\n\n", [(b"b", b"c")]),
        (b"event:a\n\n", [(b"a", b"")]),
        (b"event:a\ndata:\n\n", [(b"a", b"")]),
        (b": x\n\nid:1\n\n", []),
        (b": x\nevent:a\n:y\ndata:b\n\n", [(b"a", b"b")]),
        (
            b": x\n\n{1}\n\nevent:a\n{2}\ndata:b\n\n{3}",
            [(b"", b"{1}"), (b"", b"{2}"), (b"a", b"b"), (b"", b"{3}")],
        ),
        (b"data: {}\n\ndata:{}\n\n", [(b"", b"{}"), (b"", b"{}")]),
        (b" {1}\n", [(b"", b"{1}")]),
        (b"[1]", [(b"", b"[1]")]),
        (b"\n\n\n", []),
        (b"event:a\ndata:b", [(b"a", b"b")]),
        (b"event:a", []),
        (b"event:a\ndata:", []),
    ],
)
def test_framing_of_coze(sent: bytes, frames: list[tuple[bytes, bytes]]) -> None:
    assert framed(sent) == frames


def test_much_white_space_is_a_stream() -> None:
    assert framed(b"\n" * 5000 + b"event:a\ndata:b\n\n") == [(b"a", b"b")]
    framing = CozeFraming()
    assert framing.close() == []
    assert framing.fault is None
    framing.feed(b"\n" * 5000)
    assert framing.feed(b"{1}\n\n") == [(b"", b"{1}")]


def test_every_wire_is_of_a_known_kind() -> None:
    assert {path.suffix for path in FOLDER.iterdir()} == {".sse", ".events", ".chunks", ".whole"}
    assert of_wire("workflow_text").model == "m"
