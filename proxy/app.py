"""The aiohttp application: routes, middlewares, CORS and the headers that every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp_cors
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from proxy.config import Config, Cors
from proxy.gateway import Gateway
from proxy.keys import GATEWAY, RECORD
from proxy.middlewares import bearer, boundary, recording
from proxy.routes import chat, health, models

EXPOSED = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-poll-after-ms",
)
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "openai-version": "2020-10-01",
}


def build_app(config: Config, gateway: Gateway | None = None) -> web.Application:
    around: list[Middleware] = [recording(config.log.requests), boundary]
    if config.auth.api_keys:
        around.append(bearer(config.auth.api_keys))
    app = web.Application(middlewares=around, client_max_size=config.limits.max_body)
    app[GATEWAY] = gateway or Gateway(config)
    app.cleanup_ctx.append(_gateway)
    app.on_response_prepare.append(_add_headers)
    app.router.add_routes(
        [
            web.post("/v1/chat/completions", chat.create),
            web.get("/v1/models", models.index, allow_head=False),
            web.get("/v1/models/{id:.+}", models.show, allow_head=False),
            web.get("/health", health.health),
            web.get("/livez", health.live),
            web.get("/readyz", health.ready),
        ]
    )
    if config.cors.enabled:
        _allow_other_origins(app, config.cors)
    return app


async def _gateway(app: web.Application) -> AsyncIterator[None]:
    async with app[GATEWAY]:
        yield


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY)
    response.headers["Server"] = "deltawire"
    record = request.get(RECORD)
    if record is not None:
        response.headers["x-request-id"] = record.id
        elapsed = asyncio.get_running_loop().time() - record.began
        response.headers["openai-processing-ms"] = str(int(elapsed * 1000))


def _allow_other_origins(app: web.Application, config: Cors) -> None:
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        expose_headers=EXPOSED, allow_headers="*", allow_methods=list(config.methods), max_age=600
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(config.origins, options))
    for route in list(app.router.routes()):
        if _may_be_used(route.method, config):  # aiohttp-cors takes the list of methods but does not heed it
            cors.add(route)
    app.on_response_prepare.append(_complete_cors(config))


def _may_be_used(method: str, config: Cors) -> bool:
    return method in config.methods or (method == hdrs.METH_HEAD and hdrs.METH_GET in config.methods)


def _complete_cors(config: Cors) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """aiohttp-cors knows only routes: an unknown path or method gets its headers here, and caches are told."""

    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        allowed = "*" in config.origins or origin in config.origins
        if (
            allowed
            and _may_be_used(request.method, config)
            and request.method != hdrs.METH_OPTIONS
            and hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in headers
        ):
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(EXPOSED)

    return complete
