"""The tricky cases of wire/bedrock.md that are about answers, each by its number.

Cases about requests are in test_bedrock_cases_asked.py. Cases 21, 22 and 27 need sockets or a clock.
"""

from __future__ import annotations

import json

import pytest

from tests.support import aws_frames
from tests.support.split import check_every_split
from tests.upstreams.bedrock_setup import (
    CALL_0,
    CALL_1,
    DIGITS,
    INVOCATION,
    UUID4,
    api,
    body_of,
    chunks,
    citation,
    cites,
    contents,
    deltas,
    dumped,
    events_of,
    exception,
    failure,
    files,
    final,
    finishes,
    function,
    heard,
    message,
    orchestration,
    out,
    output,
    rationale,
    ready,
    returns,
    s3,
    say,
    streamed,
    trace,
    whole,
    words,
)
from tests.wires.reader import told
from translators.errors import (
    QuotaExceeded,
    RateLimited,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
)
from translators.events import Citation, Failed, File, Finish, Reasoning, Text, ToolCall, Usage


def test_case_01_one_chunk_is_streamed_in_words_and_loses_nothing() -> None:
    text = "".join(f"word{n} " if n % 7 else f"word{n}\n\n  " for n in range(500))
    sent = out(say(text))
    assert deltas(sent)[0]["role"] == "assistant"
    assert len(contents(sent)) == 500
    assert "".join(contents(sent)) == text
    assert finishes(sent) == ["stop"]
    stream = streamed()
    assert len(chunks(stream.feed(say(text)))) == 501  # all of it in the write that follows the read


def test_case_02_a_final_response_is_not_told_beside_the_chunk() -> None:
    assert contents(out(final("Hi"), say("Hi"))) == ["Hi"]
    assert contents(out(say("Hi"), final("Hi"))) == ["Hi"]
    assert message(final("Hi"), say("Hi"))["content"] == "Hi"


def test_case_03_json_in_a_chunk_is_text() -> None:
    assert contents(out(say('{"content":"x"}'))) == ['{"content":"x"}']


@pytest.mark.parametrize("bytes_", [{"bytes": ""}, {"bytes": None}, {}])
def test_case_04_a_chunk_without_words_still_has_its_annotations(bytes_: dict[str, str]) -> None:
    told = dumped({**bytes_, **cites(citation("x", s3("s3://b/k")))})
    sent = out(aws_frames.event("chunk", told))
    assert contents(sent) == []
    [annotation] = [delta["annotations"][0] for delta in deltas(sent) if "annotations" in delta]
    assert annotation["url_citation"]["url"] == "s3://b/k"
    assert finishes(sent) == ["stop"]


def test_case_05_blanks_and_line_ends_are_kept() -> None:
    pieces = ["foo", " bar", "\n", "   ", "\t"]
    assert contents(out(*map(say, pieces))) == pieces
    assert message(*map(say, pieces))["content"] == "".join(pieces)


def test_case_06_usage_is_the_sum_of_what_there_is() -> None:
    silent = orchestration(modelInvocationOutput={"metadata": {"clientRequestId": "r0"}})
    events = heard(output("r1", 3, 1), silent, say("x"), output("r2", 10, 5))
    assert Usage(13, 6) in events
    unknown = {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1}
    assert body_of(silent, say("x"))["usage"] == unknown
    assert chunks(out(silent, say("x")))[-1]["usage"] == unknown


def test_case_07_a_request_is_counted_once() -> None:
    assert Usage(3, 1) in heard(output("r1", 3, 1), say("x"), output("r1", 3, 1))


@pytest.mark.parametrize("streams", [True, False])
def test_case_08_an_exception_first_is_an_error_and_no_stream(streams: bool) -> None:
    sent = exception("throttlingException", "slow down")
    stream = streamed() if streams else whole()
    text = check_every_split(lambda parts: told(streamed() if streams else whole(), parts), sent)
    assert b"role" not in text
    stream.feed(sent)
    assert isinstance(stream.failure, RateLimited)
    assert (stream.failure.status, stream.failure.retry_after) == (429, 1.0)


def test_case_09_an_exception_after_a_thought_ends_in_an_error_frame() -> None:
    frames = rationale("Let me see."), exception("internalServerException", "boom")
    sent = out(*frames)
    assert deltas(sent)[1] == {"reasoning_content": "Let me see."}
    assert json.loads(sent.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    assert finishes(sent) == []
    assert b"[DONE]" not in sent
    assert isinstance(failure(*frames), UpstreamBroken)


def test_case_10_two_inputs_are_two_calls_of_one_invocation() -> None:
    frames = returns(function("track", [("id", "string", "77")]), api("/orders/{id}/items", "get"))
    sent = out(frames)
    calls = [delta["tool_calls"][0] for delta in deltas(sent) if "tool_calls" in delta]
    assert [(call["index"], call["id"]) for call in calls] == [(0, CALL_0), (1, CALL_1)]
    assert [call["function"]["name"] for call in calls] == ["track", "get_orders_id_items"]
    assert calls[0]["function"]["arguments"] == '{"id":"77"}'
    assert INVOCATION.replace("-", "") == DIGITS
    assert finishes(sent) == ["tool_calls"]
    told = message(frames)
    assert told["content"] is None
    assert [call["id"] for call in told["tool_calls"]] == [CALL_0, CALL_1]


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("integer", "007x", "007x"),
        ("integer", "77", 77),
        ("integer", "007", "007"),
        ("number", "-1.5e3", -1500.0),
        ("number", "1e999", "1e999"),
        ("integer", "123456789012345678901234567890", 123456789012345678901234567890),
        ("boolean", "TRUE", True),
        ("boolean", "false", False),
        ("boolean", "yes", "yes"),
        ("array", "[1,2]", [1, 2]),
        ("array", "a,b", "a,b"),
        ("array", '{"a":1}', '{"a":1}'),
        ("object", '{"a":1}', {"a": 1}),
        ("object", "[1]", "[1]"),
        ("string", "1", "1"),
        ("sparkle", "1", "1"),
        (None, "1", "1"),
        ("integer", None, None),
    ],
)
def test_case_11_values_are_what_their_type_says_if_they_can_be(
    type: str, value: str, expected: object
) -> None:
    [call] = [
        event for event in heard(returns(function("f", [("x", type, value)]))) if isinstance(event, ToolCall)
    ]
    assert json.loads(call.arguments) == {"x": expected}


TOPIC = {"topicPolicy": {"topics": [{"name": "t", "type": "DENY", "action": "BLOCKED"}]}}
MASKED = {"sensitiveInformationPolicy": {"piiEntities": [{"type": "NAME", "action": "ANONYMIZED"}]}}


@pytest.mark.parametrize(
    ("step", "members", "reason"),
    [
        ({"action": "NONE", "inputAssessments": [TOPIC]}, {}, "stop"),
        ({"action": "INTERVENED", "inputAssessments": [TOPIC]}, {}, "content_filter"),
        ({"action": "INTERVENED", "outputAssessments": [MASKED, TOPIC]}, {}, "content_filter"),
        ({"action": "INTERVENED", "outputAssessments": [MASKED]}, {}, "stop"),
        ({"action": "INTERVENED"}, {}, "content_filter"),
        ({"action": "INTERVENED", "inputAssessments": [TOPIC]}, {"collaboratorName": "Sub"}, "stop"),
    ],
)
def test_case_15_a_guardrail_filters_by_the_rule(step: object, members: dict[str, str], reason: str) -> None:
    sent = out(trace("guardrailTrace", step, **members), say("Sorry."))
    assert contents(sent) == ["Sorry."]
    assert finishes(sent) == [reason]


def test_case_15_a_filter_comes_before_calls() -> None:
    frames = trace("guardrailTrace", {"action": "INTERVENED"}), returns(function("f"))
    assert finishes(out(*frames)) == ["content_filter"]


def test_case_16_strangers_are_ignored() -> None:
    strange = aws_frames.event("sparkle", b'{"bytes":"eA=="}')
    assert contents(out(say("a"), strange, say("b", sparkle=1), say("c"))) == ["a", "b", "c"]


def test_case_17_an_error_frame_is_a_failure_of_the_upstream() -> None:
    error = failure(
        aws_frames.error("InternalError", "boom at arn:aws:lambda:eu-west-1:123456789012:function:x")
    )
    assert isinstance(error, UpstreamFailed)
    assert (error.status, error.code) == (502, "upstream_error")
    assert error.message == "The agent failed: boom at [resource]"


def test_case_18_a_wrong_checksum_ends_what_was_right_until_then() -> None:
    bad = bytearray(say("three"))
    bad[-1] ^= 1
    sent = say("one ") + say("two") + bytes(bad) + say("four")
    stream = streamed()
    text = told(stream, [sent])
    assert contents(text) == ["one ", "two"]
    assert isinstance(stream.failure, UpstreamMalformed)
    assert b"[DONE]" not in text


def test_case_19_reads_are_no_frames() -> None:
    frames = [rationale("r"), say("one "), say("two "), say("three")]
    sent = b"".join(frames)
    one_by_one = told(streamed(), frames)
    cut = len(frames[0]) - 3
    assert told(streamed(), [sent[:cut], sent[cut:]]) == one_by_one
    assert told(streamed(), [sent[: -len(frames[3]) // 2], sent[-len(frames[3]) // 2 :]]) == one_by_one
    assert check_every_split(lambda parts: told(streamed(), parts), sent) == one_by_one


def test_case_20_silence_is_an_error_after_what_was_said() -> None:
    stream = streamed()
    stream.feed(say("Hel"))
    last = stream.fail(UpstreamTimeout("The upstream was silent for 300 seconds."))
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"
    assert stream.close() == b""


def test_case_25_files_are_links_in_their_place() -> None:
    made = [
        {"name": "a.csv", "type": "text/csv", "bytes": ""},
        {"name": "b[1].png", "type": "image/png", "bytes": "iVBORw=="},
    ]
    events = heard(say("Look:"), files(*made), say("Done."))
    assert [type(event) for event in events] == [Text, Text, File, File, Text, Usage, Finish]
    content = message(say("Look:"), files(*made), say("Done."))["content"]
    links = "[a.csv](data:text/csv;base64,)\n![b_1_.png](data:image/png;base64,iVBORw==)\n"
    assert content == f"Look:\n\n{links}Done."
    assert "".join(contents(out(say("Look:"), files(*made), say("Done.")))) == content


def test_case_26_references_that_are_not_there_say_nothing() -> None:
    assert not [event for event in heard(say("x", **cites(citation("x")))) if isinstance(event, Citation)]


def test_case_28_a_quota_is_a_quota_whatever_the_status() -> None:
    upstream = ready()
    upstream.answered({"x-amzn-ErrorType": "ServiceQuotaExceededException:http://internal.amazon.com/"})
    error = upstream.reject(400, b'{"message":"Too many agents."}', None)
    assert isinstance(error, QuotaExceeded)
    assert (error.status, error.code) == (429, "insufficient_quota")


# What no case says.


def test_words_of_one_chunk_stay_together_where_a_client_reads_the_whole() -> None:
    text = "many words in one chunk, and more of them than sixty-four characters hold"
    assert [event.text for event in heard(say(text), streams=False) if isinstance(event, Text)] == [text]
    assert contents(out(say(text), split="off")) == [text]
    assert len(contents(out(say(text), split_threshold=10))) > 5
    assert contents(out(say("x" * 500))) == ["x" * 500]


def test_a_chunk_of_very_many_words_is_told_in_a_bounded_number_of_pieces() -> None:
    text = "a b\n" * 10_000
    pieces = contents(out(say(text)))
    assert "".join(pieces) == text
    assert 1000 < len(pieces) <= 4096


@pytest.mark.parametrize(
    ("unknown", "usage"),
    [("-1", {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1}), ("omit", None)],
)
def test_unknown_usage_is_told_as_configured(unknown: str, usage: object) -> None:
    assert body_of(say("x"), usage_unknown=unknown).get("usage") == usage
    assert body_of(say("x"), usage_unknown="0")["usage"]["total_tokens"] == 0


def test_a_session_that_ends_needs_no_answer() -> None:
    upstream = ready()
    upstream._ends = True
    assert finishes(told(streamed(upstream), [b""])) == ["stop"]


def test_nothing_follows_the_answer_into_the_thoughts() -> None:
    assert not [event for event in heard(say("x"), rationale("late")) if isinstance(event, Reasoning)]
    assert not [
        event for event in heard(rationale("early"), say("x"), reasoning=False) if type(event) is Reasoning
    ]


def test_words_after_a_file_and_torn_characters_take_the_long_way() -> None:
    torn = "é".encode()
    assert words(heard(say("a"), say(torn[:1]), say(torn[1:]), say("b"))) == "aéb"
    assert words(heard(say("a"), say(torn[:1]), say("b"))) == "a\ufffdb"


def test_a_chunk_spelt_otherwise_means_the_same() -> None:
    spelt = [
        b'{ "bytes" : "aGk=" }',
        b'{"bytes":"aG\\u006b="}',
        b'{"x":1,"bytes":"aGk="}',
        b'{"bytes":"aGk="}',
    ]
    for payload in spelt:
        events = heard(say("ok "), aws_frames.event("chunk", payload))
        assert words(events) == "ok hi", payload
    assert words(heard(say("ok "), aws_frames.event("chunk", b'{"bytes":"aGk="x'))) == "ok "


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"{", b'{"bytes":7}', b'{"bytes":"a"}', b'{"bytes":"YQ==YQ=="}', b'"x"', b'{"bytes":["YQ=="]}'],
)
def test_an_unreadable_chunk_ends_the_answer(payload: bytes) -> None:
    events = heard(say("ok"), aws_frames.event("chunk", payload))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, UpstreamMalformed)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"invocationId": "", "invocationInputs": []},
        {"invocationId": 7, "invocationInputs": []},
        {"invocationId": "x" * 201, "invocationInputs": []},
        {"invocationId": INVOCATION},
        {"invocationId": INVOCATION, "invocationInputs": [{"sparkle": {}}]},
        {"invocationId": INVOCATION, "invocationInputs": [{"functionInvocationInput": {"function": "f"}}]},
        {"invocationId": INVOCATION, "invocationInputs": [function("f")] * 33},
    ],
)
def test_a_call_that_cannot_be_answered_is_a_fault(document: object) -> None:
    error = failure(aws_frames.event("returnControl", dumped(document)))
    assert isinstance(error, UpstreamMalformed)


def test_a_return_of_control_without_a_call_is_no_answer() -> None:
    assert isinstance(failure(returns()), UpstreamFailed)


def test_a_file_of_the_agents_is_harmless_or_none() -> None:
    assert isinstance(failure(files({"name": "x", "bytes": "a b)"})), UpstreamMalformed)
    events = heard(files({"name": "../x](y) .p\u2028ng", "type": "Text/<b>", "bytes": "YQ=="}, {}))
    found = [event for event in events if isinstance(event, File)]
    assert [(file.name, file.mime) for file in found] == [
        ("x_y_.p_ng", "application/octet-stream"),
        ("file", "application/octet-stream"),
    ]
    assert len([event for event in heard(*[files(*[{}] * 5)] * 20) if isinstance(event, File)]) == 64


def test_what_the_platform_says_beyond_the_dialect_stands_at_the_end() -> None:
    confirm = function("pay", actionInvocationType="USER_CONFIRMATION")
    upstream = ready()
    upstream.answered({"x-amz-bedrock-agent-session-id": "told-1", "x-amz-bedrock-agent-memory-id": "mem:1"})
    assert upstream.headers == {"x-session-id": "told-1", "x-conversation-id": "told-1"}
    finish = events_of(upstream, returns(confirm, function("f")))[-1]
    assert isinstance(finish, Finish)
    assert finish.platform == {
        "session_id": "told-1",
        "memory_id": "mem:1",
        "invocation_ids": [INVOCATION],
        "confirmations": [CALL_0],
    }
    hostile = ready()
    hostile.answered({"x-amz-bedrock-agent-session-id": "a\r\nb", "x-amz-bedrock-agent-memory-id": "ä"})
    assert UUID4.fullmatch(hostile.headers["x-session-id"])
    assert not hostile._memory
