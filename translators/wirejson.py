"""JSON that never changes what it carries.

orjson does the work. Three things it cannot say without loss are caught here and take the slower road
through the standard library: integers past 64 bits (it would make floats of them), half a surrogate pair
(an emoji that a peer split over two events) and bytes that are not UTF-8 (read as every event-source
client reads them: U+FFFD). NaN and Infinity stay errors: they are not JSON, and neither is a number that only
infinity could stand for. Whatever can be read can also be written, so what is nested deeper than a writer goes
is refused.

What goes out has U+2028, U+2029 and U+0085 escaped, because some clients split lines on them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Never

import orjson

MAX_DEPTH = 200  # orjson reads 1024 levels but writes 254

_SHAPE = bytes.maketrans(b"123456789-:,[ \t\r\n", b"0" * 9 + b":" * 8)
_WIDE = b"0" * 19  # the shortest integer that 64 bits cannot hold is a negative one
_WIDE_NUMBER = b":" + _WIDE
"""Before a number stands one of these characters or nothing at all. In a text they may stand as well, so the slower
road may be taken in vain."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")


def loads(data: bytes) -> Any:
    """The document in ``data``; ValueError for anything that is not JSON."""
    try:
        document = orjson.loads(data)
        shape = data.translate(_SHAPE)
        exact = _WIDE_NUMBER not in shape and not shape.startswith(_WIDE)
    except orjson.JSONDecodeError:
        exact = False
    if not exact:
        document = _loads_exactly(data)
    if len(data) > 2 * MAX_DEPTH and data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(document):
        raise ValueError("nested too deeply")
    return document


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits[:40])


def _too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        inner = [value.values() if type(value) is dict else value for value in level]
        level = [value for values in inner for value in values if type(value) in (dict, list)]
        if not level:
            return False
    return True


def _loads_exactly(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "replace"), parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(document: Any) -> bytes:
    """``document`` on one line of UTF-8, safe inside a ``data:`` line of any client."""
    try:
        out = orjson.dumps(document)
    except orjson.JSONEncodeError:
        out = _dumps_exactly(document)
    return safe_lines(out)


def dumps_text(text: str) -> bytes:
    """``dumps`` for the one string of a token frame."""
    if text.isascii():
        return orjson.dumps(text)
    if "\u2028" in text or "\u2029" in text or "\x85" in text:
        return dumps(text)
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return _dumps_exactly(text)


def _dumps_exactly(document: Any) -> bytes:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _SURROGATE.sub("\ufffd", text).encode()


def safe_lines(out: bytes) -> bytes:
    """Escape the three code points that are line ends to some readers and ordinary characters to JSON."""
    if out.isascii():
        return out
    if b"\xe2\x80" in out:
        out = out.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    if b"\xc2\x85" in out:
        out = out.replace(b"\xc2\x85", b"\\u0085")
    return out
