"""Asking one upstream, and deciding whether to ask again.

A request is sent again only while not one byte of an answer has come and only where that is safe: nothing
reached the upstream, or it said itself that it is busy (429, 503), or a kept-alive connection turned out to be
dead. A place at the upstream is held from the first attempt until the body is closed.

Redirects are not followed, cookies not kept, compression not wanted: each would change what is relayed.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

from proxy import __version__
from proxy.body import Body, HttpBody, ScriptBody
from proxy.config import Upstream as UpstreamConfig
from proxy.http_errors import FOREIGN, retell
from proxy.slots import Slots
from translators.errors import (
    GatewayError,
    RateLimited,
    UpstreamDisconnected,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamUnreachable,
)
from translators.upstreams.base import Call, Script, Upstream

MAX_REFUSAL = 64 * 1024
"""As much of an error body as is worth reading."""
PATIENCE = 3.0
"""The longest that we wait by ourselves before asking again, or for a refusal to be explained; a longer wait is
the client's to decide."""
AT_ONCE = 1024 * 1024
"""The longest body that is written in one go; a longer one lets other streams have their turn in between."""
LONGEST_WAIT = 86400.0
"""The longest wait that is passed on: nobody means more, and numbers have no end."""

READ_AHEAD = 16 * 1024
"""As much as is parsed before it is wanted; aiohttp lets it be twice that, and what one read brought on top."""
RECEIVE_BUFFER = 64 * 1024
"""What the kernel may hold of an answer nobody has read. Left alone it grows to megabytes for each slow reader, and
one read brings all of it; this is still over half a megabyte a second from an upstream 100 ms away."""


def client_session(loop_slots: int = 0) -> aiohttp.ClientSession:
    """The one session of a gateway. Its limits are the upstreams' own, see ``slots``."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_remember_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=loop_slots, keepalive_timeout=30.0, socket_factory=_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trace_configs=[trace],
        headers={"User-Agent": f"deltawire/{__version__}"},
        read_bufsize=READ_AHEAD,
    )


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return made


async def _remember_reuse(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx["reused"] = True


@define(eq=False)
class Dialer:
    config: UpstreamConfig
    session: aiohttp.ClientSession
    chance: Callable[[], float]
    """A number between 0 and 1, so that many who were refused together do not come back together."""
    slots: Slots = field()
    _base: URL = field()
    _headers: CIMultiDict[str] = field()
    _timeout: aiohttp.ClientTimeout = field()

    _lingering: set[aiohttp.ClientResponse] = field(factory=set, init=False)

    @slots.default
    def _own_slots(self) -> Slots:
        return Slots(self.config.max_concurrency, self.config.max_queue)

    @_base.default
    def _with_slash(self) -> URL:
        return URL(self.config.base_url.rstrip("/") + "/")

    @_headers.default
    def _common_headers(self) -> CIMultiDict[str]:
        headers = CIMultiDict(
            {"Content-Type": "application/json", "Accept": "*/*", "Accept-Encoding": "identity"}
        )
        if self.config.api_key is not None:
            headers["Authorization"] = f"Bearer {self.config.api_key.reveal()}"
        headers.update(self.config.headers)
        return headers

    @_timeout.default
    def _only_connecting(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=self.config.connect_timeout)

    def close(self) -> None:
        for response in self._lingering:
            response.close()

    async def open(self, upstream: Upstream) -> Body:
        """The answer to what ``upstream`` has to ask, or GatewayError for why there is none."""
        call = upstream.call()
        await self.slots.acquire()
        body: Body | None = None
        try:
            if isinstance(call, Script):
                body = ScriptBody(call.steps, self.slots.release)
            else:
                body = HttpBody(await self._ask(call, upstream), self.slots.release, self._lingering)
            return body
        finally:
            if body is None:
                self.slots.release()

    async def _ask(self, call: Call, upstream: Upstream) -> aiohttp.ClientResponse:
        for attempt in range(self.config.retries + 1):
            context = {"reused": False}
            try:
                return await self._attempt(call, upstream, context)
            except GatewayError as error:
                wait = self._wait_before_retry(error, attempt, context["reused"])
                if wait is None:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait_before_retry(self, error: GatewayError, attempt: int, reused: bool) -> float | None:
        if attempt >= self.config.retries:
            return None
        if isinstance(error, UpstreamDisconnected):
            return 0.0 if reused else None
        if not isinstance(error, (UpstreamUnreachable, UpstreamOverloaded, RateLimited)):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= PATIENCE else None
        backoff: float = 0.1 * 2.0**attempt
        return backoff * (0.75 + 0.5 * self.chance())

    async def _attempt(
        self, call: Call, upstream: Upstream, context: dict[str, bool]
    ) -> aiohttp.ClientResponse:
        url = self._base.join(URL(call.path, encoded=True))
        headers = self._merged(call.headers)
        try:
            response = await self.session.request(
                call.method,
                url,
                data=call.body if len(call.body) <= AT_ONCE else io.BytesIO(call.body),
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
                trace_request_ctx=context,
            )
        except FOREIGN as error:
            raise retell(error) from error
        if response.status == 200 and _is_plain(response):
            return response
        try:
            raise await self._refusal(response, upstream)
        finally:
            response.close()

    def _merged(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        if not headers:
            return self._headers
        merged = self._headers.copy()
        merged.update(headers)
        return merged

    async def _refusal(self, response: aiohttp.ClientResponse, upstream: Upstream) -> GatewayError:
        if response.status == 200:
            return UpstreamMalformed("The upstream compressed its answer although it was asked not to.")
        if 200 < response.status < 300:
            return UpstreamMalformed(f"The upstream answered with status {response.status} and no answer.")
        return upstream.reject(response.status, await _explanation(response), retry_after(response.headers))


async def _explanation(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, or as much of it as there is: the status counts with or without it."""
    body = b""
    if not _is_plain(response):
        return body
    with suppress(TimeoutError, *FOREIGN):
        async with asyncio.timeout(PATIENCE):
            while len(body) < MAX_REFUSAL and (more := await response.content.readany()):
                body += more
    return body[:MAX_REFUSAL]


def _is_plain(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity") == "identity"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the HTTP date form means a clock that need not agree with ours, so it is left to the client."""
    for name, scale in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "")
        if value.replace(".", "", 1).isascii() and value.replace(".", "", 1).isdigit():
            return min(float(value) * scale, LONGEST_WAIT)
    return None
