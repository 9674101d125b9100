"""Heads as bytes, and what aiohttp's own parser makes of them."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

LINE = "POST /v1/chat/completions HTTP/1.1"
USUAL = ("Host: test", "Content-Type: application/json", "Content-Length: 5")
NEXT = b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n"


def head(*lines: str, line: str = LINE) -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("utf-8", "surrogateescape")


def usual(*more: str) -> bytes:
    return head(*USUAL, *more)


class Loop(asyncio.AbstractEventLoop):
    """As much of a loop as a parser asks for."""

    def get_debug(self) -> bool:
        return False


def theirs(data: bytes, length: int) -> list[tuple[str, str]] | None:
    """The headers that aiohttp reads from a head, but for the length; None if it refuses it or would treat it in
    another way than any other. The body has to end after ``length`` bytes, where the next request begins."""
    short = length <= 1000
    loop = Loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, auto_decompress=False)
    try:
        messages, upgraded, _ = parser.feed_data(data + (b"~" * length + NEXT if short else b""))
    except HttpProcessingError:
        return None
    message, payload = messages[0]
    if message.should_close or upgraded or message.upgrade or message.chunked or message.compression:
        return None
    assert (message.method, message.path, message.version) == (
        "POST",
        "/v1/chat/completions",
        HttpVersion11,
    )
    assert int(message.headers["Content-Length"]) == length
    if short:
        assert (len(messages), messages[1][0].path) == (2, "/next")
        assert (payload.read_nowait() if length else b"") == b"~" * length
    fields = [(name.decode(), value.decode()) for name, value in message.raw_headers]
    assert [value for _, value in fields] == list(message.headers.values())
    return [field for field in fields if field[0].lower() != "content-length"]
