"""What a way to an upstream promises.

``send`` returns when the head of an answer has come. The body is then read with ``read``, or, if it can, tapped:
from then on it calls a sink in the very callback in which bytes arrived. ``fail`` ends it from outside. ``close``
gives everything back; a body that was not read to its end costs its connection. ``finish`` is for an answer
that is complete although its message is not, because the end of the message is still on its way: that is given
a moment to arrive, so that the connection can be used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from attrs import define, frozen

from translators.errors import GatewayError
from translators.upstreams.plan import Call

SLICE = 16 * 1024
"""The most that is handed on before a reader may say that it is full."""
HIGH_WATER = 32 * 1024
"""Bytes that may wait for a reader before the upstream has to wait."""
RECEIVE_BUFFER = 64 * 1024
"""What the kernel may hold of an answer nobody has read. Left alone it grows to megabytes for each slow reader, and
one read brings all of it; this is still over half a megabyte a second from an upstream 100 ms away."""
LINGER = 1.0
"""Seconds that the end of a message may take after the end of the answer in it."""


class Sink(Protocol):
    def take(self, data: bytes) -> bool:
        """Whether more may come."""
        ...

    def end(self, error: GatewayError | None) -> None:
        """No more will come: the body ended cleanly, or not."""
        ...


class Tap(Protocol):
    @property
    def over(self) -> bool:
        """Whether the body ended cleanly, with what was handed on last."""
        ...

    def pull(self) -> None:
        """Hand on what waits, as long as it is taken."""
        ...

    def stop(self) -> None:
        """The sink is full: let the upstream wait."""
        ...

    def go_on(self) -> None:
        """The sink has room again."""
        ...

    def detach(self) -> None: ...


class Body(Protocol):
    on_close: Callable[[], None]
    """Called once, when the body is finished with."""

    async def read(self) -> bytes:
        """The next bytes; nothing at a clean end. Raises GatewayError."""
        ...

    def tap(self, sink: Sink) -> Tap | None:
        """Call ``sink`` with whatever arrives from now on, if the body can."""
        ...

    def fail(self, error: GatewayError) -> None:
        """Let the read that is waiting, or the next one, raise ``error``."""
        ...

    def broken(self) -> GatewayError | None:
        """Why no more can come, if that is so and whoever reads has not been told."""
        ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Body


class Wire(Protocol):
    async def send(self, call: Call) -> Answer:
        """Raises GatewayError; UpstreamStale if a kept connection was closed before it carried anything."""
        ...

    async def close(self) -> None: ...


def nothing() -> None:
    """What happens when nobody minds."""


@define(eq=False)
class ScriptBody:
    """An answer made in this process, at its own pace."""

    steps: Iterator[tuple[float, bytes]]
    on_close: Callable[[], None] = nothing
    _failure: GatewayError | None = None

    async def read(self) -> bytes:
        pause, data = next(self.steps, (0.0, b""))
        await asyncio.sleep(pause)
        if self._failure is not None:
            raise self._failure
        return data

    def tap(self, sink: Sink) -> None:
        return None

    def fail(self, error: GatewayError) -> None:
        self._failure = error

    def broken(self) -> None:
        return None

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        on_close, self.on_close = self.on_close, nothing
        on_close()
