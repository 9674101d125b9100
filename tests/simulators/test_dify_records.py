"""What the stand-in remembers and tells of itself: conversations, messages, runs, apps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.simulators.dify_apps import App, Knobs, RunFailure, Variable
from proxy.simulators.dify_versions import VERSIONS
from tests.simulators.dify_setup import KEYS, NOWHERE, Client, app_of, dify, first_event, named, text


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


async def talk(client: Client, *queries: str, user: str = "ann", mode: str = "chat") -> str:
    """A conversation with these questions; its id."""
    id = ""
    for query in queries:
        got = await client.ask(mode, query=query, conversation_id=id, user=user)
        id = got.events[0]["conversation_id"]
    return id


# Conversations.


async def test_a_conversation_goes_on() -> None:
    async with dify() as client:
        id = await talk(client, "say one", "say two")
        # A conversation is found whatever its id's case.
        assert (await client.ask("chat", conversation_id=id.upper())).events[0]["conversation_id"] == id
        history = (await client.send("GET", f"messages?user=ann&conversation_id={id}")).json
    assert [(one["query"], one["answer"]) for one in history["data"]] == [
        ("say one", "one"),
        ("say two", "two"),
        ("count to 3", "1, 2, 3."),
    ]
    assert (history["limit"], history["has_more"]) == (20, False)


@pytest.mark.parametrize(("user", "mode"), [("eve", "chat"), ("ann", "agent-chat")])
async def test_a_conversation_is_its_users_and_its_apps(user: str, mode: str) -> None:
    async with dify() as client:
        id = await talk(client, "say one")
        assert (await client.ask(mode, conversation_id=id, user=user)).error[:2] == (404, "not_found")
        for path in (
            f"messages?user={user}&conversation_id={id}",
            f"conversations/{id}/variables?user={user}",
        ):
            assert (await client.send("GET", path, mode)).error[:2] == (404, "not_found")
        assert (await client.send("GET", f"conversations?user={user}", mode)).json["data"] == []


async def test_numbers_are_users_too() -> None:
    async with dify() as client:
        asked = {"inputs": {}, "query": "hi", "user": 7, "auto_generate_name": False}
        got = (await client.ask("chat", asked)).json
        assert (await client.ask("chat", user="7", conversation_id=got["conversation_id"])).status == 200


async def test_a_completed_conversation() -> None:
    async with dify() as client:
        id = await talk(client, "say one")
        client.server.store.conversations[id].completed = True
        assert (await client.ask("chat", conversation_id=id)).error[:2] == (400, "conversation_completed")


async def test_what_was_asked_before_changes_the_answer() -> None:
    async with dify() as client:
        first = await client.ask("chat", query="why?")
        again = await client.ask("chat", query="why?")
        later = await client.ask("chat", query="why?", conversation_id=first.events[0]["conversation_id"])
    assert text(first.events) == text(again.events)
    assert text(first.events) != text(later.events)
    tokens = [
        named(got.events, "message_end")[0]["metadata"]["usage"]["prompt_tokens"] for got in (first, later)
    ]
    assert tokens[0] < tokens[1]


async def test_inputs_are_asked_for_once_in_a_chat_and_always_in_a_chatflow() -> None:
    form = (Variable("name", required=True),)
    apps = {KEYS[mode]: App(mode, form=form) for mode in ("chat", "advanced-chat")}
    async with dify(apps=apps) as client:
        for mode, status in (("chat", 200), ("advanced-chat", 400)):
            got = await client.ask(mode, inputs={"name": "Ann", "more": 1})
            id = got.events[0]["conversation_id"]
            assert (await client.ask(mode, conversation_id=id)).status == status
            told = (await client.send("GET", "conversations?user=ann", mode)).json["data"][0]
            assert told["inputs"] == {"name": "Ann"}


async def test_conversations_come_in_pages() -> None:
    async with dify() as client:
        ids = [await talk(client, f"say {number}") for number in range(5)]
        page = (await client.send("GET", "conversations?user=ann&limit=2")).json
        assert ([one["id"] for one in page["data"]], page["has_more"], page["limit"]) == (ids[:2:-1], True, 2)
        rest = (await client.send("GET", f"conversations?user=ann&last_id={ids[3]}&limit=3")).json
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[2::-1], False)
        oldest = (await client.send("GET", "conversations?user=ann&sort_by=created_at&limit=1")).json
        assert [one["id"] for one in oldest["data"]] == ids[:1]
        assert set(oldest["data"][0]) == {
            "id",
            "name",
            "inputs",
            "status",
            "introduction",
            "created_at",
            "updated_at",
        }


@pytest.mark.parametrize(
    ("path", "mode", "status", "code"),
    [
        ("conversations?user=ann&limit=0", "chat", 400, "invalid_param"),
        ("conversations?user=ann&limit=101", "chat", 400, "invalid_param"),
        ("conversations?user=ann&limit=x", "chat", 400, "invalid_param"),
        ("conversations?user=ann&last_id=x", "chat", 400, "invalid_param"),
        (f"conversations?user=ann&last_id={NOWHERE}", "chat", 404, "not_found"),
        ("conversations?user=ann&sort_by=name", "chat", 400, "invalid_param"),
        ("conversations?user=ann", "completion", 400, "not_chat_app"),
        ("messages?user=ann", "chat", 400, "invalid_param"),
        ("messages?user=ann&conversation_id=x", "chat", 400, "invalid_param"),
        (f"messages?user=ann&conversation_id={NOWHERE}", "chat", 404, "not_found"),
        (f"messages?user=ann&conversation_id={NOWHERE}", "workflow", 400, "not_chat_app"),
        (f"conversations/{NOWHERE}/variables?user=ann", "chat", 404, "not_found"),
        (f"messages/{NOWHERE}/suggested?user=ann", "chat", 404, "not_found"),
        (f"messages/{NOWHERE}/suggested", "chat", 400, "invalid_param"),
        (f"messages/{NOWHERE}/suggested?user=ann", "completion", 400, "not_chat_app"),
        (f"workflows/run/{NOWHERE}", "chat", 400, "not_workflow_app"),
        (f"workflows/run/{NOWHERE}", "workflow", 404, "not_found"),
        (f"workflow/{NOWHERE}/events?user=ann", "workflow", 404, "not_found"),
        (f"workflow/{NOWHERE}/events", "workflow", 400, "invalid_param"),
        (f"files/{NOWHERE}/preview", "chat", 404, "file_not_found"),
    ],
)
async def test_lookups_that_fail(path: str, mode: str, status: int, code: str) -> None:
    async with dify() as client:
        got = await client.send("GET", path, mode)
        assert got.error[:2] == (status, code)


async def test_without_a_user_everybody_is_the_same_one() -> None:
    async with dify() as client:
        await talk(client, "say one", user="DEFAULT-USER")
        assert len((await client.send("GET", "conversations")).json["data"]) == 1


async def test_renaming() -> None:
    async with dify() as client:
        id = await talk(client, "say one")
        path = f"conversations/{id}/name"
        for body, name in [({"name": "New"}, "New"), ({"auto_generate": True}, "say one")]:
            got = await client.send("POST", path, json={**body, "user": "ann"})
            assert (got.status, got.json["name"], got.json["id"]) == (200, name, id)
        for body in ({}, {"name": " "}, {"name": 4}):
            got = await client.send("POST", path, json={**body, "user": "ann"})
            assert got.error == (400, "invalid_param", "name is required when auto_generate is false")
        assert (await client.send("POST", path, json={"name": "x", "user": "eve"})).status == 404


@pytest.mark.parametrize(
    ("version", "status", "body"), [("1.0", 200, {"result": "success"}), ("1.12", 204, None)]
)
async def test_deleting(version: str, status: int, body: Any) -> None:
    async with dify(version) as client:
        id = await talk(client, "say one")
        path = f"conversations/{id}"
        assert (await client.send("DELETE", path)).status == 415
        assert (await client.send("DELETE", path, json={})).status == 404
        got = await client.send("DELETE", path, json={"user": "ann"})
        assert (got.status, got.json if got.body else None) == (status, body)
        assert (await client.send("DELETE", path, json={"user": "ann"})).status == 404
        assert (client.server.store.conversations, client.server.store.messages) == ({}, {})


async def test_variables_of_a_conversation() -> None:
    async with dify() as client:
        id = await talk(client, "say one", mode="advanced-chat")
        path = f"conversations/{id}/variables"
        told = (await client.send("GET", f"{path}?user=ann", "advanced-chat")).json
        variable = told["data"][0]
        assert (variable["name"], variable["value"], told["has_more"]) == ("memory", "", False)
        put = f"{path}/{variable['id']}"
        got = await client.send("PUT", put, "advanced-chat", json={"value": "x", "user": "ann"})
        assert got.json["value"] == "x"
        got = await client.send("PUT", put, "advanced-chat", json={"value": 4, "user": "ann"})
        assert got.error[:2] == (400, "bad_request")
        got = await client.send(
            "PUT", f"{path}/{NOWHERE}", "advanced-chat", json={"value": "x", "user": "ann"}
        )
        assert got.error[:2] == (404, "not_found")
        again = (await client.send("GET", f"{path}?user=ann", "advanced-chat")).json
        assert again["data"][0]["value"] == "x"


# Messages.


async def test_messages_come_in_pages_from_the_end() -> None:
    async with dify() as client:
        id = await talk(client, *(f"say {number}" for number in range(5)))
        path = f"messages?user=ann&conversation_id={id}&limit=2"
        page = (await client.send("GET", path)).json
        assert ([one["answer"] for one in page["data"]], page["has_more"]) == (["3", "4"], True)
        before = (await client.send("GET", f"{path}&first_id={page['data'][0]['id']}")).json
        assert [one["answer"] for one in before["data"]] == ["1", "2"]
        first = (await client.send("GET", f"{path}&first_id={before['data'][0]['id']}")).json
        assert ([one["answer"] for one in first["data"]], first["has_more"]) == (["0"], False)
        assert (await client.send("GET", f"{path}&first_id={NOWHERE}")).error[:2] == (404, "not_found")


async def test_a_message_in_full() -> None:
    file = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example/a.png?b"}
    async with dify("1.12", Knobs(citations=1)) as client:
        got = await client.ask("agent-chat", files=[file])
        id = got.events[0]["conversation_id"]
        told = (await client.send("GET", f"messages?user=ann&conversation_id={id}", "agent-chat")).json[
            "data"
        ][0]
    assert [(one["position"], one["tool"]) for one in told["agent_thoughts"]] == [(1, "search"), (2, "")]
    assert (told["message_files"][0]["filename"], told["message_files"][0]["belongs_to"]) == ("a.png", "user")
    assert told["retriever_resources"][0]["position"] == 1
    assert (told["status"], told["error"], told["created_at"]) == ("normal", None, 1_760_000_000)


async def test_a_failed_message() -> None:
    async with dify("1.12", Knobs(failure=RunFailure(1, "no credit"))) as client:
        id = await talk(client, "say a b c")
        told = (await client.send("GET", f"messages?user=ann&conversation_id={id}")).json["data"][0]
    assert (told["status"], told["error"], told["answer"]) == ("error", "no credit", "a")


async def test_feedback_and_suggestions() -> None:
    apps = {"app-quiet": App("chat", suggestions=False)}
    async with dify(apps=apps) as client:
        id = (await client.ask("chat")).events[0]["message_id"]
        path = f"messages/{id}/feedbacks"
        for rating in ("like", "dislike"):
            got = await client.send("POST", path, json={"rating": rating, "content": "so", "user": "ann"})
            assert got.json == {"result": "success"}
            told = (await client.send("GET", "app/feedbacks")).json["data"]
            assert [(one["rating"], one["content"]) for one in told] == [(rating, "so")]
        assert (await client.send("POST", path, json={"rating": None, "user": "ann"})).status == 200
        assert (await client.send("GET", "app/feedbacks")).json["data"] == []
        assert (await client.send("POST", path, json={"rating": "meh", "user": "ann"})).status == 400
        assert (await client.send("POST", path, json={"rating": "like", "user": "eve"})).status == 404
        assert (await client.send("POST", path, json={"rating": "like"})).status == 400
        got = await client.send("GET", f"messages/{id}/suggested?user=ann")
        assert (got.json["result"], len(got.json["data"])) == ("success", 3)
        asked = {"inputs": {}, "query": "hi", "user": "ann", "auto_generate_name": False}
        quiet_id = (await client.send("POST", "chat-messages", key="app-quiet", json=asked)).json["id"]
        got = await client.send("GET", f"messages/{quiet_id}/suggested?user=ann", key="app-quiet")
        assert got.error == (400, "bad_request", "Suggested Questions Is Disabled.")


# Runs of graphs.


@pytest.mark.parametrize(("version", "kind"), [("1.12", str), ("1.16", dict)])
async def test_a_finished_run_is_looked_up(version: str, kind: type) -> None:
    async with dify(version) as client:
        run_id = (await client.ask("workflow")).events[-1]["workflow_run_id"]
        told = (await client.send("GET", f"workflows/run/{run_id}", "workflow")).json
        assert (told["id"], told["status"], told["total_steps"]) == (run_id, "succeeded", 3)
        assert json.loads(told["inputs"]) == {"topic": "count to 3"}
        assert isinstance(told["outputs"], kind)
        assert (await client.send("GET", f"workflows/run/{run_id}", "advanced-chat")).status == 404


async def test_a_run_under_way_is_looked_up() -> None:
    async with dify("1.12", Knobs(delay=0.05)) as client, client.open("workflow") as response:
        run_id = (await first_event(response))["workflow_run_id"]
        told = (await client.send("GET", f"workflows/run/{run_id}", "workflow")).json
        assert (told["status"], told["outputs"], told["finished_at"]) == ("running", "null", None)


async def test_a_run_is_heard_again() -> None:
    async with dify("1.16", Knobs(delay=0.02)) as client:
        async with client.open("workflow") as response:
            run_id = (await first_event(response))["workflow_run_id"]
            response.close()
        path = f"workflow/{run_id}/events?user=ann"
        # Under way: it is told when it is over.
        got = await client.send("GET", path, "workflow")
        assert got.body.startswith(b'data: {"event": "workflow_finished", "workflow_run_id": ')
        assert [event["data"]["status"] for event in got.events] == ["succeeded"]
        assert (await client.send("GET", path, "workflow")).events == got.events
        assert (await client.send("GET", path.replace("ann", "eve"), "workflow")).status == 404
        client.server.knobs.pause = True
        run_id = (await client.ask("workflow")).events[-1]["workflow_run_id"]
        got = await client.send("GET", f"workflow/{run_id}/events?user=ann", "workflow")
        assert [event["event"] for event in got.events] == ["workflow_paused"]


async def test_versions_before_do_not_tell_a_run_again() -> None:
    async with dify("1.12") as client:
        run_id = (await client.ask("workflow")).events[-1]["workflow_run_id"]
        got = await client.send("GET", f"workflow/{run_id}/events?user=ann", "workflow")
        assert (got.status, got.headers["Content-Type"].partition(";")[0]) == (404, "text/html")


# Apps.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", KEYS)
async def test_info(mode: str, version: str) -> None:
    if mode not in VERSIONS[version].modes:
        return
    async with dify(version, apps={KEYS[mode]: app_of(mode, name="Wetter")}) as client:
        told = (await client.send("GET", "info", mode)).json
    assert (told["name"], told["tags"]) == ("Wetter", [])
    assert (told.get("mode"), "author_name" in told) == ((None, False) if version == "1.0" else (mode, True))


async def test_parameters() -> None:
    form = (
        Variable("topic", required=True, max_length=48),
        Variable("tone", "select", default="dry", options=("dry", "warm")),
        Variable("page", "file"),
    )
    app = App("advanced-chat", form=form, opening="Hello!", file_types=("image",), text_to_speech=False)
    async with dify(apps={KEYS["advanced-chat"]: app}) as client:
        told = (await client.send("GET", "parameters?user=ann", "advanced-chat")).json
    assert [list(one) for one in told["user_input_form"]] == [["text-input"], ["select"], ["file"]]
    assert told["user_input_form"][0]["text-input"] == {
        "label": "Topic",
        "variable": "topic",
        "required": True,
        "default": None,
        "max_length": 48,
        "options": [],
    }
    assert told["user_input_form"][2]["file"]["allowed_file_upload_methods"] == ["remote_url", "local_file"]
    assert told["opening_statement"] == "Hello!"
    assert (told["file_upload"]["enabled"], told["file_upload"]["image"]["number_limits"]) == (True, 3)
    assert (told["speech_to_text"]["enabled"], told["text_to_speech"]["enabled"]) == (True, False)
    assert told["system_parameters"]["image_file_size_limit"] == 10


async def test_tools_and_site() -> None:
    async with dify(apps={"app-bare": App("chat", site=False)}) as client:
        assert list((await client.send("GET", "meta", "agent-chat")).json["tool_icons"]) == ["search"]
        assert (await client.send("GET", "meta", "chat")).json == {"tool_icons": {}}
        assert (await client.send("GET", "site")).json["title"] == "Stand-in"
        assert (await client.send("GET", "site", key="app-bare")).error[:2] == (403, "forbidden")
