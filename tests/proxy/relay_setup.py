"""One relay with everything around it in the test's hand: a clock, a queue for an upstream, a list for a reader.

``pass_time`` turns the sweep once a second. No sockets and no waiting: what happens is what the test makes happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from attrs import define, field

from proxy.outlet import NO_HEADERS
from proxy.relay import Patience, Relay
from proxy.sweep import Sweep
from proxy.wire.base import Sink, Tap
from tests.support.upstream import DONE, delta
from translators.errors import GatewayError
from translators.framing.sniff import Sniff
from translators.ids import Envelope
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.openai import OpenAI, OpenAISettings

END = delta(finish="stop") + DONE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@define(eq=False)
class QueueBody:
    """An upstream's answer, piece by piece as the test puts them in; an error is raised, nothing is the end."""

    pieces: asyncio.Queue[bytes | GatewayError] = field(factory=asyncio.Queue)
    ended: list[str] = field(factory=list)
    trouble: GatewayError | None = None

    async def read(self) -> bytes:
        piece = await self.pieces.get()
        if isinstance(piece, GatewayError):
            raise piece
        return piece

    def tap(self, sink: Sink) -> Tap | None:
        return None

    def fail(self, error: GatewayError) -> None:
        self.pieces.put_nowait(error)

    def broken(self) -> GatewayError | None:
        return self.trouble

    def finish(self) -> None:
        self.ended.append("finished")

    def close(self) -> None:
        self.ended.append("closed")


@define(eq=False)
class TappedBody(QueueBody):
    """What the test pushes goes straight to the relay, once it has tapped; what is there by then is handed on."""

    sink: Sink | None = None
    over: bool = False
    told: list[str] = field(factory=list)

    def tap(self, sink: Sink) -> Tap:
        self.sink = sink
        return self

    def pull(self) -> None:
        self.told.append("pull")
        while not self.pieces.empty():
            piece = self.pieces.get_nowait()
            assert isinstance(piece, bytes)
            self.push(piece)

    def stop(self) -> None:
        self.told.append("stop")

    def go_on(self) -> None:
        self.told.append("go on")

    def detach(self) -> None:
        self.told.append("detach")

    def push(self, data: bytes) -> bool:
        assert self.sink is not None
        return self.sink.take(data)


@define(eq=False)
class QueueOutlet:
    """Takes everything; while ``full`` it drains only when told to."""

    said: list[bytes] = field(factory=list)
    sent: int = 0
    ended: bool = False
    opened: int = 0
    full: bool = False
    waiting: int = 0
    aborted: bool = False
    room: asyncio.Event = field(factory=asyncio.Event)

    def open(self, first: bytes, told: Mapping[str, str] = NO_HEADERS, ends: bool = False) -> None:
        self.opened += 1
        self.write(first)
        self.ended = ends

    def write(self, data: bytes) -> bool:
        assert not self.ended
        self.said.append(data)
        self.sent += len(data)
        return not self.full

    def end(self, last: bytes) -> None:
        self.write(last)
        self.ended = True

    async def drain(self) -> None:
        await self.room.wait()

    async def taken(self) -> None:
        await self.room.wait()

    def abort(self) -> None:
        self.aborted = True

    @property
    def text(self) -> str:
        return b"".join(self.said).decode()


@define(eq=False)
class Bench:
    """One relay and everything around it."""

    clock: Clock = field(factory=Clock)
    body: QueueBody = field(factory=QueueBody)
    outlet: QueueOutlet = field(factory=QueueOutlet)
    relay: Relay = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.relay = self.make(Chat(ENVELOPE, include_usage=False))

    def make(self, surface: Chat | ChatWhole) -> Relay:
        patience = Patience(first_byte=60.0, idle=20.0, write=10.0, keepalive=5.0, commit_after=3.0)
        upstream = OpenAI(PROMPT, OpenAISettings(), ENVELOPE, "m")
        return Relay(
            Stream(Sniff(), upstream, surface),
            patience,
            Sweep(1e9),
            isinstance(self.body, TappedBody),
            self.clock,
        )

    async def dial(self) -> QueueBody:
        return self.body

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.relay.run(self.dial, self.outlet))

    async def pass_time(self, seconds: float) -> None:
        """Turn the sweep once a second."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.relay.tick(self.clock.now)
            await settle()


ENVELOPE = Envelope("chatcmpl-1", 1, "m")
PROMPT = Prompt.from_chat({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def begun(bench: Bench, *pieces: bytes) -> asyncio.Task[None]:
    task = bench.start()
    for piece in pieces:
        bench.body.pieces.put_nowait(piece)
    await settle()
    return task
