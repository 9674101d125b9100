"""What the platform knows of a chat: whose turn it is, what is saved, what a leaving client leaves behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from proxy.simulators.coze import DEMO_BOT, CozeStandIn
from proxy.simulators.coze_knobs import Ask, Break, Failure, Knobs, Question
from tests.simulators.coze_client import BOT, FIRST, NOW, QUESTION, Client, chat, platform, says

ANSWER = {"role": "assistant", "type": "answer", "content_type": "text", "content": "Paris."}
NO_SUCH_FILE = '[{"type":"text","text":"?"},{"type":"image","file_id":"7"}]'
SLOW = Knobs(said=(("a", "b", "c"),), delay=0.05)


def ids(got: list[tuple[str, Any]]) -> dict[str, str]:
    created = got[0][1]
    return {"conversation_id": created["conversation_id"], "chat_id": created["id"]}


async def opened(client: Client, **more: Any) -> dict[str, str]:
    """Begin a stream, and leave it after the first event; the ids of its chat."""
    url = f"{client.server.url}/v3/chat"
    headers = {"Authorization": f"Bearer {client.token}"}
    async with client.session.post(url, json=chat(**more), headers=headers) as response:
        first = await response.content.readuntil(b"\n\n")
        response.close()
    created = json.loads(first.split(b"data:", 1)[1])
    return {"conversation_id": created["conversation_id"], "chat_id": created["id"]}


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


# Refusals that need to know something.


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (chat(conversation_id="1"), 4000),
        (chat(stream=False, auto_save_history=False), 4000),
        (chat(ANSWER), 4000),
        (chat(QUESTION, ANSWER), 4000),
        (chat(additional_messages=[]), 4000),
        (chat({**ANSWER, "type": "tool_response"}, QUESTION), 4000),
        (chat({**ANSWER, "type": "tool_response"}, QUESTION, auto_save_history=False), 0),
        (chat(publish_status="unpublished_draft", bot_version="1"), 4000),
        (chat(bot_id="7400000000000000404"), 4200),
        (chat(bot_id=BOT), 4015),
        (chat(bot_id=BOT, publish_status="unpublished_draft"), 0),
        (
            chat(
                {
                    **says('[{"type":"text","text":"?"},{"type":"image","file_id":"7"}]'),
                    "content_type": "object_string",
                }
            ),
            4000,
        ),
    ],
)
async def test_refused(body: dict[str, Any], code: int) -> None:
    async with platform(bots={DEMO_BOT: Knobs(), BOT: Knobs(published=False)}) as client:
        status, content_type, raw = await client.raw("POST", "/v3/chat", json=body)
    assert status == 200
    if code:
        assert content_type == "application/json"
        refused = json.loads(raw)
        assert refused["code"] == code
        assert refused["msg"]
        assert refused["detail"]["logid"].startswith("20261118")
    else:
        assert content_type == "text/event-stream"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, "not JSON"),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, "text/plain"),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, "JSON object"),
        ({}, "bot_id is required"),
    ],
)
async def test_bodies_that_are_none(sent: dict[str, Any], words: str) -> None:
    async with platform() as client:
        _, _, raw = await client.raw("POST", "/v3/chat", **sent)
    refused = json.loads(raw)
    assert refused["code"] == 4000
    assert words in refused["msg"]


@pytest.mark.parametrize(("name", "code"), [("7", 4200), ("abc", 4000), ("", 0)])
async def test_the_conversation_of_the_query(name: str, code: int) -> None:
    """The official SDK sends an empty one when it has none."""
    async with platform() as client:
        _, content_type, raw = await client.raw("POST", f"/v3/chat?conversation_id={name}", json=chat())
    assert (json.loads(raw)["code"] if code else content_type) == (code or "text/event-stream")


# A conversation.


async def test_a_conversation_goes_on_with_what_was_said() -> None:
    async with platform(knobs=Knobs(said=(("Yes.",),))) as client:
        first = ids(await client.chat(says("one")))
        again = ids(await client.chat(says("two"), conversation_id=first["conversation_id"]))
        listed = await client.post(
            "/v1/conversation/message/list", {"order": "asc"}, conversation_id=first["conversation_id"]
        )
        got = await client.chat(conversation_id=first["conversation_id"])
        empty = await client.post("/v3/chat", {"bot_id": DEMO_BOT, "user_id": "u"}, **_only(first))
    assert again["conversation_id"] == first["conversation_id"]
    assert [row["content"] for row in listed["data"]] == ["one", "Yes.", "two", "Yes."]
    assert [row["chat_id"] for row in listed["data"]] == [first["chat_id"]] * 2 + [again["chat_id"]] * 2
    assert got[-2][1]["usage"]["input_count"] > 3
    assert empty["code"] == 4000


def _only(found: dict[str, str]) -> dict[str, str]:
    return {"conversation_id": found["conversation_id"]}


async def test_ids_count_up_and_are_too_wide_for_a_float() -> None:
    async with platform() as client:
        got = await client.chat()
        numbers = [int(data["id"]) for name, data in got if "chat." not in name and name != "done"]
        assert numbers == sorted(numbers)
        assert min(numbers) > FIRST > 2**53
        assert all(isinstance(data["id"], str) for name, data in got if name != "done")
        assert int(json.loads(json.dumps(float(numbers[0])).split(".")[0])) != numbers[0]


async def test_clearing_hides_what_was_said_but_keeps_it() -> None:
    async with platform(knobs=Knobs(said=(("Yes.",),))) as client:
        where = _only(ids(await client.chat(says("one"))))
        before = await client.chat(says("x"), **where)
        section = await client.post(f"/v1/conversations/{where['conversation_id']}/clear")
        after = await client.chat(says("x"), **where)
        listed = await client.post("/v1/conversation/message/list", **where)
    assert after[0][1]["section_id"] == section["data"]["id"] != before[0][1]["section_id"]
    assert after[-2][1]["usage"]["input_count"] < before[-2][1]["usage"]["input_count"]
    assert len(listed["data"]) == 6


async def test_one_chat_at_a_time_in_a_conversation() -> None:
    async with platform() as client:
        first = (await client.post("/v3/chat", chat(stream=False)))["data"]
        where = {"conversation_id": first["conversation_id"]}
        assert (await client.post("/v3/chat", chat(), **where))["code"] == 4016
        assert (await client.chat())[0][1]["conversation_id"] != first["conversation_id"]
        cancelled = await client.post("/v3/chat/cancel", {**where, "chat_id": first["id"]})
        assert cancelled["data"]["status"] == "canceled"
        assert (await client.chat(**where))[-1][0] == "done"


# Without a stream.


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_polling(method: str) -> None:
    knobs = Knobs(follow_ups=("Why?",), noise=("knowledge",))
    async with platform(knobs=knobs) as client:
        begun = (await client.post("/v3/chat", chat(stream=False, meta_data={"a": "b"})))["data"]
        where = {"conversation_id": begun["conversation_id"], "chat_id": begun["id"]}
        found = []
        for _ in range(4):
            _, _, raw = await client.raw(method, "/v3/chat/retrieve", params=where)
            found.append(json.loads(raw)["data"])
        rows = (await client.get("/v3/chat/message/list", **where))["data"]
    assert [chat["status"] for chat in [begun, *found]] == ["in_progress"] * 3 + ["completed"] * 2
    assert found[-1]["meta_data"] == {"a": "b"}
    assert found[-1]["usage"] == {"token_count": 7, "output_count": 4, "input_count": 3}
    assert [row["type"] for row in rows] == ["verbose", "follow_up", "knowledge", "answer"]
    assert rows[-1]["content"] == "1, 2."
    assert rows[-1]["created_at"] == NOW


async def test_polling_a_failure() -> None:
    async with platform(knobs=Knobs(polls=0, fault=Break(2, "error", 4013, "too fast"))) as client:
        begun = (await client.post("/v3/chat", chat(stream=False)))["data"]
        where = {"conversation_id": begun["conversation_id"], "chat_id": begun["id"]}
        found = (await client.post("/v3/chat/retrieve", **where))["data"]
    assert (found["status"], found["last_error"]) == ("failed", {"code": 4013, "msg": "too fast"})
    assert found["failed_at"] == NOW


async def test_what_was_not_saved_cannot_be_asked_for() -> None:
    knobs = Knobs(rounds=((Ask("f"),),))
    async with platform(knobs=knobs) as client:
        got = await client.chat(auto_save_history=False)
        where, call = ids(got), got[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
        assert (await client.post("/v3/chat/retrieve", **where))["code"] == 4200
        assert (await client.get("/v3/chat/message/list", **where))["code"] == 4200
        outputs = {"tool_outputs": [{"tool_call_id": call, "output": "1"}]}
        assert (await client.post("/v3/chat/submit_tool_outputs", outputs, **where))["code"] == 5000
        listed = await client.post("/v1/conversation/message/list", **_only(where))
        assert listed["data"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [({}, 4000), ({"conversation_id": "7"}, 4000), ({"conversation_id": "7", "chat_id": "8"}, 4200)],
)
async def test_chats_that_are_not_there(query: dict[str, str], code: int) -> None:
    async with platform() as client:
        where = ids(await client.chat())
        assert (await client.get("/v3/chat/retrieve", **query))["code"] == code
        assert (await client.get("/v3/chat/message/list", **query))["code"] == code
        assert (await client.post("/v3/chat/submit_tool_outputs", {}, **query))["code"] == code
        assert (await client.post("/v3/chat/cancel", query))["code"] == code
        assert (await client.get("/v3/chat/retrieve", **{**where, "chat_id": "8"}))["code"] == 4200


# Cancelling and leaving.


async def test_cancelling_flips_the_state_and_keeps_streaming() -> None:
    async with platform(knobs=SLOW) as client:
        stream = asyncio.create_task(client.chat())
        await until(lambda: client.server.world.conversations)
        (conversation,) = client.server.world.conversations.values()
        await until(lambda: conversation.busy)
        where = {"conversation_id": conversation.id, "chat_id": next(iter(conversation.chats))}
        cancelled = await client.post("/v3/chat/cancel", where)
        assert not stream.done()
        again = await client.post("/v3/chat/cancel", where)
        got = await stream
        found = await client.post("/v3/chat/retrieve", **where)
        assert conversation.heard() == []
    assert cancelled["data"]["status"] == "canceled"
    assert again["code"] == 4104
    assert "".join(data["content"] for name, data in got if name.endswith("delta")) == "abc"
    assert got[-2][0] == "conversation.chat.completed"
    assert found["data"]["status"] == "canceled"


@pytest.mark.parametrize("knobs", [Knobs(), Knobs(rounds=((Ask("f"),),)), Knobs(fault=Break(2, "failed"))])
async def test_what_has_ended_cannot_be_cancelled(knobs: Knobs) -> None:
    async with platform(knobs=knobs) as client:
        assert (await client.post("/v3/chat/cancel", ids(await client.chat())))["code"] == 4104


async def test_a_client_that_leaves_is_noted_and_the_run_goes_on() -> None:
    async with platform(knobs=SLOW) as client:
        where = await opened(client)
        (heard,) = client.server.heard("/v3/chat")
        await until(lambda: heard.left is not None)
        assert heard.arrived < heard.left <= heard.fate.ended
        assert (await client.post("/v3/chat", chat(), **_only(where)))["code"] == 4016
        found = client.server.world.chat(**where)
        await until(lambda: found.status == "completed")
        rows = (await client.get("/v3/chat/message/list", **where))["data"]
        assert [row["content"] for row in rows if row["type"] == "answer"] == ["abc"]
        assert (await client.chat(**_only(where)))[-1][0] == "done"


async def test_a_run_that_nobody_cancels_can_stay() -> None:
    knobs = Knobs(said=(("a", "b"),), delay=0.01, abandoned="stays")
    async with platform(knobs=knobs) as client:
        where = await opened(client)
        await until(lambda: client.server.heard("/v3/chat")[0].left is not None)
        await asyncio.sleep(0.1)
        assert client.server.world.chat(**where).status == "in_progress"
        assert (await client.post("/v3/chat/cancel", where))["code"] == 0


async def test_nothing_is_left_running_when_the_server_ends() -> None:
    async with aiohttp.ClientSession() as session:
        before = asyncio.all_tasks()
        async with CozeStandIn(knobs=Knobs(delay=30)) as server:
            client = Client(server, session)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.chat()
            await until(lambda: server.requests[0].left is not None)
            held = asyncio.create_task(client.chat())
            await until(lambda: len(server.requests) == 2)
        with pytest.raises(aiohttp.ClientError):
            await held
        assert server.requests[1].left is None, "it was the server that left"
        assert asyncio.all_tasks() <= before


# Tools.


async def test_rounds_of_tools() -> None:
    knobs = Knobs(rounds=((Ask("a", '{"n":1}'), Ask("b")), (Ask("c"),)))
    async with platform(knobs=knobs) as client:
        first = await client.chat()
        where = ids(first)
        calls = first[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert [name for name, _ in first] == [
            "conversation.chat.created",
            "conversation.chat.in_progress",
            "conversation.chat.requires_action",
            "done",
        ]
        assert [call["function"] for call in calls] == [
            {"name": "a", "arguments": '{"n":1}'},
            {"name": "b", "arguments": "{}"},
        ]
        assert all(set(call["id"]) & set("+/=") for call in calls)
        polled = (await client.get("/v3/chat/retrieve", **where))["data"]
        assert polled["required_action"]["submit_tool_outputs"]["tool_calls"] == calls

        path, stream = "/v3/chat/submit_tool_outputs", {"stream": True}
        outputs = [{"tool_call_id": call["id"], "output": "12 degrees"} for call in calls]
        for wrong in (
            [],
            outputs[:1],
            [*outputs, outputs[0]],
            [*outputs, {"tool_call_id": "x", "output": ""}],
        ):
            assert (await client.post(path, {"tool_outputs": wrong, **stream}, **where))["code"] == 4000
        second = await client.events(path, {"tool_outputs": outputs, **stream}, **where)
        (call,) = second[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert ids(second) == where
        assert (await client.post(path, {"tool_outputs": outputs}, **where))["code"] == 4000

        last = {"tool_outputs": [{"tool_call_id": call["id"], "output": "7 knots"}]}
        begun = (await client.post(path, last, **where))["data"]
        assert (begun["id"], begun["status"]) == (where["chat_id"], "in_progress")
        for _ in range(3):
            polled = (await client.get("/v3/chat/retrieve", **where))["data"]
        rows = (await client.get("/v3/chat/message/list", **where))["data"]
        assert polled["status"] == "completed"
        assert "required_action" not in polled
        said = next(row["content"] for row in rows if row["type"] == "answer")
        assert "12 degrees" in said
        assert "7 knots" in said
        assert (await client.post(path, last, **where))["code"] == 4000


async def test_outputs_wait_while_another_chat_of_the_conversation_runs() -> None:
    async with platform(knobs=Knobs(rounds=((Ask("f"),),))) as client:
        first = await client.chat()
        where = ids(first)
        client.server.knobs.rounds = ()
        assert (await client.post("/v3/chat", chat(stream=False), **_only(where)))["code"] == 0
        (call,) = first[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "1"}]}
        assert (await client.post("/v3/chat/submit_tool_outputs", outputs, **where))["code"] == 4016


async def test_a_second_stream_need_not_begin_again() -> None:
    async with platform(knobs=Knobs(rounds=((Ask("f"),),), repeats_created=False)) as client:
        first = await client.chat()
        (call,) = first[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "1"}]
        second = await client.events(
            "/v3/chat/submit_tool_outputs", {"tool_outputs": outputs, "stream": True}, **ids(first)
        )
    assert second[0][0] == "conversation.message.delta"


async def test_a_question_is_answered_by_the_next_message() -> None:
    knobs = Knobs(rounds=(Question("Which town?"), Question("Which day?")), said=(("Sunny.",),))
    async with platform(knobs=knobs) as client:
        first = await client.chat(says("weather"))
        where = _only(ids(first))
        second = await client.chat(says("Rome"), **where)
        third = await client.chat(says("Monday"), **where)
        fourth = await client.chat(says("weather"), **where)
    texts = [
        [
            data["content"]
            for name, data in got
            if name.endswith("message.completed") and data["type"] == "answer"
        ]
        for got in (first, second, third, fourth)
    ]
    assert texts == [["Which town?"], ["Which day?"], ["Sunny."], ["Which town?"]]
    (call,) = first[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert (call["type"], call["function"]) == ("reply_message", None)
    markers = [json.loads(data["content"]) for _, data in first if data and "verbose" in str(data)]
    assert [marker["msg_type"] for marker in markers] == ["interrupt", "generate_answer_finish"]
    assert json.loads(markers[1]["data"])["finish_reason"] == 1


# Several at once.


async def test_bots_behave_as_they_are_told_each() -> None:
    bots = {DEMO_BOT: Knobs(said=(("one",),)), BOT: Knobs(fault=Break(0, "error_empty"))}
    async with platform(bots=bots) as client:
        good, bad = await asyncio.gather(client.chat(), client.chat(bot_id=BOT))
        client.server.bots[BOT] = Knobs(said=(("two",),))
        changed = await client.chat(bot_id=BOT)
    assert good[2][1]["content"] == "one"
    assert bad[0] == ("error", {})
    assert changed[2][1]["content"] == "two"


async def test_failures_are_for_the_next_request_that_fits() -> None:
    async with platform() as client:
        client.server.platform.failures.extend(
            [
                Failure(4104, "too late", path="/v3/chat/cancel"),
                Failure(4013, "too fast", path="/v3/chat"),
                Failure(status=502, body=b"<html>", content_type="text/html"),
            ]
        )
        assert (await client.post("/v3/chat/cancel", {}))["code"] == 4104
        assert (await client.post("/v3/chat", chat()))["code"] == 4013
        assert await client.raw("POST", "/v3/chat", json=chat()) == (502, "text/html", b"<html>")
        assert (await client.chat())[-1][0] == "done"
        assert len(client.server.heard("/v3/chat")) == 3


async def test_failures_for_another_path_wait() -> None:
    async with platform() as client:
        client.server.platform.failures.append(Failure(4104, path="/v3/chat/cancel"))
        assert (await client.chat())[-1][0] == "done"
        assert (await client.post("/v3/chat/cancel", {}))["code"] == 4104
        assert client.server.open_connections == 1


async def test_an_envelope_under_the_name_of_a_stream() -> None:
    async with platform() as client:
        client.server.platform.failures.append(Failure(4100, "bad", content_type="text/event-stream"))
        status, content_type, raw = await client.raw("POST", "/v3/chat", json=chat())
    assert (status, content_type, json.loads(raw)["code"]) == (200, "text/event-stream", 4100)
