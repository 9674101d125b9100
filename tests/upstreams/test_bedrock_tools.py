"""Calls of an agent's functions, out to the client and back: what is told, what is accepted and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.bedrock_setup import (
    CALL_0,
    CALL_1,
    DIGITS,
    INVOCATION,
    Platform,
    agent,
    api,
    called,
    function,
    heard,
    refused,
    result,
    returns,
    user,
)
from translators.errors import BadRequest
from translators.events import ToolCall
from translators.upstreams.bedrock_tools import digits

ASK = {"actionInvocationType": "USER_CONFIRMATION"}
BOTH = {"actionInvocationType": "USER_CONFIRMATION_AND_RESULT"}


def calls(*inputs: dict[str, Any], **settings: Any) -> list[ToolCall]:
    return [event for event in heard(returns(*inputs), **settings) if isinstance(event, ToolCall)]


def waiting(*inputs: dict[str, Any], invocation: str = INVOCATION, **options: Any) -> Platform:
    platform = Platform()
    platform.turn(agent({"stream": True}, **options), returns(*inputs, invocation=invocation))
    return platform


def brought(platform: Platform, *results: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    body = options.pop("body", {})
    history = [user("hi"), called(*(one["tool_call_id"] for one in results)), *results]
    told = platform.ask(agent({"messages": history, **body}, **options))
    assert "inputText" not in told
    found: list[dict[str, Any]] = told["sessionState"]["returnControlInvocationResults"]
    return found


def refusal_of(platform: Platform, *results: dict[str, Any], **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        brought(platform, *results, **options)
    return caught.value


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (function("track"), "track"),
        (api("/orders/{id}"), "get_orders_id"),
        (api("/", "POST"), "post"),
        (api("/a b//c-d_e/", "Delete"), "delete_a_b_c-d_e"),
        (api("/" + "x" * 100), "get_" + "x" * 60),
        (function("y" * 100), "y" * 64),
    ],
)
def test_names_are_what_openai_allows(told: dict[str, Any], name: str) -> None:
    assert [call.name for call in calls(told)] == [name]


def test_names_may_begin_with_their_group() -> None:
    found = calls(function("track"), api("/orders"), qualify_tool_names=True)
    assert [call.name for call in found] == ["Parcels__track", "get_orders"]


def test_the_body_of_a_call_adds_to_its_parameters() -> None:
    told = api(
        "/orders",
        "PUT",
        parameters=[{"name": "id", "type": "string", "value": "1"}],
        requestBody={
            "content": {
                "application/json": {
                    "properties": [
                        {"name": "id", "type": "integer", "value": "2"},
                        {"name": "n", "type": "integer", "value": "3"},
                    ]
                },
                "text/plain": {},
            }
        },
    )
    [call] = calls(told)
    assert call.arguments == '{"id":"1","n":3}'
    bare = {"actionGroup": "g", "function": "f", "parameters": None, "requestBody": None}
    assert [call.arguments for call in calls({"functionInvocationInput": bare})] == ["{}"]


def test_several_returns_of_control_are_counted_on() -> None:
    again = returns(function("f"), function("g"))
    other = returns(function("h"), invocation="not a uuid")
    found = [event for event in heard(again, again, other) if isinstance(event, ToolCall)]
    assert [call.index for call in found] == [0, 1, 2, 3, 4]
    assert [call.id.rpartition("_")[2] for call in found] == ["0", "1", "2", "3", "0"]
    assert found[4].id.startswith(f"call_{digits('not a uuid')}_")
    assert len(digits("not a uuid")) == 32 != digits("another")
    assert digits(INVOCATION.upper()) == DIGITS


def test_results_are_answers_in_the_order_of_the_calls() -> None:
    platform = waiting(function("track"), api("/orders/{id}", "get", agentId="SUB1"))
    found = brought(platform, result(CALL_1, [{"type": "text", "text": "b"}]), result(CALL_0, "a"))
    assert found == [
        {
            "functionResult": {
                "actionGroup": "Parcels",
                "function": "track",
                "responseBody": {"TEXT": {"body": "a"}},
            }
        },
        {
            "apiResult": {
                "actionGroup": "Orders",
                "agentId": "SUB1",
                "apiPath": "/orders/{id}",
                "httpMethod": "get",
                "httpStatusCode": 200,
                "responseBody": {"application/json": {"body": "b"}},
            }
        },
    ]


def test_the_invocation_keeps_its_own_id() -> None:
    platform = waiting(function("f"), invocation="inv/1")
    history = [user("hi"), called("x"), result(f"call_{digits('inv/1')}_0", "")]
    history[1]["tool_calls"][0]["id"] = history[2]["tool_call_id"]
    state = platform.ask(agent({"messages": history}))["sessionState"]
    assert state["invocationId"] == "inv/1"
    [answer] = state["returnControlInvocationResults"]
    assert answer["functionResult"]["responseBody"] == {"TEXT": {"body": ""}}


@pytest.mark.parametrize(
    ("kind", "content", "state", "body"),
    [
        (ASK, "Yes", "CONFIRM", None),
        (ASK, " approve\n", "CONFIRM", None),
        (ASK, "true", "CONFIRM", None),
        (ASK, '{"confirmationState":"CONFIRM"}', "CONFIRM", None),
        (ASK, '{"confirmationState":"confirm"}', "CONFIRM", None),
        (ASK, '{"confirmationState":"DENY"}', "DENY", None),
        (ASK, '{"confirmationState":1}', "DENY", None),
        (ASK, "no", "DENY", None),
        (ASK, "yes, but", "DENY", None),
        (ASK, "", "DENY", None),
        (BOTH, "yes", "CONFIRM", "yes"),
        (BOTH, "in Ulm", "CONFIRM", "in Ulm"),
        (BOTH, '{"weight":3}', "CONFIRM", '{"weight":3}'),
        (BOTH, '{"confirmationState":"DENY"}', "DENY", None),
        (BOTH, "false", "DENY", None),
        ({"actionInvocationType": "RESULT"}, "no", None, "no"),
        ({}, "false", None, "false"),
    ],
)
def test_what_wants_to_be_allowed_is_allowed_or_not(
    kind: dict[str, str], content: str, state: str | None, body: str | None
) -> None:
    [answer] = brought(waiting(function("pay", **kind)), result(CALL_0, content))
    told = answer["functionResult"]
    assert told.get("confirmationState") == state
    assert told.get("responseBody") == (None if body is None else {"TEXT": {"body": body}})
    [answer] = brought(waiting(api("/pay", **kind)), result(CALL_0, content))
    told = answer["apiResult"]
    assert told.get("confirmationState") == state
    assert ("httpStatusCode" in told) == ("responseBody" in told) == (body is not None)


def test_what_fits_no_call_is_refused() -> None:
    platform = waiting(function("a"), function("b"))
    results = result(CALL_0, "1"), result(CALL_1, "2")
    assert refusal_of(platform, *results, result(f"call_{DIGITS}_2", "3")).code == "unknown_tool_call"
    assert refusal_of(platform, *results, result(CALL_1, "3")).code == "duplicate_tool_result"
    assert refusal_of(platform, *results, result("call_abc", "3")).code == "unknown_tool_call"
    foreign = result(f"call_{'0' * 32}_0", "3")
    assert "one round" in refusal_of(platform, *results, foreign).message
    assert refusal_of(platform, foreign).code == "unknown_tool_call"
    assert refusal_of(platform, *results, body={"session_id": "another"}).code == "unknown_tool_call"
    assert refusal_of(platform, *results, agent_alias_id="OTHER").code == "unknown_tool_call"
    assert len(brought(platform, *results)) == 2


def test_the_session_that_waits_may_be_named() -> None:
    platform = Platform()
    platform.turn(agent({"stream": True, "session_id": "s1"}), returns(function("a")))
    assert brought(platform, result(CALL_0, "1"), body={"session_id": "s1"})
    assert brought(platform, result(CALL_0, "1"))


def test_the_service_takes_five_results() -> None:
    platform = waiting(*[function("f")] * 6)
    many = [result(f"call_{DIGITS}_{n}", "x") for n in range(6)]
    assert "at most 5" in refusal_of(platform, *many).message
    assert len(brought(waiting(*[function("f")] * 5), *many[:5])) == 5


def test_results_and_words_do_not_go_together() -> None:
    history = [user("hi"), called(CALL_0), result(CALL_0, "1"), user("and?")]
    error = refused({"messages": history})
    assert (error.param, error.code) == ("messages[3]", "invalid_value")
    assert refused({"messages": [result(CALL_0, "1")]}).code == "unknown_tool_call"


def test_old_results_are_history() -> None:
    history = [
        user("hi"),
        called("call_other"),
        result("call_other", "1"),
        {"role": "assistant", "content": "2"},
    ]
    assert Platform().ask(agent({"messages": [*history, user("and?")]}))["inputText"] == "and?"


def qualified(*names: str, session: str = "s1", **settings: Any) -> list[dict[str, Any]]:
    """What results become where nobody remembers the calls."""
    ids = [f"call_{DIGITS}_{n}" for n in range(len(names))]
    message = called(*ids)
    for call, name in zip(message["tool_calls"], names, strict=True):
        call["function"]["name"] = name
    history = [user("hi"), message, *(result(id, id[-1]) for id in ids)]
    body = {"messages": history, **({"session_id": session} if session else {})}
    upstream = agent(body, **{"qualify_tool_names": True, **settings})
    state = Platform().ask(upstream)["sessionState"]
    assert state["invocationId"] == INVOCATION
    found: list[dict[str, Any]] = state["returnControlInvocationResults"]
    return found


def test_the_ids_are_enough_where_names_are_qualified() -> None:
    [first, second] = qualified("Parcels__track", "Pay__a__b")
    assert first["functionResult"] == {
        "actionGroup": "Parcels",
        "function": "track",
        "responseBody": {"TEXT": {"body": "0"}},
    }
    assert (second["functionResult"]["actionGroup"], second["functionResult"]["function"]) == ("Pay", "a__b")


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["track"], {}),
        (["__track"], {}),
        (["Parcels__"], {}),
        (["Parcels__" + "x" * 55], {}),
        (["Parcels__track"], {"session": ""}),
        (["Parcels__track"], {"qualify_tool_names": False}),
        (["Parcels__track"] * 6, {}),
    ],
)
def test_they_are_not_where_anything_is_missing(names: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        qualified(*names, **options)
    assert caught.value.code == ("unknown_tool_call" if len(names) == 1 else "invalid_value")


def test_what_is_remembered_is_json_and_small() -> None:
    platform = waiting(function("track", [("id", "string", "x" * 10_000)], collaboratorName="Sub"))
    entry = platform.memory[f"bedrock-call:{DIGITS}"]
    assert len(json.dumps(entry)) < 400
    assert entry["inputs"] == [{"actionGroup": "Parcels", "function": "track"}]
    assert platform.seconds[f"bedrock-call:{DIGITS}"] == 540.0
