"""Connections as a small gunicorn takes them: so many at once, and the next waits in the kernel, unanswered.

An idle connection that is kept alive takes a place like any other, as with gevent's workers. Each connection notes
when its client goes, the moment it does: the application behind notices at its next write only, and tests want to
know both.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web
from attrs import define

_LOOK_AGAIN = 0.05


@define
class Departure:
    """What became of one request's client."""

    left: float | None = None
    """When it closed the connection before it was answered."""
    answered: bool = False


class Guest(asyncio.Protocol):
    """One connection: aiohttp's own protocol does everything, and is watched at both ends."""

    def __init__(self, inner: asyncio.Protocol, house: Door) -> None:
        self._inner, self._house = inner, house
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._house.left(self, self._transport)
        self._inner.connection_lost(error)


class Door:
    """Accepts connections for a web server while there is room."""

    def __init__(self, most: Callable[[], int | None], clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._guests: dict[Guest, None] = {}
        self._waiting: dict[asyncio.BaseTransport, Departure] = {}
        self._room = asyncio.Event()
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        return len(self._guests)

    def listen(self, server: web.Server) -> int:
        """The port."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        listening.setblocking(False)
        self._socket = listening
        self._task = asyncio.get_running_loop().create_task(self._accept(listening, server))
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._socket is not None:
            self._socket.close()

    def asked(self, transport: asyncio.BaseTransport | None, departure: Departure) -> None:
        if transport is not None:
            self._waiting[transport] = departure

    def answer_over(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None and (departure := self._waiting.pop(transport, None)) is not None:
            departure.answered = departure.left is None

    def left(self, guest: Guest, transport: asyncio.BaseTransport | None) -> None:
        self._guests.pop(guest, None)
        self._room.set()
        if transport is not None and (departure := self._waiting.get(transport)) is not None:
            departure.left = self._clock()

    async def _accept(self, listening: socket.socket, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_for_room()
            connection, _ = await loop.sock_accept(listening)
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(lambda: self._greet(server), connection)

    async def _wait_for_room(self) -> None:
        while (most := self._most()) is not None and len(self._guests) >= most:
            self._room.clear()
            # Not forever: the number of places is a knob. (And not by wait_for, which may lose a cancellation.)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._room.wait()

    def _greet(self, server: web.Server) -> Any:
        guest = Guest(server(), self)
        self._guests[guest] = None
        return guest
