"""Whether the gateway lives and whether it should be sent requests. No key is needed and no upstream asked.

Ready means that everything it is asked to do can be done, so a storage that somebody counts on is part of it. A
balancer that would rather have the chats of a gateway whose storage is gone asks ``/livez``.
"""

from __future__ import annotations

from aiohttp import web

from proxy import __version__
from proxy.keys import GATEWAY
from proxy.replies import json_response


async def health(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    return json_response(
        {"status": "ok", "version": __version__, "upstreams": list(gateway.config.upstreams)},
    )


async def live(request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    if gateway.draining:
        return json_response({"status": "draining", "reasons": ["shutting down"]}, status=503)
    if reasons := await gateway.storage.reasons():
        return json_response({"status": "not ready", "reasons": reasons}, status=503)
    return json_response({"status": "ok"})
