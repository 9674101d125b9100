"""Actions that clients carry out, agents that come with the question, and what is refused before a turn begins."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_knobs import Agent, Alias, Collaborator, Event
from tests.simulators.bedrock_client import (
    HISTORY,
    TRACED,
    Client,
    bedrock,
    function_result,
    orchestration,
    refused,
    where,
)

TRACK = Group("Parcels", (Function("track", {"parcel": "integer"}),))
INSTRUCTION = "You answer questions about parcels, and nothing else whatever people ask."
INLINE = {"foundationModel": "anthropic.claude", "instruction": INSTRUCTION}


async def test_only_what_the_question_names_is_called() -> None:
    async with bedrock(Agent(groups=(TRACK,))) as aws:
        assert (await aws.ask("a tracked parcel")).kinds == ["chunk"]
        reply = await aws.ask("TRACK parcel 77!", **TRACED)
    assert reply.kinds == [
        "modelInvocationInput",
        "modelInvocationOutput",
        "rationale",
        "invocationInput",
        "returnControl",
    ]
    (control,) = reply.named("returnControl")
    (doing,) = orchestration(reply, "invocationInput")
    assert doing["actionGroupInvocationInput"]["executionType"] == "RETURN_CONTROL"
    assert doing["actionGroupInvocationInput"]["invocationId"] == control["invocationId"]


async def test_values_are_strings_whatever_their_type() -> None:
    kinds = ("string", "integer", "number", "boolean", "array", "object")
    group = Group("G", (Function("act", {kind: kind for kind in kinds}),))
    async with bedrock(Agent(groups=(group,))) as aws:
        plain = (await aws.ask("act now")).named("returnControl")[0]
        counted = (await aws.ask("act 12", session="s:2")).named("returnControl")[0]
    given = [
        {
            one["type"]: one["value"]
            for one in control["invocationInputs"][0]["functionInvocationInput"]["parameters"]
        }
        for control in (plain, counted)
    ]
    assert given[0] == {
        "string": "act now",
        "integer": "3",
        "number": "2.5",
        "boolean": "true",
        "array": '["a", "b"]',
        "object": '{"a": 1}',
    }
    assert given[1] == {**given[0], "string": "12", "integer": "12", "number": "12"}


async def test_five_actions_at_once_and_not_six() -> None:
    group = Group("G", tuple(Function(f"act{n}") for n in range(6)))
    async with bedrock(Agent(groups=(group,))) as aws:
        (control,) = (await aws.ask("act0 act1 act2 act3 act4 act5")).named("returnControl")
    assert len(control["invocationInputs"]) == 5


async def ask_for(aws: Client, question: str) -> str:
    invocation_id: str = (await aws.ask(question)).named("returnControl")[0]["invocationId"]
    return invocation_id


async def test_results_must_fit_what_was_asked() -> None:
    api = Group("Orders", (Api("/orders/{id}", "POST"),))
    async with bedrock(Agent(groups=(TRACK, api))) as aws:
        good = function_result("Parcels", "track")
        nothing = await aws.answer("x", good)
        invocation = await ask_for(aws, "track 7")
        refusals = [
            await aws.answer("00000000-0000-4000-8000-000000000000", good),
            await aws.ask(None, sessionState={"returnControlInvocationResults": [good]}),
            await aws.answer(invocation, function_result("Parcels", "lose")),
            await aws.answer(invocation, function_result("Orders", "track")),
            await aws.answer(invocation, {"apiResult": {"actionGroup": "Parcels", "apiPath": "track"}}),
            await aws.answer(invocation, function_result("Parcels", "track", agentId="SUB1234567")),
            await aws.answer(invocation, good, good),
            await aws.answer(invocation, function_result("Parcels", "track", "")),
            await aws.answer(
                invocation,
                function_result("Parcels", "track", responseBody={"application/json": {"body": "x"}}),
            ),
        ]
        answered = await aws.answer(invocation, good)
        again = await aws.answer(invocation, good)
    assert refused(nothing, "no pending invocation")
    assert [reply.error for reply in refusals] == [(400, "ValidationException")] * len(refusals)
    assert "The tool says: in Ulm." in answered.text
    assert refused(again, "no pending invocation")


async def test_results_can_be_refused_as_an_event_and_in_part() -> None:
    both = Agent(groups=(Group("G", (Function("one"), Function("two"))),))
    async with bedrock(both) as aws:
        invocation = await ask_for(aws, "one and two")
        part = await aws.answer(invocation, function_result("G", "two"))
        aws.server.knobs.results = "event"
        told = await aws.answer(invocation, function_result("G", "two"))
        aws.server.knobs.partial_results = True
        taken = await aws.answer(invocation, function_result("G", "two"))
    assert refused(part, "1 of the pending")
    assert (told.status, told.kinds) == (200, ["validationException"])
    assert taken.kinds == ["chunk"]


async def test_a_new_question_instead_of_results() -> None:
    async with bedrock(Agent(groups=(TRACK,))) as aws:
        invocation = await ask_for(aws, "track 7")
        assert (await aws.ask("say never mind")).text == "never mind"
        assert (await aws.answer(invocation, function_result("Parcels", "track"))).status == 400


CONFIRMED: list[tuple[str, dict[str, Any], str]] = [
    ("USER_CONFIRMATION", {"confirmationState": "CONFIRM"}, "the user said yes"),
    ("USER_CONFIRMATION", {"confirmationState": "DENY"}, "the user said no"),
    ("USER_CONFIRMATION_AND_RESULT", {"confirmationState": "CONFIRM"}, "in Ulm"),
    ("USER_CONFIRMATION_AND_RESULT", {"confirmationState": "DENY"}, "the user said no"),
    ("RESULT", {"responseState": "REPROMPT"}, "in Ulm"),
]


@pytest.mark.parametrize(("kind", "more", "said"), CONFIRMED)
async def test_what_the_user_confirms(kind: Any, more: dict[str, Any], said: str) -> None:
    text = "in Ulm" if said == "in Ulm" else ""
    async with bedrock(Agent(groups=(Group("G", (Function("pay", invocation=kind),)),))) as aws:
        (control,) = (await aws.ask("pay")).named("returnControl")
        told = control["invocationInputs"][0]["functionInvocationInput"]
        unsure = await aws.answer(control["invocationId"], function_result("G", "pay"))
        if kind == "RESULT":
            control = (await aws.ask("pay")).named("returnControl")[0]
        reply = await aws.answer(control["invocationId"], function_result("G", "pay", text, **more))
    assert told["actionInvocationType"] == kind
    assert (unsure.status == 200) is (kind == "RESULT")
    assert f"The tool says: {said}." in reply.text


async def test_a_failed_action_fails_the_request() -> None:
    async with bedrock(Agent(groups=(TRACK,))) as aws:
        invocation = await ask_for(aws, "track 7")
        reply = await aws.answer(invocation, function_result("Parcels", "track", responseState="FAILURE"))
    assert reply.error == (424, "DependencyFailedException")
    assert reply.json["resourceName"] == "Parcels"


async def test_a_collaborators_action_carries_its_agent_id() -> None:
    agent = Agent(collaborator=Collaborator(groups=(TRACK,)))
    async with bedrock(agent) as aws:
        reply = await aws.ask("track 7", **TRACED)
        (control,) = reply.named("returnControl")
        told = control["invocationInputs"][0]["functionInvocationInput"]
        bare = await aws.answer(control["invocationId"], function_result("Parcels", "track"))
        full = await aws.answer(
            control["invocationId"], function_result("Parcels", "track", agentId="SUB1234567")
        )
    assert (told["agentId"], told["collaboratorName"]) == ("SUB1234567", "helper")
    assert (bare.status, full.status) == (400, 200)


async def test_what_a_script_asks_for_can_be_answered() -> None:
    inputs = [
        {
            "apiInvocationInput": {
                "actionGroup": "Orders",
                "apiPath": "/o",
                "httpMethod": "get",
                "agentId": "SUB1234567",
            }
        },
        {
            "functionInvocationInput": {
                "actionGroup": "G",
                "function": "pay",
                "actionInvocationType": "USER_CONFIRMATION",
            }
        },
    ]
    script = (Event("returnControl", {"invocationId": "not-a-uuid", "invocationInputs": inputs}),)
    async with bedrock(Agent(scripts={"go": script, "": (Event("chunk", {"bytes": "b2s="}),)})) as aws:
        await aws.ask("go")
        body = {"application/json": {"body": "{}"}}
        api = {
            "actionGroup": "Orders",
            "apiPath": "/o",
            "httpMethod": "GET",
            "agentId": "SUB1234567",
            "responseBody": body,
        }
        reply = await aws.answer(
            "not-a-uuid",
            {"apiResult": api},
            function_result("G", "pay", "", confirmationState="DENY"),
        )
    assert reply.text == "ok"


# Inline agents.


async def test_an_inline_agent_brings_its_actions() -> None:
    functions = [
        {"name": "track", "parameters": {"n": {"type": "integer"}}, "requireConfirmation": "ENABLED"}
    ]
    groups = [
        {"actionGroupName": "Input", "parentActionGroupSignature": "AMAZON.UserInput"},
        {
            "actionGroupName": "Mine",
            "actionGroupExecutor": {"customControl": "RETURN_CONTROL"},
            "functionSchema": {"functions": functions},
        },
        {
            "actionGroupName": "Theirs",
            "actionGroupExecutor": {"lambda": "arn:aws:lambda:us-east-1:111122223333:function:f"},
        },
    ]
    async with bedrock() as aws:
        asked = {**INLINE, "inputText": "track 9", "actionGroups": groups}
        reply = await aws.send("POST", "/agents/s%3A1", asked)
        short = await aws.send("POST", "/agents/s%3A1", {**asked, "instruction": "Be short."})
        bare = await aws.send("POST", "/agents/s%3A1", {"inputText": "x"})
        memory = await aws.send("POST", "/agents/s%3A1", {**asked, "memoryId": "me"})
        aws.server.inline.said = ("as ", "told")
        told_so = await aws.send("POST", "/agents/s%3A2", {**INLINE, "inputText": "hi"})
    told = reply.named("returnControl")[0]["invocationInputs"][0]["functionInvocationInput"]
    assert (told["actionGroup"], told["parameters"][0]["value"]) == ("Mine", "9")
    assert told["actionInvocationType"] == "USER_CONFIRMATION_AND_RESULT"
    assert told_so.text == "as told"
    assert refused(short, "instruction")
    assert refused(bare, "foundationModel")
    assert refused(memory, "memoryId")


# What is refused.


async def test_agents_and_aliases_that_do_not_answer() -> None:
    aliases = {
        "CLOSED0001": Alias(accepts=False),
        "BUILDING01": Alias(status="CREATING"),
    }
    agents = {"OTHER00001": Agent(aliases=aliases), "DRAFTED001": Agent(status="NOT_PREPARED")}
    async with bedrock(Agent(), agents=agents) as aws:

        async def ask(agent: str, alias: str, session: str = "s:1") -> tuple[int, str]:
            reply = await aws.send("POST", where(session, agent, alias), {"inputText": "x"})
            return reply.error if reply.status != 200 else (200, "")

        found = [
            await ask("OTHER00001", "TSTALIASID"),
            await ask("NOBODY0001", "TSTALIASID"),
            await ask("OTHER00001", "NOBODY0001"),
            await ask("OTHER00001", "CLOSED0001"),
            await ask("OTHER00001", "BUILDING01"),
            await ask("DRAFTED001", "TSTALIASID"),
            await ask("OTHER000012", "TSTALIASID"),
            await ask("OTHER00001", "TST-ALIAS1"),
            await ask("OTHER00001", "TSTALIASID", "x"),
            await ask("OTHER00001", "TSTALIASID", "x" * 101),
            await ask("OTHER00001", "TSTALIASID", "a%20b"),
        ]
    invalid, missing = (400, "ValidationException"), (404, "ResourceNotFoundException")
    assert found == [(200, ""), missing, missing, *[invalid] * 8]


def file_of(kind: str = "BYTE_CONTENT", use: str = "CHAT", **source: Any) -> dict[str, Any]:
    return {"name": "f", "useCase": use, "source": {"sourceType": kind, **source}}


BYTES = {"byteContent": {"mediaType": "image/png", "data": "iVBORw=="}}
S3 = {"s3Location": {"uri": "s3://bucket/key.csv"}}
STATES: list[tuple[dict[str, Any], str]] = [
    ({"conversationHistory": {"messages": HISTORY[1:]}}, "alternate"),
    ({"conversationHistory": {"messages": [HISTORY[0], HISTORY[0]]}}, "alternate"),
    (
        {"conversationHistory": {"messages": [{"role": "user", "content": [{"text": ""}]}]}},
        "cannot be null or empty",
    ),
    ({"conversationHistory": {"messages": [{"role": "user", "content": []}]}}, "cannot be null or empty"),
    ({"invocationId": "x"}, "invocationId"),
    ({"files": [file_of(**BYTES)] * 6}, "5 files"),
    ({"files": [file_of("S3", **BYTES)]}, "s3Location"),
    ({"files": [file_of(**BYTES, **S3)]}, "byteContent"),
    (
        {"files": [file_of(byteContent={"mediaType": "a/b", "data": "AAAA" * 1_500_000})] * 3},
        "10 MB",
    ),
]


@pytest.mark.parametrize(("state", "words"), STATES)
async def test_a_state_that_is_refused(state: dict[str, Any], words: str) -> None:
    async with bedrock() as aws:
        reply = await aws.ask(sessionState=state)
    assert refused(reply, words)


async def test_what_is_seen_of_files() -> None:
    async with bedrock() as aws:
        state = {"files": [file_of(**BYTES), file_of("S3", "CODE_INTERPRETER", **S3)]}
        reply = await aws.ask("what is it", sessionState=state)
        picture = await aws.ask(
            "and this", sessionState={"files": [file_of("S3", s3Location={"uri": "s3://bucket/a.PNG"})]}
        )
    assert "I see an image and a file." in reply.text
    assert "I see an image." in picture.text


async def test_a_body_must_be_json_and_say_something() -> None:
    async with bedrock() as aws:
        assert refused(await aws.ask(None), "inputText")
        assert refused(await aws.ask(""), "inputText")
        assert (await aws.send("POST", where(), b"{")).error == (400, "SerializationException")
        other = await aws.send("POST", where(), b"x=1", Content_Type="application/x-www-form-urlencoded")
        assert other.error == (415, "UnsupportedMediaTypeException")
        assert refused(await aws.send("POST", where(), b"[]"), "structure")
        arn = await aws.send("POST", where(), {"inputText": "x"}, x_amz_source_arn="arn:aws:s3:::bucket")
        assert refused(arn, "sourceArn")


async def test_paths_that_lead_nowhere() -> None:
    async with bedrock() as aws:
        for method, path in (
            ("GET", where()),
            ("POST", "/agents"),
            ("POST", "/"),
            ("POST", where().replace("/text", "")),
        ):
            assert (await aws.send(method, path)).error == (404, "UnknownOperationException")
