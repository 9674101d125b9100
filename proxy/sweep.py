"""One timer for all streams.

Deadlines need no timer of their own when nobody minds a second: each turn of the sweep asks every stream
under way to look at the clock. Streams only leave marks between two turns, so the per-token path reads no clock.
The timer runs only while there is something to look after.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from attrs import define, field

from translators.errors import GatewayError


class Swept(Protocol):
    def tick(self, now: float) -> None: ...

    def stop(self, error: GatewayError) -> None: ...

    def cut(self) -> None: ...


@define(eq=False)
class Sweep:
    interval: float
    _swept: set[Swept] = field(factory=set)
    _timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._swept)

    def add(self, swept: Swept) -> None:
        self._swept.add(swept)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.interval, self._turn)

    def discard(self, swept: Swept) -> None:
        self._swept.discard(swept)

    def all(self) -> list[Swept]:
        return list(self._swept)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for swept in self.all():
            swept.tick(now)
        self._timer = loop.call_later(self.interval, self._turn) if self._swept else None
