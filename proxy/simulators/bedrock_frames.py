"""Messages of ``application/vnd.amazon.eventstream``, and the many ways in which their bytes can leave.

A message is a prelude (two lengths and their CRC), headers, a payload, and a CRC of everything before. ``Wire``
says what a stream looks like to a reader: how many frames a write holds, where a write ends inside a frame, what
is broken. ``Cutter`` turns frames into writes by it, one frame at a time, so that a slow stream stays slow.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from attrs import define, frozen

from proxy.simulators.bedrock_faults import Trouble
from translators import wirejson

_JSON = "application/json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Sized:
    """An integer header of so many bytes: 1, 2, 4 or 8."""

    value: int
    size: Literal[1, 2, 4, 8]


Value: TypeAlias = bool | Sized | bytes | str | datetime | UUID
Headers: TypeAlias = Sequence[tuple[str, Value]]

_SIZES = {1: (2, ">b"), 2: (3, ">h"), 4: (4, ">i"), 8: (5, ">q")}


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x00" if value else b"\x01"
    if isinstance(value, Sized):
        kind, form = _SIZES[value.size]
        return bytes([kind]) + struct.pack(form, value.value)
    if isinstance(value, bytes):
        return b"\x06" + struct.pack(">H", len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return b"\x07" + struct.pack(">H", len(text)) + text
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    return b"\x08" + struct.pack(">q", (value - _EPOCH) // timedelta(milliseconds=1))


def message(headers: Headers, payload: bytes) -> bytes:
    """One frame."""
    block = bytearray()
    for name, value in headers:
        encoded = name.encode()
        block += bytes([len(encoded)]) + encoded + _value(value)
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    out = prelude + struct.pack(">I", zlib.crc32(prelude)) + bytes(block) + payload
    return out + struct.pack(">I", zlib.crc32(out))


def event(kind: str, document: Any, before: Headers = ()) -> bytes:
    headers = (":event-type", kind), (":content-type", _JSON), (":message-type", "event")
    return message((*before, *headers), wirejson.dumps(document))


def exception(trouble: Trouble, before: Headers = ()) -> bytes:
    headers = (":exception-type", trouble.name), (":content-type", _JSON), (":message-type", "exception")
    return message((*before, *headers), trouble.body)


def error(code: str, text: str, before: Headers = ()) -> bytes:
    """An error that the service model does not know: all of it is in the headers."""
    headers = (":message-type", "error"), (":error-code", code), (":error-message", text)
    return message((*before, *headers), b"")


EVERY_TYPE: Headers = (
    ("x-true", True),
    ("x-false", False),
    ("x-byte", Sized(-1, 1)),
    ("x-short", Sized(-2, 2)),
    ("x-integer", Sized(-3, 4)),
    ("x-long", Sized(-4, 8)),
    ("x-bytes", b"\x00:event-type\xff"),
    ("x-string", "Grüße 🙂"),
    ("x-timestamp", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
    ("x-uuid", UUID("0b0c7a5e-2f3d-4a41-9d0e-6f0a4b7c1d22")),
)
"""Headers that say nothing, one of each type."""


@frozen
class Wire:
    """What the bytes of a stream look like."""

    content_type: str = "application/vnd.amazon.eventstream"
    """Real answers have been seen to say application/json."""
    per_write: int = 1
    """Frames that leave in one write; 0 is all of them."""
    bytes_per_write: int = 0
    """The most bytes of a write, whatever the frames."""
    seed: int | None = None
    """Writes of random length, the same for the same seed."""
    delay: float = 0.0
    """Seconds before each frame of a stream."""
    first_delay: float = 0.0
    """Seconds before the head of a stream."""
    extra_headers: bool = False
    """A header of every type in front of those that matter."""
    corrupt: Literal["", "prelude", "message", "payload"] = ""
    """What does not fit its CRC: the CRC of the prelude, that of the message, or a byte of the payload."""
    corrupt_at: int = 0
    """Which frame, from 0."""
    cut_end: int = 0
    """Bytes of the last frame that never leave, although the body ends as if it were whole."""

    @property
    def before(self) -> Headers:
        return EVERY_TYPE if self.extra_headers else ()


def corrupted(frame: bytes, what: str) -> bytes:
    place = {"prelude": 8, "message": len(frame) - 1, "payload": len(frame) - 5}[what]
    return frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]


@define
class Cutter:
    """Frames to writes."""

    wire: Wire
    _held: bytearray
    _frames: int = 0
    """How many frames came."""
    _random: random.Random | None = None

    @classmethod
    def of(cls, wire: Wire) -> Cutter:
        chance = None if wire.seed is None else random.Random(wire.seed)  # noqa: S311 - repeatable, not secret
        return cls(wire, bytearray(), 0, chance)

    def take(self, frame: bytes) -> Iterator[bytes]:
        """What may leave now that ``frame`` has come."""
        wire = self.wire
        if wire.corrupt and self._frames == wire.corrupt_at:
            frame = corrupted(frame, wire.corrupt)
        self._frames += 1
        self._held += frame
        if wire.per_write and self._frames % wire.per_write == 0:
            yield from self.flush()

    def flush(self) -> Iterator[bytes]:
        """All that is held but what the cut at the end may take away."""
        yield from self._writes(len(self._held) - self.wire.cut_end)

    def _writes(self, ready: int) -> Iterator[bytes]:
        while ready > 0:
            size = min(ready, self._size(ready))
            yield bytes(self._held[:size])
            del self._held[:size]
            ready -= size

    def _size(self, ready: int) -> int:
        if self._random is not None:
            return self._random.randint(1, ready)
        return self.wire.bytes_per_write or ready
