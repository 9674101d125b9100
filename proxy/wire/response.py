"""HTTP/1.1 responses, bytes to head and body, from servers that may be hostile.

``feed`` takes bytes cut anywhere and returns what they add to the body; ``head`` is there once its blank line
has come, ``ended`` once the message is complete. It does not raise: bytes that are no HTTP set ``fault``, and what
came before them still counts. Whatever two readers could read differently is refused: lengths that disagree, a
length beside chunks, line ends that are not CRLF, signs or blanks in a number. Heads, size lines and trailers
are bounded; the body is its reader's to bound.

The usual read is one whole chunk. Its size line is looked up in a table, which is the check and the conversion
in one, and its data is one slice. A long read is mostly many whole chunks, with no line ends but those around them:
such a one is cut at its line ends, and counts if every second line is the length of the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy

from translators.errors import UpstreamMalformed

MAX_HEAD = 32 * 1024
MAX_LINE = 4 * 1024
"""A chunk's size with its extensions."""
MANY = 2 * 1024
"""Bytes of a read in which there may be so many chunks that it is worth a look at all of them."""
MAX_INTERIM = 16
"""Interim responses (1xx) before the one that counts."""

_BEGINNING = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_SIZES = {b"%x" % size: size for size in range(1, 4096)}
_BODILESS = {204, 304}


class _Fault(Exception):
    """What is wrong with the bytes."""


@frozen
class Head:
    status: int
    headers: CIMultiDictProxy[str]


class ResponseParser:
    __slots__ = ("_buffer", "_interim", "_left", "_step", "ended", "excess", "fault", "head", "keep_alive")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.keep_alive = False
        """Whether the connection may carry another request; known with the head."""
        self.ended = False
        self.fault: UpstreamMalformed | None = None
        self.excess = False
        """Whether bytes came after the end: the connection is not fit for another request."""
        self._buffer = bytearray()
        self._left = 0
        self._interim = 0
        # Plain functions, because a method bound to its own object would keep it until the garbage collector comes.
        self._step: _Step = ResponseParser._in_head

    def feed(self, data: bytes) -> bytes:
        """What ``data`` adds to the body."""
        return self._step(self, data)

    def take_head(self) -> Head:
        """The head, which is not kept: a body may take minutes."""
        head, self.head = self.head, None
        assert head is not None
        return head

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection, if it came now, would be the end of the message."""
        return self._step is ResponseParser._until_close

    def _end(self, rest: bytes) -> None:
        self.ended = True
        self.excess = bool(rest)
        self._step = ResponseParser._after

    def _after(self, data: bytes) -> bytes:
        self.excess = True
        return b""

    def _fail(self, what: _Fault | str) -> bytes:
        self.fault = UpstreamMalformed(f"The upstream's answer is not valid HTTP: {what}.")
        self._buffer.clear()
        self._step = ResponseParser._after
        return b""

    # The head.

    def _in_head(self, data: bytes) -> bytes:
        buffer, seen = self._buffer, 0
        if buffer:
            seen = max(0, len(buffer) - 3)
            data = bytes(buffer) + data
        if not data.startswith(_BEGINNING[: len(data)]):
            return self._fail("it does not begin like a response")
        end = data.find(b"\r\n\r\n", seen)
        if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD):
            return self._fail("its head is too long")
        if end < 0:
            buffer[:] = data
            return b""
        block, rest = data[:end], data[end + 4 :]
        buffer.clear()
        try:
            read = _read(block)
        except _Fault as fault:
            return self._fail(fault)
        if read.head.status < 200:
            return self._interim_head(read.head.status, rest)
        self.head, self.keep_alive, self._step, self._left = read.head, read.keep_alive, read.step, read.left
        if self._step is ResponseParser._after:
            self._end(rest)
            return b""
        return self._step(self, rest) if rest else b""

    def _interim_head(self, status: int, rest: bytes) -> bytes:
        self._interim += 1
        if status == 101 or self._interim > MAX_INTERIM:
            return self._fail("nobody asked for an interim response")
        return self._in_head(rest) if rest else b""

    # The body.

    def _counted(self, data: bytes) -> bytes:
        body = data[: self._left]
        self._left -= len(body)
        if not self._left:
            self._end(data[len(body) :])
        return body

    def _until_close(self, data: bytes) -> bytes:
        return data

    def _in_chunks(self, data: bytes) -> bytes:
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer.clear()
        line_end = data.find(b"\r\n")
        if _SIZES.get(data[:line_end]) == len(data) - line_end - 4 and data.endswith(b"\r\n"):
            return data[line_end + 2 : -2]
        size = len(data)
        at, pieces = _alike(data) if size > MANY else (0, [])
        while at < size:
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                if size - at > MAX_LINE:
                    self._fail("a chunk's size is too long")
                else:
                    self._buffer += data[at:]
                break
            length = _SIZES.get(data[at:line_end]) or _size(data[at:line_end])
            begin = line_end + 2
            at = begin + length + 2
            if length <= 0:
                self._last_chunk(length, data[begin:])
                break
            if at > size:
                self._left, self._step = length, ResponseParser._in_chunk
                pieces.append(self._in_chunk(data[begin:]))
                break
            pieces.append(data[begin : at - 2])
            if data[at - 2 : at] != b"\r\n":
                self._fail("a chunk is longer than it says")
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _last_chunk(self, length: int, rest: bytes) -> None:
        if length < 0:
            self._fail("a chunk's size is none")
        elif rest == b"\r\n":
            self._end(b"")
        else:
            self._step = ResponseParser._trailers
            self._trailers(rest)

    def _in_chunk(self, data: bytes) -> bytes:
        """A chunk that does not come in one piece."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data
        self._step = ResponseParser._chunk_end
        return data[:left] + self._chunk_end(data[left:])

    def _chunk_end(self, data: bytes) -> bytes:
        self._buffer += data
        if not b"\r\n".startswith(self._buffer[:2]):
            return self._fail("a chunk is longer than it says")
        if len(self._buffer) < 2:
            return b""
        rest = bytes(self._buffer[2:])
        self._buffer.clear()
        self._step = ResponseParser._in_chunks
        return self._in_chunks(rest)

    def _trailers(self, data: bytes) -> bytes:
        """Fields after the last chunk; they are read past."""
        self._buffer += data
        buffer = self._buffer
        end = 0 if buffer.startswith(b"\r\n") else buffer.find(b"\r\n\r\n")
        if end >= 0:
            self._end(bytes(buffer[end + (4 if end else 2) :]))
            buffer.clear()
        elif len(buffer) > MAX_HEAD:
            self._fail("its trailers are too long")
        return b""


def _alike(data: bytes) -> tuple[int, list[bytes]]:
    """Whole chunks without line ends in them, and where they end; none where there are others among them."""
    lines = data.split(b"\r\n")
    chunks = lines[1:-1:2]
    if list(map(_SIZES.get, lines[0:-2:2])) != list(map(len, chunks)):
        return 0, []
    return len(data) - len(b"\r\n".join(lines[2 * len(chunks) :])), chunks


_Step: TypeAlias = Callable[[ResponseParser, bytes], bytes]


@frozen
class _Read:
    """What a head means."""

    head: Head
    keep_alive: bool
    step: _Step
    left: int


@lru_cache(maxsize=128)  # under load the heads of an upstream differ by the second
def _read(block: bytes) -> _Read:
    lines = block.split(b"\r\n")
    status, keeps = _status(lines[0])
    headers = _fields(lines[1:])
    step, left = _body(status, headers)
    words = {word.strip().lower() for word in ",".join(headers.getall("Connection", ())).split(",")}
    keeps = "close" not in words and (keeps or "keep-alive" in words)
    keeps = keeps and step is not ResponseParser._until_close
    return _Read(Head(status, CIMultiDictProxy(headers)), keeps, step, left)


def _body(status: int, headers: CIMultiDict[str]) -> tuple[_Step, int]:
    codings, lengths = headers.getall("Transfer-Encoding", ()), set(headers.getall("Content-Length", ()))
    if status in _BODILESS or status < 200:
        return ResponseParser._after, 0
    if codings:
        if lengths or [coding.lower() for coding in codings] != ["chunked"]:
            raise _Fault("its transfer coding cannot be read")
        return ResponseParser._in_chunks, 0
    if not lengths:
        return ResponseParser._until_close, 0
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise _Fault("its length is none")
    left = int(length)
    return (ResponseParser._counted, left) if left else (ResponseParser._after, 0)


def _status(line: bytes) -> tuple[int, bool]:
    """The status, and whether the version keeps connections."""
    match = _STATUS.fullmatch(line)
    if match is None:
        raise _Fault("its status line is none")
    return int(match.group(2)), match.group(1) == b"1"


def _fields(lines: list[bytes]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise _Fault("a header of it is none")
        headers.add(match.group(1).decode("ascii"), match.group(2).decode("utf-8", "replace"))
    return headers


def _size(line: bytes) -> int:
    """The size of a chunk; below zero if there is none."""
    if line == b"0":
        return 0
    match = _SIZE.fullmatch(line)
    return -1 if match is None else int(match.group(1), 16)
