"""A form read from a request while it comes, so that a file in it may be larger than memory.

Parts are had in their order, and each has to be read before the next; what nobody reads is skipped. A client may
pause as long as for any body, and whoever sends more has more time, but no less than a kilobyte a second is
waited for. Only waiting counts: if it is we who are slow, nobody is cut off for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from aiohttp import web
from attrs import define, field

from proxy.config import Limits
from proxy.routes.multipart import End, Event, Head, Multipart, boundary_of
from translators.errors import BadRequest, RequestTimeout, TooLarge

SLOWEST = 1024
"""Bytes a second."""
LONGEST_FIELD = 64 * 1024
"""Bytes of a part that is no file."""
AROUND = 1024 * 1024
"""Bytes that a form may have beside its file."""


@define(eq=False)
class Form:
    request: web.Request
    limits: Limits
    most: int
    """Bytes of all files in it; whoever takes them judges each for itself."""
    too_large: TooLarge
    """What is said about a request that cannot fit, before it is read."""
    _parser: Multipart = field(init=False)
    _events: deque[Event] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    _waited: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = Multipart(boundary_of(self.request.headers.get("Content-Type", "")))
        if self.request.content_length is not None and self.request.content_length > self.most + AROUND:
            raise self.too_large

    async def parts(self) -> AsyncIterator[Part]:
        """Raises BadRequest, RequestTimeout or TooLarge."""
        while not isinstance(event := await self._next(), End):
            if isinstance(event, Head):
                yield Part(event, self)
        while data := await self._read():  # little can follow, and only with it the request is complete
            self._parser.feed(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), bytes):
            yield event
        self._events.appendleft(event)

    async def _next(self) -> Event:
        while not self._events:
            data = await self._read()
            self._events.extend(self._parser.feed(data))
            if not data:
                self._parser.close()
        return self._events.popleft()

    async def _read(self) -> bytes:
        content, now = self.request.content, asyncio.get_running_loop().time
        began, patience = now(), self.limits.body_timeout
        left = patience + self._size / SLOWEST - self._waited
        try:
            async with asyncio.timeout(min(left, patience)):
                data = await content.readany()
        except TimeoutError:
            raise RequestTimeout(f"Nothing more of the form arrived within {patience:g} seconds.") from None
        except web.RequestPayloadError:
            raise BadRequest("The body of the request is not valid HTTP.") from None
        self._waited += now() - began
        self._size += len(data)
        if self._size > self.most + AROUND:
            raise self.too_large
        return data


@define
class Part:
    head: Head
    _form: Form

    def pieces(self) -> AsyncIterator[bytes]:
        return self._form.pieces()

    async def text(self) -> str:
        """The value of a field. Raises BadRequest for a long one."""
        value = bytearray()
        async for piece in self.pieces():
            value += piece
            if len(value) > LONGEST_FIELD:
                raise BadRequest(f"The field '{self.head.name[:64]}' is too long.", code="invalid_form")
        return value.decode("utf-8", "replace")
