"""POST /v1/chat/completions: a decoded request, one exchange, one encoded reply."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from proxy.keys import GATEWAY, RECORD
from proxy.outlet import HttpOutlet
from proxy.routes.reading import read_body
from translators.decode import decode
from translators.request import Prompt
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole

STREAM_HEADERS = {
    "Content-Type": Chat.content_type,
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def create(request: web.Request) -> web.StreamResponse:
    gateway = request.app[GATEWAY]
    prompt = Prompt.from_chat(decode(await read_body(request, gateway.config.limits)))
    make = partial(Chat, include_usage=prompt.include_usage) if prompt.stream else ChatWhole
    exchange = gateway.exchange(prompt, make)
    request[RECORD].exchange = exchange
    if not prompt.stream:
        return web.Response(body=await exchange.whole(), content_type=ChatWhole.content_type)
    outlet = HttpOutlet(request, STREAM_HEADERS)
    await exchange.run(outlet)
    return outlet.response
