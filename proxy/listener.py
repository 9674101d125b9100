"""The server side of aiohttp, with what it leaves to its user.

Every accepted connection gets little kernel buffer for bytes that the client has not taken, so that a slow
reader is noticed early; requests that are no HTTP are answered in the API's own error shape, and neither the
answer nor the log repeats what was sent, because it may hold a key. A handler whose client leaves is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from proxy.app import build_lane
from proxy.config import Config
from proxy.headers import SECURITY
from proxy.keys import RECORD
from proxy.outlet import HIGH_WATER
from proxy.replies import error_response
from translators.errors import BadRequest, GatewayError, Internal, TooLarge

log = logging.getLogger("deltawire.http")

NOTSENT_LOWAT = 16 * 1024
"""Bytes that the kernel may hold unsent for one client."""


class Connection(web.RequestHandler):
    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=HIGH_WATER)
        sock = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT") and sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp could not read as HTTP, or a failure outside of the application."""
        log.debug("a request was refused with status %d", status)
        record = request.get(RECORD)
        if request.writer.output_size > 0 or (record is not None and record.begun):
            raise ConnectionError("an answer has begun and cannot be taken back")
        response = error_response(_judged(status, exc), SECURITY)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """aiohttp would write a traceback for every client that misbehaves."""
        error = kwargs.get("exc_info")
        log.warning("a connection failed: %s", type(error).__name__)


def _judged(status: int, exc: BaseException | None) -> GatewayError:
    if isinstance(exc, LineTooLong):
        return TooLarge("The request line or a header is too long.")
    if status < 500:
        return BadRequest("The request is not valid HTTP.")
    return Internal("The gateway failed.")


class Runner(web.AppRunner):
    """An application runner whose connections are ours."""

    def __init__(self, app: web.Application, config: Config) -> None:
        self._config = config
        super().__init__(
            app,
            handler_cancellation=True,
            keepalive_timeout=config.limits.connection_timeout,
            access_log=None,
            shutdown_timeout=5.0,
            auto_decompress=False,
            logger=log,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, build_lane(self.app, made.request_handler, self._config), self._kwargs)


class _Server(web.Server):
    def __init__(self, made: web.Server, handler: Handler, settings: dict[str, Any]) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            request_factory=made.request_factory,
            handler_cancellation=True,
            **{name: value for name, value in settings.items() if name != "handler_cancellation"},
        )

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)
