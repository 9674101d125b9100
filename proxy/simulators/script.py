"""A TCP server that plays scripts: what an HTTP peer can do, and what it should never do.

A script is a series of steps (``Send``, ``Wait``, ``Abort``, ``Hang``, ``Close``) played for each request; at
its end the connection waits for the next request. Nothing between a script and the socket adds, joins or
checks bytes, so a test can be as wrong as it likes. Requests are read by a small reader of our own, good
enough for clients that are right; one that is wrong is hung up on.

``Send`` ends when the kernel has taken everything, which makes ``sent`` an honest measure of backpressure.
A peer that leaves stops the playing at once; one that only shuts down its sending side counts as gone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias, cast

from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.simulators.recorded import Recorded

_HEAD_LIMIT = 256 * 1024
_PIECE = 64 * 1024
_NONE: Mapping[str, str] = MappingProxyType({})


# Steps.


@frozen
class Send:
    """These bytes, until the kernel has them all."""

    data: bytes


@frozen
class Wait:
    seconds: float


@frozen
class Abort:
    """A TCP reset; what the peer has not yet received may be lost."""


@frozen
class Hang:
    """Silence until the peer goes."""


@frozen
class Close:
    """The end of the connection (FIN), after what was sent."""


Step: TypeAlias = Send | Wait | Abort | Hang | Close
Steps: TypeAlias = Iterable[Step]
Script: TypeAlias = Sequence[Step] | Callable[[Recorded], Steps]


# Bytes to send.


def head(status: int, headers: Mapping[str, str] = _NONE, *, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk() -> bytes:
    return b"0\r\n\r\n"


def reply(
    status: int, content: bytes, *, content_type: str = "application/json", headers: Mapping[str, str] = _NONE
) -> bytes:
    """A whole answer with its length."""
    length = {"Content-Type": content_type, "Content-Length": str(len(content))}
    return head(status, {**length, **headers}) + content


def event_stream_head(status: int = 200, headers: Mapping[str, str] = _NONE) -> bytes:
    """The head of a chunked event stream."""
    return head(status, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **headers})


def frame(payload: bytes) -> bytes:
    return b"data: %b\n\n" % payload


def stream(
    frames: Sequence[bytes], *, delay: float = 0.0, per_write: int = 1, end: bool = True
) -> list[Step]:
    """A whole event stream of frames as they are; without ``end`` the body is left open."""
    steps: list[Step] = [Send(event_stream_head())]
    for start in range(0, len(frames), per_write):
        if delay:
            steps.append(Wait(delay))
        steps.append(Send(chunk(b"".join(frames[start : start + per_write]))))
    return [*steps, Send(last_chunk())] if end else steps


# The server.


class ScriptServer:
    """An async context manager; ``script`` may be changed while it runs, from the next request on."""

    def __init__(
        self,
        script: Script = (),
        *,
        send_buffer: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.script = script
        self.requests: list[Recorded] = []
        self.url = ""
        self._send_buffer = send_buffer
        self._clock = clock
        self._all: list[_Connection] = []
        self._heard = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # asyncio does so only where it made the socket
        if self._send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._all:
            connection.hang_up()
        outcomes = await asyncio.gather(
            *(connection.player for connection in self._all), return_exceptions=True
        )
        await asyncio.gather(*(connection.lost.wait() for connection in self._all))
        await self._server.wait_closed()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and error is None:
                raise outcome

    @property
    def connections(self) -> int:
        """How many were ever opened."""
        return len(self._all)

    @property
    def open_connections(self) -> int:
        return sum(not connection.lost.is_set() for connection in self._all)

    @property
    def sent(self) -> int:
        """Bytes that the kernel has taken, on all connections."""
        return sum(connection.sent for connection in self._all)

    @property
    def blocked(self) -> bool:
        """Whether some ``Send`` waits for its peer to read."""
        return any(connection.blocked for connection in self._all)

    async def received(self, count: int = 1, timeout: float = 5.0) -> Recorded:
        """Wait until ``count`` requests have come; the latest of them."""
        async with asyncio.timeout(timeout):
            while len(self.requests) < count:
                self._heard.clear()
                await self._heard.wait()
        return self.requests[count - 1]

    async def wait_closed_by_peer(self, timeout: float = 5.0, *, connection: int | None = None) -> float:
        """When (on ``clock``) the peer left that connection; the one opened last if none is named."""
        async with asyncio.timeout(timeout):
            while not self._all or (connection is not None and connection > len(self._all)):
                self._heard.clear()
                await self._heard.wait()
            chosen = self._all[-1 if connection is None else connection - 1]
            await chosen.left.wait()
        return chosen.left_at

    def _accept(self) -> _Connection:
        connection = _Connection(len(self._all) + 1, self._serve, self._clock)
        self._all.append(connection)
        self._heard.set()
        return connection

    async def _serve(self, connection: _Connection) -> None:
        while (request := await connection.request()) is not None:
            self.requests.append(request)
            self._heard.set()
            steps = self.script(request) if callable(self.script) else self.script
            for step in steps:
                await _PLAY[type(step)](connection, step)


class _Connection(asyncio.Protocol):
    """One accepted connection and the task that plays on it."""

    transport: asyncio.Transport
    player: asyncio.Task[None]

    def __init__(
        self, number: int, serve: Callable[[_Connection], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        self.number = number
        self.left = asyncio.Event()
        self.left_at = 0.0
        self.lost = asyncio.Event()
        self._serve = serve
        self._clock = clock
        self._ours = False
        self._written = 0
        self._taken = 0
        self._room = asyncio.Event()
        self._room.set()
        self._reader = asyncio.StreamReader(limit=_HEAD_LIMIT, loop=asyncio.get_running_loop())

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)
        self.player = asyncio.get_running_loop().create_task(self._play())

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        self._peer_left()

    def connection_lost(self, error: Exception | None) -> None:
        self._peer_left()
        self.lost.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _peer_left(self) -> None:
        if not self._ours and not self.left.is_set():
            self.left_at = self._clock()
            self.left.set()
        self.player.cancel()

    # What the script wants.

    async def _play(self) -> None:
        try:
            await self._serve(self)
        finally:
            self.close()

    async def send(self, step: Send) -> None:
        view = memoryview(step.data)
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            self._written += len(piece)
            self.transport.write(piece)
            # uvloop writes when the loop's turn ends, and only then is there a pause or a peer that has left.
            await asyncio.sleep(0)
            while self.transport.get_write_buffer_size():
                await (asyncio.sleep(0) if self._room.is_set() else self._room.wait())
            self._taken = self._written

    async def wait(self, step: Wait) -> None:
        await asyncio.sleep(step.seconds)

    async def abort(self, step: Abort) -> None:
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._ours = True
        self.transport.abort()
        await self.lost.wait()

    async def hang(self, step: Hang) -> None:
        await self.left.wait()

    async def finish(self, step: Close) -> None:
        self.close()
        await self.lost.wait()

    def close(self) -> None:
        self._ours = True
        self.transport.close()

    def hang_up(self) -> None:
        self._ours = True
        self.player.cancel()
        self.transport.abort()

    @property
    def sent(self) -> int:
        if self.transport.is_closing():
            return self._taken
        return self._written - self.transport.get_write_buffer_size()

    @property
    def blocked(self) -> bool:
        return not self._room.is_set() and not self.transport.is_closing()

    # What the peer says.

    async def request(self) -> Recorded | None:
        """The next request; None when there is none that can be read."""
        try:
            start, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = start.split(" ")
            pairs = [line.split(":", 1) for line in lines if line]
            headers = CIMultiDict((name, value.strip()) for name, value in pairs)
            body = await self._body(headers)
        except (asyncio.LimitOverrunError, ValueError):
            return None
        return Recorded(method, target, CIMultiDictProxy(headers), body, self.number)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("Transfer-Encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("Content-Length", "0")))
        out = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            out += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return bytes(out)


_PLAY: dict[type[Step], Callable[[_Connection, Any], Awaitable[None]]] = {
    Send: _Connection.send,
    Wait: _Connection.wait,
    Abort: _Connection.abort,
    Hang: _Connection.hang,
    Close: _Connection.finish,
}
