"""The hook points of aiohttp and the event loops that the relay leans on, so that an upgrade fails here and loudly.

Some are public, some are not; all were read in the source of 3.14.5. Each test names what uses it. What aiohttp
gets wrong and we work around is pinned as well: when such a test fails, the workaround can go.
"""

from __future__ import annotations

import asyncio
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
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader

from proxy.config import Limits
from proxy.listener import NOTSENT_LOWAT, Connection, Runner
from proxy.outlet import HIGH_WATER, EventStream
from proxy.server import loop_factory
from proxy.simulators.script import (
    Hang,
    ScriptServer,
    Send,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    reply,
)

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


# The client's side: tap, body, dial.


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_changes_its_protocol_while_bytes_flow(loop):
    """Tap: set_protocol and get_protocol on a client connection, and its own handler stays connected."""

    async def main() -> None:
        steps = [Send(event_stream_head()), Wait(0.02), Send(chunk(b"a") + last_chunk())]
        async with ScriptServer(steps) as server, aiohttp.ClientSession() as session:
            response = await session.get(server.url)
            connection = response.connection
            heard: list[bytes] = []

            class Between(asyncio.Protocol):
                def data_received(self, data: bytes) -> None:
                    heard.append(data)
                    handler.data_received(data)

            transport, handler = connection.transport, connection.protocol
            assert transport.get_protocol() is handler
            transport.set_protocol(Between())
            assert handler.connected
            assert await response.content.readany() == b"a"
            assert heard == [chunk(b"a") + last_chunk()]
            transport.set_protocol(handler)

    on(loop, main)


async def test_a_connection_goes_back_to_the_pool_inside_the_parser_and_before_our_callback():
    """Tap leaves in ``on_eof``: no turn of the loop lies between the end of the body and the next request."""
    steps = [Send(event_stream_head()), Wait(0.02), Send(last_chunk())]
    async with ScriptServer(steps) as server, aiohttp.ClientSession() as session:
        response = await session.get(server.url)
        seen: list[tuple[object, bool]] = []
        response.content.on_eof(lambda: seen.append((response.connection, response.content.is_eof())))
        await response.content.wait_eof()
        assert seen == [(None, True)]


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
    """Why the relay detaches in its ``finally`` as well."""
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 10)
    order: list[int] = []
    reader.on_eof(lambda: order.append(1))
    reader.set_exception(ValueError("cut"))
    reader.feed_eof()
    assert order == []
    with pytest.raises(ValueError, match="cut"):
        reader.read_nowait()


async def test_a_reader_counts_what_it_was_fed_and_hands_out_pieces_at_once():
    reader = StreamReader(BaseProtocol(asyncio.get_running_loop()), 100)
    reader.feed_data(b"abc")
    reader.feed_data(b"defg")
    assert (reader.total_bytes, reader.read_nowait(5), reader.read_nowait(5)) == (7, b"abcde", b"fg")
    assert (reader.exception(), reader.is_eof(), reader.read_nowait(5)) == (None, False, b"")


async def test_reading_may_refill_the_reader():
    """Tap compares counts instead of stopping at a short read."""
    handler = ResponseHandler(asyncio.get_running_loop())
    handler.connection_made(_SilentTransport())
    handler.set_response_params(read_bufsize=4)
    storm = b"".join(b"1\r\nx\r\n" for _ in range(50))
    handler.data_received(event_stream_head() + storm)
    _, reader = await handler.read()
    before = reader.total_bytes
    assert before < 50
    reader.read_nowait(1024)
    assert reader.total_bytes > before


async def test_read_with_a_size_keeps_small_limits():
    """HttpBody reads in slices; a size above the limit would raise it."""
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
    """Dialer asks again only where a kept-alive connection died."""
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
    """Dialer keeps the kernel's receive buffer small."""
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


def test_protocols_have_the_five_callbacks_that_the_tap_passes_on():
    names = {name for name, _ in inspect.getmembers(asyncio.Protocol, inspect.isfunction)}
    own = {name for name in names if not name.startswith("_")}
    made = {"connection_made"}
    assert own - made == {
        "data_received",
        "eof_received",
        "connection_lost",
        "pause_writing",
        "resume_writing",
    }
    assert "get_buffer" not in dir(ResponseHandler), "aiohttp has turned to buffered protocols"


@pytest.mark.parametrize("loop", LOOPS)
def test_trap_7_callbacks_run_in_the_transports_context(loop):
    """What a request sets in a context variable is not seen where its tokens pass: nothing there may rely on it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="transport")

    async def main() -> list[str]:
        seen: list[str] = []

        class Between(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                seen.append(variable.get())
                handler.data_received(data)

        steps = [Send(event_stream_head()), Wait(0.02), Send(last_chunk())]
        async with ScriptServer(steps) as server, aiohttp.ClientSession() as session:
            response = await session.get(server.url)
            variable.set("request")
            transport, handler = response.connection.transport, response.connection.protocol
            transport.set_protocol(Between())
            await response.content.wait_eof()
            transport.set_protocol(handler)
        return seen

    assert on(loop, main) == ["transport"]


# The server's side: listener, outlet.


def test_a_response_can_hold_back_its_head():
    """EventStream: head and first frame leave in one segment."""
    assert web.StreamResponse._send_headers_immediately is True
    assert web.Response._send_headers_immediately is False
    assert EventStream._send_headers_immediately is False


async def test_writing_without_draining_never_suspends():
    """HttpOutlet writes its first bytes through aiohttp, for the head."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    protocol.connection_made(_SilentTransport())
    protocol.pause_writing()
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    step = writer.write(b"x" * 1_000_000, drain=False)
    with pytest.raises(StopIteration):
        step.send(None)
    assert (writer.output_size, writer.chunked, protocol.writing_paused) == (1_000_000, False, True)


async def test_draining_waits_for_the_transport_and_no_longer():
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
        runner = Runner(web.Application(), Limits(connection_timeout=7.0))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
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


def test_the_server_has_what_our_runner_reaches_for():
    assert list(inspect.signature(web.AppRunner._make_server).parameters) == ["self"]
    for name in ("pre_shutdown", "shutdown", "connections"):
        assert hasattr(web.Server, name)
    parameters = list(inspect.signature(web.RequestHandler.handle_error).parameters)
    assert parameters == ["self", "request", "status", "exc", "message"]
    assert list(inspect.signature(web.RequestHandler.log_exception).parameters) == ["self", "args", "kw"]


async def test_a_silent_new_connection_is_closed_by_the_keep_alive_timer():
    """Slow headers need no timer of ours: since 3.14.4 aiohttp's begins with the connection."""
    runner = Runner(web.Application(), Limits(connection_timeout=0.2))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"GET / HTTP/1.1\r\nHo")
    async with asyncio.timeout(3):
        assert await reader.read() == b""
    writer.close()
    await runner.cleanup()


class _SilentTransport(asyncio.Transport):
    """A transport that takes everything."""

    def write(self, data: Any) -> None: ...

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
