"""Conversations, messages, files and lists as the stand-in keeps them, and the manners of its two platforms."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from proxy.simulators import coze_state
from proxy.simulators.coze import DEMO_BOT, DEMO_SPACE
from proxy.simulators.coze_knobs import Failure, Knobs
from tests.simulators.coze_client import BOT, FIRST, NOW, QUESTION, Client, chat, platform, says, studio

LIST = "/v1/conversation/message/list"


async def made(client: Client, **body: Any) -> str:
    return (await client.post("/v1/conversation/create", body))["data"]["id"]


# Conversations.


async def test_a_conversation() -> None:
    body = {"bot_id": DEMO_BOT, "messages": [says("hello", meta_data={"k": "v"})], "meta_data": {"a": "b"}}
    async with platform() as client:
        created = (await client.post("/v1/conversation/create", body))["data"]
        where = {"conversation_id": created["id"]}
        assert (await client.get("/v1/conversation/retrieve", **where))["data"] == created
        (row,) = (await client.post(LIST, **where))["data"]
    assert created == {
        "id": str(FIRST + 1),
        "created_at": NOW,
        "meta_data": {"a": "b"},
        "last_section_id": str(FIRST + 1),
        "name": "hello",
        "updated_at": NOW,
        "creator_id": "7512000000000000005",
        "connector_id": "1024",
    }
    assert (row["bot_id"], row["chat_id"], row["type"], row["meta_data"]) == ("", "", "question", {"k": "v"})


async def test_only_conversations_with_a_bot_are_listed() -> None:
    async with platform(bots={DEMO_BOT: Knobs(), BOT: Knobs()}) as client:
        await made(client)
        await client.chat()
        await made(client, bot_id=BOT)
        await made(client, bot_id=DEMO_BOT, connector_id="999")
        mine = [await made(client, bot_id=DEMO_BOT) for _ in range(3)]

        async def listed(**query: Any) -> Any:
            data = (await client.get("/v1/conversations", bot_id=DEMO_BOT, **query))["data"]
            return [mine.index(found["id"]) for found in data["conversations"]], data["has_more"]

        assert await listed() == ([2, 1, 0], False)
        assert await listed(sort_order="ASC") == ([0, 1, 2], False)
        assert await listed(page_size=2) == ([2, 1], True)
        assert await listed(page_size=2, page_num=2) == ([0], False)
        assert await listed(connector_id="998") == ([], False)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"bot_id": "x"},
        *({"bot_id": "7", name: "0"} for name in ("page_num", "page_size", "sort_order")),
        {"bot_id": "7", "page_size": "51"},
        {"bot_id": "7", "page_num": "two"},
    ],
)
async def test_wrong_queries_of_the_list(query: dict[str, str]) -> None:
    async with platform() as client:
        assert (await client.get("/v1/conversations", **query))["code"] == 4000


async def test_an_unknown_bot_is_an_internal_error_here() -> None:
    async with platform() as client:
        assert (await client.post("/v1/conversation/create", {"bot_id": "7"}))["code"] == 5000


async def test_renaming_and_deleting() -> None:
    async with platform() as client:
        path = f"/v1/conversations/{await made(client)}"
        _, _, raw = await client.raw("PUT", path, json={"name": "x" * 101})
        assert json.loads(raw)["code"] == 4000
        _, _, raw = await client.raw("PUT", path, json={"name": "new"})
        assert json.loads(raw)["data"]["name"] == "new"
        _, _, raw = await client.raw("DELETE", path)
        deleted = json.loads(raw)
        assert (deleted["code"], "data" in deleted) == (0, False)
        for method, where in (("DELETE", path), ("PUT", path), ("POST", f"{path}/clear")):
            _, _, raw = await client.raw(method, where, json={"name": "n"})
            assert json.loads(raw)["code"] == 4200
        _, _, raw = await client.raw("DELETE", "/v1/conversations/abc")
        assert json.loads(raw)["code"] == 4000


async def test_the_oldest_conversation_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coze_state, "_MOST_KEPT", 3)
    async with platform() as client:
        every = [await made(client) for _ in range(5)]
        assert list(client.server.world.conversations) == every[2:]
        where = {"conversation_id": every[-1]}
        for text in "abcd":
            await client.post("/v1/conversation/message/create", says(text) | {"type": None}, **where)
        rows = (await client.post(LIST, **where))["data"]
    assert [row["content"] for row in rows] == ["d", "c", "b"]


# Messages.


async def test_paging_through_messages() -> None:
    async with platform() as client:
        where = {"conversation_id": await made(client, messages=[says(text) for text in "abcde"])}

        async def page(**body: Any) -> tuple[str, bool, dict[str, Any]]:
            got = await client.post(LIST, body, **where)
            rows = got["data"]
            if rows:
                assert (got["first_id"], got["last_id"]) == (rows[0]["id"], rows[-1]["id"])
            return "".join(row["content"] for row in rows), got["has_more"], got

        text, more, got = await page(limit=2)
        assert (text, more) == ("ed", True)
        text, more, got = await page(limit=2, after_id=got["last_id"])
        assert (text, more) == ("cb", True)
        assert (await page(limit=2, before_id=got["first_id"]))[:2] == ("ed", False)
        assert (await page(limit=2, after_id=got["last_id"]))[:2] == ("a", False)
        text, more, got = await page(limit=3, order="asc")
        assert (text, more) == ("abc", True)
        assert (await page(limit=3, order="asc", after_id=got["last_id"]))[:2] == ("de", False)
        assert (await page(limit=1, order="asc", before_id=got["last_id"]))[:2] == ("b", True)
        assert (await page(after_id="0", before_id="0"))[:2] == ("edcba", False)
        assert (await page(chat_id="7"))[:2] == ("", False)


async def test_what_came_about_on_the_way_is_listed_on_demand() -> None:
    async with platform(knobs=Knobs(noise=("function_call",), follow_ups=("Why?",))) as client:
        where = {"conversation_id": (await client.chat())[0][1]["conversation_id"]}
        plain = await client.post(LIST, {"order": "asc"}, **where)
        every = await client.post(LIST, {"order": "asc", "include_middle_message": True}, **where)
    assert [row["type"] for row in plain["data"]] == ["question", "answer"]
    assert [row["type"] for row in every["data"]] == [
        *("question", "function_call", "answer", "verbose", "follow_up"),
    ]


async def test_one_message() -> None:
    async with platform() as client:
        where = {"conversation_id": await made(client)}
        body = {"role": "assistant", "content": "hi", "content_type": "text"}
        created = (await client.post("/v1/conversation/message/create", body, **where))["data"]
        named = {**where, "message_id": created["id"]}
        assert created["type"] == "answer"
        assert (await client.get("/v1/conversation/message/retrieve", **named))["data"] == created

        path = "/v1/conversation/message/modify"
        assert (await client.post(path, {}, **named))["code"] == 4000
        assert (await client.post(path, {"content_type": "text"}, **named))["code"] == 4000
        assert (await client.post(path, {"content_type": "object_string", "content": "[]"}, **named))[
            "code"
        ] == 4000
        changed = await client.post(path, {"content": "ho", "meta_data": {"a": "b"}}, **named)
        assert "data" not in changed
        assert (changed["message"]["content"], changed["message"]["meta_data"]) == ("ho", {"a": "b"})
        again = await client.post(path, {"meta_data": {"c": "d"}}, **named)
        assert (again["message"]["content"], again["message"]["meta_data"]) == ("ho", {"c": "d"})

        gone = await client.post("/v1/conversation/message/delete", **named)
        assert gone["data"]["id"] == created["id"]
        assert (await client.get("/v1/conversation/message/retrieve", **named))["code"] == 4200
        assert (await client.get("/v1/conversation/message/retrieve", **where))["code"] == 4000


async def test_an_answer_takes_along_what_led_to_it() -> None:
    async with platform(knobs=Knobs(noise=("function_call",))) as client:
        where = {"conversation_id": (await client.chat())[0][1]["conversation_id"]}
        await client.chat(says("other"), **where)
        rows = (await client.post(LIST, {"order": "asc", "include_middle_message": True}, **where))["data"]
        delete = "/v1/conversation/message/delete"
        assert (await client.post(delete, **where, message_id=rows[1]["id"]))["code"] == 4000
        assert (await client.post(delete, **where, message_id=rows[2]["id"]))["code"] == 0
        left = (await client.post(LIST, {"order": "asc", "include_middle_message": True}, **where))["data"]
    assert [row["type"] for row in rows] == ["question", "function_call", "answer", "verbose"] * 2
    assert left == [rows[0], *rows[4:]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "user", "content": "x"},
        {"role": "system", "content": "x", "content_type": "text"},
        {"role": "user", "content": "x", "content_type": "object_string"},
        {"role": "assistant", "content": '[{"type":"file","file_id":"1"}]', "content_type": "object_string"},
    ],
)
async def test_messages_that_cannot_be_created(body: dict[str, Any]) -> None:
    async with platform() as client:
        where = {"conversation_id": await made(client)}
        assert (await client.post("/v1/conversation/message/create", body, **where))["code"] == 4000


async def test_noisy_rows() -> None:
    async with platform() as client:
        client.server.platform.noisy_rows = True
        where = {"conversation_id": await made(client, messages=[QUESTION, QUESTION])}
        noisy, plain = (await client.post(LIST, **where))["data"]
    assert (noisy["type"], noisy["created_at"]) == ("", str(NOW))
    assert (plain["type"], plain["created_at"]) == ("question", NOW)


# Files.


async def uploaded(client: Client, content_type: str, raw: bytes) -> dict[str, Any]:
    _, _, got = await client.raw("POST", "/v1/files/upload", data=raw, headers={"Content-Type": content_type})
    return json.loads(got)


def form(head: bytes, content: bytes = b"x", tail: bytes = b"\r\n--b--\r\n") -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + content + tail


FILE = b'Content-Disposition: form-data; name="file"; filename="b.png"'
KIND = "multipart/form-data; boundary=b"


async def test_a_file() -> None:
    content = b"\r\n--a\x00\xff\r\n"
    async with platform() as client:
        got = (await uploaded(client, KIND, form(FILE + b"\r\nContent-Type: image/png", content)))["data"]
        again = await client.get("/v1/files/retrieve", file_id=got["id"])
        absent = await client.get("/v1/files/retrieve", file_id="7")
        data = aiohttp.FormData()
        data.add_field("file", b"abc", filename="é.txt")
        _, _, raw = await client.raw("POST", "/v1/files/upload", data=data)
        seen = await client.chat(
            {
                **says(json.dumps([{"type": "text", "text": "?"}, {"type": "image", "file_id": got["id"]}])),
                "content_type": "object_string",
            }
        )
    assert got == {"id": str(FIRST + 1), "bytes": len(content), "created_at": NOW, "file_name": "b.png"}
    assert again["data"] == got
    assert absent["code"] == 4200
    assert json.loads(raw)["data"]["bytes"] == 3
    assert seen[-1][0] == "done"


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", form(FILE)),
        ("multipart/form-data; boundary=other", form(FILE)),
        (KIND, b""),
        (KIND, b"x" + form(FILE)),
        (KIND, form(FILE, tail=b"\r\n")),
        (KIND, form(FILE, tail=b"--b--\r\n")),
        (KIND, form(FILE, content=b"")),
        (KIND, form(FILE.replace(b"file", b"files", 1))),
        (KIND, form(FILE.replace(b'name="file"', b'name="document"'))),
        (KIND, form(FILE.partition(b"; filename")[0])),
        (KIND, form(FILE.replace(b'; name="file"', b""))),
        (KIND, form(FILE.replace(b"form-data", b"attachment"))),
        (KIND, form(b"nonsense")),
        (KIND, b"--b\r\n" + FILE + b"\r\n--b--\r\n"),
        (KIND, b"--b" + FILE + b"\r\n\r\nx\r\n--b--\r\n"),
        (KIND, form(FILE, tail=b"\r\n") + form(FILE)),
    ],
)
async def test_forms_that_are_refused(content_type: str, raw: bytes) -> None:
    async with platform() as client:
        assert (await uploaded(client, content_type, raw))["code"] == 4000


# Lists.


async def test_lists_of_bots() -> None:
    bots = {DEMO_BOT: Knobs(name="one"), BOT: Knobs(published=False)}
    async with platform(bots=bots) as client:

        async def listed(**query: Any) -> Any:
            got = await client.get("/v1/bots", workspace_id=DEMO_SPACE, **query)
            if got["code"]:
                return got["code"]
            return [bot["id"] for bot in got["data"]["items"]], got["data"]["total"]

        assert await listed() == ([DEMO_BOT], 1)
        assert await listed(publish_status="all", page_size=1, page_num=2) == ([BOT], 2)
        assert await listed(publish_status="all", page_size=1, page_index=2) == ([BOT], 2)
        assert await listed(publish_status="unpublished_draft") == ([BOT], 1)
        assert await listed(connector_id="999") == ([], 0)
        assert await listed(publish_status="x") == 4000
        assert (await client.get("/v1/bots"))["code"] == 4000
        assert (await client.get("/v1/bots", workspace_id="7"))["code"] == 4101
        old = await client.get("/v1/space/published_bots_list", space_id=DEMO_SPACE)
        assert [bot["publish_time"] for bot in old["data"]["space_bots"]] == ["1700000000"]
        assert (await client.get(f"/v1/bots/{DEMO_BOT}"))["data"]["name"] == "one"
        assert (await client.get("/v1/bot/get_online_info", bot_id=DEMO_BOT))["data"]["bot_id"] == DEMO_BOT
        assert (await client.get(f"/v1/bots/{BOT}"))["code"] == 4015
        assert (await client.get(f"/v1/bots/{BOT}", is_published="false"))["code"] == 0
        assert (await client.get("/v1/bots/7"))["code"] == 4200
        assert (await client.get("/v1/bots/x"))["code"] == 4000
        assert (await client.get("/v1/workspaces", page_num=2))["data"] == {
            "total_count": 1,
            "workspaces": [],
        }


# Around every request.


async def test_paths_that_are_not_there_have_no_envelope() -> None:
    async with platform() as client:
        for method, path in (("GET", "/v3/chat"), ("POST", "//v3/chat"), ("POST", "/v1/chat/completions")):
            assert await client.raw(method, path) == (404, "text/plain; charset=utf-8", b"404 page not found")


async def test_logids_are_in_the_header_and_in_the_body() -> None:
    async with platform() as client:
        url, headers = f"{client.server.url}/v1/users/me", {"Authorization": f"Bearer {client.token}"}
        seen = set()
        for given in (headers, {}, headers):
            async with client.session.get(url, headers=given) as response:
                logid = (await response.json())["detail"]["logid"]
                assert response.headers["x-tt-logid"] == logid
                seen.add(logid)
        assert len(seen) == 3
        async with client.session.post(
            f"{client.server.url}/v3/chat", json=chat(), headers=headers
        ) as response:
            assert response.headers["x-tt-logid"]


async def test_requests_are_recorded() -> None:
    async with platform() as client:
        await client.chat(conversation_id=await made(client, messages=[says("a")]))
        first, second = client.server.requests
    assert (first.method, first.path) == ("POST", "/v1/conversation/create")
    assert second.path == f"/v3/chat?conversation_id={FIRST + 1}"
    assert second.document == chat()
    assert second.headers["authorization"].startswith("Bearer pat_")
    assert (first.connection, second.connection, client.server.connections) == (1, 1, 1)
    assert first.arrived <= first.fate.ended <= second.arrived
    assert second.left is None


# Studio.


async def test_studio_refuses_with_statuses_of_its_own() -> None:
    async with studio() as client:

        async def refused(method: str, path: str, document: Any = None) -> Any:
            status, content_type, raw = await client.raw(method, path, json=document)
            if content_type != "application/json":
                return status, content_type, raw.decode()
            return status, json.loads(raw)

        status, body = await refused("POST", "/v3/chat", chat(stream="yes"))
        assert (status, body["code"], "detail" in body) == (400, 400, False)
        status, body = await refused("POST", "/v3/chat", chat(stream=False, bot_id="7"))
        assert (status, body["code"]) == (400, 400)
        status, body = await refused("POST", "/v3/chat", chat(bot_id="7"))
        assert (status, body["code"]) == (200, 103100002)
        assert await refused("GET", "/v3/chat/retrieve?conversation_id=7&chat_id=8") == (
            500,
            "text/plain; charset=utf-8",
            "Conversation 7 does not exist.",
        )
        assert await refused("POST", "/v1/conversation/create", {"bot_id": "7"}) == (
            500,
            {"code": 500, "msg": "internal server error"},
        )
        status, body = await refused("GET", "/v1/conversation/retrieve?conversation_id=7")
        assert (status, body["code"]) == (200, 103000002)
        for path in (f"/v1/bots?workspace_id={DEMO_SPACE}", "/v1/workspaces"):
            status, body = await refused("GET", path)
            assert (status, body["code"], body["msg"]) == (200, 700012006, "missing session_key in cookie")


async def test_studio_takes_what_the_hosted_platform_refuses() -> None:
    silent = says("")
    async with studio() as client:
        got = await client.chat(silent, QUESTION, conversation_id="7", connector_id="1024")
        (conversation,) = client.server.world.conversations.values()
        answered = {"role": "assistant", "type": "answer", "content_type": "text", "content": "a"}
        listed = await client.post(LIST, conversation_id=conversation.id)
        assert (await client.chat(QUESTION, answered, QUESTION))[-1][0] == "conversation.stream.done"
        created = (await client.post("/v1/conversation/create", {}))["data"]
        file = (await uploaded(client, KIND, form(FILE)))["data"]
        headers = {"Authorization": f"Bearer {client.token}"}
        async with client.session.post(
            f"{client.server.url}/v3/chat", json=chat(), headers=headers
        ) as response:
            assert response.headers["X-Accel-Buffering"] == "no"
    assert got[0][1]["conversation_id"] == conversation.id != "7"
    assert len(listed["data"]) == 2, "an empty message is skipped"
    assert "creator_d" in created
    assert {"uri", "url"} <= set(file)


async def test_the_server_can_be_slow_and_fail_before_it_knows_who_asks() -> None:
    async with platform(tokens={}) as client:
        client.server.platform.first_delay = 0.05
        client.server.platform.failures.append(Failure(5000, status=503))
        status, _, raw = await client.raw("GET", "/v1/users/me")
        heard = client.server.requests[0]
    assert (status, json.loads(raw)["code"]) == (503, 5000)
    assert heard.fate.ended - heard.arrived >= 0.05
