"""``python -m bench.standin``: the upstream of a measurement, in a process of its own.

Bare protocols on one event loop. Each piece of text carries the monotonic clock, read just before its own
write. A paced stream keeps its schedule however slowly it is read, as a model does; a stream without pace stops
while its reader is behind; a stream in step sends a frame for each datagram that the receiver sends. The path
picks the dialect. Prints its TCP and its UDP port, then a line for each stream whose reader left early, and
serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TypeAlias, cast

from bench.plan import Plan
from bench.wires import DIALECTS, Dialect
from proxy.server import loop_factory

LARGEST = 1024 * 1024
"""Bytes of a request."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BY_PATH = {dialect.path.encode(): dialect for dialect in DIALECTS.values()}
_BELOW = {path: dialect for path, dialect in _BY_PATH.items() if path.endswith(b"/")}
"""Dialects that are asked for at every path below their own."""

Waiting: TypeAlias = set["Answer"]


class Answer:
    """One stream under way."""

    def __init__(self, plan: Plan, dialect: Dialect, transport: asyncio.Transport, stepping: Waiting) -> None:
        self._plan = plan
        self._dialect = dialect
        self._transport = transport
        self._stepping = stepping
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._timer: asyncio.Handle | None = None
        self._paused = False

    def begin(self) -> None:
        head = _HEAD % self._dialect.content_type.encode()
        self._transport.write(head + _chunk(self._dialect.opening))
        self._began = self._loop.time()
        if self._plan.pace == "step":
            self._stepping.add(self)
            self.step()
        elif self._plan.pace == "0":
            self._flood()
        else:
            self._every = int(self._plan.pace) / 1e6
            self._keep_pace()

    def step(self) -> None:
        self._send(1)

    def pause(self, paused: bool) -> None:
        self._paused = paused
        if not paused and self._plan.pace == "0":
            self._flood()

    def leave(self) -> None:
        """The reader is gone; said if there was more to come."""
        if self._sent < self._plan.frames:
            print("gone", self._plan.name, time.monotonic_ns(), flush=True)
        self.drop()

    def drop(self) -> None:
        self._stepping.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _keep_pace(self) -> None:
        due = int((self._loop.time() - self._began) / self._every + 1e-6) + 1
        for _ in range(min(due, self._plan.frames) - self._sent):
            self._send(1)
        if self._sent < self._plan.frames:
            self._timer = self._loop.call_at(self._began + self._sent * self._every, self._keep_pace)

    def _flood(self) -> None:
        if self._paused or self._sent == self._plan.frames:
            return
        self._send(min(self._plan.batch, self._plan.frames - self._sent))
        self._timer = self._loop.call_soon(self._flood)

    def _send(self, frames: int) -> None:
        token, piece, now = self._dialect.token, self._plan.piece, time.monotonic_ns()
        numbers = range(self._sent, self._sent + frames)
        self._transport.write(b"".join(_chunk(token(piece(number, now))) for number in numbers))
        self._sent += frames
        if self._sent == self._plan.frames:
            self._transport.write(_chunk(self._dialect.closing) + _END)
            self.drop()


def _asked_for(path: bytes) -> Dialect | None:
    return _BY_PATH.get(path) or next((one for top, one in _BELOW.items() if path.startswith(top)), None)


class Connection(asyncio.Protocol):
    def __init__(self, stepping: Waiting) -> None:
        self._stepping = stepping
        self._buffer = b""
        self._answer: Answer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found and len(head) < LARGEST:
            return
        size = _content_length(head)
        if size is None:
            self._refuse()
        elif len(body) >= size:
            self._buffer = b""
            self._begin(head.split(b" ", 2)[1], body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.leave()

    def pause_writing(self) -> None:
        if self._answer is not None:
            self._answer.pause(True)

    def resume_writing(self) -> None:
        if self._answer is not None:
            self._answer.pause(False)

    def _begin(self, path: bytes, body: bytes) -> None:
        plan, dialect = Plan.found_in(body), _asked_for(path)
        if plan is None or dialect is None:
            self._refuse()
            return
        self._answer = Answer(plan, dialect, self._transport, self._stepping)
        self._answer.begin()

    def _refuse(self) -> None:
        self._transport.write(_REFUSAL)
        self._transport.close()


class Steps(asyncio.DatagramProtocol):
    """Every datagram is a step for every stream in step: there is one at a time."""

    def __init__(self, stepping: Waiting) -> None:
        self._stepping = stepping

    def datagram_received(self, data: bytes, address: object) -> None:
        for answer in list(self._stepping):
            answer.step()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _content_length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit() and len(value) < 9:
            return min(int(value), LARGEST)
    return None


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    stepping: Waiting = set()
    server = await loop.create_server(lambda: Connection(stepping), "127.0.0.1", 0, backlog=1024)
    steps, _ = await loop.create_datagram_endpoint(lambda: Steps(stepping), ("127.0.0.1", 0))
    ports = server.sockets[0].getsockname()[1], steps.get_extra_info("sockname")[1]
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        runner.run(_serve())
