"""Reading an upstream's bytes in the callback in which they arrive.

aiohttp's client hands bytes to a coroutine through a future: one more turn of the event loop for every token,
and in a burst all sockets are read before the first token leaves. For the length of one body the tap stands
between the transport and aiohttp's handler instead: aiohttp parses, then the tap drains its reader at once and
gives the bytes to a sink. Nothing but public hooks is used (see tests/proxy/test_seams.py).

What must hold, each with a test:
- the tap is gone before the connection is back in the pool. aiohttp returns it inside the parser, at the end of
  the body, so the tap leaves in an end-of-body callback that runs in the same place;
- bytes come from this body's own reader and never from the callback's argument, so that no stale tap could
  ever see another user's bytes;
- every callback is passed on;
- the reader may be refilled while it is drained, so draining compares counts and does not stop at a short read;
- an exception in a sink must not reach the event loop, which would kill the transport with a log line.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import aiohttp

from proxy.http_errors import EXPECTED, retell_midstream
from translators.errors import GatewayError, Internal

log = logging.getLogger("deltawire")

SLICE = 16 * 1024
"""The most that is handed on before the sink may say that it is full."""


class Sink(Protocol):
    def take(self, data: bytes) -> bool:
        """Whether more may come."""
        ...

    def end(self, error: GatewayError | None) -> None:
        """No more will come: the body ended cleanly, or not."""
        ...


class Tap(asyncio.Protocol):
    __slots__ = ("_content", "_ended", "_inner", "_open", "_read", "_sink", "_transport")

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        connection: aiohttp.connector.Connection,
        read: int,
        sink: Sink,
    ) -> None:
        assert connection.protocol is not None
        assert connection.transport is not None
        self._content = response.content
        self._inner = connection.protocol
        self._transport = connection.transport
        self._read = read
        self._sink = sink
        self._open = True
        """Whether the sink takes more."""
        self._ended = False

    @classmethod
    def install(cls, response: aiohttp.ClientResponse, read: int, sink: Sink) -> Tap | None:
        """Tap ``response``; None if its body is already here and the connection with somebody else."""
        connection = response.connection
        if connection is None or connection.transport is None or response.content.exception() is not None:
            return None
        tap = cls(response, connection, read, sink)
        tap._transport.set_protocol(tap)
        response.content.on_eof(tap.detach)
        return tap

    def detach(self) -> None:
        """Step out of the way; harmless when done twice."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._inner)

    def pull(self) -> None:
        """Hand on what has been parsed, as long as it is taken."""
        content = self._content
        try:
            while self._open and self._read < content.total_bytes:
                data = content.read_nowait(SLICE)
                self._read += len(data)
                self._open = self._sink.take(data)
        except EXPECTED as error:
            self._end(retell_midstream(error))
        except Exception as error:  # a bug of ours, which must not reach the event loop
            log.exception("The relay failed")
            self._end(_internal(error))
        else:
            self._judge()

    def stop(self) -> None:
        """The sink is full: let the upstream wait."""
        if self._transport.get_protocol() is self:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """The sink has room again."""
        self._open = True
        self.pull()
        if self._open and self._transport.get_protocol() is self:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)
        self.pull()

    def eof_received(self) -> None:
        self._inner.eof_received()
        self.pull()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._inner.connection_lost(exc)
        self.pull()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _judge(self) -> None:
        failure = self._content.exception()
        if failure is not None:
            self._end(retell_midstream(failure))
        elif self._content.is_eof() and self._read >= self._content.total_bytes:
            self._end(None)

    def _end(self, error: GatewayError | None) -> None:
        if not self._ended:
            self._ended = True
            self._open = False
            self._sink.end(error)


def _internal(error: Exception) -> GatewayError:
    told = Internal("The gateway failed while it retold the answer.")
    told.__cause__ = error
    return told
