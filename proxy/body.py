"""The bytes of one upstream's answer, whatever they come from.

``read`` awaits the next bytes. A body that rides on an asyncio transport can be tapped as well: its ``tap``
calls a sink in the very callback in which bytes arrived (see ``tap``). ``fail`` ends a read from outside.
``close`` gives everything back; a body that was not read to its end costs its connection. ``finish`` is for an
answer that is complete although its body is not, because the end of the HTTP message is still on its way: it
is given a moment to arrive, so that the connection can be used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import aiohttp
from attrs import define

from proxy.http_errors import EXPECTED, retell_midstream
from proxy.tap import SLICE, Sink, Tap
from translators.errors import GatewayError, UpstreamMalformed


class Body(Protocol):
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


LINGER = 1.0
"""Seconds that the end of a message may take after the end of the answer in it."""


@define(eq=False)
class HttpBody:
    response: aiohttp.ClientResponse
    release: Callable[[], None]
    """Gives back the place at the upstream."""
    lingering: set[aiohttp.ClientResponse]
    """Finished answers whose messages have not ended yet."""
    _read: int = 0
    _released: bool = False

    async def read(self) -> bytes:
        content = self.response.content
        if self._read >= content.total_bytes and (failure := self.broken()) is not None:
            raise failure
        try:
            data = await content.read(SLICE)
        except EXPECTED as error:
            raise retell_midstream(error) from error
        self._read += len(data)
        return data

    def tap(self, sink: Sink) -> Tap | None:
        return Tap.install(self.response, self._read, sink)

    def fail(self, error: GatewayError) -> None:
        self.response.content.set_exception(error)

    def broken(self) -> GatewayError | None:
        # aiohttp hangs up on a body whose chunks are malformed, but does not tell who reads it.
        content, connection = self.response.content, self.response.connection
        if connection is None or connection.protocol is None or connection.protocol.connected:
            return None
        if content.is_eof() or content.exception() is not None:
            return None
        return UpstreamMalformed("The upstream's answer is not valid HTTP.")

    def finish(self) -> None:
        content = self.response.content
        if not content.is_eof():
            self.lingering.add(self.response)
            late = asyncio.get_running_loop().call_later(LINGER, self._expel)
            content.on_eof(late.cancel)
            content.on_eof(partial(self.lingering.discard, self.response))
        self._give_back()

    def _expel(self) -> None:
        self.lingering.discard(self.response)
        self.response.close()

    def close(self) -> None:
        self.response.close()
        self._give_back()

    def _give_back(self) -> None:
        if not self._released:
            self._released = True
            self.release()


@define(eq=False)
class ScriptBody:
    """An answer made in this process, at its own pace."""

    steps: Iterator[tuple[float, bytes]]
    release: Callable[[], None]
    _failure: GatewayError | None = None
    _released: bool = False

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
        if not self._released:
            self._released = True
            self.release()
