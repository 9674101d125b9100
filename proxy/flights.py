"""Many who want the same thing at once cause one attempt at it.

The attempt is a task of its own, so that one who leaves takes nothing from the others; when the last one leaves,
it is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class _Flight:
    task: asyncio.Task[Any]
    waiting: int = 0


@define(eq=False)
class Flights:
    _flying: dict[Hashable, _Flight] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._flying)

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``start`` brings, or what somebody else's start under the same key is about to bring."""
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = _Flight(asyncio.get_running_loop().create_task(start()))
            landed = flight
            flight.task.add_done_callback(lambda _: self._land(key, landed))
        flight.waiting += 1
        try:
            brought: T = await asyncio.shield(flight.task)
            return brought
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()  # which means nothing to one that has landed
                self._land(key, flight)

    def _land(self, key: Hashable, flight: _Flight) -> None:
        if self._flying.get(key) is flight:
            del self._flying[key]
