"""A store that is opened when it is first needed, and again when it has failed.

Nothing is made or asked before the first call. Opening goes on beside the calls that wait for it, and a call waits
only as long as any call may. After an attempt that failed, nobody tries for a second and everybody is told at once;
so a stopped server is asked once a second however many clients there are, and is found again by the first who
comes after it is back. A store that says it is ``broken`` serves on as well as it can until another may be opened.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import define, field

from proxy.stores.base import Document, Documents, Listed, Page, Step, Store
from proxy.stores.faults import AGAIN, patience, unavailable
from translators.errors import StorageUnavailable

log = logging.getLogger("deltawire")

TELL_EVERY = 60.0
"""Seconds between two lines about the same misery."""
OPENING = 70.0
"""Seconds that opening may take altogether, migrations included."""


class Opened(Store, Protocol):
    broken: str


def _nothing() -> None:
    """Nobody wants to know."""


@define(eq=False)
class Steady:
    open: Callable[[], Awaitable[Opened]]
    now: Callable[[], float] = time.monotonic
    first_used: Callable[[], None] = _nothing
    used: bool = field(default=False, init=False)
    """Whether anybody has asked for anything."""
    _store: Opened | None = field(default=None, init=False)
    _opening: asyncio.Task[Opened] | None = field(default=None, init=False)
    _failure: str = field(default="", init=False)
    _tried: float = field(default=float("-inf"), init=False)
    _told: float | None = field(default=None, init=False)
    """When the last line about a failure was written; None while all is well."""
    _closing: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def get(self, kind: str, id: str, owner: str) -> Document:
        return await (await self._ready()).get(kind, id, owner)

    async def commit(self, *steps: Step) -> Documents:
        return await (await self._ready()).commit(*steps)

    async def list(self, kind: str, owner: str, page: Page, *, parent: str = "", label: str = "") -> Listed:
        return await (await self._ready()).list(kind, owner, page, parent=parent, label=label)

    async def total(self, kind: str, owner: str) -> int:
        return await (await self._ready()).total(kind, owner)

    async def expired(self, now: int, limit: int) -> Documents:
        return await (await self._ready()).expired(now, limit)

    async def ping(self) -> None:
        await (await self._ready()).ping()

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._store is not None:
            self._let_go(self._store)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _ready(self) -> Opened:
        """A store that can be asked. Raises StorageUnavailable."""
        if not self.used:
            self.used = True
            self.first_used()
        store = self._store
        if store is not None and not store.broken:
            return store
        if self._opening is None:
            if self.now() - self._tried < AGAIN:
                if store is not None:
                    return store
                raise StorageUnavailable(self._failure, retry_after=AGAIN)
            self._begin(store)
        assert self._opening is not None
        async with patience():
            return await asyncio.shield(self._opening)

    def _begin(self, broken: Opened | None) -> None:
        if broken is not None:
            self._tell(broken.broken)
            self._let_go(broken)
        self._tried = self.now()
        self._failure = unavailable("it could not be opened").message
        self._opening = asyncio.create_task(self._open())
        self._opening.add_done_callback(_heard)

    async def _open(self) -> Opened:
        try:
            async with patience(OPENING):
                self._store = await self.open()
        except StorageUnavailable as error:
            self._failure = error.message
            self._tell(error.message, error.detail)
            raise
        finally:
            self._tried = self.now()
            self._opening = None
        if self._told is not None:
            log.info("the storage is back")
            self._told = None
        return self._store

    def _tell(self, why: str, detail: str = "") -> None:
        if self._told is None or self.now() - self._told >= TELL_EVERY:
            self._told = self.now()
            log.warning("the storage fails: %s%s", why, f" ({detail})" if detail else "")

    def _let_go(self, store: Opened) -> None:
        """Closed beside whatever comes next: it may take as long as its disk does."""
        self._store = None
        task = asyncio.create_task(store.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _heard(opening: asyncio.Task[Opened]) -> None:
    """Whoever waited may have gone: what failed was logged."""
    if not opening.cancelled():
        opening.exception()
