"""The door around routes that fail in ways the gateway's own do not, and in front of a transport that is none."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from proxy.door import Door, Doors
from proxy.outlet import HIGH_WATER
from tests.proxy.door_setup import Client, is_shut, log, post
from tests.support.handlers import listening

__all__ = ["log"]


class Wire:
    """A transport with nothing behind it."""

    def __init__(self, family: int | None = None) -> None:
        self.options: list[tuple[int, int]] = []
        self.protocol: object = None
        self.closed = False
        self.family = family

    def get_extra_info(self, name: str) -> Wire | None:
        assert name == "socket"
        return None if self.family is None else self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option))

    def set_write_buffer_limits(self, high: int) -> None:
        self.limit = high

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None:
        """It has never been paused."""

    def close(self) -> None:
        self.closed = True


class Further:
    """aiohttp's side, as it hears of a connection."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def connection_made(self, transport: object) -> None:
        self.heard.append(transport)

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)


@pytest.fixture
def further() -> Further:
    return Further()


@pytest.fixture
def door(further: Further) -> Door:
    async def route(request: web.Request) -> web.StreamResponse:
        raise AssertionError("nothing is asked for")

    return Door(Doors(route, None, lambda: further, 5.0))


async def test_a_connection_is_given_away_as_it_is(door, further):
    wire = Wire()
    door.connection_made(wire)
    door.pause_writing()
    door.data_received(b"GET")
    assert further.heard == [wire, "pause", b"GET"]
    assert (wire.protocol, door.transport) == (further, None)
    door.close()
    door.cut()
    assert not wire.closed


async def test_sockets_without_options_are_left_as_they_are(door, monkeypatch):
    for wire in (Wire(), Wire(socket.AF_UNIX)):
        door.connection_made(wire)
        assert (wire.limit, wire.options) == (HIGH_WATER, [])
    always = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY)]
    for family in (socket.AF_INET, socket.AF_INET6):
        door.connection_made(wire := Wire(family))
        assert wire.options == [*always, (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)]
    monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
    door.connection_made(wire := Wire(socket.AF_INET))
    assert wire.options == always


async def test_a_part_that_is_late_on_a_closing_connection_is_nobodys(door, further):
    wire = Wire()
    door.connection_made(wire)
    door.data_received(post()[:-5])
    wire.close()
    door._is_late()
    assert further.heard == []


async def test_waiting_for_a_client_ends_when_it_reads_or_leaves(door):
    await_it = door.drain
    with pytest.raises(ConnectionResetError):
        await await_it()
    door.connection_made(Wire())
    await await_it()
    door.pause_writing()
    waiting = asyncio.create_task(await_it())
    await asyncio.sleep(0)
    assert not waiting.done()
    door.resume_writing()
    await waiting
    await await_it()


async def test_who_no_longer_waits_is_not_woken(door):
    door.connection_made(Wire())
    door.pause_writing()
    waiting = asyncio.create_task(door.drain())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    door.resume_writing()
    assert waiting.cancelled()


async def test_a_failure_after_the_client_has_left_is_not_left_to_the_garbage_collector():
    """The event loop would write a traceback for it."""
    told: list[object] = []
    failed = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        asyncio.get_running_loop().call_later(0.01, failed.set)
        raise ConnectionResetError("gone")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def ask(port: int) -> None:
        with Client(port) as client:
            client.send(post())
            client.until(b"never")

    async with listening(handler, door=True) as port:
        await asyncio.to_thread(ask, port)
        await failed.wait()
    assert told == []


async def test_an_answer_for_a_client_that_has_left_is_dropped():
    leaving = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        leaving.set()
        return web.Response(text="nobody hears this")

    def ask(port: int) -> bytes:
        with Client(port) as client:
            client.send(post())
            return client.until(b"never")

    async with listening(handler, door=True) as port:
        assert await asyncio.to_thread(ask, port) == b""
    assert leaving.is_set()


async def test_a_connection_that_fails_is_hung_up_on_and_is_not_news(log):
    async def handler(request: web.Request) -> web.StreamResponse:
        raise ConnectionResetError("gone")

    def ask(port: int) -> bytes:
        with Client(port) as client:
            client.send(post())
            return client.until(b"never")

    async with listening(handler, door=True) as port:
        assert await asyncio.to_thread(ask, port) == b""
    assert log.events == []


async def test_an_answer_may_be_said_to_be_the_last():
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.Response(text="said")
        response.force_close()
        return response

    def ask(port: int) -> bool:
        with Client(port) as client:
            client.send(post() * 2)
            return client.reply().body == b"said" and is_shut(client)

    async with listening(handler, door=True) as port:
        assert await asyncio.to_thread(ask, port)


async def test_an_answer_that_ends_as_draining_begins_is_the_last(monkeypatch):
    """The door is neither idle nor leaving yet when it is asked to leave."""
    doors: list[Doors] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        (door,) = [request.writer]
        doors.append(door._doors)
        asyncio.get_running_loop().call_soon(door._doors.close)
        return web.Response(text="said")

    def ask(port: int) -> bool:
        with Client(port) as client:
            client.send(post())
            assert client.reply().body == b"said"
            return is_shut(client, 1.0)

    async with listening(handler, door=True) as port:
        assert await asyncio.to_thread(ask, port)
    assert doors[0]._idle == {}
