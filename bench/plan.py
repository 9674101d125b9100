"""What one answer shall be, agreed between the load generator and the stand-in.

The plan travels as words in the user's message, which every gateway passes on to every platform. Each piece of
text is a stamp, a number and filler: the stamp is the clock at the moment of sending, by which the receiver
knows how long the piece was under way, and the number by which it knows that none is missing or out of order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from attrs import frozen

MARK = b'"T0'
"""Begins every piece of text on the wire and nothing else."""
SHORTEST = 28
LONGEST = 64 * 1024
MOST = 10_000_000

_WORDS = re.compile(
    rb"frames=(\d{1,8}) pace=(step|\d{1,9}) batch=(\d{1,4}) size=(\d{1,5})(?: name=(\d{1,7}))?"
)
_PIECE = re.compile(r"T(\d{19})-(\d{7})")  # twenty digits in a row would cost a JSON reader a second look


@frozen
class Plan:
    frames: int
    pace: str
    """Microseconds from frame to frame, 0 for as fast as they are taken; ``step`` sends the next frame when
    the receiver says that it has the last."""
    batch: int = 1
    """Frames in one write, where there is no pace."""
    size: int = 40
    """Bytes of text in a frame."""
    name: int = 0
    """By which the stand-in says that the reader of this stream has left."""

    @property
    def words(self) -> str:
        said = f"frames={self.frames} pace={self.pace} batch={self.batch} size={self.size}"
        return f"{said} name={self.name}" if self.name else said

    @property
    def filler(self) -> str:
        return ("." * self.size)[SHORTEST:]

    @classmethod
    def found_in(cls, body: bytes) -> Plan | None:
        """The plan that a request asks for, if it is one that can be carried out."""
        match = _WORDS.search(body)
        if match is None:
            return None
        frames, pace, batch, size, name = match.groups()
        plan = cls(int(frames), pace.decode(), int(batch), int(size), int(name or 0))
        possible = 0 < plan.frames < MOST and plan.batch and SHORTEST <= plan.size <= LONGEST
        return plan if possible else None

    def piece(self, number: int, now: int) -> bytes:
        return b"T%019d-%07d" % (now, number) + self.filler.encode()

    def read(self, piece: str) -> tuple[int, int] | None:
        """Stamp and number; None if it is not a piece of this plan."""
        match = _PIECE.match(piece)
        if match is None or piece[match.end() :] != self.filler:
            return None
        return int(match[1]), int(match[2])

    def request(self, path: str, model: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The HTTP request of a client of the OpenAI API; a stand-in of any platform finds the plan in it."""
        question = {"model": model, "stream": True, "messages": [{"role": "user", "content": self.words}]}
        body = orjson.dumps(question)
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
