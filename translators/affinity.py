"""Which of a platform's own conversations a chat request goes on with.

A chat client keeps the history and sends all of it every time; some platforms keep it themselves and want the
last message only. The bridge is a key, the digest of everything that was said before a question. When an answer
is over, its conversation is remembered under the digest of history, question and answer; a request that comes
back with exactly that history finds it. A turn that was edited has another digest and finds nothing.

A key is for one use: whoever asks again after the same history would go on where the first answer already
stands. So it is forgotten when it is found, and the next answer leaves a new one.

History does not come back as it went out: clients trim white space, keep or drop thoughts, and show files as
links. What is told and what comes back are put into one form before they are compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from translators import wirejson

KEEP = 7 * 86400.0
"""Seconds for which a conversation that nobody goes on with is worth remembering."""
MAX_TOLD = 4 * 1024 * 1024
"""Characters of one answer that are kept; nobody sends a longer one back."""
SHORT = 256
"""Characters of a first question that may wait for their digest until the answer is over."""

_LINK = re.compile(r"!?\[[^\[\]]{0,512}\]\(([^()\s]{1,4096})\)")
_OPEN, _CLOSE = "<think>", "</think>"
_MAX_BLOCKS = 64


@frozen
class History:
    """What was said up to a question, as two digests: the words themselves may go."""

    key: str
    """Of the conversation that the question goes on with; empty where it begins one."""
    _asked: bytes
    """The digest of all that, and of the question."""
    _first: tuple[Sequence[str], Mapping[str, Any]] | None = None
    """Instead of it the scope and a first question that is short: a digest is made when somebody needs it."""

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]], *scope: str) -> History:
        """``scope`` is what has to be the same beside the history: the user, the model."""
        *before, last = messages
        if last["role"] != "user":
            return NOTHING
        if not before and type(last["content"]) is str and len(last["content"]) <= SHORT:
            return cls("", b"", (scope, last))
        digest = hashlib.sha256(wirejson.dumps(scope)).digest()
        for message in before:
            digest = _and_then(digest, message)
        goes_on = any(message["role"] == "assistant" for message in before)
        return cls(_key(digest) if goes_on else "", _and_then(digest, last))

    def after(self, told: str) -> str:
        """The key under which whoever was told this answer will look; empty if nobody will."""
        asked = self._asked
        if self._first is not None:
            scope, question = self._first
            asked = _and_then(hashlib.sha256(wirejson.dumps(scope)).digest(), question)
        return _key(_and_then(asked, {"role": "assistant", "content": told})) if asked else ""


NOTHING = History("", b"")
"""Of a question whose conversation is not to be found again."""


@define(eq=False)
class Told:
    """What a chat client has been told, as it will send it back."""

    _pieces: list[str] = field(factory=list, init=False)
    _room: int = field(default=MAX_TOLD, init=False)
    _taken_back: str = field(default="", init=False)
    """Said before it was replaced, to a client who has read it all the same."""

    def say(self, text: str) -> None:
        self._room -= len(text)
        if self._room >= 0:
            self._pieces.append(text)

    def show(self, address: str) -> None:
        """A file, which a chat client gets as a link."""
        self.say(f"[]({address})\n")

    def replace(self, text: str, streamed: bool) -> None:
        """``text`` instead of all that was said; a stream cannot unsay it."""
        said = self.text
        if streamed and not text.startswith(said):
            self._taken_back += f"{said}\n\n"
        self._room -= len(text)
        self._pieces = [text] if self._room >= 0 else []

    @property
    def text(self) -> str:
        """The answer, without what was taken back."""
        return "".join(self._pieces)

    @property
    def all(self) -> str | None:
        """Every word of it; None if there were too many to keep."""
        return self._taken_back + self.text if self._room >= 0 else None


def _key(digest: bytes) -> str:
    return f"conversation:{digest.hex()}"


def _and_then(digest: bytes, message: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(digest + _turn(message)).digest()


def _turn(message: Mapping[str, Any]) -> bytes:
    role = "system" if message["role"] == "developer" else message["role"]
    content = message.get("content")
    text, others = content or "", []
    if isinstance(content, list):
        text = "\n".join(part["text"] for part in content if part["type"] == "text")
        others = [part for part in content if part["type"] != "text"]
    if role == "assistant":
        text = _LINK.sub(r"\1", _spoken(text)) if "](" in text else _spoken(text)
    return wirejson.dumps([role, in_single_spaces(text), others, message.get("tool_calls") or []])


def in_single_spaces(text: str) -> str:
    """``text`` with one space for all white space between two words, and none around them."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")  # there was nothing else to put right, and an answer may be a book
    return " ".join(text.split())


def _spoken(text: str) -> str:
    """``text`` without the thoughts before it."""
    for _ in range(_MAX_BLOCKS):
        opening = text.lstrip()
        if not opening.startswith(_OPEN):
            break
        text = opening.partition(_CLOSE)[2]
    return text
