"""aiohttp's client as a way to an upstream: the reference by which our own is judged.

Redirects are not followed, cookies not kept, compression not undone: each would change what is relayed.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

from proxy.http_errors import EXPECTED, FOREIGN, retell, retell_midstream
from proxy.wire.base import LINGER, RECEIVE_BUFFER, SLICE, Answer, Sink, nothing
from translators.errors import GatewayError, UpstreamDisconnected, UpstreamMalformed, UpstreamStale
from translators.upstreams.plan import Call

READ_AHEAD = 16 * 1024
"""As much as is parsed before it is wanted; aiohttp lets it be twice that, and what one read brought on top."""
AT_ONCE = 1024 * 1024
"""The longest body that is written in one go; a longer one lets other streams have their turn in between."""


@define(eq=False)
class ReferenceWire:
    base_url: str
    headers: Mapping[str, str]
    connect_timeout: float
    session: aiohttp.ClientSession
    _base: URL = field()
    _timeout: aiohttp.ClientTimeout = field()
    _lingering: set[aiohttp.ClientResponse] = field(factory=set, init=False)

    @_base.default
    def _with_slash(self) -> URL:
        return URL(self.base_url.rstrip("/") + "/")

    @_timeout.default
    def _only_connecting(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=self.connect_timeout)

    async def send(self, call: Call) -> Answer:
        context = {"reused": False}
        headers = CIMultiDict(self.headers)
        headers.update(call.headers)
        try:
            response = await self.session.request(
                call.method,
                self._base.join(URL(call.path, encoded=True)),
                data=call.body if len(call.body) <= AT_ONCE else io.BytesIO(call.body),
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
                trace_request_ctx=context,
            )
        except FOREIGN as error:
            told = retell(error)
            if isinstance(told, UpstreamDisconnected) and context["reused"]:
                raise UpstreamStale(told.message, detail=told.detail) from error
            raise told from error
        return Answer(response.status, response.headers, ReferenceBody(response, self._lingering))

    async def close(self) -> None:
        for response in self._lingering:
            response.close()


@define(eq=False)
class ReferenceBody:
    response: aiohttp.ClientResponse
    lingering: set[aiohttp.ClientResponse]
    """Finished answers whose messages have not ended yet."""
    on_close: Callable[[], None] = nothing
    _read: int = 0

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

    def tap(self, sink: Sink) -> None:
        return None

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
        self._done()

    def _expel(self) -> None:
        self.lingering.discard(self.response)
        self.response.close()

    def close(self) -> None:
        self.response.close()
        self._done()

    def _done(self) -> None:
        on_close, self.on_close = self.on_close, nothing
        on_close()


def client_session() -> aiohttp.ClientSession:
    """One for all upstreams; their limits are their own, see ``slots``."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_remember_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0, socket_factory=_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trace_configs=[trace],
        read_bufsize=READ_AHEAD,
    )


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return made


async def _remember_reuse(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx["reused"] = True
