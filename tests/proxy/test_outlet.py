"""The outlet in front of a real connection: framing, fullness, and what happens when the client has gone.

It writes to the transport beside aiohttp, so it also has to leave the connection as aiohttp expects it. Each case
runs over a connection of aiohttp's and over a door, which reads all questions but those that are odd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import HttpVersion11, web
from attrs import define, field

from proxy.asked import Asked
from proxy.heads import CHAT, Heads
from proxy.outlet import HIGH_WATER, HttpOutlet
from proxy.server import loop_factory
from tests.support.handlers import listening
from tests.support.raw import RawClient, Reply

Handler = Callable[[HttpOutlet], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
END = b"0\r\n\r\n"


def question(version: str = "1.1", *lines: str) -> bytes:
    head = [f"POST {CHAT} HTTP/{version}", "Host: t", *lines, "Content-Length: 0"]
    return "\r\n".join([*head, "", ""]).encode()


ASKED = question()
LAST = question("1.1", "Connection: close")


@pytest.fixture(
    params=[(loop, way) for loop in ("asyncio", "uvloop") for way in ("aiohttp", "door")], ids="-".join
)
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Serve one connection with the given handler and return what the client made of it."""

    loop, way = request.param
    if way == "aiohttp":
        monkeypatch.setattr(Heads, "read", lambda heads, data: None)

    async def serve(handler: Handler, client: Callable[[int], Any]) -> Any:
        failed: list[object] = []
        running: set[asyncio.Task[Any] | None] = set()

        async def handle(request: web.Request) -> web.StreamResponse:
            usual = request.version == HttpVersion11 and "Connection" not in request.headers
            assert isinstance(request, Asked) == (way == "door" and usual)
            running.add(asyncio.current_task())
            outlet = HttpOutlet(request, lambda request, told: HEAD)
            try:
                await handler(outlet)
            except Exception as error:
                failed.append(error)
                raise
            return outlet.response

        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        async with listening(handle, door=way == "door") as port:
            got = await asyncio.to_thread(client, port)
            await asyncio.wait(running, timeout=5)
        assert failed == []
        return got

    def run(handler: Handler, client: Callable[[int], Any] = read_all) -> Any:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            return runner.run(serve(handler, client))

    return run


def read_all(port: int, asked: bytes = ASKED, answers: int = 1) -> bytes:
    """So many answers, or what there is up to the end of the connection."""
    with RawClient(port) as client:
        client.send(asked)
        return b"".join(client.until(END) for _ in range(answers))


@define
class Wire:
    """A transport and the request that came over it, with nothing behind them."""

    written: list[bytes] = field(factory=list)
    version: tuple[int, int] = HttpVersion11
    keep_alive: bool = True
    writer: None = None

    @property
    def transport(self) -> Wire:
        return self

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0


# Framing.


def test_head_and_first_frame_are_one_write_and_so_are_last_frame_and_end():
    wire = Wire()
    outlet = HttpOutlet(wire, lambda request, told: HEAD)
    outlet.open(b"first")
    assert outlet.write(b"next")
    outlet.end(b"last")
    assert wire.written == [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"4\r\nnext\r\n",
        b"4\r\nlast\r\n0\r\n\r\n",
    ]
    assert outlet.response.keep_alive


def test_an_answer_that_is_there_at_once_is_one_write():
    wire = Wire()
    outlet = HttpOutlet(wire, lambda request, told: HEAD)
    outlet.open(b"all", ends=True)
    outlet.end(b"once more")
    assert wire.written == [HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n"]
    assert (outlet.sent, outlet.ended) == (3, True)


@pytest.mark.parametrize("last", [b"", b"x"])
def test_nothing_at_the_beginning_or_the_end_is_no_chunk(last):
    """An empty chunk would be the end of the message."""
    wire = Wire()
    outlet = HttpOutlet(wire, lambda request, told: HEAD)
    outlet.open(b"")
    outlet.end(last)
    outlet.end(b"once more")
    assert wire.written[0].endswith(b"chunked\r\n\r\n")
    assert b"".join(wire.written[1:]) == (b"1\r\nx\r\n" if last else b"") + b"0\r\n\r\n"
    assert (outlet.sent, outlet.ended) == (len(last), True)


def test_frames_are_chunks_and_the_body_ends(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"one")
        outlet.write(b"x" * 300)
        outlet.end(b"two")
        assert outlet.sent == 306

    got = exchange(handler)
    assert got.startswith(HEAD)
    assert got.endswith(b"\r\n3\r\none\r\n12c\r\n" + b"x" * 300 + b"\r\n3\r\ntwo\r\n0\r\n\r\n")


async def one_two(outlet: HttpOutlet) -> None:
    outlet.open(b"one")
    outlet.write(b"two")
    outlet.end(b"")


@pytest.mark.parametrize("lines", [[], ["Connection: keep-alive"]], ids=["plain", "keep-alive"])
def test_an_old_client_gets_the_bytes_as_they_are_and_the_end_of_the_connection(exchange, lines):
    got = exchange(one_two, lambda port: read_all(port, question("1.0", *lines)))
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"Connection: close" in head and b"chunked" not in head


def test_a_client_that_wants_no_more_is_told_so_and_hung_up_on(exchange):
    head, _, _ = exchange(one_two, lambda port: read_all(port, LAST, 2)).partition(b"\r\n\r\n")
    assert b"Connection: close" in head and b"chunked" in head


def test_the_connection_carries_one_answer_after_another(exchange):
    def three(port: int) -> list[Reply]:
        with RawClient(port) as client:
            client.send(ASKED * 2)
            replies = [client.reply(), client.reply()]
            client.send(LAST)
            replies.append(client.reply())
            assert client.receive() == b""
            return replies

    replies = exchange(one_two, three)
    assert [(reply.body, reply.complete) for reply in replies] == [(b"onetwo", True)] * 3
    assert [reply.headers.get("connection") for reply in replies] == [None, None, "close"]


# Readers that are behind.


def test_trap_8_a_large_write_makes_it_full_at_once_whatever_the_loop_says(exchange):
    seen: list[tuple[bool, bool]] = []

    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"-")
        await outlet.drain()
        seen.append((outlet.full, outlet.waiting > 0))
        assert not outlet.write(b"~" * 8_000_000)
        seen.append((outlet.full, outlet.waiting > HIGH_WATER))
        await outlet.drain()
        seen.append((outlet.full, outlet.waiting > HIGH_WATER))
        outlet.end(b"")

    assert exchange(handler).count(b"~") == 8_000_000
    assert seen == [(False, False), (True, True), (False, False)]


class Lagging:
    """A connection whose loop does not say that it is behind, as uvloop's until it turns."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return HIGH_WATER + 1


async def test_trap_8_bytes_count_even_where_the_loop_has_said_nothing():
    outlet = HttpOutlet(SimpleNamespace(), lambda request, told: HEAD)
    assert not outlet.full
    outlet._transport = Lagging()
    assert outlet.full


async def test_trap_8_draining_gives_the_loop_a_turn_to_find_out():
    turned: list[bool] = []

    async def drained() -> None:
        assert turned == [True]

    outlet = HttpOutlet(SimpleNamespace(), lambda request, told: HEAD)
    outlet._writer = SimpleNamespace(drain=drained)
    asyncio.get_running_loop().call_soon(turned.append, True)
    await outlet.drain()


def test_an_answer_is_taken_when_its_last_byte_is(exchange):
    left: list[int] = []

    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"-")
        outlet.write(b"x" * 3_000_000)
        outlet.end(b"end")
        await outlet.taken()
        left.append(outlet.waiting)

    assert b"end\r\n0\r\n\r\n" in exchange(handler)
    assert left == [0]


def test_an_answer_that_was_waited_for_leaves_the_connection_as_it_was(exchange):
    """The next answer's reader may be behind by as much as the first one's."""
    limits: list[tuple[int, int]] = []

    async def handler(outlet: HttpOutlet) -> None:
        limits.append(outlet._request.transport.get_write_buffer_limits())
        outlet.open(b"x" * 3_000_000)
        outlet.end(b"")
        await outlet.taken()

    exchange(handler, lambda port: read_all(port, ASKED * 2, 2))
    assert limits == [(HIGH_WATER // 4, HIGH_WATER)] * 2


# Clients that leave.


@pytest.mark.parametrize("wait", [HttpOutlet.drain, HttpOutlet.taken], ids=["drain", "taken"])
def test_waiting_for_a_reader_ends_when_it_leaves(exchange, wait):
    ends: list[str] = []

    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"x" * 20_000_000)
        try:
            await wait(outlet)
        except (ConnectionError, asyncio.CancelledError) as error:
            ends.append(type(error).__name__)
            raise asyncio.CancelledError from error

    def leave(port: int) -> None:
        with RawClient(port, receive_buffer=4096) as client:
            client.send(ASKED)
            client.take(1)
            client.reset()

    exchange(handler, leave)
    assert len(ends) == 1


def test_a_client_that_has_left_is_written_to_in_vain(exchange):
    after: list[object] = []

    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"-")
        outlet.abort()
        assert outlet.write(b"nobody hears this")
        outlet.end(b"nor this")
        await outlet.taken()
        after.extend((outlet.waiting, outlet.full))

    assert b"nobody" not in exchange(handler)
    assert after == [0, False]


@pytest.mark.parametrize("turns", [0, 3], ids=["leaving", "gone"])
def test_opening_for_a_client_that_has_left_is_in_vain_too(exchange, turns):
    """A late head is written by the sweep, whose other answers must not suffer from it."""
    after: list[object] = []

    async def handler(outlet: HttpOutlet) -> None:
        async def sweep() -> None:
            outlet._request.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            outlet.open(b"-")
            outlet.end(b"-")
            await outlet.taken()
            after.extend((outlet.waiting, outlet.full))

        late = asyncio.create_task(sweep())
        try:
            await asyncio.sleep(1)
        finally:
            await late

    assert exchange(handler) == b""
    assert after == [0, False]


def test_cutting_before_anything_was_said_is_harmless(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        outlet.abort()
        outlet.open(b"said")
        outlet.end(b"")

    assert b"said" in exchange(handler)


def test_cutting_ends_the_connection_without_an_end(exchange):
    async def handler(outlet: HttpOutlet) -> None:
        outlet.open(b"said")
        await asyncio.sleep(0.02)
        outlet.abort()

    assert b"0\r\n\r\n" not in exchange(handler)
