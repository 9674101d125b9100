"""Connections to one upstream, kept while they are good for another request.

The one used last is used first, so that those in excess grow old and go. A connection that died while it was
idle is noticed by its own protocol and passed over here. Names are resolved and addresses raced by
aiohappyeyeballs; TLS is asyncio's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import Any

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType as AddrInfo
from attrs import define, field

from proxy.wire.base import RECEIVE_BUFFER
from proxy.wire.connection import Connection
from translators.errors import UpstreamUnreachable
from translators.excerpt import clean

KEEP = 30.0
"""Seconds that an idle connection is kept where nobody knows better."""
RACE = 0.25
"""Seconds before the next address is tried beside the last."""


@define(eq=False)
class Pool:
    host: str
    port: int
    tls: ssl.SSLContext | None
    connect_timeout: float
    keep: float = KEEP
    _idle: deque[Connection] = field(factory=deque)
    _open: set[Connection] = field(factory=set)
    _timer: asyncio.TimerHandle | None = None
    _closed: bool = False
    _one_gone: asyncio.Event = field(factory=asyncio.Event)
    """Set whenever one of the open ones is gone."""

    def idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def new_one(self) -> Connection:
        """Raises UpstreamUnreachable."""
        try:
            async with asyncio.timeout(self.connect_timeout):
                return await self._connect()
        except TimeoutError as error:
            raise _unreachable("The upstream did not accept a connection in time.", error) from error
        except socket.gaierror as error:
            raise _unreachable("The upstream's host name could not be resolved.", error) from error
        except ssl.SSLError as error:
            raise _unreachable("No secure connection to the upstream could be made.", error) from error
        except OSError as error:
            raise _unreachable("The upstream refused the connection.", error) from error

    async def close(self) -> None:
        """Cut everything, and wait until it is gone."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in self._open:
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._open:
                    self._one_gone.clear()
                    await self._one_gone.wait()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        if len(addresses) == 1 and addresses[0][0] == socket.AF_INET:
            return await self._connect_to(addresses[0][4])
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=RACE, interleave=1, socket_factory=_socket
        )
        made = False
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self),
                sock=sock,
                ssl=self.tls,
                server_hostname=self._name,
            )
            made = True
            return self._entered(connection)
        finally:
            if not made:
                sock.close()

    async def _connect_to(self, address: tuple[Any, ...]) -> Connection:
        """There is nothing to race, which saves two thirds of what it costs."""
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), *address, ssl=self.tls, server_hostname=self._name
        )
        self._entered(connection)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return connection

    def _entered(self, connection: Connection) -> Connection:
        """Nothing can be asked over one that was closed before anybody could look."""
        if not connection.usable:
            raise ConnectionResetError("closed at once")
        self._open.add(connection)
        return connection

    @property
    def _name(self) -> str | None:
        return self.host if self.tls is not None else None

    def gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._one_gone.set()

    def idle(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self.keep, self._clean)

    def _clean(self) -> None:
        """Let go of those that nobody needed for a while."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self.keep
        while self._idle and (self._idle[0].idle_since <= oldest or not self._idle[0].usable):
            self._idle.popleft().close()
        self._timer = loop.call_later(self.keep, self._clean) if self._idle else None


def _socket(address: AddrInfo) -> socket.socket:
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return made


def _unreachable(message: str, error: BaseException) -> UpstreamUnreachable:
    return UpstreamUnreachable(message, detail=f"{type(error).__name__}: {clean(str(error))}")
