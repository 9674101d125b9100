"""What all ways of keeping blobs share: which names there are, what a missing one is called, pieces of one size.

A name is made up by the gateway and never by a client, so a name of another shape is a mistake of ours.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from translators.errors import NotFound

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)


def checked(name: str) -> str:
    """``name``, if it can be one; ValueError if not."""
    if not _NAME.fullmatch(name):
        raise ValueError("this is not the name of a blob")
    return name


def missing() -> NotFound:
    return NotFound("There is no such content.", code="content_not_found")


async def gathered(parts: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least ``size``, but for the last one, which may be empty."""
    buffer = bytearray()
    async for part in parts:
        buffer += part
        if len(buffer) >= size:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
