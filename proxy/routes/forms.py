"""A form with a file in it (``multipart/form-data``), read from a body that is there as a whole.

The body is bounded before it comes here, and so is the number of its parts. What is not a form of that kind is the
client's mistake and said so.
"""

from __future__ import annotations

import re

from attrs import define, field, frozen

from translators.errors import BadRequest

MOST_PARTS = 64
LONGEST_FIELD = 64 * 1024
"""Bytes of a part that is no file."""

_BOUNDARY = re.compile(r'multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.I)
_PARAMETER = re.compile(rb';\s*(name|filename)="((?:[^"\\\r\n]|\\.)*)"', re.I)


@frozen
class File:
    name: str
    mime: str
    data: bytes = field(repr=False)


@define
class Form:
    fields: dict[str, str] = field(factory=dict)
    files: dict[str, File] = field(factory=dict)

    @classmethod
    def read(cls, content_type: str, body: bytes) -> Form:
        """Raises BadRequest."""
        match = _BOUNDARY.match(content_type)
        if match is None:
            raise _wrong("Send a form: multipart/form-data with a boundary.")
        mark = b"\r\n--" + (match[1] or match[2]).encode("utf-8", "surrogateescape")
        _, *parts = (b"\r\n" + body).split(mark, MOST_PARTS + 1)
        form = cls()
        for part in parts:
            if part.startswith(b"--"):
                return form
            form._add(part)
        raise _wrong(f"The form has no end, or more than {MOST_PARTS} parts.")

    def _add(self, part: bytes) -> None:
        head, blank, data = part.partition(b"\r\n\r\n")
        lines = {name.strip().lower(): value for name, _, value in _fields(head)}
        told = {
            key.lower(): value for key, value in _PARAMETER.findall(lines.get(b"content-disposition", b""))
        }
        if not blank or b"name" not in told:
            raise _wrong("A part of the form has no name.")
        name = _text(told[b"name"])
        if b"filename" in told:
            mime = _text(lines.get(b"content-type", b"")).strip()
            self.files[name] = File(_text(told[b"filename"]), mime, data)
        elif len(data) > LONGEST_FIELD:
            raise _wrong(f"The field '{name[:64]}' is too long.")
        else:
            self.fields[name] = _text(data)


def _fields(head: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in head.split(b"\r\n") if line]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _wrong(message: str) -> BadRequest:
    return BadRequest(message, code="invalid_form")
