"""POST /v1/chat/completions: a decoded request, one exchange, one encoded reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from aiohttp import web
from attrs import frozen

from proxy.asked import Asked
from proxy.attachments import MARK
from proxy.gateway import Gateway
from proxy.headers import AnswerHeaders, harmless
from proxy.keys import RECORD
from proxy.outlet import HttpOutlet
from proxy.routes.reading import read_body
from translators.decode import decode
from translators.ids import Envelope
from translators.request import Prompt
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole


@frozen
class Chats:
    gateway: Gateway
    headers: AnswerHeaders

    async def create(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, await read_body(request, self.gateway.config.limits))

    def create_read(self, asked: web.Request) -> Awaitable[web.StreamResponse]:
        """The same for a request that came past aiohttp, whose body is there."""
        return self._answer(asked, cast(Asked, asked).take_body())

    async def _answer(self, request: web.Request, raw: bytes) -> web.StreamResponse:
        prompt = Prompt.from_chat(decode(raw))
        if MARK in raw:
            prompt = await self.gateway.attachments(prompt.model, request.headers).put_in(prompt)
        del raw
        exchange = self.gateway.exchange(prompt, self._surface(prompt), request.headers)
        del prompt  # it may be megabytes, and the answer may take minutes
        record = request[RECORD]
        record.exchange = exchange
        if not exchange.surface.streams:
            body = await exchange.whole()
            told = dict(harmless(exchange.stream.upstream.headers))
            return web.Response(body=body, headers=told, content_type=ChatWhole.content_type)
        record.outlet = outlet = HttpOutlet(request, self.headers.stream_head)
        await exchange.run(outlet)
        return outlet.response

    def _surface(self, prompt: Prompt) -> Callable[[Envelope], Surface]:
        extensions = self.gateway.config.extensions
        if prompt.stream:
            return partial(Chat, include_usage=prompt.include_usage, extensions=extensions)
        return partial(ChatWhole, extensions=extensions)
