"""The aiohttp application: routes, middlewares, CORS, and the way past it for the one hot route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

import aiohttp_cors
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from attrs import frozen

from proxy.config import Config
from proxy.gateway import Gateway
from proxy.headers import EXPOSED, HEADERS, AnswerHeaders
from proxy.keys import GATEWAY
from proxy.middlewares import bearer, boundary, recording
from proxy.routes import docs
from proxy.routes.chat import Chats
from proxy.routes.table import ROUTES, description


@frozen
class Expecting:
    """The application, but for requests that expect what nobody offers: aiohttp would refuse them in words of its
    own, which repeat what was sent."""

    app: Handler
    unmet: Handler
    headers: AnswerHeaders

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get(hdrs.EXPECT, "").lower() in ("", "100-continue"):
            return await self.app(request)
        response = await self.unmet(request)
        self.headers.dress(request, response)
        return response


def build_app(config: Config, gateway: Gateway | None = None) -> web.Application:
    app = web.Application(middlewares=_around(config), client_max_size=config.limits.max_body)
    app[GATEWAY] = gateway or Gateway(config)
    app[HEADERS] = AnswerHeaders(config.cors)
    app.cleanup_ctx.append(_gateway)
    app[docs.DESCRIPTION] = description()
    app.router.add_routes(route.definition() for route in ROUTES)
    if config.cors.enabled:
        _answer_preflights(app, config)
    app.on_response_prepare.append(_dress)
    return app


def build_handler(app: web.Application, handler: Handler, config: Config) -> Handler:
    """For whatever aiohttp has read."""
    return Expecting(handler, _within(config, _refuse_expectation), app[HEADERS])


def build_route(app: web.Application, config: Config) -> Handler:
    """For the request that has been read past aiohttp: the same middlewares around the same handler."""
    return _within(config, Chats(app[GATEWAY], app[HEADERS]).create_read)


def _within(config: Config, handler: Handler) -> Handler:
    for middleware in reversed(_around(config)):
        handler = partial(middleware, handler=handler)
    return handler


async def _refuse_expectation(request: web.Request) -> web.StreamResponse:
    raise web.HTTPExpectationFailed


def _around(config: Config) -> Sequence[Middleware]:
    around: list[Middleware] = [recording(config.log.requests), boundary]
    if config.auth.api_keys:
        around.append(bearer(config.auth.api_keys))
    return around


async def _gateway(app: web.Application) -> AsyncIterator[None]:
    async with app[GATEWAY]:
        yield


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    request.app[HEADERS].dress(request, response)


def _answer_preflights(app: web.Application, config: Config) -> None:
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        expose_headers=EXPOSED, allow_headers="*", allow_methods=list(config.cors.methods), max_age=600
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(config.cors.origins, options))
    for route in list(app.router.routes()):
        if app[HEADERS].allows(route.method):  # aiohttp-cors takes the list of methods but does not heed it
            cors.add(route)
