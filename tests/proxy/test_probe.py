"""Asking real servers whether they are there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from proxy.config import Config, Secret, Upstream
from proxy.probe import Probe, probe

Serve = Callable[[Any], Any]
CANARY = "sk-canary"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server whose /v1/models is the given handler; gives its base address."""
    servers: list[TestServer] = []

    async def start(handler: Any) -> str:
        app = web.Application()
        app.router.add_get("/v1/models", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/v1"))

    yield start
    for server in servers:
        await server.close()


async def ask(*upstreams: Upstream, time_limit: float = 5.0) -> list[Probe]:
    ticks = iter(range(100))
    return await probe(
        Config(upstreams={upstream.name: upstream for upstream in upstreams}),
        time_limit=time_limit,
        clock=lambda: float(next(ticks)),
    )


async def test_a_list_of_models_is_counted_and_the_key_is_sent(serve: Serve) -> None:
    seen: list[dict[str, str]] = []

    async def models(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response({"object": "list", "data": [{"id": "a"}, {"id": "b"}]})

    url = await serve(models)
    (found,) = await ask(
        Upstream("a", "openai", base_url=url, api_key=Secret(CANARY), headers={"X-Team": "blue"})
    )
    assert found == Probe("a", True, "2 models", 1.0)
    assert str(found) == "a: ok: 2 models (1000 ms)"
    assert (seen[0]["Authorization"], seen[0]["X-Team"]) == (f"Bearer {CANARY}", "blue")


ANSWERS = [
    (401, b"", "refused the key (HTTP 401)"),
    (403, b"", "refused the key (HTTP 403)"),
    (404, b"", "has no list of models at this address (HTTP 404)"),
    (500, b"x", "answered (HTTP 500)"),
    (302, b"", "answered (HTTP 302)"),
    (200, b"<html>", "answered with something that is not JSON"),
    (200, b"\xff\xfe", "answered with something that is not JSON"),
    (200, b"[]", "answered with JSON that is not a list of models"),
    (200, b'{"data":{}}', "answered with JSON that is not a list of models"),
    (200, b'{"data":[' + b"1," * 3_000_000, "answered with something that is not JSON"),
]


@pytest.mark.parametrize(("status", "body", "detail"), ANSWERS)
async def test_other_answers(serve: Serve, status: int, body: bytes, detail: str) -> None:
    async def models(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "http://127.0.0.1:1/"})

    (found,) = await ask(Upstream("a", "openai", base_url=await serve(models)))
    assert (found.ok, found.detail) == (False, detail)
    assert str(found).startswith("a: FAILED: ")


async def raw(reply: bytes | None) -> tuple[asyncio.Server, str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply is None:
            await reader.read()
        writer.write(reply or b"")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, f"://127.0.0.1:{server.sockets[0].getsockname()[1]}"


RAW = [
    (b"", "http", "closed the connection without an answer"),
    (b"nonsense\r\n\r\n", "http", "answered with something that is not HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "http", "broke off its answer"),
    (None, "http", "no answer in time"),
]


@pytest.mark.parametrize(("reply", "scheme", "detail"), RAW)
async def test_broken_servers(reply: bytes | None, scheme: str, detail: str) -> None:
    server, rest = await raw(reply)
    async with server:
        (found,) = await ask(
            Upstream("a", "openai", base_url=scheme + rest), time_limit=0.3 if reply is None else 5
        )
    assert (found.ok, found.detail) == (False, detail)


async def test_nobody_there_and_nothing_to_ask() -> None:
    found = await ask(
        Upstream("gone", "openai", base_url=f"http://127.0.0.1:{unused_port()}"),
        Upstream("builtin", "builtin"),
        Upstream("odd", "openai", base_url="http://name.invalid"),
    )
    assert [(one.upstream, one.ok) for one in found] == [("gone", False), ("builtin", True), ("odd", False)]
    assert found[0].detail == "cannot be reached"


async def test_no_tls_where_tls_was_promised() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        peer, _ = listener.accept()
        peer.recv(1024)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()

    refusing = asyncio.get_running_loop().run_in_executor(None, refuse)
    (found,) = await ask(Upstream("a", "openai", base_url=f"https://127.0.0.1:{listener.getsockname()[1]}"))
    await refusing
    listener.close()
    assert (found.ok, found.detail) == (False, "no TLS connection")


async def test_all_are_asked_at_once(serve: Serve) -> None:
    both = asyncio.Event()
    waiting = []

    async def models(request: web.Request) -> web.Response:
        waiting.append(request)
        if len(waiting) == 2:
            both.set()
        await both.wait()
        return web.json_response({"data": []})

    url = await serve(models)
    found = await ask(Upstream("a", "openai", base_url=url), Upstream("b", "openai", base_url=url))
    assert [one.ok for one in found] == [True, True]
