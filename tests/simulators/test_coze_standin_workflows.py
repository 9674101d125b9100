"""Workflows: what their streams look like, what interrupts them, what becomes of runs, and chatflows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.simulators.coze import DEMO_BOT, DEMO_CHATFLOW, DEMO_SPACE, DEMO_WORKFLOW
from proxy.simulators.coze_knobs import Break, Framing, Interrupt, Knobs, Node, Question, WorkflowKnobs
from tests.simulators.coze_client import FLOW, QUESTION, Client, flow, platform, says, studio

RUN = {"workflow_id": FLOW, "parameters": {"input": "count to 1"}}
DEBUG = "https://www.coze.com/work_flow?execute_id=7519000000000000001"
SAID = (Node("Message", ("msg", "why")),)


async def streamed(client: Client, document: Any = RUN, path: str = "/v1/workflow/stream_run") -> Any:
    return await client.events(path, document)


def messages(got: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(data["node_title"], data["content"]) for name, data in got if name == "Message"]


# Streams.


async def test_the_bytes_of_a_run() -> None:
    async with flow(nodes=(Node("Message", ("hi",), id="15"),)) as client:
        raw = await client.bytes("/v1/workflow/stream_run", RUN)
    assert raw.decode() == (
        'id: 0\nevent: Message\ndata: {"content":"hi","content_type":"text","node_title":"Message",'
        '"node_seq_id":"0","node_is_finish":true,"node_id":"15","node_type":"Message",'
        '"node_execute_uuid":"7519000000000000002"}\n\n'
        'id: 1\nevent: Message\ndata: {"content":"{\\"output\\":\\"hi\\"}","content_type":"text",'
        '"node_title":"End","node_seq_id":"0","node_is_finish":true,"node_id":"900001","node_type":"End",'
        '"node_execute_uuid":"7519000000000000003","usage":{"token_count":5,"output_count":2,"input_count":3}}\n\n'
        "id: 2\nevent: Done\ndata: {}\n\n"
    )


async def test_old_messages_name_their_node_by_title_alone() -> None:
    async with flow(nodes=SAID, modern=False, token=9, usage="missing") as client:
        got = await streamed(client)
    assert messages(got) == [("Message", "msg"), ("Message", "why"), ("", '{"output":"msgwhy"}')]
    assert [data["node_seq_id"] for name, data in got if name == "Message"] == ["0", "1", "0"]
    assert [data["node_is_finish"] for name, data in got if name == "Message"] == [False, True, True]
    assert set(got[0][1]) == {"content", "content_type", "node_title", "node_seq_id", "node_is_finish"}
    assert (got[2][1]["token"], "usage" in got[2][1]) == (9, False)


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"nodes": (), "outputs": {"output": "x"}}, [("End", '{"output":"x"}')]),
        ({"nodes": (), "outputs": {"a": 1, "b": "y"}}, [("End", '{"a":1,"b":"y"}')]),
        ({"nodes": (), "outputs": "plain"}, [("End", "plain")]),
        ({"nodes": ()}, [("End", '{"output":"1."}')]),
        ({"nodes": SAID, "end": False}, [("Message", "msg"), ("Message", "why")]),
        (
            {"nodes": (*SAID, Node("Other", ("!",))), "outputs": "x"},
            [("Message", "msg"), ("Message", "why"), ("Other", "!"), ("End", "x")],
        ),
    ],
)
async def test_nodes_and_outputs(knobs: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    async with flow(**knobs) as client:
        got = await streamed(client)
    assert messages(got) == expected
    assert "usage" in got[-2][1]
    assert got[-1] == ("Done", {})


@pytest.mark.parametrize(
    ("form", "tail"),
    [
        ("debug_url", f'event: Done\ndata: {{"debug_url":"{DEBUG}"}}\n\n'),
        ("empty", "event: Done\ndata: \n\n"),
        ("no_data", "event: Done\n\n"),
    ],
)
async def test_done(form: Any, tail: str) -> None:
    async with flow(done=form) as client:
        raw = await client.bytes("/v1/workflow/stream_run", RUN)
    assert raw.decode().endswith(tail)


async def test_a_stream_without_done_and_other_framing() -> None:
    async with flow(nodes=SAID, done="missing", pings=1, framing=Framing(space=False)) as client:
        raw = await client.bytes("/v1/workflow/stream_run", RUN)
    assert raw.startswith(b"id:0\nevent:PING\ndata:{}\n\nid:1\nevent:Message\ndata:{")
    assert b"id:2\nevent:PING\n\nid:3\nevent:Message" in raw
    assert b"Done" not in raw


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            Break(0, "failed", 4000, "bad"),
            [("Error", {"error_code": 4000, "error_message": "bad", "debug_url": DEBUG})],
        ),
        (Break(0, "failed_bare"), [("Error", {})]),
        (Break(0, "error", msg="it broke"), [("error", "it broke")]),
    ],
)
async def test_faults(fault: Break, expected: Any) -> None:
    async with flow(fault=fault) as client:
        assert await streamed(client) == expected
        (run,) = client.server.world.runs.values()
        assert run.status == "Fail"
        client.server.workflows[FLOW].fault = Break(1, "json", 720702085, "timeout")
        raw = await client.bytes("/v1/workflow/stream_run", RUN)
        assert raw.split(b"\n\n")[1] == b'{"code":720702085,"msg":"timeout"}'
        client.server.workflows[FLOW].fault = Break(1, "end")
        assert len(await streamed(client)) == 1


# Interrupts.


async def test_interrupts_and_their_replies() -> None:
    asks = (Interrupt("Which town?"), Interrupt("Which day?", 5, "Input", {"day": {"type": "string"}}))
    async with flow(nodes=SAID, interrupts=asks) as client:
        first = await streamed(client)
        assert messages(first) == [("Question", "Which town?")]
        name, data = first[-1]
        waiting = data["interrupt_data"]
        assert (name, data["node_title"], waiting["type"]) == ("Interrupt", "Question", 2)
        assert waiting["event_id"].split("/")[0] == "7519000000000000001"
        reply = {
            "workflow_id": FLOW,
            "event_id": waiting["event_id"],
            "interrupt_type": 2,
            "resume_data": "Rome",
        }
        path = "/v1/workflow/stream_resume"
        for wrong in ({"interrupt_type": 5}, {"event_id": "1/2"}, {"workflow_id": "7"}, {"event_id": None}):
            assert (await client.post(path, {**reply, **wrong}))["code"] in (4000, 4200)
        second = await streamed(client, reply, path)
        other = second[-1][1]["interrupt_data"]
        assert (other["type"], other["required_parameters"]) == (5, {"day": {"type": "string"}})
        assert (await client.post(path, reply))["code"] == 4200, "a reply counts once"
        last = {**reply, "event_id": other["event_id"], "interrupt_type": 5, "resume_data": "Monday"}
        third = await streamed(client, last, path)
    assert messages(third)[-1] == ("End", '{"output":"msgwhy"}')
    assert third[-1] == ("Done", {})


async def test_three_empty_replies_are_enough() -> None:
    async with flow(interrupts=(Interrupt("Which town?"),)) as client:
        got = await streamed(client)
        for _ in range(3):
            waiting = got[-1][1]["interrupt_data"]
            reply = {"workflow_id": FLOW, "interrupt_type": 2, "resume_data": " "}
            path = "/v1/workflow/stream_resume"
            got = await streamed(client, {**reply, "event_id": waiting["event_id"]}, path)
    assert got[0][0] == "Error"


async def test_interrupts_of_a_run_that_is_not_streamed() -> None:
    async with flow(interrupts=(Interrupt("Which town?"),)) as client:
        first = await client.post("/v1/workflow/run", RUN)
        waiting = first["interrupt_data"]
        reply = {"workflow_id": FLOW, "event_id": waiting["event_id"], "resume_data": "say Rome"}
        second = await client.post("/v1/workflows/resume", {**reply, "interrupt_type": waiting["type"]})
        client.server.platform.studio = True
        assert (await client.post("/v1/workflow/run", RUN))["code"] == 6039
    assert first["data"] == ""
    assert json.loads(second["data"])["output"]


# Runs that are not streamed.


async def test_a_whole_run() -> None:
    async with flow(nodes=SAID, token=5) as client:
        got = await client.post("/v1/workflow/run", RUN)
        client.server.workflows[FLOW].fault = Break(0, "failed", 720701013, "it failed")
        failed = await client.post("/v1/workflow/run", RUN)
    assert isinstance(got.pop("detail")["logid"], str)
    assert got == {
        "code": 0,
        "msg": "",
        "data": '{"output":"msgwhy"}',
        "debug_url": DEBUG,
        "execute_id": "7519000000000000001",
        "usage": {"token_count": 5, "output_count": 2, "input_count": 3},
        "token": 5,
        "cost": "0",
    }
    assert (failed["code"], failed["msg"]) == (720701013, "it failed")
    assert failed["debug_url"]


@pytest.mark.parametrize(("fault", "status"), [(None, "Success"), (Break(0, "failed", 4000, "bad"), "Fail")])
async def test_a_run_for_later(fault: Break | None, status: str) -> None:
    async with flow(nodes=SAID, async_polls=1, fault=fault) as client:
        begun = await client.post("/v1/workflow/run", {**RUN, "is_async": True})
        path = f"/v1/workflows/{FLOW}/run_histories/{begun['execute_id']}"
        ((early,), (late,)) = [(await client.get(path))["data"] for _ in range(2)]
        assert (await client.get(f"{path}/execute_nodes/7"))["code"] == 4200
        assert (await client.get(f"/v1/workflows/7/run_histories/{begun['execute_id']}"))["code"] == 4200
    assert begun["data"] == ""
    assert (early["execute_status"], early["output"]) == ("Running", "")
    assert (late["execute_status"], late["run_mode"], late["bot_id"]) == (status, 2, "0")
    if fault is None:
        assert late["output"] == '{"output":"msgwhy"}'
        assert late["error_code"] == ""
    else:
        assert (late["error_code"], late["error_message"]) == ("4000", "bad")


async def test_a_run_that_waits_shows_it_in_its_history() -> None:
    async with flow(interrupts=(Interrupt("Which town?"),)) as client:
        got = await streamed(client)
        (found,) = (await client.get(f"/v1/workflows/{FLOW}/run_histories/7519000000000000001"))["data"]
    assert found["interrupt_data"] == got[-1][1]["interrupt_data"]
    assert (found["execute_status"], found["run_mode"]) == ("Running", 1)


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/workflow/run", {}, 4000),
    ("/v1/workflow/run", {"workflow_id": 7}, 4000),
    ("/v1/workflow/run", {"workflow_id": "7"}, 4200),
    ("/v1/workflow/stream_run", {"workflow_id": "7"}, 4200),
    ("/v1/workflow/stream_run", {**RUN, "is_async": True}, 4000),
    ("/v1/workflow/stream_run", {**RUN, "bot_id": DEMO_BOT, "app_id": "1"}, 4000),
    ("/v1/workflow/stream_run", {**RUN, "bot_id": "7"}, 4200),
    ("/v1/workflow/stream_run", {**RUN, "parameters": "{}"}, 4000),
]


@pytest.mark.parametrize(("path", "body", "code"), REFUSED)
async def test_refused(path: str, body: dict[str, Any], code: int) -> None:
    async with flow() as client:
        assert (await client.post(path, body))["code"] == code


async def test_what_a_workflow_may_refuse() -> None:
    async with flow(required_parameters=("city",), paid=False) as client:
        (event,) = await streamed(client)
        whole = await client.post("/v1/workflow/run", RUN)
        later = await client.post("/v1/workflow/run", {**RUN, "is_async": True})
        complete = await streamed(client, {**RUN, "bot_id": DEMO_BOT, "parameters": {"city": "Rome"}})
        client.server.workflows[FLOW].published = False
        unpublished = await client.post("/v1/workflow/stream_run", RUN)
    assert event[0] == "Error"
    assert event[1]["error_code"] == 4000
    assert (whole["code"], later["code"], unpublished["code"]) == (4000, 6003, 4200)
    assert complete[-1][0] == "Done"


# Chatflows.

TALK = {
    "workflow_id": FLOW,
    "bot_id": DEMO_BOT,
    "parameters": {},
    "additional_messages": [QUESTION],
}


def chatflow(knobs: Knobs | None = None) -> Any:
    return flow(mode="chatflow", **({} if knobs is None else {"chat": knobs}))


async def talk(client: Client, *messages: Any, **more: Any) -> list[tuple[str, Any]]:
    document = {**TALK, "additional_messages": list(messages or [QUESTION]), **more}
    return await client.events("/v1/workflows/chat", document)


async def test_a_chatflow_is_a_chat_with_a_space() -> None:
    async with chatflow() as client:
        raw = await client.bytes("/v1/workflows/chat", TALK)
    assert raw.startswith(b'event: conversation.chat.created\ndata: {"id":"7519000000000000002",')
    assert raw.endswith(b'execute_id=7519000000000000002"}\n\n')
    assert b"bot_id" not in raw


async def test_the_conversation_of_a_chatflow_is_in_the_body() -> None:
    async with chatflow() as client:
        first = await talk(client)
        conversation_id = first[0][1]["conversation_id"]
        again = await talk(client, conversation_id=conversation_id)
        named = await talk(client, parameters={"CONVERSATION_NAME": "mine"})
        same = await talk(client, parameters={"CONVERSATION_NAME": "mine"})
        query = await client.post("/v1/workflows/chat", TALK, conversation_id=conversation_id)
        absent = await client.post("/v1/workflows/chat", {**TALK, "conversation_id": "7"})
    assert again[0][1]["conversation_id"] == conversation_id
    assert named[0][1]["conversation_id"] == same[0][1]["conversation_id"] != conversation_id
    assert (query["code"], absent["code"]) == (4000, 4200)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"parameters": None}, 4000),
        ({"additional_messages": None}, 4000),
        ({"additional_messages": []}, 4000),
        ({"additional_messages": [{**QUESTION, "role": "assistant", "type": "answer"}]}, 4000),
        ({"bot_id": None}, 4000),
        ({"app_id": "1"}, 4000),
        ({"bot_id": None, "app_id": "1"}, 0),
        ({"workflow_id": DEMO_WORKFLOW}, 4000),
        ({"workflow_id": "7"}, 4200),
    ],
)
async def test_refused_chatflows(change: dict[str, Any], code: int) -> None:
    workflows = {FLOW: WorkflowKnobs(mode="chatflow"), DEMO_WORKFLOW: WorkflowKnobs()}
    async with platform(workflows=workflows) as client:
        _, content_type, raw = await client.raw("POST", "/v1/workflows/chat", json={**TALK, **change})
    assert (json.loads(raw)["code"] if content_type == "application/json" else 0) == code


async def test_a_question_node_of_a_chatflow() -> None:
    async with chatflow(Knobs(rounds=(Question("Which town?"),), said=(("Sunny.",),))) as client:
        first = await talk(client, says("weather"))
        second = await talk(client, says("Rome"), conversation_id=first[0][1]["conversation_id"])
    assert first[-2][0] == "conversation.chat.requires_action"
    assert "Sunny." in [data.get("content") for _, data in second]


async def test_a_chatflow_is_busy_too() -> None:
    async with chatflow(Knobs(said=(("a", "b"),), delay=0.05)) as client:
        stream = asyncio.create_task(talk(client))
        async with asyncio.timeout(5):
            while not client.server.world.conversations:
                await asyncio.sleep(0.005)
        (conversation_id,) = client.server.world.conversations
        refused = await client.post("/v1/workflows/chat", {**TALK, "conversation_id": conversation_id})
        await stream
    assert refused["code"] == 4016


# The list, and Studio.


async def test_the_list() -> None:
    workflows = {
        str(7_400_000_000_000_000_300 + place): WorkflowKnobs(
            mode="chatflow" if place % 2 else "workflow", published=place != 4
        )
        for place in range(5)
    }
    async with platform(workflows=workflows) as client:

        async def listed(**query: Any) -> Any:
            found = await client.get("/v1/workflows", workspace_id=DEMO_SPACE, **query)
            data = found.get("data") or {"items": [], "has_more": found["code"]}
            return [int(item["workflow_id"]) % 100 for item in data["items"]], data["has_more"]

        assert await listed() == ([0, 1, 2, 3], False)
        assert await listed(page_size=3) == ([0, 1, 2], True)
        assert await listed(page_size=3, page_num=2) == ([3], False)
        assert await listed(workflow_mode="chatflow") == ([1, 3], False)
        assert await listed(publish_status="unpublished_draft") == ([4], False)
        assert await listed(publish_status="all") == ([0, 1, 2, 3, 4], False)
        assert await listed(page_size=31) == ([], 4000)
        assert await listed(workflow_mode="other") == ([], 4000)
        assert (await client.get("/v1/workflows", workspace_id="7"))["code"] == 4101
        assert (await client.get("/v1/workflows/7"))["code"] == 4200


async def test_one_with_its_parameters() -> None:
    async with flow(required_parameters=("city",)) as client:
        found = await client.get(f"/v1/workflows/{FLOW}", include_input_output="true")
    assert found["data"]["input"]["parameters"] == {"city": {"type": "string", "required": True}}
    assert found["data"]["output"]["terminate_plan"] == "return_variables"


async def test_studio_keeps_histories_elsewhere() -> None:
    async with studio() as client:
        url = client.server.url
        headers = {"Authorization": f"Bearer {client.token}"}
        run = {"workflow_id": DEMO_WORKFLOW, "parameters": {"input": "hi"}}
        async with client.session.post(
            f"{url}/v1/workflow/stream_run", json=run, headers=headers
        ) as response:
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert response.headers["Cache-Control"] == "no-cache"
            await response.read()
        (execute_id,) = client.server.world.runs
        query = {"workflow_id": DEMO_WORKFLOW, "execute_id": execute_id}
        (found,) = (await client.get("/v1/workflow/get_run_history", **query))["data"]
        status, content_type, _ = await client.raw("GET", f"/v1/workflows/{DEMO_WORKFLOW}/run_histories/1")
        talked = {**TALK, "workflow_id": DEMO_CHATFLOW}
        _, _, raw = await client.raw("POST", "/v1/workflows/chat", json=talked)
    assert found["execute_status"] == "Success"
    assert (status, content_type) == (404, "text/plain; charset=utf-8")
    assert raw.startswith(b"id: 1\nevent: conversation.chat.created\n")
    assert b'"execute_id":' in raw
    assert b'"usage":{"token_count":11,"output_count":4,"input_count":3}' in raw
