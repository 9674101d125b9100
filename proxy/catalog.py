"""The models that an upstream says it has: asked now and then, and never waited for long.

A list is good for a minute. When it is older, the first who wants it causes one question, all others wait for the
same answer, and nobody waits longer than a few seconds: who has waited enough, or whose question failed, gets the
list from before. What a platform calls its models is checked as if a client had said it, because one will.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from math import inf

from attrs import define, field

from proxy.background import Background
from translators.request import MAX_MODEL
from translators.upstreams.plan import Listed

log = logging.getLogger("deltawire")

FRESH = 60.0
"""Seconds that a list is good for."""
AGAIN = 10.0
"""Seconds after a failure before it is tried again."""
PATIENCE = 3.0
"""Seconds that a client waits for a newer list."""
LONGEST = 30.0
"""Seconds that the platform may take; later pages of a list may come late, and then serve the next client."""
MOST = 10_000
"""Models of one upstream that are listed."""


@define(eq=False)
class Catalog:
    upstream: str
    ask: Callable[[], Awaitable[Iterable[Listed]]]
    now: Callable[[], float]
    background: Background
    _listed: tuple[Listed, ...] = field(default=(), init=False)
    _good_until: float = field(default=-inf, init=False)
    _asking: asyncio.Task[None] | None = field(default=None, init=False)

    async def models(self) -> tuple[Listed, ...]:
        """By the names that clients use: the upstream's own name comes first."""
        if self._asking is None and self.now() >= self._good_until:
            self._good_until = self.now() + AGAIN  # unless an answer comes
            what = f"listing the models of {self.upstream}"
            self._asking = self.background.start(self._refresh, what, LONGEST, logging.WARNING)
            if self._asking is not None:
                self._asking.add_done_callback(self._asked)
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE)
        return self._listed

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _refresh(self) -> None:
        named = {f"{self.upstream}/{model.id}": model.created for model in await self.ask()}
        usable = [(name, created) for name, created in named.items() if _usable(name)]
        self._listed = tuple(Listed(name, created) for name, created in usable[:MOST])
        self._good_until = self.now() + FRESH
        log.debug("%s lists %d models, %d of them usable", self.upstream, len(named), len(usable))

    def _asked(self, _: asyncio.Task[None]) -> None:
        self._asking = None


def _usable(name: str) -> bool:
    return len(name) <= MAX_MODEL and name.isprintable()
