"""Calls that an agent leaves to its client, by the official SDK: there, and back with their results.

The session waits for all the results of a round at once and for nothing else, so what cannot be right is refused
before the agent hears of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_knobs import Collaborator, failure
from tests.e2e.bedrock_scene import (
    GROUPS,
    Scene,
    bedrock_upstream,
    bodies,
    built,
    runs,
    scene,
    sessions,
    stand_in_of,
    text_of,
)
from tests.e2e.sdk_setup import async_sdk, hosted, sdk
from tests.support.gateway import config_of

TRACK = "track parcel 77"
BOTH = "track parcel 77 and read /orders/{id}"
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_EXTENSIONS="true", DELTAWIRE_UPSTREAM_BEDROCK_RETRIES="0") as running:
        yield running


def calls_of(chunks: list[Any]) -> list[dict[str, Any]]:
    """The calls of a stream, put together as clients do it."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for delta in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
            one = found.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
            one["id"] += delta.id or ""
            one["name"] += delta.function.name or ""
            one["arguments"] += delta.function.arguments or ""
    return [found[index] for index in sorted(found)]


def asked_for(
    here: Scene, model: str, question: str, stream: bool = False, **more: Any
) -> list[dict[str, Any]]:
    """The calls that a question leads to."""
    if stream:
        chunks = here.stream(model, question, **more)
        assert (text_of(chunks), chunks[-1].choices[0].finish_reason) == ("", "tool_calls")
        return calls_of(chunks)
    choice = here.create(model, question, **more).choices[0]
    assert (choice.message.content, choice.finish_reason) == (None, "tool_calls")
    return [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in choice.message.tool_calls
    ]


def after(question: str, calls: list[dict[str, Any]], *results: str) -> list[dict[str, Any]]:
    """The history that brings results; fewer of them than there are calls if so wanted."""
    named = [
        {
            "id": one["id"],
            "type": "function",
            "function": {"name": one["name"], "arguments": one["arguments"]},
        }
        for one in calls
    ]
    tools = [
        {"role": "tool", "tool_call_id": one["id"], "content": result}
        for one, result in zip(calls, results, strict=False)
    ]
    assistant = {"role": "assistant", "content": None, "tool_calls": named}
    return [{"role": "user", "content": question}, assistant, *tools]


# There and back.


@both
def test_case_10_two_calls_and_their_results(here: Scene, stream: bool):
    model = here.agent(groups=GROUPS)
    calls = asked_for(here, model, BOTH, stream)
    assert [(one["name"], json.loads(one["arguments"])) for one in calls] == [
        ("track", {"parcel": 77}),
        ("get_orders_id", {"id": "77"}),
    ]
    assert [one["id"][-2:] for one in calls] == ["_0", "_1"] and len({one["id"][:37] for one in calls}) == 1
    messages = after(BOTH, calls, "in Ulm", '{"state": "paid"}')
    text = text_of(here.stream(model, messages)) if stream else here.say(model, messages)
    assert "in Ulm" in text
    state = here.bodies(model)[1]["sessionState"]
    assert state["returnControlInvocationResults"] == [
        {
            "functionResult": {
                "actionGroup": "Parcels",
                "function": "track",
                "responseBody": {"TEXT": {"body": "in Ulm"}},
            }
        },
        {
            "apiResult": {
                "actionGroup": "Orders",
                "apiPath": "/orders/{id}",
                "httpMethod": "GET",
                "httpStatusCode": 200,
                "responseBody": {"application/json": {"body": '{"state": "paid"}'}},
            }
        },
    ]
    assert "inputText" not in here.bodies(model)[1]
    (session,) = here.sessions(model)
    assert session.pending is None and session.turns == 2
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "count to 3"}]
    assert here.say(model, messages) == "1, 2, 3."
    assert len(here.sessions(model)) == 1 and session.turns == 3


def test_the_async_client_there_and_back(here: Scene):
    model = here.agent(groups=GROUPS)

    async def ask() -> str:
        async with async_sdk(here.gateway.url + "/v1") as client:
            question: Any = [{"role": "user", "content": TRACK}]
            stream = await client.chat.completions.create(model=model, messages=question, stream=True)
            messages: Any = after(TRACK, calls_of([one async for one in stream]), "in Ulm")
            stream = await client.chat.completions.create(model=model, messages=messages, stream=True)
            return text_of([one async for one in stream])

    assert "in Ulm" in asyncio.run(ask())


@both
def test_case_14_a_collaborators_call(here: Scene, stream: bool):
    model = here.agent(collaborator=Collaborator(groups=GROUPS))
    calls = asked_for(here, model, TRACK, stream)
    assert "in Ulm" in here.say(model, after(TRACK, calls, "in Ulm"))
    (result,) = here.bodies(model)[1]["sessionState"]["returnControlInvocationResults"]
    assert result["functionResult"]["agentId"] == "SUB1234567"
    assert here.asked(model)[1].path == here.asked(model)[0].path


@pytest.mark.parametrize(
    ("kind", "said", "heard"),
    [
        ("USER_CONFIRMATION", "yes", "the user said yes"),
        ("USER_CONFIRMATION", "better not", "the user said no"),
        ("USER_CONFIRMATION_AND_RESULT", "in Ulm", "in Ulm"),
        ("USER_CONFIRMATION_AND_RESULT", '{"confirmationState": "DENY"}', "the user said no"),
    ],
)
def test_a_call_that_the_user_has_to_allow(here: Scene, kind: Any, said: str, heard: str):
    model = here.agent(groups=(Group("Parcels", (Function("track", {}, kind), Api("/x", "POST"))),))
    chunks = here.stream(model, TRACK)
    calls = calls_of(chunks)
    assert chunks[-1].deltawire["platform"]["confirmations"] == [calls[0]["id"]]
    here.say(model, after(TRACK, calls, said))
    (session,) = here.sessions(model)
    assert [one["content"] for one in session.messages if one["role"] == "tool"] == [heard]


def test_results_that_were_refused_may_be_brought_again(here: Scene):
    """The session still waits for them, and nothing was done with them."""
    model = here.agent(groups=GROUPS)
    messages = after(TRACK, asked_for(here, model, TRACK), "in Ulm")
    here.stand_in.knobs.failures.append(failure("throttlingException", path=model[:10]))
    with pytest.raises(openai.RateLimitError):
        here.say(model, messages)
    assert "in Ulm" in here.say(model, messages)


# What is refused here.


def test_case_12_results_that_do_not_fit_never_reach_the_agent(here: Scene):
    model, other = here.agent(groups=GROUPS), here.agent(groups=GROUPS)
    calls = asked_for(here, model, BOTH)
    messages = after(BOTH, calls, "in Ulm", "paid")
    stranger = [{**calls[0], "id": f"call_{'0' * 32}_0"}]
    beyond = {"role": "tool", "tool_call_id": calls[0]["id"][:-1] + "7", "content": "x"}
    wrong: list[tuple[Any, str, str]] = [
        (after(BOTH, calls, "in Ulm"), "missing_tool_result", calls[1]["id"]),
        ([messages[0], messages[2]], "missing_tool_result", calls[1]["id"]),
        ([*messages, messages[2]], "duplicate_tool_result", calls[0]["id"]),
        ([*messages, beyond], "unknown_tool_call", beyond["tool_call_id"]),
        (after(BOTH, stranger, "x"), "unknown_tool_call", stranger[0]["id"]),
        ([*messages, {"role": "user", "content": "and?"}], "invalid_value", "before the user speaks"),
    ]
    for history, code, words in wrong:
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            here.say(model, history)
        assert caught.value.code == code
    with pytest.raises(openai.BadRequestError) as caught:
        here.say(other, messages)
    assert caught.value.code == "unknown_tool_call"
    with pytest.raises(openai.BadRequestError) as caught:
        here.say(model, messages, extra_body={"session_id": "not-this-one"})
    assert caught.value.code == "unknown_tool_call"
    assert (len(here.bodies(model)), here.bodies(other)) == (1, [])
    assert "in Ulm" in here.say(model, messages)


def test_case_13_results_at_another_gateway(serve_config):
    """With nothing but the request it cannot know the session; named, and with qualified names, it can."""
    with hosted(stand_in_of) as stand_in:
        model = built(stand_in, groups=GROUPS)
        up = bedrock_upstream(stand_in.url, qualify_tool_names=True)
        one, other = (serve_config(config_of(up)) for _ in range(2))
        with sdk(one.url + "/v1") as client, sdk(other.url + "/v1") as stranger:
            here = Scene(stand_in, one, client)
            there = Scene(stand_in, other, stranger)
            named = {"extra_body": {"session_id": "ada.1"}}
            calls = asked_for(here, model, TRACK, **named)
            assert calls[0]["name"] == "Parcels__track"
            messages = after(TRACK, calls, "in Ulm")
            with pytest.raises(openai.BadRequestError) as caught:
                there.say(model, messages)
            assert caught.value.code == "unknown_tool_call"
            assert len(bodies(stand_in, model)) == 1
            assert "in Ulm" in there.say(model, messages, **named)
        assert runs(stand_in, model) == 2 and len(sessions(stand_in, model)) == 1
