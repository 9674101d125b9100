"""Work that nobody waits for: stop calls, and what is kept in mind when an answer is over.

Each piece is bounded in time and all of them in number. What fails is told to the log and to nobody else. When
the gateway closes, what is under way is given a moment and then given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from attrs import define, field

from translators.errors import GatewayError

log = logging.getLogger("deltawire")

MOST = 1000
"""Pieces of work at once; whatever comes beyond is dropped, because it can only be an upstream that hangs."""
LAST_MOMENT = 1.0
"""Seconds that cancelled work may take to notice."""


@define(eq=False)
class Background:
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Callable[[], Awaitable[object]], what: str, seconds: float, level: int
    ) -> asyncio.Task[None] | None:
        """Begin ``work``; its failures are logged with ``level``. None if there is too much of it already."""
        if len(self._tasks) >= MOST:
            log.log(level, "%s was given up: too much is being done in the background", what)
            return None
        task = asyncio.get_running_loop().create_task(self._do(work, what, seconds, level), name=what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, patience: float) -> None:
        """Wait so long for what is under way and what that leads to, then give it up."""
        now = asyncio.get_running_loop().time
        until = now() + patience
        while self._tasks and now() < until:
            await asyncio.wait(self._tasks, timeout=until - now())
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=LAST_MOMENT)

    async def _do(self, work: Callable[[], Awaitable[object]], what: str, seconds: float, level: int) -> None:
        try:
            async with asyncio.timeout(seconds):
                await work()
        except TimeoutError:
            log.log(level, "%s was given up after %g seconds", what, seconds)
        except GatewayError as error:
            log.log(level, "%s failed: %s", what, error.message[:300])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)  # a bug of ours
