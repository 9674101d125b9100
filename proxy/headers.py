"""The headers that every answer carries, whoever writes it.

Most answers are aiohttp responses and get them before they are prepared. A stream writes its own head: what
all streams share is rendered once, and the few lines that differ are put after it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate

from aiohttp import hdrs, web
from attrs import define

from proxy.config import Cors
from proxy.keys import RECORD
from proxy.outlet import NO_HEADERS

EXPOSED = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-poll-after-ms",
    "x-conversation-id",
    "x-session-id",
    "x-chat-id",
    "x-task-id",
    "content-disposition",
    "content-range",
    "etag",
)
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "openai-version": "2020-10-01",
    "Server": "deltawire",
}
_POLICY = "Content-Security-Policy"
STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


@define(eq=False)
class AnswerHeaders:
    cors: Cors
    clock: Callable[[], float] = time.time
    _second: tuple[int, str, bytes] = (-1, "", b"")
    """The date in a second, and what the heads of all its streams begin with."""

    def dress(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Give ``response`` what it lacks, and our name instead of aiohttp's."""
        own_policy = response.headers.get(_POLICY)  # a page says for itself what it may load
        response.headers.update(SECURITY)
        if own_policy is not None:
            response.headers[_POLICY] = own_policy
        for name, value in self._own(request):
            response.headers.setdefault(name, value)
        if hdrs.ORIGIN in request.headers:
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)

    def stream_head(self, request: web.BaseRequest, told: Mapping[str, str] = NO_HEADERS) -> bytes:
        """Status line and headers of a stream, but for how its body ends; ``told`` is the platform's part."""
        own = self._own(request)
        own += harmless(told)
        if hdrs.ORIGIN in request.headers:
            own.append((hdrs.VARY, hdrs.ORIGIN))
        return self._now()[2] + _lines(own)

    def whole(self, request: web.BaseRequest, response: web.Response) -> bytes:
        """An answer that is one piece, dressed, with its head and body."""
        self.dress(request, response)
        body, headers = response.body or b"", response.headers
        assert isinstance(body, bytes)
        headers.setdefault(hdrs.DATE, self._now()[1])
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        if not request.keep_alive:
            headers[hdrs.CONNECTION] = "close"
        start = f"HTTP/1.1 {response.status} {response.reason}\r\n".encode("ascii")
        return b"".join((start, _lines(headers.items()), b"\r\n", body))

    def _now(self) -> tuple[int, str, bytes]:
        now = int(self.clock())
        if self._second[0] != now:
            date = formatdate(now, usegmt=True)
            shared = _lines({**STREAM, **SECURITY, hdrs.DATE: date}.items())
            self._second = (now, date, b"HTTP/1.1 200 OK\r\n" + shared)
        return self._second

    def allows(self, method: str) -> bool:
        methods = self.cors.methods
        return method in methods or (method == hdrs.METH_HEAD and hdrs.METH_GET in methods)

    def _own(self, request: web.BaseRequest) -> list[tuple[str, str]]:
        """What differs from answer to answer."""
        own: list[tuple[str, str]] = []
        record = request.get(RECORD)
        if record is not None:
            elapsed = asyncio.get_running_loop().time() - record.began
            own = [("x-request-id", record.id), ("openai-processing-ms", str(int(elapsed * 1000)))]
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self._may_read(request.method, origin):
            own.append((hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            own.append((hdrs.ACCESS_CONTROL_EXPOSE_HEADERS, ",".join(EXPOSED)))
        return own

    def _may_read(self, method: str, origin: str) -> bool:
        if not self.cors.enabled or method == hdrs.METH_OPTIONS or not self.allows(method):
            return False
        return "*" in self.cors.origins or origin in self.cors.origins


_HARMLESS = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")

HEADERS = web.AppKey("headers", AnswerHeaders)


def harmless(told: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a platform tells, as far as it can stand in a header."""
    for name, value in told.items():
        if _HARMLESS.fullmatch(value):
            yield name, value


def _lines(headers: Iterable[tuple[str, str]]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("utf-8", "surrogateescape")
