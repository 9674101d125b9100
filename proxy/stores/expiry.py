"""Taking away what has come to its end.

Nobody finds such a document any more, whether it has been taken away or not; this is about the room. Bytes go
before the document that speaks of them, so that whatever is interrupted can be found and done again. Several
workers may do this at once: what one does not find, another has taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from attrs import define

from proxy.stores.base import Blobs, Document, Drop, Page, Store
from proxy.stores.blobs import HOLDING
from translators.errors import GatewayError, NotFound, StorageUnavailable

log = logging.getLogger("deltawire")

FIRST = 5.0
"""Seconds after the start, or after the first use."""
EVERY = 60.0
AT_ONCE = 50
TURNS = 400
"""What is beyond this many times so many waits for the next time."""


@define(eq=False)
class Expiry:
    store: Store
    blobs: Blobs
    clock: Callable[[], float]

    async def run(self) -> None:
        """For as long as the gateway lives."""
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.sweep()
            except StorageUnavailable as error:
                log.debug("nothing could be swept away: %s", error.message)
            await asyncio.sleep(EVERY)

    async def sweep(self) -> int:
        """How many documents went, not counting what was below them."""
        gone = 0
        for _ in range(TURNS):
            found = await self.store.expired(int(self.clock()), AT_ONCE)
            taken = sum(await asyncio.gather(*map(self._take, found)))
            gone += taken
            if len(found) < AT_ONCE or not taken:
                break
        return gone

    async def _take(self, document: Document) -> bool:
        try:
            await self._take_bytes(document)
            await self.store.commit(Drop(document.kind, document.id, document.owner, ended=True))
        except NotFound:
            return True
        except GatewayError as error:
            log.warning("an expired %s could not be taken away: %s", document.kind, error.message)
            return False
        return True

    async def _take_bytes(self, document: Document) -> None:
        if document.kind in HOLDING:
            await self.blobs.delete(document.id)
            return
        for kind in HOLDING:
            after, more = "", True
            while more:
                page = Page(AT_ONCE, ascending=True, after=after)
                below = await self.store.list(kind, document.owner, page, parent=document.id)
                for one in below.documents:
                    await self.blobs.delete(one.id)
                more, after = below.more, below.documents[-1].id if below.documents else ""
