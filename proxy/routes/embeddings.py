"""POST /v1/embeddings: texts become vectors."""

from __future__ import annotations

from aiohttp import web

from proxy.embeddings import Embeddings
from proxy.keys import GATEWAY
from proxy.routes.reading import read_body
from translators.decode import decode
from translators.embeddings import Embed


async def create(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    embed = Embed.read(decode(await read_body(request, gateway.config.limits)))
    body = await Embeddings(gateway.resolve).make(embed, request.headers)
    return web.Response(body=body, content_type="application/json")
