"""A form with files in it (``multipart/form-data``, RFC 7578), read as it comes: bytes in, parts out.

``feed`` tells a ``Head`` where a part begins and then its bytes, until the next ``Head`` or the ``End``. What is
held back is never more than could still become a boundary, or one head, so a part may be of any size. Every byte
is looked at a bounded number of times: a boundary begins with a line end, which it does not contain again, so the
search for it never goes back.

Names of files come in several ways: raw UTF-8 in quotes, percent signs for what cannot stand there, and the
charset'lang'value of RFC 5987, which wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from attrs import define, field, frozen

from translators.errors import BadRequest

MOST_PARTS = 64
LONGEST_HEAD = 16 * 1024
LONGEST_PREAMBLE = 4 * 1024
"""Bytes before the first boundary, and after the last, which mean nothing."""
LONGEST_PADDING = 64
"""Blanks between a boundary and its line end."""

_BOUNDARY = re.compile(
    r'[^;]*;(?:.*;)?\s*boundary=(?:"([^"]*)"|([^\s;"]*))\s*(?:;.*)?', re.IGNORECASE | re.DOTALL
)
_ALLOWED = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_PARAMETER = re.compile(rb';[ \t]*([\w-]+)(\*?)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*))', re.DOTALL)
_ESCAPED = re.compile(rb'\\(["\\])')
_EXTENDED = re.compile(rb"(utf-8|iso-8859-1)'[^']*'([^']*)", re.IGNORECASE)
_END = b"--"


@frozen
class Head:
    """What a part says of itself."""

    name: str
    filename: str | None = None
    """None where the part says nothing of a file."""
    mime: str = ""


@frozen
class End:
    """The form is complete."""


Event: TypeAlias = Head | bytes | End


def boundary_of(content_type: str) -> bytes:
    """Raises BadRequest for what is no form."""
    match = _BOUNDARY.fullmatch(content_type)
    if match is None or content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise _wrong("Send a form: multipart/form-data with a boundary.")
    boundary = match[1] if match[1] is not None else match[2]
    if not _ALLOWED.fullmatch(boundary):
        raise _wrong("The boundary of a form has 1 to 70 letters, digits or '()+_,-./:=? characters.")
    return boundary.encode()


@define(eq=False)
class Multipart:
    """Raises BadRequest for what is no form of this boundary, or one that is out of bounds."""

    boundary: bytes
    _mark: bytes = field(init=False)
    _buffer: bytearray = field(factory=lambda: bytearray(b"\r\n"), init=False)
    _seen: int = field(default=0, init=False)
    """How far the buffer was searched in vain."""
    _parts: int = field(default=0, init=False)
    _skipped: int = field(default=0, init=False)
    _step: Callable[[list[Event]], bool] = field(init=False)
    """Reads on from the buffer, and says whether it came to something else."""

    def __attrs_post_init__(self) -> None:
        self._mark = b"\r\n--" + self.boundary
        self._step = self._preamble

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        self._buffer += data
        while self._step(events):
            pass
        return events

    def close(self) -> None:
        """There is no more; raises BadRequest if the form is not complete."""
        if self._step != self._epilogue:
            raise _wrong("The form breaks off before its end.")

    def _preamble(self, events: list[Event]) -> bool:
        found = self._until_mark()
        self._skip(len(found[0]))
        return found[1]

    def _body(self, events: list[Event]) -> bool:
        data, ended = self._until_mark()
        if data:
            events.append(data)
        return ended

    def _until_mark(self) -> tuple[bytes, bool]:
        """What surely comes before the next boundary, and whether the boundary was reached."""
        buffer, mark = self._buffer, self._mark
        place = buffer.find(mark)
        if place >= 0:
            data = bytes(buffer[:place])
            del buffer[: place + len(mark)]
            self._step = self._line
            return data, True
        place = buffer.find(b"\r", max(0, len(buffer) - len(mark) + 1))
        while place >= 0 and not mark.startswith(buffer[place:]):
            place = buffer.find(b"\r", place + 1)
        data = bytes(buffer if place < 0 else buffer[:place])
        del buffer[: len(data)]
        return data, False

    def _line(self, events: list[Event]) -> bool:
        """The rest of a boundary's line: the last one says so by two dashes."""
        buffer = self._buffer
        if buffer.startswith(_END):
            del buffer[:2]
            events.append(End())
            self._skipped, self._step = 0, self._epilogue
            return True
        if buffer == b"-":
            return False
        end = buffer.find(b"\r\n")
        rest = buffer[:end] if end >= 0 else buffer.removesuffix(b"\r")
        if len(rest) > LONGEST_PADDING or rest.strip(b" \t"):
            raise _wrong("Something stands behind a boundary of the form.")
        if end < 0:
            return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _wrong(f"The form has more than {MOST_PARTS} parts.")
        del buffer[:end]  # the line end stays: a head without lines is only that and one more
        self._seen, self._step = 0, self._head
        return True

    def _head(self, events: list[Event]) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._seen)
        if (end if end >= 0 else len(buffer)) > LONGEST_HEAD:
            raise _wrong(f"The head of a part is longer than {LONGEST_HEAD} bytes.")
        if end < 0:
            self._seen = max(0, len(buffer) - 3)
            return False
        head = bytes(buffer[2:end])
        del buffer[: end + 2]  # a boundary may follow at once, and begins with the line end that stays
        events.append(_read(head))
        self._step = self._first
        return True

    def _first(self, events: list[Event]) -> bool:
        """A part without a single byte has its boundary right behind its head."""
        buffer, mark = self._buffer, self._mark
        if buffer.startswith(mark):
            del buffer[: len(mark)]
            self._step = self._line
            return True
        if mark.startswith(buffer):
            return False
        del buffer[:2]
        self._step = self._body
        return True

    def _epilogue(self, events: list[Event]) -> bool:
        self._skip(len(self._buffer))
        self._buffer.clear()
        return False

    def _skip(self, count: int) -> None:
        self._skipped += count
        if self._skipped > LONGEST_PREAMBLE:
            raise _wrong("There is too much around the parts of the form.")


def _read(head: bytes) -> Head:
    lines: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if line and not colon:
            raise _wrong("The head of a part has a line that is no header.")
        lines.setdefault(name.strip().lower(), value.strip())
    told = _parameters(lines.get(b"content-disposition", b""))
    if "name" not in told:
        raise _wrong("A part of the form has no name.")
    if lines.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
        raise _wrong("The parts of a form cannot be encoded.")
    return Head(told["name"], told.get("filename"), _text(lines.get(b"content-type", b"")))


def _parameters(disposition: bytes) -> Mapping[str, str]:
    kind = disposition.partition(b";")[0].strip().lower()
    if kind != b"form-data":
        return {}
    told: dict[str, str] = {}
    extended: dict[str, str] = {}
    for name, star, quoted, token in _PARAMETER.findall(disposition, len(kind)):
        key = name.decode("ascii", "replace").lower()
        if not star:
            value = _ESCAPED.sub(rb"\1", quoted) or token
            told.setdefault(key, _text(value).replace("%22", '"'))
        elif match := _EXTENDED.fullmatch(token):
            extended[key] = unquote_to_bytes(match[2]).decode(match[1].decode(), "replace")
    return {**told, **extended}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _wrong(message: str) -> BadRequest:
    return BadRequest(message, code="invalid_form")
