"""What a way to an upstream promises, asked of both: whoever dials must not notice which one it has.

The promises are those of ``proxy/wire/base.py``; how each keeps them is tested beside this.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Script,
    ScriptServer,
    Send,
    Wait,
    chunk,
    event_stream_head,
    head,
    last_chunk,
    reply,
)
from proxy.wire.base import RECEIVE_BUFFER, Answer, ScriptBody, Wire
from proxy.wire.lean import LeanWire
from proxy.wire.reference import READ_AHEAD, ReferenceBody, ReferenceWire, client_session
from tests.support.tls import TlsFront
from tests.support.upstream import BluntThread
from translators.errors import (
    ShuttingDown,
    UpstreamDisconnected,
    UpstreamIncomplete,
    UpstreamMalformed,
    UpstreamStale,
    UpstreamUnreachable,
)
from translators.upstreams.plan import Call

ASK = Call("POST", "chat/completions?v=1%2F2", b'{"q":1}', {"X-Id": "a"})
OPENING = Send(event_stream_head() + chunk(b"some"))
Make = Callable[..., contextlib.AbstractAsyncContextManager[Wire]]


@asynccontextmanager
async def lean(url: str, connect_timeout: float = 2.0) -> AsyncIterator[Wire]:
    wire = LeanWire(url, {"X-All": "b"}, connect_timeout)
    try:
        yield wire
    finally:
        await wire.close()


@asynccontextmanager
async def reference(url: str, connect_timeout: float = 2.0) -> AsyncIterator[Wire]:
    async with client_session() as session:
        wire = ReferenceWire(url, {"X-All": "b"}, connect_timeout, session)
        try:
            yield wire
        finally:
            await wire.close()


@pytest.fixture(params=[lean, reference], ids=["lean", "reference"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


@asynccontextmanager
async def wired(make: Make, script: Script) -> AsyncIterator[tuple[Wire, ScriptServer]]:
    async with ScriptServer(script) as server, make(server.url + "/v1") as wire:
        yield wire, server


async def body_of(answer: Answer) -> bytes:
    pieces = []
    while piece := await answer.body.read():
        pieces.append(piece)
    answer.body.finish()
    return b"".join(pieces)


def socket_of(answer: Answer) -> socket.socket:
    body = answer.body
    transport = (
        body.response.connection.transport if isinstance(body, ReferenceBody) else body.connection._transport
    )
    return transport.get_extra_info("socket")


async def test_a_request_goes_out_whole_and_its_answer_comes_in(make):
    script = [Send(reply(418, b"hello", headers={"Retry-After": "7"}))]
    async with wired(make, script) as (wire, server):
        for _ in range(3):
            answer = await wire.send(ASK)
            assert (answer.status, answer.headers["retry-after"]) == (418, "7")
            assert await body_of(answer) == b"hello"
        asked = server.requests[-1]
        assert (asked.method, asked.path, asked.body) == ("POST", "/v1/chat/completions?v=1%2F2", ASK.body)
        assert (asked.headers["X-All"], asked.headers["X-Id"]) == ("b", "a")
        assert asked.headers["Host"] == server.url.removeprefix("http://")
        assert asked.headers.getall("Content-Length") == ["7"]
        assert server.connections == 1


async def test_a_large_request_arrives_whole(make):
    async with wired(make, [Send(reply(200, b"ok"))]) as (wire, server):
        large = bytes(range(256)) * 16_000
        assert await body_of(await wire.send(Call("POST", "x", large))) == b"ok"
        assert server.requests[0].body == large


async def test_redirects_are_not_followed_cookies_not_kept_and_compression_not_undone(make):
    odd = {"Location": "/elsewhere", "Set-Cookie": "a=b", "Content-Encoding": "gzip"}
    async with wired(make, [Send(reply(302, b"as it is", headers=odd))]) as (wire, server):
        for _ in range(2):
            answer = await wire.send(ASK)
            assert (answer.status, await body_of(answer)) == (302, b"as it is")
        assert [asked.path for asked in server.requests] == ["/v1/chat/completions?v=1%2F2"] * 2
        assert "Cookie" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([Close()], UpstreamDisconnected),
        ([Abort()], UpstreamDisconnected),
        ([Send(b"220 smtp ready\r\n\r\n"), Close()], UpstreamMalformed),
    ],
    ids=["FIN", "RST", "no HTTP"],
)
async def test_no_answer_is_an_error_of_ours(make, script, error):
    async with wired(make, script) as (wire, _):
        with pytest.raises(error) as caught:
            await wire.send(ASK)
        assert type(caught.value) is error


async def test_a_kept_connection_that_dies_unheard_is_stale(make):
    scripts = iter([[Send(reply(200, b"x"))], [Close()]])
    async with wired(make, lambda asked: next(scripts)) as (wire, _):
        await body_of(await wire.send(ASK))
        with pytest.raises(UpstreamStale):
            await wire.send(ASK)


@pytest.mark.parametrize(
    ("ending", "error"),
    [(Abort(), UpstreamIncomplete), (Close(), UpstreamIncomplete), (Send(b"zz\r\n"), UpstreamMalformed)],
    ids=["RST", "FIN", "malformed"],
)
async def test_a_body_that_breaks_off_says_so_after_what_came(make, ending, error):
    async with wired(make, [OPENING, Wait(0.05), ending, Hang()]) as (wire, _):
        answer = await wire.send(ASK)
        assert await answer.body.read() == b"some"
        with pytest.raises(error):
            await _read_or_broken(answer)
        answer.body.close()


async def test_a_read_that_comes_after_the_break_hears_of_it_by_itself(make):
    async with wired(make, [OPENING, Wait(0.05), Send(b"zz\r\n"), Hang()]) as (wire, server):
        answer = await wire.send(ASK)
        assert await answer.body.read() == b"some"
        await server.wait_closed_by_peer(2)
        with pytest.raises(UpstreamMalformed):
            await answer.body.read()
        answer.body.close()


async def _read_or_broken(answer: Answer) -> bytes:
    """What the relay does: a read, and a look at the body now and then."""
    reading = asyncio.create_task(answer.body.read())
    async with asyncio.timeout(3):
        while not reading.done():
            if (broken := answer.body.broken()) is not None:
                answer.body.fail(broken)
            await asyncio.sleep(0.01)
    return await reading


async def test_a_body_can_be_failed_from_outside(make):
    async with wired(make, [OPENING, Hang()]) as (wire, _):
        answer = await wire.send(ASK)
        assert await answer.body.read() == b"some"
        waiting = asyncio.create_task(answer.body.read())
        await asyncio.sleep(0)
        answer.body.fail(ShuttingDown("going"))
        with pytest.raises(ShuttingDown):
            await waiting
        answer.body.close()


async def test_a_body_that_is_closed_early_costs_its_connection_and_is_told_of_once(make):
    async with wired(make, [OPENING, Hang()]) as (wire, server):
        answer = await wire.send(ASK)
        told: list[None] = []
        answer.body.on_close = lambda: told.append(None)
        answer.body.close()
        answer.body.close()
        answer.body.finish()
        await server.wait_closed_by_peer(2)
        assert told == [None]


async def test_a_message_that_ends_a_moment_late_keeps_its_connection_and_another_does_not(make, monkeypatch):
    for module in ("connection", "reference"):
        monkeypatch.setattr(f"proxy.wire.{module}.LINGER", 0.15)
    late = [OPENING, Wait(0.03), Send(last_chunk())]
    async with wired(make, late) as (wire, server):
        for turn in range(3):
            answer = await wire.send(ASK)
            assert await answer.body.read() == b"some"
            answer.body.finish()
            if turn == 1:
                server.script = [OPENING, Hang()]
            await asyncio.sleep(0.08)
        assert server.connections == 1
        await server.wait_closed_by_peer(2)
        server.script = late
        assert await body_of(await wire.send(ASK)) == b"some"
        assert server.connections == 2


async def test_closing_takes_unended_messages_with_it(make):
    async with ScriptServer([OPENING, Hang()]) as server:
        async with make(server.url) as wire:
            for _ in range(3):
                answer = await wire.send(ASK)
                await answer.body.read()
                answer.body.finish()
            began = time.monotonic()
        assert time.monotonic() - began < 0.9  # sooner than a message that has not ended is given up anyway
        for number in (1, 2, 3):
            await server.wait_closed_by_peer(0.9, connection=number)


async def test_the_kernel_holds_little_of_an_answer_however_fast_it_comes(make):
    """A buffer that Linux may size itself has grown to megabytes after so much."""
    flood = [Send(event_stream_head()), *(Send(chunk(b"x" * 1_000_000)) for _ in range(40)), Hang()]
    async with wired(make, flood) as (wire, _):
        answer = await wire.send(ASK)
        seen = 0
        while seen < 40_000_000:
            seen += len(await answer.body.read())
        size = socket_of(answer).getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert size <= 2 * RECEIVE_BUFFER  # Linux doubles it
        if isinstance(answer.body, ReferenceBody):
            assert answer.body.response.content.get_read_buffer_limits() == (READ_AHEAD, 2 * READ_AHEAD)
        answer.body.close()


UNREACHABLE = ["http://127.0.0.1:1", "http://nowhere.invalid:80", "http://[::1]:1"]


@pytest.mark.parametrize("url", UNREACHABLE)
async def test_a_server_that_is_not_there_is_unreachable(make, url):
    async with make(url) as wire:
        with pytest.raises(UpstreamUnreachable) as caught:
            await wire.send(ASK)
        assert "invalid" not in caught.value.message


async def test_a_server_whose_certificate_nobody_vouches_for_is_unreachable(make):
    async with ScriptServer([Send(reply(200, b"secret"))]) as server:
        with TlsFront(int(server.url.rpartition(":")[2])) as front:
            async with make(front.url) as wire:
                with pytest.raises(UpstreamUnreachable):
                    await wire.send(ASK)
        assert server.requests == []


async def test_a_server_that_speaks_no_tls_is_unreachable(make):
    with BluntThread(b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain:
        async with make(f"https://127.0.0.1:{plain.port}") as wire:
            with pytest.raises(UpstreamUnreachable, match="secure"):
                await wire.send(ASK)


async def test_a_connection_that_is_made_while_all_are_closed_is_not_kept():
    async with ScriptServer([Send(reply(200, b"late"))]) as server:
        wire = LeanWire(server.url, {}, 2.0)
        sending = asyncio.create_task(wire.send(ASK))
        await asyncio.sleep(0)
        await wire.close()
        assert await body_of(await sending) == b"late"
        await server.wait_closed_by_peer(2)


async def test_only_the_lean_wire_can_be_tapped(make):
    async with wired(make, [Send(reply(200, b"x"))]) as (wire, _):
        answer = await wire.send(ASK)
        assert (answer.body.tap(object()) is None) == isinstance(answer.body, ReferenceBody)
        answer.body.close()


async def test_a_server_that_never_shakes_hands_is_unreachable_after_the_limit():
    with BluntThread() as silent:
        async with lean(f"https://127.0.0.1:{silent.port}", 0.2) as wire:
            with pytest.raises(UpstreamUnreachable, match="in time"):
                await wire.send(ASK)


async def test_certificates_are_checked_against_the_hosts_name():
    wire = LeanWire("https://upstream.example/v1", {}, 1.0)
    assert (wire._pool.host, wire._pool.port) == ("upstream.example", 443)
    assert wire._pool.tls.verify_mode is ssl.CERT_REQUIRED and wire._pool.tls.check_hostname
    assert b"\r\nHost: upstream.example\r\n" in wire._request(ASK)


async def test_an_answer_of_this_process_keeps_the_same_promises():
    told: list[None] = []
    body = ScriptBody(iter([(0.0, b"a"), (0.0, b"b")]), lambda: told.append(None))
    assert [await body.read() for _ in range(3)] == [b"a", b"b", b""]
    assert (body.tap(object()), body.broken()) == (None, None)
    body.fail(ShuttingDown("going"))
    with pytest.raises(ShuttingDown):
        await body.read()
    body.finish()
    body.close()
    assert told == [None]


async def test_an_answer_read_to_its_end_has_a_head_without_a_length(make):
    async with wired(make, [Send(head(200, {}) + b"to the end"), Close()]) as (wire, _):
        assert await body_of(await wire.send(ASK)) == b"to the end"
