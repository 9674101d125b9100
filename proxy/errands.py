"""Carrying out what a platform wants done around its answer.

A plan yields steps and is sent what each of them brought; a ``GatewayError`` that a call meets is thrown into it,
so that the platform decides what a failure means. Steps that only remember are done in the same breath, without
an await: what one answer leaves in mind is there before its reader can ask again. The others wait; those that
recall do so only where the memory is a distant one.

A reply that a plan cannot read is the upstream's fault, as it is in a stream. Nothing here knows any platform.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from attrs import define, evolve, field

from proxy.background import Background
from proxy.flights import Flights
from proxy.memory import Memory, Shelf
from proxy.wire.base import Answer, Wire, nothing
from translators.errors import (
    GatewayError,
    UpstreamMalformed,
    UpstreamStale,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.stream import UNREADABLE
from translators.upstreams.base import Upstream
from translators.upstreams.plan import Cached, Call, Keep, Pause, Plan, Recall, Remember, Reply

log = logging.getLogger("deltawire")

MAX_REPLY = 8 * 1024 * 1024
"""The longest reply that is read for a plan."""
KEPT_REPLIES = 1024
KEPT_BYTES = 16 * 1024 * 1024
FAREWELL = 5.0
"""Seconds that a platform may take to hear that nobody waits any more."""
SETTLING = 30.0
"""Seconds for what is done when an answer is over."""

T = TypeVar("T")
Keeping: TypeAlias = Callable[[str, Keep], Awaitable[None]]
"""Keeps a file for an owner. Raises GatewayError."""
Waiting: TypeAlias = Call | Cached | Pause | Recall | Keep
"""Steps that take time."""


async def nowhere(owner: str, file: Keep) -> None:
    """Where nothing is kept."""


@define(eq=False)
class Errand(Generic[T]):
    """One plan on its way. Each move leads to the next step that takes time, or to None and the result."""

    plan: Plan[T]
    upstream: str
    owner: str
    memory: Memory
    result: T = field(init=False)

    def begin(self) -> Waiting | None:
        return self._move(partial(next, self.plan))

    def go_on(self, brought: Any) -> Waiting | None:
        return self._move(partial(self.plan.send, brought))

    def fail(self, error: GatewayError) -> Waiting | None:
        return self._move(partial(self.plan.throw, error))

    def _move(self, move: Callable[[], Any]) -> Waiting | None:
        try:
            step = move()
            while isinstance(step, (Recall, Remember)):
                if self.memory.distant and isinstance(step, Recall):
                    break
                step = self.plan.send(self._mind(step))
        except StopIteration as end:
            self.result = end.value
            return None
        except UNREADABLE as error:
            raise UpstreamMalformed("The upstream sent a reply that cannot be read.") from error
        waiting: Waiting = step
        return waiting

    def _mind(self, step: Recall | Remember) -> Any:
        if isinstance(step, Recall):
            return self.memory.recall(self.upstream, self.owner, step.key)
        self.memory.remember(self.upstream, self.owner, step.key, step.value, step.seconds)
        return None


@define(eq=False)
class Errands:
    """Everything that is done for one upstream beside its answers."""

    upstream: str
    wire: Wire | None
    seconds: float
    """How long one call may take."""
    wait_before_retry: Callable[[GatewayError, int], float | None]
    memory: Memory
    background: Background
    keep: Keeping = nowhere
    _replies: Shelf[tuple[str, bytes], Reply] = field(init=False)
    _flights: Flights = field(factory=Flights, init=False)

    @_replies.default
    def _own_replies(self) -> Shelf[tuple[str, bytes], Reply]:
        return Shelf(KEPT_REPLIES, KEPT_BYTES)

    async def carry_out(self, plan: Plan[T], owner: str, heard: Callable[[], None] = nothing) -> T:
        """What the plan returns. ``heard`` is called whenever a step has brought something."""
        errand = Errand(plan, self.upstream, owner, self.memory)
        try:
            step = errand.begin()
            return errand.result if step is None else await self._finish(errand, step, heard)
        finally:
            plan.close()

    def farewell(self, upstream: Upstream) -> None:
        """Nobody waits for the rest of this answer: tell the platform, if there is something to tell."""
        try:
            call = upstream.farewell()
        except (GatewayError, *UNREADABLE):
            log.debug("what to tell %s at the end of an answer is not known", self.upstream, exc_info=True)
            return
        if call is not None:
            what = f"telling {self.upstream} to stop"
            # It waits for no place, so its connection is beyond their number: kept, it could be one too many.
            call = evolve(call, headers={**call.headers, "Connection": "close"})
            self.background.start(partial(self.call, call), what, FAREWELL, logging.DEBUG)

    def settle(self, upstream: Upstream) -> None:
        """The answer is over: do at once what needs no waiting, and the rest in the background."""
        what = f"settling an answer of {self.upstream}"
        try:
            plan = upstream.settle()
            if plan is None:
                return
            errand = Errand(plan, self.upstream, upstream.caller.owner, self.memory)
            step = errand.begin()
        except (GatewayError, *UNREADABLE) as error:
            log.warning("%s failed: %s", what, _said(error))
            return
        if step is not None:
            rest = partial(self._finish, errand, step, nothing)
            self.background.start(rest, what, SETTLING, logging.WARNING)

    async def call(self, call: Call) -> Reply:
        """Raises GatewayError. Sent again only while it has not reached the upstream."""
        assert self.wire is not None
        attempt = 0
        while True:
            try:
                return await fetch(self.wire, call, self.seconds)
            except (UpstreamUnreachable, UpstreamStale) as error:
                wait = self.wait_before_retry(error, attempt)
                if wait is None:
                    raise
            attempt += 1
            await asyncio.sleep(wait)

    async def _finish(self, errand: Errand[T], step: Waiting | None, heard: Callable[[], None]) -> T:
        while step is not None:
            try:
                brought = await self._DO[type(step)](self, step, errand.owner)
            except GatewayError as error:
                step = errand.fail(error)
            else:
                heard()
                step = errand.go_on(brought)
        return errand.result

    async def _call(self, step: Call, owner: str) -> Reply:
        return await self.call(step)

    async def _cached(self, step: Cached, owner: str) -> Reply:
        key = (step.key, _credential(step.call))
        reply = self._replies.get(key)
        if reply is None:
            reply = await self._flights.join(key, partial(self._fill, key, step))
        return reply

    async def _fill(self, key: tuple[str, bytes], step: Cached) -> Reply:
        reply = await self.call(step.call)
        if step.good(reply):
            self._replies.put(key, reply, len(reply.body) + len(step.key), step.seconds)
        return reply

    async def _pause(self, step: Pause, owner: str) -> None:
        await asyncio.sleep(step.seconds)

    async def _recall(self, step: Recall, owner: str) -> Any:
        return await self.memory.fetch(self.upstream, owner, step.key)

    async def _keep(self, step: Keep, owner: str) -> None:
        await self.keep(owner, step)

    _DO: ClassVar[dict[type[Waiting], Callable[[Errands, Any, str], Awaitable[Any]]]] = {
        Call: _call,
        Cached: _cached,
        Pause: _pause,
        Recall: _recall,
        Keep: _keep,
    }


def _credential(call: Call) -> bytes:
    """Whose reply it is: headers of a call's own may hold a key, and what one key may see another may not."""
    own = sorted((name.lower(), value) for name, value in call.headers.items())
    return hashlib.sha256(repr(own).encode()).digest() if own else b""


def _said(error: BaseException) -> str:
    return error.message[:300] if isinstance(error, GatewayError) else type(error).__name__


async def fetch(wire: Wire, call: Call, seconds: float) -> Reply:
    """One whole reply, whatever its status. Raises GatewayError."""
    try:
        async with asyncio.timeout(seconds):
            answer = await wire.send(call)
            return Reply(answer.status, await _whole(answer, max(call.longest, MAX_REPLY)), answer.headers)
    except TimeoutError:
        raise UpstreamTimeout("The upstream did not answer in time.") from None


async def _whole(answer: Answer, longest: int) -> bytes:
    body, data, ended = answer.body, bytearray(), False
    try:
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise UpstreamMalformed("The upstream compressed its answer although it was asked not to.")
        while piece := await body.read():
            data += piece
            if len(data) > longest:
                raise UpstreamMalformed(f"The upstream sent a reply of over {longest} bytes.")
        ended = True
    finally:
        (body.finish if ended else body.close)()
    return bytes(data)
