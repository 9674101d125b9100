"""Where a connection comes in, and the short way through.

Every accepted connection has a door. The request that comes most is read here (``heads``) and answered by the same
handler and middlewares as on the application, without aiohttp's machinery around them: one task, no parser, no
reader, no router. It has to come in a few reads. Anything else, in its first bytes, makes the connection aiohttp's,
with all that has come, for good. Nobody who asks can tell which way it was; a differential test holds that.

What comes while an answer is under way waits for its end. Who waits in silence is let go by one clock for all.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import define, field

from proxy.asked import Asked
from proxy.headers import AnswerHeaders
from proxy.heads import Heads
from proxy.outlet import HIGH_WATER

log = logging.getLogger("deltawire.http")

NOTSENT_LOWAT = 16 * 1024
"""Bytes that the kernel may hold unsent for one client."""
LARGE = 64 * 1024
"""A request whose body is larger is aiohttp's, and so much of the next one may wait."""
MOST_PIECES = 8
"""Reads that a request may take."""
SLOW = 0.02
"""Seconds that they may take; then it is aiohttp's, which has limits of its own, and a line in the log for whoever
leaves in the middle."""


@define(eq=False)
class Doors:
    """What the doors of one server share."""

    route: Handler
    headers: AnswerHeaders
    further: Callable[[], asyncio.Protocol]
    """Makes aiohttp's side of a connection."""
    patience: float
    """Seconds that a connection may be silent between two answers."""
    largest: int = LARGE
    """The longest body that is read here."""
    heads: Heads = field(factory=Heads)
    leaving: bool = False
    _open: set[Door] = field(factory=set)
    _idle: dict[Door, float] = field(factory=dict)
    """Since when; the first is the one that waits longest."""
    _timer: asyncio.TimerHandle | None = None

    def enter(self, door: Door) -> None:
        self._open.add(door)
        self.rest(door)

    def rest(self, door: Door) -> None:
        """It waits for a request from now on."""
        loop = asyncio.get_running_loop()
        self._idle[door] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self.patience, self._look)

    def wake(self, door: Door) -> None:
        self._idle.pop(door, None)

    def leave(self, door: Door) -> None:
        self._open.discard(door)
        self.wake(door)

    def close(self) -> None:
        """No further requests; answers under way may end."""
        self.leaving = True
        for door in list(self._idle):
            door.close()

    async def shutdown(self, patience: float | None) -> None:
        """Wait so long for answers under way, then hang up."""
        self.close()
        tasks = {door.task for door in self._open if door.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for door in list(self._open):
            door.cut() if door.task is not None else door.close()
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        """Hang up on everybody."""
        for door in list(self._open):
            door.cut()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self.patience
        for door, since in list(self._idle.items()):
            if since > oldest:
                self._timer = loop.call_at(since + self.patience, self._look)
                return
            door.close()
            self.wake(door)
        self._timer = None


class Door(asyncio.Protocol):
    __slots__ = ("_doors", "_drained", "_late", "_later", "_paused", "_pieces", "task", "transport")

    def __init__(self, doors: Doors) -> None:
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[bool] | None = None
        """The answer under way."""
        self._doors = doors
        self._later = b""
        """What came and is not answered yet."""
        self._pieces = 0
        self._late: asyncio.TimerHandle | None = None
        self._paused = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def leaving(self) -> bool:
        return self._doors.leaving

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def drain(self) -> None:
        """Wait until the client has taken most of what is written."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        if self._paused:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        _prepare(self.transport)
        self._doors.enter(self)

    def data_received(self, data: bytes) -> None:
        if self._later:
            data = self._later + data
        if self.task is None:
            self._read(data)
            return
        self._later = data
        if len(data) > LARGE and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> None:
        """Who says no more waits for no answer."""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._doors.leave(self)
        self._not_late()
        if self.task is not None:
            self.task.cancel()

    # Requests.

    def _read(self, data: bytes) -> None:
        found = self._doors.heads.read(data)
        if found is None or found[2] > self._doors.largest or self._pieces >= MOST_PIECES:
            self._give_away(data)
            return
        headers, begin, length = found
        end = begin + length
        if end > len(data):
            self._wait(data)
            return
        self._later = data[end:]
        self._not_late()
        self._doors.wake(self)
        asked = Asked(headers, self, data[begin:end])
        self.task = asyncio.get_running_loop().create_task(self._answer(asked))
        self.task.add_done_callback(self._answered)

    def _wait(self, data: bytes) -> None:
        """Many clients send head and body in two pieces."""
        self._later = data
        self._pieces += 1
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(SLOW, self._is_late)

    def _is_late(self) -> None:
        self._late = None
        if self.transport is not None and not self.transport.is_closing():
            self._give_away(self._later)

    def _not_late(self) -> None:
        self._pieces = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_away(self, data: bytes) -> None:
        transport, self.transport = self.transport, None
        assert transport is not None
        self._not_late()
        self._doors.leave(self)
        transport.resume_reading()
        further = self._doors.further()
        transport.set_protocol(further)
        further.connection_made(transport)
        if self._paused:
            further.pause_writing()
        further.data_received(data)

    async def _answer(self, asked: Asked) -> bool:
        """Whether the connection may carry another answer."""
        response = await self._doors.route(cast(web.Request, asked))
        if not response.prepared:
            await self._write(asked, response)
        return response.keep_alive is not False

    def _answered(self, task: asyncio.Task[bool]) -> None:
        self.task = None
        if self.transport is None or task.cancelled():
            self.close()
        elif (error := task.exception()) is not None:
            self.cut()
            if not isinstance(error, ConnectionError):
                log.warning("a connection failed: %s", type(error).__name__)
        elif self.leaving or not task.result() or self.transport.is_closing():
            self.close()
        else:
            self._go_on(self.transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        self._doors.rest(self)
        later, self._later = self._later, b""
        if later:
            self._read(later)
        if self.transport is not None and len(self._later) <= LARGE:
            transport.resume_reading()

    async def _write(self, asked: Asked, response: web.StreamResponse) -> None:
        """An answer that is one piece."""
        assert isinstance(response, web.Response)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(self._doors.headers.whole(cast(web.Request, asked), response))
            await self.drain()


def _prepare(transport: asyncio.Transport) -> None:
    """Nothing waits for more to send, and there is little room for what the client has not taken, so that a slow
    reader is noticed early."""
    transport.set_write_buffer_limits(high=HIGH_WATER)
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
