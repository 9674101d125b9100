"""Two answers side by side: whose fault it is, what counts, and what is only noted."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.compare.record import Question, Recording
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
    compared,
    frame,
    reading,
    said,
    streamed,
    told,
    without,
)

SAME = set[tuple[str, str, str]]()
LACKS = ("difference", "right", "lacks")
LACKS_OWN = ("note", "right", "lacks")
EXTRA = ("note", "right", "extra")


def each(*documents: dict[str, Any], **more: Any) -> list[bytes]:
    """The stream of these frames, all with the same member more."""
    return [*(frame({**one, **more}) for one in documents), DONE]


def unjudged(document: dict[str, Any]) -> bytes:
    """A frame whose choices have no ``logprobs``."""
    return frame({**document, "choices": [without(one, "logprobs") for one in document["choices"]]})


R = streamed(RIGHT)
PIECES = (ROLE, HELLO, WORLD, STOP)
OTHER_WORDS = streamed([RIGHT[0], frame(said({"content": "Hi"})), *RIGHT[3:]])
ERROR_CODE = {"error": {**ERROR["error"], "code": "y"}}
THOUGHT = frame(said({"reasoning_content": "hm"}))

PAIRS: dict[str, tuple[Recording, Recording, Question, set[tuple[str, str, str]]]] = {
    "the same": (R, R, PLAIN, SAME),
    "the same in one read": (R, streamed(b"".join(RIGHT)), PLAIN, SAME),
    "other ids and times": (R, streamed(each(*PIECES, id="chatcmpl-9", created=5, model="n")), PLAIN, SAME),
    "a fault on the right": (R, streamed(RIGHT[:-1]), PLAIN, {("difference", "right", "done_missing")}),
    "a fault on the left": (streamed(RIGHT[:-1]), R, PLAIN, {("difference", "left", "done_missing")}),
    "the same fault on both": (
        streamed(RIGHT[:-1]), streamed(RIGHT[:-1]), PLAIN, {("note", "both", "done_missing")}),
    "the same law, another member": (
        streamed(each(*PIECES, created="x")), streamed(each(*PIECES, model=1)), PLAIN,
        {("difference", "left", "type"), ("difference", "right", "type")}),
    "comments on the right": (R, streamed([b": ping\n\n", *RIGHT]), PLAIN, {("note", "right", "comment")}),
    "other words": (R, OTHER_WORDS, PLAIN, {("note", "both", "text")}),
    "other finish": (
        R, streamed([*RIGHT[:3], frame(said({}, "length")), DONE]), PLAIN, {("note", "both", "finish")}),
    "words for a call": (
        streamed(CALLED), R, PLAIN,
        {("note", "both", "text"), ("note", "both", "calls"), ("note", "both", "finish"),
         ("note", "left", "only_one"), ("note", "right", "only_one")}),
    "other arguments": (
        streamed(CALLED),
        streamed([*CALLED[:2], frame(call(index=0, function={"arguments": '{"a":2}'})), *CALLED[3:]]), PLAIN,
        {("note", "both", "calls")}),
    "arguments with other spaces": (
        streamed(CALLED),
        streamed([*CALLED[:2], frame(call(index=0, function={"arguments": '{ "a" : 1 }'})), *CALLED[3:]]), PLAIN,
        SAME),
    "arguments that are no JSON": (
        streamed([*CALLED[:2], *CALLED[3:]]), streamed(CALLED), PLAIN,
        {("difference", "left", "call_arguments"), ("note", "both", "calls"), ("note", "right", "only_one")}),
    "a charset": (
        R, streamed(RIGHT, {"content-type": "text/event-stream; charset=utf-8"}), PLAIN,
        {("note", "both", "content_type_parameters")}),
    "another type": (
        R, streamed(RIGHT, {"content-type": "text/plain; charset=utf-8"}), PLAIN,
        {("difference", "right", "content_type")}),
    # Members.
    "no logprobs": (R, streamed([*map(unjudged, PIECES), DONE]), PLAIN, {LACKS}),
    "no logprobs on the left": (streamed([*map(unjudged, PIECES), DONE]), R, PLAIN, {EXTRA}),
    "logprobs in some frames": (R, streamed([*RIGHT[:2], unjudged(WORLD), *RIGHT[3:]]), PLAIN, {LACKS}),
    "logprobs in some frames of the left": (
        streamed([*RIGHT[:2], unjudged(WORLD), *RIGHT[3:]]), streamed([*map(unjudged, PIECES), DONE]), PLAIN,
        {LACKS, LACKS_OWN}),
    "no refusal in the first": (
        R, streamed([frame(said({"role": "assistant", "content": ""})), *RIGHT[1:]]), PLAIN, {LACKS}),
    "no usage: null": (
        streamed(RIGHT_COUNTED), streamed([*RIGHT[:-1], RIGHT_COUNTED[-2], DONE]), COUNTED, {LACKS}),
    "no system_fingerprint": (
        streamed(each(*PIECES, system_fingerprint="fp")), R, PLAIN, {LACKS_OWN}),
    "no system_fingerprint in some": (
        streamed(each(*PIECES, system_fingerprint="fp")),
        streamed([frame({**ROLE, "system_fingerprint": "fp"}), frame({**HELLO, "system_fingerprint": "fp"}),
                  *RIGHT[2:]]), PLAIN, {LACKS_OWN}),
    "a member nobody knows": (R, streamed(each(*PIECES, x_new=1)), PLAIN, {EXTRA}),
    "a member nobody knows on the left": (streamed(each(*PIECES, x_new=1)), R, PLAIN, {LACKS_OWN}),
    "a member nobody knows, of another type": (
        streamed(each(*PIECES, x_new=1)), streamed(each(*PIECES, x_new="1")), PLAIN,
        {("note", "both", "other_type")}),
    "content null in the first": (
        R, streamed([frame(said({"role": "assistant", "content": None, "refusal": None})), *RIGHT[1:]]), PLAIN,
        {("note", "both", "other_type")}),
    "a call without function name": (
        streamed(CALLED), streamed([CALLED[0], frame(call(index=0, id="c", type="function", function={
            "arguments": ""})), *CALLED[2:]]), PLAIN,
        {("difference", "right", "call_start"), LACKS, ("note", "both", "calls")}),
    "thoughts on the left": (
        streamed([RIGHT[0], THOUGHT, *RIGHT[1:]]), R, PLAIN, {("note", "left", "only_one")}),
    "no details of usage": (
        streamed([*NULLED, frame(chunk([], usage={**USAGE, "prompt_tokens_details": {}})), DONE]),
        streamed(RIGHT_COUNTED), COUNTED, {LACKS_OWN}),
    "no message content": (
        body(ANSWER), body(answer(without(MESSAGE, "content"))), WHOLE,
        {("difference", "right", "missing"), ("note", "both", "text")}),
    "no refusal in the message": (body(ANSWER), body(answer(without(MESSAGE, "refusal"))), WHOLE, {LACKS}),
    "no usage in the answer": (body(ANSWER), body(without(ANSWER, "usage")), WHOLE, {LACKS}),
    # Refusals.
    "both refuse as they should": (body(ERROR, 404), body(ERROR, 404), REFUSED, SAME),
    "with other statuses": (
        body(ERROR, 404), body(ERROR, 400), REFUSED, {("difference", "both", "status")}),
    "with another code": (body(ERROR, 404), body(ERROR_CODE, 404), REFUSED, {("note", "both", "error_code")}),
    "only the left refuses": (body(ERROR, 404), R, REFUSED, {("difference", "left", "refused")}),
    "only the right refuses": (R, body(ERROR, 500), PLAIN, {("difference", "right", "refused")}),
    "both refuse an answer": (body(ERROR, 500), body(ERROR, 500), PLAIN, {("note", "both", "refused")}),
    "nobody refuses": (R, R, REFUSED, {("note", "both", "not_refused")}),
    "a refusal without param": (
        body(ERROR, 404), body({"error": without(ERROR["error"], "param")}, 404), REFUSED,
        {("difference", "right", "missing")}),
    "no answer on the right": (R, Recording(0, end="refused"), PLAIN, {("difference", "right", "no_answer")}),
    "cut on the right": (
        R, streamed(RIGHT[:3], end="reset"), PLAIN,
        {("difference", "right", "cut"), ("note", "both", "finish"), ("note", "left", "only_one")}),
    "JSON for a stream": (
        R, body(ANSWER), PLAIN,
        {("difference", "right", "content_type"), ("difference", "right", "no_events")}
        | {("note", "both", "text"), ("note", "both", "finish"), ("note", "left", "only_one")}),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_two_answers(name: str) -> None:
    left, right, question, expected = PAIRS[name]
    assert told(compared(left, right, question)) == expected


@pytest.mark.parametrize("name", ["other words", "other finish", "other arguments"])
def test_other_answers_count_where_the_same_was_asked_for(name: str) -> None:
    left, right, question, expected = PAIRS[name]
    found = told(compared(left, right, question, same_answer=True))
    assert found == {("difference", side, code) for _, side, code in expected}


@pytest.mark.parametrize("name", PAIRS)
def test_everybody_is_like_himself(name: str) -> None:
    left, right, question, _ = PAIRS[name]
    for one in (left, right):
        assert compared(one, one, question, same_answer=True).differences == []


def words(left: Recording, right: Recording, question: Question = PLAIN) -> list[str]:
    return [finding.words for finding in compared(left, right, question).findings]


def test_differences_come_first() -> None:
    both = streamed([b": ping\n\n", *RIGHT[:-1]])
    assert [one.level for one in compared(R, both).findings] == ["difference", "note"]


@pytest.mark.parametrize(
    ("left", "right", "line"),
    [
        (R, OTHER_WORDS, "the texts (11 / 2 characters) part at 1: “ello world” / “i”"),
        (R, streamed(CALLED), "the texts (11 / 0 characters) part at 0: “Hello world” / nothing"),
        (R, streamed(CALLED), 'the calls are none / f({"a":1})'),
        (R, streamed([*map(unjudged, PIECES), DONE]), "lacks choices[].logprobs (in first, content, finish)"),
        (
            R,
            streamed([*RIGHT[:2], unjudged(WORLD), *RIGHT[3:]]),
            "sometimes lacks choices[].logprobs (in content)",
        ),
        (
            R,
            streamed([b": ping\n\n", b": ping\n\n", *RIGHT]),
            "there are comments, such as keep-alives (2 times)",
        ),
        (R, streamed(each(*PIECES, x=1)), "has x as well (in first, content, finish)"),
        (streamed([RIGHT[0], THOUGHT, *RIGHT[1:]]), R, "alone sends frames of kind “reasoning”"),
        (body(ERROR, 404), R, "refuses what the other side answers: HTTP 404: no such model"),
        (body(ERROR, 404), body(ERROR, 400), "HTTP 404 / HTTP 400"),
        (body(ERROR, 404), body({}, 404), "error is missing in a frame of kind “refusal”"),
    ],
)
def test_how_it_is_said(left: Recording, right: Recording, line: str) -> None:
    assert line in words(left, right)


def test_upstream_words_are_cleaned() -> None:
    secret = {
        "error": {**ERROR["error"], "message": "\x1b[2Jbad key sk-0123456789abcdef at http://10.0.0.1/x"}
    }
    (line,) = words(R, body(secret, 401))
    assert line == "refuses what the other side answers: HTTP 401: [2Jbad key [secret] at [address]"


def test_whether_anything_was_compared() -> None:
    assert compared(R, R).compared
    assert not compared(R, body(ERROR, 404)).compared
    assert compared(body(ERROR, 404), body(ERROR, 404), REFUSED).compared
    assert not compared(R, R, REFUSED).compared
    cut = streamed(RIGHT[:2], end="reset")
    assert compared(R, cut).compared and not compared(cut, cut).compared


def test_the_order_of_frames_and_their_times() -> None:
    told = reading(streamed([RIGHT[0], *RIGHT[1:3] * 2, *RIGHT[3:]]))
    assert told.order == [("first", 1), ("content", 4), ("finish", 1), ("[DONE]", 1)]
    assert (told.times.first_byte, told.times.first_word) == (0.1, 0.2)
    assert [round(told.times.gap(percent) or 0, 6) for percent in (50, 90, 100)] == [0.1] * 3
    calls = reading(streamed([RIGHT[0], frame(CALL), frame(ARGUMENTS), frame(ARGUMENTS), frame(said({}))]))
    assert calls.order == [("first", 1), ("call", 1), ("arguments", 2), ("empty", 1)]
    assert calls.times.first_word == 0.2
    counted = reading(streamed([*RIGHT_COUNTED[:-1], frame(chunk([])), frame(ERROR)]), COUNTED)
    assert counted.order[-3:] == [("usage", 1), ("empty", 1), ("error", 1)]


def test_gaps() -> None:
    pieces = tuple((float(place * place), data) for place, data in enumerate(RIGHT))
    times = reading(Recording(200, STREAM, pieces, 16.0)).times
    assert [times.gap(percent) for percent in (0, 50, 90, 100)] == [1.0, 5.0, 7.0, 7.0]
    assert reading(body(ANSWER), WHOLE).times.gap(50) is None
    assert reading(Recording(200, JSON), WHOLE).times.first_byte is None


def test_strangers_are_bounded() -> None:
    crowd = {f"x{number}": 1 for number in range(500)}
    shape = reading(streamed(each(*PIECES, **crowd))).shape
    assert sum(path.startswith("x") for kind in shape.kinds.values() for path in kind.types) == 50


def test_turns_are_bounded() -> None:
    frames = [RIGHT[0], *[RIGHT[1], frame(said({}))] * 600]
    assert len(reading(streamed(frames)).order) == 1000


def test_calls_are_bounded() -> None:
    calls = [
        frame(call(index=number, id="c", type="function", function={"name": "f"})) for number in range(200)
    ]
    assert len(reading(streamed([RIGHT[0], *calls])).calls) == 128
