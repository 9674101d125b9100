"""Reading what a client of the Coze stand-in sent: JSON bodies, and the one kind of form.

The form is read strictly from its bytes: whoever builds one by hand should learn here what is wrong with it.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from attrs import frozen

from proxy.simulators.coze_replies import invalid
from translators import wirejson

_BOUNDARY = re.compile(
    r"""multipart/form-data\s*;\s*boundary=("?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1\s*""", re.I
)
_MEMBER = re.compile(r'[;\s](name|filename)="((?:[^"\\]|\\.)*)"')


async def document_of(request: web.Request) -> Any:
    """The JSON in the body; nothing at all is an empty object."""
    raw = await request.read()
    if not raw:
        return {}
    if request.content_type != "application/json":
        raise invalid(f"The content type is {request.content_type}: send application/json.")
    try:
        return wirejson.loads(raw)
    except ValueError:
        raise invalid("The request body is not JSON.") from None


@frozen
class Part:
    name: str
    filename: str | None
    content: bytes


def form(content_type: str, raw: bytes) -> list[Part]:
    """The parts of a multipart body."""
    if (found := _BOUNDARY.fullmatch(content_type)) is None:
        raise invalid("The content type must be multipart/form-data with a boundary.")
    mark = b"--" + found[2].encode()
    opening, *pieces = (b"\r\n" + raw).split(b"\r\n" + mark)
    if opening or not pieces or pieces[-1] not in (b"--", b"--\r\n"):
        raise invalid("The form is not closed by its boundary.")
    return [_part(piece) for piece in pieces[:-1]]


def _part(piece: bytes) -> Part:
    head, found, content = piece.partition(b"\r\n\r\n")
    if not found or not head.startswith(b"\r\n"):
        raise invalid("A part of the form has no head.")
    lines = dict(_header(line) for line in head[2:].split(b"\r\n"))
    disposition = lines.get("content-disposition", "")
    members = dict(_MEMBER.findall(disposition))
    if not disposition.startswith("form-data;") or "name" not in members:
        raise invalid("A part of the form has no name.")
    return Part(members["name"], members.get("filename"), content)


def _header(line: bytes) -> tuple[str, str]:
    name, found, value = line.decode("utf-8", "replace").partition(":")
    if not found:
        raise invalid("A part of the form has a line in its head that is no header.")
    return name.strip().lower(), value.strip()
