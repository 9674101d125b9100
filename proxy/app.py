"""The aiohttp application: routes, middlewares, CORS, and the lane beside it for the one hot route."""

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
from proxy.routes.table import CHAT as CHAT
from proxy.routes.table import ROUTES, description


@frozen
class Lane:
    """A way past the application for the route that is asked for most.

    It runs the same middlewares around the same handler, and gives answers the same headers; what it leaves out
    is finding the route and asking the signals. Who waits to be told to go on is left to the application; what
    else is expected is refused here, because the application would do so in aiohttp's words, which repeat it.
    """

    app: Handler
    route: Handler
    unmet: Handler
    headers: AnswerHeaders

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        expectation = request.headers.get(hdrs.EXPECT, "").lower()
        hot = not expectation and request.method == "POST" and request.raw_path == CHAT
        if not hot and expectation in ("", "100-continue"):
            return await self.app(request)
        response = await (self.route if hot else self.unmet)(request)
        if not response.prepared:
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


def build_lane(app: web.Application, handler: Handler, config: Config) -> Lane:
    route: Handler = Chats(app[GATEWAY], app[HEADERS]).create
    unmet: Handler = _refuse_expectation
    for middleware in reversed(_around(config)):
        route, unmet = partial(middleware, handler=route), partial(middleware, handler=unmet)
    return Lane(handler, route, unmet, app[HEADERS])


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
