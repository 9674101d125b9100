"""The server side of aiohttp, behind the doors (``proxy.door``), with what it leaves to its user.

Requests that are no HTTP are answered in the API's own error shape, and neither the answer nor the log repeats what
was sent, because it may hold a key. A handler whose client leaves is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from proxy.app import build_handler, build_route
from proxy.config import Config
from proxy.door import LARGE, Door, Doors
from proxy.headers import HEADERS, SECURITY
from proxy.keys import RECORD
from proxy.replies import error_response
from translators.errors import BadRequest, GatewayError, Internal, TooLarge

log = logging.getLogger("deltawire.http")


class Connection(web.RequestHandler):
    __slots__ = ()

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
        made, app, config = await super()._make_server(), self.app, self._config
        route = build_route(app, config)
        handler = build_handler(app, made.request_handler, config)
        server = Server(made, handler, self._kwargs)
        limits = config.limits
        largest = min(LARGE, limits.max_body)
        server.doors = Doors(route, app[HEADERS], server.further, limits.connection_timeout, largest)
        return server

    def cut(self) -> None:
        """Hang up on everybody."""
        if isinstance(self.server, Server):
            self.server.cut()


class Server(web.Server):
    doors: Doors

    def __init__(self, made: web.Server, handler: Handler, settings: dict[str, Any]) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            request_factory=made.request_factory,
            handler_cancellation=True,
            **{name: value for name, value in settings.items() if name != "handler_cancellation"},
        )

    def __call__(self) -> Door:  # type: ignore[override]
        return Door(self.doors)

    def further(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        self.doors.close()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        await asyncio.gather(self.doors.shutdown(timeout), super().shutdown(timeout))

    def cut(self) -> None:
        self.doors.cut()
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
