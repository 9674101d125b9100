"""What stands around every route: a record and an id, the error boundary, the key.

Three, no more, and none of them touches a stream once it has begun. The error boundary is one of the two places
that catch everything: what nobody foresaw becomes a 500 that names the request and nothing else, and one
traceback in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config import Secret
from proxy.keys import RECORD
from proxy.record import Record
from proxy.replies import error_response
from translators.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    Internal,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthenticated,
)

log = logging.getLogger("deltawire")

OPEN_PATHS = {
    "/health",
    "/livez",
    "/readyz",
    "/docs",
    "/docs/rapidoc-min.js",
    "/docs/rapidoc-min.js.LICENSE.txt",
    "/openapi.json",
}
CLIENT_LEFT = 499
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


def recording(write_lines: bool) -> Middleware:
    """An id for each request, the client's own if it is harmless, and one line when it is over."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        given = request.headers.get("X-Request-ID", "")
        id = given if _REQUEST_ID.fullmatch(given) else f"req_{os.urandom(12).hex()}"
        record = request[RECORD] = Record(id, request.method, request.rel_url.raw_path, loop.time())
        status = CLIENT_LEFT
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            if write_lines:
                record.write(status, loop.time())
            record.let_go()

    return record


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        return _told(request, error)
    except web.HTTPException as error:
        return _told(request, _retold(request, error), _allowed(error))
    except ConnectionError:
        raise  # the client is gone, and there is nobody to tell
    except Exception:
        record = request[RECORD]
        log.exception("request %s failed", record.id)
        return _told(request, Internal(f"The gateway failed. Its log tells why under {record.id}."))


def _told(
    request: web.Request, error: GatewayError, headers: dict[str, str] | None = None
) -> web.StreamResponse:
    request[RECORD].error = error
    if request[RECORD].begun and request.transport is not None:
        request.transport.abort()  # an answer that has begun must not look finished
    return error_response(error, headers)


def _retold(request: web.Request, error: web.HTTPException) -> GatewayError:
    if isinstance(error, web.HTTPNotFound):
        return NotFound(f"Unknown request URL: {request.method} {request.path[:200]}.", code="unknown_url")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(f"{request.method} is not allowed on {request.path[:200]}.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("The request is too large.")
    if isinstance(error, web.HTTPForbidden):
        return Forbidden("This origin, method or header is not allowed to be used from a browser.")
    if error.status < 500:
        return BadRequest(f"The request was refused: {error.reason}.")
    return Internal("The gateway failed.")


def _allowed(error: web.HTTPException) -> dict[str, str] | None:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return {"Allow": ", ".join(sorted(error.allowed_methods))}
    return None


def bearer(keys: Iterable[Secret]) -> Middleware:
    """A known key for everything but health, compared by digest so that time tells nothing."""
    digests = [_digest(key.reveal()) for key in keys]

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "OPTIONS" and request.path not in OPEN_PATHS:
            _check(request.headers.get("Authorization", ""), digests)
        return await handler(request)

    return authenticate


def _check(header: str, digests: list[bytes]) -> None:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated(
            "You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY.",
        )
    given = _digest(key.strip())
    known = 0
    for digest in digests:
        known |= hmac.compare_digest(given, digest)
    if not known:
        raise Unauthenticated("Incorrect API key provided.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
