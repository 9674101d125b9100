"""Tool results on their way back to Coze, and chatflows, which are workflows that chat."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstreams.coze_asking import call_of, image, messages_of, refused
from tests.upstreams.coze_setup import BOT, CONVERSATION, USER, WORKFLOW, asked, coze
from translators.upstreams.coze_ids import ToolCallId
from translators.upstreams.plan import Call

# Tool results.


def result(id: str, content: Any = "21", role: str = "tool") -> dict[str, Any]:
    return {"role": role, "tool_call_id": id, "content": content}


def hidden(call: str = "a", chat: str = "2", conversation: str = "1") -> str:
    return ToolCallId(conversation, chat, call).encode()


def round_of(*ids: str) -> dict[str, Any]:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": ""}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def test_all_results_of_a_round_go_back_at_once() -> None:
    ids = [hidden("a/b+c="), hidden("|é|")]
    parts = [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]
    call = call_of(coze({"messages": [USER, round_of(*ids), result(ids[1], parts), result(ids[0], "")]}))
    assert call.path == "v3/chat/submit_tool_outputs?conversation_id=1&chat_id=2"
    assert asked(call)["tool_outputs"] == [
        {"tool_call_id": "|é|", "output": "x\ny"},
        {"tool_call_id": "a/b+c=", "output": ""},
    ]
    alone = call_of(coze({"messages": [result(ids[0])]}))
    assert asked(alone)["tool_outputs"] == [{"tool_call_id": "a/b+c=", "output": "21"}]


@pytest.mark.parametrize(
    "messages",
    [
        [round_of(hidden("a"), hidden("b")), result(hidden("a"))],
        [round_of(hidden("a")), result(hidden("a")), result(hidden("b", chat="3"))],
        [round_of(hidden("a"), "call_x"), result(hidden("a")), result("call_x")],
    ],
)
def test_a_round_is_one_and_whole(messages: list[dict[str, Any]]) -> None:
    assert refused(coze({"messages": messages})).param == "messages"


@pytest.mark.parametrize(
    "id",
    [
        "call_abc",
        "call_",
        "x",
        "call_!!!!",
        "call_" + "A" * 3000,
        "call_AAAAA",
        "call__-__",
        hidden("", "2"),
        hidden("a", "x"),
        hidden("a", "2", "1&x"),
        hidden("a\nb"),
    ],
)
def test_results_of_other_runs_are_history(id: str) -> None:
    told = messages_of(USER, round_of(id, "call_other"), result(id, "21"))
    assert [one["content"] for one in told] == ["Name a blue bird.", "Tool result: 21"]


def test_old_function_results_are_history_too() -> None:
    told = messages_of({"role": "function", "name": "f", "content": "21"})
    assert [one["content"] for one in told] == ["Tool result: 21"]


# Chatflows.


def test_a_chatflow_takes_messages() -> None:
    headers = {"x-model-type": "workflow", "x-conversation-id": CONVERSATION}
    told = [USER, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "Big."}]
    body = {
        "messages": told,
        "user": "u",
        "parameters": {"CONVERSATION_NAME": "n"},
        "workflow_parameters": {"a": 1},
    }
    upstream = coze(body, headers, chatflow=True)
    assert upstream.prepare() is None
    call = upstream.call()
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("POST", "v1/workflows/chat")
    assert asked(call) == {
        "workflow_id": WORKFLOW,
        "bot_id": BOT,
        "additional_messages": [
            {"role": "user", "type": "question", "content_type": "text", "content": "Big."}
        ],
        "parameters": {"CONVERSATION_NAME": "n", "a": 1},
        "ext": {"user_id": "u"},
        "conversation_id": CONVERSATION,
    }
    assert upstream.farewell() is None
    assert upstream.settle() is None


def test_a_chatflow_of_an_app_has_no_bot() -> None:
    upstream = coze(headers={"x-model-type": "workflow"}, chatflow=True, app_id="5")
    document = asked(call_of(upstream))
    assert document["app_id"] == "5"
    assert not document.keys() & {"bot_id", "conversation_id"}
    long = coze({"messages": [USER] * 80}, {"x-model-type": "workflow"}, chatflow=True)
    assert len(asked(call_of(long))["additional_messages"]) == 50


@pytest.mark.parametrize("chatflow", [False, True])
def test_workflows_are_shown_nothing(chatflow: bool) -> None:
    told = {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, image()]}]}
    error = refused(coze(told, {"x-model-type": "workflow"}, chatflow=chatflow))
    assert error.code == "unsupported_content"
