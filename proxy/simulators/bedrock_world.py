"""All that one Bedrock stand-in is: who may ask, what was built, what it remembers and what it heard.

Clock and ids come from outside or count up, so that a test can say what time it is. A turn whose client has left is
run out behind everybody's back, because the service has no way to cancel one.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from attrs import Factory, define, field, frozen

from proxy.simulators.bedrock_auth import Keys
from proxy.simulators.bedrock_knobs import Agent, Flow, Knobs, Runtime, Sleep, Step
from proxy.simulators.bedrock_sessions import Session, Sessions
from proxy.simulators.recorded import Recorded

_REMEMBERED = 10_000  # requests kept for whoever asks
DRAFT_ALIAS = "TSTALIASID"


@define
class Fate:
    """When things happened to a request, on ``time.monotonic``."""

    left: float | None = None
    """When its client went away without waiting for the end of the answer."""
    ended: float | None = None


@frozen(eq=False)
class Heard(Recorded):
    """One request, and what became of it."""

    arrived: float
    fate: Fate = Factory(Fate)

    @property
    def left(self) -> float | None:
        return self.fate.left


@define(eq=False)
class Execution:
    """A flow that waits for its user."""

    id: str
    flow_id: str
    asked: int
    said: list[str]
    used_at: float


@define(eq=False)
class World:
    clock: Callable[[], float]
    region: str
    account: str
    keys: dict[str, Keys]
    """By access key."""
    agents: dict[str, Agent]
    inline: Agent
    """What every agent does that comes with its question."""
    flows: dict[str, Flow]
    runtimes: dict[str, Runtime]
    """By id."""
    knobs: Knobs
    sessions: Sessions
    executions: dict[tuple[str, ...], Execution] = Factory(dict)
    runtime_sessions: dict[tuple[str, ...], Session] = Factory(dict)
    requests: deque[Heard] = Factory(lambda: deque(maxlen=_REMEMBERED))
    peers: dict[Any, int] = Factory(dict)
    closing: bool = False
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))
    _behind: set[asyncio.Task[None]] = Factory(set)

    def new_id(self) -> str:
        """An id in the form of a version 4 UUID that counts up."""
        number = next(self._numbers)
        return f"{number:08x}-0000-4000-8000-{number:012x}"

    def stamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(self.clock()))

    def arn(self, resource: str, service: str = "bedrock") -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def session(self, agent_id: str, alias_id: str, session_id: str) -> Session | None:
        """One that is kept, for whoever wants to look at it."""
        return self.sessions.kept.get((agent_id, alias_id, session_id))

    # What goes on without anybody listening.

    def go_on(self, steps: Iterator[Step], delay: float, release: Callable[[], None]) -> None:
        """The rest of a turn, at its own pace; ``release`` is called at its end, whenever that is."""
        if self.closing or self.knobs.abandoned == "stops":
            release()
            return
        task = asyncio.get_running_loop().create_task(_run_out(steps, delay, release))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def close(self) -> None:
        for task in self._behind:
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)


async def _run_out(steps: Iterator[Step], delay: float, release: Callable[[], None]) -> None:
    try:
        for step in steps:
            await asyncio.sleep(step.seconds if isinstance(step, Sleep) else delay)
    finally:
        release()


WORLD = web.AppKey("world", World)
