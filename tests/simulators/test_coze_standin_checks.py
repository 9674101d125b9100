"""What the Coze stand-in refuses: a body, and the code it earns; and what it takes although it looks odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.simulators import coze_checks as checks
from proxy.simulators.coze_replies import Fault
from tests.simulators.coze_client import QUESTION, says

ANSWER = {"role": "assistant", "type": "answer", "content_type": "text", "content": "Paris."}
IMAGE = {"type": "image", "file_url": "https://img.example.org/b.png"}
TEXT = {"type": "text", "text": "what is it"}
IDS = {"bot_id": "7400000000000000111", "user_id": "u"}


def objects(*elements: Any) -> dict[str, Any]:
    return {**says(json.dumps(elements)), "content_type": "object_string"}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {**IDS, "additional_messages": list(messages), **more}


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


ACCEPTED_CHATS: list[dict[str, Any]] = [
    IDS,
    chat(QUESTION),
    chat(),
    chat(says(""), stream=True, auto_save_history=False),
    chat(without(QUESTION, "type")),
    chat(QUESTION, ANSWER, QUESTION),
    chat({**QUESTION, "id": None, "reasoning_content": None, "meta_data": None}),
    chat(*[QUESTION] * 100),
    chat(objects(TEXT, IMAGE)),
    chat(objects(TEXT, {"type": "file", "file_id": "7400000000000000999"}, IMAGE)),
    chat(objects({**TEXT, "file_id": None, "file_url": None}, {**IMAGE, "text": None, "file_id": None})),
    chat(objects({"type": "audio", "file_id": "1"})),
    chat(objects(IMAGE), QUESTION),
    chat(QUESTION, objects(IMAGE)),
    chat(custom_variables={"name_of": "Ann"}, parameters={"a": [1, {}]}, extra_params={"latitude": "1.5"}),
    chat(meta_data={"k" * 64: "v" * 512}, enable_card=True, publish_status="unpublished_draft"),
    chat(shortcut_command={"command_id": "1", "parameters": {"a": "[]"}}, bot_version="3"),
]


@pytest.mark.parametrize("body", ACCEPTED_CHATS, ids=range(len(ACCEPTED_CHATS)))
def test_accepted_chats(body: dict[str, Any]) -> None:
    assert checks.body(body, checks.CHAT, "bot_id", "user_id") == body


REFUSED_CHATS: list[tuple[Any, str]] = [
    ([], "JSON object"),
    ({"user_id": "u"}, "bot_id is required"),
    ({"bot_id": None, "user_id": "u"}, "bot_id is required"),
    ({"bot_id": "1"}, "user_id is required"),
    ({**IDS, "user_id": ""}, "user_id is required"),
    ({**IDS, "bot_id": 7400000000000000111}, "bot_id must be a string"),
    ({**IDS, "bot_id": "coze-demo"}, "bot_id must be an id"),
    ({**IDS, "bot_id": "１２３"}, "bot_id must be an id"),
    ({**IDS, "bot_id": "1" * 20}, "bot_id must be an id"),
    (chat(conversation_id="1"), "conversation_id does not belong"),
    (chat(app_id="1"), "app_id does not belong"),
    (chat(connector_id="1024"), "connector_id does not belong"),
    (chat(temperature=1), "temperature does not belong"),
    (chat(stream="true"), "stream must be a boolean"),
    (chat(auto_save_history=1), "auto_save_history must be a boolean"),
    (chat(custom_variables={"system-prompt": "x"}), "letters and underscores"),
    (chat(custom_variables={"n": 1}), "custom_variables.n must be a string"),
    (chat(parameters='{"a":1}'), "parameters must be an object"),
    (chat(extra_params={"altitude": "1"}), "altitude does not belong"),
    (chat(extra_params={"latitude": 1.5}), "latitude must be a string"),
    (chat(meta_data={str(place): "x" for place in range(17)}), "at most 16 pairs"),
    (chat(meta_data={"k" * 65: "v"}), "too long or empty"),
    (chat(meta_data={"k": "v" * 513}), "too long or empty"),
    (chat(meta_data={"k": ""}), "too long or empty"),
    (chat(meta_data={"k": 1}), "meta_data.k must be a string"),
    (chat(shortcut_command={"parameters": {}}), "command_id is required"),
    (chat(publish_status="draft"), "publish_status must be one of"),
    ({**IDS, "additional_messages": QUESTION}, "must be an array"),
    (chat(*[QUESTION] * 101), "at most 100 messages"),
    (chat("hi"), "additional_messages[0] must be an object"),
    (chat(without(QUESTION, "role")), "role is required"),
    (chat(without(QUESTION, "content_type")), "content_type is required"),
    (chat({**QUESTION, "content": None}), "content is required"),
    (chat({**QUESTION, "content": [TEXT]}), "content must be a string"),
    (chat({**QUESTION, "role": "system"}), "role must be one of user, assistant"),
    (chat({**QUESTION, "role": "tool"}), "role must be one of user, assistant"),
    (chat({**QUESTION, "type": "follow_up"}), "type must be one of"),
    (chat({**QUESTION, "type": "answer"}), "cannot be of type answer"),
    (chat(without(ANSWER, "type"), QUESTION), "cannot be of type question"),
    (chat({**QUESTION, "content_type": "card"}), "content_type must be one of"),
    (chat({**QUESTION, "name": "Ann"}), "name does not belong"),
    (chat({**objects(IMAGE), "role": "assistant", "type": "answer"}), "only users send object_string"),
    (chat({**QUESTION, "content_type": "object_string"}), "JSON text of an array"),
    (chat({**QUESTION, "content": "{}", "content_type": "object_string"}), "JSON text of an array"),
    (chat(objects()), "JSON text of an array"),
    (chat(objects("hi")), "content[0] must be an object"),
    (chat(objects({"type": "video"})), "content[0].type must be one of"),
    (chat(objects({"text": "hi"}, IMAGE)), "content[0].type must be a string"),
    (chat(objects(TEXT)), "send it with content_type text"),
    (chat(objects(TEXT, TEXT, IMAGE)), "one text element at most"),
    (chat(objects({"type": "text"}, IMAGE)), "needs text"),
    (chat(objects({"type": "text", "text": ""}, IMAGE)), "text is required"),
    (chat(objects(TEXT, {"type": "image"})), "needs file_id or file_url"),
    (chat(objects(TEXT, {"type": "image", "file_url": "data:image/png;base64,AAAA"})), "public address"),
    (chat(objects(TEXT, {"type": "image", "file_id": "file-1"})), "file_id must be an id"),
    (chat(objects(TEXT, {**IMAGE, "detail": "low"})), "detail does not belong"),
    (chat(objects(TEXT, {"type": "image_url", "image_url": {}})), "type must be one of"),
    (chat(objects(IMAGE)), "no text message stands directly before or after"),
    (chat(objects(IMAGE), objects(IMAGE), QUESTION), "[0] has no text"),
    (chat(QUESTION, ANSWER, objects(TEXT, IMAGE), objects(IMAGE)), "[3] has no text"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED_CHATS, ids=range(len(REFUSED_CHATS)))
def test_refused_chats(body: Any, words: str) -> None:
    with pytest.raises(Fault) as caught:
        checks.body(body, checks.CHAT, "bot_id", "user_id")
    assert (caught.value.code, caught.value.studio) == (4000, 400)
    assert words in caught.value.msg


FLOW = {"workflow_id": "7400000000000000222"}
REFUSED: list[tuple[checks.Fields, Any, str]] = [
    (checks.RUN, {**FLOW, "parameters": "{}"}, "parameters must be an object"),
    (checks.RUN, {**FLOW, "is_async": "true"}, "is_async must be a boolean"),
    (checks.RUN, {**FLOW, "ext": {"user_id": 1}}, "ext.user_id must be a string"),
    (checks.RUN, {**FLOW, "additional_messages": []}, "additional_messages does not belong"),
    (checks.STREAM_RUN, {**FLOW, "is_async": True}, "is_async does not belong"),
    (checks.STREAM_RUN, {**FLOW, "conversation_id": "1"}, "conversation_id does not belong"),
    (checks.RESUME, {**FLOW, "event_id": "1/2", "interrupt_type": "2"}, "interrupt_type must be an integer"),
    (checks.RESUME, {**FLOW, "resume_data": {"a": 1}}, "resume_data must be a string"),
    (checks.CHATFLOW, {**FLOW, "additional_messages": [objects(TEXT, IMAGE)]}, "text only"),
    (checks.CHATFLOW, {**FLOW, "additional_messages": [QUESTION] * 51}, "at most 50 messages"),
    (checks.CHATFLOW, {**FLOW, "stream": True}, "stream does not belong"),
    (checks.CREATE_CONVERSATION, {"name": "n" * 101}, "at most 100 characters"),
    (checks.CREATE_CONVERSATION, {"messages": [{"role": "user"}]}, "content is required"),
    (checks.CREATE_MESSAGE, {"type": "question"}, "type does not belong"),
    (checks.LIST_MESSAGES, {"limit": 51}, "limit must be from 1 to 50"),
    (checks.LIST_MESSAGES, {"limit": True}, "limit must be an integer"),
    (checks.LIST_MESSAGES, {"order": "up"}, "order must be one of asc, desc"),
    (checks.LIST_MESSAGES, {"after_id": "x"}, "after_id must be an id"),
    (checks.CANCEL, {"chat_id": 7}, "chat_id must be a string"),
    (checks.SUBMIT, {"tool_outputs": [{"tool_call_id": "a", "output": {}}]}, "output must be a string"),
    (checks.SUBMIT, {"tool_outputs": [{"output": ""}]}, "tool_call_id is required"),
    (checks.SUBMIT, {"additional_messages": []}, "additional_messages does not belong"),
    (checks.TOKEN, {"duration_seconds": 86_400}, "from 1 to 86399"),
]


@pytest.mark.parametrize(("fields", "body", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused_bodies(fields: checks.Fields, body: Any, words: str) -> None:
    with pytest.raises(Fault) as caught:
        checks.body(body, fields)
    assert caught.value.code == 4000
    assert words in caught.value.msg


def test_studio_knows_two_fields_more() -> None:
    body = chat(QUESTION, connector_id="1024", custom_config={})
    assert checks.body(body, checks.STUDIO_CHAT) == body
