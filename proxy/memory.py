"""What the gateway keeps in mind between two requests: for a while, and never more than there is room for.

A ``Shelf`` keeps values of any kind. When it is full, what was not used for the longest time goes first, and what
has had its time is gone when it is looked for. The ``Memory`` on top of it keeps JSON values by upstream and
owner, as bytes, so that nobody can change what another will be told. Remembering is synchronous, because a request
that follows at once must find what the one before it left; all that others need of it is the protocol.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from attrs import define, field

from translators import wirejson

LARGEST_VALUE = 64 * 1024
"""Bytes of one value that is remembered; platforms remember ids and states, not documents."""
OVERHEAD = 256
"""What an entry costs beside its bytes, roughly."""


class Memory(Protocol):
    distant: ClassVar[bool]
    """Whether recalling takes time: then it is ``fetch`` that brings what was remembered."""

    def recall(self, upstream: str, owner: str, key: str) -> Any:
        """What was remembered, or None."""
        ...

    async def fetch(self, upstream: str, owner: str, key: str) -> Any:
        """The same, from wherever it is. Raises nothing: what cannot be had was not remembered."""
        ...

    def remember(self, upstream: str, owner: str, key: str, value: Any, seconds: float) -> None:
        """Keep a JSON value so long; None forgets it."""
        ...

    async def items(self, upstream: str, owner: str, prefix: str) -> list[tuple[str, Any]]:
        """Everything whose key begins so, by its key."""
        ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


_Kept: TypeAlias = tuple[V, int, float]
"""A value, what it weighs, and until when it serves. Plain tuples are nothing to the garbage collector."""


@define(eq=False)
class Shelf(Generic[K, V]):
    max_entries: int
    max_bytes: int
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[K, _Kept[V]] = field(factory=OrderedDict, init=False)
    _weight: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        value, _, until = kept
        if until <= self.clock():
            self.discard(key)
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V, weight: int, seconds: float) -> None:
        self.discard(key)
        weight += OVERHEAD
        if weight > self.max_bytes or seconds <= 0:
            return
        self._kept[key] = (value, weight, self.clock() + seconds)
        self._weight += weight
        while len(self._kept) > self.max_entries or self._weight > self.max_bytes:
            self.discard(next(iter(self._kept)))

    def discard(self, key: K) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._weight -= kept[1]

    def items(self) -> Iterator[tuple[K, V]]:
        """What has not had its time; looking at everything uses nothing."""
        now = self.clock()
        return ((key, value) for key, (value, _, until) in self._kept.items() if until > now)


_Place: TypeAlias = tuple[str, str, str]


@define(eq=False)
class LocalMemory:
    """The memory of this process."""

    clock: Callable[[], float] = time.monotonic
    max_entries: int = 10_000
    max_bytes: int = 32 * 1024 * 1024
    distant: ClassVar[bool] = False
    _shelf: Shelf[_Place, bytes] = field(init=False)

    @_shelf.default
    def _own_shelf(self) -> Shelf[_Place, bytes]:
        return Shelf(self.max_entries, self.max_bytes, self.clock)

    def recall(self, upstream: str, owner: str, key: str) -> Any:
        value = self._shelf.get((upstream, owner, key))
        return None if value is None else wirejson.loads(value)

    async def fetch(self, upstream: str, owner: str, key: str) -> Any:
        return self.recall(upstream, owner, key)

    def remember(self, upstream: str, owner: str, key: str, value: Any, seconds: float) -> None:
        place = (upstream, owner, key)
        # A copy, because what the serializer made keeps its whole buffer: kilobytes for an id.
        data = b"" if value is None else bytes(memoryview(wirejson.dumps(value)))
        if not data or len(data) > LARGEST_VALUE:
            self._shelf.discard(place)
        else:
            self._shelf.put(place, data, len(data) + len(key), seconds)

    async def items(self, upstream: str, owner: str, prefix: str) -> list[tuple[str, Any]]:
        found = [
            (key, wirejson.loads(value))
            for (of, by, key), value in self._shelf.items()
            if of == upstream and by == owner and key.startswith(prefix)
        ]
        return sorted(found, key=lambda entry: entry[0])
