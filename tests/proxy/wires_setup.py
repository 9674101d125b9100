"""Either way to a scripted upstream, for what must not notice which one it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Script, ScriptServer, Send, Step, reply
from proxy.wire.base import Wire
from proxy.wire.lean import LeanWire
from proxy.wire.reference import ReferenceWire, client_session

Wired: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[Wire, ScriptServer]]]

SHARED = {"Content-Type": "application/json", "Authorization": "Bearer ours"}


@asynccontextmanager
async def lean(
    script: Script = (), shared: Mapping[str, str] = SHARED
) -> AsyncIterator[tuple[Wire, ScriptServer]]:
    async with ScriptServer(script) as server:
        wire = LeanWire(server.url, shared, 2.0)
        try:
            yield wire, server
        finally:
            await wire.close()


@asynccontextmanager
async def reference(
    script: Script = (), shared: Mapping[str, str] = SHARED
) -> AsyncIterator[tuple[Wire, ScriptServer]]:
    async with ScriptServer(script) as server, client_session() as session:
        wire = ReferenceWire(server.url, shared, 2.0, session)
        try:
            yield wire, server
        finally:
            await wire.close()


BOTH: dict[str, Wired] = {"lean": lean, "reference": reference}


def says(content: bytes, status: int = 200, **headers: str) -> list[Step]:
    """The script of one whole reply."""
    return [Send(reply(status, content, headers={name.replace("_", "-"): v for name, v in headers.items()}))]


def in_turn(*scripts: list[Step]) -> Callable[[Recorded], list[Step]]:
    """One script after another; the last one stays."""
    left = list(scripts)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]
