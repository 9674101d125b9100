"""What one answer can do wrong: each case breaks it in one way, and exactly the laws named are reported.

The table below holds a case for every law; a last test sees to it that none is without.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare import read
from proxy.compare.judge import judge
from proxy.compare.laws import LAWS, words
from proxy.compare.record import MOST_FAULTS, Faults, Question, Recording
from tests.proxy.compare_setup import (
    ANSWER,
    ARGUMENTS,
    CALL,
    CALLED,
    COUNTED,
    DONE,
    ERROR,
    HELLO,
    JSON,
    MESSAGE,
    NULLED,
    PLAIN,
    REFUSED,
    RIGHT,
    RIGHT_COUNTED,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    WHOLE,
    WORLD,
    answer,
    body,
    call,
    chunk,
    faults,
    frame,
    said,
    streamed,
    without,
)

FUNCTION = {"name": "f", "arguments": "{}"}
CALL_END = frame(said({}, "tool_calls"))
BARE = without(HELLO["choices"][0], "index")


def right(*, then: tuple[bytes, ...] = (), instead: dict[int, bytes] | None = None) -> list[bytes]:
    """The right stream with more before its ``[DONE]``, or other frames at these places."""
    frames = [(instead or {}).get(place, one) for place, one in enumerate(RIGHT)]
    return [*frames[:-1], *then, frames[-1]]


GOOD: dict[str, tuple[Recording, Question]] = {
    "a stream": (streamed(RIGHT), PLAIN),
    "a stream in one read": (streamed(b"".join(RIGHT)), PLAIN),
    "a charset": (streamed(RIGHT, {"content-type": "Text/Event-Stream; charset=utf-8"}), PLAIN),
    "usage": (streamed(RIGHT_COUNTED), COUNTED),
    "a call": (streamed(CALLED), PLAIN),
    "two calls": (
        streamed([*CALLED[:3], frame(call(index=1, id="c", type="function", function={"name": "g"})),
                  frame(call(index=1, function={"arguments": "{}"})), CALL_END, DONE]), PLAIN),
    "reasoning first": (streamed(right(instead={1: frame(said({"reasoning_content": "hm"}))})), PLAIN),
    "a refusal": (streamed(right(instead={1: frame(said({"refusal": "no"}))})), PLAIN),
    "role and words in one": (
        streamed([frame(said({"role": "assistant", "content": "Hello"})), *RIGHT[2:]]), PLAIN),
    "a whole answer": (body(ANSWER), WHOLE),
    "a whole call": (
        body(answer({**MESSAGE, "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "tool_calls")), WHOLE),
    "an error": (body(ERROR, 404), REFUSED),
    "an error for a plain question": (body(ERROR, 500), PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_wrong(name: str) -> None:
    assert faults(*GOOD[name]) == {}


BYTES = {
    "byte_order_mark": (b"\xef\xbb\xbf" + RIGHT[0], *RIGHT[1:]),
    "carriage_return": tuple(one.replace(b"\n", b"\r\n") for one in RIGHT),
    "no_space": (RIGHT[0].replace(b"data: ", b"data:"), *RIGHT[1:]),
    "event_line": (b"event: chunk\n" + RIGHT[0], *RIGHT[1:]),
    "id_line": (b"id: 1\n" + RIGHT[0], *RIGHT[1:]),
    "retry_line": (b"retry: 5\n\n", *RIGHT),
    "no_field": (b"hello\n" + RIGHT[0], *RIGHT[1:]),
    "several_data_lines": (RIGHT[0].replace(b', "obj', b',\ndata: "obj'), *RIGHT[1:]),
    "empty_data": (b"data: \n\n", *RIGHT),
    "comment_in_frame": (b": ping\n" + RIGHT[0], *RIGHT[1:]),
    "comment": (b": ping\n\n", *RIGHT),
    "extra_blank_line": (RIGHT[0], b"\n", *RIGHT[1:]),
    "no_blank_line": (*RIGHT[:-1], DONE.rstrip()),
    "line_ends": (RIGHT[0], frame(said({"content": "a\u2028b"})), *RIGHT[2:]),
    "not_utf8": (RIGHT[0], frame(said({"content": "aXb"})).replace(b"aXb", b"a\xffb"), *RIGHT[2:]),
    "done_missing": RIGHT[:-1],
    "done_spelling": (*RIGHT[:-1], b"data:  [DONE] \n\n"),
    "after_done": (*RIGHT, RIGHT[1]),
}
ALSO = {"not_utf8": {"replaced_character"}}
"""What cannot be wrong without the other."""


@pytest.mark.parametrize("code", BYTES)
def test_wrong_bytes(code: str) -> None:
    assert set(faults(streamed(list(BYTES[code])))) == {code} | ALSO.get(code, set())


@pytest.mark.parametrize("code", BYTES)
def test_wherever_the_bytes_are_cut(code: str) -> None:
    whole = b"".join(BYTES[code])
    expected = faults(streamed(whole))
    for place in range(1, len(whole), 7):
        assert faults(streamed([whole[:place], whole[place:]])) == expected
    assert faults(streamed([whole[place : place + 1] for place in range(len(whole))])) == expected


FRAMES: dict[str, tuple[list[bytes], dict[str, str]]] = {
    "not JSON": (right(instead={1: b"data: {oops\n\n"}), {"chunk_not_json": "{oops"}),
    "NaN": (right(instead={1: b"data: NaN\n\n"}), {"chunk_not_json": "NaN"}),
    "no object": (right(instead={1: b"data: []\n\n"}), {"chunk_not_object": ""}),
    "an error": ([*RIGHT[:2], frame(ERROR)], {"error_in_stream": "no such model"}),
    "an error of one word": (
        [*RIGHT[:2], frame({"error": "busy"})], {"error_in_stream": "busy", "type": "error"}),
    "an error without its members": (
        [*RIGHT[:2], frame({"error": {"message": "busy", "param": None, "code": None}})],
        {"error_in_stream": "busy", "missing": "error.type"}),
    "nothing": ([b": ping\n\n"], {"comment": "", "no_events": ""}),
    "a blank line at the end": ([*RIGHT, b"\n"], {"extra_blank_line": ""}),
    "no id": (right(instead={1: frame(without(HELLO, "id"))}), {"missing": "id"}),
    "no choices": (right(instead={1: frame(without(HELLO, "choices"))}), {"missing": "choices", "no_choices": ""}),
    "no finish_reason": (
        right(instead={1: frame(chunk([without(HELLO["choices"][0], "finish_reason")]))}),
        {"missing": "choices[].finish_reason"}),
    "no index": (right(instead={1: frame(chunk([BARE]))}), {"missing": "choices[].index"}),
    "created in words": (
        [frame({**one, "created": "today"}) for one in (ROLE, HELLO, STOP)] + [DONE], {"type": "created"}),
    "created with a fraction": (
        [frame({**one, "created": 1.5}) for one in (ROLE, HELLO, STOP)] + [DONE], {"type": "created"}),
    "content in parts": (
        right(instead={1: frame(said({"content": [{"type": "text"}]}))}), {"type": "choices[].delta.content"}),
    "a choice that is none": (
        right(instead={1: frame(chunk([7]))}), {"type": "choices[]", "no_choices": ""}),
    "other object": (
        right(instead={1: frame({**HELLO, "object": "text_completion"})}),
        {"object": "“text_completion”, not chat.completion.chunk"}),
    "other id": (right(instead={2: frame({**WORLD, "id": "chatcmpl-2"})}), {"id_changes": ""}),
    "empty id": ([frame({**one, "id": ""}) for one in (ROLE, HELLO, STOP)] + [DONE], {"id_empty": ""}),
    "foreign id": ([frame({**one, "id": "x"}) for one in (ROLE, HELLO, STOP)] + [DONE], {"id_prefix": ""}),
    "other created": (right(instead={2: frame({**WORLD, "created": 1})}), {"created_changes": ""}),
    "other model": (right(instead={2: frame({**WORLD, "model": "n"})}), {"model_changes": ""}),
    "second choice": (
        right(instead={1: frame(chunk([{**HELLO["choices"][0], "index": 1}]))}), {"choice_index": "1"}),
    "two choices": (
        right(instead={1: frame(chunk(HELLO["choices"] * 2))}), {"several_choices": ""}),
    "neither choice nor usage": (right(then=(frame(chunk([])),)), {"no_choices": ""}),
    "no role": (RIGHT[1:], {"no_role": ""}),
    "late role": ([RIGHT[1], RIGHT[0], *RIGHT[2:]], {"role_late": ""}),
    "role again": (right(instead={1: frame(said({"role": "assistant", "content": "a"}))}), {"role_again": ""}),
    "role of the user": (
        [frame(said({"role": "user", "content": ""})), *RIGHT[1:]], {"role": "“user”, not assistant"}),
    "empty role": (
        [frame(said({"role": "", "content": ""})), *RIGHT[1:]],
        {"role": "“”, not assistant", "no_role": ""}),
    "content null": (right(instead={1: frame(said({"content": None}))}), {"content_null": ""}),
    "half a character": (
        right(instead={1: frame(said({"content": "X"})).replace(b'"X"', b'"\\ud83d"')}), {"half_character": ""}),
    "a lost character": (right(instead={1: frame(said({"content": "\ufffd"}))}), {"replaced_character": ""}),
    "reasoning late": (
        right(instead={2: frame(said({"reasoning_content": "hm"}))}), {"reasoning_late": ""}),
    "reasoning by its short name, late": (
        right(instead={2: frame(said({"reasoning": "hm"}))}), {"reasoning_late": ""}),
    "no finish": ([*RIGHT[:3], DONE], {"finish_missing": ""}),
    "finish twice": (right(then=(RIGHT[3],)), {"finish_again": ""}),
    "other finish": (right(instead={3: frame(said({}, "end_turn"))}), {"finish_value": "“end_turn”"}),
    "empty finish": (
        right(instead={1: frame(said({"content": "a"}, ""))}), {"finish_value": "an empty string, not null"}),
    "finish a number": (
        right(instead={3: frame(said({}, 1))}), {"type": "choices[].finish_reason"}),
    "finish with words": (
        right(instead={3: frame(said({"content": "a"}, "stop"))}), {"finish_with_words": ""}),
    "words after finish": (right(then=(RIGHT[1],)), {"after_finish": ""}),
    "stop after a call": (
        [*CALLED[:3], frame(said({}, "stop")), DONE], {"finish_of_calls": "stop"}),
    "tool_calls without a call": (right(instead={3: CALL_END}), {"calls_missing": ""}),
    "call from one": (
        [CALLED[0], *(frame(call(**{**one["choices"][0]["delta"]["tool_calls"][0], "index": 1}))
                      for one in (CALL, ARGUMENTS)), CALL_END, DONE],
        {"call_index": "1 in place of 0"}),
    "call without index": (
        [*CALLED[:2], frame(call(function={"arguments": '{"a":1}'})), CALL_END, DONE],
        {"missing": "choices[].delta.tool_calls[].index", "call_arguments": "there are none"}),
    "call without id": (
        [CALLED[0], frame(call(index=0, type="function", function=FUNCTION)), *CALLED[3:]], {"call_start": "id"}),
    "call without type": (
        [CALLED[0], frame(call(index=0, id="c", function=FUNCTION)), CALL_END, DONE], {"call_start": "type"}),
    "call without function": (
        [CALLED[0], frame(call(index=0, id="c", type="function")), *CALLED[2:]], {"call_start": "name"}),
    "call id again": (
        [*CALLED[:2], frame(call(index=0, id="call_1", function={"arguments": "{}"})), CALL_END, DONE],
        {"call_again": "id"}),
    "call name again": (
        [*CALLED[:2], frame(call(index=0, function=FUNCTION)), CALL_END, DONE],
        {"call_again": "name"}),
    "arguments not JSON": (
        [*CALLED[:2], frame(call(index=0, function={"arguments": "{a"})), *CALLED[3:]], {"call_arguments": "{a"}),
    "arguments no object": (
        [*CALLED[:2], frame(call(index=0, function={"arguments": "[]"})), *CALLED[3:]], {"call_arguments": "[]"}),
    "a call that is none": (
        right(instead={1: frame(said({"tool_calls": ["f"]}))}), {"type": "choices[].delta.tool_calls[]"}),
    "calls that are none": (
        right(instead={1: frame(said({"tool_calls": "f"}))}), {"type": "choices[].delta.tool_calls"}),
    "a choice without delta": (
        right(instead={1: frame(chunk([without(HELLO["choices"][0], "delta")]))}),
        {"missing": "choices[].delta"}),
    "usage unasked": (right(then=(frame(chunk([], usage=USAGE)),)), {"usage_unasked": ""}),
    "usage with choices": (right(instead={3: frame(said({}, "stop", usage=USAGE))}), {"usage_with_choices": ""}),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_wrong_frames(name: str) -> None:
    frames, expected = FRAMES[name]
    assert faults(streamed(frames)) == expected


USED = frame(chunk([], usage=USAGE))
COUNTS: dict[str, tuple[list[bytes], dict[str, str]]] = {
    "missing": ([*NULLED, DONE], {"usage_missing": ""}),
    "twice": ([*NULLED, USED, USED, DONE], {"usage_again": ""}),
    "early": ([*NULLED[:3], USED, NULLED[3], DONE], {"usage_early": "", "after_usage": ""}),
    "wrong sum": (
        [*NULLED, frame(chunk([], usage={**USAGE, "total_tokens": 9})), DONE], {"usage_sum": "2 + 3 ≠ 9"}),
    "negative": ([*NULLED, frame(chunk([], usage=dict.fromkeys(USAGE, -1))), DONE], {"usage_negative": ""}),
    "a count missing": (
        [*NULLED, frame(chunk([], usage=without(USAGE, "total_tokens"))), DONE], {"missing": "usage.total_tokens"}),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_wrong_counts(name: str) -> None:
    frames, expected = COUNTS[name]
    assert faults(streamed(frames), COUNTED) == expected


TOOL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
HEADS: dict[str, tuple[Recording, Question, dict[str, str]]] = {
    "no answer": (Recording(0, end="connection refused"), PLAIN, {"no_answer": "connection refused"}),
    "cut": (streamed(RIGHT[:2], end="reset"), PLAIN, {"cut": "reset"}),
    "cut in a frame": (streamed([*RIGHT[:2], b"data: {"], end="reset"), PLAIN,
        {"cut": "reset"}),
    "torn": (streamed([*RIGHT, b"dat"]), PLAIN, {"torn": "", "no_blank_line": "", "no_field": "dat"}),
    "a page": (streamed(RIGHT, {"content-type": "text/html"}), PLAIN,
               {"content_type": "text/html, not text/event-stream"}),
    "no type": (streamed(RIGHT, {}), PLAIN, {"content_type": "missing, not text/event-stream"}),
    "compressed": (streamed(RIGHT, {**STREAM, "content-encoding": "gzip"}), PLAIN, {"encoded": "gzip"}),
    "identity": (streamed(RIGHT, {**STREAM, "content-encoding": "identity"}), PLAIN, {}),
    "held back": (streamed(RIGHT, {**STREAM, "content-length": "9"}), PLAIN, {"not_streamed": ""}),
    "not streamed": (body(ANSWER), PLAIN, {"content_type": "application/json, not text/event", "no_events": ""}),
    "a whole answer cut": (Recording(200, JSON, ((0.1, b"{"),), end="reset"), WHOLE, {"cut": "reset"}),
    "not JSON": (body(b"<html>"), WHOLE, {"not_json": "a page"}),
    "not UTF-8": (body(b'{"a":"\xff"}'), WHOLE, {"not_json": ""}),
    "no object": (body([]), WHOLE, {"not_object": ""}),
    "other object": (body({**ANSWER, "object": "x"}), WHOLE, {"object": "“x”, not chat.completion"}),
    "no choices": (body({**ANSWER, "choices": []}), WHOLE, {"no_choices": ""}),
    "choices of one word": (body({**ANSWER, "choices": "x"}), WHOLE, {"no_choices": "", "type": "choices"}),
    "two choices": (body({**ANSWER, "choices": ANSWER["choices"] * 2}), WHOLE, {"choice_index": "0"}),
    "role": (body(answer({**MESSAGE, "role": "user"})), WHOLE, {"role": "user"}),
    "no message": (body(answer("x")), WHOLE, {"type": "choices[].message"}),
    "no finish": (body(answer(finish=None)), WHOLE, {"type": "choices[].finish_reason"}),
    "arguments": (body(answer({**MESSAGE, "tool_calls": [TOOL, {**TOOL, "function": 1}, 2]}, "stop")), WHOLE,
                  {"finish_of_calls": "stop", "call_arguments": "{", "type": ""}),
    "usage": (body({**ANSWER, "usage": {**USAGE, "total_tokens": 0}}), WHOLE, {"usage_sum": "2 + 3 ≠ 0"}),
    "an error of one word": (body({"error": "x"}, 404), REFUSED, {"type": "error"}),
    "a bare error": (body({"message": "x"}, 404), REFUSED, {"missing": "error"}),
    "a number for a code": (body({"error": {**ERROR["error"], "code": 404}}, 404), REFUSED, {"type": "error.code"}),
    "an error as a stream": (Recording(404, STREAM, ((0.1, b"data: {}\n\n"),)), REFUSED,
                             {"content_type": "text/event-stream, not application/json", "not_json": "data: {}"}),
    "a redirect": (body(b"", 302, {}), PLAIN, {"content_type": "missing, not application/json",
                                               "not_json": "it is empty"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_wrong_answers(name: str) -> None:
    recording, question, expected = HEADS[name]
    found = faults(recording, question)
    assert found.keys() == expected.keys()
    assert all(found[code].startswith(start) for code, start in expected.items() if start)


def test_an_overlong_frame() -> None:
    assert faults(streamed([b"data: " + b"x" * (5 << 20)])).keys() == {
        "overlong",
        "no_blank_line",
        "no_events",
    }


def test_every_law_has_a_case() -> None:
    tried = [faults(streamed(list(case))) for case in BYTES.values()]
    tried += [faults(streamed(frames)) for frames, _ in FRAMES.values()]
    tried += [faults(streamed(frames), COUNTED) for frames, _ in COUNTS.values()]
    tried += [faults(recording, question) for recording, question, _ in HEADS.values()]
    assert set(LAWS) - {"overlong"} == set(itertools.chain.from_iterable(tried))


def test_what_is_wrong_again_is_counted() -> None:
    told = read.read(streamed(right(then=(RIGHT[1],) * 3)), PLAIN)
    (fault,) = told.faults.found.values()
    assert words(fault) == "a delta follows finish_reason (3 times)"


def test_faults_are_bounded_and_clean() -> None:
    faults_ = Faults()
    for number in range(2 * MOST_FAULTS):
        faults_.add("missing", "Bearer abcdefgh\x1b[31m" + "x" * 1000, subject=str(number))
    assert len(faults_.found) == MOST_FAULTS
    assert all(
        "\x1b" not in one.detail and "abcdefgh" not in one.detail and len(one.detail) <= 160
        for one in faults_.found.values()
    )


NAMES = st.sampled_from(
    [
        *("id", "object", "choices", "index", "delta", "role", "content", "tool_calls", "function", "name"),
        *("arguments", "finish_reason", "usage", "error", "message", "total_tokens", "reasoning"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "x"])
JSONS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSONS, max_size=4), st.binary(max_size=60), st.sampled_from([PLAIN, COUNTED, WHOLE, REFUSED]))
def test_nothing_that_is_sent_breaks_the_judge(
    documents: list[object], junk: bytes, question: Question
) -> None:
    for status in (200, 404):
        wild = [
            streamed([*map(frame, documents), junk]),
            *(body(document, status) for document in documents),
            body(junk, status),
        ]
        readings = [read.read(one, question) for one in wild]
        for left, other in itertools.pairwise(readings):
            judge(question, left, other)
