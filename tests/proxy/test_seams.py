"""The hook points of aiohttp and the event loops that the relay leans on, so that an upgrade fails here and loudly.

Some are public, some are not; all were read in the source of 3.14.5. Each test names what uses it. What aiohttp
gets wrong and we work around is pinned as well: when such a test fails, the workaround can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import socket
from typing import Any

import aiohttp
import aiohttp.http_parser
import pytest
import uvloop
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader

from proxy.app import build_app
from proxy.door import NOTSENT_LOWAT
from proxy.listener import Connection, Runner
from proxy.outlet import HIGH_WATER, Sent
from proxy.server import loop_factory
from proxy.simulators.script import (
    Hang,
    ScriptServer,
    Send,
    Wait,
    event_stream_head,
    reply,
)
from tests.support.gateway import builtin_upstream, config_of

LOOPS = ["asyncio", "uvloop"]


def on(loop: str, main: Any) -> Any:
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(main())


def test_the_version_is_one_whose_source_was_read():
    """A newer minor version may have moved any of these: read its change log, then raise this."""
    assert aiohttp.__version__.startswith("3.14.")


def test_the_parsers_are_the_compiled_ones():
    assert aiohttp.http_parser.HttpRequestParser is not aiohttp.http_parser.HttpRequestParserPy
    assert aiohttp.http_parser.HttpResponseParser is not aiohttp.http_parser.HttpResponseParserPy


def test_uvloop_is_what_auto_means_here():
    assert loop_factory("auto") is uvloop.new_event_loop


# The client's side: wire/reference.


async def test_callbacks_of_the_end_are_called_in_order_and_at_once():
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 10)
    order: list[int] = []
    reader.on_eof(lambda: order.append(1))
    reader.on_eof(lambda: order.append(2))
    reader.feed_eof()
    assert order == [1, 2]
    reader.on_eof(lambda: order.append(3))
    assert order == [1, 2, 3]


async def test_an_exception_clears_the_callbacks_of_the_end():
    """Why ``ReferenceBody`` gives up a lingering answer by itself as well."""
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 10)
    order: list[int] = []
    reader.on_eof(lambda: order.append(1))
    reader.set_exception(ValueError("cut"))
    reader.feed_eof()
    assert order == []
    with pytest.raises(ValueError, match="cut"):
        reader.read_nowait()


async def test_a_reader_counts_what_it_was_fed_and_says_how_it_ended():
    """``ReferenceBody.broken`` is asked only when everything that came has been read."""
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 100)
    reader.feed_data(b"abc")
    reader.feed_data(b"defg")
    assert (reader.total_bytes, await reader.read(5), await reader.read(5)) == (7, b"abcde", b"fg")
    assert (reader.exception(), reader.is_eof()) == (None, False)
    reader.feed_eof()
    assert (reader.is_eof(), await reader.read(5)) == (True, b"")


async def test_a_read_that_waits_hears_of_an_exception():
    """``ReferenceBody.fail``."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.connection_made(_SilentTransport())
    reader = StreamReader(protocol, 100)
    waiting = asyncio.create_task(reader.read(5))
    await asyncio.sleep(0)
    reader.set_exception(ValueError("told"))
    with pytest.raises(ValueError, match="told"):
        await waiting


async def test_read_with_a_size_keeps_small_limits():
    """``ReferenceBody`` reads in slices; a size above the limit would raise it."""
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 16 * 1024)
    reader.feed_data(b"x")
    assert await reader.read(16 * 1024) == b"x"
    assert reader.get_read_buffer_limits() == (16 * 1024, 32 * 1024)


async def test_malformed_chunks_close_the_connection_and_leave_the_reader_untold():
    """Why ``Body.broken`` exists. If this fails, aiohttp tells the reader and ``broken`` can go."""
    steps = [Send(event_stream_head()), Wait(0.02), Send(b"zz\r\n"), Hang()]
    async with ScriptServer(steps) as server, aiohttp.ClientSession() as session:
        response = await session.get(server.url)
        handler = response.connection.protocol
        await asyncio.sleep(0.2)
        assert not handler.connected
        assert (response.content.exception(), response.content.is_eof()) == (None, False)
        response.close()


async def test_a_reused_connection_is_announced_with_the_requests_own_context():
    """``ReferenceWire`` says stale only where a kept-alive connection died."""
    said: list[str] = []

    async def reused(session: object, context: Any, params: object) -> None:
        said.append(context.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    async with (
        ScriptServer([Send(reply(200, b"{}"))]) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
    ):
        for name in ("first", "second"):
            async with session.post(server.url, trace_request_ctx=name) as response:
                await response.read()
    assert said == ["second"]


async def test_a_connector_takes_its_sockets_from_us():
    """``client_session`` keeps the kernel's receive buffer small."""
    made: list[socket.socket] = []

    def make(address: aiohttp.AddrInfoType) -> socket.socket:
        made.append(socket.socket(*address[:3]))
        return made[-1]

    connector = aiohttp.TCPConnector(socket_factory=make)
    async with (
        ScriptServer([Send(reply(200, b"{}"))]) as server,
        aiohttp.ClientSession(connector=connector) as s,
        s.get(server.url) as response,
    ):
        await response.read()
    assert len(made) == 1


# Transports: wire/connection, outlet.


class Ear(asyncio.Protocol):
    """Notes what a transport says."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.heard.append("data")
        self.data += data

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.append("lost")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def connected(script: ScriptServer) -> tuple[Any, Ear]:
    port = int(script.url.rpartition(":")[2])
    return await asyncio.get_running_loop().create_connection(Ear, "127.0.0.1", port)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_is_paused_and_resumed_and_says_which(loop):
    """``Connection.hold`` and ``flow``."""

    async def main() -> None:
        async with ScriptServer([Send(b"a"), Wait(0.05), Send(b"b"), Hang()]) as server:
            transport, ear = await connected(server)
            transport.write(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: ear.data == b"a")
            transport.pause_reading()
            assert not transport.is_reading()
            await asyncio.sleep(0.1)
            assert ear.data == b"a"
            transport.resume_reading()
            assert transport.is_reading()
            await until(lambda: ear.data == b"ab")
            transport.abort()
            assert transport.is_closing()
            assert "lost" not in ear.heard, "the loop tells of it in its next turn"
            await until(lambda: "lost" in ear.heard)

    on(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_that_is_closing_may_be_paused_and_resumed(loop):
    """``Connection`` does not ask before it does."""

    async def main() -> None:
        async with ScriptServer([Hang()]) as server:
            transport, ear = await connected(server)
            transport.pause_reading()
            transport.abort()
            transport.resume_reading()
            transport.pause_reading()
            await until(lambda: "lost" in ear.heard)

    on(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_lower_limit_is_heeded_for_what_waits_already(loop):
    """``HttpOutlet.taken`` sets it to nothing, waits, and sets it back."""

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        transport, ear = await asyncio.get_running_loop().create_connection(Ear, *address)
        with listener, listener.accept()[0] as peer:
            transport.set_write_buffer_limits(high=64_000_000)
            transport.write(b"x" * 32_000_000)
            await asyncio.sleep(0)
            assert transport.get_write_buffer_size() > 0
            assert ear.heard == []
            transport.set_write_buffer_limits(high=0)
            await until(lambda: ear.heard == ["pause"])
            peer.setblocking(False)
            while "resume" not in ear.heard:
                with contextlib.suppress(BlockingIOError):
                    peer.recv(1_000_000)
                await asyncio.sleep(0)
            assert transport.get_write_buffer_size() == 0
            transport.abort()
            await until(lambda: "lost" in ear.heard)

    on(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_trap_7_callbacks_run_in_the_context_in_which_the_connection_was_made(loop):
    """What a later request sets in a context variable is not seen where its tokens pass: nothing may rely on it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="first request")
    seen: list[str] = []

    class Reader(Ear):
        def data_received(self, data: bytes) -> None:
            seen.append(variable.get())

    async def main() -> None:
        async with ScriptServer([Send(b"a"), Hang()]) as server:
            port = int(server.url.rpartition(":")[2])
            transport, _ = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
            variable.set("second request")
            transport.write(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: bool(seen))
            transport.abort()

    on(loop, main)
    assert seen == ["first request"]


# The server's side: listener, outlet.


def runner_with(connection_timeout: float) -> Runner:
    config = config_of(builtin_upstream(), limits={"connection_timeout": connection_timeout})
    return Runner(build_app(config), config)


@pytest.mark.parametrize(("keep_alive", "answers"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_handler_may_write_to_the_transport_itself(loop, keep_alive, answers):
    """``HttpOutlet`` does and returns ``Sent``: aiohttp adds nothing, and goes on or hangs up as it is told."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        request.transport.write(said)
        return Sent(keep_alive)

    async def main() -> bytes:
        runner = web.ServerRunner(web.Server(handler, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        heard = b""
        for _ in range(answers):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            heard += await reader.readexactly(len(said))
        if not keep_alive:
            async with asyncio.timeout(3):
                heard += await reader.read()
        writer.close()
        await runner.cleanup()
        return heard

    assert on(loop, main) == said * answers


async def test_the_handler_asks_of_a_response_what_sent_answers():
    """What ``RequestHandler.finish_response`` calls; more of it would reach a response that was never prepared."""
    sent = Sent(True)
    assert (sent.prepared, sent.keep_alive) == (True, True)
    assert await sent.prepare(None) is None
    assert await sent.write_eof() is None
    source = inspect.getsource(web.RequestHandler.finish_response)
    assert "resp.prepare" in source or "prepare_meth" in source
    assert "resp.write_eof()" in source


async def test_a_body_that_has_come_is_read_in_one_go():
    """``read_body`` awaits only what has not come."""
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 100)
    reader.feed_data(b"abc")
    assert not reader.is_eof()
    reader.feed_data(b"defg")
    reader.feed_eof()
    assert (reader.is_eof(), reader.read_nowait(), reader.read_nowait()) == (True, b"abcdefg", b"")


async def test_draining_waits_for_the_transport_and_no_longer():
    """``HttpOutlet.drain`` asks the request's own writer."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.connection_made(_SilentTransport())
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    await writer.drain()
    protocol.pause_writing()
    waiting = asyncio.create_task(writer.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    protocol.resume_writing()
    await waiting


@pytest.mark.parametrize("loop", LOOPS)
def test_accepted_connections_are_ours_and_tuned(loop):
    """Runner hands its own class to aiohttp's server; the kernel holds little for a slow reader."""

    async def main() -> tuple[type, int, int, bool]:
        runner = runner_with(7.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"GET ")
        async with asyncio.timeout(5):
            while not runner.server.connections:
                await asyncio.sleep(0.01)
        [connection] = runner.server.connections
        transport = connection.transport
        lowat = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        high = transport.get_write_buffer_limits()[1] if hasattr(transport, "get_write_buffer_limits") else 0
        found = type(connection), lowat, high, runner.server.handler_cancellation
        assert connection.keepalive_timeout == 7.0
        writer.close()
        await runner.cleanup()
        return found

    assert on(loop, main) == (Connection, NOTSENT_LOWAT, HIGH_WATER, True)


async def test_the_server_has_what_our_runner_reaches_for():
    assert list(inspect.signature(web.AppRunner._make_server).parameters) == ["self"]
    for name in ("pre_shutdown", "shutdown", "connections", "request_factory", "request_handler"):
        assert name in {*dir(web.Server), *vars(web.Server(_nothing))}
    for name in ("handler", "request_factory", "handler_cancellation"):
        assert name in inspect.signature(web.Server.__init__).parameters
    assert {"_loop", "_kwargs"} <= set(vars(web.Server(_nothing)))
    parameters = list(inspect.signature(web.RequestHandler.handle_error).parameters)
    assert parameters == ["self", "request", "status", "exc", "message"]
    assert list(inspect.signature(web.RequestHandler.log_exception).parameters) == ["self", "args", "kw"]


async def test_a_silent_new_connection_is_closed_by_the_keep_alive_timer():
    """Slow headers need no timer of ours: since 3.14.4 aiohttp's begins with the connection."""
    runner = runner_with(0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"GET / HTTP/1.1\r\nHo")
    async with asyncio.timeout(3):
        assert await reader.read() == b""
    writer.close()
    await runner.cleanup()


async def _nothing(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


class _SilentTransport(asyncio.Transport):
    """A transport that takes everything."""

    def write(self, data: Any) -> None: ...

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
