"""The error boundary and the listener around handlers that fail in every way a handler can.

Each is reached through the application and through the door, past it: nobody may notice which way it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.heads import CHAT
from proxy.keys import RECORD
from proxy.middlewares import boundary, recording
from proxy.outlet import HttpOutlet
from tests.support.handlers import listening
from tests.support.loglines import LogLines
from tests.support.raw import RawClient, Reply
from translators.errors import Internal, RateLimited, UpstreamMalformed

SECRET = "planted-secret"
BOTH = (recording(True), boundary)
Fetch = Callable[..., Awaitable[Reply]]


@pytest.fixture
def log() -> Iterator[LogLines]:
    with LogLines() as lines:
        yield lines


def fetching(door: bool) -> Fetch:
    """What a client gets of a handler behind the given middlewares; the listener stands around them all."""

    async def fetch(handler: Callable[[web.Request], Any], *around: Middleware) -> Reply:
        def ask(port: int) -> Reply:
            with RawClient(port) as client:
                client.post(b"", path=CHAT if door else "/")
                return client.reply()

        async with listening(handler, *around, door=door) as port:
            return await asyncio.to_thread(ask, port)

    return fetch


@pytest.fixture(params=["application", "door"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    return fetching(request.param == "door")


@pytest.fixture
def by_app() -> Fetch:
    return fetching(door=False)


@pytest.fixture
def by_door() -> Fetch:
    return fetching(door=True)


def begun(request: web.Request) -> HttpOutlet:
    """An answer that has been begun the way the chat route does it."""
    outlet = HttpOutlet(request, lambda request, told: b"HTTP/1.1 200 OK\r\n")
    record = request.get(RECORD)
    if record is not None:
        record.outlet = outlet
    outlet.open(b"begun")
    return outlet


async def begun_by_aiohttp(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b"begun")
    return response


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
async def test_aiohttps_own_errors_take_our_shape(fetch, log, error, status, code):
    reply = await fetch(raising(error), *BOTH)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert reply.headers.get("allow") == ("POST, PUT" if status == 405 else None)
    assert log.tracebacks == []


async def test_our_own_errors_bring_their_headers(fetch, log):
    reply = await fetch(raising(RateLimited("slowly", retry_after=1.2)), *BOTH)
    assert (reply.status, reply.headers["retry-after"]) == (429, "2")
    assert "x-should-retry" not in reply.headers
    assert (await fetch(raising(UpstreamMalformed("odd")), *BOTH)).headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), RecursionError(SECRET), AssertionError(SECRET), MemoryError()]
)
async def test_what_nobody_foresaw_is_a_500_that_names_the_request_and_nothing_else(fetch, log, error):
    reply = await fetch(raising(error), *BOTH)
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert SECRET not in reply.body.decode()
    assert log.requests[0]["id"] in reply.json["error"]["message"]
    assert len(log.tracebacks) == 1
    assert len(log.events) == 2


async def test_a_connection_error_is_a_client_that_left(fetch, log):
    async def handler(request: web.Request) -> web.Response:
        request.transport.abort()
        raise ConnectionResetError("gone")

    with pytest.raises(IndexError):
        await fetch(handler, *BOTH)  # not even a status line
    assert (log.requests[0]["status"], log.tracebacks, len(log.events)) == (499, [], 1)


@pytest.mark.parametrize(
    ("error", "traces"), [(Internal("ours"), 0), (KeyError("ours"), 1)], ids=["foreseen", "unforeseen"]
)
async def test_an_answer_that_has_begun_is_cut_and_does_not_look_finished(fetch, log, error, traces):
    async def handler(request: web.Request) -> web.StreamResponse:
        begun(request)
        await asyncio.sleep(0.02)
        raise error

    reply = await fetch(handler, *BOTH)
    assert (reply.status, reply.complete) == (200, False)
    assert b"error" not in reply.body
    assert (len(log.tracebacks), len(log.events)) == (traces, 1 + traces)
    assert (log.requests[0]["status"], log.requests[0]["error"]) == (500, "internal_error")


async def test_an_answer_that_has_not_begun_may_still_be_an_error(fetch, log):
    async def handler(request: web.Request) -> web.StreamResponse:
        request[RECORD].outlet = HttpOutlet(request, lambda request, told: b"HTTP/1.1 200 OK\r\n")
        raise RateLimited("slowly")

    reply = await fetch(handler, *BOTH)
    assert (reply.status, reply.complete) == (429, True)


async def test_an_answer_that_went_past_aiohttp_is_not_followed_by_another(fetch, log):
    async def handler(request: web.Request) -> web.StreamResponse:
        outlet = begun(request)
        outlet.end(b"")
        return outlet.response

    reply = await fetch(handler, *BOTH)
    assert (reply.status, reply.body, reply.complete) == (200, b"begun", True)
    assert (log.requests[0]["status"], log.tracebacks) == (200, [])


async def test_a_handler_that_returns_nothing_costs_at_most_one_line_and_no_traceback(by_app, log):
    async def handler(request: web.Request) -> None:
        return None

    reply = await by_app(handler)
    assert reply.status == 500
    assert (log.tracebacks, len(log.events) <= 1) == ([], True)


async def test_a_failure_outside_of_the_application_takes_our_shape_too(by_app, log):
    reply = await by_app(raising(KeyError(SECRET)))
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert SECRET not in reply.body.decode() + log.text


@pytest.mark.parametrize("around", [(), (recording(True),)], ids=["bare", "recorded"])
async def test_a_failure_outside_of_the_application_after_the_beginning_is_a_cut(by_app, log, around):
    async def handler(request: web.Request) -> web.StreamResponse:
        begun(request) if around else await begun_by_aiohttp(request)
        raise KeyError(SECRET)

    reply = await by_app(handler, *around)
    assert (reply.status, reply.complete) == (200, False)
    assert SECRET not in reply.body.decode() + log.text


@pytest.mark.parametrize("around", [(), (recording(True),)], ids=["bare", "recorded"])
@pytest.mark.parametrize("begins", [False, True])
async def test_a_failure_behind_the_door_that_nobody_takes_is_a_cut(by_door, log, around, begins):
    async def handler(request: web.Request) -> web.StreamResponse:
        if begins:
            begun(request)
            await asyncio.sleep(0.02)
        raise KeyError(SECRET)

    if begins:
        reply = await by_door(handler, *around)
        assert (reply.status, reply.complete) == (200, False)
    else:
        with pytest.raises((IndexError, ConnectionResetError)):
            await by_door(handler, *around)
    assert (SECRET in log.text, log.tracebacks) == (False, [])
    assert "a connection failed: KeyError" in log.text


async def test_lines_can_be_switched_off(fetch, log):
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    assert (await fetch(handler, recording(False), boundary)).status == 200
    assert log.requests == []
    assert (await fetch(handler, *BOTH)).status == 200
    assert len(log.requests) == 1
