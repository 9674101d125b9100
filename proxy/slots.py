"""How many answers one upstream gives at once, and who waits for a place.

Counting is synchronous: a place is taken or given in one step, and only waiting awaits. Who waits is served in
order; when too many wait already, the next is refused at once rather than kept hanging.
"""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import define, field

from translators.errors import RateLimited


@define(eq=False)
class Slots:
    limit: int
    max_queue: int
    taken: int = 0
    _waiting: deque[asyncio.Future[None]] = field(factory=deque)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def take(self) -> bool:
        """Whether there was a place free."""
        free = self.taken < self.limit
        self.taken += free
        return free

    async def acquire(self) -> None:
        if self.take():
            return
        if len(self._waiting) >= self.max_queue:
            raise RateLimited(
                f"The upstream serves {self.limit} requests at once and {self.max_queue} are waiting already.",
                code="upstream_queue_full",
                retry_after=1.0,
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self.release()  # the place came in the moment its taker left
            elif place in self._waiting:  # a release in that moment has passed it over already
                self._waiting.remove(place)
            raise

    def release(self) -> None:
        """Give the place to the next in line, or back."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken -= 1
