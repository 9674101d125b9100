"""The client of a measurement: raw sockets, one epoll loop, no SDK.

While the clock matters it only receives: every socket that is ready is read before anything else happens, and
what was read is kept with the time at which it came. Whether the streams were right is judged afterwards (see
``judge``), so that checking does not slow the measuring down.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from attrs import define, field, frozen

from bench.plan import MARK

MOST = 256 * 1024
"""Bytes of one read."""
_GOOD = b"HTTP/1.1 200 "
_END = b"\r\n0\r\n\r\n"


@frozen
class Load:
    port: int
    request: bytes
    streams: int
    """How many at the same time, each on a connection of its own."""
    rounds: int = 1
    """How many on each connection, one after the other."""
    ramp: float = 0.0
    """Seconds over which the connections begin."""
    patience: float = 30.0
    """Seconds after which streams that have not ended are given up."""
    step_port: int | None = None
    """Where to say that a frame has come, for streams in step."""


@define
class Recording:
    """One answer as it came."""

    asked: int
    """When its request was sent, by the monotonic clock in nanoseconds."""
    pieces: list[tuple[int, bytes]] = field(factory=list)
    end: str = "unfinished"
    """``complete`` if the last chunk came, else why the recording stopped."""


@define(eq=False)
class _Connection:
    socket: socket.socket
    rounds: int
    recordings: list[Recording] = field(factory=list)
    heard: bool = False
    _tail: bytes = b""

    def ask(self, request: bytes) -> None:
        self._tail = b""
        self.rounds -= 1
        self.recordings.append(Recording(time.monotonic_ns()))
        self.socket.sendall(request)

    def take(self, now: int, data: bytes) -> bool:
        """Whether this was the end of the answer."""
        recording = self.recordings[-1]
        if not recording.pieces and data[: len(_GOOD)] != _GOOD[: len(data)]:
            recording.end = f"refused: {data[:40]!r}"
        elif not data:
            recording.end = "closed"
        recording.pieces.append((now, data))
        self._tail = (self._tail + data)[-len(_END) :]
        if self._tail == _END:
            recording.end = "complete"
        return recording.end != "unfinished"


class Client:
    """Carries out one ``Load``."""

    def __init__(self, load: Load, on_open: Callable[[], None] = lambda: None) -> None:
        self._load = load
        self._on_open = on_open
        self._unheard = load.streams
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._running = load.streams
        self._steps = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if load.step_port is not None:
            self._steps.connect(("127.0.0.1", load.step_port))

    def run(self) -> list[Recording]:
        load = self._load
        began = time.monotonic()
        starts = [began + load.ramp * number / load.streams for number in range(load.streams)]
        while self._running and (now := time.monotonic()) < began + load.patience:
            if starts and now >= starts[0]:
                starts.pop(0)
                self._start()
                continue
            self._turn(min(starts[0] - now, 0.5) if starts else 0.5)
        return self._settle(len(starts))

    def _start(self) -> None:
        connection = _Connection(socket.create_connection(("127.0.0.1", self._load.port)), self._load.rounds)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        connection.ask(self._load.request)

    def _turn(self, wait: float) -> None:
        heard = []
        for number, _ in self._poll.poll(wait):
            connection = self._connections[number]
            try:
                data = connection.socket.recv(MOST)
            except ConnectionResetError:
                data = b""
            heard.append((connection, time.monotonic_ns(), data))
        for connection, now, data in heard:
            if self._load.step_port is not None and MARK in data:
                self._steps.send(b".")
            if not connection.heard and MARK in data:
                self._greet(connection)
            if connection.take(now, data):
                self._next(connection)

    def _greet(self, connection: _Connection) -> None:
        """A first frame has come; when every connection has had one, all of them are open."""
        connection.heard = True
        self._unheard -= 1
        if not self._unheard:
            self._on_open()

    def _next(self, connection: _Connection) -> None:
        if connection.rounds and connection.recordings[-1].end == "complete":
            connection.ask(self._load.request)
            return
        self._poll.unregister(connection.socket)
        self._running -= 1

    def _settle(self, unasked: int) -> list[Recording]:
        """Everything that was to be recorded, also what never began."""
        recordings = [r for connection in self._connections.values() for r in connection.recordings]
        unasked += sum(connection.rounds for connection in self._connections.values())
        recordings += [Recording(0, end="never asked") for _ in range(unasked)]
        for connection in self._connections.values():
            connection.socket.close()
        self._poll.close()
        self._steps.close()
        return recordings
