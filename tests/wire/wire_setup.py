"""A connection to a script, a sink that notes what it is given, and the bytes of a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from proxy.simulators.script import (
    Hang,
    Script,
    ScriptServer,
    Send,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
)
from proxy.wire.connection import Connection, Incoming
from proxy.wire.lean import LeanWire
from translators.errors import GatewayError
from translators.upstreams.plan import Call

ASK = Call("POST", "x", b"{}")


class Notes:
    """A sink that notes everything; after ``full_after`` bytes it wants no more until told."""

    def __init__(self, full_after: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[GatewayError | None] = []
        self.room = full_after
        self.over = asyncio.Event()

    def take(self, data: bytes) -> bool:
        assert not self.ends, "bytes after the end"
        self.pieces.append(data)
        return self.room is None or len(self.data) < self.room

    def end(self, error: GatewayError | None) -> None:
        self.ends.append(error)
        self.over.set()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


@asynccontextmanager
async def wired(script: Script) -> AsyncIterator[tuple[LeanWire, ScriptServer]]:
    async with ScriptServer(script) as server:
        wire = LeanWire(server.url, {}, 2.0)
        try:
            yield wire, server
        finally:
            await wire.close()


@asynccontextmanager
async def answered(script: Script) -> AsyncIterator[tuple[Incoming, Connection, ScriptServer]]:
    async with wired(script) as (wire, server):
        answer = await wire.send(ASK)
        [connection] = wire._pool._open
        assert isinstance(answer.body, Incoming)
        yield answer.body, connection, server
        answer.body.close()


def body(*pieces: bytes, end: bool = True) -> list[Any]:
    steps = [Send(event_stream_head()), Wait(0.02), *(Send(chunk(piece)) for piece in pieces)]
    return [*steps, Send(last_chunk())] if end else [*steps, Hang()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def reading(connection: Connection) -> bool:
    return connection._transport.is_reading()
