"""The head of the one request that comes most, read in a few steps.

Read is only what has one meaning: the chat route in HTTP/1.1, every header once and well formed, a length. For
anything else, and for whatever is odd in any way, the answer is None, and aiohttp's parser has to be asked, which
knows all of HTTP.

A client sends the same head again and again but for the length, so heads are looked up as bytes without its digits,
and what is found is shared by all answers to that client. The digits are cut out of the first line that begins with
the name of that header, so no two heads that could be read differently become one.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy

CHAT = "/v1/chat/completions"

MAX_HEADS = 512
LONGEST_KEPT = 4 * 1024
"""Only as much as this of a head is worth keeping."""

_REQUEST = f"POST {CHAT} HTTP/1.1\r\n".encode("ascii")
_LENGTH = (b"\nContent-Length: ", b"\ncontent-length: ")
_MAX_DIGITS = 9
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}:[\t -~]{0,4000}\r\n){2,64}\r\n")
_ODD = {
    *("content-encoding", "expect", "proxy-connection", "sec-websocket-key1"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
}
"""Headers that change what a request is; aiohttp has its own way with each."""

Headers: TypeAlias = CIMultiDictProxy[str]


@define(eq=False)
class Heads:
    _known: dict[bytes, Headers] = field(factory=dict)

    def read(self, data: bytes) -> tuple[Headers, int, int] | None:
        """Headers, where the body begins and how long it is; None for what is not read here, or not whole."""
        if not data.startswith(_REQUEST):
            return None
        end = data.find(b"\r\n\r\n") + 4
        for name in _LENGTH:
            at = data.find(name, 0, end) + len(name)
            if at >= len(name):
                break
        else:
            return None
        line_end = data.find(b"\r\n", at, end)
        digits = data[at:line_end]
        if not digits.isdigit() or len(digits) > _MAX_DIGITS:
            return None
        key = data[:at] + data[line_end:end]
        headers = self._known.get(key) or self._learn(key, data[len(_REQUEST) : end])
        return None if headers is None else (headers, end, int(digits))

    def _learn(self, key: bytes, lines: bytes) -> Headers | None:
        headers = _headers(lines)
        if headers is not None and len(key) <= LONGEST_KEPT:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[key] = headers
        return headers


def _headers(lines: bytes) -> Headers | None:
    if not _FIELDS.fullmatch(lines):
        return None
    fields = [line.split(":", 1) for line in lines.decode("ascii")[:-4].split("\r\n")]
    headers = CIMultiDict((name, value.strip(" \t")) for name, value in fields)
    names = {name.lower() for name in headers}
    if len(names) != len(fields) or names & _ODD or "host" not in names:
        return None
    if headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    del headers["Content-Length"]  # it is another one in every request
    return CIMultiDictProxy(headers)
