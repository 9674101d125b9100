"""The words of an answer: thoughts told from what is said, and what has been said so far.

Models reach Dify through plugins that write thoughts into the answer itself, between think tags. A block counts
where it opens the answer, follows another block, or opens the part of the answer that comes from another node; a
tag anywhere else is something the assistant shows. White space after a block belongs to nobody.

Once an answer is ``plain`` nothing is held back and nothing has to be looked at.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import define, field

from translators.affinity import Told
from translators.events import Emit, Event, Reasoning, Replace, Text
from translators.thinking import Thinking, may_open

Mode: TypeAlias = Literal["split", "keep", "drop"]

MAX_BLOCKS = 64
"""Blocks of thoughts in one part; what comes after them is plain."""
_OPEN = "<think>"
_OPENING = 256 + len(_OPEN)  # as far into a part as the splitter looks for a tag


@define(eq=False)
class Words:
    mode: Mode
    told: Told = field(factory=Told)
    _begins: bool = field(init=False)
    """Whether thoughts may open what comes next."""
    _thinking: Thinking | None = field(default=None, init=False)
    """Since something has come that may be the tag."""
    _opening: str = field(default="", init=False)
    _blank: bool = field(default=False, init=False)
    """After a block, until something else than white space comes."""
    _blocks: int = field(default=0, init=False)
    _half: str = field(default="", init=False)
    """The first half of a surrogate pair whose second half is still to come."""

    @_begins.default
    def _may_begin(self) -> bool:
        return self.mode != "keep"

    @property
    def plain(self) -> bool:
        return self._thinking is None and not self._begins and not self._blank and not self._half

    def say(self, text: str, emit: Emit) -> None:
        self._split(text if text.isascii() and not self._half else self._paired(text), emit)

    def _paired(self, text: str) -> str:
        """``text`` with surrogate halves joined; the last may wait, one that is alone becomes U+FFFD."""
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text[:-1] if self._half else text
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _split(self, text: str, emit: Emit) -> None:
        while text:
            if self._blank:
                text = text.lstrip()
                self._blank = not text
            if self._begins and text:
                self._begins = False
                self._thinking = Thinking() if may_open(text) else None
            if self._thinking is not None:
                text = self._think(text, self._thinking, emit)
            else:
                self._tell(text, emit)
                text = ""

    def part(self, emit: Emit) -> None:
        """What comes now is from another source."""
        self.close(emit)
        self._begins = self.mode != "keep"
        self._opening = ""
        self._blocks = 0

    def close(self, emit: Emit) -> None:
        """Nothing more comes: what was held back is said."""
        if self._half:
            self._half = ""
            self._split("\ufffd", emit)
        thinking, self._thinking = self._thinking, None
        self._begins = self._blank = False
        if thinking is None:
            return
        held: list[Text | Reasoning] = []
        thinking.close(held.append)
        for event in held:
            if type(event) is Text:
                self._tell(event.text, emit)
            else:
                self._reason(event, emit)

    def replace(self, text: str, streamed: bool, emit: Emit) -> bool:
        """``text`` instead of all that was said; whether it only goes on from that."""
        self.part(emit)
        text = visible(text, self.mode)
        known = self.told.all is not None
        said = self.told.text
        emit(Replace(text, said) if known else Replace(f"\n\n{text}"))
        self.told.replace(text, streamed)
        return known and text.startswith(said)

    def _think(self, text: str, thinking: Thinking, emit: Emit) -> str:
        """Feed the splitter; what stands behind the end of a block comes back."""
        if len(self._opening) < _OPENING:
            self._opening = (self._opening + text)[:_OPENING]
        in_block = self._opening.lstrip().startswith(_OPEN)
        said: list[Text | Reasoning] = []
        thinking.feed(text, said.append)
        rest = ""
        for event in said:
            if type(event) is Reasoning:
                self._reason(event, emit)
            elif in_block:
                rest = event.text
            else:
                self._tell(event.text, emit)
        if thinking.plain:
            self._opening = ""
            self._blank = in_block
            self._blocks += 1
            self._thinking = None
            self._begins = in_block and self._blocks < MAX_BLOCKS
        return rest

    def _reason(self, event: Reasoning, emit: Emit) -> None:
        if self.mode == "split":
            emit(event)

    def _tell(self, text: str, emit: Emit) -> None:
        if text:
            self.told.say(text)
            emit(Text(text))


def visible(text: str, mode: Mode) -> str:
    """What a client is told of ``text``, if it is the whole answer."""
    said: list[Event] = []
    words = Words(mode)
    words.say(text, said.append)
    words.close(said.append)
    return "".join(event.text for event in said if type(event) is Text)
