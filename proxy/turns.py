"""Who is next where a platform gives one answer at a time: in order, and not kept waiting for ever.

A turn is taken or handed on in one step and only waiting awaits, as with ``slots``. Who has waited as long as a
turn is worth waiting for is told that the conversation is busy; nothing has been asked by then.
"""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import define, field

from translators.errors import Conflict
from translators.upstreams.plan import Turn

LONGEST_LINE = 100
"""How many may wait for one turn: more would only wait to be refused."""


@define(eq=False)
class Turns:
    _lines: dict[str, deque[asyncio.Future[None]] | None] = field(factory=dict)
    """Whose turns are taken, and who waits for each: mostly nobody, so a line is made for the first who does."""

    def __len__(self) -> int:
        return len(self._lines)

    async def take(self, turn: Turn) -> None:
        """Raises Conflict."""
        if turn.key not in self._lines:
            self._lines[turn.key] = None
            return
        line = self._lines[turn.key]
        if line is None:
            line = self._lines[turn.key] = deque()
        if len(line) >= LONGEST_LINE:
            raise _busy(turn)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        taken = False
        try:
            async with asyncio.timeout(turn.seconds):
                await place
            taken = True
        except TimeoutError:
            raise _busy(turn) from None
        finally:
            if not taken:
                self._let_go(turn, line, place)

    def _let_go(self, turn: Turn, line: deque[asyncio.Future[None]], place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self.hand_on(turn)  # the turn came in the moment its taker left
        elif place in line:
            line.remove(place)

    def hand_on(self, turn: Turn) -> None:
        """To the next in line, or to whoever comes."""
        line = self._lines[turn.key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._lines[turn.key]


def _busy(turn: Turn) -> Conflict:
    return Conflict(
        "Another request to this session is still being answered: wait for its end, or use another session.",
        param=turn.param,
        code="session_busy",
    )
