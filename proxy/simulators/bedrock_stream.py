"""Steps to frames, frames to writes, and writes to whoever asked.

A ``Failure`` that waits for this request lets the real answer begin and breaks it where it says. A turn goes on
when its reader has left or when its stream was broken: what it does to the session comes about all the same.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice

from aiohttp import web

from proxy.simulators import bedrock_frames as frames
from proxy.simulators.bedrock_faults import Trouble
from proxy.simulators.bedrock_frames import Cutter, Wire
from proxy.simulators.bedrock_knobs import Abort, End, Err, Event, Exc, Failure, Http, Raw, Sleep, Step
from proxy.simulators.bedrock_world import World

FAILURE = web.RequestKey("failure", Failure)
"""The failure that this request will meet in its stream."""


class Told(Exception):
    """A status that a script or a knob wants instead of a stream."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.trouble.name)
        self.failure = failure


def frame_of(step: Step, before: frames.Headers) -> bytes:
    """The bytes of a step that has any."""
    if isinstance(step, Event):
        return frames.event(step.type, step.document, before)
    if isinstance(step, Exc):
        return frames.exception(step.trouble, before)
    if isinstance(step, Err):
        return frames.error(step.code, step.message, before)
    return step.data if isinstance(step, Raw) else b""


def broken(steps: Iterator[Step], failure: Failure) -> Iterator[Step]:
    """``steps`` up to where the failure comes, and what it is.

    An exception is the end of a turn. Where only the stream ends, the rest is there for ``World.go_on``.
    """
    begun = islice(steps, failure.after)
    if failure.how == "event":
        return chain(begun, (Exc(failure.trouble),))
    if failure.how == "error":
        return chain(begun, (Err(failure.trouble.name, failure.trouble.message),))
    return chain(begun, (Abort() if failure.how == "abort" else End(),), steps)


def one(trouble: Trouble) -> Iterator[Step]:
    """A stream that is an exception and nothing else."""
    return iter((Exc(trouble),))


async def send(
    request: web.Request,
    world: World,
    wire: Wire,
    steps: Iterator[Step],
    headers: Mapping[str, str],
    release: Callable[[], None] = lambda: None,
) -> web.StreamResponse:
    """Stream ``steps``; ``release`` is called when they are over, heard or not."""
    if (failure := request.get(FAILURE)) is not None:
        steps = broken(steps, failure)
    response = web.StreamResponse(headers={"Content-Type": wire.content_type, **headers})
    cutter = Cutter.of(wire)
    over = False
    try:
        if wire.first_delay:
            await asyncio.sleep(wire.first_delay)
        await response.prepare(request)
        for step in steps:
            if isinstance(step, (Abort, End)):
                break
            if isinstance(step, Sleep):
                await _write(response, cutter.flush())
                await asyncio.sleep(step.seconds)
                continue
            # Also without a delay: a reader in the same process must have its turn.
            await asyncio.sleep(wire.delay)
            await _write(response, cutter.take(frame_of(step, wire.before)))
        else:
            over = True
            release()
            step = None
        await _write(response, cutter.flush())
        if isinstance(step, Abort):
            hang_up(request)
        else:
            await response.write_eof()
    finally:
        if not over:
            world.go_on(steps, wire.delay, release)
    return response


async def _write(response: web.StreamResponse, writes: Iterator[bytes]) -> None:
    for data in writes:
        await response.write(data)
        await asyncio.sleep(0)


def hang_up(request: web.Request) -> None:
    """A reset, after what the kernel has already taken."""
    if (transport := request.transport) is None:
        return
    if (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def refuse_if_scripted(steps: tuple[Step, ...] | None) -> None:
    """A script that begins with a status has no stream."""
    if steps and isinstance(steps[0], Http):
        raise Told(Failure(steps[0].trouble))
