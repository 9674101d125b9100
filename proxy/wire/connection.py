"""One connection to an upstream: requests go out whole, bodies come in as they arrive.

The connection parses in the transport's own callback and gives each answer's bytes to that answer's ``Incoming``,
which hands them to a sink at once, the per-token path, or keeps them for a read. At the end of a message the two
part: the connection goes back to its pool even if a slow reader still has bytes of the answer waiting, and no
answer can ever see another's. Bytes that come for nobody end the connection.

What an answer meets is kept until it is asked for, so nothing is raised into the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from attrs import define, field

from proxy.wire.base import HIGH_WATER, LINGER, SLICE, Sink, nothing
from proxy.wire.response import Head, ResponseParser
from translators.errors import GatewayError, Internal, UpstreamDisconnected, UpstreamIncomplete
from translators.excerpt import clean

log = logging.getLogger("deltawire")


@define(eq=False)
class Incoming:
    """One answer on its way in: its head, and its body for a read or a sink."""

    connection: Connection | None
    headless: bool = True
    """Whether no head has come yet."""
    may_be_stale: bool = False
    """Whether the connection had carried an earlier answer, and nothing of this one so far."""
    on_close: Callable[[], None] = nothing

    _head: Head | None = None
    """Until it is asked for; an answer that streams for minutes needs no headers."""
    _sink: Sink | None = None
    _open: bool = True
    _pieces: list[bytes] = field(factory=list)
    """Few at any time, and a list without any is a tenth of such a deque."""
    _waiting: int = 0
    _ended: bool = False
    _error: GatewayError | None = None
    _waiter: asyncio.Future[None] | None = None
    _late: asyncio.TimerHandle | None = None

    async def until_head(self) -> Head:
        """Gives it away; to be asked once. Raises GatewayError."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._news()
        head, self._head = self._head, None
        return head

    async def read(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._news()
        data = self._pieces.pop(0)
        self._waiting -= len(data)
        if self._waiting <= HIGH_WATER and self.connection is not None:
            self.connection.flow()
        return data

    @property
    def over(self) -> bool:
        return self._ended and self._error is None and not self._pieces

    def tap(self, sink: Sink) -> Incoming:
        self._sink = sink
        return self

    def detach(self) -> None:
        self._sink = None

    def pull(self) -> None:
        """Hand on what waits, as long as it is taken."""
        while self._pieces and self._open and self._sink is not None:
            piece = self._pieces.pop(0)
            self._waiting -= len(piece)
            self._hand_on(piece)
        if self._pieces or not self._open:
            return
        if self.connection is not None:
            self.connection.flow()
        elif self._ended:
            self._tell(self._error)

    def stop(self) -> None:
        self._open = False
        if self.connection is not None:
            self.connection.hold()

    def go_on(self) -> None:
        self._open = True
        self.pull()

    def fail(self, error: GatewayError) -> None:
        """End the answer from outside."""
        self._error = self._error or error
        self.wake()

    def broken(self) -> None:
        return None

    def finish(self) -> None:
        if self.connection is not None:
            self._late = asyncio.get_running_loop().call_later(LINGER, self.connection.close)
            self.connection.flow()  # a slow reader may have stopped it short of its end
        self._done()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self._done()

    def _done(self) -> None:
        on_close, self.on_close = self.on_close, nothing
        on_close()

    def begin(self, head: Head) -> None:
        """From the connection: the answer has begun."""
        self._head, self.headless, self.may_be_stale = head, False, False
        self.wake()

    def arrived(self, data: bytes) -> None:
        """From the connection."""
        if self._sink is None or not self._open or self._pieces or len(data) > SLICE:
            self._keep(data)
        else:
            self._hand_on(data)

    def end(self, error: GatewayError | None) -> None:
        """From the connection: no more will come."""
        self.connection = None
        self._ended = True
        self._error = self._error or error
        self.wake()
        if self._late is not None:
            self._late.cancel()
        if not self._pieces:
            self._tell(error)

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _news(self) -> asyncio.Future[None]:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _keep(self, data: bytes) -> None:
        if len(data) <= SLICE:
            self._pieces.append(data)
        else:
            self._pieces += (data[at : at + SLICE] for at in range(0, len(data), SLICE))
        self._waiting += len(data)
        self.pull()
        if self._waiting > HIGH_WATER and self.connection is not None:
            self.connection.hold()
        self.wake()

    def _hand_on(self, data: bytes) -> None:
        assert self._sink is not None
        try:
            self._open = self._sink.take(data)
        except Exception as error:  # a bug of ours, which must not reach the event loop
            log.exception("The relay failed")
            told = Internal("The gateway failed while it retold the answer.")
            told.__cause__ = error
            if self.connection is not None:
                self.connection.close()
            self._open = False
            self._tell(told)

    def _tell(self, error: GatewayError | None) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end(error)


class Owner(Protocol):
    """Whoever keeps connections."""

    def idle(self, connection: Connection) -> None:
        """It is good for another request."""
        ...

    def gone(self, connection: Connection) -> None:
        """Its transport is closed."""
        ...


class Connection(asyncio.Protocol):
    __slots__ = ("_held", "_incoming", "_owner", "_parser", "_transport", "idle_since", "reused")

    def __init__(self, owner: Owner) -> None:
        self.reused = False
        self.idle_since = 0.0
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser = ResponseParser()
        self._incoming: Incoming | None = None
        self._held = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> Incoming:
        assert self._transport is not None
        self._parser = ResponseParser()
        self._incoming = Incoming(self, may_be_stale=self.reused)
        self._transport.write(request)
        return self._incoming

    def hold(self) -> None:
        """Let the upstream wait."""
        if not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()

    def flow(self) -> None:
        if self._held and self._transport is not None:
            self._held = False
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        incoming, parser = self._incoming, self._parser
        if incoming is None:
            self.close()
            return
        body = parser.feed(data)
        if incoming.headless:
            incoming.may_be_stale = False
            if parser.head is not None:
                incoming.begin(parser.take_head())
        if body:
            incoming.arrived(body)
        if parser.ended:
            self._complete()
        elif parser.fault is not None:
            self._over(parser.fault)

    def eof_received(self) -> None:
        """The peer says no more; with nothing left to say to it, that is the end."""

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._owner.gone(self)
        incoming, why = self._incoming, clean(repr(exc))
        if incoming is None:
            return
        if incoming.headless:
            self._over(UpstreamDisconnected("The upstream closed the connection unanswered.", detail=why))
        elif exc is not None or not self._parser.ends_with_connection:
            self._over(UpstreamIncomplete("The upstream broke off in the middle of its answer.", detail=why))
        else:
            self._over(None)

    def _complete(self) -> None:
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        if self._parser.keep_alive and not self._parser.excess:
            self.flow()
            self.reused = True
            self._owner.idle(self)
        else:
            self.close()
        incoming.end(None)

    def _over(self, error: GatewayError | None) -> None:
        incoming, self._incoming = self._incoming, None
        self.close()
        if incoming is not None:
            incoming.end(error)
