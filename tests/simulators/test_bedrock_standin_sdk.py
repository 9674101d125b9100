"""The real aiobotocore client talks to the stand-in and notices nothing: what is read here is what it parsed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, EventStreamError

from proxy.simulators.bedrock import (
    DEMO_AGENT,
    DEMO_ALIAS,
    DEMO_FLOW,
    DEMO_FLOW_ALIAS,
    DEMO_KEYS,
    DEMO_REGION,
    DEMO_RUNTIME,
    BedrockStandIn,
)
from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_auth import Keys
from proxy.simulators.bedrock_faults import STREAMED
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import (
    Agent,
    Alias,
    Collaborator,
    Flow,
    Guardrail,
    Knobs,
    Produced,
    failure,
)

ASKED = {"agentId": DEMO_AGENT, "agentAliasId": DEMO_ALIAS, "sessionId": "s:1"}
FLOW_IDS = {"flowIdentifier": DEMO_FLOW, "flowAliasIdentifier": DEMO_FLOW_ALIAS}
INSTRUCTION = "You answer questions about parcels, and nothing else whatever people ask."


class Sdk:
    def __init__(self, server: BedrockStandIn, keys: Keys, stack: AsyncExitStack) -> None:
        self.server, self._keys, self._stack = server, keys, stack
        self._session = AioSession()
        self._clients: dict[str, Any] = {}

    async def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = await self._made(service)
        return self._clients[service]

    async def _made(self, service: str) -> Any:
        return await self._stack.enter_async_context(
            self._session.create_client(
                service,
                region_name=DEMO_REGION,
                endpoint_url=self.server.url,
                aws_access_key_id=self._keys.access_key,
                aws_secret_access_key=self._keys.secret_key,
                aws_session_token=self._keys.session_token or None,
                config=AioConfig(retries={"total_max_attempts": 1}),
            )
        )

    async def ask(self, text: str | None = "count to 3", **more: Any) -> list[dict[str, Any]]:
        runtime = await self.client("bedrock-agent-runtime")
        asked = {**ASKED, **({} if text is None else {"inputText": text}), **more}
        return await read(await runtime.invoke_agent(**asked), "completion")


async def read(answer: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """All events; closed by hand, because an exception among them would leave the connection open."""
    try:
        return [event async for event in answer[member]]
    finally:
        answer[member].close()


def text_of(events: list[dict[str, Any]]) -> str:
    return b"".join(event["chunk"]["bytes"] for event in events if "chunk" in event).decode()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no service of this machine has a say."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@asynccontextmanager
async def sdk(
    agent: Agent | None = None, keys: Keys = DEMO_KEYS, known: list[Keys] | None = None, **settings: Any
) -> AsyncIterator[Sdk]:
    async with (
        BedrockStandIn(agent, keys=known or [DEMO_KEYS], **settings) as server,
        AsyncExitStack() as stack,
    ):
        yield Sdk(server, keys, stack)


async def test_a_streamed_answer_with_all_that_an_agent_can_tell() -> None:
    agent = Agent(
        reasoning="both",
        citations=11,
        preprocessing=False,
        custom_trace="step one",
        guardrail=Guardrail(masked=("2",)),
        collaborator=Collaborator(),
        files=(Produced("plot.png", "image/png", b"\x89PNG"), Produced("empty.csv", "text/csv", b"")),
        noise=True,
    )
    async with sdk(agent) as aws:
        events = await aws.ask(enableTrace=True, streamingConfigurations={"streamFinalResponse": True})
    assert text_of(events) == "1, {MASKED}, 3."
    traces = [event["trace"] for event in events if "trace" in event]
    assert {kind for trace in traces for kind in trace["trace"]} >= {
        "orchestrationTrace",
        "guardrailTrace",
        "customOrchestrationTrace",
    }
    assert {trace.get("collaboratorName") for trace in traces} == {None, "helper"}
    assert all(trace["eventTime"].tzinfo for trace in traces if "eventTime" in trace)
    outputs = [
        trace["trace"]["orchestrationTrace"]["modelInvocationOutput"]
        for trace in traces
        if "modelInvocationOutput" in trace["trace"].get("orchestrationTrace", {})
    ]
    assert all(output["metadata"]["usage"]["outputTokens"] > 0 for output in outputs)
    assert outputs[0]["reasoningContent"]["reasoningText"]["text"]
    citations = [
        event["chunk"]["attribution"]["citations"]
        for event in events
        if "attribution" in event.get("chunk", {})
    ]
    kinds = [one["retrievedReferences"][0]["location"]["type"] for one in citations[0]]
    assert len(set(kinds)) == 10
    files = next(event["files"]["files"] for event in events if "files" in event)
    assert [(file["name"], file["bytes"]) for file in files] == [("plot.png", b"\x89PNG"), ("empty.csv", b"")]


async def test_what_it_does_not_ask_for_it_does_not_get() -> None:
    async with sdk(Agent(memory=True)) as aws:
        runtime = await aws.client("bedrock-agent-runtime")
        answer = await runtime.invoke_agent(**ASKED, inputText="count to 3", memoryId="me")
        events = await read(answer, "completion")
    assert (answer["sessionId"], answer["memoryId"], answer["contentType"]) == (
        "s:1",
        "me",
        "application/json",
    )
    assert answer["ResponseMetadata"]["RequestId"]
    assert events == [{"chunk": {"bytes": b"1, 2, 3."}}]


async def test_functions_and_paths_are_carried_out_by_the_client() -> None:
    groups = (
        Group("Parcels", (Function("track", {"parcel": "integer", "fast": "boolean"}),)),
        Group(
            "Orders", (Api("/orders/{id}", "POST", {"id": "string"}, {"note": "string", "tags": "array"}),)
        ),
    )
    async with sdk(Agent(groups=groups)) as aws:
        events = await aws.ask("track 77 and look at /orders/{id}", enableTrace=True)
        control = events[-1]["returnControl"]
        function, api = control["invocationInputs"]
        results = [
            {
                "functionResult": {
                    "actionGroup": "Parcels",
                    "function": "track",
                    "responseBody": {"TEXT": {"body": "Ulm"}},
                }
            },
            {
                "apiResult": {
                    "actionGroup": "Orders",
                    "apiPath": "/orders/{id}",
                    "httpMethod": "POST",
                    "httpStatusCode": 200,
                    "responseBody": {"application/json": {"body": '{"paid":true}'}},
                }
            },
        ]
        state = {"invocationId": control["invocationId"], "returnControlInvocationResults": results}
        answer = text_of(await aws.ask(None, sessionState=state))
    assert function["functionInvocationInput"] == {
        "actionGroup": "Parcels",
        "actionInvocationType": "RESULT",
        "function": "track",
        "parameters": [
            {"name": "parcel", "type": "integer", "value": "77"},
            {"name": "fast", "type": "boolean", "value": "true"},
        ],
    }
    body = api["apiInvocationInput"]["requestBody"]["content"]["application/json"]["properties"]
    assert [(one["name"], one["value"]) for one in body] == [("note", "77"), ("tags", '["a", "b"]')]
    assert "The tool says: Ulm." in answer
    assert 'The tool says: {"paid":true}.' in answer


async def test_every_exception_is_raised_under_its_own_name_in_both_forms() -> None:
    before, inside = {}, {}
    async with sdk() as aws:
        for name in STREAMED:
            with pytest.raises(ClientError) as caught:
                await aws.ask(f"[{name}]")
            told = caught.value.response
            before[told["Error"]["Code"]] = told["ResponseMetadata"]["HTTPStatusCode"]
            with pytest.raises(EventStreamError) as streamed:
                await aws.ask(f"[event {name}]")
            assert streamed.value.response["Error"]["Message"]
            inside[streamed.value.response["Error"]["Code"]] = STREAMED[name]
    assert before == {name[0].upper() + name[1:]: status for name, status in STREAMED.items()}
    assert inside == STREAMED


async def test_an_error_of_no_model() -> None:
    async with sdk() as aws:
        aws.server.knobs.failures.append(failure("InternalError", "boom", how="error", after=1))
        with pytest.raises(EventStreamError, match="boom") as caught:
            await aws.ask(enableTrace=True)
    assert caught.value.response["Error"]["Code"] == "InternalError"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (Keys(DEMO_KEYS.access_key, "wrong"), "InvalidSignatureException"),
        (Keys("AKIDOTHER", DEMO_KEYS.secret_key), "UnrecognizedClientException"),
        (Keys(DEMO_KEYS.access_key, DEMO_KEYS.secret_key, "token"), "UnrecognizedClientException"),
    ],
)
async def test_keys_that_are_wrong(keys: Keys, code: str) -> None:
    async with sdk(keys=keys) as aws:
        with pytest.raises(ClientError) as caught:
            await aws.ask()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_temporary_keys() -> None:
    keys = Keys("ASIDTEMPORARY", "secret", "to/ken+=", expires_at=4_000_000_000.0)
    async with sdk(keys=keys, known=[keys]) as aws:
        assert text_of(await aws.ask(sourceArn=source_arn())) == "1, 2, 3."
        assert aws.server.requests[-1].headers["x-amz-source-arn"] == source_arn()


def source_arn() -> str:
    return f"arn:aws:bedrock:us-east-1:111122223333:agent/{DEMO_AGENT}"


@pytest.mark.parametrize(
    "wire",
    [
        Wire(bytes_per_write=1),
        Wire(seed=7, per_write=3),
        Wire(per_write=0, extra_headers=True, content_type="application/json"),
    ],
    ids=["bytes", "random", "whole"],
)
async def test_its_frames_in_every_cut(wire: Wire) -> None:
    async with sdk(knobs=Knobs(wire=wire)) as aws:
        events = await aws.ask("count to 20", streamingConfigurations={"streamFinalResponse": True})
    assert text_of(events) == ", ".join(map(str, range(1, 21))) + "."


async def test_an_agent_that_comes_with_the_question() -> None:
    functions = [{"name": "track", "parameters": {"parcel": {"type": "integer", "required": True}}}]
    group = {
        "actionGroupName": "Mine",
        "actionGroupExecutor": {"customControl": "RETURN_CONTROL"},
        "functionSchema": {"functions": functions},
    }
    asked = {
        "sessionId": "s:1",
        "foundationModel": "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "instruction": INSTRUCTION,
        "actionGroups": [group],
        "enableTrace": True,
    }
    async with sdk() as aws:
        runtime = await aws.client("bedrock-agent-runtime")
        events = await read(await runtime.invoke_inline_agent(**asked, inputText="track 5"), "completion")
        control = events[-1]["returnControl"]
        result = {"actionGroup": "Mine", "function": "track", "responseBody": {"TEXT": {"body": "Ulm"}}}
        state = {
            "invocationId": control["invocationId"],
            "returnControlInvocationResults": [{"functionResult": result}],
        }
        answer = await runtime.invoke_inline_agent(**asked, inlineSessionState=state)
        said = text_of(await read(answer, "completion"))
    assert control["invocationInputs"][0]["functionInvocationInput"]["parameters"][0]["value"] == "5"
    assert events[0]["trace"]["sessionId"] == "s:1"
    assert "agentId" not in events[0]["trace"]
    assert "The tool says: Ulm." in said


async def test_a_flow() -> None:
    async with sdk() as aws:
        runtime = await aws.client("bedrock-agent-runtime")
        given = {
            "nodeName": "FlowInputNode",
            "nodeOutputName": "document",
            "content": {"document": "count to 2"},
        }
        answer = await runtime.invoke_flow(**FLOW_IDS, inputs=[given], enableTrace=True)
        events = await read(answer, "responseStream")
    assert answer["executionId"]
    assert [next(iter(event)) for event in events] == [
        "flowTraceEvent",
        "flowTraceEvent",
        "flowOutputEvent",
        "flowCompletionEvent",
    ]
    assert events[2]["flowOutputEvent"]["content"]["document"] == "1, 2."
    assert events[3]["flowCompletionEvent"]["completionReason"] == "SUCCESS"
    assert events[0]["flowTraceEvent"]["trace"]["nodeInputTrace"]["timestamp"].year >= 2026


async def test_a_flow_that_asks() -> None:
    async with sdk(flows={DEMO_FLOW: Flow(aliases={DEMO_FLOW_ALIAS: "live"}, asks=("How far?",))}) as aws:
        runtime = await aws.client("bedrock-agent-runtime")
        given = {"nodeName": "FlowInputNode", "nodeOutputName": "document", "content": {"document": "count"}}
        answer = await runtime.invoke_flow(**FLOW_IDS, inputs=[given])
        first = await read(answer, "responseStream")
        asking = first[0]["flowMultiTurnInputRequestEvent"]
        reply = {
            "nodeName": asking["nodeName"],
            "nodeInputName": "agentInputText",
            "content": {"document": "say Rome"},
        }
        again = await runtime.invoke_flow(**FLOW_IDS, inputs=[reply], executionId=answer["executionId"])
        rest = await read(again, "responseStream")
    assert asking["content"]["document"] == "How far?"
    assert first[-1]["flowCompletionEvent"]["completionReason"] == "INPUT_REQUIRED"
    assert rest[0]["flowOutputEvent"]["content"]["document"] == "Rome"
    assert again["executionId"] == answer["executionId"]


async def test_a_runtime_of_agentcore() -> None:
    session_id = "a-session-id-that-is-long-enough-1"
    asked = {
        "agentRuntimeArn": DEMO_RUNTIME,
        "qualifier": "DEFAULT",
        "runtimeSessionId": session_id,
        "payload": json.dumps({"prompt": "count to 3"}).encode(),
        "contentType": "application/json",
    }
    async with sdk() as aws:
        core = await aws.client("bedrock-agentcore")
        whole = await core.invoke_agent_runtime(**asked, accept="application/json")
        document = json.loads(await whole["response"].read())
        streamed = await core.invoke_agent_runtime(**asked, accept="text/event-stream")
        lines = (await streamed["response"].read()).decode().split("\n\n")
        with pytest.raises(ClientError) as caught:
            await core.invoke_agent_runtime(**{**asked, "payload": b"nonsense"})
        named = {"agentRuntimeArn": DEMO_RUNTIME, "runtimeSessionId": session_id}
        stopped = await core.stop_runtime_session(**named)
        with pytest.raises(core.exceptions.ResourceNotFoundException):
            await core.stop_runtime_session(**named)
        with pytest.raises(core.exceptions.ResourceNotFoundException):
            await core.stop_runtime_session(**named, qualifier="nowhere")
    assert (stopped["statusCode"], stopped["runtimeSessionId"]) == (200, session_id)
    assert (whole["contentType"], document) == ("application/json", {"result": "1, 2, 3."})
    assert streamed["contentType"] == "text/event-stream; charset=utf-8"
    assert streamed["runtimeSessionId"] == session_id
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    deltas = [
        event["event"]["contentBlockDelta"]
        for event in events
        if "contentBlockDelta" in event.get("event", {})
    ]
    assert "".join(delta["delta"]["text"] for delta in deltas) == "1, 2, 3."
    assert caught.value.response["Error"]["Code"] == "RuntimeClientError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


async def test_what_the_control_plane_lists() -> None:
    agents = {
        f"AGENT000{n:02}": Agent(name=f"agent-{n}", aliases={f"ALIAS000{n:02}": Alias()}) for n in range(23)
    }
    async with sdk(agents=agents) as aws:
        control = await aws.client("bedrock-agent")
        listed = [
            row
            async for page in control.get_paginator("list_agents").paginate(maxResults=4)
            for row in page["agentSummaries"]
        ]
        aliases = (await control.list_agent_aliases(agentId="AGENT00003"))["agentAliasSummaries"]
        one = (await control.get_agent_alias(agentId="AGENT00003", agentAliasId="ALIAS00003"))["agentAlias"]
        agent = (await control.get_agent(agentId="AGENT00003"))["agent"]
        flows = (await control.list_flows(maxResults=1))["flowSummaries"]
        flow_aliases = (await control.list_flow_aliases(flowIdentifier=DEMO_FLOW))["flowAliasSummaries"]
        with pytest.raises(ClientError) as caught:
            await control.list_agent_aliases(agentId="AGENT00099")
        requests = len(aws.server.heard("/agents/"))
    assert [row["agentId"] for row in listed] == list(agents)
    assert requests == 6 + 4
    assert [row["agentAliasId"] for row in aliases] == ["TSTALIASID", "ALIAS00003"]
    assert one["agentAliasArn"].endswith("agent-alias/AGENT00003/ALIAS00003")
    assert (agent["agentStatus"], agent["agentVersion"]) == ("PREPARED", "DRAFT")
    assert [row["id"] for row in flows] == [DEMO_FLOW]
    assert [row["id"] for row in flow_aliases] == ["TSTALIASID", DEMO_FLOW_ALIAS]
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
