"""The outlet in front of a real connection: framing, fullness, and what happens when the client has gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from proxy.config import Limits
from proxy.listener import Runner
from proxy.outlet import HIGH_WATER, HttpOutlet
from proxy.server import loop_factory

Handler = Callable[[HttpOutlet], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def exchange(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    """Serve one request with the given handler and return all that the client got, head included."""

    async def serve(handler: Handler, client: Any, version: str) -> bytes:
        done = asyncio.get_running_loop().create_future()

        async def handle(request: web.Request) -> web.StreamResponse:
            outlet = HttpOutlet(request, {"Content-Type": "text/plain"})
            try:
                await handler(outlet)
            except BaseException as error:
                done.set_exception(error)
                raise
            done.set_result(None)
            return outlet.response

        app = web.Application()
        app.router.add_get("/", handle)
        runner = Runner(app, Limits())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        question = f"GET / HTTP/{version}\r\nHost: t\r\nConnection: close\r\n\r\n".encode()
        got = await asyncio.to_thread(client, runner.addresses[0][1], question)
        await asyncio.wait([done], timeout=5)
        done.exception()
        await runner.cleanup()
        return got

    def run(handler: Handler, client: Any = None, version: str = "1.1") -> bytes:
        with asyncio.Runner(loop_factory=loop_factory(request.param)) as runner:
            return runner.run(serve(handler, client or read_all, version))

    return run


def read_all(port: int, question: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(question)
        got = b""
        while data := client.recv(65536):
            got += data
        return got


def test_head_and_first_frame_are_one_write(exchange):
    written: list[int] = []

    async def handler(outlet: HttpOutlet) -> None:
        writer = await outlet.response.prepare(outlet.request)
        written.append(writer.output_size)
        await outlet.open(b"first")
        await outlet.close(b"")

    got = exchange(handler)
    assert written == [0]
    assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n\r\n5\r\nfirst\r\n" in got


def test_frames_are_chunks_and_the_body_ends(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"one")
        outlet.write(b"x" * 300)
        await outlet.close(b"two")
        assert outlet.sent == 306

    got = exchange(handler)
    assert got.endswith(b"\r\n3\r\none\r\n12c\r\n" + b"x" * 300 + b"\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_an_old_client_gets_the_bytes_as_they_are(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"one")
        outlet.write(b"two")
        await outlet.close(b"")

    assert exchange(handler, version="1.0").endswith(b"\r\n\r\nonetwo")


def test_trap_8_a_large_write_makes_it_full_at_once_whatever_the_loop_says(exchange):
    seen: list[tuple[bool, bool]] = []

    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"-")
        seen.append((outlet.full, outlet.waiting > 0))
        outlet.write(b"~" * 8_000_000)
        seen.append((outlet.full, outlet.waiting > HIGH_WATER))
        await outlet.drain()
        seen.append((outlet.full, outlet.waiting > HIGH_WATER))
        await outlet.close(b"")

    assert exchange(handler).count(b"~") == 8_000_000
    assert seen == [(False, False), (True, True), (False, False)]


class Lagging:
    """A connection whose loop does not say that it is behind, as uvloop's until it turns."""

    writing_paused = False

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return HIGH_WATER + 1


async def test_trap_8_bytes_count_even_where_the_loop_has_said_nothing():
    outlet = HttpOutlet(SimpleNamespace(protocol=Lagging()), {})
    outlet._transport = Lagging()
    assert outlet.full


async def test_trap_8_draining_gives_the_loop_a_turn_to_find_out():
    turned: list[bool] = []

    async def drained() -> None:
        assert turned == [True]

    outlet = HttpOutlet(SimpleNamespace(protocol=Lagging()), {})
    outlet._writer = SimpleNamespace(drain=drained)
    asyncio.get_running_loop().call_soon(turned.append, True)
    await outlet.drain()


def test_closing_waits_until_the_last_byte_is_taken(exchange):
    left: list[int] = []

    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"-")
        outlet.write(b"x" * 3_000_000)
        await outlet.close(b"end")
        left.append(outlet.waiting)

    assert b"end\r\n0\r\n\r\n" in exchange(handler)
    assert left == [0]


def read_until_cut(port: int, question: bytes) -> bytes:
    try:
        return read_all(port, question)
    except ConnectionResetError:
        return b""


def test_a_client_that_has_left_is_written_to_in_vain(exchange):
    after: list[object] = []

    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"-")
        outlet._transport.abort()
        outlet.write(b"nobody hears this")
        after.extend((outlet.sent, outlet.waiting, outlet.full))

    exchange(handler, read_until_cut)
    assert after == [1, 0, False]


@pytest.mark.parametrize("turns", [0, 3], ids=["leaving", "gone"])
def test_opening_for_a_client_that_has_left_is_a_connection_error(exchange, turns):
    """A late head is written by a task of its own, which nobody cancels when the connection is lost."""
    raised: list[BaseException] = []

    async def handler(outlet: HttpOutlet) -> None:
        async def late() -> None:
            outlet.request.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                await outlet.open(b"-")
            except ConnectionError as error:
                raised.append(error)

        task = asyncio.create_task(late())
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.wait([task])

    exchange(handler, read_until_cut)
    assert len(raised) == 1


def test_cutting_before_anything_was_said_is_harmless(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        outlet.abort()
        await outlet.open(b"said")
        await outlet.close(b"")

    assert b"said" in exchange(handler)


def test_cutting_ends_the_connection_without_an_end(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        await outlet.open(b"said")
        await asyncio.sleep(0.02)
        outlet.abort()

    assert b"0\r\n\r\n" not in exchange(handler, read_until_cut)
