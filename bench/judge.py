"""Whether a recorded stream was right, and when each of its frames came.

Nothing is taken on trust: the chunks are whole, every frame is JSON of the right shape, ids do not change, each
piece of text is there once, unharmed and in order, stamps never run backwards, one finish reason comes, then
``[DONE]``, and nothing after it. A frame came when its last byte did.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import orjson
from attrs import define, field, frozen

from bench.load import Recording
from bench.plan import Plan

_DONE = b"[DONE]"


@frozen
class Verdict:
    defect: str | None = None
    first_token: int = 0
    """Nanoseconds from the request to the first piece of text."""
    lags: tuple[int, ...] = ()
    """For each piece of text, nanoseconds from its stamp to its arrival."""


class Defect(Exception):
    """The stream is not what was sent."""


def judge(recording: Recording, plan: Plan) -> Verdict:
    if recording.end != "complete":
        return Verdict(recording.end)
    try:
        arrivals = _Told(plan).read(_frames(recording))
    except Defect as defect:
        return Verdict(str(defect))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return Verdict(f"unreadable: {error!r:.100}")
    lags = tuple(arrived - sent for sent, arrived in arrivals)
    return Verdict(None, arrivals[0][1] - recording.asked, lags)


def _frames(recording: Recording) -> list[tuple[int, bytes]]:
    """Every frame with the time of its last byte."""
    raw = b"".join(data for _, data in recording.pieces)
    times = [now for now, _ in recording.pieces]
    came = list(accumulate(len(data) for _, data in recording.pieces))
    chunks = _chunks(raw)
    body = b"".join(raw[start:end] for start, end in chunks)
    begins = list(accumulate((end - start for start, end in chunks), initial=0))
    frames, start = [], 0
    while (end := body.find(b"\n\n", start)) >= 0:
        last = end + 1
        chunk = bisect_right(begins, last) - 1
        place = chunks[chunk][0] + last - begins[chunk]
        frames.append((times[bisect_right(came, place)], body[start:end]))
        start = end + 2
    if start != len(body):
        raise Defect("a frame without an end")
    return frames


def _chunks(raw: bytes) -> list[tuple[int, int]]:
    """Where in ``raw`` the data of each chunk is."""
    place = raw.index(b"\r\n\r\n") + 4
    chunks = []
    while True:
        line = raw.index(b"\r\n", place)
        size = int(raw[place:line], 16)
        start, end = line + 2, line + 2 + size
        if raw[end : end + 2] != b"\r\n":
            raise Defect("a chunk of the wrong size")
        place = end + 2
        if not size:
            break
        chunks.append((start, end))
    if place != len(raw):
        raise Defect("bytes after the last chunk")
    return chunks


@define(eq=False)
class _Told:
    """What a chat stream has said so far."""

    plan: Plan
    arrivals: list[tuple[int, int]] = field(factory=list)
    _id: str | None = None
    _finished: bool = False
    _done: bool = False

    def read(self, frames: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
        for now, frame in frames:
            if not frame.startswith(b":"):
                self._frame(now, frame)
        if len(self.arrivals) != self.plan.frames:
            raise Defect(f"{len(self.arrivals)} of {self.plan.frames} frames")
        if not (self._finished and self._done):
            raise Defect("no finish reason" if self._done else "no [DONE]")
        return self.arrivals

    def _frame(self, now: int, frame: bytes) -> None:
        payload = frame.removeprefix(b"data: ")
        if self._done or payload is frame:
            raise Defect(f"a frame that does not belong: {frame[:60]!r}")
        if payload == _DONE:
            self._done = True
            return
        chunk = orjson.loads(payload)
        if "error" in chunk:
            raise Defect(f"an error: {payload[:200]!r}")
        self._id = self._id or chunk["id"]
        if chunk["id"] != self._id:
            raise Defect("the id changed")
        for choice in chunk["choices"]:
            self._choice(now, choice)

    def _choice(self, now: int, choice: dict[str, object]) -> None:
        delta = choice["delta"]
        content = delta.get("content") if isinstance(delta, dict) else None
        if content:
            self._piece(now, content)
        if choice.get("finish_reason"):
            if self._finished:
                raise Defect("two finish reasons")
            self._finished = True

    def _piece(self, now: int, content: str) -> None:
        read = self.plan.read(content)
        if read is None:
            raise Defect(f"text that was never sent: {content[:40]!r}")
        stamp, number = read
        if self._finished or number != len(self.arrivals):
            raise Defect(f"frame {number} in place of {len(self.arrivals)}")
        if self.arrivals and stamp < self.arrivals[-1][0]:
            raise Defect("a stamp runs backwards")
        self.arrivals.append((stamp, now))
