"""The chat surface, event by event: each of the vocabulary's words in both of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

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
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole

STOP = Finish("stop")
ROLE = {"role": "assistant", "content": "", "refusal": None}


def deltas(*events: Event) -> list[Any]:
    """What the streamed form says in choice 0, the role at the beginning left out."""
    chunks = documents(Chat(ENVELOPE, False).render([*events, STOP]))
    said = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert said[0] == ROLE
    assert said[-1] == {}
    return said[1:-1]


def body(*events: Event) -> dict[str, Any]:
    return loads(ChatWhole(ENVELOPE).render([*events, STOP]))


CITED = {
    "type": "url_citation",
    "url_citation": {"start_index": 3, "end_index": 9, "title": "T", "url": "https://e.org"},
}
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
GOES_ON = {"index": 0, "function": {"arguments": "}"}}
WHOLE_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

WORDS: list[tuple[list[Event], list[Any], dict[str, Any]]] = [
    ([], [], {"content": ""}),
    ([Text("a"), Text("b")], [{"content": "a"}, {"content": "b"}], {"content": "ab"}),
    ([Text("")], [{"content": ""}], {"content": ""}),
    ([Text('\u2028"\n')], [{"content": '\u2028"\n'}], {"content": '\u2028"\n'}),
    (
        [Reasoning("r"), Reasoning("s"), Text("t")],
        [{"reasoning_content": "r"}, {"reasoning_content": "s"}, {"content": "t"}],
        {"reasoning_content": "rs", "content": "t"},
    ),
    ([Refusal("n"), Refusal("o")], [{"refusal": "n"}, {"refusal": "o"}], {"refusal": "no", "content": None}),
    (
        [ToolCall(0, "c", "f", "{"), ToolCall(0, "", "", "}")],
        [{"tool_calls": [CALL]}, {"tool_calls": [GOES_ON]}],
        {"tool_calls": [WHOLE_CALL], "content": None},
    ),
    ([Activity("plugin"), Suggestion("s"), Ping()], [], {"content": ""}),
    ([Citation(3, 9, "https://e.org", "T")], [{"annotations": [CITED]}], {"annotations": [CITED]}),
    (
        [Citation(None, None, "u"), Citation(3, 9, "https://e.org", "T")],
        [
            {
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"start_index": 0, "end_index": 0, "title": "", "url": "u"},
                    }
                ]
            },
            {"annotations": [CITED]},
        ],
        {},
    ),
    (
        [File("1", "https://e.org/a.png", "image/png", "[a]"), File("2", "https://e.org/b", name="b")],
        [{"content": "![(a)](https://e.org/a.png)\n"}, {"content": "[b](https://e.org/b)\n"}],
        {"content": "![(a)](https://e.org/a.png)\n[b](https://e.org/b)\n"},
    ),
    (
        [Text("abc"), Replace("abcd", "abc")],
        [{"content": "abc"}, {"content": "d"}],
        {"content": "abcd"},
    ),
    ([Text("abc"), Replace("abc", "abc")], [{"content": "abc"}], {"content": "abc"}),
    ([Text("abc"), Replace("no", "abc")], [{"content": "abc"}, {"content": "\n\nno"}], {"content": "no"}),
    ([Text("x"), Opened(constants={"late": 1})], [{"content": "x"}], {"content": "x"}),
]


@pytest.mark.parametrize(("events", "streamed", "message"), WORDS, ids=[str(row[0])[:40] for row in WORDS])
def test_each_word(events: list[Event], streamed: list[Any], message: dict[str, Any]) -> None:
    assert deltas(*events) == streamed
    told = body(*events)["choices"][0]["message"]
    assert told == {**told, **message}
    assert told["role"] == "assistant"


def test_one_frame_to_the_byte() -> None:
    out = Chat(ENVELOPE, False).render([Text("hi"), Text("\u2029")])
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    tail = b',"logprobs":null,"finish_reason":null}]}\n\n'
    assert out == b"".join(
        head + b'"choices":[{"index":0,"delta":' + delta + tail
        for delta in (
            b'{"role":"assistant","content":"","refusal":null}',
            b'{"content":"hi"}',
            b'{"content":"\\u2029"}',
        )
    )


def test_a_constant_that_looks_like_the_mark() -> None:
    events: list[Event] = [Opened(constants={"system_fingerprint": "\0"}), Text("a"), Text("b"), STOP]
    chunks = documents(Chat(ENVELOPE, True).render(events))
    assert [chunk["system_fingerprint"] for chunk in chunks] == ["\0"] * 4
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "a", "b", None]


USAGE = [
    (Usage(1, 2), {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    (
        Usage(1, 2, cached=0, reasoning=1),
        {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    ),
    (Usage(1, 2, native={"prompt_tokens": 9}), {"prompt_tokens": 9}),
]


@pytest.mark.parametrize(("usage", "document"), USAGE)
def test_usage_is_the_last_and_only_for_those_who_asked(usage: Usage, document: dict[str, Any]) -> None:
    events: Sequence[Event] = [Usage(7, 7), Text("a"), usage, STOP]
    assert body(*events)["usage"] == document
    *chunks, last = documents(Chat(ENVELOPE, True).render(events))
    assert (last["choices"], last["usage"]) == ([], document)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert all("usage" not in chunk for chunk in documents(Chat(ENVELOPE, False).render(events)))


def test_usage_that_nobody_counted_is_absent() -> None:
    assert "usage" not in body(Text("a"))
    assert len(documents(Chat(ENVELOPE, True).render([Text("a"), STOP]))) == 3


def test_begin_says_the_role_once() -> None:
    chat = Chat(ENVELOPE, False)
    assert documents(chat.begin())[0]["choices"][0]["delta"] == ROLE
    assert chat.begin() == b""
    assert len(payloads(chat.render([Text("a")]))) == 1
    assert ChatWhole(ENVELOPE).begin() == b""


def test_ping_is_a_comment_once_the_stream_has_begun() -> None:
    chat = Chat(ENVELOPE, False)
    assert chat.render([Ping()]) == b""
    chat.render([Text("a")])
    assert chat.render([Ping()]) == b": keep-alive\n\n" == chat.keep_alive


def test_failure_is_one_frame_and_no_body() -> None:
    error = UpstreamError("It broke.\n\u2028")
    for events in ([], [Text("a")]):
        frames = payloads(Chat(ENVELOPE, True).render([*events, Failed(error)]))
        assert loads(frames[-1]) == error.document()
        assert "[DONE]" not in frames
    assert ChatWhole(ENVELOPE).render([Text("a"), Failed(error)]) == b""


def verbatim(index: int, finish: str | None = None, **members: Any) -> Verbatim:
    delta, choice, chunk = (members.get(name, {}) for name in ("delta", "choice", "chunk"))
    return Verbatim(index, delta, choice, chunk, finish, ())


def test_verbatim_goes_through_and_choices_end_in_order() -> None:
    events: list[Event] = [
        verbatim(1, delta={"content": "b"}, choice={"logprobs": {"content": [1]}}, chunk={"x": 1}),
        Text("a"),
        verbatim(1, "length", chunk={"x": 2}, choice={"stop_reason": 5}),
        verbatim(0, "stop", delta={"content": "!"}),
        Finish("stop"),
    ]
    chunks = documents(Chat(ENVELOPE, False).render(events))
    assert [(c["choices"][0]["index"], c["choices"][0]["delta"].get("content")) for c in chunks] == [
        (1, ""),
        (1, "b"),
        (0, ""),
        (0, "a"),
        (0, "!"),
        (0, None),
        (1, None),
    ]
    assert chunks[1]["x"] == 1
    assert chunks[1]["choices"][0]["logprobs"] == {"content": [1]}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop", "length"]
    assert (chunks[-1]["x"], chunks[-1]["choices"][0]["stop_reason"]) == (2, 5)
    whole = body(*events)
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["a!", "b"]
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["stop", "length"]
    assert whole["x"] == 2


def test_whole_form_folds_what_only_the_dialect_knows() -> None:
    pieces: list[dict[str, Any]] = [
        {"audio": {"id": "a", "data": "AA", "transcript": "x"}, "list": [1], "odd": {"a": 1}, "word": "a"},
        {"audio": {"data": "BB", "transcript": "y", "expires_at": 5}, "list": [2], "odd": [3], "word": "b"},
        {"list": {"now": "an object"}, "audio": {"data": 7}},
    ]
    message = body(*(verbatim(0, delta=piece) for piece in pieces))["choices"][0]["message"]
    assert message["audio"] == {"id": "a", "data": 7, "transcript": "xy", "expires_at": 5}
    assert (message["list"], message["odd"], message["word"]) == ({"now": "an object"}, [3], "b")
    assert pieces[0]["list"] == [1]
    assert pieces[0]["audio"] == {"id": "a", "data": "AA", "transcript": "x"}


def test_whole_form_joins_tool_calls_of_other_choices() -> None:
    first = {
        "index": 0,
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{"},
        "extra": 1,
    }
    later = {"index": 0, "function": {"arguments": "}"}}
    message = body(
        verbatim(2, delta={"tool_calls": [first]}), verbatim(2, "tool_calls", delta={"tool_calls": [later]})
    )["choices"][0]["message"]
    assert message["tool_calls"] == [{**WHOLE_CALL, "extra": 1}]
