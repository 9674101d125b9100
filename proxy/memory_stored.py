"""What is kept in mind, kept in the store: past a restart, and for all workers that share it.

Remembering takes no time, as in the memory of one process: it is written behind, and whoever asks before that is
done is told what is about to be written, so that a request that follows at once finds what the one before it left.
Nothing else is kept here, for another worker may have forgotten it meanwhile.

A chat does without what the store cannot give or take. After a failure the store is let alone for a second, and the
log hears of it once a minute.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from attrs import define, field, frozen

from proxy.background import Background
from proxy.memory import LARGEST_VALUE
from proxy.stores.base import Change, Document, Drop, Page, Put, Store
from proxy.stores.faults import AGAIN
from translators import wirejson
from translators.errors import Conflict, GatewayError, NotFound

log = logging.getLogger("deltawire")

KIND = "memory"
MOST_WAITING = 500
"""Values that wait to be written; what comes beyond is not remembered."""
WRITING = 10.0
"""Seconds that writing one may take, with those that came for the same key meanwhile."""
TELL_EVERY = 60.0
AT_ONCE = 100
MOST_LISTED = 1000


@frozen
class _Place:
    upstream: str
    owner: str
    key: str

    @property
    def id(self) -> str:
        return _digest(self.upstream, self.owner, self.key)


@frozen(eq=False)
class _Wanted:
    value: Any
    """None forgets it."""
    expires: int


@define(eq=False)
class StoredMemory:
    store: Store
    background: Background
    clock: Callable[[], float] = time.time
    now: Callable[[], float] = time.monotonic
    distant: ClassVar[bool] = True
    _waiting: dict[_Place, _Wanted] = field(factory=dict, init=False)
    _rests_until: float = field(default=float("-inf"), init=False)
    _told: float = field(default=float("-inf"), init=False)

    def recall(self, upstream: str, owner: str, key: str) -> Any:
        """As far as it is known here."""
        wanted = self._waiting.get(_Place(upstream, owner, key))
        return None if wanted is None else wanted.value

    async def fetch(self, upstream: str, owner: str, key: str) -> Any:
        place = _Place(upstream, owner, key)
        if place in self._waiting:
            return self.recall(upstream, owner, key)
        if self._rests:
            return None
        try:
            return (await self.store.get(KIND, place.id, owner)).body["value"]
        except NotFound:
            return None
        except GatewayError as error:
            self._fails(error)
            return None

    def remember(self, upstream: str, owner: str, key: str, value: Any, seconds: float) -> None:
        place = _Place(upstream, owner, key)
        if value is not None and (seconds <= 0 or len(wirejson.dumps(value)) > LARGEST_VALUE):
            value = None
        begun = place in self._waiting
        if not begun and (self._rests or len(self._waiting) >= MOST_WAITING):
            return
        self._waiting[place] = _Wanted(value, math.ceil(self.clock() + seconds))
        if not begun:
            work = partial(self._write, place)
            if self.background.start(work, "remembering", WRITING, logging.DEBUG) is None:
                del self._waiting[place]

    async def items(self, upstream: str, owner: str, prefix: str) -> list[tuple[str, Any]]:
        near = {place: wanted.value for place, wanted in self._waiting.items()}
        found = {} if self._rests else await self._listed(upstream, owner, prefix)
        for place, value in near.items():
            if (place.upstream, place.owner) == (upstream, owner) and place.key.startswith(prefix):
                found[place.key] = value
        return sorted((entry for entry in found.items() if entry[1] is not None), key=lambda entry: entry[0])

    async def _listed(self, upstream: str, owner: str, prefix: str) -> dict[str, Any]:
        """The newest of them."""
        found: dict[str, Any] = {}
        after, more = "", True
        try:
            while more and len(found) < MOST_LISTED:
                page = Page(AT_ONCE, after=after)
                listed = await self.store.list(
                    KIND, owner, page, parent=_digest(upstream), label=_label(prefix)
                )
                bodies = [document.body for document in listed.documents]
                found |= {body["key"]: body["value"] for body in bodies if body["key"].startswith(prefix)}
                more, after = listed.more, listed.documents[-1].id if listed.more else ""
        except GatewayError as error:
            self._fails(error)
        return found

    async def _write(self, place: _Place) -> None:
        """One after the other, until what was wanted last is there."""
        try:
            done: _Wanted | None = None
            while (wanted := self._waiting[place]) is not done:
                try:
                    await self._keep(place, wanted)
                except GatewayError as error:
                    self._fails(error)
                done = wanted
        finally:
            del self._waiting[place]

    async def _keep(self, place: _Place, wanted: _Wanted) -> None:
        if wanted.value is None:
            with suppress(NotFound):
                await self.store.commit(Drop(KIND, place.id, place.owner))
            return
        document = Document(
            *(KIND, place.id, place.owner, int(self.clock())),
            {"key": place.key, "value": wanted.value},
            parent=_digest(place.upstream),
            label=_label(place.key),
            expires=wanted.expires,
        )
        try:
            await self.store.commit(Put(document))
        except Conflict:
            await self.store.commit(Change(document))

    @property
    def _rests(self) -> bool:
        return self.now() < self._rests_until

    def _fails(self, error: GatewayError) -> None:
        now = self.now()
        self._rests_until = now + AGAIN
        if now - self._told >= TELL_EVERY:
            self._told = now
            log.warning("nothing can be remembered: %s", error.message)


def _digest(*names: str) -> str:
    """An id that is printable and short whatever the names are."""
    return hashlib.blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _label(key: str) -> str:
    """What a key or a prefix begins with, up to the first colon, which tells what it is the key of."""
    kind, colon, _ = key.partition(":")
    return kind if colon and kind.isalnum() else ""
