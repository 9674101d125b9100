"""What a chat request becomes on its way to an agent, and what is refused before it gets there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.bedrock_setup import (
    PLACE,
    Platform,
    agent,
    asked,
    assistant,
    called,
    refused,
    result,
    system,
    user,
)
from translators.errors import NotFound
from translators.upstreams.bedrock import Bedrock
from translators.upstreams.bedrock_inline import InlineAgent
from translators.upstreams.bedrock_settings import BedrockSettings, identity
from translators.upstreams.plan import AwsIdentity

HISTORY = [system("Be brief."), user("one"), assistant("1"), user("two")]
ARN = "arn:aws:bedrock:us-east-1:123456789012:agent/AGENT12345"


def test_the_least_question() -> None:
    call = Platform().call(agent())
    assert (call.method, call.service, call.headers) == ("POST", "", {})
    assert call.path.startswith(f"{PLACE}/")
    assert asked() == {
        "enableTrace": True,
        "inputText": "hi",
        "streamingConfigurations": {"streamFinalResponse": False},
    }


def test_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert asked({"messages": [user(parts)]})["inputText"] == "a\nb"


@pytest.mark.parametrize(
    "messages",
    [
        [assistant("hi")],
        [system("x")],
        [user("")],
        [user(" \n")],
        [user([])],
        [{"role": "function", "name": "f", "content": "x"}],
    ],
)
def test_a_question_there_has_to_be(messages: list[dict[str, Any]]) -> None:
    error = refused({"messages": messages})
    assert error.message.startswith("No user message found")
    assert error.param == "messages"


def test_a_session_may_be_ended_without_a_question() -> None:
    body = asked({"messages": [user("")], "end_session": True, "session_id": "s1"}, system="prepend")
    assert body["endSession"] is True
    assert "inputText" not in body
    assert "inputText" in asked({"messages": [user("bye")], "bedrock": {"endSession": True}})


@pytest.mark.parametrize(
    ("settings", "text", "state"),
    [
        ({}, "two", {"promptSessionAttributes": {"system_prompt": "Be brief."}}),
        ({"system": "prepend"}, "Be brief.\n\ntwo", {}),
        ({"system": "drop"}, "two", {}),
        ({"system": "drop", "history": "flatten"}, "User: one\n\nAssistant: 1\n\nUser: two", {}),
        ({"system": "drop", "history": "session"}, "two", {}),
    ],
)
def test_system_messages_and_turns_go_where_they_are_configured(
    settings: dict[str, str], text: str, state: dict[str, Any]
) -> None:
    body = asked({"messages": HISTORY}, **settings)
    assert body["inputText"] == text
    told = body.get("sessionState", {})
    assert ("conversationHistory" in told) == (settings.get("history", "auto") == "auto")
    assert {name: told[name] for name in told if name != "conversationHistory"} == state


def test_a_first_question_is_not_written_out() -> None:
    assert asked(history="flatten")["inputText"] == "hi"
    assert asked({"messages": HISTORY, "session_id": "s1"}, history="flatten")["inputText"] == "two"
    assert "sessionState" not in asked({"messages": HISTORY[1:], "session_id": "s1"}, history="replay")


def test_calls_and_bytes_of_files_are_no_history() -> None:
    history = [
        user("plot it"),
        called("call_x", text="I shall."),
        result("call_x", "done"),
        assistant("Here:\n\n![plot.png](data:image/png;base64,iVBORw==)\n"),
        {"role": "user", "content": "why?"},
    ]
    told = asked({"messages": history})["sessionState"]["conversationHistory"]["messages"]
    assert told[1:] == [{"role": "assistant", "content": [{"text": "I shall.\n\nHere:\n\n[plot.png]\n"}]}]


def test_everything_that_can_be_said_beside_the_words() -> None:
    own = {
        "enableTrace": False,
        "session_attributes": {"a": "own"},
        "promptSessionAttributes": {"system_prompt": "own", "x": "y"},
        "applyGuardrailInterval": 20,
        "latency": "optimized",
        "stream_final_response": True,
        "promptCreationConfigurations": {"previousConversationTurnsToInclude": 2},
        "knowledgeBaseConfigurations": [{"knowledgeBaseId": "KB1", "retrievalConfiguration": {}}],
        "sourceArn": ARN,
        "memoryId": None,
    }
    body = {
        "messages": HISTORY[:2],
        "metadata": {"a": "m", "b": "m", "n": 1, "z": None},
        "user": "ann",
        "memory_id": "mem:ann",
        "bedrock": own,
    }
    upstream = agent(body, user_attribute="who", guardrail_interval=9, latency="standard", source_arn="arn:x")
    assert Platform().call(upstream).headers == {"x-amz-source-arn": ARN}
    assert Platform().ask(upstream) == {
        "enableTrace": False,
        "inputText": "one",
        "streamingConfigurations": {"streamFinalResponse": True, "applyGuardrailInterval": 20},
        "bedrockModelConfigurations": {"performanceConfig": {"latency": "optimized"}},
        "memoryId": "mem:ann",
        "promptCreationConfigurations": {"previousConversationTurnsToInclude": 2},
        "sessionState": {
            "sessionAttributes": {"a": "own", "b": "m", "n": "1", "who": "ann"},
            "promptSessionAttributes": {"system_prompt": "own", "x": "y"},
            "knowledgeBaseConfigurations": [{"knowledgeBaseId": "KB1", "retrievalConfiguration": {}}],
        },
    }


def test_what_is_configured_is_said_where_the_request_does_not() -> None:
    settings = {"guardrail_interval": 9, "latency": "standard", "source_arn": ARN, "trace": False}
    upstream = agent(knowledge_bases=("KB1",), **settings)
    assert Platform().call(upstream).headers == {"x-amz-source-arn": ARN}
    body = Platform().ask(upstream)
    assert body["enableTrace"] is False
    assert body["streamingConfigurations"]["applyGuardrailInterval"] == 9
    assert body["bedrockModelConfigurations"] == {"performanceConfig": {"latency": "standard"}}
    [base] = body["sessionState"]["knowledgeBaseConfigurations"]
    assert base == {
        "knowledgeBaseId": "KB1",
        "retrievalConfiguration": {"vectorSearchConfiguration": {}},
    }


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"bedrock": []}, "bedrock", "invalid_type"),
        ({"bedrock": {"sparkle": 1}}, "bedrock.sparkle", "unknown_parameter"),
        ({"bedrock": {"guardrailConfiguration": {}}}, "bedrock.guardrailConfiguration", "unknown_parameter"),
        ({"bedrock": {"enableTrace": 1}}, "bedrock.enableTrace", "invalid_type"),
        ({"bedrock": {"enable_trace": "yes"}}, "bedrock.enable_trace", "invalid_type"),
        ({"end_session": "yes"}, "end_session", "invalid_type"),
        ({"memory_id": 7}, "memory_id", "invalid_type"),
        ({"memory_id": "x"}, "memory_id", "invalid_value"),
        ({"bedrock": {"memoryId": "a/b"}}, "bedrock.memoryId", "invalid_value"),
        ({"bedrock": {"sourceArn": "arn:aws\r\nx: y"}}, "bedrock.sourceArn", "invalid_value"),
        ({"bedrock": {"sessionAttributes": []}}, "bedrock.sessionAttributes", "invalid_type"),
        ({"bedrock": {"sessionAttributes": {"a": 1}}}, "bedrock.sessionAttributes.a", "invalid_type"),
        ({"bedrock": {"applyGuardrailInterval": 0}}, "bedrock.applyGuardrailInterval", "invalid_value"),
        ({"bedrock": {"applyGuardrailInterval": True}}, "bedrock.applyGuardrailInterval", "invalid_type"),
        ({"bedrock": {"latency": "slow"}}, "bedrock.latency", "invalid_value"),
        (
            {"bedrock": {"promptCreationConfigurations": 1}},
            "bedrock.promptCreationConfigurations",
            "invalid_type",
        ),
        (
            {"bedrock": {"knowledgeBaseConfigurations": {}}},
            "bedrock.knowledgeBaseConfigurations",
            "invalid_type",
        ),
        (
            {"bedrock": {"knowledgeBaseConfigurations": []}},
            "bedrock.knowledgeBaseConfigurations",
            "invalid_value",
        ),
        (
            {"bedrock": {"knowledgeBaseConfigurations": [1]}},
            "bedrock.knowledgeBaseConfigurations[0]",
            "invalid_type",
        ),
        (
            {"bedrock": {"knowledgeBaseConfigurations": [{"knowledgeBaseId": "x"}]}},
            "bedrock.knowledgeBaseConfigurations[0].retrievalConfiguration",
            "missing_required_parameter",
        ),
        ({"n": 2}, "n", "unsupported_value"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
    ],
)
def test_what_cannot_be_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    error = refused(body)
    assert (error.param, error.code) == (param, code)


def test_what_an_agent_cannot_honour_is_ignored_unless_that_is_refused() -> None:
    body = {
        "temperature": 0.2,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required",
        "response_format": {"type": "json_object"},
        "service_tier": "auto",
    }
    assert asked(body) == asked()
    for name, value in body.items():
        error = refused({name: value}, strict=True)
        assert (error.param, error.code) == (name, "unsupported_parameter")
    harmless = {"tool_choice": "auto", "tools": [], "response_format": {"type": "text"}, "store": False}
    assert asked(harmless, strict=True) == asked()


# Files.

PNG = "data:image/png;base64,iVBORw=="


def shown(*parts: dict[str, Any], text: str = "Look", **settings: Any) -> list[dict[str, Any]]:
    content = [{"type": "text", "text": text}, *parts]
    found: list[dict[str, Any]] = asked({"messages": [user(content)]}, **settings)["sessionState"]["files"]
    return found


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(**members: Any) -> dict[str, Any]:
    return {"type": "file", "file": members}


@pytest.mark.parametrize(
    ("part", "name", "mime", "data"),
    [
        (image(PNG), "image-1.png", "image/png", "iVBORw=="),
        ({"type": "image_url", "image_url": PNG}, "image-1.png", "image/png", "iVBORw=="),
        (file(file_data="data:text/csv;charset=utf-8;base64,YSxi"), "file-1.csv", "text/csv", "YSxi"),
        (file(filename="t/b\n.csv", file_data="YSxi"), "t_b_.csv", "text/csv", "YSxi"),
        (file(filename="notes", file_data="YSxi"), "notes.bin", "application/octet-stream", "YSxi"),
        (file(filename="a.pdf", file_data="data:;base64,YSxi"), "a.pdf", "application/pdf", "YSxi"),
        ({"type": "file", "file_url": "data:image/webp;base64,YQ=="}, "file-1.webp", "image/webp", "YQ=="),
    ],
)
def test_bytes_go_with_the_question(part: dict[str, Any], name: str, mime: str, data: str) -> None:
    source = {"sourceType": "BYTE_CONTENT", "byteContent": {"mediaType": mime, "data": data}}
    assert shown(part) == [{"name": name, "useCase": "CHAT", "source": source}]
    [document] = shown(part, code_interpreter=True)
    assert document["useCase"] == ("CODE_INTERPRETER" if mime == "text/csv" else "CHAT")


def test_an_object_in_s3_is_named() -> None:
    [first, second] = shown(image("s3://bucket/a/b.png"), file(filename="t.csv", file_data="s3://bucket/t"))
    source = {"sourceType": "S3", "s3Location": {"uri": "s3://bucket/a/b.png"}}
    assert first == {"name": "b.png", "useCase": "CHAT", "source": source}
    assert second["name"] == "t.csv"


def test_files_alone_are_a_question() -> None:
    assert "inputText" not in asked({"messages": [user([image(PNG)])]})


def test_only_the_last_message_brings_files() -> None:
    earlier = [user([{"type": "text", "text": "x"}, image("https://e.org/x.png")]), assistant("y"), user("z")]
    assert "files" not in asked({"messages": earlier})["sessionState"]


@pytest.mark.parametrize(
    ("part", "where", "code"),
    [
        (image("https://e.org/x.png"), "image_url.url", "unsupported_url"),
        (image("//e.org/x.png"), "image_url.url", "unsupported_url"),
        (image("ftp:x"), "image_url.url", "invalid_value"),
        (image("s3://b/"), "image_url.url", "invalid_value"),
        (image("data:image/png;base64,???"), "image_url.url", "invalid_value"),
        (image("data:image/png;base64,"), "image_url.url", "invalid_value"),
        (image("data:image/png,abc"), "image_url.url", "invalid_value"),
        (file(file_id="file-1"), "file", "invalid_value"),
        (file(filename=7, file_data="ä"), "file.file_data", "invalid_value"),
        ({"type": "file", "file_id": "file-1"}, "file", "invalid_value"),
        (
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            "input_audio",
            "unsupported_content",
        ),
        ({"type": "sparkle"}, "", "unsupported_content"),
    ],
)
def test_what_cannot_be_shown_is_refused(part: dict[str, Any], where: str, code: str) -> None:
    error = refused({"messages": [user([{"type": "refusal", "refusal": "no"}, part])]})
    assert (error.param, error.code) == (f"messages[0].content[1].{where}".rstrip("."), code)


def test_there_may_be_five_files_of_ten_megabytes() -> None:
    assert len(shown(*[image(PNG)] * 5)) == 5
    assert refused({"messages": [user([image(PNG)] * 6)]}).code == "too_many_files"
    large = image("data:image/png;base64," + "AAAA" * (7 * 1024 * 1024 // 4))
    assert refused({"messages": [user([large] * 2)]}).code == "file_too_large"


# Who answers.


@pytest.mark.parametrize("model", ["bedrock/agent/AG1/AL1", "agent/AG1/AL1"])
def test_the_models_name_may_name_the_agent(model: str) -> None:
    assert Platform().call(agent(model=model)).path.startswith("agents/AG1/agentAliases/AL1/sessions/")


def test_without_an_agent_there_is_no_model() -> None:
    with pytest.raises(NotFound):
        agent(agent_id="").prepare()


def test_the_settings_decide_which_class_answers() -> None:
    names = {
        "Bedrock": {},
        "InlineAgent": {"foundation_model": "m"},
        "BedrockFlow": {"flow": "F", "foundation_model": "m"},
        "AgentRuntime": {"runtime": "r", "flow": "F"},
    }
    for name, settings in names.items():
        assert Bedrock.variant(BedrockSettings(**settings)).__name__ == name  # type: ignore[arg-type]
    assert Bedrock.variant(BedrockSettings(foundation_model="m")) is InlineAgent


def test_who_signs_is_for_amazons_tools_to_find() -> None:
    credential = Bedrock.credential(BedrockSettings(), "")
    assert isinstance(credential, AwsIdentity)
    assert credential.service == "bedrock-agent-runtime"
    given = BedrockSettings(
        region="eu-west-1", access_key="A", secret_key="S", session_token="T", profile="p"
    )
    signer = identity(given)
    assert (signer.region, signer.access_key, signer.secret_key) == ("eu-west-1", "A", "S")
    assert "'S'" not in repr(signer) + repr(given)
    assert signer.signing_names["bedrock-agentcore"] == "bedrock-agentcore"
    assert set(Bedrock.environment) == {"AGENT_ID", "AGENT_ALIAS_ID"}


def test_the_name_of_a_runtime_tells_its_region() -> None:
    arn = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/helper-AbCdEfGh12"
    for region, told in (("", "eu-west-1"), ("us-east-1", "us-east-1")):
        credential = Bedrock.credential(BedrockSettings(runtime=arn, region=region), "")
        assert isinstance(credential, AwsIdentity)
        assert credential.region == told


def test_the_account_is_asked_only_if_that_is_wished() -> None:
    assert Bedrock.catalog(BedrockSettings()) is None
    assert Bedrock.catalog(BedrockSettings(discover=True)) is not None
    assert Bedrock.check(BedrockSettings(agent_id="A1", agent_alias_id="B1")) is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"region": "eu west"},
        {"agent_id": "AGENT123456"},
        {"agent_alias_id": "a/b"},
        {"flow": "a b"},
        {"flow_node": "a.b"},
        {"source_arn": "x"},
        {"knowledge_bases": ("a/b",)},
        {"knowledge_bases": ("A",) * 21},
        {"split_threshold": 0},
        {"session_ttl": 10.0},
        {"session_wait": -1.0},
        {"guardrail_interval": -1},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        BedrockSettings(**settings)


@pytest.mark.parametrize("options", [{"access_key": "A"}, {"secret_key": "S"}])
def test_half_a_key_is_none(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="belong together"):
        BedrockSettings(**options)
