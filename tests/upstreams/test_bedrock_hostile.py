"""Whatever an upstream or a client sends, an agent's answer ends in order and a request is asked or refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import (
    CALL_0,
    CALL_1,
    Platform,
    agent,
    dumped,
    function,
    returns,
    say,
    streamed,
    user,
)
from tests.wires.reader import told
from translators.errors import BadRequest, GatewayError


def names(words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words.split())


KEYS = names(
    "bytes attribution citations retrievedReferences location s3Location uri trace "
    "orchestrationTrace rationale text modelInvocationOutput metadata usage inputTokens "
    "clientRequestId reasoningContent reasoningText observation finalResponse invocationInput "
    "actionGroupInvocationInput guardrailTrace action inputAssessments failureTrace failureCode "
    "failureReason invocationId invocationInputs functionInvocationInput actionGroup function "
    "parameters name type value requestBody content properties apiInvocationInput apiPath httpMethod "
    "files collaboratorName message generatedResponsePart textResponsePart span start"
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ODD = st.sampled_from(
    ["INTERVENED", "aGk=", "RETURN_CONTROL", "USER_CONFIRMATION", "s3://b/k", "integer", "7"]
)
JSON = st.recursive(
    LEAVES | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
NAMES = st.sampled_from(["chunk", "trace", "returnControl", "files", "sparkle"])
FRAMES = st.lists(
    st.tuples(NAMES, JSON).map(lambda pair: aws_frames.event(pair[0], dumped(pair[1])))
    | st.tuples(NAMES, st.binary(max_size=40)).map(lambda pair: aws_frames.event(*pair))
    | st.binary(max_size=20).map(say)
    | JSON.map(lambda document: aws_frames.exception("throttlingException", dumped(document)))
    | st.just(returns(function("f"))),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(FRAMES)
def test_no_answer_escapes(frames: list[bytes]) -> None:
    stream = streamed()
    out = told(stream, frames)
    assert out.endswith(b"data: [DONE]\n\n") == (stream.failure is None)
    assert stream.failure is None or isinstance(stream.failure, GatewayError)
    Platform().carry_out(stream.upstream.settle())


MESSAGES = st.lists(
    st.sampled_from(
        [
            user("hi"),
            user([{"type": "text", "text": "x"}]),
            {"role": "assistant", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": CALL_0, "function": {"name": None}}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": CALL_0}, {"id": CALL_1, "function": {"name": "a__b"}}],
            },
            {"role": "tool", "tool_call_id": CALL_0, "content": "1"},
            {"role": "tool", "tool_call_id": CALL_1, "content": [{"type": "text", "text": "2"}]},
            {"role": "tool", "tool_call_id": "other", "content": "3"},
            {"role": "system", "content": "x" * 40},
            {"role": "function", "name": "f"},
        ]
    ),
    min_size=1,
    max_size=6,
)
OWN = names("bedrock session_id memory_id end_session metadata user tools tool_choice modalities n")
MEMBERS = names(
    "enableTrace endSession sessionAttributes knowledgeBaseConfigurations latency actionGroups sourceArn"
)
VALUES = JSON | st.dictionaries(MEMBERS, JSON, max_size=3)
REMEMBERED = {
    "agent": ["AGENT12345", "TSTALIASID"],
    "session": "s1",
    "invocation": "i",
    "inputs": [{"actionGroup": "g", "function": "f"}] * 2,
}


@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.dictionaries(OWN, VALUES, max_size=3), st.booleans(), st.booleans())
@example([{"role": "user", "content": "hi"}], {"metadata": {"k": {"invocationId": None}}}, False, False)
def test_a_request_is_asked_or_refused(
    messages: list[dict[str, Any]], more: dict[str, Any], inline: bool, known: bool
) -> None:
    settings = {"foundation_model": "m"} if inline else {"qualify_tool_names": True}
    digits = CALL_0.split("_")[1]
    platform = Platform({f"bedrock-call:{digits}": REMEMBERED} if known else {})
    try:
        call = platform.call(agent({**more, "messages": messages, "stream": True}, **settings))
    except BadRequest as error:
        assert error.message
    else:
        body = json.loads(call.body)
        state = body.get("inlineSessionState" if inline else "sessionState", {})
        assert ("inputText" in body) != ("invocationId" in state) or body.get("endSession")
        assert call.path.isascii()
