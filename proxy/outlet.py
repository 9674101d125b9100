"""Where an answer goes.

An outlet is opened with its first bytes, so that head and first frame leave in one segment. After that
``write`` is synchronous; ``full`` says that the reader is behind, ``drain`` waits until it no longer is.
``HttpOutlet`` writes chunks to the transport itself: aiohttp's own writer would add a coroutine per frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from attrs import define, field

HIGH_WATER = 64 * 1024
"""Bytes waiting in this process for one client before its upstream has to wait too."""


class Outlet(Protocol):
    sent: int

    async def open(self, first: bytes) -> None: ...

    def write(self, data: bytes) -> None: ...

    @property
    def full(self) -> bool: ...

    @property
    def waiting(self) -> int:
        """Bytes that the reader has not taken yet."""
        ...

    async def drain(self) -> None: ...

    async def close(self, last: bytes) -> None: ...

    def abort(self) -> None:
        """Cut the reader off."""
        ...


class EventStream(web.StreamResponse):
    """A response whose head waits for the first frame; ``web.Response`` does the same for its body."""

    _send_headers_immediately = False


@define(eq=False)
class HttpOutlet:
    request: web.Request
    headers: Mapping[str, str]
    response: EventStream = field(init=False)
    sent: int = 0
    _writer: StreamWriter | None = None
    _transport: asyncio.Transport | None = None
    _chunked: bool = True

    @response.default
    def _unsent(self) -> EventStream:
        return EventStream(headers=self.headers)

    async def open(self, first: bytes) -> None:
        writer = await self.response.prepare(self.request)
        transport = self.request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        assert isinstance(writer, StreamWriter)
        self._writer, self._transport = writer, transport
        self._chunked = writer.chunked
        await writer.write(first, drain=False)
        self.sent += len(first)

    def write(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.sent += len(data)

    @property
    def full(self) -> bool:
        # uvloop reports a full buffer only when its loop turns, so the bytes are counted as well.
        return self.request.protocol.writing_paused or self.waiting > HIGH_WATER

    @property
    def waiting(self) -> int:
        transport = self._transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    async def drain(self) -> None:
        assert self._writer is not None
        await asyncio.sleep(0)  # uvloop writes when its loop turns, and only then knows that it is behind
        await self._writer.drain()

    async def close(self, last: bytes) -> None:
        """Say the last words and wait until they are taken; what is never taken must not be kept for ever."""
        if last:
            self.write(last)
        await self.response.write_eof()
        transport = self._transport
        if self.waiting and transport is not None:
            transport.set_write_buffer_limits(high=0)
            await self.drain()
            transport.set_write_buffer_limits(high=HIGH_WATER)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
