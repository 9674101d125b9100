"""Everything that the gateway keeps: documents in one store, bytes in another, and what goes around them.

Nothing is opened, made or asked until something is to be kept or found. So a gateway whose storage is broken starts
and relays as ever; what needs the storage says that it cannot, and finds it again as soon as it is back.

Whether it is well is part of whether the gateway is ready only where somebody counts on it: where a database or a
bucket is configured, or once it has been used.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from attrs import define, field

from proxy.config import Storage as StorageConfig
from proxy.stores.base import Blobs
from proxy.stores.blobs import blobs_at
from proxy.stores.expiry import Expiry
from proxy.stores.faults import AGAIN, unavailable
from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_file import NAME
from proxy.stores.steady import Opened, Steady
from translators.errors import GatewayError

FILES = "files"


@define(eq=False)
class _Noticed:
    """Blobs, and whether anybody has asked for any."""

    blobs: Blobs
    used: bool = False

    async def write(self, name: str, parts: AsyncIterator[bytes]) -> int:
        self.used = True
        return await self.blobs.write(name, parts)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        self.used = True
        return self.blobs.read(name, start, stop)

    async def delete(self, name: str) -> None:
        self.used = True
        await self.blobs.delete(name)

    async def ping(self) -> None:
        await self.blobs.ping()

    async def close(self) -> None:
        await self.blobs.close()


@define(eq=False)
class Storage:
    config: StorageConfig
    clock: Callable[[], float] = time.time
    now: Callable[[], float] = time.monotonic
    store: Steady = field(init=False)
    blobs: _Noticed = field(init=False)
    _sweeping: asyncio.Task[None] | None = field(default=None, init=False)
    _asking: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _asked: float = field(default=float("-inf"), init=False)
    _reasons: list[str] = field(factory=list, init=False)

    @store.default
    def _own_store(self) -> Steady:
        return Steady(partial(_open, self.config, self.clock), self.now, self._begin)

    @blobs.default
    def _own_blobs(self) -> _Noticed:
        return _Noticed(blobs_at(self.config.blobs_url, self.folder / FILES), bool(self.config.blobs_url))

    @property
    def folder(self) -> Path:
        return Path(self.config.data)

    @property
    def counts(self) -> bool:
        """Whether anybody counts on it."""
        config = self.config
        return self.store.used or bool(config.database_url or config.blobs_url or config.affinity)

    def start(self) -> None:
        """Nothing happens where nothing is kept."""
        self.blobs.used |= _exists(self.folder / FILES)
        if self.counts or _exists(self.folder / NAME):
            self._begin()

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await self.store.close()
        await self.blobs.close()

    async def reasons(self) -> list[str]:
        """Why it is not well; asked once a second at most."""
        if not self.counts:
            return []
        async with self._asking:
            if self.now() - self._asked >= AGAIN:
                self._reasons = await self._ask()
                self._asked = self.now()
        return self._reasons

    async def probe(self) -> str:
        """For ``deltawire check --online``: makes no directory or file, but tables in a database that is named.

        Raises GatewayError.
        """
        config = self.config
        self.blobs.used |= _exists(self.folder / FILES)
        if config.database_url is None and not _exists(self.folder / NAME):
            self._look_for_room()
            if not config.blobs_url:
                return f"nothing is kept yet; {config.data} can be made"
        else:
            await self.store.ping()
        if self.blobs.used:
            await self.blobs.ping()
        return "can keep things"

    async def _ask(self) -> list[str]:
        asked = [self.store.ping(), *([self.blobs.ping()] if self.blobs.used else [])]
        return [why for why in await asyncio.gather(*map(_reason, asked)) if why]

    def _look_for_room(self) -> None:
        folder = self.folder.absolute()
        place = next((place for place in (folder, *folder.parents) if _exists(place)), folder)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise unavailable("its directory cannot be made")

    def _begin(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(Expiry(self.store, self.blobs, self.clock).run())


def _exists(path: Path) -> bool:
    """Not where nobody may look, either."""
    try:
        path.stat()
    except OSError:
        return False
    return True


async def _reason(ping: Awaitable[None]) -> str:
    try:
        await ping
    except GatewayError as error:
        return f"storage: {error.message}"
    return ""


async def _open(config: StorageConfig, clock: Callable[[], float]) -> Opened:
    if config.database_url is None:
        return await SqliteStore.open(Path(config.data) / NAME, clock)
    try:  # in a thread, because it takes longer than streams should wait
        module = await asyncio.to_thread(importlib.import_module, "proxy.stores.postgres")
    except ImportError as error:
        raise unavailable("asyncpg is missing: pip install 'deltawire[postgres]'", str(error)) from error
    store: Opened = await module.PostgresStore.open(config.database_url.reveal(), clock)
    return store
