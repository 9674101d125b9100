"""Where an answer goes.

An outlet is opened with its first bytes, so that head and first frame leave in one segment, and ended with its
last, so that they and the end of the message do. All of it is synchronous; ``full`` says that the reader is
behind, ``drain`` waits until it no longer is, and ``taken`` until everything has been taken.

``HttpOutlet`` writes to the transport itself, the head included: aiohttp's own response would add a coroutine
for each frame and a dozen calls for each answer. What aiohttp is given back is ``Sent``, with nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from attrs import define

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

HIGH_WATER = 64 * 1024
"""Bytes waiting in this process for one client before its upstream has to wait too."""


class Outlet(Protocol):
    sent: int
    ended: bool

    def open(self, first: bytes, told: Mapping[str, str] = NO_HEADERS, ends: bool = False) -> None:
        """The first bytes, which may be all, and what the platform tells in headers."""
        ...

    def write(self, data: bytes) -> bool:
        """Whether the reader keeps up, as ``full`` tells it afterwards."""
        ...

    def end(self, last: bytes) -> None: ...

    @property
    def full(self) -> bool: ...

    @property
    def waiting(self) -> int:
        """Bytes that the reader has not taken yet."""
        ...

    async def drain(self) -> None: ...

    async def taken(self) -> None: ...

    def abort(self) -> None:
        """Cut the reader off."""
        ...


class Sent(web.StreamResponse):
    """A response that is on its way already."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    @property
    def prepared(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """It has ended."""


_SENT = {keeps: Sent(keeps) for keeps in (True, False)}
"""There is nothing of one answer in them, so two are enough."""


@define(eq=False)
class HttpOutlet:
    """Lets go of the request when it opens: its record holds the outlet, and two that hold each other stay until
    the garbage collector comes, with all that belongs to them."""

    _request: web.Request | None
    _head: Callable[[web.Request, Mapping[str, str]], bytes]
    """Status line and headers, but for how the body ends."""
    sent: int = 0
    ended: bool = False
    _transport: asyncio.Transport | None = None
    _writer: AbstractStreamWriter | None = None
    _chunked: bool = True
    _keeps: bool = False
    """Whether the connection may carry another answer."""

    @property
    def response(self) -> Sent:
        return _SENT[self._keeps]

    def open(self, first: bytes, told: Mapping[str, str] = NO_HEADERS, ends: bool = False) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._transport, self._writer = request.transport, request.writer
        self._chunked = request.version >= HttpVersion11
        self._keeps = self._chunked and request.keep_alive
        how = b"Transfer-Encoding: chunked\r\n" if self._chunked else b""
        if not self._keeps:
            how += b"Connection: close\r\n"
        end = self._end() if ends else b""
        self._write(b"".join((self._head(request, told), how, b"\r\n", self._framed(first), end)))
        self.sent, self.ended = len(first), ends

    def write(self, data: bytes) -> bool:
        transport, size = self._transport, len(data)
        if transport is None or transport.is_closing():
            return True
        self.sent += size
        transport.write(b"%x\r\n%b\r\n" % (size, data) if self._chunked else data)
        # uvloop reports a full buffer only when its loop turns, so the bytes are counted.
        return transport.get_write_buffer_size() <= HIGH_WATER

    def end(self, last: bytes) -> None:
        """The last bytes, if there are any, and the end of the message."""
        if not self.ended:
            self.ended = True
            self._write(self._framed(last) + self._end())
            self.sent += len(last)

    @property
    def full(self) -> bool:
        return self.waiting > HIGH_WATER

    @property
    def waiting(self) -> int:
        transport = self._transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    async def drain(self) -> None:
        await asyncio.sleep(0)  # uvloop writes when its loop turns, and only then knows that it is behind
        assert self._writer is not None
        await self._writer.drain()

    async def taken(self) -> None:
        """What is never taken must not be kept for ever."""
        transport = self._transport
        if self.waiting and transport is not None:
            transport.set_write_buffer_limits(high=0)
            await self.drain()
            transport.set_write_buffer_limits(high=HIGH_WATER)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data

    def _end(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)
