"""The routes of chats: ask, look, list, cancel, and hand in what tools said.

A streamed chat runs as its stream is written. One that is not streamed waits for its turn: it is in progress when
asked for the first few times and has ended the next time. Cancelling flips the state and leaves the stream alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from proxy.simulators import coze_checks as checks
from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_access import ACCESS
from proxy.simulators.coze_events import Turn
from proxy.simulators.coze_knobs import Knobs
from proxy.simulators.coze_objects import document
from proxy.simulators.coze_reading import document_of
from proxy.simulators.coze_state import RUNNING, WORLD, Chat, Conversation, Message, World, keep
from proxy.simulators.coze_stream import Writer, send

_FIRST_LISTED = ("verbose", "follow_up")
_PARTS = {"image": "image_url", "file": "file", "audio": "input_audio"}


async def create(request: web.Request) -> web.StreamResponse:
    given = await document_of(request)
    try:
        return await _create(request, given)
    except replies.Fault as fault:
        polled = isinstance(given, dict) and given.get("stream") is False
        if polled and request.app[WORLD].platform.studio:
            raise replies.Fault(fault.code, fault.msg, replies.STUDIO_INVALID) from None
        raise


async def _create(request: web.Request, given: Any) -> web.StreamResponse:
    world = request.app[WORLD]
    studio = world.platform.studio
    if isinstance(given, dict) and given.get("conversation_id") is not None:
        raise replies.invalid("The field conversation_id belongs in the query.")
    fields = checks.STUDIO_CHAT if studio else checks.CHAT
    asked = checks.body(given, fields, "bot_id", "user_id")
    streamed, saved = asked.get("stream", studio), asked.get("auto_save_history", True)
    if not streamed and not saved:
        raise replies.invalid("A chat that is not streamed needs auto_save_history.")
    knobs = _bot(request, world, asked)
    messages = asked.get("additional_messages", [])
    _check_messages(messages, saved=saved)
    _check_files(request, messages)
    conversation = _conversation(request, world, asked["bot_id"])
    if conversation.busy:
        raise replies.busy()
    chat = begin(world, conversation, knobs, asked, messages, saved=saved)
    return await _reply(request, world, chat, Turn(world, chat), streamed=streamed)


def _bot(request: web.Request, world: World, asked: Mapping[str, Any]) -> Knobs:
    bot_id = asked["bot_id"]
    draft = asked.get("publish_status") == "unpublished_draft"
    if draft and "bot_version" in asked:
        raise replies.invalid("A draft has no bot_version.")
    if (knobs := world.bots.get(bot_id)) is None:
        raise replies.no_bot(bot_id)
    request[ACCESS].check_bot(bot_id)
    if not knobs.published and not draft:
        raise replies.unpublished(bot_id)
    return knobs


def _check_messages(messages: list[dict[str, Any]], *, saved: bool) -> None:
    for place, message in enumerate(messages):
        if saved and message.get("type") not in (None, "question", "answer"):
            name = f"additional_messages[{place}]"
            raise replies.invalid(f"{name}: results of tools are taken only without auto_save_history.")
    if messages and messages[-1]["role"] != "user":
        raise replies.invalid("The last of additional_messages must be of role user.")


def _check_files(request: web.Request, messages: list[dict[str, Any]]) -> None:
    """Files are usable by the account that handed them in."""
    files, owner = request.app[WORLD].files, request[ACCESS].owner
    for message in messages:
        if message["content_type"] == "object_string":
            for element in checks.elements(message["content"], "content"):
                file_id = element.get("file_id")
                if file_id and (file_id not in files or files[file_id].owner != owner):
                    raise replies.invalid(f"File {file_id} does not exist.")


def _conversation(request: web.Request, world: World, bot_id: str) -> Conversation:
    """The one that the query names; an empty name, which the official SDK sends, is none."""
    owner = request[ACCESS].owner
    if not request.query.get("conversation_id"):
        return world.open_conversation(owner, bot_id=bot_id)
    conversation_id = checks.query_id(request.query, "conversation_id")
    if world.platform.studio and conversation_id not in world.conversations:
        return world.open_conversation(owner, bot_id=bot_id)
    return world.conversation(conversation_id)


def begin(
    world: World,
    conversation: Conversation,
    knobs: Knobs,
    asked: Mapping[str, Any],
    messages: list[dict[str, Any]],
    *,
    saved: bool = True,
    flow: bool = False,
) -> Chat:
    """A chat about ``messages`` in this conversation, its question kept there if it is ``saved``."""
    if world.platform.studio:
        messages = [
            message for message in messages if message["content"] or message["content_type"] != "text"
        ]
    before = [_heard(message.role, message.content, message.content_type) for message in conversation.heard()]
    said = [_heard(message["role"], message["content"], message["content_type"]) for message in messages]
    context = before + said
    if not context or context[-1]["role"] != "user":
        raise replies.invalid(
            "There is no question: additional_messages is empty, and so is the conversation."
        )
    chat = Chat(
        world.new_id(),
        conversation,
        conversation.section_id,
        asked.get("bot_id", ""),
        knobs,
        world.now(),
        saved,
        context,
        meta_data=asked.get("meta_data") or {},
        round=conversation.asked,
        flow=flow,
        sound="input_audio" in [part["type"] for part in _parts(context[-1])],
    )
    if saved:
        chat.inserted = [world.insert(conversation, message, chat.id).id for message in messages]
    conversation.updated_at = world.now()
    keep(conversation.chats, chat.id, chat)
    return chat


def _heard(role: str, content: str, content_type: str) -> dict[str, Any]:
    """A message in the generator's words."""
    if content_type != "object_string":
        return {"role": role, "content": content}
    parts = [
        {"type": "text", "text": element["text"]}
        if element["type"] == "text"
        else {"type": _PARTS[element["type"]]}
        for element in checks.elements(content, "content")
    ]
    return {"role": role, "content": parts}


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message["content"], list) else []


async def _reply(
    request: web.Request, world: World, chat: Chat, turn: Turn, *, streamed: bool
) -> web.StreamResponse:
    if streamed:
        return await send_chat(request, world, chat, turn)
    chat.turn, chat.polls_left, chat.status = turn.steps(), chat.knobs.polls, "in_progress"
    return replies.ok(request, document(chat, studio=world.platform.studio))


async def send_chat(request: web.Request, world: World, chat: Chat, turn: Turn) -> web.StreamResponse:
    studio, framing = world.platform.studio, chat.knobs.framing
    writer = Writer(framing, space=chat.flow, numbered=studio and chat.flow, first_id=1, escapes=studio)
    return await send(request, world, chat.knobs, turn.steps(), writer, flow=chat.flow)


# Afterwards.


def _named(request: web.Request) -> Chat:
    conversation_id = checks.query_id(request.query, "conversation_id")
    return request.app[WORLD].saved_chat(conversation_id, checks.query_id(request.query, "chat_id"))


async def retrieve(request: web.Request) -> web.StreamResponse:
    chat = _named(request)
    if chat.turn is not None:
        _poll(chat)
    return replies.ok(request, document(chat, studio=request.app[WORLD].platform.studio))


def _poll(chat: Chat) -> None:
    if chat.polls_left:
        chat.polls_left -= 1
        return
    assert chat.turn is not None
    for _ in chat.turn:
        pass
    chat.turn = None


async def messages(request: web.Request) -> web.StreamResponse:
    """Everything of the chat but its question; what is no answer comes first, as in the vendor's example."""
    chat = _named(request)
    studio = request.app[WORLD].platform.studio
    return replies.ok(request, [message.row(studio=studio) for message in _listed(chat)])


def _listed(chat: Chat) -> list[Message]:
    order = {kind: place for place, kind in enumerate(_FIRST_LISTED)}
    return sorted(chat.messages, key=lambda message: order.get(message.type, len(order)))


async def cancel(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    asked = checks.body(await document_of(request), checks.CANCEL, "conversation_id", "chat_id")
    chat = world.chat(asked["conversation_id"], asked["chat_id"])
    if chat.status not in RUNNING:
        raise replies.not_cancellable(chat.status)
    chat.status, chat.turn, chat.ended_at = "canceled", None, world.now()
    return replies.ok(request, document(chat, studio=world.platform.studio))


async def submit(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    conversation_id = checks.query_id(request.query, "conversation_id")
    chat = world.chat(conversation_id, checks.query_id(request.query, "chat_id"))
    asked = checks.body(await document_of(request), checks.SUBMIT, "tool_outputs")
    if not chat.saved:
        raise replies.not_saved()
    if chat.status != "requires_action" or not chat.calls:
        raise replies.invalid(f"A chat that is {chat.status} waits for no tool outputs.")
    outputs = {output["tool_call_id"]: output["output"] for output in asked["tool_outputs"]}
    if outputs.keys() != chat.calls.keys() or len(outputs) != len(asked["tool_outputs"]):
        raise replies.invalid("tool_outputs must answer every call that waits, and no other.")
    if chat.conversation.busy:
        raise replies.busy()
    chat.context += [{"role": "tool", "tool_call_id": key, "content": text} for key, text in outputs.items()]
    chat.calls, chat.status = {}, "in_progress"
    turn = Turn(world, chat, opening=chat.knobs.repeats_created)
    return await _reply(request, world, chat, turn, streamed=asked.get("stream", False))
