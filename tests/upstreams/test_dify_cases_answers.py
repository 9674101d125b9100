"""The tricky cases of wire/dify.md that are about answers, each by its number.

Cases about requests are in test_dify_cases_questions.py. Case 35 is about a queue and needs sockets.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.split import check_every_split
from tests.upstreams.dify_setup import (
    CHAT,
    END,
    SITE,
    chunk,
    chunks,
    contents,
    deltas,
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
    whole,
    wire,
    words,
)
from tests.wires.reader import told
from translators.errors import UpstreamFailed, UpstreamIncomplete, UpstreamNotReady
from translators.events import (
    Activity,
    Finish,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)

PING = b"event: ping\n\n"
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "total_price": "0.0012",
    "latency": 0.5,
}


def test_case_01_a_ping_first_is_no_event() -> None:
    stream = streamed(dify({"stream": True}))
    assert stream.feed(PING) == b""
    assert stream.failure is None
    assert stream.upstream.headers == {}
    said = stream.feed(frames(say("a")))
    assert [delta.get("role") for delta in deltas(said)] == ["assistant", None]
    assert stream.upstream.headers == {"x-conversation-id": "c1", "x-task-id": "t1"}


def test_case_02_ping_and_words_in_one_read_or_cut_anywhere() -> None:
    def run(parts: Any) -> list[str]:
        return contents(told(streamed(dify({"stream": True})), parts))

    assert check_every_split(run, PING + frames(say("a"))) == ["a"]


def test_case_03_cut_inside_a_character() -> None:
    sent = frames(say("café"), END)
    place = sent.index(b"\xa9")
    stream = streamed(dify({"stream": True}))
    assert contents(stream.feed(sent[:place]) + stream.feed(sent[place:])) == ["café"]


def test_case_04_escapes_and_spaces_of_old_versions() -> None:
    lines = [say("\U0001f600"), say("abc"), say("def"), END]
    sent = b"".join(f"data: {json.dumps(line)}\n\n".encode() for line in lines)
    assert rb'"answer": "\ud83d\ude00"' in sent
    assert contents(told(streamed(dify({"stream": True})), [sent])) == ["\U0001f600", "abc", "def"]
    upstream = dify()
    upstream.translate(b"", json.dumps(lines[1]).encode(), lambda event: None)
    assert upstream._template.match(json.dumps(lines[2]).encode()) == "def"


def test_case_05_a_line_of_three_megabytes_between_words() -> None:
    big = node("finished", inputs={"x": "y" * 3_000_000}, status="succeeded")
    stream = streamed(dify({"stream": True}))
    sent = frames(say("a"), big, say("b"), END)
    parts = [sent[place : place + 65536] for place in range(0, len(sent), 65536)]
    assert contents(told(stream, parts)) == ["a", "b"]
    assert stream.failure is None


def test_case_06_crlf_and_no_space_after_the_colon() -> None:
    plain = wire("chat_crlf").replace(b"\r\n", b"\n").replace(b"data:", b"data: ")
    assert told(streamed(of_wire("chat")), [wire("chat_crlf")]) == told(streamed(of_wire("chat")), [plain])
    assert contents(told(streamed(of_wire("chat")), [plain])) == ["Kite", "s", " soar"]


def test_case_07_empty_answers_say_nothing() -> None:
    assert contents(out(say("Hel"), say(""), say("lo"), END)) == ["Hel", "lo"]


def test_case_08_a_tag_cut_anywhere() -> None:
    events = heard(say("<th"), say("ink>\nplan"), say("\n</th"), say("ink>\n\nHi"), END)
    assert "".join(event.text for event in events if type(event) is Reasoning).strip() == "plan"
    assert words(events) == "Hi"


def test_case_09_thoughts_without_an_end() -> None:
    assert heard(say("<think>abc"), END)[:-1] == [Reasoning("abc")]
    last = heard(say("<think>abc"), END)[-1]
    assert type(last) is Finish
    assert last.reason == "stop"


def test_case_10_a_bracket_is_not_kept_back_for_long() -> None:
    said = contents(out(say("Use <"), say("b>bold</b>"), END))
    assert "".join(said) == "Use <b>bold</b>"
    assert len(said) == 2
    assert contents(out(say("<"), say("b>"), END)) == ["<b>"]
    assert contents(out(say("<thi"), END)) == ["<thi"]


def test_case_11_a_tag_in_the_middle_is_shown() -> None:
    assert contents(out(say("Example: `<think>` tag is shown"), END)) == ["Example: `<think>` tag is shown"]


def test_case_12_an_agent_in_two_rounds() -> None:
    thought = {
        "event": "agent_thought",
        **CHAT,
        "id": "th1",
        "position": 1,
        "thought": "",
        "tool": "",
        "observation": "",
    }
    search = {**thought, "thought": "Let me see", "tool": "search", "tool_input": '{"search":{"q":"x"}}'}
    events = heard(
        thought,
        {**say("Let me see"), "event": "agent_message"},
        search,
        search,
        {**search, "observation": "found"},
        {**thought, "id": "th2"},
        {**say("42"), "event": "agent_message"},
        {**END, "metadata": {"usage": USAGE}},
    )
    assert [event.text for event in events if type(event) is Text] == ["Let me see", "42"]
    assert [event.state for event in events if type(event) is Activity] == ["started", "completed"]
    assert not any(type(event) is ToolCall for event in events)
    assert events[-2] == Usage(3, 2)
    assert type(events[-1]) is Finish
    assert events[-1].reason == "stop"


def test_case_12_told_as_reasoning_where_it_is_wanted() -> None:
    search = {"event": "agent_thought", **CHAT, "id": "th1", "tool": "search", "tool_input": "{}"}
    seen = {**search, "observation": "found"}
    events = heard(search, seen, seen, END, tool_trace=True)
    assert [event.text for event in events if type(event) is Reasoning] == ["search({})\n", "-> found\n"]
    events = heard(seen, {**seen, "tool_input": "{1}"}, END, tool_trace=True)
    assert [event.text for event in events if type(event) is Reasoning] == [
        "search({})\n",
        "-> found\n",
        "search({1})\n",
    ]


def test_case_13_a_picture_with_a_relative_address() -> None:
    file = {"event": "message_file", **CHAT, "id": "f1", "type": "image", "belongs_to": "assistant"}
    file["url"] = "/files/tools/f1.png?sign=s"
    assert contents(out(file, END)) == [f"![]({SITE}/files/tools/f1.png?sign=s)\n"]
    assert contents(out(file, END, files_url="https://cdn.example.org/")) == [
        "![](https://cdn.example.org/files/tools/f1.png?sign=s)\n"
    ]
    assert contents(out({**file, "belongs_to": "user"}, END)) == []


def test_case_14_speech_after_the_end() -> None:
    stream = streamed(dify({"stream": True}))
    first = stream.feed(frames(say("Hello"), END))
    assert first.endswith(b"data: [DONE]\n\n")
    assert stream.done
    tts = [{"event": "tts_message", **CHAT, "audio": "AAAA"}] * 2 + [
        {"event": "tts_message_end", **CHAT, "audio": ""}
    ]
    assert stream.feed(frames(*tts)) + stream.close() == b""
    assert stream.failure is None


def test_case_15_either_closing_order() -> None:
    words_said = [
        {"event": "workflow_started", **CHAT, "workflow_run_id": "r1", "data": {}},
        say("a"),
        say("b"),
    ]
    end = {**END, "metadata": {"usage": USAGE}}
    run = finished(chats=True, outputs={"answer": "ab"}, total_tokens=99)
    old, new = [*words_said, run, end], [*words_said, end, run]
    assert out(*old) == out(*new)
    stream = streamed(dify({"stream": True}))
    apart = stream.feed(frames(*words_said, run)) + stream.feed(frames(end)) + stream.close()
    assert apart == out(*new)
    reasons = [choice["finish_reason"] for chunk in chunks(apart) for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert chunks(apart)[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_case_16_a_chatflow_that_fails_after_words() -> None:
    sent = wire("chatflow_failed")
    streaming = streamed(of_wire("chatflow_failed"))
    said = told(streaming, [sent])
    assert contents(said) == ["pre "]
    assert said.count(b'"error":') == 1
    assert b'"finish_reason":"' not in said
    assert b"[DONE]" not in said
    answer = whole(of_wire("chatflow_failed", streams=False))
    assert told(answer, [sent]) == b""
    assert answer.failure is not None
    assert (answer.failure.status, answer.failure.code) == (502, "workflow_failed")


def test_case_17_an_error_as_the_first_event() -> None:
    stream = streamed(dify({"stream": True}))
    message = {
        "code": "provider_not_initialize",
        "status": 400,
        "message": "No valid model provider credentials found.",
    }
    sent = frames({"event": "error", "conversation_id": "c1", "message_id": "m1", "created_at": 1, **message})
    stream.feed(PING)
    said = stream.feed(sent)
    assert type(stream.failure) is UpstreamNotReady
    assert (stream.failure.status, stream.failure.code) == (503, "upstream_not_configured")
    assert deltas(said) == []  # so nothing was committed before


def test_case_18_one_document_although_a_stream_was_asked_for() -> None:
    said = told(streamed(of_wire("blocking_chat")), [wire("blocking_chat")])
    assert [delta.get("role") for delta in deltas(said)] == ["assistant", None, None]
    assert contents(said) == ["All at once."]
    assert said.endswith(b"data: [DONE]\n\n")
    body = json.loads(told(whole(of_wire("workflow_blocking", streams=False)), [wire("workflow_blocking")]))
    assert body["choices"][0]["message"]["content"] == "All at once."


def test_case_19_partly_succeeded_is_a_success() -> None:
    events = heard(finished("partial-succeeded", exceptions_count=1, outputs={"text": "x"}), mode="workflow")
    assert words(events) == "x"
    assert type(events[-1]) is Finish
    assert events[-1].reason == "stop"


OUTPUTS: list[tuple[Any, str, str]] = [
    ({"text": "T", "score": 3}, "", "T"),
    ({"a": 1, "b": [2]}, "", '{"a":1,"b":[2]}'),
    ({}, "", ""),
    (None, "", ""),
    ("no object", "", ""),
    ({"x": "only"}, "", "only"),
    ({"x": "one", "result": "two"}, "", "two"),
    ({"answer": "one", "text": "two"}, "", "two"),
    ({"x": "one", "y": "two"}, "", '{"x":"one","y":"two"}'),
    ({"x": "one", "y": "two"}, "y", "two"),
    ({"x": "one", "y": {"z": 1}}, "y", '{"z":1}'),
    ({"x": "one"}, "missing", "one"),
    ({"x": "one", "text": "two", "y": None}, "y", "two"),
]


@pytest.mark.parametrize(("outputs", "variable", "text"), OUTPUTS)
def test_case_20_the_answer_among_the_outputs(outputs: Any, variable: str, text: str) -> None:
    events = heard(finished(outputs=outputs), mode="workflow", output_variable=variable)
    assert words(events) == text
    assert type(events[-1]) is Finish
    assert events[-1].reason == "stop"


def test_case_21_chunks_are_not_said_a_second_time() -> None:
    run = finished(outputs={"x": "A", "y": "B"})
    assert (
        words(heard(chunk("A"), chunk("\n", ["end", "answer"]), chunk("B"), run, mode="workflow")) == "A\nB"
    )
    assert words(heard(chunk(""), run, mode="workflow")) == '{"x":"A","y":"B"}'


@pytest.mark.parametrize("name", ["workflow_failed", "workflow_blocking_failed"])
def test_case_22_a_failed_workflow_is_an_error(name: str) -> None:
    for make in (streamed, whole):
        stream = make(of_wire(name))
        told(stream, [wire(name)])
        assert type(stream.failure) is UpstreamFailed
        assert (stream.failure.status, stream.failure.code) == (502, "workflow_failed")


def test_case_29_an_annotation_answers() -> None:
    said = told(streamed(of_wire("chat_annotation")), [wire("chat_annotation")])
    assert "".join(contents(said)) == "Yes."
    assert chunks(said)[-1]["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    last = events_of(of_wire("chat_annotation"), [wire("chat_annotation")])[-1]
    assert type(last) is Finish
    assert last.platform is not None
    assert last.platform["annotation_reply"]["id"] == "a1"


COUNTS: list[tuple[list[dict[str, Any]], Usage | None]] = [
    ([{**END, "metadata": {"usage": USAGE}}], Usage(3, 2)),
    ([{**END, "metadata": {"usage": None}}], None),
    ([{**END, "metadata": {}}], None),
    ([{**END, "metadata": None}], None),
    ([{"event": "message_end", **CHAT}], None),
    ([{**END, "metadata": {"usage": {}}}], None),
    ([{**END, "metadata": {"usage": {"prompt_tokens": "3", "completion_tokens": -1}}}], Usage(0, 0)),
    ([{**END, "metadata": {"usage": {"prompt_tokens": None, "completion_tokens": True}}}], Usage(0, 0)),
    ([node("finished", "llm", outputs={"usage": USAGE}), END], Usage(3, 2)),
    (
        [
            node("finished", "llm", outputs={"usage": USAGE}),
            {**END, "metadata": {"usage": {**USAGE, "prompt_tokens": 9}}},
        ],
        Usage(9, 2),
    ),
    ([node("finished", "llm", outputs=None, process_data={"usage": USAGE})] * 2 + [END], Usage(6, 4)),
    ([node("finished", "code", outputs={"usage": USAGE}), END], None),
    ([node("finished", "llm", outputs={"usage": 7}, process_data=[]), END], None),
    ([finished(chats=True, total_tokens=41), END], Usage(0, 41)),
    ([finished(chats=True, total_tokens=41)], Usage(0, 41)),
    ([finished(chats=True, total_tokens="41"), END], None),
    ([node("finished", "llm", outputs={"usage": USAGE}), finished(total_tokens=41)], Usage(3, 2)),
]


@pytest.mark.parametrize(("events", "usage"), COUNTS)
def test_case_30_counts_in_every_shape(events: list[dict[str, Any]], usage: Usage | None) -> None:
    told_usage = [event for event in heard(say("a"), *events) if type(event) is Usage]
    assert told_usage == ([] if usage is None else [usage])
    assert type(heard(say("a"), *events)[-1]) is Finish


def test_case_31_a_run_that_waits_for_somebody() -> None:
    for name in ("chatflow_asks_back", "workflow_asks_back"):
        events = events_of(of_wire(name), [wire(name)])
        assert words(events).endswith("Ship it?\n- Approve\n- Reject")
        assert words(events).count("Ship it?") == 1
        last = events[-1]
        assert type(last) is Finish
        assert last.reason == "stop"
        assert last.platform is not None
        assert last.platform["human_input"] == [{"form_id": "fo1", "form_token": "tok-1"}]
    form = {"event": "human_input_required", **CHAT, "data": {"form_id": "f", "form_content": "Sure?"}}
    assert type(heard(form)[-1]) is Finish


def test_case_32_the_end_of_the_body_in_the_middle() -> None:
    stream = streamed(dify({"stream": True}))
    said = told(stream, [frames(say("Almost"))])
    assert type(stream.failure) is UpstreamIncomplete
    assert chunks(said)[-1]["error"]["code"] == "upstream_incomplete"


def test_case_33_strangers_are_not_read_out() -> None:
    stranger = {"event": "brand_new", **CHAT, "answer": "x"}
    assert (
        words(heard(stranger, say("a", chunk_type="text"), stranger, say("b", chunk_type="text"), END))
        == "ab"
    )


def test_case_36_both_attempts_of_a_node_are_heard() -> None:
    retry = {"event": "node_retry", **CHAT, "data": {"status": "retry", "retry_index": 1}}
    assert words(heard(say("Once"), retry, say("Once more"), END)) == "OnceOnce more"
