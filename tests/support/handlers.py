"""Any handler behind the gateway's own listener, so that what it does can be seen from a socket.

Requests reach it through the application; with ``door`` set, a POST of a chat completion reaches it through the
door, past aiohttp, with the same middlewares around it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.config import Config
from proxy.gateway import Gateway
from proxy.headers import HEADERS, AnswerHeaders
from proxy.keys import GATEWAY
from proxy.listener import Runner

Handler = Callable[[web.Request], Awaitable[Any]]


@asynccontextmanager
async def listening(handler: Handler, *around: Middleware, door: bool = False) -> AsyncIterator[int]:
    """The port on which ``handler`` answers whatever is asked for."""
    config = Config()
    app = web.Application(middlewares=around)
    app[GATEWAY], app[HEADERS] = Gateway(config), AnswerHeaders(config.cors)
    app.router.add_route("*", "/{path:.*}", handler)
    route = handler
    for middleware in reversed(around):
        route = partial(middleware, handler=route)
    with pytest.MonkeyPatch.context() as patch:
        if door:
            patch.setattr("proxy.listener.build_route", lambda _, __: route)
        runner = Runner(app, config)
        await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
