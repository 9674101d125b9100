"""The routes of what an account has: bots, workspaces, itself, and the files it handed in.

Studio keeps bots and workspaces for its own front end: a token gets the answer of somebody without a session.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.simulators import coze_checks as checks
from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_access import ACCESS
from proxy.simulators.coze_knobs import Knobs
from proxy.simulators.coze_reading import form
from proxy.simulators.coze_state import API_CHANNEL, WORLD, File, World, keep

_PAGE = 20
_SINCE = 1_700_000_000


# Files.


async def upload(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    parts = form(request.headers.get("Content-Type", ""), await request.read())
    if [part.name for part in parts] != ["file"] or not parts[0].filename:
        raise replies.invalid("The form must have one part, file, with a file name.")
    filename, size = parts[0].filename, len(parts[0].content)
    if not size:
        raise replies.invalid("The file is empty.")
    new = File(world.new_id(), size, filename, world.now(), request[ACCESS].owner)
    keep(world.files, new.id, new)
    return replies.ok(request, new.document(studio=world.platform.studio))


async def file(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    file_id = checks.query_id(request.query, "file_id")
    found = world.files.get(file_id)
    if found is None or found.owner != request[ACCESS].owner:
        raise replies.no_resource(f"File {file_id}")
    return replies.ok(request, found.document(studio=world.platform.studio))


# Bots.


def _name(bot_id: str, knobs: Knobs) -> str:
    return knobs.name or f"Bot {bot_id[-4:]}"


def _listing(request: web.Request, space: str, page: str) -> tuple[World, int, int]:
    """The world, and which part of its bots is wanted; a space that is not the account's is refused."""
    world, query = request.app[WORLD], request.query
    if world.platform.studio:
        raise replies.unknown_token("missing session_key in cookie")
    if checks.query_id(query, space) != world.space_id:
        raise replies.forbidden("The token has no permission for this workspace.")
    size = checks.query_number(query, "page_size", _PAGE)
    start = (checks.query_number(query, page, 1) - 1) * size
    return world, start, start + size


async def bots(request: web.Request) -> web.StreamResponse:
    query = request.query
    world, start, stop = _listing(
        request, "workspace_id", "page_num" if "page_num" in query else "page_index"
    )
    status = query.get("publish_status") or "published_online"
    checks.one_of("all", "published_online", "published_draft", "unpublished_draft")(status, "publish_status")
    here = query.get("connector_id", API_CHANNEL) == API_CHANNEL
    wanted = {"published_online": (True,), "unpublished_draft": (False,)}.get(status, (True, False))
    items = [
        {
            "id": bot_id,
            "name": _name(bot_id, knobs),
            "description": "A bot of the stand-in.",
            "icon_url": "",
            "is_published": knobs.published,
            "updated_at": _SINCE,
            "published_at": _SINCE if knobs.published else 0,
            "owner_user_id": "1",
            "folder_id": "",
        }
        for bot_id, knobs in world.bots.items()
        if here and knobs.published in wanted
    ]
    return replies.ok(request, {"items": items[start:stop], "total": len(items)})


async def published_bots(request: web.Request) -> web.StreamResponse:
    """The older list: other names, and a time that is a string."""
    world, start, stop = _listing(request, "space_id", "page_index")
    found = [
        {
            "bot_id": bot_id,
            "bot_name": _name(bot_id, knobs),
            "description": "A bot of the stand-in.",
            "icon_url": "",
            "publish_time": str(_SINCE),
        }
        for bot_id, knobs in world.bots.items()
        if knobs.published
    ]
    return replies.ok(request, {"space_bots": found[start:stop], "total": len(found)})


async def bot(request: web.Request) -> web.StreamResponse:
    checks.identifier(request.match_info["bot_id"], "bot_id")
    return _bot(request, request.match_info["bot_id"])


async def online_bot(request: web.Request) -> web.StreamResponse:
    return _bot(request, checks.query_id(request.query, "bot_id"))


def _bot(request: web.Request, bot_id: str) -> web.Response:
    knobs = request.app[WORLD].bots.get(bot_id)
    if knobs is None:
        raise replies.no_bot(bot_id)
    if not knobs.published and request.query.get("is_published", "true") == "true":
        raise replies.unpublished(bot_id)
    found: dict[str, Any] = {
        "bot_id": bot_id,
        "name": _name(bot_id, knobs),
        "description": "A bot of the stand-in.",
        "icon_url": "",
        "create_time": _SINCE,
        "update_time": _SINCE,
        "version": "1",
        "prompt_info": {"prompt": ""},
        "onboarding_info": {"prologue": "Ask me anything.", "suggested_questions": list(knobs.follow_ups)},
        "bot_mode": 0,
        "model_info": {"model_id": "1", "model_name": "stand-in"},
        "owner_user_id": "1",
    }
    return replies.ok(request, found)


# The account.


async def me(request: web.Request) -> web.StreamResponse:
    owner = request[ACCESS].owner
    return replies.ok(
        request, {"user_id": owner, "user_name": "standin", "nick_name": "Stand-in", "avatar_url": ""}
    )


async def workspaces(request: web.Request) -> web.StreamResponse:
    world, query = request.app[WORLD], request.query
    if world.platform.studio:
        raise replies.unknown_token("missing session_key in cookie")
    size = checks.query_number(query, "page_size", _PAGE, 50)
    first = checks.query_number(query, "page_num", 1) == 1
    only = {
        "id": world.space_id,
        "name": "Stand-in",
        "icon_url": "",
        "role_type": "owner",
        "workspace_type": "team",
        "enterprise_id": "",
    }
    return replies.ok(request, {"total_count": 1, "workspaces": [only][:size] if first else []})
