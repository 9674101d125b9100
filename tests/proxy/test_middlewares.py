"""The error boundary and the listener around handlers that fail in every way a handler can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.config import Limits
from proxy.listener import Runner
from proxy.middlewares import boundary, recording
from tests.support.loglines import LogLines
from tests.support.raw import RawClient, Reply
from translators.errors import Internal, RateLimited, UpstreamMalformed

SECRET = "planted-secret"
BOTH = (recording(True), boundary)


@pytest.fixture
def log() -> Iterator[LogLines]:
    with LogLines() as lines:
        yield lines


async def fetch(handler: Callable[[web.Request], Any], *around: Middleware) -> Reply:
    """What a client gets of ``handler`` behind the given middlewares; the listener stands around them all."""
    app = web.Application(middlewares=around)
    app.router.add_get("/", handler)
    runner = Runner(app, Limits())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    def ask() -> Reply:
        with RawClient(runner.addresses[0][1]) as client:
            client.request("GET", "/")
            return client.reply()

    try:
        return await asyncio.to_thread(ask)
    finally:
        await runner.cleanup()


def raising(error: BaseException) -> Callable[[web.Request], Any]:
    async def handler(request: web.Request) -> web.Response:
        raise error

    return handler


HTTP_ERRORS = [
    (web.HTTPRequestEntityTooLarge(10, 20), 413, "request_too_large"),
    (web.HTTPForbidden(), 403, None),
    (web.HTTPGone(), 400, None),
    (web.HTTPExpectationFailed(), 400, None),
    (web.HTTPNotImplemented(), 500, "internal_error"),
    (web.HTTPNotFound(), 404, "unknown_url"),
    (web.HTTPMethodNotAllowed("GET", ["POST", "PUT"]), 405, "method_not_supported"),
]


@pytest.mark.parametrize(
    ("error", "status", "code"), HTTP_ERRORS, ids=[str(e.status) for e, _, _ in HTTP_ERRORS]
)
async def test_aiohttps_own_errors_take_our_shape(log, error, status, code):
    reply = await fetch(raising(error), *BOTH)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert reply.headers.get("allow") == ("POST, PUT" if status == 405 else None)
    assert log.tracebacks == []


async def test_our_own_errors_bring_their_headers(log):
    reply = await fetch(raising(RateLimited("slowly", retry_after=1.2)), *BOTH)
    assert (reply.status, reply.headers["retry-after"]) == (429, "2")
    assert "x-should-retry" not in reply.headers
    assert (await fetch(raising(UpstreamMalformed("odd")), *BOTH)).headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), RecursionError(SECRET), AssertionError(SECRET), MemoryError()]
)
async def test_what_nobody_foresaw_is_a_500_that_names_the_request_and_nothing_else(log, error):
    reply = await fetch(raising(error), *BOTH)
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert SECRET not in reply.body.decode()
    assert log.requests[0]["id"] in reply.json["error"]["message"]
    assert len(log.tracebacks) == 1
    assert len(log.events) == 2


async def test_a_connection_error_is_a_client_that_left(log):
    async def handler(request: web.Request) -> web.Response:
        request.transport.abort()
        raise ConnectionResetError("gone")

    with pytest.raises(IndexError):
        await fetch(handler, *BOTH)  # not even a status line
    assert (log.requests[0]["status"], log.tracebacks, len(log.events)) == (499, [], 1)


@pytest.mark.parametrize("error", [Internal("ours"), KeyError("ours")])
async def test_an_answer_that_has_begun_is_cut_and_does_not_look_finished(log, error):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.sleep(0.02)
        raise error

    reply = await fetch(handler, *BOTH)
    assert (reply.status, reply.complete) == (200, False)
    assert len(log.events) <= 2


async def test_a_handler_that_returns_nothing_costs_one_line_and_no_traceback(log):
    async def handler(request: web.Request) -> None:
        return None

    reply = await fetch(handler)
    assert reply.status == 500
    assert (log.tracebacks, len(log.events)) == ([], 1)


async def test_a_failure_outside_of_the_application_takes_our_shape_too(log):
    reply = await fetch(raising(KeyError(SECRET)))
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert SECRET not in reply.body.decode() + log.text


async def test_a_failure_outside_of_the_application_after_the_beginning_is_a_cut(log):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"begun")
        raise KeyError(SECRET)

    reply = await fetch(handler)
    assert (reply.status, reply.complete) == (200, False)
    assert SECRET not in log.text


async def test_lines_can_be_switched_off(log):
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    assert (await fetch(handler, recording(False), boundary)).status == 200
    assert log.requests == []
    assert (await fetch(handler, *BOTH)).status == 200
    assert len(log.requests) == 1
