"""Answers of Dify apps piece by piece: what the recorded wires and the numbered cases do not show."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.dify_setup import (
    CHAT,
    END,
    RUN,
    SITE,
    chunk,
    contents,
    dify,
    events_of,
    finished,
    frames,
    heard,
    node,
    of_wire,
    out,
    say,
    streamed,
    wire,
    words,
)
from tests.wires.reader import told
from translators.errors import RateLimited
from translators.events import (
    Failed,
    File,
    Finish,
    Opened,
    Reasoning,
    Replace,
    Text,
)


def test_words_under_the_name_of_a_file() -> None:
    assert words(events_of(of_wire("chat"), [wire("chat_words_as_message_file")])) == "One two three"


COPIES: list[tuple[list[str], str, str]] = [
    (["Let me see. ", "It is"], "Let me see. It is 42", "Let me see. It is 42"),
    (["It is 42"], "It is 42", "It is 42"),
    (["It is 42 "], " It is 42", "It is 42 "),
    (["First.", "It is 42"], "It is 42", "First.It is 42"),
    ([], "It is 42", "It is 42"),
    ([""], "It is 42", "It is 42"),
    (["One"], "Two", "OneTwo"),
    (["<think>t</think>It", " is"], "<think>t</think>It is 42", "It is 42"),
    (["It is <"], "It is <b>", "It is <b>"),
]


@pytest.mark.parametrize(("said", "copy", "text"), COPIES)
def test_the_closing_copy_of_an_agent(said: list[str], copy: str, text: str) -> None:
    events = [{**say(piece), "event": "agent_message"} for piece in said]
    assert words(heard(*events, say(copy), END)) == text


REPLACED: list[tuple[list[dict[str, Any]], Replace, str]] = [
    (
        [say("bad"), {"event": "message_replace", **CHAT, "answer": "good"}],
        Replace("good", "bad"),
        "content_filter",
    ),
    ([say("a"), {"event": "message_replace", **CHAT, "answer": "ab"}], Replace("ab", "a"), "stop"),
    (
        [say("a"), {"event": "message_replace", **CHAT, "answer": "ab", "reason": "output_moderation"}],
        Replace("ab", "a"),
        "content_filter",
    ),
    (
        [say("<think>t</think>a"), {"event": "message_replace", **CHAT, "answer": "<think>t</think>ab"}],
        Replace("ab", "a"),
        "stop",
    ),
    ([say("a<"), {"event": "message_replace", **CHAT, "answer": "a<b"}], Replace("a<b", "a<"), "stop"),
    (
        [chunk("a"), {"event": "text_replace", **RUN, "data": {"text": "b"}}],
        Replace("b", "a"),
        "content_filter",
    ),
]


@pytest.mark.parametrize(("events", "replace", "reason"), REPLACED)
def test_taking_back(events: list[dict[str, Any]], replace: Replace, reason: str) -> None:
    said = heard(*events, finished(outputs={"x": "b"}) if replace.text == "b" else END)
    assert [event for event in said if type(event) is Replace] == [replace]
    assert type(said[-1]) is Finish
    assert said[-1].reason == reason


def test_words_after_taking_back() -> None:
    replaced = {"event": "message_replace", **CHAT, "answer": "good"}
    said = contents(
        out(say("bad"), replaced, say(" and more"), {**replaced, "answer": "good and more!"}, END)
    )
    assert said == ["bad", "\n\ngood", " and more", "!"]


def test_length_is_told_where_a_speaking_node_was_cut() -> None:
    source = {"from_variable_selector": ["n1", "text"]}
    cut = node("finished", "llm", outputs={"finish_reason": "length"})
    elsewhere = node("finished", "llm", node_id="n2", outputs={"finish_reason": "length"})
    in_process = node("finished", "llm", process_data={"finish_reason": "length"})
    for ends, reason in ((cut, "length"), (in_process, "length"), (elsewhere, "stop")):
        last = heard(say("a", **source), ends, END)[-1]
        assert type(last) is Finish
        assert last.reason == reason


STOPPED: list[tuple[dict[str, Any], str]] = [
    (finished("stopped", error="Stopped by user."), "stop"),
    (finished("stopped", error="Output moderation hit"), "content_filter"),
    (finished("stopped", error=None), "stop"),
    (finished("paused"), "stop"),
]


@pytest.mark.parametrize(("event", "reason"), STOPPED)
def test_a_run_that_was_stopped(event: dict[str, Any], reason: str) -> None:
    for events in ([chunk("a"), event], [say("a"), {**event, **CHAT}, END], [say("a"), {**event, **CHAT}]):
        last = heard(*events)[-1]
        assert type(last) is Finish
        assert last.reason == reason


def test_a_failed_run_stays_failed() -> None:
    for more in ([], [END]):
        last = heard(say("a"), finished("failed", chats=True, error="It broke"), *more)[-1]
        assert type(last) is Failed
        assert last.error.message == "The run failed at Dify: It broke"
    crowded = {
        "event": "error",
        **CHAT,
        "code": "invalid_param",
        "message": "Too many requests. Please try again",
    }
    last = heard(say("a"), finished("failed", chats=True, error=None), crowded)[-1]
    assert type(last) is Failed
    assert type(last.error) is RateLimited


def test_thoughts_in_events_of_their_own() -> None:
    thought = {"event": "reasoning_chunk", **CHAT, "data": {"reasoning": "hm"}}
    odd = {"event": "reasoning_chunk", **CHAT, "data": {"reasoning": None, "is_final": True}}
    assert heard(say("a"), thought, odd, END, reasoning="keep")[1] == Reasoning("hm")
    assert Reasoning("hm") not in heard(say("a"), thought, odd, END, reasoning="drop")


def test_tags_are_kept_or_dropped() -> None:
    sent = (say("<think>a</think>"), say(" b"), END)
    assert words(heard(*sent, reasoning="keep")) == "<think>a</think> b"
    dropped = heard(*sent, reasoning="drop")
    assert words(dropped) == "b"
    assert not any(type(event) is Reasoning for event in dropped)


def test_ids_that_could_harm_are_not_ids() -> None:
    events = events_of(
        dify(), [frames({**say("a"), "task_id": "../x", "conversation_id": "c\r\nx", "message_id": 7})]
    )
    assert type(events[0]) is Text
    upstream = dify()
    told(streamed(upstream), [frames({**say("a"), "task_id": "t/../1"}, {**say("b"), "task_id": "t2"})])
    assert upstream.headers == {"x-conversation-id": "c1"}
    assert upstream._ids["task_id"] == "t2"


def test_opened_says_what_the_platform_calls_it() -> None:
    assert events_of(dify(), [frames(say("a"), END)])[0] == Opened("c1", "m1")
    assert events_of(dify(mode="workflow"), [frames(finished())])[0] == Opened("", "r1")


def test_files_at_the_end_are_those_that_were_not_shown() -> None:
    seen = {"event": "message_file", **CHAT, "id": "f1", "type": "image", "url": "/files/tools/f1.png?sign=a"}
    files = [
        {"related_id": "f1", "type": "image", "url": "/other/f1?sign=b"},
        {"related_id": None, "type": "image", "url": "/files/tools/f1.png?sign=b"},
        {
            "related_id": "f9",
            "type": "document",
            "filename": "",
            "url": "https://x.example.org/a/report.pdf?s=1",
        },
        {"related_id": "f8", "type": "video", "url": "https://x.example.org/b"},
        {"related_id": "f7", "type": "image", "url": "javascript:alert(1)"},
        {"related_id": "f6", "type": "image", "remote_url": "//evil.example.org/x.png"},
        {"related_id": "f5", "type": "image", "url": None},
        "no file",
    ]
    events = heard(seen, seen, say("x"), {**END, "files": files})
    assert [event for event in events if type(event) is File] == [
        File("f1", f"{SITE}/files/tools/f1.png?sign=a", "image/png", ""),
        File("f9", "https://x.example.org/a/report.pdf?s=1", "application/pdf", "report.pdf"),
        File("f8", "https://x.example.org/b", "video/*", "b"),
    ]


def test_an_address_cannot_leave_its_link() -> None:
    file = {
        "event": "message_file",
        **CHAT,
        "id": "f",
        "type": "image",
        "url": "https://x.example.org/a)[b](c d<e>",
    }
    [told_file] = [event for event in heard(file, END) if type(event) is File]
    assert told_file.url == "https://x.example.org/a%29[b]%28c%20d%3Ce%3E"
    assert not [
        event for event in heard({**file, "url": "https://x.example.org/\n"}, END) if type(event) is File
    ]
