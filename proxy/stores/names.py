"""Which texts can be the name of something, and how a body is written down.

Names end up in indexes, and those of two databases agree only on ordinary text of a bounded length: no NUL, no half
of a surrogate pair. Nothing can be kept under another name, so nothing is found under one either.

A body is JSON without loss. What orjson cannot write, integers past 64 bits and halves of surrogate pairs, the
standard library writes in ASCII, with a blank before it that tells the reader to read it with the same.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from proxy.stores.base import LARGEST_BODY, Document
from translators.errors import BadRequest, TooLarge

LONGEST_NAME = 256
LARGEST_NUMBER = 2**63 - 1
DEEPEST = 500
"""Levels of a body; both writers and readers have their limits, and what was written must be readable."""
_EXACT = " "


def is_name(*texts: str) -> bool:
    return all(len(text) <= LONGEST_NAME and text.isprintable() for text in texts)


def write(document: Document) -> str:
    """The body as text. Raises BadRequest or TooLarge for a document that cannot be kept."""
    if not document.id or not is_name(
        document.kind, document.id, document.owner, document.parent, document.label
    ):
        raise BadRequest("A name may have at most 256 characters, and none that cannot be printed.")
    if max(document.created, document.size, document.expires or 0) > LARGEST_NUMBER:
        raise BadRequest("A time or a size is out of range.")
    text = _written(document.body)
    if len(text) > LARGEST_BODY:
        raise TooLarge(f"One object may have at most {LARGEST_BODY} bytes of JSON.")
    return text.decode()


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        pass
    if _is_too_deep(body):
        raise BadRequest(f"The object is nested more than {DEEPEST} levels deep.")
    try:
        return (_EXACT + json.dumps(body, allow_nan=False, separators=(",", ":"))).encode()
    except (TypeError, ValueError):
        raise BadRequest("The object holds what is not JSON.") from None


def _is_too_deep(body: dict[str, Any]) -> bool:
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def read(text: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text) if text.startswith(_EXACT) else orjson.loads(text)
    return body
