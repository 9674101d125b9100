"""Agents that are made for each question: the request's own instruction and tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.bedrock_setup import (
    CALL_0,
    DIGITS,
    INVOCATION,
    Platform,
    agent,
    called,
    events_of,
    function,
    message,
    result,
    returns,
    say,
    system,
    user,
)
from translators.errors import BadRequest
from translators.events import ToolCall
from translators.upstreams.bedrock_inline import InlineAgent

MODEL = "anthropic.claude-3-5-sonnet-20241022-v2:0"
LONG = "You answer questions about parcels, and nothing else at all."
SHORT = "Be brief."
TOOL = {
    "type": "function",
    "function": {
        "name": "track",
        "description": "Where a parcel is.",
        "parameters": {
            "type": "object",
            "properties": {
                "id": {"type": "integer", "description": "Its number."},
                "fast": {"type": ["boolean", "null"]},
                "where": {"type": "object", "properties": {"zip": {"type": "string"}}},
                "either": {"anyOf": [{"type": "string"}, {"type": "array"}], "description": "Odd."},
                "any": True,
                "note": {"type": "string"},
                "list": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["id"],
        },
    },
}


def inline(body: dict[str, Any] | None = None, **settings: Any) -> InlineAgent:
    upstream = agent(
        {"messages": [system(LONG), user("hi")], **(body or {})},
        **{"foundation_model": MODEL, **settings},
    )
    assert isinstance(upstream, InlineAgent)
    return upstream


def asked(body: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return Platform().ask(inline(body, **settings))


def refused(body: dict[str, Any], **settings: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        inline(body, **settings).prepare()
    return caught.value


def test_the_least_question_to_an_agent_of_its_own() -> None:
    upstream = inline({"session_id": "s:1"})
    call = Platform().call(upstream)
    assert (call.method, call.path, call.headers) == ("POST", "agents/s%3A1", {})
    assert json.loads(call.body) == {
        "foundationModel": MODEL,
        "instruction": LONG,
        "idleSessionTTLInSeconds": 600,
        "enableTrace": True,
        "inputText": "hi",
        "streamingConfigurations": {"streamFinalResponse": False},
    }


def test_tools_are_functions_that_return_control() -> None:
    [group] = asked({"tools": [TOOL]})["actionGroups"]
    assert group["actionGroupName"] == "client_tools"
    assert group["actionGroupExecutor"] == {"customControl": "RETURN_CONTROL"}
    [found] = group["functionSchema"]["functions"]
    assert (found["name"], found["description"]) == ("track", "Where a parcel is.")
    parameters = found["parameters"]
    assert parameters["id"] == {"type": "integer", "required": True, "description": "Its number."}
    assert parameters["fast"] == {"type": "boolean", "required": False}
    assert parameters["note"] == {"type": "string", "required": False}
    assert parameters["list"] == {"type": "array", "required": False}
    assert (
        parameters["where"]["type"] == parameters["either"]["type"] == parameters["any"]["type"] == "string"
    )
    assert '"zip"' in parameters["where"]["description"]
    assert parameters["either"]["description"].startswith("Odd. (JSON text")


@pytest.mark.parametrize("odd", [{}, {"parameters": {}}, {"parameters": {"properties": [], "required": 7}}])
def test_a_tool_needs_nothing_but_a_name(odd: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f", **odd}}]
    assert asked({"tools": tools})["actionGroups"][0]["functionSchema"]["functions"] == [{"name": "f"}]


def test_no_tools_where_none_are_wanted() -> None:
    assert "actionGroups" not in asked({"tools": [TOOL], "tool_choice": "none"})
    own = {"actionGroupName": "UserInput", "parentActionGroupSignature": "AMAZON.UserInput"}
    body = {"tools": [TOOL], "bedrock": {"actionGroups": [own]}}
    assert [group["actionGroupName"] for group in asked(body)["actionGroups"]] == [
        "client_tools",
        "UserInput",
    ]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "web_search"}, "tools[0].type"),
        ({"type": "function"}, "tools[0].type"),
        ({"type": "function", "function": {"name": "a__b"}}, "tools[0].function.name"),
        ({"type": "function", "function": {"name": "_a"}}, "tools[0].function.name"),
        (
            {"type": "function", "function": {"name": "a", "parameters": {"properties": {"b c": {}}}}},
            "tools[0].function.parameters",
        ),
    ],
)
def test_what_cannot_be_a_function_is_refused(tool: dict[str, Any], param: str) -> None:
    assert refused({"tools": [tool]}).param == param


@pytest.mark.parametrize(
    ("configured", "said", "settings", "instruction"),
    [
        ("", LONG, {}, LONG),
        (LONG, "", {}, LONG),
        (LONG, SHORT, {}, f"{LONG}\n\n{SHORT}"),
        (LONG, SHORT, {"system": "drop"}, LONG),
        (LONG, SHORT, {"system": "prepend"}, LONG),
        (SHORT, "Answer in the words of a pirate.", {}, f"{SHORT}\n\nAnswer in the words of a pirate."),
        ("", SHORT, {}, None),
        ("", "", {}, None),
        ("", LONG, {"system": "drop"}, None),
    ],
)
def test_an_instruction_is_long_enough_or_refused(
    configured: str, said: str, settings: dict[str, str], instruction: str | None
) -> None:
    body = {"messages": [system(said), user("hi")]}
    if instruction is None:
        assert "at least 40 characters" in refused(body, instruction=configured, **settings).message
        return
    told = asked(body, instruction=configured, **settings)
    assert told["instruction"] == instruction
    assert told["inputText"] == (f"{said}\n\nhi" if settings == {"system": "prepend"} else "hi")
    assert "inlineSessionState" not in told


def test_what_may_be_said_beside_the_words() -> None:
    own = {
        "idleSessionTTLInSeconds": 60,
        "knowledgeBases": [{"knowledgeBaseId": "KB", "description": "Tea."}],
        "guardrailConfiguration": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "promptSessionAttributes": {"a": "b"},
    }
    told = asked({"bedrock": own}, source_arn="arn:aws:x", knowledge_bases=("KB1",))
    assert {name: told[name] for name in list(own)[:3]} == {name: own[name] for name in list(own)[:3]}
    assert told["inlineSessionState"] == {"promptSessionAttributes": {"a": "b"}}
    assert refused({"bedrock": {"memoryId": "m1"}}).code == "unknown_parameter"
    assert refused({"memory_id": "m1"}).param == "memory_id"
    assert refused({"bedrock": {"idleSessionTTLInSeconds": 59}}).code == "invalid_value"
    assert asked(session_ttl=86000.0)["idleSessionTTLInSeconds"] == 3600


def test_tools_are_supported_where_strictness_refuses_the_rest() -> None:
    assert "actionGroups" in asked({"tools": [TOOL], "tool_choice": "auto"}, strict=True)
    assert refused({"tool_choice": "required"}, strict=True).param == "tool_choice"
    assert refused({"temperature": 1}, strict=True).param == "temperature"


def test_values_are_what_the_clients_schema_says() -> None:
    upstream = inline({"tools": [TOOL], "stream": True})
    Platform().ask(upstream)
    told = [
        ("id", "integer", "7"),
        ("where", "string", '{"zip":"89073"}'),
        ("either", "string", '["a"]'),
        ("any", "string", "plain"),
        ("note", "string", '{"a":1}'),
    ]
    [call] = [
        one for one in events_of(upstream, returns(function("track", told))) if isinstance(one, ToolCall)
    ]
    assert json.loads(call.arguments) == {
        "id": 7,
        "where": {"zip": "89073"},
        "either": ["a"],
        "any": "plain",
        "note": '{"a":1}',
    }


def test_results_go_back_with_the_agent_that_asked() -> None:
    platform = Platform()
    first = inline({"tools": [TOOL], "stream": True, "bedrock": {"idleSessionTTLInSeconds": 100}})
    platform.turn(first, returns(function("track", actionGroup="client_tools")))
    assert platform.seconds[f"bedrock-call:{DIGITS}"] == 90.0
    history = [system(LONG), user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]
    told = platform.ask(inline({"messages": history, "tools": [TOOL]}))
    assert told["actionGroups"][0]["actionGroupName"] == "client_tools"
    assert told["instruction"] == LONG
    assert "inputText" not in told
    state = told["inlineSessionState"]
    assert state["invocationId"] == INVOCATION
    [answer] = state["returnControlInvocationResults"]
    assert answer["functionResult"]["actionGroup"] == "client_tools"


def test_its_ids_are_always_enough_for_another_process() -> None:
    history = [system(LONG), user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]
    told = asked({"messages": history, "session_id": "s1"})
    [answer] = told["inlineSessionState"]["returnControlInvocationResults"]
    assert answer["functionResult"]["actionGroup"] == "client_tools"
    assert answer["functionResult"]["function"] == "track"


def test_a_session_goes_on_by_its_history() -> None:
    platform = Platform()
    first = inline({"stream": True})
    platform.turn(first, say("Hello!"))
    told = [system(LONG), user("hi"), {"role": "assistant", "content": "Hello!"}, user("again")]
    upstream = inline({"messages": told})
    assert "inlineSessionState" not in platform.ask(upstream)
    assert upstream.call().path == f"agents/{first.headers['x-session-id']}"
    other = inline({"messages": told}, foundation_model="another")
    history = platform.ask(other)["inlineSessionState"]["conversationHistory"]["messages"]
    assert [one["role"] for one in history] == ["user", "assistant"]


def test_answers_are_told_as_any_agents() -> None:
    assert message(say("Hi"), foundation_model=MODEL, instruction=LONG)["content"] == "Hi"
