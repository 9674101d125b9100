"""What a flow is asked, and what becomes of its documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import Platform, assistant, system, user
from tests.upstreams.bedrock_sisters import (
    ends,
    events_of,
    failure,
    flow,
    frames_of,
    input_of,
    of_flow,
    output,
    ready_flow,
    refused,
    text_of,
    traced,
)
from translators.errors import NotFound, UpstreamIncomplete, UpstreamNotReady
from translators.events import Activity, Finish, Reasoning, Text, Usage
from translators.upstreams.plan import Call, Recall, Turn

TURNS = [user("A list, please"), assistant("How many songs?"), user("Five")]
FIRST = {"nodeName": "FlowInputNode", "nodeOutputName": "document"}
SECOND = {"nodeName": "Helper", "nodeInputName": "agentInputText"}
SESSION = {"session_id": "s:1"}


def asked(
    body: dict[str, Any] | None = None, platform: Platform | None = None, **options: Any
) -> dict[str, Any]:
    return (platform or Platform()).ask(flow(body, **options))


# The question.


def test_the_last_message_is_the_document() -> None:
    upstream = flow({"messages": [system("Be brief."), *TURNS]})
    call = upstream.call()
    assert (call.method, call.path, call.service) == ("POST", "flows/FLOW000001/aliases/FLOWALIAS1", "")
    body = asked({"messages": [system("Be brief."), *TURNS]})
    assert body == {"inputs": [{**FIRST, "content": {"document": "Five"}}], "enableTrace": True}


def test_no_step_comes_before_a_first_question() -> None:
    assert flow().prepare() is None
    assert flow({"messages": TURNS}, history="replay").prepare() is None


def test_settings_of_a_flow() -> None:
    body = asked(flow_node="Start", trace=False, latency="optimized")
    assert input_of(body)[0] == {"nodeName": "Start", "nodeOutputName": "document"}
    assert body["enableTrace"] is False
    assert body["modelPerformanceConfiguration"] == {"performanceConfig": {"latency": "optimized"}}


@pytest.mark.parametrize(
    ("settings", "document"),
    [
        ({}, "Five"),
        ({"history": "session"}, "Five"),
        ({"history": "flatten"}, "User: A list, please\n\nAssistant: How many songs?\n\nUser: Five"),
        ({"history": "replay"}, "User: A list, please\n\nAssistant: How many songs?\n\nUser: Five"),
        ({"system": "prepend"}, "Be brief.\n\nFive"),
        ({"system": "drop"}, "Five"),
    ],
)
def test_what_is_told_of_the_conversation(settings: dict[str, Any], document: str) -> None:
    assert input_of(asked({"messages": [system("Be brief."), *TURNS]}, **settings))[1] == document


def test_a_single_message_is_no_transcript() -> None:
    assert input_of(asked({"messages": TURNS[:1]}, history="flatten"))[1] == "A list, please"


def test_a_conversation_that_no_user_ends_is_written_out() -> None:
    messages = [*TURNS, assistant("Well,")]
    assert input_of(asked({"messages": messages}))[1].endswith("User: Five\n\nAssistant: Well,")


@pytest.mark.parametrize("document", [{"a": [1, None]}, [1], 7, "text", None, ""])
def test_a_client_may_bring_the_document_itself(document: Any) -> None:
    assert input_of(asked({"bedrock": {"document": document}}))[1] == document
    pictures = [user([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])]
    assert input_of(asked({"messages": pictures, "bedrock": {"document": document}}))[1] == document


def test_a_client_may_name_the_execution_and_the_node() -> None:
    for own in (
        {"executionId": "e:1", "nodeName": "Helper", "enableTrace": False},
        {"execution_id": "e:1", "node_name": "Helper", "enable_trace": False},
    ):
        body = asked({"bedrock": own})
        assert (body["executionId"], body["enableTrace"]) == ("e:1", False)
        assert input_of(body) == (SECOND, "hi")


def test_a_flow_may_be_named_by_the_model() -> None:
    assert flow(model="flow/OTHERFLOW1/TSTALIASID").call().path == "flows/OTHERFLOW1/aliases/TSTALIASID"
    with pytest.raises(NotFound):
        flow(model="agent/AGENT12345/ALIAS12345").prepare()
    with pytest.raises(UpstreamNotReady):
        flow(flow_alias="").prepare()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"bedrock": []}, "bedrock"),
        ({"bedrock": {"documents": 1}}, "bedrock.documents"),
        ({"bedrock": {"payload": 1}}, "bedrock.payload"),
        ({"bedrock": {"enableTrace": 1}}, "bedrock.enableTrace"),
        ({"bedrock": {"executionId": "e 1", "nodeName": "Helper"}}, "bedrock.executionId"),
        ({"bedrock": {"executionId": 7, "nodeName": "Helper"}}, "bedrock.executionId"),
        ({"bedrock": {"executionId": "e1", "nodeName": "No node"}}, "bedrock.nodeName"),
        ({"bedrock": {"executionId": "e1"}}, "bedrock"),
        ({"bedrock": {"nodeName": "Helper"}}, "bedrock"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": "x"}, "session_id"),
        ({"session_id": "a b"}, "session_id"),
        ({"session_id": "a" * 101}, "session_id"),
        ({"session_id": 77}, "session_id"),
        ({"session_id": "a\n"}, "session_id"),
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"messages": [user("  ")]}, "messages"),
        ({"messages": [assistant("x")]}, "messages"),
        ({"messages": [user([])]}, "messages"),
        (
            {"messages": [user([{"type": "text", "text": "x"}, {"type": "file", "file": {"file_id": "f"}}])]},
            "messages[0].content[1]",
        ),
    ],
)
def test_what_a_flow_cannot_be_asked(body: dict[str, Any], param: str) -> None:
    assert refused(flow(body)).param == param


def test_headers_name_sessions_as_well() -> None:
    for header in ("x-session-id", "x-conversation-id"):
        upstream = flow({}, {header: "s1"})
        upstream.prepare()
        assert upstream.turn == Turn("flow/FLOW000001/FLOWALIAS1/s1", 30.0, header)
        assert refused(flow({}, {header: "s 1"})).param == header
    upstream = flow({"session_id": "s1"}, {"x-session-id": "s2"}, session_wait=5.0)
    upstream.prepare()
    assert upstream.turn == Turn("flow/FLOW000001/FLOWALIAS1/s1", 5.0, "session_id")
    assert flow().turn is None


def test_strictness() -> None:
    parameters = {"temperature": 0.5, "tools": [{"type": "function", "function": {"name": "f"}}]}
    assert asked(parameters)
    assert refused(flow(parameters, strict=True)).param == "temperature"
    nothing = {"parallel_tool_calls": False, "response_format": {"type": "text"}, "tools": [], "n": 1}
    assert asked(nothing, strict=True)


# The answer.


def test_errors_of_a_stream_that_has_begun() -> None:
    late = frames_of(output("Hi.")) + aws_frames.exception("internalServerException", b"{}")
    assert failure(ready_flow(), late).status == 500
    assert isinstance(failure(ready_flow(), frames_of(output("Hi."))), UpstreamIncomplete)
    assert failure(ready_flow(), aws_frames.error("Boom", "out of order")).status == 502


def test_nothing_follows_the_end() -> None:
    sent = frames_of(output("Hi."), ends(), output("More."))
    assert text_of(events_of(ready_flow(), [sent])) == "Hi."


def test_an_answer_is_split_only_where_it_streams_and_may_be() -> None:
    words = "word " * 20
    sent = frames_of(output(words), ends())
    assert len([e for e in events_of(ready_flow(), [sent]) if type(e) is Text]) == 20
    for upstream in (ready_flow(streams=False), ready_flow(split="off"), ready_flow(split_threshold=1000)):
        assert [e for e in events_of(upstream, [sent]) if type(e) is Text] == [Text(words)]


@pytest.mark.parametrize(("unknown", "input"), [("-1", -1), ("0", 0), ("omit", None)])
def test_usage_that_nobody_counts(unknown: str, input: int | None) -> None:
    events = events_of(ready_flow(usage_unknown=unknown), [frames_of(output("Hi."), ends())])
    assert [e.input for e in events if type(e) is Usage] == ([] if input is None else [input])


def test_thoughts_come_before_the_answer_and_where_they_are_wanted() -> None:
    def thought(text: str) -> tuple[str, Any]:
        step = {"orchestrationTrace": {"rationale": {"text": text}}}
        return traced(
            nodeDependencyTrace={"nodeName": "H", "traceElements": {"agentTraces": [{"trace": step}]}}
        )

    sent = frames_of(thought("One."), output("Hi."), thought("Two."), ends())
    assert [e for e in events_of(ready_flow(), [sent]) if type(e) is Reasoning] == [Reasoning("One.")]
    assert not [e for e in events_of(ready_flow(reasoning=False), [sent]) if type(e) is Reasoning]


@pytest.mark.parametrize(
    "trace",
    [
        {"nodeInputTrace": 7},
        {"conditionNodeResultTrace": {"satisfiedConditions": 7, "nodeName": ["x"]}},
        {"conditionNodeResultTrace": {"satisfiedConditions": [7, {"conditionName": 8}]}},
        {"nodeDependencyTrace": {"traceElements": {"agentTraces": 7}}},
        {"nodeDependencyTrace": {"traceElements": {"agentTraces": [7]}}},
        {"nodeDependencyTrace": []},
        [],
        None,
    ],
)
def test_no_answer_is_lost_for_a_trace(trace: Any) -> None:
    sent = frames_of(("flowTraceEvent", {"trace": trace}), output("Hi."), ends())
    events = [e for e in of_flow(events_of(ready_flow(), [sent])) if type(e) is not Activity]
    assert [type(e) for e in events] == [Text, Usage, Finish]


def test_what_has_been_asked_is_forgotten() -> None:
    upstream = ready_flow()
    assert upstream.prompt.body == {}
    assert upstream._question is None


def test_a_plan_recalls_before_anything_is_asked() -> None:
    plan = flow(SESSION).prepare()
    assert plan is not None
    assert next(plan) == Recall("waiting:flow/FLOW000001/FLOWALIAS1/s:1")
    assert isinstance(flow(SESSION).call(), Call)
