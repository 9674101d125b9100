"""The tricky cases of wire/dify.md that are about questions, each by its number, and what else a question may hold.

Cases about answers are in test_dify_cases_answers.py; conversations in test_dify_conversations.py.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.upstreams.dify_setup import (
    PNG,
    SYSTEM,
    UPLOADED,
    Platform,
    asked,
    assistant,
    dify,
    frames,
    image,
    parts,
    refused,
    reply,
    say,
    streamed,
    user,
)
from translators.errors import (
    Unauthenticated,
    UpstreamAuthFailed,
)
from translators.upstreams.plan import Reply


def test_case_28_a_first_question() -> None:
    upstream = dify()
    assert upstream.prepare() is None  # so it costs nothing
    call = upstream.call()
    assert (call.method, call.path, call.headers) == ("POST", "chat-messages", {})
    document = json.loads(call.body)
    assert re.fullmatch(r"gw-[0-9a-f]{32}", document.pop("user"))
    assert document == {
        "inputs": {},
        "query": "hi",
        "response_mode": "streaming",
        "auto_generate_name": False,
    }


def test_case_24_somebody_always_asks() -> None:
    named = asked(owner="a")["user"]
    assert named
    assert asked(owner="a")["user"] == named
    assert asked(owner="b")["user"] != named
    assert asked(owner="")["user"] == "gw-anonymous"
    assert asked(owner="a", user="shop")["user"] == "shop"
    for field in ("user", "safety_identifier", "prompt_cache_key"):
        assert asked({field: "alice"}, user="shop")["user"] == "alice"
    assert asked({"user": " \n ", "safety_identifier": "bob\0"})["user"] == "bob"
    assert asked({"user": 7, "safety_identifier": "bob"})["user"] == "bob"
    long = asked({"user": "x" * 300})["user"]
    assert len(long) < 100
    assert long != asked({"user": "x" * 301})["user"]


def test_case_27_nothing_is_asked_without_a_question() -> None:
    system = {"role": "system", "content": "Be brief."}
    for messages in ([system], [user("  \n")], [{"role": "user", "content": []}], [system, user("")]):
        error = refused({"messages": messages})
        assert (error.status, error.param) == (400, "messages")


def test_case_27_an_answer_that_was_begun_is_written_out() -> None:
    body = asked({"messages": [user("One?"), assistant("Well,")]})
    assert body["query"] == "User: One?\n\nAssistant: Well,"
    assert "conversation_id" not in body
    calls = {"id": "x", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    messages = [
        user("One?"),
        {"role": "assistant", "content": None, "tool_calls": [calls]},
        {"role": "tool", "tool_call_id": "x", "content": "found"},
    ]
    query = asked({"messages": messages})["query"]
    assert query == 'User: One?\n\nAssistant: [called look({"a":1})]\n\nTool: found'
    assert (
        asked({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]})["query"]
        == "Assistant: [called ()]"
    )


def test_case_37_tools() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    body = asked({"tools": tools, "temperature": 0.5})
    assert not {"tools", "temperature"} & set(body)
    error = refused({"tools": tools}, strict=True)
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", "tools")
    assert asked({"tools": []}, strict=True)["query"] == "hi"
    assert asked({"tools": tools, "temperature": 0}, strict=True, forward=("tools", "temperature"))[
        "inputs"
    ] == {
        "tools": tools,
        "temperature": 0,
    }


STRICT: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 0}, "temperature"),
    ({"max_completion_tokens": 5}, "max_completion_tokens"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": {"type": "text"}}, ""),
    ({"modalities": ["text"]}, ""),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"store": False}, ""),
    ({"store": True}, "store"),
    ({"logit_bias": {}}, ""),
    ({"stream": True, "metadata": {"a": "b"}, "n": 1, "tool_choice": "auto"}, ""),
]


@pytest.mark.parametrize(("body", "param"), STRICT)
def test_strict_refuses_what_would_be_ignored(body: dict[str, Any], param: str) -> None:
    assert asked(body)["query"] == "hi"
    if param:
        assert refused(body, strict=True).param == param
    else:
        assert asked(body, strict=True)["query"] == "hi"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
        ({"function_call": {"name": "look"}}, "function_call"),
    ],
)
def test_what_cannot_be_honoured_is_always_refused(body: dict[str, Any], param: str) -> None:
    error = refused(body)
    assert error.param == param
    assert error.code is not None
    assert error.code.startswith("unsupported_")


# Dify's own members, system messages, keys.


def test_dify_members_of_a_request() -> None:
    run = "5f0d4f0e-1111-4a51-8f4f-0d9f0a0b0c01"
    body = asked({"inputs": {"lang": "de"}, "workflow_id": run, "auto_generate_name": True})
    assert (body["inputs"], body["workflow_id"], body["auto_generate_name"]) == ({"lang": "de"}, run, False)
    assert asked({"metadata": {"inputs": '{"lang":"de"}'}})["inputs"] == {"lang": "de"}
    assert asked({"metadata": {"inputs": {"lang": "de"}}})["inputs"] == {"lang": "de"}
    assert asked({"metadata": {"inputs": ""}})["inputs"] == {}
    assert refused({"inputs": []}).param == "inputs"
    assert refused({"metadata": {"inputs": "{"}}).param == "metadata.inputs"
    assert refused({"metadata": {"inputs": "[]"}}).param == "metadata.inputs"
    for bad in ("../x", "a b", 7, "é", "-"):
        assert refused({"workflow_id": bad}).param == "workflow_id"


def test_system_messages_go_before_the_first_question() -> None:
    assert asked({"messages": [*SYSTEM, user("Hi")]})["query"] == "Be brief.\n\nRhyme.\n\nHi"
    assert asked({"messages": [*SYSTEM, user("Hi")]}, system="drop")["query"] == "Hi"


def test_system_messages_go_into_a_variable_that_the_app_has() -> None:
    form = {"user_input_form": [{"paragraph": {"variable": "rules"}}]}
    options: dict[str, Any] = {"system": "inputs", "system_variable": "rules"}
    platform = Platform({"parameters": reply(form)})
    body = platform.ask(dify({"messages": [*SYSTEM, user("Hi")], "inputs": {"a": 1}}, **options))
    assert (body["query"], body["inputs"]) == ("Hi", {"rules": "Be brief.\n\nRhyme.", "a": 1})
    assert asked({"messages": [user("Hi")]}, **options)["query"] == "Hi"
    for without in (reply({"user_input_form": []}), reply({}, status=500)):
        body = Platform({"parameters": without}).ask(dify({"messages": [*SYSTEM, user("Hi")]}, **options))
        assert (body["query"], body["inputs"]) == ("Be brief.\n\nRhyme.\n\nHi", {})


def test_the_key_of_the_client_is_passed_on() -> None:
    platform = Platform({"info": reply({"mode": "chat"}), "files/upload": UPLOADED})
    upstream = dify(parts(image(f"data:image/png;base64,{PNG}")), key="app-client", mode="auto")
    platform.ask(upstream)
    calls = [*platform.calls, upstream.call()]
    assert [call.headers.get("Authorization") for call in calls] == ["Bearer app-client"] * 3
    stream = streamed(upstream)
    stream.feed(frames(say("a")))
    farewell = upstream.farewell()
    assert farewell is not None
    assert farewell.headers == {"Authorization": "Bearer app-client"}
    with pytest.raises(Unauthenticated):
        asked({}, passed_on=True)
    assert asked({}, passed_on=True, key="app-client")["query"] == "hi"


def test_the_key_decides_who_is_told_that_it_is_refused() -> None:
    body = b'{"code":"unauthorized","message":"Access token is invalid","status":401}'
    for mode in ("chat", "auto"):
        for key, error in (("", UpstreamAuthFailed), ("app-client", Unauthenticated)):
            upstream = dify(key=key, mode=mode)
            if mode == "chat":
                assert type(upstream.reject(401, body, None)) is error
            else:
                with pytest.raises(error):
                    Platform({"info": Reply(401, body)}).ask(upstream)


def test_what_was_asked_is_not_kept_while_the_answer_comes() -> None:
    secret = "a long question"
    messages = [user("One?"), assistant("First."), user(secret)]
    upstream = dify(
        {"messages": messages, "stream": False, "inputs": {"a": secret}, "files": [{"a": secret}]}
    )
    Platform().ask(upstream)
    assert secret in repr(upstream)
    upstream.asked()
    assert secret not in repr(upstream)
    assert upstream.prompt.stream is False
