"""Events to bytes, and bytes to whoever asked: all that differs between two writers of the same stream.

The writers of the real platform differ in a blank after the colon, in ids and in whether an empty event has a data
line; ``Framing`` turns these and a few legal oddities more. When the reader leaves, the run does not: its steps are
handed to the world, which runs them out, as the platform does with a chat that nobody cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from aiohttp import web
from attrs import define

from proxy.simulators.coze_events import Drop, End, Event, Line, Steps
from proxy.simulators.coze_knobs import Framing, Pace
from proxy.simulators.coze_state import World
from translators import wirejson

_STUDIO_FLOW_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "Access-Control-Allow-Origin": "*",
}
_HTML = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))


@define(eq=False)
class Writer:
    """How one endpoint writes events, under one framing."""

    framing: Framing
    space: bool
    numbered: bool = False
    """Each event has an id, from 0 or from 1."""
    first_id: int = 0
    escapes: bool = False

    def event(self, event: Event, place: int) -> bytes:
        """The lines of one event, without the empty one."""
        newline, colon = self.framing.newline, b": " if self._spaced else b":"
        lines = [b"id%b%d" % (colon, self.first_id + place)] if self.numbered else []
        lines.append(b"event%b%b" % (colon, event.name.encode()))
        if event.data is not None:
            lines.append(b"data%b%b" % (colon, self._data(event, place)))
        return newline.join(lines) + newline

    @property
    def _spaced(self) -> bool:
        return self.space if self.framing.space is None else self.framing.space

    def _data(self, event: Event, place: int) -> bytes:
        if isinstance(event.data, str):
            return event.data.encode()
        data = event.data or {}
        if self.framing.mixed_order and place % 2:
            data = dict(reversed(data.items()))
        out = wirejson.dumps(data)
        if self.escapes or self.framing.html_escapes:
            for mark, escaped in _HTML:
                out = out.replace(mark, escaped)
        return out


@define(eq=False)
class Rendered:
    """The bytes of a stream, event by event; ``stopped`` says what ended it before its time."""

    steps: Steps
    writer: Writer
    stopped: Drop | End | None = None

    def parts(self) -> Iterator[bytes]:
        framing = self.writer.framing
        before = framing.prelude
        waiting = None
        """Where the last event has no empty line, each must wait for the next to know that it is not the last."""
        for part in self._parts():
            part = before + part
            before = b""
            if framing.final_blank:
                yield part + framing.newline
                continue
            if waiting is not None:
                yield waiting + framing.newline
            waiting = part
        if waiting is not None:
            yield waiting

    def _parts(self) -> Iterator[bytes]:
        framing = self.writer.framing
        place = 0
        for step in self.steps:
            if isinstance(step, (Drop, End)):
                self.stopped = step
                return
            if isinstance(step, Line):
                yield step.text + framing.newline
                continue
            text = self.writer.event(step, place)
            place += 1
            if framing.comment_every and place % framing.comment_every == 0:
                text += framing.newline + framing.comment
                text += framing.newline if framing.comment_blank else b""
            yield text


def cut(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in writes of ``size``; 0 leaves the parts as they are."""
    if not size:
        yield from parts
        return
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def headers(*, studio: bool, flow: bool) -> dict[str, str]:
    if studio and flow:
        return _STUDIO_FLOW_HEADERS
    return {"Content-Type": "text/event-stream", **({"X-Accel-Buffering": "no"} if studio else {})}


async def send(
    request: web.Request, world: World, pace: Pace, steps: Steps, writer: Writer, *, flow: bool = False
) -> web.StreamResponse:
    """Stream ``steps`` to who asked for them; what it does not hear happens all the same."""
    response = web.StreamResponse(headers=headers(studio=world.platform.studio, flow=flow))
    rendered = Rendered(steps, writer)
    heard = False
    try:
        if pace.first_delay:
            await asyncio.sleep(pace.first_delay)
        await response.prepare(request)
        for data in cut(rendered.parts(), pace.per_write):
            # Also without a delay: a reader in the same process must have its turn.
            await asyncio.sleep(pace.delay)
            await response.write(data)
        if isinstance(rendered.stopped, Drop):
            _hang_up(request)
        else:
            await response.write_eof()
        heard = rendered.stopped is None
    finally:
        if not heard and pace.abandoned == "runs":
            world.go_on(steps, pace.delay)
    return response


def _hang_up(request: web.Request) -> None:
    """End the connection after what was written, without the end of the message."""
    if request.transport is not None:
        request.transport.close()
