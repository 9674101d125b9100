"""The OpenAI upstream piece by piece: requests, limits, and what single chunks mean.

Whole answers are in the recorded wires; here stand the members, types and orders that no recording has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.split import check_every_split
from tests.wires.reader import ENVELOPE, events_of, openai, streamed, told, whole
from translators.errors import RateLimited, UpstreamError, UpstreamMalformed
from translators.events import (
    Event,
    Failed,
    Finish,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
    Verbatim,
)
from translators.request import Prompt
from translators.upstreams import UPSTREAMS
from translators.upstreams.builtin import Builtin, BuiltinSettings
from translators.upstreams.openai import MAX_CHOICES, OpenAI, OpenAISettings
from translators.upstreams.openai_tools import MAX_CALLS
from translators.upstreams.plan import Call, Script


def choice(delta: Any = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **members}]}


def said(*chunks: Any, **settings: Any) -> list[Event]:
    """The events of these chunks, without what opens them and without the failure for want of an end."""
    sent = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    events = [event for event in events_of([sent], **settings) if type(event) is not Opened]
    if type(events[-1]) is Failed and events[-1].error.code == "upstream_incomplete":
        events.pop()
    return events


def test_request_is_forwarded_with_only_what_must_change() -> None:
    body = {"model": "alias", "messages": [], "seed": 1, "unknown": {"x": [1]}}
    call = OpenAI(Prompt(body, "alias", False, False), OpenAISettings(), ENVELOPE, "real").call()
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("POST", "chat/completions")
    assert json.loads(call.body) == {**body, "model": "real"}
    options = {"include_usage": False, "include_obfuscation": False}
    streaming = Prompt({**body, "stream": True, "stream_options": options}, "alias", True, False)
    call = OpenAI(streaming, OpenAISettings(), ENVELOPE, "real").call()
    assert isinstance(call, Call)
    assert json.loads(call.body)["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in body
    assert b'"stream_options":{"include_usage":true}' in openai().call().body  # type: ignore[union-attr]


def test_every_kind_is_known_by_its_name() -> None:
    assert UPSTREAMS["openai"] is OpenAI
    assert UPSTREAMS["builtin"] is Builtin
    assert all(kind.name == name for name, kind in UPSTREAMS.items())
    assert type(openai().reject(429, b"", 1.0)) is RateLimited


def test_builtin_model_speaks_the_dialect_it_is_read_in() -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    answers = []
    for stream in (True, False):
        prompt = Prompt(body, "demo", stream, False)
        script = Builtin(prompt, BuiltinSettings(pace=0.5), ENVELOPE, "demo").call()
        assert isinstance(script, Script)
        steps = list(script.steps)
        assert {pause for pause, _ in steps[:-1]} <= {0.5}
        reader = whole()
        [told_choice] = json.loads(told(reader, [data for _, data in steps]))["choices"]
        answers.append((told_choice["message"]["content"], told_choice["finish_reason"]))
        assert reader.failure is None
    assert answers[0] == answers[1]


WORDS: list[tuple[Any, list[Event]]] = [
    (choice({"content": "a"}), [Text("a")]),
    (choice({"content": None}), []),
    (choice({"content": [{"type": "text", "text": "a"}, {"text": None}, {"text": "b"}]}), [Text("ab")]),
    (choice({"content": [{"type": "thinking", "thinking": "t"}]}), [Reasoning("t")]),
    (choice({"reasoning": "t", "content": "a"}), [Reasoning("t"), Text("a")]),
    (choice({"reasoning": "t", "reasoning_content": "t"}), [Reasoning("t")]),
    (choice({"reasoning_content": {"text": "t"}}), []),
    (choice({"refusal": "no"}), [Refusal("no")]),
    (choice({"refusal": True}), []),
    (choice({"refusal": {"a": 1}}), []),
    (choice({"role": "assistant", "tool_calls": None}), []),
    (choice(None), []),
    ({"choices": [{}]}, []),
    ({"choices": None}, []),
    ({}, []),
    (choice({}, finish_reason="length"), [Finish("length")]),
    (choice({}, finish_reason="MAX_TOKENS"), [Finish("length")]),
    (choice({}, finish_reason="tool_use"), [Finish("tool_calls")]),
    (choice({}, finish_reason="SAFETY"), [Finish("content_filter")]),
    (choice({}, finish_reason="eos"), [Finish("stop")]),
    ({"choices": [{"message": {"content": "a"}}]}, [Text("a"), Finish("stop")]),
    ({"choices": [{"message": None, "finish_reason": "length"}]}, [Finish("length")]),
    (
        {"usage": {"prompt_tokens": 1, "completion_tokens": None}},
        [Usage(1, 0, native={"prompt_tokens": 1, "completion_tokens": None})],
    ),
    (choice({"tool_calls": [{"id": 7, "function": {"name": "f"}}]}), [ToolCall(0, "7", "f", "")]),
    (choice({"tool_calls": [{"index": True, "function": None}]}), [ToolCall(0, "call_1_0", "", "")]),
    (choice({"content": "a", "x": 1}), [Verbatim(0, {"content": "a", "x": 1}, {}, {}, None, (Text("a"),))]),
    (choice({"content": "a", "x": None}, y=None), [Text("a")]),
    (
        {
            "choices": [
                {
                    "index": 3,
                    "delta": {"reasoning": "t", "content": "a", "refusal": "n"},
                    "finish_reason": "stop",
                }
            ]
        },
        [
            Verbatim(
                3,
                {"reasoning_content": "t", "content": "a", "refusal": "n"},
                {},
                {},
                "stop",
                (Reasoning("t"), Text("a"), Refusal("n")),
            ),
            Finish("stop"),
        ],
    ),
]


@pytest.mark.parametrize(("chunk", "events"), WORDS, ids=[json.dumps(row[0])[:60] for row in WORDS])
def test_one_chunk(chunk: Any, events: list[Event]) -> None:
    assert said(chunk, reasoning="keep") == events


UNREADABLE: list[Any] = [
    7,
    "x",
    [],
    None,
    [1],
    {"choices": 5},
    {"choices": ["x"]},
    {"choices": {"a": 1}},
    {"choices": [None]},
    {"choices": [{"index": "one", "delta": {}}]},
    {"choices": [{"index": [1]}]},
    {"choices": [{"index": 0.5}]},
    {"choices": [{"delta": "x"}]},
    {"choices": [{"delta": {"content": 5}}]},
    {"choices": [{"delta": {"content": {"a": 1}}}]},
    {"choices": [{"delta": {"content": ["x"]}}]},
    {"choices": [{"delta": {"content": [{"text": 5}]}}]},
    {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": None}]}}]},
    {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": [{}]}]}}]},
    {"choices": [{"delta": {"tool_calls": 5}}]},
    {"choices": [{"delta": {"tool_calls": ["x"]}}]},
    {"choices": [{"delta": {"tool_calls": [{"function": "x"}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"function": {"name": 5}}]}}]},
    {"choices": [{"delta": {}, "finish_reason": 5}]},
    {"usage": 5},
    {"usage": {"prompt_tokens_details": "x"}},
]


@pytest.mark.parametrize("chunk", UNREADABLE, ids=json.dumps)
@pytest.mark.parametrize("make", [streamed, whole])
def test_unreadable_shapes_end_the_stream_with_a_cause(make: Callable[[], Any], chunk: Any) -> None:
    stream = make()
    out = stream.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert stream.done
    assert type(stream.failure) is UpstreamMalformed
    assert stream.failure.__cause__ is not None
    assert stream.feed(b"data: [DONE]\n\n") == b""
    assert out.count(b'"error"') == (1 if make is streamed else 0)


def test_what_was_understood_before_the_fault_is_kept() -> None:
    broken = {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": 5}}]}
    assert said(broken, reasoning="keep")[0] == Text("a")
    for reason in ("error", "abort", "cancelled"):
        events = said(choice({"content": "a"}, finish_reason=reason), reasoning="keep")
        assert events[0] == Text("a")
        assert type(events[-1]) is Failed
        assert type(events[-1].error) is UpstreamError


@pytest.mark.parametrize("depth", [150, 250, 600, 1020, 5000])
@pytest.mark.parametrize("member", ["id", "x", "system_fingerprint", "usage", "error"])
def test_deep_documents_are_refused_and_never_raise(member: str, depth: int) -> None:
    for text in ('{"a":' * depth + "1" + "}" * depth, "[" * depth + "]" * depth):
        sent = f'{{"{member}":{text},"choices":[{{"delta":{{"content":"a"}},"finish_reason":"stop"}}]}}'
        for make in (streamed, whole):
            stream = make()
            told(stream, [b"data: " + sent.encode() + b"\n\n"])
            assert stream.done
            assert depth == 150 or stream.failure is not None
            assert (member, depth) != ("x", 150) or stream.failure is None


def with_member(value: str) -> bytes:
    return b'data: {"x":' + value.encode() + b',"choices":[{"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 300, "0.1"])
def test_numbers_survive_exactly(number: str) -> None:
    assert f'"x":{number},'.encode() in streamed().feed(with_member(number))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "9" * 5000])
@pytest.mark.parametrize("more", ["", ',"y":123456789012345678901234'])
def test_numbers_that_cannot_are_refused(number: str, more: str) -> None:
    stream = streamed()
    stream.feed(with_member(number + more))
    assert type(stream.failure) is UpstreamMalformed


def test_a_long_constant_is_not_repeated_in_every_frame() -> None:
    book = "x" * 10_000
    first = {"system_fingerprint": book, "service_tier": {"an": "object"}, **choice({"content": "a"})}
    out = streamed().feed(
        b"data: "
        + json.dumps(first).encode()
        + b"\n\n"
        + b'data: {"choices":[{"delta":{"content":"b"}}]}\n\n' * 50
    )
    assert out.count(book.encode()) == 1
    assert out.count(b'"an":"object"') == 1


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [{"index": index, "delta": {}} for index in range(MAX_CHOICES + 1)]},
        choice({"tool_calls": [{"id": f"c{number}", "function": {}} for number in range(MAX_CALLS + 1)]}),
    ],
)
def test_counts_have_bounds(chunk: dict[str, Any]) -> None:
    stream = streamed()
    stream.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert type(stream.failure) is UpstreamMalformed


def thinking(parts: list[str], mode: str) -> tuple[str, str]:
    """Joined thoughts and joined words."""
    events = said(
        *(choice({"content": part}) for part in parts), choice({}, finish_reason="stop"), reasoning=mode
    )
    joined = {
        kind: "".join(event.text for event in events if type(event) is kind) for kind in (Reasoning, Text)
    }
    return joined[Reasoning], joined[Text]


THOUGHTS = "<think>I muse</think>\n\nSo <think>"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("split", ("I muse", "\n\nSo <think>")), ("drop", ("", "\n\nSo <think>")), ("keep", ("", THOUGHTS))],
)
def test_think_tags_cut_at_every_place(mode: str, expected: tuple[str, str]) -> None:
    assert check_every_split(lambda parts: thinking(list(parts), mode), THOUGHTS) == expected


def test_after_the_end_nothing_is_held_back_for_a_tag() -> None:
    late = [choice({"content": " "}), choice({"content": "<think>"})]
    for first in ("", "a"):
        events = said(choice({"content": first}, finish_reason="stop"), *late)
        assert [event.text for event in events if type(event) is Text] == [
            *filter(None, [first]),
            " ",
            "<think>",
        ]


def test_drop_hides_reasoning_whichever_way_it_came() -> None:
    chunks = [choice({"reasoning": "t"}), choice({"content": [{"type": "thinking", "thinking": "t"}]})]
    assert said(*chunks, choice({"reasoning_content": "t", "content": "a"}), reasoning="drop") == [Text("a")]


def test_tool_calls_after_held_back_words() -> None:
    events = said(
        choice({"content": "<thi"}),
        choice({"tool_calls": [{"id": "c", "function": {"name": "f"}}]}),
        choice({}, finish_reason="stop"),
    )
    assert events == [ToolCall(0, "c", "f", ""), Text("<thi"), Finish("tool_calls")]


def test_name_that_comes_in_pieces() -> None:
    pieces = [
        {"index": 0, "id": "c", "function": {"name": "get_"}},
        {"index": 0, "function": {"name": "time"}},
    ]
    assert said(choice({"tool_calls": pieces})) == [ToolCall(0, "c", "get_", ""), ToolCall(0, "", "time", "")]
