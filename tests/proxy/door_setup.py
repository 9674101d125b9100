"""A gateway that counts the connections its doors give to aiohttp, so that a test can say which way a request went.

Its upstream answers ``1``, ``2`` or ``3`` with as many words at once, and other questions in ways that take time:
``gated`` begins and goes on when the gate is opened. Times that only decide about the way are stretched by
``unhurried`` where a test is not about them: the machine may be busy.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define

from proxy.door import Door, Doors
from proxy.heads import CHAT
from proxy.simulators.script import (
    Hang,
    Script,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    stream,
)
from tests.support.gateway import GatewayThread, openai_upstream
from tests.support.loglines import LogLines
from tests.support.raw import RawClient, Reply, question
from tests.support.upstream import DONE, ScriptThread, answer, delta, text_of, told_by, words
from tests.support.waiting import until

BIG = [delta("~" * 50_000) for _ in range(100)]
GATE = threading.Event()


def gated(_: object) -> Iterator[Step]:
    """Begins, and goes on when it may."""
    yield from (Send(event_stream_head()), Send(chunk(words(1)[0])))
    while not GATE.is_set():
        yield Wait(0.005)
    yield from (Send(chunk(b"".join(answer(3)[1:]))), Send(last_chunk()))


def at_once(count: int) -> list[Step]:
    return [Send(b"".join((event_stream_head(), chunk(b"".join(answer(count))), last_chunk())))]


SCRIPTS: dict[str, Script] = {
    **{str(count): at_once(count) for count in range(1, 4)},
    "gated": gated,
    "stuck": [Send(event_stream_head()), Send(chunk(words(1)[0])), Hang()],
    "silent": [Hang()],
    "slow": stream(answer(6), delay=0.06),
    "big": stream([*BIG, delta(finish="stop"), DONE]),
}


def asked(text: str = "3", size: int = 0, **more: Any) -> bytes:
    """A body of at least ``size`` bytes."""
    document = question(**more)
    document["messages"][0]["content"] = text
    return json.dumps(document).encode().ljust(size)


def post(body: bytes = asked(), *lines: str, target: str = CHAT, version: str = "1.1") -> bytes:
    return head(body, *lines, target=target, version=version) + body


def head(body: bytes, *lines: str, target: str = CHAT, version: str = "1.1") -> bytes:
    start = [f"POST {target} HTTP/{version}", "Host: test", *lines, f"Content-Length: {len(body)}"]
    return "\r\n".join([*start, "", ""]).encode()


ERRANT = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptThread]:
    with ScriptThread(told_by(SCRIPTS)) as running:
        yield running


@pytest.fixture(autouse=True)
def gate() -> Iterator[threading.Event]:
    GATE.clear()
    yield GATE
    GATE.set()


@pytest.fixture
def log() -> Iterator[LogLines]:
    with LogLines() as lines:
        yield lines


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests stay the door's however slowly and in however many pieces they come."""
    monkeypatch.setattr("proxy.door.SLOW", 9.0)
    monkeypatch.setattr("proxy.door.MOST_PIECES", 1000)


class Client(RawClient):
    """Its bytes leave as it sends them."""

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__(port, **options)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@define
class Porch:
    gateway: GatewayThread
    given: int = 0
    """Connections that became aiohttp's."""

    def __attrs_post_init__(self) -> None:
        further = self.doors.further

        def counting() -> asyncio.Protocol:
            self.given += 1
            return further()

        self.doors.further = counting

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def doors(self) -> Doors:
        runner = self.gateway.serving._runner
        assert runner is not None and runner.server is not None
        return runner.server.doors

    @property
    def open(self) -> int:
        return len(self.doors._open)

    @property
    def only(self) -> Door:
        until(lambda: self.open == 1, "one door")
        (door,) = self.doors._open
        return door

    def soon(self, action: Callable[[], object]) -> None:
        self.gateway.loop.call_soon_threadsafe(action)

    def fetch(self, data: bytes) -> Reply:
        with Client(self.port) as client:
            client.send(data)
            return client.reply()


@pytest.fixture
def porch(serve: Callable[..., GatewayThread], upstream: ScriptThread) -> Callable[..., Porch]:
    def start(**sections: Any) -> Porch:
        return Porch(serve(openai_upstream(upstream.url, retries=0), **sections))

    return start


def is_whole(reply: Reply, count: int = 3) -> bool:
    return (reply.status, reply.complete, reply.text, reply.frames[-1]) == (
        200,
        True,
        text_of(count),
        "[DONE]",
    )


def is_shut(client: RawClient, within: float = 2.0) -> bool:
    """Whether the other side hangs up, with no further word."""
    client.socket.settimeout(within)
    return client.receive() == b""
