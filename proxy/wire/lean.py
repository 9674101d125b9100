"""Our own way to an upstream over HTTP/1.1: one write for a request, one callback for what comes back.

What all requests share is rendered once for each path that may come again. One with a query, or with headers of the
call's own, is put together each time, out of its own part and what is shared beside it. Header values come from the
configuration or are validated ids; a line end in one is refused here all the same, because it would be a second
request.
"""

from __future__ import annotations

import ssl
from collections.abc import Hashable, Mapping
from typing import TypeVar

from attrs import define, field
from yarl import URL

from proxy.wire.base import Answer
from proxy.wire.pool import KEEP, Pool
from proxy.wire.target import target
from translators.errors import Internal, UpstreamDisconnected, UpstreamStale
from translators.upstreams.plan import Call

K = TypeVar("K", bound=Hashable)

MOST_STARTS = 64
"""Paths whose start is kept; there may be an id in one, so there may be any number of them."""


@define(eq=False)
class LeanWire:
    base_url: str
    headers: Mapping[str, str]
    connect_timeout: float
    keep: float = KEEP
    """Seconds that idle connections are kept."""
    _base: URL = field()
    _pool: Pool = field()
    _starts: dict[tuple[str, str], bytes] = field(factory=dict)
    """By method and path."""
    _shared: dict[tuple[str, ...], bytes] = field(factory=dict)
    """What all requests share, by the names of the headers that a call brings."""

    @_base.default
    def _with_slash(self) -> URL:
        return URL(self.base_url.rstrip("/") + "/")

    @_pool.default
    def _own_pool(self) -> Pool:
        base = self._base
        assert base.raw_host is not None
        assert base.port is not None
        tls = ssl.create_default_context() if base.scheme == "https" else None
        return Pool(base.raw_host, base.port, tls, self.connect_timeout, self.keep)

    async def send(self, call: Call) -> Answer:
        request = self._request(call)
        connection = self._pool.idle_one() or await self._pool.new_one()
        incoming = connection.ask(request)
        done = False
        try:
            head = await incoming.until_head()
            done = True
        except UpstreamDisconnected as error:
            if incoming.may_be_stale:
                raise UpstreamStale(error.message, detail=error.detail) from error
            raise
        finally:
            if not done:
                incoming.close()  # the connection may be another answer's by now
        return Answer(head.status, head.headers, incoming)

    async def close(self) -> None:
        await self._pool.close()

    def _request(self, call: Call) -> bytes:
        start = None if call.headers else self._starts.get((call.method, call.path))
        if start is None:
            start = self._start(call)
        return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(call.body), call.body)

    def _start(self, call: Call) -> bytes:
        line = f"{call.method} {target(self._base, call.path)} HTTP/1.1\r\n".encode("ascii")
        names = tuple(call.headers)
        shared = self._shared.get(names)
        if shared is None:
            shared = self._rendered(names)
        start = line + shared + _fields(call.headers)
        if not names and "?" not in call.path:
            _keep(self._starts, (call.method, call.path), start)
        return start

    def _rendered(self, names: tuple[str, ...]) -> bytes:
        """The shared headers beside those that a call brings."""
        host = self._base.host_subcomponent or ""
        if not self._base.is_default_port():
            host = f"{host}:{self._base.port}"
        own = {name.lower() for name in names}
        shared = {"Host": host, **self.headers}
        fields = _fields({name: value for name, value in shared.items() if name.lower() not in own})
        _keep(self._shared, names, fields)
        return fields


def _keep(kept: dict[K, bytes], key: K, value: bytes) -> None:
    if len(kept) >= MOST_STARTS:
        kept.clear()
    kept[key] = value


def _fields(headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers) or "\0" in lines:
        raise Internal("A header for the upstream has a line end in it.")
    return lines.encode("utf-8")
