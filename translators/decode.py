"""Reading the JSON of a request that may be hostile.

A document is refused before it is built when building it would stall the event loop: too many containers or
values, too deep. Numbers that 64 bits cannot hold are refused rather than turned into something else. Both are
counted on the bytes, outside of strings, and only when a cheap first look says that it may matter.

Where a key stands twice, the last one wins.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from translators.errors import BadRequest

MAX_DEPTH = 100
MAX_CONTAINERS = 50_000
MAX_VALUES = 250_000

_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_DIGITS = b"0" * 19  # the shortest integer that 64 bits cannot hold is a negative one
_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}+(?![\d.eE])")
_KEPT = b"{}[],"
_DROPPED = bytes(set(range(256)) - set(_KEPT))
_SAMPLE = 60  # more digits than any 64-bit number has, few enough to convert


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``, or BadRequest with what to send instead."""
    openings = raw.count(b"{") + raw.count(b"[")
    if openings > MAX_DEPTH or raw.count(b",") > MAX_VALUES:
        _refuse_bombs(raw)
    if _LONG_DIGITS in raw.translate(_ZEROS):
        _refuse_wide_integers(raw)
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if not raw.strip():
            raise BadRequest("The request has no body. Send a JSON object.") from None
        raise BadRequest(
            f"We could not parse the JSON body of your request: {_reason(error)}. Send one JSON object."
        ) from None
    if not isinstance(document, dict):
        raise BadRequest(f"The body of the request must be a JSON object, not {kind(document)}.")
    return document


def kind(value: object) -> str:
    """What JSON calls ``value``, with its article."""
    return _KINDS.get(type(value), "an unknown value")


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def _reason(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg.partition(': line')[0]} (line {error.lineno}, column {error.colno})"[:200]


def _outside_strings(raw: bytes) -> list[bytes]:
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 4 * MAX_VALUES:  # each value may be a string and have a key
        raise _too_many()
    return unescaped.split(b'"')[::2]


def _too_many() -> BadRequest:
    return BadRequest(f"The JSON of the request has more than {MAX_VALUES} values.")


def _refuse_bombs(raw: bytes) -> None:
    skeleton = b"".join(_outside_strings(raw)).translate(None, _DROPPED)
    if skeleton.count(b",") > MAX_VALUES:
        raise _too_many()
    brackets = skeleton.replace(b",", b"")
    if brackets.count(b"{") + brackets.count(b"[") > MAX_CONTAINERS:
        raise BadRequest(f"The JSON of the request has more than {MAX_CONTAINERS} objects and arrays.")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"{[" else -1
        if depth > MAX_DEPTH:
            raise BadRequest(f"The JSON of the request is nested more than {MAX_DEPTH} levels deep.")
        if depth < 0:
            return  # no JSON, which the parser says better


def _refuse_wide_integers(raw: bytes) -> None:
    for segment in _outside_strings(raw):
        for match in _INTEGER.finditer(segment):
            digits = match.group()
            if len(digits) > _SAMPLE or not -(2**63) <= int(digits) < 2**64:
                shown = digits[:24].decode()
                raise BadRequest(
                    f"The integer {shown}… is too large. Send it as a string.", code="invalid_value"
                )
