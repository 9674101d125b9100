"""What may answer instead of an agent that was built at Amazon: one made for the question, a flow, a runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.config import Secret
from proxy.simulators.bedrock import DEMO_FLOW, DEMO_FLOW_ALIAS, DEMO_RUNTIME, DEMO_RUNTIME_ID, BedrockStandIn
from proxy.simulators.bedrock_knobs import Flow, Runtime, exc, failure
from proxy.simulators.bedrock_world import Heard
from tests.e2e.bedrock_scene import COUNT, COUNTED, Scene, bedrock_upstream, said, text_of
from tests.e2e.sdk_setup import CLOCK, WEATHER, hosted, sdk
from tests.e2e.test_bedrock_calls import after, asked_for
from tests.support.gateway import GatewayThread, config_of

both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
INLINE, FLOW, RUNTIME = "inline", "flow", "runtime"
SYSTEM = {"role": "system", "content": "You are a patient assistant who answers in one short line."}
INSTRUCTION = "You help people who have ordered something and wait for it."


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    """One gateway for all three, by the upstream's name."""
    with hosted(BedrockStandIn) as stand_in:
        url, nobody = stand_in.url, {"agent_id": "", "agent_alias_id": "", "retries": 0}
        config = config_of(
            bedrock_upstream(url, INLINE, foundation_model="amazon.nova-lite-v1:0", **nobody),
            bedrock_upstream(url, FLOW, flow=DEMO_FLOW, flow_alias=DEMO_FLOW_ALIAS, **nobody),
            bedrock_upstream(url, RUNTIME, runtime=DEMO_RUNTIME, **nobody),
            extensions=True,
        )
        with GatewayThread(config, "uvloop") as gateway, sdk(gateway.url + "/v1") as client:
            yield Scene(stand_in, gateway, client)


@pytest.fixture(autouse=True)
def afresh(here: Scene) -> None:
    here.stand_in.requests.clear()
    here.stand_in.world.flows[DEMO_FLOW] = Flow(aliases={DEMO_FLOW_ALIAS: "live"})
    here.stand_in.world.runtimes[DEMO_RUNTIME_ID] = Runtime()


def told(here: Scene, model: str, messages: Any, stream: bool, **more: Any) -> str:
    return text_of(here.stream(model, messages, **more)) if stream else here.say(model, messages, **more)


def heard(here: Scene) -> list[Heard]:
    return list(here.stand_in.requests)


# Agents that are made for a question.


def asking(question: str) -> list[dict[str, Any]]:
    return [SYSTEM, {"role": "user", "content": question}]


@both
def test_an_inline_agent_is_made_of_the_request(here: Scene, stream: bool):
    assert told(here, f"{INLINE}/x", asking(COUNT), stream) == COUNTED
    (one,) = heard(here)
    assert one.path.startswith("/agents/")
    assert one.document["foundationModel"] == "amazon.nova-lite-v1:0"
    assert one.document["instruction"] == SYSTEM["content"]
    assert one.document["inputText"] == COUNT


@both
def test_an_inline_agent_calls_the_clients_tools(here: Scene, stream: bool):
    question = "get_weather and get_time of city 7, please"
    model, tools = f"{INLINE}/x", [WEATHER, CLOCK]
    calls = asked_for(here, model, asking(question), stream, tools=tools)
    assert [(one["name"], json.loads(one["arguments"])) for one in calls] == [
        ("get_weather", {"city": "7", "days": 7}),
        ("get_time", {"zone": "7"}),
    ]
    messages = [SYSTEM, *after(question, calls, "Sunny.", "Noon.")]
    assert "Sunny." in told(here, model, messages, stream, tools=tools)
    (first, second) = heard(here)
    (group,) = first.document["actionGroups"]
    assert group["actionGroupExecutor"] == {"customControl": "RETURN_CONTROL"}
    days = group["functionSchema"]["functions"][0]["parameters"]["days"]
    assert days == {"type": "integer", "required": True}
    assert second.path == first.path
    assert len(second.document["inlineSessionState"]["returnControlInvocationResults"]) == 2


def test_an_inline_agent_goes_on_in_its_session(here: Scene):
    messages = asking("count to 2")
    for question in (COUNT, "count to 4"):
        words = here.say(f"{INLINE}/x", messages)
        messages += [{"role": "assistant", "content": words}, {"role": "user", "content": question}]
    here.say(f"{INLINE}/x", messages)
    assert len({one.path for one in heard(here)}) == 1
    session = here.stand_in.session(heard(here)[0].path.rpartition("/")[2], "", "")
    assert session is not None and said(session) == ["count to 2", COUNT, "count to 4"]


def test_an_inline_agent_needs_an_instruction(here: Scene):
    with pytest.raises(openai.BadRequestError, match="at least 40 characters") as caught:
        here.say(f"{INLINE}/x", "Hi")
    assert caught.value.param == "messages" and heard(here) == []


# Flows.


@both
def test_a_flow_answers_with_its_documents(here: Scene, stream: bool):
    flow = here.stand_in.flow
    assert told(here, f"{FLOW}/x", COUNT, stream) == COUNTED
    flow.outputs = ("One", "Two")
    flow.document = {"score": 3, "ok": True}
    assert told(here, f"{FLOW}/x", COUNT, stream) == '{"score":3,"ok":true}\n\n{"score":3,"ok":true}'
    flow.outputs, flow.takes, flow.document = ("One",), "object", "Thanks."
    own = {"bedrock": {"document": {"order": 7}}}
    assert told(here, f"{FLOW}/x", "ignored", stream, extra_body=own) == "Thanks."
    inputs = [one.document["inputs"][0]["content"]["document"] for one in heard(here)]
    assert inputs == [COUNT, COUNT, {"order": 7}]


@both
def test_a_flow_that_asks_is_answered_by_the_next_message(here: Scene, stream: bool):
    here.stand_in.flow.asks = ("Which parcel?", "Since when?")
    messages: list[dict[str, Any]] = []
    words = []
    for question in ("Where is it?", "77", "Monday", "count to 3"):
        messages.append({"role": "user", "content": question})
        words.append(told(here, f"{FLOW}/x", messages, stream))
        messages.append({"role": "assistant", "content": words[-1]})
    assert words[:2] == ["Which parcel?", "Since when?"] and words[3] == "Which parcel?"
    bodies = [one.document for one in heard(here)]
    executions = [body.get("executionId") for body in bodies]
    assert executions[0] is None is executions[3] and executions[1] == executions[2] is not None
    assert [body["inputs"][0]["nodeName"] for body in bodies] == [
        "FlowInputNode",
        "AgentNode_1",
        "AgentNode_1",
        "FlowInputNode",
    ]


def test_a_flow_that_asks_waits_under_the_name_of_a_session(here: Scene):
    here.stand_in.flow.asks = ("Which parcel?",)
    named = {"extra_headers": {"x-session-id": "ada.1"}}
    raw = here.raw(f"{FLOW}/x", "Where is it?", **named)
    assert raw.headers["x-session-id"] == "ada.1"
    assert raw.parse().deltawire["platform"]["completion_reason"] == "INPUT_REQUIRED"
    here.say(f"{FLOW}/x", "77", **named)
    assert heard(here)[1].document["executionId"]


@both
def test_a_flow_that_breaks_off_is_not_finished(here: Scene, stream: bool):
    here.stand_in.flow.completes = False
    with pytest.raises(openai.APIError) as caught:
        told(here, f"{FLOW}/x", COUNT, stream)
    assert caught.value.code == "upstream_incomplete"
    here.stand_in.flow.script = (exc("throttlingException"),)
    with pytest.raises(openai.RateLimitError):
        told(here, f"{FLOW}/x", COUNT, stream)
    assert len(heard(here)) == 2


# Runtimes of AgentCore.


@both
@pytest.mark.parametrize("yields", ["strands", "text", "strings", "chunks"])
def test_a_runtime_streams_whatever_its_agent_yields(here: Scene, yields: Any, stream: bool):
    here.stand_in.runtime.yields = yields
    assert told(here, f"{RUNTIME}/x", COUNT, stream) == COUNTED


@both
def test_a_runtime_answers_in_one_piece(here: Scene, stream: bool):
    runtime = here.stand_in.runtime
    runtime.streams = False
    documents: list[tuple[Any, str]] = [
        (None, COUNTED),
        ("Plain.", "Plain."),
        ({"output": {"message": {"role": "assistant", "content": [{"text": "Deep."}]}}}, "Deep."),
        ({"score": 3}, '{"score":3}'),
    ]
    for document, words in documents:
        runtime.document = document
        assert told(here, f"{RUNTIME}/x", COUNT, stream) == words


def test_a_runtime_gets_one_session_for_one_chat(here: Scene):
    messages: list[dict[str, Any]] = []
    for question in ("count to 2", COUNT):
        messages.append({"role": "user", "content": question})
        raw = here.raw(f"{RUNTIME}/x", messages)
        words = raw.parse().choices[0].message.content
        messages.append({"role": "assistant", "content": words})
    header = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
    used = [one.headers[header] for one in heard(here)]
    assert used[0] == used[1] == raw.headers["x-session-id"]
    assert [one.document for one in heard(here)] == [{"prompt": "count to 2"}, {"prompt": COUNT}]
    named = here.raw(f"{RUNTIME}/x", COUNT, extra_headers={"x-session-id": "ada.1"})
    assert named.headers["x-session-id"] == "ada.1"
    assert heard(here)[-1].headers[header].startswith("ada.1-")
    own = {"bedrock": {"payload": {"prompt": COUNT, "tone": "dry"}}}
    assert here.say(f"{RUNTIME}/x", "ignored", extra_body=own) == COUNTED
    assert heard(here)[-1].document == {"prompt": COUNT, "tone": "dry"}
    assert heard(here)[-1].path.endswith("/invocations?qualifier=DEFAULT")


@both
def test_a_runtime_that_fails(here: Scene, stream: bool):
    runtime = here.stand_in.runtime
    runtime.fails_after = 0
    with pytest.raises(openai.APIStatusError, match="overloaded") as caught:
        told(here, f"{RUNTIME}/x", COUNT, stream)
    assert (caught.value.status_code, caught.value.code) == (424, "dependency_failed")
    here.stand_in.knobs.failures.append(failure("runtimeClientError"))
    with pytest.raises(openai.APIStatusError) as caught:
        told(here, f"{RUNTIME}/x", COUNT, stream)
    assert (caught.value.status_code, caught.value.code) == (424, "dependency_failed")
    assert len(heard(here)) == 2


def test_a_runtime_that_wants_a_token_gets_no_signature(serve_config, here: Scene):
    here.stand_in.runtime.bearer = "oauth-token"
    up = bedrock_upstream(
        here.stand_in.url, runtime=DEMO_RUNTIME, api_key=Secret("oauth-token"), access_key="", secret_key=""
    )
    with sdk(serve_config(config_of(up)).url + "/v1") as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": COUNT}])
    assert answer.choices[0].message.content == COUNTED
    (one,) = heard(here)
    assert one.headers["Authorization"] == "Bearer oauth-token" and "X-Amz-Date" not in one.headers
