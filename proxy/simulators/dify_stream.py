"""A run as bytes: event frames, pings without data, and where a write ends.

A frame is one data line, in the version's style of JSON. Pings follow a clock that starts with the run; between two
of them may lie any number of events. The client's leaving is noticed when the next write fails, as on the platform.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise

import orjson
from aiohttp import web

from proxy.simulators.dify_apps import Knobs
from proxy.simulators.dify_runs import Run
from proxy.simulators.dify_turn import Event
from proxy.simulators.dify_versions import GRAPHS, Version

_BETWEEN_CUTS = 0.001  # seconds, so that the pieces do not meet again on their way


def frame(event: Event, version: Version, knobs: Knobs) -> bytes:
    payload = json.dumps(event).encode() if version.spaced else orjson.dumps(event)
    start = b"data: " if knobs.space else b"data:"
    return start + payload + knobs.newline.encode() * 2


def ping(knobs: Knobs) -> bytes:
    if knobs.ping_data:
        return frame_of('{"event":"ping"}', knobs)
    return f"event: ping{knobs.newline * 2}".encode()


def frame_of(payload: str, knobs: Knobs) -> bytes:
    return f"data:{' ' if knobs.space else ''}{payload}{knobs.newline * 2}".encode()


class EventStream:
    """One response that tells one run."""

    def __init__(self, request: web.Request, version: Version, knobs: Knobs) -> None:
        self._request, self._version, self._knobs = request, version, knobs
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._sent = 0

    async def tell(self, run: Run) -> bool:
        """Whether everything was told; ConnectionError when the client is gone."""
        await self.response.prepare(self._request)
        loop = asyncio.get_running_loop()
        began, pings, told = loop.time(), 0, 0
        if self._version.first_ping and run.turn.app.mode in GRAPHS:
            await self._write(ping(self._knobs))
        while True:
            until_ping = began + (pings + 1) * self._knobs.ping_every - loop.time()
            if until_ping <= 0:
                pings += 1
                await self._write(ping(self._knobs))
                continue
            try:
                async with asyncio.timeout(until_ping):
                    event = await run.events.get()
            except TimeoutError:
                continue
            if event is None or told == self._knobs.end_after:
                break
            told += 1
            await self._write(frame(event, self._version, self._knobs))
            if event["event"] == "workflow_finished" and self._knobs.closes_early:
                break
        await self.response.write_eof()
        return event is None

    async def _write(self, data: bytes) -> None:
        pieces = list(self._pieces(data))
        for piece in pieces:
            await self.response.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(_BETWEEN_CUTS)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start, end = self._sent, self._sent + len(data)
        self._sent = end
        places = {cut for cut in self._knobs.cuts if start < cut < end}
        if every := self._knobs.cut_every:
            places |= set(range(start + every, end, every))
        edges = [start, *sorted(places), end]
        for left, right in pairwise(edges):
            yield data[left - start : right - start]
