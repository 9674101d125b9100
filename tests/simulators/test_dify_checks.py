"""What the stand-in refuses, one row per reason, in the words the platform has for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import App, Failure, Knobs, Variable
from proxy.simulators.dify_checks import check, fill
from proxy.simulators.dify_errors import REFUSALS, FieldsRefused, Refused, Wrong
from proxy.simulators.dify_versions import VERSIONS
from tests.simulators.dify_setup import KEYS, NOWHERE, dify

VERSION = VERSIONS["1.12"]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


def body(**more: Any) -> dict[str, Any]:
    usual = {"inputs": {}, "query": "hi", "user": "u", "response_mode": "streaming", **more}
    return {name: value for name, value in usual.items() if value is not ...}


# The key.

START = "Authorization header must be provided and start with 'Bearer'"
SCHEME = "Authorization scheme must be 'Bearer'"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, START),
        ("Bearer", START),
        ("app-chat", START),
        ("Basic app-chat", SCHEME),
        ("Bearer app-other", "Access token is invalid"),
        ("Bearer dataset-1", "Access token is invalid"),
    ],
)
async def test_keys(header: str | None, message: str) -> None:
    async with dify() as client:
        headers = {} if header is None else {"Authorization": header}
        async with client.session.post(
            f"{client.server.url}/chat-messages", json=body(), headers=headers
        ) as got:
            assert got.status == 401
            assert got.headers["WWW-Authenticate"] == 'Bearer realm="api"'
            assert await got.json() == {"code": "unauthorized", "message": message, "status": 401}


async def test_the_scheme_is_written_in_any_case() -> None:
    async with dify() as client:
        got = await client.send("GET", "info", headers={"Authorization": f"bEARER   {KEYS['chat']}"})
        assert got.status == 200


async def test_a_disabled_app() -> None:
    async with dify(apps={"app-off": App("chat", disabled="The app's status is abnormal.")}) as client:
        got = await client.send("GET", "info", key="app-off")
        assert got.error == (403, "forbidden", "The app's status is abnormal.")


# The route.


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/v1/chat-messages", "/chat-messages", "/v1/conversations/x/name"]
)
async def test_unknown_paths_are_html(path: str) -> None:
    async with dify() as client:
        origin = client.server.url.removesuffix("/v1")
        got = await client.send("POST", origin + path, json={})
        assert got.status == 404
        assert got.headers["Content-Type"].startswith("text/html")
        assert b"<h1>" in got.body


async def test_a_wrong_method() -> None:
    async with dify() as client:
        got = await client.send("GET", "chat-messages")
        assert got.error == (405, "method_not_allowed", "The method is not allowed for the requested URL.")


# The body as such.

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "sent", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({}, b"", 415, "unsupported_media_type"),
        (JSON, b"", 400, "bad_request"),
        (JSON, b"{no", 400, "bad_request"),
        (JSON, b"[]", 500, "unknown"),
        ({"Content-Type": "application/json; charset=utf-8"}, b"{}", 400, "invalid_param"),
    ],
)
@pytest.mark.parametrize("path", ["chat-messages", "chat-messages/t/stop"])
async def test_bodies_that_are_not_requests(
    path: str, headers: dict[str, str], sent: bytes, status: int, code: str
) -> None:
    async with dify() as client:
        got = await client.send("POST", path, data=sent, headers=headers)
        assert (got.status, got.json["code"]) == (status, code)


# What is asked for first comes first.

NO_USER = (400, "invalid_param", "Arg user must be provided.")
WRONG_APP = "Please check if your app mode matches the right API route."
UNAVAILABLE = "App unavailable, please check your app configurations."
UNKNOWN_CONVERSATION = (
    "Conversation Not Exists. You have requested this URI [/v1/chat-messages] but did you mean"
)

REFUSED: list[tuple[str, str, dict[str, Any], tuple[int, str, str]]] = [
    ("chat", "chat-messages", body(user=...), NO_USER),
    ("chat", "chat-messages", body(user=""), NO_USER),
    ("chat", "chat-messages", body(user=None, inputs=...), NO_USER),
    ("workflow", "workflows/run", body(user=...), NO_USER),
    ("workflow", "chat-messages", body(), (400, "not_chat_app", WRONG_APP)),
    ("completion", "chat-messages", body(inputs=...), (400, "not_chat_app", WRONG_APP)),
    ("chat", "completion-messages", body(), (400, "app_unavailable", UNAVAILABLE)),
    ("advanced-chat", "workflows/run", body(), (400, "not_workflow_app", WRONG_APP)),
    ("chat", f"workflows/{NOWHERE}/run", body(), (400, "not_workflow_app", WRONG_APP)),
    ("chat", "chat-messages", body(query=""), (400, "invalid_param", "query is required")),
    (
        "agent-chat",
        "chat-messages",
        body(response_mode="blocking"),
        (400, "invalid_param", "Agent Chat App does not support blocking mode"),
    ),
    (
        "agent-chat",
        "chat-messages",
        body(response_mode=...),
        (400, "invalid_param", "Agent Chat App does not support blocking mode"),
    ),
    ("agent", "chat-messages", body(response_mode=...), (400, "bad_request", "Agent App does not support")),
    ("chat", "chat-messages", body(conversation_id=NOWHERE), (404, "not_found", UNKNOWN_CONVERSATION)),
    (
        "advanced-chat",
        "chat-messages",
        body(workflow_id="7"),
        (400, "bad_request", "Invalid workflow_id format"),
    ),
    ("workflow", "workflows/7/run", body(), (400, "bad_request", "Invalid workflow_id format")),
    (
        "advanced-chat",
        "chat-messages",
        body(workflow_id=NOWHERE),
        (404, "not_found", "Workflow not found with id"),
    ),
    ("workflow", f"workflows/{NOWHERE}/run", body(), (404, "not_found", "Workflow not found with id")),
    (
        "workflow",
        f"workflows/{App().draft_id}/run",
        body(),
        (400, "bad_request", "Cannot use draft workflow version"),
    ),
]


@pytest.mark.parametrize(("mode", "path", "sent", "expected"), REFUSED, ids=str)
async def test_refused(mode: str, path: str, sent: dict[str, Any], expected: tuple[int, str, str]) -> None:
    async with dify() as client:
        got = await client.ask(mode, sent, path=path)
    assert got.error[:2] == expected[:2]
    assert got.error[2].startswith(expected[2])
    assert got.json["status"] == expected[0]


ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("chat", "chat-messages", body(user=7)),
    ("chat", "chat-messages", body(response_mode=None)),
    ("chat", "chat-messages", body(files=None, conversation_id=None)),
    ("chat", "chat-messages", body(files=[], conversation_id="", auto_generate_name="false")),
    (
        "chat",
        "chat-messages",
        body(temperature=9, tools="x", inputs={"unheard_of": [1]}, workflow_id="not looked at"),
    ),
    ("completion", "completion-messages", body(query=...)),
    ("workflow", "workflows/run", body(query=["never", "read"])),
    ("workflow", f"workflows/{App().workflow_id}/run", body()),
    ("advanced-chat", "chat-messages", body(workflow_id=App().workflow_id)),
]


@pytest.mark.parametrize(("mode", "path", "sent"), ACCEPTED, ids=str)
async def test_accepted(mode: str, path: str, sent: dict[str, Any]) -> None:
    async with dify() as client:
        got = await client.ask(mode, sent, path=path)
    assert got.status == 200


async def test_an_agent_that_was_never_published() -> None:
    async with dify(apps={KEYS["agent"]: App("agent", published=False)}) as client:
        assert (await client.ask("agent")).error[:2] == (400, "agent_not_published")


# One field at a time.

FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("chat", body(inputs=...), "inputs", "missing"),
    ("chat", body(inputs="x"), "inputs", "dict_type"),
    ("chat", body(inputs=[]), "inputs", "dict_type"),
    ("workflow", body(inputs=None), "inputs", "dict_type"),
    ("chat", body(query=...), "query", "missing"),
    ("chat", body(query=["hi"]), "query", "string_type"),
    ("completion", body(query=4), "query", "string_type"),
    ("chat", body(response_mode="stream"), "response_mode", "literal_error"),
    ("chat", body(response_mode=1), "response_mode", "literal_error"),
    ("chat", body(conversation_id="c1"), "conversation_id", "value_error"),
    ("chat", body(conversation_id=7), "conversation_id", "value_error"),
    ("chat", body(files={}), "files", "list_type"),
    ("chat", body(files=["f"]), "files", "dict_type"),
    ("chat", body(auto_generate_name="perhaps"), "auto_generate_name", "bool_parsing"),
    ("chat", body(auto_generate_name=None), "auto_generate_name", "bool_parsing"),
    ("chat", body(auto_generate_name=[]), "auto_generate_name", "bool_parsing"),
    ("advanced-chat", body(workflow_id=7), "workflow_id", "string_type"),
]


@pytest.mark.parametrize(("mode", "sent", "field", "kind"), FIELDS, ids=str)
def test_wrong_fields(mode: str, sent: dict[str, Any], field: str, kind: str) -> None:
    with pytest.raises(FieldsRefused) as caught:
        check(sent, mode, VERSION)
    told = caught.value.document(VERSION)
    assert told["message"].startswith("1 validation error for ")
    assert f"\n{field}\n" in told["message"]
    assert f"[type={kind}," in told["message"]
    assert caught.value.document(VERSIONS["1.9"])["errors"].keys() == {field}
    assert caught.value.document(VERSIONS["1.0"])["params"] == field


def test_several_wrong_fields_at_once() -> None:
    error = FieldsRefused("Model", (Wrong("a", "No", "x", 1), Wrong("b", "Never", "y", "z" * 500)))
    assert error.document(VERSIONS["1.9"]) == {
        "errors": {"a": "No", "b": "Never"},
        "message": "Input payload validation failed",
    }
    assert error.document(VERSIONS["1.0"]) == {
        "code": "invalid_param",
        "message": "No",
        "params": "a",
        "status": 400,
    }
    report = error.document(VERSION)["message"]
    assert report.startswith(
        "2 validation errors for Model\na\n  No [type=x, input_value=1, input_type=int]\n"
    )
    assert "https://errors.pydantic.dev/" in report
    assert len(report) < 500


def test_only_some_versions_take_a_list_for_inputs() -> None:
    assert check(body(inputs=[]), "chat", VERSIONS["1.9"]).inputs == {}


def test_what_is_left_of_a_request() -> None:
    ask = check(body(query="a\0b", conversation_id=f" {NOWHERE} ", files=None), "chat", VERSION)
    assert (ask.query, ask.conversation_id, ask.files) == ("ab", NOWHERE, ())
    assert (ask.names, ask.streaming) == (True, True)
    assert check(body(auto_generate_name="False"), "chat", VERSION).names is False
    assert check(body(auto_generate_name=1), "chat", VERSION).names is True
    assert check(body(conversation_id="x", auto_generate_name=7), "completion", VERSION).conversation_id == ""


# The form.

FORM = (
    Variable("name", required=True, max_length=5),
    Variable("story", "paragraph"),
    Variable("color", "select", options=("red", "blue")),
    Variable("age", "number"),
    Variable("ok", "checkbox"),
    Variable("page", "file"),
    Variable("pages", "file-list", max_length=1),
    Variable("tone", default="dry"),
    Variable("extra", "json_object"),
)

FILLED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "Ann", "unheard_of": 1}, {"name": "Ann", "tone": "dry", "story": None}),
    ({"name": "A\0"}, {"name": "A"}),
    ({"name": "Ann", "color": "red"}, {"color": "red"}),
    ({"name": "Ann", "age": "4"}, {"age": 4}),
    ({"name": "Ann", "age": "4.5"}, {"age": 4.5}),
    ({"name": "Ann", "age": " "}, {"age": None}),
    ({"name": "Ann", "age": 7}, {"age": 7}),
    ({"name": "Ann", "ok": "yes"}, {"ok": True}),
    ({"name": "Ann", "ok": 0}, {"ok": 0}),
    ({"name": "Ann", "page": ""}, {"page": None}),
    ({"name": "Ann", "extra": "{}"}, {"extra": "{}"}),
]


@pytest.mark.parametrize(("given", "expected"), FILLED, ids=str)
def test_the_form_is_filled(given: dict[str, Any], expected: dict[str, Any]) -> None:
    filled = fill(FORM, given)
    assert filled.keys() == {one.variable for one in FORM}
    assert expected.items() <= filled.items()


UNFILLED = [
    ({}, "name is required in input form"),
    ({"name": 4}, "(type 'text-input') name in input form must be a string"),
    ({"name": "Annabel"}, "name in input form must be less than 5 characters"),
    ({"name": "Ann", "color": "green"}, "color in input form must be one of the following: ['red', 'blue']"),
    ({"name": "Ann", "age": "old"}, "age in input form must be a valid number"),
    ({"name": "Ann", "age": []}, "Internal Server Error"),
    ({"name": "Ann", "page": "x"}, "page in input form must be a file"),
    ({"name": "Ann", "pages": ["x"]}, "pages in input form must be a list of files"),
    ({"name": "Ann", "pages": [{}, {}]}, "pages in input form must be less than 1 files"),
]


@pytest.mark.parametrize(("given", "message"), UNFILLED, ids=str)
def test_the_form_is_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        fill(FORM, given)
    assert caught.value.message == message


async def test_a_missing_variable_is_told_over_http() -> None:
    form = (Variable("topic", required=True),)
    async with dify(apps={KEYS["workflow"]: App("workflow", form=form)}) as client:
        got = await client.ask("workflow", inputs={})
        assert got.error == (400, "invalid_param", "topic is required in input form")
        assert (await client.ask("workflow", inputs={"topic": "x"})).status == 200


# Error shapes of the versions, and errors on demand.


@pytest.mark.parametrize(
    ("version", "members", "message"),
    [
        ("1.0", {"code", "message", "params", "status"}, "Field required"),
        ("1.9", {"errors", "message"}, "Input payload validation failed"),
        ("1.12", {"code", "message", "status"}, "1 validation error for ChatRequestPayload"),
        ("1.16", {"code", "message", "status"}, "1 validation error for ChatRequestPayload"),
    ],
)
async def test_error_shapes(version: str, members: set[str], message: str) -> None:
    async with dify(version) as client:
        got = await client.ask("chat", body(inputs=...))
    assert got.status == 400
    assert got.json.keys() == members
    assert got.json["message"].startswith(message)


async def test_only_the_oldest_404_has_no_hint() -> None:
    async with dify("1.0") as client:
        got = await client.ask("chat", conversation_id=NOWHERE)
        assert got.error == (404, "not_found", "Conversation Not Exists.")


@pytest.mark.parametrize("code", REFUSALS)
async def test_any_error_on_demand(code: str) -> None:
    status, message = REFUSALS[code]
    async with dify() as client:
        client.server.knobs.failures.append(Failure(status, code))
        got = await client.ask("chat")
        assert got.error == (status, code, message)
        assert (await client.ask("chat")).status == 200


async def test_failures_come_in_turn_and_wait_for_their_path() -> None:
    html = Failure(502, body=b"<html>bad gateway", content_type="text/html", path="chat-messages")
    busy = Failure(429, "rate_limit_error", "slow down", retry_after="3")
    async with dify(knobs=Knobs()) as client:
        client.server.knobs.failures.extend([html, busy])
        assert (await client.send("GET", "info")).status == 200
        got = await client.ask("chat")
        assert (got.status, got.body, got.headers["Content-Type"]) == (502, b"<html>bad gateway", "text/html")
        got = await client.send("GET", "info")
        assert got.error == (429, "rate_limit_error", "slow down")
        assert got.headers["Retry-After"] == "3"
        assert (await client.send("GET", "info")).status == 200


def test_a_mode_the_version_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"1\.12\.0 has no app of mode agent"):
        DifyStandIn({"app-secret-key": App("agent")}, "1.12")


async def test_every_response_says_its_version() -> None:
    async with dify("1.12") as client:
        for got in (
            await client.ask("chat"),
            await client.ask("chat", body(inputs=...)),
            await client.send("GET", "x"),
        ):
            assert (got.headers["X-Version"], got.headers["X-Env"]) == ("1.12.0", "PRODUCTION")


async def test_requests_are_recorded() -> None:
    async with dify() as client:
        await client.ask("chat", user="eve")
        await client.send("GET", "parameters?user=a%20b")
        first, second = client.server.requests
        assert (first.method, first.path, first.document["user"]) == ("POST", "/v1/chat-messages", "eve")
        assert first.document["auto_generate_name"] is False
        assert first.headers["authorization"] == f"Bearer {KEYS['chat']}"
        assert (second.path, second.left, second.at) == ("/v1/parameters?user=a%20b", None, 1_760_000_000.5)
        assert (first.connection, second.connection, client.server.connections) == (1, 1, 1)


async def test_a_stand_in_without_apps_has_a_chatflow() -> None:
    async with DifyStandIn() as server, aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer app-demo"}
        async with session.get(f"{server.url}/info", headers=headers) as got:
            assert (await got.json())["mode"] == "advanced-chat"
        assert (server.version.name, list(server.apps)) == ("1.16.0", ["app-demo"])
