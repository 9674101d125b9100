"""The steps of an agent: what of them is told, what is only kept in mind, and what is not even read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import (
    dumped,
    failure,
    final,
    finishes,
    function,
    heard,
    orchestration,
    out,
    output,
    rationale,
    returns,
    say,
    trace,
    words,
)
from translators.errors import UpstreamDependencyFailed, UpstreamFailed
from translators.events import Activity, Event, Reasoning, Usage
from translators.upstreams.bedrock_traces import is_echo


def thoughts(*frames: bytes, **settings: Any) -> list[str]:
    return [event.text for event in heard(*frames, say("x"), **settings) if isinstance(event, Reasoning)]


def activities(events: list[Event]) -> list[tuple[str, ...]]:
    found = [event for event in events if isinstance(event, Activity)]
    return [(one.kind, one.id, one.name, one.input, one.output, one.state) for one in found]


def reasons(text: Any, **members: Any) -> bytes:
    return output("r", 1, 1, reasoningContent={"reasoningText": {"text": text}}, **members)


def test_thoughts_are_told_once_and_apart() -> None:
    assert thoughts(rationale("a"), rationale("a"), rationale("b"), rationale("a")) == ["a", "\n\nb", "\n\na"]
    assert thoughts(reasons("deep"), rationale("deep"), rationale("")) == ["deep"]


def test_thoughts_come_from_every_kind_of_step() -> None:
    before = {"modelInvocationOutput": {"parsedResponse": {"isValid": True, "rationale": "It is fine."}}}
    routing = {"modelInvocationOutput": {"metadata": {}}, "observation": {}}
    assert thoughts(trace("preProcessingTrace", before)) == ["It is fine."]
    assert thoughts(trace("routingClassifierTrace", routing), reasons("hm")) == ["hm"]
    after = {"modelInvocationOutput": {"parsedResponse": {"text": "Not a thought."}}}
    assert thoughts(trace("postProcessingTrace", after)) == []
    hidden = orchestration(modelInvocationOutput={"reasoningContent": {"redactedContent": "aGk="}})
    assert thoughts(hidden) == []
    assert thoughts(trace("orchestrationTrace", {"rationale": {"text": "theirs"}}, collaboratorName="S")) == [
        "theirs"
    ]


def test_custom_steps_are_thoughts_if_that_is_wished() -> None:
    custom = trace("customOrchestrationTrace", {"traceId": "t", "event": {"text": "thinking"}})
    assert thoughts(custom) == []
    assert thoughts(custom, custom_traces=True) == ["thinking"]
    assert thoughts(custom, custom_traces=True, reasoning=False) == []


def counted(**usage: Any) -> bytes:
    return orchestration(modelInvocationOutput={"metadata": {"usage": usage}})


def test_usage_is_that_of_the_models_calls_only() -> None:
    metadata = {"usage": {"inputTokens": 100, "outputTokens": 100}, "clientRequestId": "z"}
    others = [
        trace("guardrailTrace", {"action": "NONE", "metadata": metadata}),
        trace("failureTrace", {"metadata": metadata}),
        orchestration(observation={"finalResponse": {"text": "x", "metadata": metadata}}),
        orchestration(observation={"agentCollaboratorInvocationOutput": {"metadata": metadata}}),
    ]
    post = trace(
        "postProcessingTrace",
        {"modelInvocationOutput": {"metadata": {"usage": {"inputTokens": 2, "outputTokens": 1}}}},
    )
    theirs = output("r9", 5, 5)
    assert Usage(8, 7) in heard(*others, output("r1", 1, 1), post, theirs, say("x"))
    # Without an id nothing says that it is the same request.
    assert Usage(2, 0) in heard(counted(inputTokens=1), counted(inputTokens=1), say("x"))
    assert Usage(0, 0) in heard(counted(inputTokens=-1, outputTokens="3"), say("x"))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            {
                "actionGroupInvocationInput": {
                    "actionGroupName": "g",
                    "function": "f",
                    "executionType": "LAMBDA",
                    "parameters": [{"name": "a"}],
                }
            },
            ("tool", "t-1", "f", '[{"name":"a"}]', "", "started"),
        ),
        (
            {"actionGroupInvocationInput": {"actionGroupName": "g", "requestBody": {"a": 1}}},
            ("tool", "t-1", "g", '{"a":1}', "", "started"),
        ),
        (
            {"knowledgeBaseLookupInput": {"knowledgeBaseId": "KB", "text": "tea"}},
            ("retrieval", "t-1", "KB", "tea", "", "started"),
        ),
        (
            {"codeInterpreterInvocationInput": {"code": "1+1"}},
            ("code_interpreter", "t-1", "", "1+1", "", "started"),
        ),
        (
            {"agentCollaboratorInvocationInput": {"agentCollaboratorName": "Sub"}},
            ("agent", "t-1", "Sub", "", "", "started"),
        ),
    ],
)
def test_what_the_platform_does_is_an_activity(step: dict[str, Any], expected: tuple[str, ...]) -> None:
    frame = orchestration(invocationInput={"traceId": "t-1", **step})
    assert activities(heard(frame, say("x"))) == [expected]


def test_what_the_client_has_to_do_is_none() -> None:
    step = {"actionGroupInvocationInput": {"function": "f", "executionType": "RETURN_CONTROL"}}
    assert activities(heard(orchestration(invocationInput=step), returns(function("f")))) == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"actionGroupInvocationOutput": {"text": "5"}}, ("tool", "t-1", "", "", "5", "completed")),
        (
            {"knowledgeBaseLookupOutput": {"retrievedReferences": [{"a": 1}]}},
            ("retrieval", "t-1", "", "", '[{"a":1}]', "completed"),
        ),
        (
            {"codeInterpreterInvocationOutput": {"executionError": "no"}},
            ("code_interpreter", "t-1", "", "", "no", "completed"),
        ),
        (
            {"agentCollaboratorInvocationOutput": {"agentCollaboratorName": "Sub", "output": {"text": "y"}}},
            ("agent", "t-1", "Sub", "", '{"text":"y"}', "completed"),
        ),
    ],
)
def test_what_came_of_it_is_one(step: dict[str, Any], expected: tuple[str, ...]) -> None:
    frame = orchestration(observation={"traceId": "t-1", **step})
    assert activities(heard(frame, say("x"))) == [expected]


def test_long_inputs_are_cut() -> None:
    step = {"codeInterpreterInvocationInput": {"code": "x" * 100_000}}
    [activity] = activities(heard(orchestration(invocationInput=step), say("x")))
    assert len(activity[3]) == 4000


def test_a_final_response_stands_in_for_an_answer_that_never_came() -> None:
    assert words(heard(final("Hi"), final("Bye"))) == "Bye"
    assert finishes(out(final(""))) == ["stop"]
    long = "It is long enough to be told in words, where the client reads a stream of them."
    assert len(out(final(long)).split(b'"content"')) > 10
    theirs = final("Theirs", collaboratorName="Sub")
    assert isinstance(failure(theirs), UpstreamFailed)
    assert words(heard(final("Hi"), returns(function("f")))) == ""


def test_a_step_that_failed_tells_why_there_is_no_answer() -> None:
    failed = trace("failureTrace", {"failureReason": "No access to arn:aws:s3:::b. Ask.", "failureCode": "x"})
    error = failure(rationale("hm"), failed)
    assert isinstance(error, UpstreamDependencyFailed)
    assert error.message == "Something that the agent works with failed: No access to [resource]."
    assert finishes(out(failed, say("All the same."))) == ["stop"]
    assert finishes(out(failed, final("All the same."))) == ["stop"]
    assert failure(trace("failureTrace", {"failureCode": 429})).status == 429


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"trace": None},
        {"trace": []},
        {"trace": {"sparkleTrace": {}}},
        {"trace": {"orchestrationTrace": []}},
        {"trace": {"orchestrationTrace": {"rationale": 7, "modelInvocationOutput": [], "observation": "x"}}},
        {"trace": {"orchestrationTrace": {"observation": {"finalResponse": {"text": 7}}}}},
        {
            "trace": {
                "guardrailTrace": {"action": "INTERVENED", "inputAssessments": "x", "outputAssessments": [1]}
            }
        },
        {"trace": {"failureTrace": {"failureReason": 7}}},
    ],
)
def test_a_trace_without_its_shape_says_nothing(told: object) -> None:
    assert words(heard(aws_frames.event("trace", dumped(told)), say("x"))) == "x"
    assert finishes(out(aws_frames.event("trace", dumped(told)), say("x"))) == ["stop"]


# Echoes.

PROMPT = "You are an agent. " * 4000


def echo(**more: Any) -> bytes:
    step = {"modelInvocationInput": {"type": "ORCHESTRATION", "text": PROMPT}}
    return dumped({"agentId": "A", "trace": {"orchestrationTrace": {**more, **step}}})


def test_the_echo_of_a_prompt_is_not_read() -> None:
    assert is_echo(echo())
    broken = echo()[:-1]  # no JSON any more: whoever reads it stumbles
    assert words(heard(aws_frames.event("trace", broken), say("x"))) == "x"


@pytest.mark.parametrize("key", ["rationale", "modelInvocationOutput", "observation", "invocationInput"])
def test_a_trace_that_tells_is_read_whatever_its_length(key: str) -> None:
    assert not is_echo(echo(**{key: {}}))
    told = {"trace": {"orchestrationTrace": {key: {}, "text": PROMPT + '"modelInvocationInput":'}}}
    assert not is_echo(dumped(told))


def test_the_key_inside_a_text_is_no_echo() -> None:
    told = {"trace": {"orchestrationTrace": {"text": '"modelInvocationInput":' + PROMPT}}}
    assert b'\\"modelInvocationInput\\":' in dumped(told)
    assert not is_echo(dumped(told))
    assert not is_echo(dumped({"trace": {"x": {"modelInvocationInput": {}}}}))  # short, so it may be read
    assert json.loads(echo())["agentId"] == "A"
