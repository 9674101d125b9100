"""Frames of Amazon's event stream, made by hand: the layout in one place, and every field can be made wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

TEXT = 7
Header = tuple[str, int, bytes]
"""Name, type, and the value as it stands on the wire."""


def text(name: str, value: str) -> Header:
    data = value.encode()
    return name, TEXT, struct.pack(">H", len(data)) + data


def block(headers: Iterable[Header]) -> bytes:
    return b"".join(
        bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value for name, kind, value in headers
    )


def frame_of(
    headers: bytes, payload: bytes = b"", *, total: int | None = None, length: int | None = None
) -> bytes:
    """A frame with right checksums, whatever its lengths say."""
    total = 16 + len(headers) + len(payload) if total is None else total
    prelude = struct.pack(">II", total, len(headers) if length is None else length)
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name: str, payload: bytes = b"{}", *more: Header) -> bytes:
    usual = [
        text(":event-type", name),
        text(":content-type", "application/json"),
        text(":message-type", "event"),
    ]
    return frame_of(block([*more, *usual]), payload)


def exception(name: str, payload: bytes) -> bytes:
    headers = [
        text(":exception-type", name),
        text(":content-type", "application/json"),
        text(":message-type", "exception"),
    ]
    return frame_of(block(headers), payload)


def error(code: str, message: str) -> bytes:
    headers = [text(":message-type", "error"), text(":error-code", code), text(":error-message", message)]
    return frame_of(block(headers))
