"""What a store says when it cannot do what it was asked to, in the same words whichever store it is.

Clients are told that it was the storage, and why in a few words of ours: never a path, an address or what a library
said. That goes into ``detail``, for the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.stores.base import PATIENCE, Document
from translators.errors import BadRequest, Conflict, NotFound, StorageFull, StorageUnavailable
from translators.excerpt import clean

AGAIN = 1.0
"""Seconds after which it makes sense to ask again."""
TOO_SLOW = "it did not answer in time"


def unavailable(why: str, detail: str = "") -> StorageUnavailable:
    message = f"Nothing can be kept or found now: {why}."
    return StorageUnavailable(message, retry_after=AGAIN, detail=detail)


def full(detail: str = "") -> StorageFull:
    return StorageFull("Nothing more can be kept: there is no room left.", detail=detail)


def missing(kind: str, id: str) -> NotFound:
    return NotFound(f"There is no {kind} `{clean(id[:100])}`.", code="not_found")


def taken(document: Document) -> Conflict:
    return Conflict(f"There is a {document.kind} with this id already.", code="conflict")


def changed(document: Document) -> Conflict:
    return Conflict(f"This {document.kind} was changed by somebody else meanwhile.", code="conflict")


def not_in_list(name: str, id: str) -> BadRequest:
    return BadRequest(f"There is nothing in this list with the id `{clean(id[:100])}`.", param=name)


@asynccontextmanager
async def patience(seconds: float = PATIENCE) -> AsyncIterator[None]:
    """No longer than this: from then on the storage is what is wrong."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise unavailable(TOO_SLOW) from None
