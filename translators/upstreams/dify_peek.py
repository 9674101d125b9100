"""What an event is, from its first bytes.

A workflow tells the inputs and outputs of every node, so some lines are as long as everything the run has read and
written, and almost none of them says anything that a client is told. Dify writes ``event`` first and the short
members of ``data`` before the long ones, so a look at the beginning is enough to leave the rest unread.

The look is exact: it goes from token to token, from the opening brace on, and never searches. So the same bytes
inside a string cannot mislead it, and a line that is written in any other way is simply not recognised and has to
be parsed. Where a key stands twice the first one counts here.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_LOOK = 4096
"""As many bytes as are looked at."""

_BLANK = rb"[ \t\r\n]*+"
_EVENT = re.compile(rb'%b\{%b"event"%b:%b"(\w*+)"' % ((_BLANK,) * 4))

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_MEMBER = rb'%b"[^"\\]*+"%b:%b(?:%b|[-+.\w]++)%b,' % (_BLANK, _BLANK, _BLANK, _STRING, _BLANK)
_HEAD = re.compile(
    rb'%b\{(?:%b)*+%b"data"%b:%b\{((?:%b)*+)' % (_BLANK, _MEMBER, _BLANK, _BLANK, _BLANK, _MEMBER)
)


def event_of(payload: bytes) -> bytes | None:
    """The event's name; None if it is not the first member or is spelt with escapes."""
    match = _EVENT.match(payload, 0, _LOOK)
    return None if match is None else match[1]


def data_head(payload: bytes) -> dict[str, Any]:
    """The simple members with which ``data`` begins, as far as they are within reach."""
    match = _HEAD.match(payload, 0, _LOOK)
    if match is None:
        return {}
    head: dict[str, Any] = orjson.loads(b"{%b}" % match[1].rstrip(b", \t\r\n"))
    return head
