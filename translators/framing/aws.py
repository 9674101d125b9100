"""Amazon's event stream (``application/vnd.amazon.eventstream``), bytes to ``(name, payload)``.

A frame is a prelude (the length of the frame and of its headers, and a checksum of both), headers, payload, and a
checksum of everything before it, all big-endian. Nothing of a frame is told before both checksums have been found
right, and lengths are believed only after their own, so a frame that claims to be too long is refused at once.

Streams repeat few blocks of headers thousands of times and their frames have few lengths, so what was read from a
prelude or a block is kept, within bounds and for all streams, under its very bytes: the usual frame costs two
look-ups, one checksum and a few slices. A frame in pieces waits in one buffer with the length at which it is worth
looking again; a read of many frames is gone through by position. So time is linear however the bytes were cut.

An event is named by its ``:event-type``; an exception ``exception:`` and its type; an error, which has no payload,
``error:`` and its code, with its message for a payload. Frames of any other kind mean nothing and are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final, TypeAlias
from zlib import crc32

from translators.errors import GatewayError, UpstreamIncomplete, UpstreamMalformed
from translators.framing.base import Frame, Reader
from translators.template import Template

MAX_AWS_FRAME = 8 * 1024 * 1024
"""Twice the bound of other framings: five files of a megabyte come in one event, and in base64."""
MAX_HEADERS = 128 * 1024

PRELUDE = 12
_CHECKSUM = 4
_LEAST = PRELUDE + _CHECKSUM
"""A frame with neither headers nor payload."""
_KEPT_PRELUDES = 1024
_KEPT_BLOCKS = 64
_KEPT_LONGEST = 256
"""Blocks worth keeping are short."""

_Headers: TypeAlias = dict[bytes, bytes]
"""Text by name; what has another type than text has no meaning here and is left out."""
_Meaning: TypeAlias = tuple[bytes, bytes | None]
"""A name, and the payload where that is not the frame's own."""

_lengths = Struct(">III").unpack
_number = Struct(">I").unpack_from
_short = Struct(">H").unpack_from
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes that the value of each type takes, where all of a type take the same."""
_BYTES, _TEXT = 6, 7


class _Fault(Exception):
    """What is wrong with the bytes."""


_preludes: dict[bytes, tuple[int, int]] = {}
"""The length of the frame, and where its payload begins; what is here has a right checksum."""
_blocks: dict[bytes, _Meaning | None] = {}


class AwsEvents:
    __slots__ = ("_buffer", "_headers", "_max_frame", "_needed", "fault")

    def __init__(self, max_frame: int = MAX_AWS_FRAME) -> None:
        self.fault: GatewayError | None = None
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._needed = 0  # bytes before there is something to do with those in the buffer
        self._headers = b""  # those of the last frame, as they came

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self.fault is not None:
            return frames
        preludes, blocks, most = _preludes, _blocks, self._max_frame
        try:
            if self._buffer:
                data = self._rejoin(data)
            at, size = 0, len(data)
            while size - at >= PRELUDE:
                prelude = data[at : at + PRELUDE]
                lengths = preludes.get(prelude) or _read_prelude(prelude)
                if lengths[0] > most:
                    raise self._too_long()
                end = at + lengths[0]
                if end > size:
                    break
                begin, check = at + lengths[1], end - _CHECKSUM
                if crc32(data[at:check]) != _number(data, check)[0]:
                    raise _Fault("an event whose checksum is wrong")
                block = data[at + PRELUDE : begin]
                meaning = blocks[block] if block in blocks else _read_block(block)
                if meaning is not None:
                    name, payload = meaning
                    frames.append((name, data[begin:check] if payload is None else payload))
                at = end
            if frames:
                self._headers = block
            if at < size:
                self._keep(data[at:])
        except _Fault as fault:
            self._buffer.clear()
            self.fault = UpstreamMalformed(f"The upstream sent {fault}.", code="upstream_error")
        return frames

    def close(self) -> list[Frame]:
        """Every frame says how long it is, so what is left over is one that was cut off."""
        if self._buffer:
            self._buffer.clear()
            self.fault = UpstreamIncomplete("The upstream stopped in the middle of an event.")
        return []

    def shortcut(self, data: bytes, template: Template | None) -> Reader | None:
        """Which frames say words is for a dialect to know."""
        return None

    def _rejoin(self, data: bytes) -> bytes:
        """What waits and ``data``, once they are worth looking at; nothing while they are not."""
        buffer = self._buffer
        buffer += data
        if len(buffer) >= self._needed == PRELUDE:
            total = _read_prelude(bytes(buffer[:PRELUDE]))[0]
            if total > self._max_frame:
                raise self._too_long()
            self._needed = total
        if len(buffer) < self._needed:
            return b""
        data = bytes(buffer)
        buffer.clear()
        return data

    def _keep(self, rest: bytes) -> None:
        """The beginning of a frame, until there is more of it."""
        self._buffer += rest
        prelude = rest[:PRELUDE]
        known = len(prelude) == PRELUDE
        self._needed = (_preludes.get(prelude) or _read_prelude(prelude))[0] if known else PRELUDE

    def _too_long(self) -> _Fault:
        return _Fault(f"an event of over {self._max_frame} bytes")


def known_length(data: bytes, at: int) -> int:
    """Bytes of the frame that begins there, if one like it has been read; else 0."""
    return _preludes.get(data[at : at + PRELUDE], (0, 0))[0]


def may_wait(rest: bytes) -> bool:
    """Whether it can be the beginning of a frame and nothing more, and nothing wrong is to be seen."""
    return len(rest) < PRELUDE or _preludes.get(rest[:PRELUDE], (0, 0))[0] > len(rest)


def known_lengths(prelude: bytes) -> tuple[int, int]:
    """The length of a frame, and where its payload begins. Raises LookupError if no such frame has been read."""
    return _preludes[prelude]


def name_of(headers: bytes) -> bytes | None:
    """What a frame with these headers is called, if they have been read and are short enough to be kept."""
    meaning = _blocks.get(headers)
    return None if meaning is None else meaning[0]


def _read_prelude(prelude: bytes) -> tuple[int, int]:
    total, headers, checksum = _lengths(prelude)
    if crc32(prelude[:8]) != checksum:
        raise _Fault("something that is not Amazon's event stream")
    if headers > MAX_HEADERS or total < _LEAST + headers:
        raise _Fault("an event whose lengths do not go together")
    if len(_preludes) >= _KEPT_PRELUDES:
        _preludes.clear()
    lengths = _preludes[prelude] = (total, PRELUDE + headers)
    return lengths


def _read_block(block: bytes) -> _Meaning | None:
    try:
        meaning = _meaning(_headers(block))
    except (LookupError, ValueError, StructError):
        raise _Fault("an event whose headers cannot be read") from None
    if len(block) <= _KEPT_LONGEST:
        if len(_blocks) >= _KEPT_BLOCKS:
            _blocks.clear()
        _blocks[block] = meaning
    return meaning


def _headers(block: bytes) -> _Headers:
    """Raises LookupError, ValueError or struct.error where the block is not what it should be."""
    texts: _Headers = {}
    seen: set[str] = set()
    at, size = 0, len(block)
    while at < size:
        begin = at + 1
        at = begin + block[at]
        name, kind = block[begin:at], block[at]
        at += 1
        if kind in (_BYTES, _TEXT):
            begin = at + 2
            at = begin + _short(block, at)[0]
        else:
            begin, at = at, at + _SIZES[kind]
        if at > size:
            raise ValueError("a header ends after its block")
        if kind == _TEXT:
            texts[name] = block[begin:at]
            texts[name].decode()
        if name.decode() in seen:
            raise ValueError("a header comes twice")
        seen.add(name.decode())
    return texts


def _event(headers: _Headers) -> _Meaning | None:
    name = headers.get(b":event-type")
    return None if name is None else (name, None)


def _exception(headers: _Headers) -> _Meaning:
    return b"exception:" + headers.get(b":exception-type", b""), None


def _error(headers: _Headers) -> _Meaning:
    return b"error:" + headers.get(b":error-code", b""), headers.get(b":error-message", b"")


_KINDS: dict[bytes, Callable[[_Headers], _Meaning | None]] = {
    b"event": _event,
    b"exception": _exception,
    b"error": _error,
}


def _meaning(headers: _Headers) -> _Meaning | None:
    read = _KINDS.get(headers.get(b":message-type", b""))
    return None if read is None else read(headers)
