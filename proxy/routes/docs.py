"""GET /openapi.json and /docs: what the gateway offers, for programs and for people.

The page is RapiDoc as its makers publish it, shipped with the gateway, so that it works without a network. It may
load and ask nothing but this gateway, runs no script that is not a file of it, and asks for no key.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

SCRIPT = "rapidoc-min.js"
LICENCES = "rapidoc-min.js.LICENSE.txt"
DESCRIPTION = web.AppKey("description", bytes)

_STATIC = Path(__file__).parent.parent / "static"
_TYPES = {SCRIPT: "text/javascript; charset=utf-8", LICENCES: "text/plain; charset=utf-8"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page sets styles of its own on its elements; scripts stand in files, and nothing is evaluated."""


async def description(request: web.Request) -> web.Response:
    return web.Response(body=request.app[DESCRIPTION], content_type="application/json")


async def page(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _POLICY}
    return web.FileResponse(_STATIC / "docs.html", headers=headers)


async def asset(request: web.Request) -> web.StreamResponse:
    name = request.path.rpartition("/")[2]
    headers = {"Content-Type": _TYPES[name], "Cache-Control": "public, max-age=3600"}
    return web.FileResponse(_STATIC / name, headers=headers)
