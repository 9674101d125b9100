"""The script engine, heard through raw sockets and through aiohttp's client, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import repeat
from typing import Any

import aiohttp
import pytest
import uvloop

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    ScriptServer,
    Send,
    Wait,
    chunk,
    event_stream_head,
    frame,
    head,
    last_chunk,
    reply,
    stream,
)

Run = Callable[[Awaitable[Any]], Any]
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Run]:
    async def clean(scenario: Awaitable[Any]) -> None:
        await scenario
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda scenario: runner.run(clean(scenario))
    assert caplog.records == []


class Peer:
    """A client made of a reader and a writer."""

    def __init__(self, server: ScriptServer) -> None:
        self.port = int(server.url.rpartition(":")[2])

    async def __aenter__(self) -> Peer:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def heard(self, request: bytes = GET) -> bytes:
        """Everything up to the end of the connection."""
        self.writer.write(request)
        return await self.reader.read()


PLAIN = {
    "an error as JSON": [Send(reply(503, b'{"error":{}}')), Close()],
    "an error as HTML": [Send(reply(502, b"<html>", content_type="text/html")), Close()],
    "a redirect": [Send(head(302, {"Location": "/y", "Content-Length": "0"})), Close()],
    "a stream": [*stream([frame(b"1"), frame(b"2")]), Close()],
    "a stream in pairs": [
        *stream([frame(b"1"), frame(b"2"), frame(b"3")], per_write=2, delay=0.001),
        Close(),
    ],
    "no end": [*stream([frame(b"1")], end=False), Close()],
    "a bad chunk size": [Send(event_stream_head()), Send(b"zz\r\nhello\r\n"), Close()],
    "no chunk terminator": [Send(event_stream_head()), Send(b"5\r\nhello"), Close()],
    "not UTF-8": [Send(event_stream_head()), Send(chunk(frame(b"\xff\xfe")) + last_chunk()), Close()],
    "gzip": [Send(reply(200, gzip.compress(b"x" * 99), headers={"Content-Encoding": "gzip"})), Close()],
    "until close": [Send(head(200, version="1.0")), Send(b"to the end"), Close()],
    "nothing": [Close()],
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_sent_arrives_unchanged(run: Run, name: str) -> None:
    async def scenario() -> None:
        async with ScriptServer(PLAIN[name]) as server, Peer(server) as peer:
            sent = b"".join(step.data for step in PLAIN[name] if isinstance(step, Send))
            assert await peer.heard() == sent
            assert server.sent == len(sent)

    run(scenario())


def test_streams_are_chunks_and_waits() -> None:
    ones = frame(b"1")
    assert stream([ones, ones, ones], per_write=2, delay=0.5) == [
        Send(event_stream_head()),
        Wait(0.5),
        Send(chunk(ones + ones)),
        Wait(0.5),
        Send(chunk(ones)),
        Send(last_chunk()),
    ]
    assert stream([], end=False) == [Send(event_stream_head())]
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_requests_are_recorded_and_may_decide(run: Run) -> None:
    def script(request: Recorded) -> list[Send]:
        return [Send(reply(200, request.body or request.path.encode()))]

    async def scenario() -> None:
        async with ScriptServer(script) as server, aiohttp.ClientSession(server.url) as session:
            async with session.post("/a%2Fb?c=d", json={"e": 1}, headers={"X-Key": "k"}) as response:
                assert await response.json() == {"e": 1}
            async with session.put("/", data=parts()) as response:
                assert await response.read() == b"one two"
            server.script = [Send(reply(404, b""))]
            async with session.get("/y") as response:
                assert response.status == 404
            assert (server.connections, server.open_connections) == (1, 1)
            first, second, third = server.requests
            assert (first.method, first.path, first.document) == ("POST", "/a%2Fb?c=d", {"e": 1})
            assert first.headers["x-key"] == "k"
            assert (second.method, second.body) == ("PUT", b"one two")
            assert [request.connection for request in (first, second, third)] == [1, 1, 1]
        assert server.open_connections == 0

    async def parts() -> Any:
        yield b"one "
        yield b"two"

    run(scenario())


def test_pipelined_requests_are_answered_in_order(run: Run) -> None:
    async def scenario() -> None:
        async with (
            ScriptServer(lambda request: [Send(reply(200, request.path.encode()))]) as server,
            Peer(server) as peer,
        ):
            peer.writer.write(GET + GET.replace(b"/x", b"/y") + b"nonsense\r\n\r\n")
            assert (await peer.reader.read()).replace(reply(200, b"/x"), b"") == reply(200, b"/y")
            assert server.connections == 1

    run(scenario())


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * 600_000,
    ],
)
def test_a_request_that_cannot_be_read_is_hung_up_on(run: Run, request_: bytes) -> None:
    async def scenario() -> None:
        async with ScriptServer([Hang()]) as server, Peer(server) as peer:
            with contextlib.suppress(ConnectionResetError):
                assert await peer.heard(request_) == b""
            assert server.requests == []

    run(scenario())


def test_abort_is_a_reset_in_mid_frame(run: Run) -> None:
    async def scenario() -> None:
        script = [Send(event_stream_head()), Send(b"10\r\nhalf"), Wait(0.05), Abort()]
        async with ScriptServer(script) as server, Peer(server) as peer:
            peer.writer.write(GET)
            got = b""
            with pytest.raises(ConnectionResetError):
                while data := await peer.reader.read(1000):
                    got += data
            assert got == event_stream_head() + b"10\r\nhalf"
            with pytest.raises(TimeoutError):
                await server.wait_closed_by_peer(0.01)

    run(scenario())


@pytest.mark.parametrize(
    "script",
    [
        [Hang()],
        [Send(event_stream_head()), Hang()],
        [*stream([frame(b"1")], end=False), Wait(60)],
        [*stream([frame(b"1")], end=False), Hang(), Send(b"never")],
    ],
)
def test_a_peer_that_leaves_ends_the_silence(run: Run, script: list[Any]) -> None:
    async def scenario() -> None:
        async with ScriptServer(script) as server:
            async with Peer(server) as peer:
                peer.writer.write(GET)
                await server.received()
                await asyncio.sleep(0.02)
                left = time.monotonic()
            closed = await server.wait_closed_by_peer(2)
            assert left <= closed < left + 1
            await asyncio.sleep(0.02)
            assert server.open_connections == 0
            assert server.sent == sum(
                len(step.data) for step in script if isinstance(step, Send) and step.data != b"never"
            )

    run(scenario())


def test_each_connection_has_its_own_end(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptServer([Hang()]) as server:
            first_gone = asyncio.create_task(server.wait_closed_by_peer(connection=2))
            await asyncio.sleep(0)
            async with Peer(server) as first:
                async with Peer(server) as second:
                    first.writer.write(GET)
                    second.writer.write(GET)
                    latest = await server.received(2)
                    assert latest.connection in (1, 2)
                await first_gone
                assert server.open_connections == 1
                with pytest.raises(TimeoutError):
                    await server.wait_closed_by_peer(0.01, connection=1)

    run(scenario())


def test_sent_grows_only_as_the_kernel_takes_it(run: Run) -> None:
    async def scenario() -> None:
        flood = b"x" * 100_000
        script = lambda request: repeat(Send(flood))  # noqa: E731
        async with ScriptServer(script, send_buffer=32 * 1024) as server, Peer(server) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            peer.writer.write(GET)
            async with asyncio.timeout(10):
                while not server.blocked:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            stalled = server.sent
            await asyncio.sleep(0.1)
            assert server.sent == stalled
            assert server.blocked
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                while server.sent < stalled + 1_000_000:
                    await peer.reader.read(1 << 20)
            peer.writer.transport.abort()
            await server.wait_closed_by_peer(2)
        assert not server.blocked

    run(scenario())


def test_an_endless_script_leaves_time_for_others(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptServer(lambda request: repeat(Send(b"x"))) as server, Peer(server) as peer:
            peer.writer.write(GET)
            turns = 0
            while server.sent < 1_000:
                await asyncio.sleep(0)
                turns += 1
            assert turns > 500

    run(scenario())


def test_a_very_large_event(run: Run) -> None:
    async def scenario() -> None:
        size = 64 << 20
        async with ScriptServer([*stream([b"x" * size]), Close()]) as server, Peer(server) as peer:
            peer.writer.write(GET)
            got = 0
            while data := await peer.reader.read(1 << 20):
                got += len(data)
            assert got == server.sent > size

    run(scenario())


def test_leaving_the_server_ends_everything(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptServer([Hang()]) as server:
            peer = Peer(server)
            await peer.__aenter__()
            peer.writer.write(GET)
            await server.received()
        assert server.open_connections == 0
        assert await peer.reader.read() == b""
        peer.writer.close()

    run(scenario())


def test_a_broken_script_is_reported_at_the_end(run: Run) -> None:
    def script(request: Recorded) -> list[Any]:
        raise LookupError("a bug in the test")

    async def scenario() -> None:
        with pytest.raises(LookupError):
            async with ScriptServer(script) as server, Peer(server) as peer:
                assert await peer.heard() == b""
        with pytest.raises(KeyError):
            async with ScriptServer(script) as server:
                async with Peer(server) as peer:
                    assert await peer.heard() == b""
                raise KeyError("the body's own error comes first")

    run(scenario())


def test_the_clock_is_an_argument(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptServer([Hang()], clock=lambda: 12.5) as server:
            async with Peer(server) as peer:
                peer.writer.write(GET)
                await server.received()
            assert await server.wait_closed_by_peer() == 12.5

    run(scenario())
