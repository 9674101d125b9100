"""Kinds of apps: what each is asked, how it is found out, and how a run is told to stop (cases 23 and 38)."""

from __future__ import annotations

import json

import pytest

from tests.upstreams.dify_setup import (
    CHAT,
    END,
    SYSTEM,
    Platform,
    asked,
    assistant,
    dify,
    frames,
    image,
    parts,
    reply,
    say,
    streamed,
    user,
)
from translators.errors import (
    BadRequest,
    NotFound,
    UpstreamMalformed,
)
from translators.request import Prompt
from translators.upstreams import UPSTREAMS
from translators.upstreams.dify import Dify
from translators.upstreams.plan import Call, Reply


def test_dify_is_known_by_its_name() -> None:
    assert UPSTREAMS["dify"] is Dify


FORM = {
    "user_input_form": [
        {"paragraph": {"variable": "topic"}},
        {"number": {"variable": "size"}},
        {"file-list": {"variable": "docs"}},
    ]
}


def test_a_completion_app() -> None:
    platform = Platform({"parameters": reply(FORM)})
    upstream = dify({"messages": [*SYSTEM, user("Birds")]}, mode="completion")
    body = platform.ask(upstream)
    assert upstream.call().path == "completion-messages"
    assert body == {
        "inputs": {"topic": "Be brief.\n\nRhyme.\n\nBirds"},
        "query": "Be brief.\n\nRhyme.\n\nBirds",
        "response_mode": "streaming",
        "user": body["user"],
    }
    body = asked(parts(image("https://x.example.org/a.png")), mode="completion", input_variable="q")
    assert (body["inputs"], len(body["files"])) == ({"q": "Look"}, 1)


def test_a_workflow_app() -> None:
    upstream = dify({"messages": [user("Hi"), assistant("Hello"), user("Birds")]}, mode="workflow")
    body = Platform({"parameters": reply(FORM)}).ask(upstream)
    assert upstream.call().path == "workflows/run"
    assert body["inputs"] == {"topic": "User: Hi\n\nAssistant: Hello\n\nUser: Birds"}
    assert set(body) == {"inputs", "response_mode", "user"}
    pinned = dify({"workflow_id": "w-1"}, mode="workflow", input_variable="q")
    assert asked(
        {"messages": [user("Hi"), assistant("Hello"), user("Birds")]},
        mode="workflow",
        input_variable="q",
        history="last",
    )["inputs"] == {"q": "Birds"}
    pinned.prepare()
    assert pinned.call().path == "workflows/w-1/run"


def test_files_of_a_workflow_go_where_its_form_takes_them() -> None:
    given = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example.org/a.png"}
    for form, inputs in (
        (FORM, {"topic": "Look", "docs": [given]}),
        (
            {"user_input_form": [{"file": {"variable": "doc"}}, {"text-input": {"variable": "q"}}]},
            {"q": "Look", "doc": given},
        ),
    ):
        body = Platform({"parameters": reply(form)}).ask(dify(parts(image(given["url"])), mode="workflow"))
        assert body["inputs"] == inputs
        assert "files" not in body
    body = Platform({"parameters": reply({})}).ask(
        dify(parts(image(given["url"])), mode="workflow", input_variable="q")
    )
    assert (body["inputs"], body["files"]) == ({"q": "Look"}, [given])


def form(*variables: tuple[str, str]) -> Reply:
    return reply({"user_input_form": [{kind: {"variable": name}} for kind, name in variables]})


VARIABLES: list[tuple[Reply, str]] = [
    (form(("text-input", "a"), ("number", "b")), "a"),
    (form(("text-input", "a"), ("paragraph", "text"), ("paragraph", "query")), "query"),
    (form(("text-input", "a"), ("paragraph", "prompt")), "prompt"),
    (form(), ""),
    (reply({"user_input_form": None}), ""),
    (reply({"user_input_form": [{"text-input": {"variable": 7}}]}), ""),
    (reply({}, status=500), ""),
]


@pytest.mark.parametrize(("told", "variable"), VARIABLES)
def test_which_variable_gets_the_words(told: Reply, variable: str) -> None:
    body = Platform({"parameters": told}).ask(dify(mode="workflow"))
    assert body["inputs"] == ({variable: "hi"} if variable else {})


def test_a_form_that_does_not_say_which_variable_gets_the_words() -> None:
    told = form(("text-input", "a"), ("text-input", "b"))
    with pytest.raises(BadRequest, match="It has: a, b"):
        Platform({"parameters": told}).ask(dify(mode="workflow"))
    body = Platform({"parameters": told}).ask(dify({"inputs": {"b": "x"}}, mode="workflow"))
    assert body["inputs"] == {"b": "x"}


# Case 38: an app that does not say what it is.

WRONG_CHAT = b'{"code":"not_chat_app","message":"Please check.","status":400}'
WRONG_FLOW = b'{"code":"not_workflow_app","message":"Please check.","status":400}'


def refuse(upstream: Dify, body: bytes, status: int = 400) -> bool:
    return upstream.reconsider(upstream.reject(status, body, None))


@pytest.mark.parametrize(
    "mode", ["chat", "agent-chat", "advanced-chat", "agent", "completion", "workflow", "unheard-of"]
)
def test_an_app_says_what_it_is(mode: str) -> None:
    platform = Platform({"info": reply({"name": "x", "mode": mode}), "parameters": reply({})})
    upstream = dify(mode="auto")
    platform.ask(upstream)
    path = {"completion": "completion-messages", "workflow": "workflows/run"}.get(mode, "chat-messages")
    assert upstream.call().path == path


@pytest.mark.parametrize("info", [reply({"name": "old"}), reply({}, status=404), reply({"mode": 7})])
def test_case_38_an_old_server_is_tried(info: Reply) -> None:
    platform = Platform({"info": info, "parameters": reply(FORM)})
    upstream = dify(mode="auto")
    platform.ask(upstream)
    assert upstream.call().path == "chat-messages"
    assert refuse(upstream, WRONG_CHAT)
    call = upstream.call()
    assert (call.path, json.loads(call.body)["inputs"]) == ("workflows/run", {"topic": "hi"})
    assert refuse(upstream, WRONG_FLOW)
    assert upstream.call().path == "completion-messages"
    assert not refuse(upstream, WRONG_FLOW)
    assert not refuse(upstream, b'{"code":"app_unavailable","message":"x","status":400}')
    stream = streamed(upstream)
    stream.feed(frames({**say("ok"), "conversation_id": None}, END))
    platform.carry_out(upstream.settle())
    again = dify(mode="auto")
    before = len(platform.calls)
    platform.ask(again)
    assert again.call().path == "completion-messages"
    assert "info" not in [call.path for call in platform.calls[before:]]


def test_case_38_an_app_that_is_configured_is_not_tried() -> None:
    upstream = dify(mode="chat")
    assert upstream.prepare() is None
    assert not refuse(upstream, WRONG_CHAT)
    assert upstream.reject(400, WRONG_CHAT, None).code == "model_not_supported_endpoint"


def test_other_refusals_are_final() -> None:
    upstream = dify(mode="auto")
    Platform({"info": reply({"mode": "chat"})}).ask(upstream)
    assert not refuse(upstream, b'{"code":"invalid_param","message":"query is required","status":400}')
    assert not refuse(
        upstream, b'{"code":"not_found","message":"Conversation Not Exists.","status":404}', 404
    )
    assert not upstream.reconsider(NotFound("x"))


# The rest of the class.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://api.dify.ai/v1", "https://api.dify.ai/v1"),
        ("https://api.dify.ai/v1/", "https://api.dify.ai/v1"),
        ("https://api.dify.ai", "https://api.dify.ai/v1"),
        ("http://dify.internal:5001/", "http://dify.internal:5001/v1"),
        ("http://x/dify", "http://x/dify/v1"),
        ("http://x/v2/dify", "http://x/v2/dify"),
        ("http://v1/", "http://v1/v1"),
        ("http://x/v1beta", "http://x/v1beta/v1"),
    ],
)
def test_forms_of_the_address(written: str, meant: str) -> None:
    assert Dify.address(written) == meant


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (reply({"name": "Bird app", "mode": "chat"}), ["Bird app"]),
        (reply({"name": " "}), []),
        (reply({"name": 7}), []),
        (reply({"name": "a\nb"}), []),
        (reply({"name": "a" * 129}), []),
        (reply({}, status=401), []),
    ],
)
def test_the_app_behind_the_key_is_the_only_model(told: Reply, names: list[str]) -> None:
    listed = Platform({"info": told}).carry_out(Dify.catalog(None))
    assert listed is not None
    assert [one.id for one in listed] == names


def test_case_23_the_farewell() -> None:
    for mode, path in (
        ("chat", "chat-messages/t1/stop"),
        ("completion", "completion-messages/t1/stop"),
        ("workflow", "workflows/tasks/t1/stop"),
    ):
        upstream = dify({"user": "alice"}, mode=mode, input_variable="q")
        assert upstream.farewell() is None
        upstream.prepare()
        stream = streamed(upstream)
        assert upstream.farewell() is None  # nothing to stop by, until an event has come
        stream.feed(frames(say("a"), say("b")))
        assert upstream.farewell() == Call("POST", path, b'{"user":"alice"}')
        stream.fail(UpstreamMalformed("x"))
        assert upstream.farewell() is not None  # the run goes on whatever we think of it
    for last in (END, {"event": "error", **CHAT, "code": "x", "message": "y"}):
        upstream = dify()
        upstream.prepare()
        streamed(upstream).feed(frames(say("a"), last))
        assert upstream.farewell() is None


def test_settling_what_was_never_asked() -> None:
    upstream = dify({"n": 2})
    with pytest.raises(BadRequest):
        upstream.prepare()
    assert upstream.settle() is None


def test_prompt_of_a_real_request_is_enough() -> None:
    prompt = Prompt.from_chat({"model": "m", "messages": [user("hi")], "conversation_id": None})
    assert asked(dict(prompt.body))["query"] == "hi"
