"""The routes of conversations and of the messages in them.

Two things look like mistakes and are the platform's: a modified message comes back as ``message`` and not as
``data``, and the ids that lead through a list stand beside ``data``. Only conversations that were created with a
bot are ever listed. Clearing one begins a new section; the messages stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from proxy.simulators import coze_checks as checks
from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_access import ACCESS
from proxy.simulators.coze_reading import document_of
from proxy.simulators.coze_state import API_CHANNEL, WORLD, Conversation, Message, World

_PAGE = 50


async def create(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    asked = checks.body(await document_of(request), checks.CREATE_CONVERSATION)
    bot_id = asked.get("bot_id", "")
    if bot_id and bot_id not in world.bots:
        raise replies.Fault(5000, "internal error: invalid bot", replies.STUDIO_INTERNAL)
    if bot_id:
        request[ACCESS].check_bot(bot_id)
    messages = asked.get("messages", [])
    conversation = world.open_conversation(
        request[ACCESS].owner,
        bot_id=bot_id,
        listed=bool(bot_id),
        name=asked.get("name") or (messages[0]["content"][: checks.LONGEST_NAME] if messages else ""),
        meta_data=asked.get("meta_data") or {},
        connector_id=asked.get("connector_id", API_CHANNEL),
    )
    for message in messages:
        world.insert(conversation, message)
    return _one(request, conversation)


def _one(request: web.Request, conversation: Conversation) -> web.Response:
    return replies.ok(request, conversation.document(studio=request.app[WORLD].platform.studio))


async def retrieve(request: web.Request) -> web.StreamResponse:
    return _one(request, _queried(request))


def _queried(request: web.Request) -> Conversation:
    return request.app[WORLD].conversation(checks.query_id(request.query, "conversation_id"))


def _in_path(request: web.Request) -> Conversation:
    conversation_id = request.match_info["conversation_id"]
    checks.identifier(conversation_id, "conversation_id")
    return request.app[WORLD].conversation(conversation_id)


async def index(request: web.Request) -> web.StreamResponse:
    world, query = request.app[WORLD], request.query
    bot_id = checks.query_id(query, "bot_id")
    size = checks.query_number(query, "page_size", _PAGE, _PAGE)
    start = (checks.query_number(query, "page_num", 1) - 1) * size
    order = query.get("sort_order") or "DESC"
    checks.one_of("ASC", "DESC")(order, "sort_order")
    channel = query.get("connector_id") or API_CHANNEL
    found = [
        conversation.document(studio=world.platform.studio)
        for conversation in world.conversations.values()
        if conversation.listed
        and (conversation.bot_id, conversation.connector_id) == (bot_id, channel)
        and conversation.owner == request[ACCESS].owner
    ]
    if order == "DESC":
        found.reverse()
    page = {"conversations": found[start : start + size], "has_more": len(found) > start + size}
    return replies.ok(request, page)


async def rename(request: web.Request) -> web.StreamResponse:
    conversation = _in_path(request)
    asked = checks.body(await document_of(request), checks.RENAME, "name")
    conversation.name, conversation.updated_at = asked["name"], request.app[WORLD].now()
    return _one(request, conversation)


async def delete(request: web.Request) -> web.StreamResponse:
    conversation = _in_path(request)
    if conversation.owner != request[ACCESS].owner:
        raise replies.forbidden("Only who created a conversation may delete it.")
    del request.app[WORLD].conversations[conversation.id]
    return replies.ok(request)


async def clear(request: web.Request) -> web.StreamResponse:
    conversation = _in_path(request)
    conversation.section_id = request.app[WORLD].new_id()
    return replies.ok(request, {"id": conversation.section_id, "conversation_id": conversation.id})


# Messages.


async def add_message(request: web.Request) -> web.StreamResponse:
    conversation = _queried(request)
    given = await document_of(request)
    asked = checks.body(given, checks.CREATE_MESSAGE, "role", "content", "content_type")
    checks.message({**asked, "type": _type_of(asked["role"])}, "message")
    return _message(request, request.app[WORLD].insert(conversation, asked))


def _type_of(role: str) -> str:
    return "question" if role == "user" else "answer"


def _message(request: web.Request, message: Message) -> web.Response:
    return replies.ok(request, message.row(studio=request.app[WORLD].platform.studio))


async def list_messages(request: web.Request) -> web.StreamResponse:
    """A page, and beside it the ids that lead on: ``after_id`` is where it begins, ``before_id`` where it ends."""
    conversation = _queried(request)
    asked = checks.body(await document_of(request), checks.LIST_MESSAGES)
    rows = _asked_for(conversation.messages, asked)
    limit = asked.get("limit", _PAGE)
    before, after = int(asked.get("before_id", "0")), int(asked.get("after_id", "0"))
    descending = asked.get("order", "desc") == "desc"
    if descending:
        rows.reverse()
    if after:
        rows = [row for row in rows if (int(row.id) < after if descending else int(row.id) > after)]
    if before:
        rows = [row for row in rows if (int(row.id) > before if descending else int(row.id) < before)]
    page = rows[-limit:] if before else rows[:limit]
    first, last = (page[0].id, page[-1].id) if page else ("0", "0")
    beside = {"first_id": first, "last_id": last, "has_more": len(rows) > len(page)}
    return replies.ok(request, _rows(request.app[WORLD], page), **beside)


def _asked_for(messages: Sequence[Message], asked: Mapping[str, Any]) -> list[Message]:
    chat_id, middle = asked.get("chat_id"), asked.get("include_middle_message", False)
    return [
        message
        for message in messages
        if (middle or not message.middle) and chat_id in (None, message.chat_id)
    ]


def _rows(world: World, messages: Sequence[Message]) -> list[dict[str, Any]]:
    rows = [message.row(studio=world.platform.studio) for message in messages]
    if world.platform.noisy_rows:
        for row in rows[::2]:
            row |= {"type": "", "created_at": str(row["created_at"]), "updated_at": str(row["updated_at"])}
    return rows


async def retrieve_message(request: web.Request) -> web.StreamResponse:
    return _message(request, _queried_message(request))


def _queried_message(request: web.Request) -> Message:
    return _queried(request).message(checks.query_id(request.query, "message_id"))


async def modify_message(request: web.Request) -> web.StreamResponse:
    message = _queried_message(request)
    asked = checks.body(await document_of(request), checks.MODIFY_MESSAGE)
    if not asked.get("content") and "meta_data" not in asked:
        raise replies.invalid("Give content or meta_data.")
    changed = {
        "role": message.role,
        "content": message.content,
        "content_type": message.content_type,
        **asked,
    }
    checks.message({**changed, "type": _type_of(message.role)}, "message")
    message.content, message.content_type = changed["content"], changed["content_type"]
    message.meta_data = asked.get("meta_data", message.meta_data)
    message.updated_at = request.app[WORLD].now()
    return replies.ok(request, message=message.row(studio=request.app[WORLD].platform.studio))


async def delete_message(request: web.Request) -> web.StreamResponse:
    """Questions and answers only; an answer takes along what came about on the way to it."""
    conversation, message = _queried(request), _queried_message(request)
    if message.middle:
        raise replies.invalid(f"A message of type {message.type} cannot be deleted.")
    conversation.messages = [
        other
        for other in conversation.messages
        if other is not message and not (message.type == "answer" and _belongs(other, message))
    ]
    return _message(request, message)


def _belongs(other: Message, answer: Message) -> bool:
    return other.middle and bool(other.chat_id) and other.chat_id == answer.chat_id
