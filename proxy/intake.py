"""Bytes on their way in: announced before the first of them, counted as they come, and gone unless they are kept.

The document that announces a blob goes in the same commit that brings the one which has it. So whatever happens in
between, a crash included, either somebody finds the blob or the sweep does. If nobody knows whether that commit was
made, because the storage did not answer, the bytes stay where they are: one of the two documents speaks of them.

What one owner may keep is judged twice: when the bytes begin, so that nobody sends in vain what has no room, and
when they are kept, one commit of an owner after the other. Workers that share a storage judge each for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from weakref import WeakValueDictionary

from attrs import define, evolve, field

from proxy.background import Background
from proxy.storage import Storage
from proxy.stores.base import Change, Document, Documents, Drop, Put, Step
from proxy.stores.blobs import FILE, PART, PENDING
from translators.errors import GatewayError, NotFound, RequestTimeout, StorageUnavailable, TooLarge

LONGEST = 12 * 3600.0
"""Seconds that bytes may take to come."""
ANNOUNCED = 24 * 3600
"""Seconds after which announced bytes are swept away."""
TIDYING = 60.0
"""Seconds that taking bytes away may take before it is left to the sweep."""
PAST = 1
"""An end that has come by every clock."""


def new_id(prefix: str) -> str:
    """Nobody can guess it: whoever knows the id of a file of his own knows no other."""
    return f"{prefix}{os.urandom(16).hex()}"


@define(eq=False)
class Intakes:
    storage: Storage
    background: Background
    clock: Callable[[], float]
    new_id: Callable[[str], str] = new_id
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(factory=WeakValueDictionary, init=False)

    @asynccontextmanager
    async def begin(
        self, owner: str, prefix: str, longest: TooLarge, most: int, freed: int = 0
    ) -> AsyncIterator[Intake]:
        """``longest`` is what is said about more than ``most`` bytes; ``freed`` bytes go when these are kept."""
        room = await self.room(owner)
        if room is not None and room + freed < most:
            longest, most = no_room(self.storage.config.quota), room + freed
        intake = Intake(self, owner, self.new_id(prefix), longest, most)
        now = int(self.clock())
        await self.storage.store.commit(
            Put(Document(PENDING, intake.id, owner, now, {}, expires=now + ANNOUNCED))
        )
        try:
            yield intake
        finally:
            if intake.open:
                self._later(intake.forget, "taking back what was not kept")

    async def room(self, owner: str) -> int | None:
        """How many bytes more this owner may keep; None for any number."""
        quota = self.storage.config.quota
        if not quota:
            return None
        store = self.storage.store
        return max(0, quota - await store.total(FILE, owner) - await store.total(PART, owner))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """What every way of keeping blobs reads is a generator, which whoever leaves it early has to close."""
        return cast("AsyncGenerator[bytes, None]", self.storage.blobs.read(name, start, stop))

    def turn(self, owner: str) -> asyncio.Lock:
        """Held by whoever keeps something for this owner."""
        return self._turns.setdefault(owner, asyncio.Lock())

    def tidy(self, *documents: Document) -> None:
        """Take away documents that have come to their end, their bytes first, soon."""
        self._later(lambda: self._tidy(documents), "taking away what was deleted")

    async def _tidy(self, documents: tuple[Document, ...]) -> None:
        for document in documents:
            await self.storage.blobs.delete(document.id)
            try:
                drop = Drop(document.kind, document.id, document.owner, ended=True)
                await self.storage.store.commit(drop)
            except NotFound:
                continue  # the sweep was faster

    def _later(self, work: Callable[[], Any], what: str) -> None:
        self.background.start(work, what, TIDYING, logging.INFO)


@define(eq=False)
class Intake:
    """One blob; its name is the id of the document that it is for."""

    _intakes: Intakes
    owner: str
    id: str
    _longest: TooLarge
    _most: int
    size: int = 0
    md5: Any = field(factory=lambda: hashlib.md5(usedforsecurity=False))
    open: bool = True
    """Whether nobody has it and it is ours to take back."""

    async def write(self, parts: AsyncIterator[bytes]) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                await self._intakes.storage.blobs.write(self.id, self._counted(parts))
        except TimeoutError:
            raise RequestTimeout("The content took too long to arrive.") from None

    async def _counted(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in parts:
            self.size += len(part)
            if self.size > self._most:
                raise self._longest
            self.md5.update(part)
            yield part

    async def keep(self, document: Document, *also: Step, freed: int = 0) -> Documents:
        """Make the document that has these bytes, with whatever goes along, in which ``freed`` bytes go.

        Raises Conflict if a step that expects a revision finds another.
        """
        intakes = self._intakes
        async with intakes.turn(self.owner):
            room = await intakes.room(self.owner)
            if room is not None and self.size > room + freed:
                raise no_room(intakes.storage.config.quota)
            self.open = False
            try:
                return await intakes.storage.store.commit(
                    Drop(PENDING, self.id, self.owner), Put(document), *also
                )
            except GatewayError as error:
                self.open = not isinstance(error, StorageUnavailable)
                raise

    async def forget(self) -> None:
        await self._intakes.storage.blobs.delete(self.id)
        await self._intakes.storage.store.commit(Drop(PENDING, self.id, self.owner))


def ended(document: Document) -> Change:
    """What makes a document disappear for everybody but those who take it away."""
    return Change(evolve(document, expires=PAST, size=0), expect=None)


def no_room(quota: int) -> TooLarge:
    return TooLarge(
        f"Your files would take more than the {quota} bytes you may keep here. Delete some first.",
        code="quota_exceeded",
    )
