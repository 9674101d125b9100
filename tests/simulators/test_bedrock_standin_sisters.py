"""Flows, runtimes and the control plane: what they take, what they refuse, and what they answer in each form."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from proxy.simulators import bedrock_bodies
from proxy.simulators.bedrock import DEMO_ACCOUNT, DEMO_FLOW, DEMO_FLOW_ALIAS, DEMO_RUNTIME, DEMO_RUNTIME_ID
from proxy.simulators.bedrock_knobs import Agent, Event, Flow, Runtime, failure, http
from tests.simulators.bedrock_client import Client, Reply, bedrock, refused

FLOW = f"/flows/{DEMO_FLOW}/aliases/{DEMO_FLOW_ALIAS}"
RUNTIME = f"/runtimes/{DEMO_RUNTIME.replace(':', '%3A').replace('/', '%2F')}/invocations"
SESSION_ID = "a-session-id-that-is-long-enough-1"


def given(document: Any = "count to 2", node: str = "FlowInputNode", **more: Any) -> dict[str, Any]:
    return {"nodeName": node, "content": {"document": document}, **(more or {"nodeOutputName": "document"})}


def flow(**settings: Any) -> Any:
    return bedrock(flows={DEMO_FLOW: Flow(aliases={DEMO_FLOW_ALIAS: "live"}, **settings)})


async def run(aws: Client, one: Any = None, path: str = FLOW, **more: Any) -> Reply:
    return await aws.send("POST", path, {"inputs": [given() if one is None else one], **more})


def documents(reply: Reply) -> list[Any]:
    return [event["content"]["document"] for event in reply.named("flowOutputEvent")]


# Flows.


async def test_a_flow_with_several_outputs_and_any_document() -> None:
    document = {"a": [1, None, "x"]}
    async with flow(outputs=("First", "Second"), document=document) as aws:
        reply = await run(aws, given({"topic": "x"}), enableTrace=True)
        untraced = await run(aws)
    assert documents(reply) == [document, document]
    assert reply.kinds == [
        "flowTraceEvent",
        "flowOutputEvent",
        "flowTraceEvent",
        "flowOutputEvent",
        "flowCompletionEvent",
    ]
    assert untraced.kinds == ["flowOutputEvent", "flowCompletionEvent"]
    assert len(reply.headers["x-amz-bedrock-flow-execution-id"]) == 36


async def test_a_flow_by_its_arn() -> None:
    arn = f"arn:aws:bedrock:us-east-1:{DEMO_ACCOUNT}:flow/{DEMO_FLOW}"
    path = f"/flows/{arn}/aliases/{arn}/alias/{DEMO_FLOW_ALIAS}".replace(":", "%3A")
    encoded = path.replace(f"flow/{DEMO_FLOW}", f"flow%2F{DEMO_FLOW}").replace("/alias/", "%2Falias%2F")
    async with flow() as aws:
        assert documents(await run(aws, path=encoded)) == ["1, 2."]


async def test_a_conversation_with_a_flow() -> None:
    async with flow(asks=("Where?", {"mimeType": "text/plain", "content": "When?"})) as aws:
        first = await run(aws)
        execution = first.headers["x-amz-bedrock-flow-execution-id"]
        reply = given("Rome", "AgentNode_1", nodeInputName="agentInputText")
        wrong = await run(aws, executionId=execution)
        second = await run(aws, reply, executionId=execution)
        last = await run(
            aws,
            given({"content": "say now"}, "AgentNode_1", nodeInputName="agentInputText"),
            executionId=execution,
        )
        afterwards = await run(aws, reply, executionId=execution)
    assert first.kinds == ["flowMultiTurnInputRequestEvent", "flowCompletionEvent"]
    assert first.named("flowMultiTurnInputRequestEvent") == [
        {"nodeName": "AgentNode_1", "nodeType": "AgentNode", "content": {"document": "Where?"}}
    ]
    assert first.named("flowCompletionEvent") == [{"completionReason": "INPUT_REQUIRED"}]
    assert refused(wrong, "AgentNode_1")
    assert second.named("flowMultiTurnInputRequestEvent")[0]["content"]["document"]["content"] == "When?"
    assert documents(last) == ["now"]
    assert last.named("flowCompletionEvent") == [{"completionReason": "SUCCESS"}]
    assert refused(afterwards, "input node")


async def test_an_execution_that_nobody_went_on_with() -> None:
    async with flow(asks=("Where?",), ttl=60) as aws:
        await run(aws, executionId="mine")
        aws.clock.now += 61
        again = await run(aws, executionId="mine")
    assert again.kinds == ["flowMultiTurnInputRequestEvent", "flowCompletionEvent"]
    assert again.headers["x-amz-bedrock-flow-execution-id"] == "mine"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (given(node="Other"), "no input node"),
        (given(nodeOutputName="text"), "one output"),
        (given(nodeInputName="agentInputText"), "one output"),
        (given(node="1Node"), "nodeName"),
        ({"nodeName": "FlowInputNode", "content": {"text": "x"}}, "text"),
        ({"nodeName": "FlowInputNode", "content": {}}, "union"),
    ],
)
async def test_inputs_that_are_refused(one: Any, words: str) -> None:
    async with flow() as aws:
        assert refused(await run(aws, one), words)


async def test_a_flow_may_want_an_object() -> None:
    async with flow(takes="object") as aws:
        assert refused(await run(aws), "object")
        assert (await run(aws, given({"a": 1}))).status == 200


async def test_flows_that_do_not_answer() -> None:
    async with flow(status="NotPrepared") as aws:
        assert refused(await run(aws), "prepared")
    async with flow() as aws:
        assert (await run(aws, path=FLOW.replace(DEMO_FLOW_ALIAS, "NOBODY0001"))).error[0] == 404
        assert (await run(aws, path=FLOW.replace(DEMO_FLOW, "NOBODY0001"))).error[0] == 404
        assert refused(await run(aws, path=FLOW.replace(DEMO_FLOW, "short")), "flowIdentifier")
        assert refused(await aws.send("POST", FLOW, {"inputs": []}), "inputs")
        assert refused(await run(aws, inputs=[given(), given()]), "inputs")
        aws.server.flow.script = (http("conflictException"),)
        assert (await run(aws)).error == (409, "ConflictException")
        aws.server.flow.script = (Event("flowOutputEvent", {"content": {"document": 5}}),)
        assert documents(await run(aws)) == [5]
        aws.server.flow.script, aws.server.flow.completes = None, False
        assert (await run(aws)).kinds == ["flowOutputEvent"]
        aws.server.knobs.failures.append(failure("dependencyFailedException", how="event", after=1))
        assert (await run(aws)).kinds == ["flowOutputEvent", "dependencyFailedException"]


# Runtimes.


async def invoke(aws: Client, payload: Any = None, path: str = RUNTIME, **headers: str) -> Reply:
    body = {"prompt": "count to 2"} if payload is None else payload
    return await aws.send("POST", path, body, service="bedrock-agentcore", **headers)


def yielded(reply: Reply) -> list[str]:
    """What the data lines of each event say together."""
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    return [
        "\n".join(line.removeprefix("data: ") for line in block.split("\n"))
        for block in reply.body.decode().split("\n\n")[:-1]
    ]


STREAM = {"Accept": "text/event-stream"}


async def test_a_runtime_answers_as_its_client_accepts() -> None:
    async with bedrock() as aws:
        whole = await invoke(aws)
        streamed = await invoke(aws, **STREAM)
        aws.server.runtime.streams = False
        insisted = await invoke(aws, **STREAM)
    assert (whole.json, insisted.json) == ({"result": "1, 2."}, {"result": "1, 2."})
    assert len(whole.headers["X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"]) == 36
    told = [json.loads(event) for event in yielded(streamed)]
    assert told[0] == {"init_event_loop": True}
    assert told[-1] == {"event": {"messageStop": {"stopReason": "end_turn"}}}
    assert len(told) == 3 + 4


@pytest.mark.parametrize(
    ("yields", "events"),
    [
        ("text", ["1", ",", " 2", "."]),
        ("strings", ['"1"', '","', '" 2"', '"."']),
        ("chunks", ['{"data":"1"}', '{"data":","}', '{"data":" 2"}', '{"data":"."}']),
    ],
)
async def test_what_an_agent_yields(yields: Any, events: list[str]) -> None:
    async with bedrock(runtimes={DEMO_RUNTIME_ID: Runtime(yields=yields)}) as aws:
        assert yielded(await invoke(aws, **STREAM)) == events


async def test_text_with_line_ends_has_a_data_line_for_each() -> None:
    async with bedrock(runtimes={DEMO_RUNTIME_ID: Runtime(yields="text")}) as aws:
        reply = await invoke(aws, {"prompt": "say a\n\nb"}, **STREAM)
    assert reply.body == b"data: a\n\ndata: \ndata: \ndata: \n\ndata: b\n\n"


async def test_what_goes_wrong_in_a_runtime() -> None:
    async with bedrock() as aws:
        aws.server.runtime.fails_after = 1
        failed = yielded(await invoke(aws, **STREAM))
        aws.server.runtime.fails_after = None
        aws.server.runtime.script = (b"data: {", b'"data":"x"}\n\n')
        scripted = await invoke(aws, **STREAM)
        aws.server.runtime.script = None
        aws.server.knobs.failures += [
            failure("runtimeClientError", path="/runtimes/"),
            failure("internalServerException", "gone", how="event", after=3, path="/runtimes/"),
            failure("x", how="end", after=2, path="/runtimes/"),
        ]
        before = await invoke(aws, **STREAM)
        inside = yielded(await invoke(aws, **STREAM))
        ended = yielded(await invoke(aws, **STREAM))
    assert json.loads(failed[-1])["error"] == "the model is overloaded"
    assert scripted.body == b'data: {"data":"x"}\n\n'
    assert before.error == (424, "RuntimeClientError")
    assert (len(inside), json.loads(inside[-1])) == (4, {"error": "gone"})
    assert len(ended) == 2


async def test_a_runtimes_limits_and_its_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(failure("x", how="abort", after=1, path="/runtimes/"))
        with pytest.raises(aiohttp.ClientError):
            await invoke(aws, **STREAM)
        monkeypatch.setattr(bedrock_bodies, "MOST_PAYLOAD", 10)
        assert refused(await invoke(aws), "100 MB")


async def test_a_runtime_remembers_its_session() -> None:
    named = {"X_Amzn_Bedrock_AgentCore_Runtime_Session_Id": SESSION_ID}
    async with bedrock() as aws:
        await invoke(aws, {"prompt": "say one"}, **named)
        await invoke(
            aws, {"messages": [{"role": "user", "content": [{"type": "text", "text": "say two"}]}]}, **named
        )
        kept = aws.server.world.runtime_sessions[DEMO_RUNTIME, SESSION_ID]
        short = await invoke(aws, X_Amzn_Bedrock_AgentCore_Runtime_Session_Id="x" * 32)
        long = await invoke(aws, X_Amzn_Bedrock_AgentCore_Runtime_Session_Id="x" * 257)
    assert [message["content"] for message in kept.messages] == ["say one", "one", "say two", "two"]
    assert refused(short, "runtimeSessionId")
    assert refused(long, "runtimeSessionId")


async def test_runtimes_by_id_and_those_that_are_not_there() -> None:
    by_id = f"/runtimes/{DEMO_RUNTIME_ID}/invocations"
    async with bedrock() as aws:
        assert (await invoke(aws, path=f"{by_id}?accountId={DEMO_ACCOUNT}&qualifier=DEFAULT")).status == 200
        assert refused(await invoke(aws, path=by_id), "accountId")
        assert refused(await invoke(aws, path=f"{by_id}?accountId=1"), "accountId")
        assert (await invoke(aws, path=f"{by_id}?accountId=999999999999")).error[0] == 404
        assert (await invoke(aws, path=f"{RUNTIME}?qualifier=OTHER")).error[0] == 404
        assert (await invoke(aws, path=RUNTIME.replace("us-east-1", "us-west-2"))).error[0] == 404
        assert refused(await invoke(aws, path=f"{RUNTIME}?endpoint=DEFAULT"), "endpoint")
        for payload in (b"hello", [], {"prompt": 5}, {"messages": []}, {"input": "x"}):
            assert (await invoke(aws, payload)).error == (424, "RuntimeClientError")
        assert (await aws.send("POST", RUNTIME, {"prompt": "x"})).error == (403, "InvalidSignatureException")


async def test_a_runtime_that_wants_a_token() -> None:
    body = b'{"prompt":"say hi"}'

    async def ask(aws: Client, token: str) -> Reply:
        return await aws.raw("POST", RUNTIME, body, {"Authorization": f"Bearer {token}"})

    async with bedrock(runtimes={DEMO_RUNTIME_ID: Runtime(bearer="t0ken")}) as aws:
        right, wrong, signed = await ask(aws, "t0ken"), await ask(aws, "other"), await invoke(aws)
    async with bedrock() as aws:
        unwanted = await ask(aws, "t0ken")
        elsewhere = await aws.raw("POST", FLOW, b"{}", {"Authorization": "Bearer t0ken"})
    assert right.json == {"result": "hi"}
    assert wrong.error == signed.error == unwanted.error == (403, "AccessDeniedException")
    assert elsewhere.error == (403, "IncompleteSignatureException")


# The control plane.


async def pages(aws: Client, asked: Any) -> list[list[Any]]:
    found, token = [], None
    while True:
        reply = await asked({} if token is None else {"nextToken": token})
        assert reply.status == 200
        ((_, rows),) = ((name, rows) for name, rows in reply.json.items() if name != "nextToken")
        found.append(rows)
        if (token := reply.json.get("nextToken")) is None:
            return found


async def test_lists_come_in_pages() -> None:
    agents = {f"AGENT000{n:02}": Agent(name=f"a{n}", description="d" * n) for n in range(12)}
    flows = {f"FLOWS000{n:02}": Flow(description="d" * n) for n in range(3)}
    async with bedrock(agents=agents, flows=flows) as aws:
        usual = await pages(aws, lambda more: aws.send("POST", "/agents/", {**more}))
        wanted = await pages(aws, lambda more: aws.send("POST", "/agents/", {"maxResults": 5, **more}))
        many = await pages(aws, lambda more: aws.send("POST", "/agents/", {"maxResults": 1000, **more}))

        def query(more: dict[str, str]) -> Any:
            token = "".join(f"&nextToken={value.replace('=', '%3D')}" for value in more.values())
            return aws.send("GET", f"/flows/?maxResults=2{token}")

        listed = await pages(aws, query)
    assert [len(rows) for rows in usual] == [len(rows) for rows in many] == [10, 2]
    assert [len(rows) for rows in wanted] == [5, 5, 2]
    assert [row["id"] for rows in listed for row in rows] == list(flows)
    assert [row.get("description") for rows in usual for row in rows][:2] == [None, "d"]


async def test_lists_that_are_refused() -> None:
    async with bedrock(agents={f"AGENT000{n:02}": Agent() for n in range(12)}) as aws:
        token = (await aws.send("POST", "/agents/", {})).json["nextToken"]
        assert refused(await aws.send("POST", "/agents/", {"maxResults": 0}), "maxResults")
        assert refused(await aws.send("POST", "/agents/", {"maxResults": 1001}), "maxResults")
        assert refused(await aws.send("POST", "/agents/", {"nextToken": "x y"}), "nextToken")
        for wrong in ("eA==", "%%%", "MTA="):
            assert refused(await aws.send("POST", "/agents/", {"nextToken": wrong}), "nextToken")
        assert refused(
            await aws.send("POST", "/agents/AGENT00001/agentaliases/", {"nextToken": token}), "nextToken"
        )
        assert refused(await aws.send("GET", "/flows/?maxResults=many"), "maxResults")
        assert refused(await aws.send("GET", "/flows/?pageSize=2"), "pageSize")
        assert refused(await aws.send("POST", "/agents/SHORT/agentaliases/", {}), "agentId")
        assert (await aws.send("GET", "/agents/AGENT00099/")).error[0] == 404
        assert (await aws.send("GET", "/agents/AGENT00001/agentaliases/NOBODY0001/")).error[0] == 404
        assert (await aws.send("GET", "/flows/NOBODY0001/aliases")).error[0] == 404
