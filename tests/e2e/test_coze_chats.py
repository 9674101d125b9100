"""Chats with a Coze bot by the official SDK, through a gateway that only the environment configures."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.simulators.coze_knobs import Ask, Question
from tests.e2e.coze_scene import BLUE_JAY, CHAT, DEMO_BOT, Scene, scene
from tests.e2e.sdk_setup import asking, async_sdk

pytestmark = pytest.mark.two_ways

BIRD = asking("Name a blue bird.")
SUBMIT = "/v3/chat/submit_tool_outputs"
UPLOAD = "/v1/files/upload"


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_EXTENSIONS="true") as running:
        yield running


def streamed(here: Scene, model: str, messages: Any = BIRD, **more: Any) -> list[Any]:
    with here.client.chat.completions.create(model=model, messages=messages, stream=True, **more) as stream:
        return list(stream)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# One chat.


def test_a_stream_and_a_whole_answer(here: Scene):
    model = f"coze/bot/{here.bot(said=(BLUE_JAY,))}"
    chunks = streamed(here, model)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Blue", " jay.", None]
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", None, None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {chunk.model for chunk in chunks} == {model}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    whole = here.client.chat.completions.create(model=model, messages=BIRD)
    assert whole.model == model
    assert whole.choices[0].message.content == "Blue jay."
    assert whole.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_the_ids_are_in_the_headers(here: Scene, stream: bool):
    bot = here.bot(said=(BLUE_JAY,))
    raw = here.client.chat.completions.with_raw_response.create(
        model=f"coze/bot/{bot}", messages=BIRD, stream=stream
    )
    answer = raw.parse()
    if stream:
        assert text_of(list(answer)) == "Blue jay."
    conversation = here.stand_in.world.conversations[raw.headers["x-conversation-id"]]
    assert conversation.bot_id == bot
    assert [*conversation.chats] == [raw.headers["x-chat-id"]]


def test_the_async_client(here: Scene):
    model = f"coze/bot/{here.bot(said=(BLUE_JAY,))}"

    async def ask() -> tuple[str, str]:
        async with async_sdk(here.gateway.url + "/v1") as client:
            chunks = await client.chat.completions.create(model=model, messages=BIRD, stream=True)
            text = text_of([chunk async for chunk in chunks])
            whole = await client.chat.completions.create(model=model, messages=BIRD)
            return text, whole.choices[0].message.content or ""

    assert asyncio.run(ask()) == ("Blue jay.", "Blue jay.")


def test_usage_where_it_is_asked_for(here: Scene):
    model = f"coze/bot/{here.bot(said=(BLUE_JAY,))}"
    assert all(chunk.usage is None and chunk.choices for chunk in streamed(here, model))
    *chunks, last = streamed(here, model, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in chunks) and last.choices == []
    whole = here.client.chat.completions.create(model=model, messages=BIRD)
    assert whole.usage == last.usage
    assert last.usage.prompt_tokens > 0 and last.usage.completion_tokens > 0
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


def test_only_answers_are_content_and_thoughts_have_a_field_of_their_own(here: Scene):
    bot = here.bot(
        said=(("Hi", "."), ("There",)),
        noise=("knowledge", "broken_call", "tool_response", "verbose", "unknown_event", "ping"),
        reasoning=("let me", " see"),
        follow_ups=("And a red one?",),
    )
    chunks = streamed(here, f"coze/bot/{bot}")
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks]
    assert (text_of(chunks), "".join(thoughts)) == ("Hi.\n\nThere", "let me see")
    message = here.client.chat.completions.create(model=f"coze/bot/{bot}", messages=BIRD).choices[0].message
    assert (message.content, message.reasoning_content) == ("Hi.\n\nThere", "let me see")


def test_what_the_platform_says_beyond_the_dialect(here: Scene):
    bot = here.bot(said=(BLUE_JAY,), follow_ups=("And a red one?", "Why?"))
    whole = here.client.chat.completions.create(model=f"coze/bot/{bot}", messages=BIRD)
    *chunks, last = streamed(here, f"coze/bot/{bot}")
    assert not any("deltawire" in (chunk.model_extra or {}) for chunk in chunks)
    for answer in (whole, last):
        told = answer.model_extra["deltawire"]["platform"]
        conversation = here.stand_in.world.conversations[told["conversation_id"]]
        assert told == {
            "conversation_id": conversation.id,
            "chat_id": next(iter(conversation.chats)),
            "section_id": conversation.section_id,
            "follow_ups": ["And a red one?", "Why?"],
        }


def test_a_poll_brings_the_same_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("translators.upstreams.coze_polling._INTERVAL", 0.02)
    with scene(DELTAWIRE_UPSTREAM_COZE_POLLING="true") as polling:
        model = f"coze/bot/{polling.bot(said=(BLUE_JAY,), polls=2, follow_ups=('Why?',))}"
        whole = polling.client.chat.completions.create(model=model, messages=BIRD)
        assert whole.choices[0].message.content == "Blue jay." and whole.usage.completion_tokens > 0
        assert len(polling.stand_in.heard("/v3/chat/retrieve")) == 3
        assert text_of(streamed(polling, model)) == "Blue jay."
        assert [heard.document["stream"] for heard in polling.asked(CHAT)] == [False, True]


# Which bot.

NAMES = [("coze/bot/{}", ""), ("bot/{}", ""), ("bot-{}", ""), ("{}", ""), ("gpt-4o", "{}")]


@pytest.mark.parametrize(("model", "header"), NAMES)
def test_a_bot_is_named_by_the_model_or_by_a_header(here: Scene, model: str, header: str):
    bot = here.bot()
    model, header = model.format(bot), header.format(bot)
    answer = here.client.chat.completions.create(
        model=model, messages=BIRD, extra_headers={"x-bot-id": header}
    )
    assert answer.model == model
    assert len(here.asked(CHAT, bot_id=bot)) == 1


def test_any_other_name_is_the_bot_of_the_environment(here: Scene):
    here.client.chat.completions.create(model="gpt-4o", messages=BIRD)
    assert len(here.asked(CHAT, bot_id=DEMO_BOT)) == 1


# What is asked.


def test_roles_and_parameters_as_the_platform_wants_them(here: Scene):
    bot = here.bot()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "A bird?"},
    ]
    here.client.chat.completions.create(
        model=f"coze/bot/{bot}",
        messages=messages,
        user="u-42",
        temperature=0.1,
        metadata={"ticket": "7"},
        extra_body={"custom_variables": {"mood": "calm"}},
    )
    (heard,) = here.asked(CHAT, bot_id=bot)
    assert heard.path == CHAT
    text = {"content_type": "text"}
    assert heard.document == {
        "bot_id": bot,
        "user_id": "u-42",
        "stream": True,
        "auto_save_history": True,
        "custom_variables": {"mood": "calm"},
        "meta_data": {"ticket": "7"},
        "additional_messages": [
            {"role": "user", "type": "question", **text, "content": "Hello."},
            {"role": "assistant", "type": "answer", **text, "content": "Hi."},
            {"role": "user", "type": "question", **text, "content": "Be brief.\n\nA bird?"},
        ],
    }


PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


def test_a_picture_is_uploaded_once_and_shown_by_its_id(here: Scene):
    bot = here.bot(said=(("A bird.",),))
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    question = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    for number in range(2):
        answer = here.client.chat.completions.create(model=f"coze/bot/{bot}", messages=question)
        assert answer.choices[0].message.content == "A bird."
        question += [
            answer.choices[0].message,
            *asking([{"type": "text", "text": f"Sure? {number}"}, picture]),
        ]
    (upload,) = here.stand_in.heard(UPLOAD)
    assert PIXEL in upload.body and upload.body.count(b'name="file"') == 1
    (file_id,) = here.stand_in.world.files
    first, second = (heard.document["additional_messages"] for heard in here.asked(CHAT, bot_id=bot))
    shown = [json.loads(message["content"])[1] for message in (*first, second[0], second[2])]
    assert shown == [{"type": "image", "file_id": file_id}] * 3


def test_addresses_sounds_and_files(here: Scene):
    bot = here.bot(said=(("Seen.",),))
    url = "https://img.example.org/b.png"
    data = base64.b64encode(b"RIFF....WAVE").decode()
    parts: list[Any] = [
        {"type": "text", "text": "All of these?"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image", "file_url": url},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"filename": "notes.txt", "file_data": base64.b64encode(b"notes").decode()}},
    ]
    here.client.chat.completions.create(model=f"coze/bot/{bot}", messages=asking(parts))
    (heard,) = here.asked(CHAT, bot_id=bot)
    text, *shown = json.loads(heard.document["additional_messages"][0]["content"])
    assert text == {"type": "text", "text": "All of these?"}
    assert shown[:2] == [{"type": "image", "file_url": url}] * 2
    names = [(one["type"], here.stand_in.world.files[one["file_id"]].file_name) for one in shown[2:]]
    assert names == [("audio", "audio.wav"), ("file", "notes.txt")]


# Tools.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_two_rounds_of_tools_are_one_run(here: Scene, stream: bool):
    rounds = ((Ask("read_sensor", '{"room":3}'), Ask("read_sensor", '{"room":4}')), (Ask("ring"),))
    bot = here.bot(said=(("Rang ", "it."),), rounds=rounds)
    model, messages = f"coze/bot/{bot}", [*asking("How warm is it? Then ring.")]
    for asked in rounds:
        if stream:
            chunks = streamed(here, model, messages)
            calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
            assert [call.index for call in calls] == [*range(len(asked))]
            assert chunks[-1].choices[0].finish_reason == "tool_calls"
        else:
            answer = here.client.chat.completions.create(model=model, messages=messages).choices[0]
            assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
            calls = answer.message.tool_calls
        assert [(one.function.name, one.function.arguments) for one in calls] == [
            (ask.name, ask.arguments) for ask in asked
        ]
        told = [{"id": one.id, "type": "function", "function": one.function.model_dump()} for one in calls]
        messages.append({"role": "assistant", "content": None, "tool_calls": told})
        messages += [{"role": "tool", "tool_call_id": one.id, "content": f"<{one.id[-4:]}>"} for one in calls]
    if stream:
        assert text_of(streamed(here, model, messages)) == "Rang it."
    else:
        last = here.client.chat.completions.create(model=model, messages=messages)
        assert last.choices[0].message.content == "Rang it."
    assert len(here.asked(CHAT, bot_id=bot)) == 1
    (conversation,) = [one for one in here.stand_in.world.conversations.values() if one.bot_id == bot]
    (chat,) = conversation.chats
    path = f"{SUBMIT}?conversation_id={conversation.id}&chat_id={chat}"
    submitted = [heard for heard in here.stand_in.requests if heard.path == path]
    assert [len(heard.document["tool_outputs"]) for heard in submitted] == [2, 1]
    assert all(heard.document["stream"] is True for heard in submitted)


# Conversations.


def test_the_platform_keeps_a_conversation(here: Scene):
    bot = here.bot()
    model, kind = f"coze/bot/{bot}", {"x-model-type": "conversation"}
    create = here.client.chat.completions.with_raw_response.create
    first = create(model=model, messages=asking("repeat: My name is Ada."), extra_headers=kind)
    id = first.headers["x-conversation-id"]
    assert len(here.asked("/v1/conversation/create", bot_id=bot)) == 1
    assert here.stand_in.world.conversations[id].listed
    messages = [
        *asking("repeat: My name is Ada."),
        {"role": "assistant", "content": first.parse().choices[0].message.content},
        *asking("repeat: Still here."),
    ]
    kind["x-conversation-id"] = id
    second = create(model=model, messages=messages, extra_headers=kind)
    assert second.headers["x-conversation-id"] == id
    assert second.parse().choices[0].message.content == "Still here."
    one, two = here.asked(CHAT, bot_id=bot)
    assert one.path == two.path == f"{CHAT}?conversation_id={id}"
    assert [len(heard.document["additional_messages"]) for heard in (one, two)] == [1, 1]
    assert not any("conversation_id" in heard.document for heard in (one, two))
    said = [message.content for message in here.stand_in.world.conversations[id].heard()]
    assert said == ["repeat: My name is Ada.", "My name is Ada.", "repeat: Still here.", "Still here."]


def test_a_question_node_is_answered_in_the_same_conversation(here: Scene):
    bot = here.bot(said=(("Table for two.",),), rounds=(Question("For how many?"),))
    create = here.client.chat.completions.with_raw_response.create
    first = create(model=f"coze/bot/{bot}", messages=asking("A table, please."))
    choice = first.parse().choices[0]
    assert (choice.message.content, choice.finish_reason) == ("For how many?", "stop")
    assert choice.message.tool_calls is None
    goes_on = {"x-conversation-id": first.headers["x-conversation-id"]}
    second = create(model=f"coze/bot/{bot}", messages=asking("Two."), extra_headers=goes_on)
    assert second.parse().choices[0].message.content == "Table for two."


def test_an_empty_conversation_header_is_none(here: Scene):
    bot = here.bot()
    here.client.chat.completions.create(
        model=f"coze/bot/{bot}", messages=BIRD, extra_headers={"x-conversation-id": ""}
    )
    assert [heard.path for heard in here.asked(CHAT, bot_id=bot)] == [CHAT]
