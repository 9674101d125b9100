"""Telling ``<think>…</think>`` from the answer, wherever the tags are cut.

Models served without a reasoning parser write their thoughts first, between tags, into the answer itself.
Only a tag that opens the answer counts: one that stands later is something the assistant wants to show.

``split`` retells thoughts as reasoning, ``drop`` leaves them out. (``keep`` means that no splitter is made.)
Only what could still become a tag is held back. Once the answer proper has begun ``plain`` is true and the
splitter has nothing more to say.
"""

from __future__ import annotations

from collections.abc import Callable

from translators.events import Reasoning, Text

Say = Callable[[Text | Reasoning], None]

_OPEN = "<think>"
_CLOSE = "</think>"
_PATIENCE = 256  # so much white space before a tag is an answer of its own


def may_open(text: str) -> bool:
    """Whether an answer that begins so may begin with thoughts; most do not, and need no splitter."""
    return text[0] == "<" or text[0].isspace()


class Thinking:
    __slots__ = ("_drop", "_held", "_inside", "plain")

    def __init__(self, drop: bool = False) -> None:
        self.plain = False
        self._drop = drop
        self._held = ""
        self._inside = False

    def feed(self, text: str, say: Say) -> None:
        self._held += text
        if not self._inside and not self.plain:
            self._before(say)
        if self._inside:
            self._within(say)
        if self.plain and self._held:
            say(Text(self._held))
            self._held = ""

    def close(self, say: Say) -> None:
        """The answer is over: whatever was held back was no tag."""
        held, self._held = self._held, ""
        if self._inside:
            self._reason(held, say)
        elif held:
            say(Text(held))
        self.plain = True

    def _before(self, say: Say) -> None:
        opening = self._held.lstrip()
        if len(self._held) - len(opening) > _PATIENCE:
            self.plain = True
        elif opening.startswith(_OPEN):
            self._held = opening[len(_OPEN) :]
            self._inside = True
        elif not _OPEN.startswith(opening):
            self.plain = True

    def _within(self, say: Say) -> None:
        thought, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self._reason(thought, say)
            self._inside = False
            self._held = rest
            self.plain = True
            return
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if thought.endswith(_CLOSE[:n])), 0)
        self._held = thought[len(thought) - keep :]
        self._reason(thought[: len(thought) - keep], say)

    def _reason(self, thought: str, say: Say) -> None:
        if thought and not self._drop:
            say(Reasoning(thought))
