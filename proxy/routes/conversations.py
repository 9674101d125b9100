"""/v1/conversations: what a platform keeps of its conversations, asked of the platform.

Every route is one wish to one upstream, ``?upstream=NAME`` or the one that keeps conversations at all. How the
objects read is for the platform's own files to say; ids are checked there, too, before they go anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from proxy.keepers import Wish
from proxy.keys import GATEWAY
from proxy.replies import json_response
from proxy.routes.paging import LONGEST_ID, read_page
from proxy.routes.reading import read_body
from translators.decode import decode, kind
from translators.errors import BadRequest, NotFound
from translators.request import Prompt

MOST_PAIRS = 16
LONGEST_KEY = 64
LONGEST_VALUE = 512
_TEXT_PARTS = ("input_text", "output_text")


async def index(request: web.Request) -> web.Response:
    page = read_page(request.query)
    return await _told(request, lambda kept: kept.index(page))


async def create(request: web.Request) -> web.Response:
    body = await _body(request)
    given = body.get("messages", body.get("items")) or []
    messages, metadata = _messages(given), _metadata(body.get("metadata") or {})
    return await _told(request, lambda kept: kept.create(messages, metadata))


async def show(request: web.Request) -> web.Response:
    id = _id(request)
    return await _told(request, lambda kept: kept.show(id))


async def delete(request: web.Request) -> web.Response:
    """Gone for good; with ``?mode=clear`` only what has been said is behind it."""
    id, mode = _id(request), request.query.get("mode", "delete")
    if mode == "delete":
        return await _told(request, lambda kept: kept.delete(id))
    if mode == "clear":
        return await _told(request, lambda kept: kept.clear(id))
    raise BadRequest("Invalid 'mode': expected 'delete' or 'clear'.", param="mode")


async def history(request: web.Request) -> web.Response:
    id, page = _id(request), read_page(request.query, order="asc")
    return await _told(request, lambda kept: kept.history(id, page))


async def add(request: web.Request) -> web.Response:
    id, [message] = _id(request), _messages([await _body(request)])
    return await _told(request, lambda kept: kept.add(id, message))


async def _told(request: web.Request, wish: Wish) -> web.Response:
    keepers = request.app[GATEWAY].conversations
    return json_response(await keepers.ask(request.query.get("upstream"), request.headers, wish))


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await read_body(request, request.app[GATEWAY].config.limits)
    return decode(raw) if raw.strip() else {}


def _id(request: web.Request) -> str:
    id = request.match_info["id"]
    if len(id) > LONGEST_ID or not id.isprintable():
        raise NotFound("There is no conversation with this id.", param="id", code="conversation_not_found")
    return id


def _messages(given: Any) -> list[dict[str, Any]]:
    """Chat messages, checked like those of a chat; the items of OpenAI's conversations read as such."""
    if type(given) is not list:
        raise BadRequest(
            f"Invalid type for 'messages': expected an array of objects, but got {kind(given)} instead.",
            param="messages",
            code="invalid_type",
        )
    messages = [_as_message(item) for item in given]
    return Prompt.from_chat({"model": "-", "messages": messages}).messages if messages else []


def _as_message(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    message = {name: value for name, value in item.items() if (name, value) != ("type", "message")}
    if isinstance(message.get("content"), list):
        message["content"] = [
            {**part, "type": "text"} if isinstance(part, dict) and part.get("type") in _TEXT_PARTS else part
            for part in message["content"]
        ]
    return message


def _metadata(given: Any) -> dict[str, str]:
    pairs = given.items() if isinstance(given, dict) else ()
    harmless = len(pairs) <= MOST_PAIRS and all(
        len(name) <= LONGEST_KEY and isinstance(value, str) and len(value) <= LONGEST_VALUE
        for name, value in pairs
    )
    if not isinstance(given, dict) or not harmless:
        raise BadRequest(
            f"Invalid 'metadata': expected an object of at most {MOST_PAIRS} strings of at most {LONGEST_VALUE} "
            f"characters, under names of at most {LONGEST_KEY}.",
            param="metadata",
        )
    return given
