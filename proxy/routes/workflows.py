"""GET /v1/workflows/sessions: what the gateway remembers of workflow runs, each client its own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.keys import GATEWAY
from proxy.replies import json_response
from proxy.routes.paging import paged, read_page
from translators.errors import NotFound


async def index(request: web.Request) -> web.Response:
    page = read_page(request.query)
    sessions = await _sessions(request)
    return json_response(paged(sessions if page.ascending else sessions[::-1], page))


async def show(request: web.Request) -> web.Response:
    id = request.match_info["id"]
    for session in await _sessions(request):
        if session["id"] == id:
            return json_response(session)
    raise NotFound(
        f"There is no workflow session `{id[:100]}`, or it is too long ago.",
        param="id",
        code="session_not_found",
    )


async def _sessions(request: web.Request) -> list[dict[str, Any]]:
    return await request.app[GATEWAY].sessions(request.query.get("upstream"), request.headers)
