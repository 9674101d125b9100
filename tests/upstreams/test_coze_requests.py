"""From an OpenAI request to what Coze is asked: the route, the messages, the parameters, the files."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.upstreams.coze_asking import call_of, messages_of, refused
from tests.upstreams.coze_setup import BOT, CONVERSATION, USER, WORKFLOW, asked, coze
from translators.upstreams import UPSTREAMS
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Call

OTHER = "7699999999999999999"


def test_the_kind_is_known() -> None:
    assert UPSTREAMS["coze"] is Coze
    own = {field.name for field in attrs.fields(CozeSettings)}
    assert set(Coze.environment.values()) - {"api_key", "base_url"} <= own
    assert Coze.hears == {"x-model-type", "x-bot-id", "x-workflow-id", "x-conversation-id"}


def test_a_plain_chat_needs_no_preparation() -> None:
    upstream = coze({"stream": True})
    assert upstream.prepare() is None
    call = upstream.call()
    assert isinstance(call, Call)
    assert (call.method, call.path, call.headers) == ("POST", "v3/chat", {})
    assert asked(call) == {
        "bot_id": BOT,
        "user_id": "gateway",
        "auto_save_history": True,
        "stream": True,
        "additional_messages": [
            {"role": "user", "type": "question", "content_type": "text", "content": "Name a blue bird."}
        ],
    }
    assert upstream.settle() is None


# The route.


@pytest.mark.parametrize(
    ("model", "headers", "settings", "bot"),
    [
        ("gpt-4o", {}, {}, BOT),
        (f"bot/{OTHER}", {}, {}, OTHER),
        ("bot-42", {}, {}, "42"),
        ("bot-x", {}, {}, BOT),
        (OTHER, {}, {}, OTHER),
        ("12345678901234", {}, {}, BOT),
        ("123456789012345", {}, {}, "123456789012345"),
        (f"bot/{OTHER}", {"x-bot-id": "7"}, {}, "7"),
        (f"bot/{OTHER}", {}, {"model_type": "workflow"}, OTHER),
        (f"workflow/{OTHER}", {"x-model-type": "chat"}, {}, BOT),
        ("gpt-4o", {"x-model-type": " CHAT "}, {"model_type": "workflow"}, BOT),
    ],
)
def test_which_bot_answers(model: str, headers: dict[str, str], settings: dict[str, Any], bot: str) -> None:
    call = call_of(coze(headers=headers, model=model, **settings))
    assert (call.path, asked(call)["bot_id"]) == ("v3/chat", bot)


@pytest.mark.parametrize(
    ("model", "headers", "settings", "workflow"),
    [
        ("gpt-4o", {"x-model-type": "workflow"}, {}, WORKFLOW),
        ("gpt-4o", {}, {"model_type": "workflow"}, WORKFLOW),
        (f"workflow/{OTHER}", {}, {}, OTHER),
        (OTHER, {"x-model-type": "workflow"}, {}, OTHER),
        (f"workflow/{OTHER}", {"x-workflow-id": "7"}, {}, "7"),
        (f"bot/{OTHER}", {"x-model-type": "workflow"}, {}, WORKFLOW),
    ],
)
def test_which_workflow_runs(
    model: str, headers: dict[str, str], settings: dict[str, Any], workflow: str
) -> None:
    call = call_of(coze(headers=headers, model=model, **settings))
    assert (call.path, asked(call)["workflow_id"]) == ("v1/workflow/stream_run", workflow)


@pytest.mark.parametrize(
    ("headers", "options", "code"),
    [
        ({"x-model-type": "voice"}, {}, "invalid_model_type"),
        ({"x-bot-id": "bot_1"}, {}, "invalid_bot_id"),
        ({"x-bot-id": "1" * 26}, {}, "invalid_bot_id"),
        ({"x-bot-id": "١"}, {}, "invalid_bot_id"),
        ({"x-workflow-id": "../x"}, {}, "invalid_workflow_id"),
        ({"x-conversation-id": "1&bot_id=2"}, {}, "invalid_conversation_id"),
        ({}, {"model": "bot/"}, "invalid_bot_id"),
        ({}, {"model": "workflow/a\nb"}, "invalid_workflow_id"),
        ({"x-model-type": "workflow"}, {"workflow_id": ""}, "missing_workflow_id"),
        ({"x-model-type": "conversation"}, {"bot_id": ""}, "missing_bot_id"),
        ({"x-model-type": "workflow", "x-conversation-id": "a b"}, {}, "invalid_conversation_id"),
        ({"x-model-type": "workflow", "x-conversation-id": "a" * 129}, {}, "invalid_conversation_id"),
        (
            {"x-model-type": "workflow", "x-conversation-id": "abc"},
            {"chatflow": True},
            "invalid_conversation_id",
        ),
        ({"x-model-type": "workflow"}, {"chatflow": True, "bot_id": ""}, "missing_bot_id"),
    ],
)
def test_ids_are_checked_before_they_go_anywhere(
    headers: dict[str, str], options: dict[str, Any], code: str
) -> None:
    assert refused(coze(headers=headers, **options)).code == code


def test_configured_ids_are_checked_as_well() -> None:
    for name in ("bot_id", "workflow_id", "space_id", "app_id"):
        with pytest.raises(ValueError, match=f"{name} must be 1 to 25 digits"):
            CozeSettings(**{name: "bot_1"})


def test_the_conversation_may_stand_in_the_metadata() -> None:
    upstream = coze({"metadata": {"conversation_id": CONVERSATION, "session_id": "s", "topic": "birds"}})
    call = call_of(upstream)
    assert call.path == f"v3/chat?conversation_id={CONVERSATION}"
    assert asked(call)["meta_data"] == {"topic": "birds"}


# The messages.


def test_where_system_messages_go() -> None:
    told = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "3"},
    ]
    words = ["1", "2", "Be short.\n\nBe kind.\n\n3"]
    assert [one["content"] for one in messages_of(*told)] == words
    assert [one["content"] for one in messages_of(*told, system="drop")] == ["1", "2", "3"]
    call = call_of(coze({"messages": told, "custom_variables": {"a": "b"}}, system="variable"))
    assert asked(call)["custom_variables"] == {"a": "b", "system_prompt": "Be short.\n\nBe kind."}
    assert [one["content"] for one in asked(call)["additional_messages"]] == ["1", "2", "3"]
    kept = asked(call_of(coze({"messages": told}, {"x-conversation-id": CONVERSATION})))
    assert [one["content"] for one in kept["additional_messages"]] == ["Be short.\n\nBe kind.\n\n3"]


def test_messages_that_say_nothing_are_left_out() -> None:
    told = messages_of(
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    )
    assert [(one["role"], one["content"]) for one in told] == [("assistant", "No."), ("user", "a\nb")]


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": "x"},
        {"role": "system", "content": "x"},
        {"role": "user", "content": ""},
        {"role": "user", "content": []},
    ],
)
def test_the_last_message_must_ask(last: dict[str, Any]) -> None:
    assert refused(coze({"messages": [USER, last]})).code == "invalid_last_message"


def test_an_empty_question_below_a_system_message_asks_what_that_says() -> None:
    told = messages_of({"role": "system", "content": "Say hi."}, {"role": "user", "content": ""})
    assert [one["content"] for one in told] == ["Say hi."]


def test_no_answer_is_left_without_its_question() -> None:
    turns = [{"role": "user" if n % 2 == 0 else "assistant", "content": str(n)} for n in range(131)]
    told = messages_of(*turns)
    assert (told[0]["content"], told[-1]["content"], len(told)) == ("32", "130", 99)
    short = messages_of({"role": "assistant", "content": "Hello!"}, USER)
    assert [one["role"] for one in short] == ["assistant", "user"]


# The parameters.


def test_who_asks() -> None:
    assert asked(call_of(coze({"user": "u-42"})))["user_id"] == "u-42"
    assert asked(call_of(coze({"safety_identifier": "s-1"})))["user_id"] == "s-1"
    assert asked(call_of(coze(owner="ab12")))["user_id"] == "gateway-ab12"


def test_metadata_becomes_texts() -> None:
    metadata = {"a": "x" * 600, "b": 7, "c": True, "d": {"e": None}, "": "x", "f": ""}
    meta = asked(call_of(coze({"metadata": metadata})))["meta_data"]
    assert meta == {"a": "x" * 512, "b": "7", "c": "true", "d": '{"e":null}'}
    assert refused(coze({"metadata": {"k" * 65: "v"}})).param == "metadata"
    assert refused(coze({"metadata": {str(n): "v" for n in range(17)}})).param == "metadata"


def test_cozes_own_parameters_are_passed_on() -> None:
    extras = {
        "custom_variables": {"a": "b"},
        "parameters": {"n": 1},
        "extra_params": {"latitude": "1"},
        "shortcut_command": {"command_id": "1"},
        "enable_card": True,
        "auto_save_history": False,
        "bot_version": "7",
        "publish_status": "unpublished_draft",
    }
    document = asked(call_of(coze({**extras, "temperature": 1, "tools": [], "tool_choice": "auto"})))
    assert {name: document[name] for name in extras} == extras
    assert not document.keys() & {"temperature", "tools", "tool_choice"}


@pytest.mark.parametrize(
    "extra",
    [
        {"custom_variables": []},
        {"custom_variables": {"a": 1}},
        {"extra_params": {"latitude": 1.5}},
        {"parameters": "{}"},
        {"enable_card": "yes"},
        {"bot_version": 7},
    ],
)
def test_cozes_own_parameters_are_checked(extra: dict[str, Any]) -> None:
    error = refused(coze(extra))
    assert (error.code, [error.param]) == ("invalid_type", [*extra])


@pytest.mark.parametrize(
    "asks",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"function_call": {"name": "f"}},
    ],
)
def test_what_a_bot_cannot_do_is_refused(asks: dict[str, Any]) -> None:
    error = refused(coze(asks))
    assert (error.code, [error.param]) == ("unsupported_parameter", [*asks])


def test_what_changes_nothing_is_accepted() -> None:
    harmless = {"n": 1, "logprobs": False, "top_logprobs": 0, "tool_choice": "none", "function_call": "auto"}
    assert call_of(coze(harmless)).path == "v3/chat"


# Credentials.


@pytest.mark.parametrize("key", ["pat_abc", "czs_abc", "czu_abc"])
def test_a_key_of_cozes_is_passed_on_where_that_is_wanted(key: str) -> None:
    assert call_of(coze(key=key, pass_through=True)).headers == {"Authorization": f"Bearer {key}"}
    assert call_of(coze(key=key)).headers == {}


@pytest.mark.parametrize("key", ["sk-abc", "", "pat_", "pat_a b", "pat_a\r\nx: y", "PAT_abc"])
def test_no_other_key_is_passed_on(key: str) -> None:
    assert call_of(coze(key=key, pass_through=True)).headers == {}
