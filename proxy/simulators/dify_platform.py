"""What every handler of the stand-in knows: the platform's state, who calls, and how JSON is told.

A request goes through one gate: its key is looked up, a failure that waits for it is told, and only then its
handler runs. Whatever a handler refuses is worded here, by the version.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import Factory, define, frozen

from proxy.simulators.dify_apps import App, Failure, Knobs
from proxy.simulators.dify_checks import document, user_of
from proxy.simulators.dify_errors import Refused, challenge
from proxy.simulators.dify_listen import Departure, Door
from proxy.simulators.dify_runs import Runs
from proxy.simulators.dify_store import Store, User
from proxy.simulators.dify_versions import Version
from proxy.simulators.recorded import Recorded

_REMEMBERED = 10_000  # requests kept for whoever asks
_HTML = """<!doctype html>
<html lang=en>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>There is nothing at this address.</p>
"""


@frozen(eq=False)
class DifyRequest(Recorded):
    """One request, and what became of its client."""

    at: float
    departure: Departure

    @property
    def left(self) -> float | None:
        """When its client closed the connection before the answer was complete, by the stand-in's clock."""
        return self.departure.left


@define(eq=False)
class Platform:
    """The state of one stand-in."""

    version: Version
    apps: dict[str, App]
    knobs: Knobs
    clock: Callable[[], float]
    new_id: Callable[[], str]
    door: Door
    store: Store = Factory(Store)
    runs: Runs = Factory(Runs)
    active: Counter[str] = Factory(Counter)
    """Runs that hold one of their app's places."""
    started: Counter[str] = Factory(Counter)
    requests: deque[DifyRequest] = Factory(lambda: deque(maxlen=_REMEMBERED))
    peers: dict[Any, int] = Factory(dict)

    def now(self) -> int:
        return int(self.clock())


@frozen
class Caller:
    """The app a request's key opens."""

    key: str
    app: App
    knobs: Knobs

    def user(self, name: str) -> User:
        return self.key, name


PLATFORM = web.AppKey("platform", Platform)
CALLER = web.RequestKey("caller", Caller)


def reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON as the platform tells it outside of streams: ASCII, with spaces."""
    body = json.dumps(data).encode()
    return web.Response(
        body=body, status=status, content_type="application/json", charset="utf-8", headers=headers
    )


def not_there() -> web.Response:
    return web.Response(text=_HTML, status=404, content_type="text/html")


async def body_of(request: web.Request, *, required: bool) -> tuple[Mapping[str, Any], str]:
    """The JSON body of a request, and its user."""
    body = document(request.content_type, await request.read(), orjson.loads)
    return body, user_of(body.get("user"), required=required)


def user_in_query(request: web.Request, *, required: bool = False) -> str:
    return user_of(request.query.get("user"), required=required)


# Around every request.


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    platform = request.app[PLATFORM]
    number = platform.peers.setdefault(request.get_extra_info("peername"), len(platform.peers) + 1)
    departure = Departure()
    platform.door.asked(request.transport, departure)
    transport = request.transport
    try:
        body = await request.read()
        platform.requests.append(
            DifyRequest(
                request.method, request.raw_path, request.headers, body, number, platform.clock(), departure
            )
        )
        return await handler(request)
    finally:
        platform.door.answer_over(transport)


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    version = request.app[PLATFORM].version
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return not_there()
    except web.HTTPMethodNotAllowed as error:
        refused = Refused("method_not_allowed")
        return reply(refused.document(version), 405, {"Allow": ", ".join(sorted(error.allowed_methods))})
    except Refused as refused:
        told = refused.document(version)
        if refused.code == "not_found" and version.path_hints:
            hint = f"You have requested this URI [{request.path}] but did you mean {request.path} ?"
            told["message"] = f"{refused.message.rstrip('.')}. {hint}"
        return reply(told, refused.status, challenge(refused))


def gate(handler: Handler) -> Handler:
    """Only with a key; then what the knobs have to say, then ``handler``."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        platform = request.app[PLATFORM]
        caller = _caller(platform, request.headers.get("Authorization"))
        request[CALLER] = caller
        if caller.knobs.first_delay:
            await asyncio.sleep(caller.knobs.first_delay)
        failures = caller.knobs.failures
        if failures and failures[0].path in request.path:
            return _failed(failures.popleft(), platform.version)
        return await handler(request)

    return guarded


def _caller(platform: Platform, authorization: str | None) -> Caller:
    if authorization is None or " " not in authorization:
        raise Refused("unauthorized", "Authorization header must be provided and start with 'Bearer'")
    scheme, key = authorization.split(None, 1)
    if scheme.lower() != "bearer":
        raise Refused("unauthorized", "Authorization scheme must be 'Bearer'")
    app = platform.apps.get(key)
    if app is None:
        raise Refused("unauthorized")
    if app.disabled:
        raise Refused("forbidden", app.disabled)
    return Caller(key, app, app.knobs if app.knobs is not None else platform.knobs)


def _failed(failure: Failure, version: Version) -> web.Response:
    headers = {} if failure.retry_after is None else {"Retry-After": failure.retry_after}
    if failure.body is not None:
        return web.Response(
            body=failure.body, status=failure.status, content_type=failure.content_type, headers=headers
        )
    refused = Refused(failure.code, failure.message, failure.status)
    return reply(refused.document(version), failure.status, {**challenge(refused), **headers})


async def told_by(request: web.Request, response: web.StreamResponse) -> None:
    """What every response says of the server."""
    response.headers["X-Version"] = request.app[PLATFORM].version.name
    response.headers["X-Env"] = "PRODUCTION"
