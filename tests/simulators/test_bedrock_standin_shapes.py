"""The tables of requests beside the service models that botocore ships, and what the stand-in says in their terms.

Members, required ones, limits, enums and unions must be equal, all the way down; patterns must accept and refuse
the same samples. Every event that an agent sends is walked through the model of answers, so that no member is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from proxy.simulators import bedrock_bodies as bodies
from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_faults import STREAMED, Fault
from proxy.simulators.bedrock_knobs import Agent, Collaborator, Guardrail, Produced
from proxy.simulators.bedrock_shapes import (
    Anything,
    Blob,
    Flag,
    Listed,
    Mapped,
    Number,
    Shape,
    Structure,
    Text,
    without_nulls,
)
from tests.simulators.bedrock_client import STREAMED as STREAMING
from tests.simulators.bedrock_client import TRACED, bedrock


@cache
def service(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


OPERATIONS = [
    ("bedrock-agent-runtime", "InvokeAgent", bodies.INVOKE_AGENT),
    ("bedrock-agent-runtime", "InvokeInlineAgent", bodies.INVOKE_INLINE_AGENT),
    ("bedrock-agent-runtime", "InvokeFlow", bodies.INVOKE_FLOW),
    ("bedrock-agent", "ListAgents", bodies.LIST),
    ("bedrock-agent", "ListAgentAliases", bodies.LIST),
]
IN_PATHS = [
    ("bedrock-agent-runtime", "InvokeAgent", "agentId", bodies.AGENT_ID),
    ("bedrock-agent-runtime", "InvokeAgent", "agentAliasId", bodies.AGENT_ID),
    ("bedrock-agent-runtime", "InvokeAgent", "sessionId", bodies.SESSION_ID),
    ("bedrock-agent-runtime", "InvokeAgent", "sourceArn", bodies.SOURCE_ARN),
    ("bedrock-agent-runtime", "InvokeFlow", "flowIdentifier", bodies.FLOW_ID),
    ("bedrock-agent-runtime", "InvokeFlow", "flowAliasIdentifier", bodies.FLOW_ALIAS_ID),
    ("bedrock-agent", "ListFlows", "maxResults", bodies.MAX_RESULTS),
    ("bedrock-agent", "ListFlows", "nextToken", bodies.NEXT_TOKEN),
    ("bedrock-agent", "GetAgentAlias", "agentId", bodies.ID),
    ("bedrock-agent", "GetAgentAlias", "agentAliasId", bodies.ALIAS_ID),
    ("bedrock-agentcore", "InvokeAgentRuntime", "runtimeSessionId", bodies.RUNTIME_SESSION_ID),
    ("bedrock-agentcore", "InvokeAgentRuntime", "accept", bodies.MIME_TYPE),
    ("bedrock-agentcore", "InvokeAgentRuntime", "accountId", bodies.ACCOUNT_ID),
]
ARN = "arn:aws:bedrock:us-east-1:111122223333:"
SAMPLES = [
    "", "a", "Z9", "a-b", "a_b", "a__b", "-a", "a-", "9a", "a b", "a/b", "a:b", "a.b", "s:1", "s%1", "ü",
    "a\n", "\n", "x" * 10, "x" * 11, "TSTALIASID", "s3://bucket/key", "s3://b/key", "s3://bucket",
    "s3://Bucket/key", f"{ARN}agent/ABCDEFGHIJ", f"{ARN}agent-alias/ABCDEFGHIJ/ABCDEFGHIJ",
    f"{ARN}flow/ABCDEFGHIJ", f"{ARN}flow/ABCDEFGHIJ/alias/ABCDEFGHIJ", f"{ARN}guardrail/abc1", "abc1",
    "DRAFT", "1", "0", "123", "99999999", "arn:aws:lambda:us-east-1:111122223333:function:f-1",
    "arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST",
    "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012", "arn:aws:s3:::bucket",
    "anthropic.claude-3-5-sonnet-20241022-v2:0", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic",
    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
    f"{ARN}inference-profile/us.anthropic.claude", "123456789012", "12345678901", "FlowInputNode",
    "Flow_Input", "Flow__Input", "_Flow", "1Flow", "key with space",
]  # fmt: skip


def differences(shape: Shape, model: Any, where: str, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """What a table says otherwise than the service model."""
    kinds = {
        "string": Text, "boolean": Flag, "integer": Number, "float": Number, "blob": Blob, "list": Listed,
        "map": Mapped, "structure": Structure,
    }  # fmt: skip
    wanted = Anything if getattr(model, "is_document_type", False) else kinds[model.type_name]
    if type(shape) is not wanted:
        yield f"{where}: is {type(shape).__name__}, not {wanted.__name__}"
        return
    limits = model.metadata
    if isinstance(shape, (Text, Number, Blob, Listed)):
        told, right = (shape.min, shape.max), (limits.get("min"), limits.get("max"))
        if told != right:
            yield f"{where}: limits {told}, not {right}"
    if isinstance(shape, Number) and shape.whole is not (model.type_name == "integer"):
        yield f"{where}: whole is {shape.whole}"
    if isinstance(shape, Text):
        if shape.enum != frozenset(model.enum):
            yield f"{where}: enum {sorted(shape.enum)}, not {model.enum}"
        yield from patterns(shape, limits.get("pattern", ""), where)
    elif isinstance(shape, Listed):
        yield from differences(shape.of, model.member, f"{where}[]", seen)
    elif isinstance(shape, Mapped):
        yield from differences(shape.keys, model.key, f"{where}.key", seen)
        yield from differences(shape.of, model.value, f"{where}.value", seen)
    elif isinstance(shape, Structure) and id(shape) not in seen:
        yield from members(shape, model, where, seen | {id(shape)})


def members(shape: Structure, model: Any, where: str, seen: frozenset[int]) -> Iterator[str]:
    inside = {name: one for name, one in model.members.items() if "location" not in one.serialization}
    if shape.members.keys() != inside.keys():
        yield f"{where}: members {sorted(shape.members.keys() ^ inside.keys())}"
        return
    if shape.required != frozenset(model.required_members) & inside.keys():
        yield f"{where}: requires {sorted(shape.required)}, not {model.required_members}"
    if shape.union != model.is_tagged_union:
        yield f"{where}: union is {shape.union}"
    for name, one in inside.items():
        yield from differences(shape.members[name], one, f"{where}.{name}", seen)


def patterns(shape: Text, pattern: str, where: str) -> Iterator[str]:
    for sample in SAMPLES:
        ours = not shape.pattern or re.fullmatch(shape.pattern, sample, re.ASCII) is not None
        theirs = not pattern or re.fullmatch(pattern, sample, re.ASCII) is not None
        if ours != theirs:
            yield f"{where}: {'accepts' if ours else 'refuses'} {sample!r}"


@pytest.mark.parametrize(("name", "operation", "shape"), OPERATIONS)
def test_a_body_is_that_of_the_service_model(name: str, operation: str, shape: Structure) -> None:
    model = service(name).operation_model(operation).input_shape
    assert list(differences(shape, model, operation)) == []


@pytest.mark.parametrize(("name", "operation", "member", "shape"), IN_PATHS)
def test_what_is_in_a_path_or_a_header_is_that_of_the_model(
    name: str, operation: str, member: str, shape: Shape
) -> None:
    model = service(name).operation_model(operation).input_shape.members[member]
    assert list(differences(shape, model, member)) == []


def test_the_comparison_can_fail() -> None:
    model = service("bedrock-agent-runtime").operation_model("InvokeFlow").input_shape
    changed = Structure(
        {**bodies.INVOKE_FLOW.members, "executionId": Text(2, 99, r"[a-z]+")}, frozenset(("inputs",))
    )
    found = list(differences(changed, model, "InvokeFlow"))
    assert "InvokeFlow.executionId: limits (2, 99), not (2, 100)" in found
    assert "InvokeFlow.executionId: refuses 's:1'" in found
    assert list(differences(bodies.LIST, model, "x"))
    assert list(differences(Flag(), model, "x")) == ["x: is Flag, not Structure"]


# Requests.

RESULT = {"functionResult": {"actionGroup": "g", "function": "f", "responseBody": {"TEXT": {"body": "x"}}}}
KNOWLEDGE = {
    "knowledgeBaseId": "KB",
    "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 3}},
}


def filtered(filter: Any) -> dict[str, Any]:
    search = {"vectorSearchConfiguration": {"filter": filter}}
    return {
        "sessionState": {
            "knowledgeBaseConfigurations": [{"knowledgeBaseId": "K", "retrievalConfiguration": search}]
        }
    }


EQUALS = {"equals": {"key": "k", "value": {"any": [1, None]}}}
GOOD: list[dict[str, Any]] = [
    {},
    {"inputText": "", "enableTrace": None},
    {"memoryId": "m:1", "bedrockModelConfigurations": {"performanceConfig": {"latency": "optimized"}}},
    {"streamingConfigurations": {"applyGuardrailInterval": 1, "streamFinalResponse": False}},
    {"sessionState": {"returnControlInvocationResults": [RESULT] * 5, "invocationId": "x"}},
    {"sessionState": {"knowledgeBaseConfigurations": [KNOWLEDGE], "sessionAttributes": {"a": ""}}},
    filtered(EQUALS),
    filtered({"andAll": [EQUALS, {"orAll": [EQUALS, EQUALS]}]}),
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"inputText": 5}, "'inputText'"),
    ({"endSession": 1}, "'endSession'"),
    ({"enableTrace": "true"}, "'enableTrace'"),
    ({"text": "x"}, "'text'"),
    ({"memoryId": "m"}, "'memoryId'"),
    ({"memoryId": "m" * 101}, "'memoryId'"),
    ({"memoryId": "m m"}, "'memoryId'"),
    ({"promptCreationConfigurations": {"previousConversationTurnsToInclude": -1}}, "TurnsToInclude"),
    ({"promptCreationConfigurations": {"previousConversationTurnsToInclude": True}}, "TurnsToInclude"),
    ({"bedrockModelConfigurations": {"performanceConfig": {"latency": "fast"}}}, "latency"),
    ({"streamingConfigurations": {"applyGuardrailInterval": 0}}, "applyGuardrailInterval"),
    ({"streamingConfigurations": []}, "streamingConfigurations"),
    ({"sessionState": {"systemPrompt": "x"}}, "sessionState.systemPrompt"),
    ({"sessionState": {"sessionAttributes": {"a": 1}}}, "sessionAttributes.a"),
    ({"sessionState": {"returnControlInvocationResults": []}}, "returnControlInvocationResults"),
    ({"sessionState": {"returnControlInvocationResults": [RESULT] * 6}}, "returnControlInvocationResults"),
    ({"sessionState": {"returnControlInvocationResults": [{}]}}, "union"),
    (
        {"sessionState": {"returnControlInvocationResults": [{**RESULT, "apiResult": {"actionGroup": "g"}}]}},
        "union",
    ),
    (
        {"sessionState": {"returnControlInvocationResults": [{"functionResult": {"function": "f"}}]}},
        "functionResult.actionGroup",
    ),
    ({"sessionState": {"knowledgeBaseConfigurations": []}}, "knowledgeBaseConfigurations"),
    ({"sessionState": {"knowledgeBases": [KNOWLEDGE]}}, "knowledgeBases"),
    (filtered({"andAll": [EQUALS]}), "andAll"),
    (filtered({**EQUALS, "in": EQUALS["equals"]}), "union"),
    (filtered({"equals": {"key": "k"}}), "equals.value"),
    ({"sessionState": {"conversationHistory": {"messages": [{"role": "system", "content": []}]}}}, "role"),
    (
        {
            "sessionState": {
                "files": [
                    {
                        "name": "a",
                        "useCase": "CHAT",
                        "source": {
                            "sourceType": "BYTE_CONTENT",
                            "byteContent": {"mediaType": "a/b", "data": "a-_="},
                        },
                    }
                ]
            }
        },
        "base64",
    ),
]


@pytest.mark.parametrize("body", GOOD)
def test_a_body_that_passes(body: dict[str, Any]) -> None:
    bodies.INVOKE_AGENT.check(body, "")
    asked = {**decoded(body), "agentId": "A", "agentAliasId": "B", "sessionId": "s1"}
    model = service("bedrock-agent-runtime").operation_model("InvokeAgent").input_shape
    assert not ParamValidator().validate(asked, model).has_errors()


def decoded(body: Any) -> Any:
    """As a caller of botocore writes it: members that are null are not written, but in documents."""
    return {name: one for name, one in body.items() if one is not None}


@pytest.mark.parametrize(("body", "where"), BAD)
def test_a_body_that_does_not(body: dict[str, Any], where: str) -> None:
    with pytest.raises(Fault) as caught:
        bodies.INVOKE_AGENT.check(body, "")
    assert caught.value.trouble.name == "validationException"
    assert where in caught.value.trouble.message


def test_blobs_are_measured_in_bytes() -> None:
    blob = Blob(1, 3)
    blob.check("YWJj", "data")
    for text in ("", "YWJjZA=="):
        with pytest.raises(Fault, match="length"):
            blob.check(text, "data")
    for text in ("YWJ", "Ä", "YW Jj"):
        with pytest.raises(Fault, match="base64"):
            blob.check(text, "data")


def test_long_values_are_told_short() -> None:
    with pytest.raises(Fault) as caught:
        Text(max=3).check("x" * 10_000, "it")
    assert len(caught.value.trouble.message) < 300


def test_nulls_are_members_left_out() -> None:
    assert without_nulls({"a": None, "b": [{"c": None, "d": 0}], "e": [None]}) == {
        "b": [{"d": 0}],
        "e": [None],
    }


# Answers.


def strangers(document: Any, model: Any, where: str) -> Iterator[str]:
    """Members that the model does not know, and values of another type."""
    if getattr(model, "is_document_type", False):
        return
    if model.type_name == "structure":
        if not isinstance(document, dict):
            yield f"{where}: {document!r}"
            return
        for name, one in document.items():
            if name not in model.members:
                yield f"{where}.{name}"
            else:
                yield from strangers(one, model.members[name], f"{where}.{name}")
    elif model.type_name == "list":
        for one in document:
            yield from strangers(one, model.member, f"{where}[]")
    elif model.type_name == "map":
        for one in document.values():
            yield from strangers(one, model.value, f"{where}{{}}")
    else:
        kinds = {"string": str, "blob": str, "timestamp": str, "boolean": bool}
        enum = getattr(model, "enum", None)
        if not isinstance(document, kinds.get(model.type_name, (int, float))) or (
            enum and document not in enum
        ):
            yield f"{where}: {document!r}"


GROUPS = (
    Group("Parcels", (Function("track", {"parcel": "integer"}),)),
    Group("Orders", (Api("/orders/{id}", "POST", {"id": "string"}, {"note": "string"}),)),
)
TALKATIVE = Agent(
    groups=GROUPS,
    collaborator=Collaborator(groups=(Group("Helps", (Function("assist"),)),)),
    guardrail=Guardrail(blocked=("bomb",), masked=("2",)),
    citations=10,
    files=(Produced("a.csv", "text/csv", b"1"),),
    reasoning="both",
    custom_trace="x",
    usage="repeated",
)
TALKS: list[tuple[Agent, str]] = [
    (TALKATIVE, "count to 3"),
    (TALKATIVE, "track 7 and see /orders/{id}"),
    (TALKATIVE, "please assist"),
    (TALKATIVE, "build a bomb"),
    (Agent(preprocessing=True, reasoning="redacted"), "count to 3"),
    (Agent(fails=(429, "too fast")), "count to 3"),
]


@pytest.mark.parametrize(("agent", "question"), TALKS)
async def test_every_member_of_every_event_is_in_the_model(agent: Agent, question: str) -> None:
    stream = (
        service("bedrock-agent-runtime").operation_model("InvokeAgent").output_shape.members["completion"]
    )
    async with bedrock(agent) as aws:
        reply = await aws.ask(question, **TRACED, **STREAMING)
    assert len(reply.frames) >= 2
    found = [
        one for kind, document in reply.events for one in strangers(document, stream.members[kind], kind)
    ]
    assert found == []


def test_the_exceptions_are_those_of_the_models() -> None:
    model = service("bedrock-agent-runtime")
    stream = model.operation_model("InvokeAgent").output_shape.members["completion"].members
    exceptions = {name: shape for name, shape in stream.items() if name.endswith("Exception")}
    assert {name: shape.metadata["error"]["httpStatusCode"] for name, shape in exceptions.items()} == STREAMED
