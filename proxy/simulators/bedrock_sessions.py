"""What the Bedrock stand-in remembers of a conversation: one session for each id at each alias.

A session lives as long as its agent's idle time; asked after that, the same id begins a new one and nobody says so.
One turn at a time holds it. All that grows is bounded, and the oldest goes first, because a demo may run for weeks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import Factory, define

from proxy.simulators.bedrock_actions import Pending

_MOST_KEPT = 10_000
_MOST_MESSAGES = 1_000

_T = TypeVar("_T")


def keep(among: dict[tuple[str, ...], _T], key: tuple[str, ...], value: _T) -> None:
    among[key] = value
    if len(among) > _MOST_KEPT:
        del among[next(iter(among))]


@define(eq=False)
class Session:
    id: str
    used_at: float
    ttl: float
    turns: int = 0
    busy: bool = False
    messages: list[dict[str, Any]] = Factory(list)
    """In the generator's words: OpenAI messages, results of tools included."""
    attributes: dict[str, str] = Factory(dict)
    pending: Pending | None = None
    memory_id: str = ""
    ended: bool = False

    def say(self, *messages: dict[str, Any]) -> None:
        self.messages += messages
        del self.messages[:-_MOST_MESSAGES]


@define(eq=False)
class Sessions:
    clock: Callable[[], float]
    kept: dict[tuple[str, ...], Session] = Factory(dict)

    def open(self, key: tuple[str, ...], ttl: float) -> Session:
        """The session with this key, new if there is none or if it has been idle for too long."""
        now = self.clock()
        found = self.kept.get(key)
        if found is None or found.ended or (now - found.used_at > found.ttl and not found.busy):
            found = Session(key[-1], now, ttl)
            keep(self.kept, key, found)
        return found

    def release(self, session: Session) -> None:
        """The end of a turn, from which its idle time counts."""
        session.busy = False
        session.used_at = self.clock()
