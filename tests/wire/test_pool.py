"""Connections that are kept, and those that are let go, on real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    ScriptServer,
    Send,
    Wait,
    chunk,
    head,
    last_chunk,
    reply,
)
from proxy.wire.lean import LeanWire
from translators.errors import (
    Internal,
    UpstreamDisconnected,
    UpstreamMalformed,
    UpstreamStale,
    UpstreamUnreachable,
)
from translators.upstreams.plan import Call

ASK = Call("POST", "chat/completions", b'{"q":1}')
ANSWER = [Send(reply(200, b"hello"))]


async def body_of(wire: LeanWire, call: Call = ASK) -> bytes:
    answer = await wire.send(call)
    pieces = []
    while piece := await answer.body.read():
        pieces.append(piece)
    answer.body.finish()
    return b"".join(pieces)


def wire_to(url: str, **headers: str) -> LeanWire:
    return LeanWire(url, headers, 2.0)


async def test_one_connection_serves_one_answer_after_another():
    async with ScriptServer(ANSWER) as server:
        wire = wire_to(server.url + "/v1", Authorization="Bearer k")
        for _ in range(3):
            assert await body_of(wire) == b"hello"
        assert server.connections == 1
        asked = server.requests[0]
        assert (asked.method, asked.path, asked.body) == ("POST", "/v1/chat/completions", ASK.body)
        assert asked.headers["Authorization"] == "Bearer k"
        assert asked.headers["Host"] == server.url.removeprefix("http://")
        await wire.close()


async def test_answers_at_once_have_connections_of_their_own():
    async with ScriptServer([Wait(0.05), *ANSWER]) as server:
        wire = wire_to(server.url)
        assert await asyncio.gather(*(body_of(wire) for _ in range(5))) == [b"hello"] * 5
        assert server.connections == 5
        await wire.close()


@pytest.mark.parametrize(
    "answer",
    [
        [Send(reply(200, b"hello", headers={"Connection": "close"})), Close()],
        [Send(head(200, {}) + b"hello"), Close()],
        [Send(reply(200, b"hello") + b"more")],
    ],
    ids=["close", "until the end", "excess"],
)
async def test_a_connection_that_cannot_serve_again_is_not_kept(answer):
    async with ScriptServer(answer) as server:
        wire = wire_to(server.url)
        assert await body_of(wire) == b"hello"
        assert await body_of(wire) == b"hello"
        assert server.connections == 2
        await wire.close()


async def test_bytes_for_nobody_end_the_connection():
    async with ScriptServer([*ANSWER, Wait(0.05), Send(b"HTTP/1.1 200 OK\r\n\r\n"), Hang()]) as server:
        wire = wire_to(server.url)
        assert await body_of(wire) == b"hello"
        await server.wait_closed_by_peer(2)
        assert await body_of(wire) == b"hello"
        assert server.connections == 2
        await wire.close()


async def test_a_kept_connection_that_dies_when_it_is_used_is_called_stale():
    scripts = iter([ANSWER, [Abort()]])
    async with ScriptServer(lambda asked: next(scripts)) as server:
        wire = wire_to(server.url)
        assert await body_of(wire) == b"hello"
        with pytest.raises(UpstreamStale):
            await wire.send(ASK)
        await wire.close()


async def test_a_fresh_connection_that_dies_is_not():
    async with ScriptServer([Close()]) as server:
        wire = wire_to(server.url)
        with pytest.raises(UpstreamDisconnected) as caught:
            await wire.send(ASK)
        assert not isinstance(caught.value, UpstreamStale)
        await wire.close()


async def test_an_answer_that_is_no_http_is_malformed():
    async with ScriptServer([Send(b"hello\r\n"), Hang()]) as server:
        wire = wire_to(server.url)
        with pytest.raises(UpstreamMalformed):
            await wire.send(ASK)
        await server.wait_closed_by_peer(2)
        await wire.close()


async def test_whoever_stops_waiting_for_the_head_leaves_no_connection():
    async with ScriptServer([Hang()]) as server:
        wire = wire_to(server.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await wire.send(ASK)
        await server.wait_closed_by_peer(2)
        await wire.close()


async def test_the_end_of_a_message_is_waited_for_a_moment_only(monkeypatch):
    monkeypatch.setattr("proxy.wire.connection.LINGER", 0.1)
    opening = head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"hello")
    late = [Send(opening), Wait(0.03), Send(last_chunk())]
    async with ScriptServer(
        lambda asked: late if len(server.requests) < 3 else [Send(opening), Hang()]
    ) as server:
        wire = wire_to(server.url)
        for connections in (1, 1, 1):
            answer = await wire.send(ASK)
            assert await answer.body.read() == b"hello"
            answer.body.finish()
            await asyncio.sleep(0.06)
            assert server.connections == connections
        await server.wait_closed_by_peer(2)
        await wire.close()


async def test_a_connection_nobody_needs_is_let_go():
    async with ScriptServer(ANSWER) as server:
        wire = LeanWire(server.url, {}, 2.0, keep=0.1)
        await body_of(wire)
        await server.wait_closed_by_peer(2)
        await body_of(wire)
        assert server.connections == 2
        await wire.close()


async def test_closing_cuts_what_is_under_way_and_keeps_nothing_afterwards():
    async with ScriptServer([Send(head(200, {"Content-Length": "10"}) + b"hello"), Hang()]) as server:
        wire = wire_to(server.url)
        await wire.send(ASK)
        await wire.close()
        await server.wait_closed_by_peer(2)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid:80"])
async def test_a_server_that_is_not_there_is_unreachable(url):
    wire = wire_to(url)
    with pytest.raises(UpstreamUnreachable):
        await wire.send(ASK)
    await wire.close()


@pytest.mark.parametrize("found", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
async def test_of_the_addresses_of_a_name_one_that_answers_is_taken(monkeypatch, found):
    async def resolved(host: str, port: int, **_: object) -> list[object]:
        assert host == "upstream.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port)) for one in found]

    async with ScriptServer(ANSWER) as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
        wire = wire_to(server.url.replace("127.0.0.1", "upstream.example"))
        assert await body_of(wire) == b"hello"
        assert server.requests[0].headers["host"].startswith("upstream.example:")
        await wire.close()


@pytest.mark.parametrize("found", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
async def test_a_connection_that_is_closed_before_it_can_be_used_is_none(monkeypatch, found):
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def resolved(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port)) for one in found]

    async def late(*args, **options):
        made = await connect(*args, **options)
        await asyncio.sleep(0.1)
        return made

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        monkeypatch.setattr(loop, "getaddrinfo", resolved)
        monkeypatch.setattr(loop, "create_connection", late)
        wire = wire_to(f"http://upstream.example:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(UpstreamUnreachable):
            await wire.send(ASK)
        assert not wire._pool._open
        await wire.close()


async def test_a_header_with_a_line_end_is_never_sent():
    async with ScriptServer(ANSWER) as server:
        wire = wire_to(server.url)
        with pytest.raises(Internal):
            await wire.send(Call("POST", "x", b"", {"X-Id": "a\r\nX-Evil: b"}))
        assert not server.requests
        await wire.close()
