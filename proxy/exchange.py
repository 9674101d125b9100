"""One question and its answer, and what is left to do when the answer is over.

However it ended, the platform is told what it has to be told: to stop, if nobody waits for the rest, and what to
keep in mind. Some platforms can be told to stop only by a name that comes with their first event. A client who
leaves before that leaves a question behind that goes on at the platform, so it is listened to for a while longer,
only to learn the name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import define, frozen

from proxy.callers import Ears
from proxy.dial import Dialer
from proxy.outlet import Outlet
from proxy.relay import Relay
from proxy.wire.base import Body
from translators.ids import Envelope
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.upstreams.base import Upstream

LISTENING = 15.0
"""Seconds that a platform gets to name an answer nobody waits for."""


@frozen
class Target:
    """Whom to ask, for what, and how."""

    dialer: Dialer
    kind: type[Upstream]
    model: str
    options: object
    ears: Ears | None
    """What the upstream wants to know of the caller; None where all callers are alike."""

    @property
    def upstream(self) -> str:
        return self.dialer.config.name


@define(eq=False)
class Exchange:
    target: Target
    envelope: Envelope
    stream: Stream
    relay: Relay
    surface: Surface

    # What is only passed on is not awaited here: each coroutine that waits costs memory for as long as an answer.

    def whole(self) -> Awaitable[bytes]:
        self.relay.owner = self
        return self.relay.whole(self._dial)

    def run(self, outlet: Outlet) -> Awaitable[None]:
        self.relay.owner = self
        return self.relay.run(self._dial, outlet)

    def part(self) -> None:
        """Nobody is delayed by what is left to tell, and nobody who left can stop it."""
        stream = self.stream
        if not stream.done or stream.failure is not None:
            self.target.dialer.errands.farewell(stream.upstream)

    def keeps(self, body: Body) -> bool:
        return self._listens(partial(self._listen, body))

    def settle(self) -> None:
        self.target.dialer.errands.settle(self.stream.upstream)

    async def _dial(self) -> Body:
        dialer, upstream = self.target.dialer, self.stream.upstream
        opening = dialer.open(upstream, self.relay.hear)
        body = await (self._leave_open(opening) if upstream.stops_by_name else opening)
        upstream.asked()
        return body

    async def _leave_open(self, opening: Awaitable[Body]) -> Body:
        """Who leaves between question and answer does not take the answer away."""
        task = asyncio.ensure_future(opening)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self._listens(partial(self._await, task)):
                task.cancel()
            raise

    async def _await(self, opening: asyncio.Future[Body]) -> None:
        await self._listen(await opening)

    async def _listen(self, body: Body) -> None:
        upstream, readable = self.stream.upstream, True
        try:
            while readable and upstream.will_be_named and (data := await body.read()):
                readable = self.stream.overhear(data)
        finally:
            body.close()
        self.target.dialer.errands.farewell(upstream)

    def _listens(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether there is a name to wait for, and ``work`` now does."""
        upstream = self.stream.upstream
        if not upstream.will_be_named:
            return False
        upstream.unwanted = True
        what = f"learning what {self.target.upstream} calls an answer"
        return self.target.dialer.background.start(work, what, LISTENING, logging.DEBUG) is not None
