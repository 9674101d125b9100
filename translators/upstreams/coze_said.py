"""What has been said of each message of a run, so that it is said once.

Coze repeats every answer in full when it is complete: what was streamed is not said again, what was not is said
now, and where the two differ, what was streamed stands. Answers may follow each other or interleave; the first
words of each but the first come after the separator.

The text of open messages is kept to compare, within bounds: so many messages, the oldest forgotten first, and so
many characters, past which a repetition is not compared any more but dropped.
"""

from __future__ import annotations

from typing import final

from translators.events import Emit, Reasoning, Text

MAX_MESSAGES = 64
MAX_HELD = 4 * 1024 * 1024
"""As many characters as the longest event could repeat."""


@final
class Message:
    __slots__ = ("completed", "exact", "pieces", "spoke", "thought")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.exact = True  # the pieces are all that was said
        self.spoke = False
        self.thought = False
        self.completed = False


class Said:
    __slots__ = ("_held", "_messages", "_separator", "spoke", "thought")

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._messages: dict[str, Message] = {}
        self._held = 0
        self.spoke = False
        self.thought = False

    def message(self, id: str) -> Message:
        known = self._messages.get(id)
        if known is None:
            if len(self._messages) >= MAX_MESSAGES:
                self._let_go(self._messages.pop(next(iter(self._messages))))
            known = self._messages[id] = Message()
        return known

    def again(self, message: Message, text: str) -> None:
        """More words of a message that has spoken: what remains to be done when they have been told."""
        message.pieces.append(text)
        self._held += len(text)
        if self._held > MAX_HELD:
            for held in self._messages.values():
                self._let_go(held)
            self._let_go(message)

    def words(self, message: Message, text: str, emit: Emit) -> None:
        before = "" if message.spoke or not self.spoke else self._separator
        message.spoke = self.spoke = True
        emit(Text(before + text))
        self.again(message, text)

    def thoughts(self, message: Message, text: str, emit: Emit) -> None:
        message.thought = self.thought = True
        emit(Reasoning(text))

    def complete(self, message: Message, text: str, thoughts: str, emit: Emit) -> None:
        """The whole of a message: the part of it that is new is said."""
        if message.completed:
            return
        message.completed = True
        said = "".join(message.pieces)
        if thoughts and not (message.thought or message.spoke):
            self.thoughts(message, thoughts, emit)
        if text.startswith(said) and message.exact and len(text) > len(said):
            self.words(message, text[len(said) :], emit)
        self._let_go(message)

    def _let_go(self, message: Message) -> None:
        self._held -= sum(map(len, message.pieces))
        message.pieces.clear()
        message.exact = not message.spoke
