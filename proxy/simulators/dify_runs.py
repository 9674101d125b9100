"""Runs under way: each is a task of its own that works through its script, whether anybody listens or not.

The client's response only reads what the run says, so a client that leaves does not end it, and a stop does, as on
the platform. A run is found again by its task id; who may stop it depends on mode and version.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from attrs import Factory, define, field

from proxy.simulators.dify_easy import Agent, Easy, NewAgent
from proxy.simulators.dify_graph import Chatflow, Workflow
from proxy.simulators.dify_store import User
from proxy.simulators.dify_turn import Event, Script, Turn

_REMEMBERED = 10_000

SCRIPTS: dict[str, Callable[[Turn], Script]] = {
    "chat": Easy,
    "completion": Easy,
    "agent-chat": Agent,
    "agent": NewAgent,
    "advanced-chat": Chatflow,
    "workflow": Workflow,
}


@define(eq=False)
class Run:
    """One run, from its first event to its last."""

    turn: Turn
    user: User
    status: str = "running"
    """Then ``succeeded``, ``failed``, ``stopped``, ``paused``, or ``abandoned`` where runs do not go on alone."""
    events: asyncio.Queue[Event | None] = Factory(asyncio.Queue)
    told: int = 0
    stop: str | None = None
    """``own`` or ``foreign`` once somebody wants it stopped."""
    done: asyncio.Event = Factory(asyncio.Event)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)

    def ask_to_stop(self, kind: str) -> None:
        if self.stop is None:
            self.stop = kind
            self._wake.set()

    async def play(self) -> None:
        script = SCRIPTS[self.turn.app.mode](self.turn)
        try:
            for event in script.events():
                if await self._stopped_before(event):
                    self.status = "stopped" if self.stop == "own" else "failed"
                    self._tell_all(script.stopped(self.stop == "foreign"))
                    break
                self._tell(event)
            else:
                self.status = self._judged()
        finally:
            if self.status == "running":
                self.status = "abandoned"
            self.events.put_nowait(None)
            self.done.set()

    async def _stopped_before(self, event: Event) -> bool:
        """Let the time pass that lies before an event; whether the run ends instead of telling it.

        A command that is not its own user's reaches a graph between two nodes only.
        """
        pace = self.turn.pace
        if pace and self.stop is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace):
                    await self._wake.wait()
        else:
            await asyncio.sleep(pace)
        return self.stop == "own" or (self.stop == "foreign" and event["event"] == "node_started")

    def _tell(self, event: Event) -> None:
        if event["event"] not in self.turn.knobs.lost:
            self.told += 1
            self.events.put_nowait(event)

    def _tell_all(self, events: Iterator[Event]) -> None:
        for event in events:
            self._tell(event)

    def _judged(self) -> str:
        if self.turn.finished is not None:
            return str(self.turn.finished["status"])
        return "failed" if self.turn.error is not None else "succeeded"


@define(eq=False)
class Runs:
    """All runs of a stand-in."""

    remembered: deque[Run] = Factory(lambda: deque(maxlen=_REMEMBERED))
    _tasks: dict[str, tuple[Run, asyncio.Task[None]]] = field(factory=dict, init=False)

    def start(self, run: Run) -> None:
        self.remembered.append(run)
        id = run.turn.task_id
        task = asyncio.get_running_loop().create_task(run.play())
        self._tasks[id] = (run, task)
        task.add_done_callback(lambda done: self._tasks.pop(id, None))

    def abandon(self, run: Run) -> None:
        if run.turn.task_id in self._tasks:
            self._tasks[run.turn.task_id][1].cancel()

    def stop(self, task_id: str, user: User, mode: str) -> None:
        """What a stop does; nothing, if it may not or there is no such run."""
        if task_id not in self._tasks:
            return
        run = self._tasks[task_id][0]
        turn = run.turn
        if run.user == user or (turn.app.mode == mode == "workflow"):
            run.ask_to_stop("own")
        elif turn.app.mode == mode == "advanced-chat" and turn.version.engine_stops:
            run.ask_to_stop("foreign")

    def of_graph(self, run_id: str, key: str) -> Run | None:
        """A graph's run of the app behind ``key``."""
        runs = (run for run in self.remembered if run.turn.run_id == run_id and run.user[0] == key)
        return next(runs, None)

    async def close(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
