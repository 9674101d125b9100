"""Reading a frame that is like the last one without parsing it.

An upstream's token frames differ in one string only. Once a frame has been parsed and understood to say
nothing but its text, the bytes before and after that text are remembered; a later frame with the same bytes
around one JSON string means the same with another text, and only the string is parsed. Anything else is
declined and takes the ordinary way, so the shortcut needs no knowledge of the dialect and cannot change what
it says.

What stands around the text is lent to the framing, which knows what stands around the frame: of the two a
shortcut past both is made, and kept as long as the lesson holds.
"""

from __future__ import annotations

import orjson

from translators.shortcut import ANY_LENGTH, Shortcut


class Template:
    __slots__ = ("_around", "_key", "_prefix", "_suffix", "event", "longest", "met", "shortcut")

    def __init__(self, key: bytes, event: bytes | None = None, longest: float = ANY_LENGTH) -> None:
        """``key`` is the name of the member that holds the text, in its quotes; ``event`` that of the events
        which the template stands for, if it does not stand for all; ``longest`` is the longest text that may be
        read past it, in bytes."""
        self.longest = longest
        self._key = key
        self.event = event
        self.forget()

    def forget(self) -> None:
        self.shortcut: Shortcut | None = None
        self.met = False
        self._prefix = b"\0"  # no JSON begins so
        self._suffix = b""
        self._around = -1

    def match(self, payload: bytes) -> str | None:
        """The text of a frame like the one learned from; None if it is not like it."""
        quoted = payload.removeprefix(self._prefix).removesuffix(self._suffix)
        if len(payload) - len(quoted) != self._around:
            return None
        try:
            text = orjson.loads(quoted)
        except orjson.JSONDecodeError:
            return None
        if type(text) is not str:
            return None
        self.met = True
        return text

    @property
    def edges(self) -> tuple[bytes, bytes]:
        """What stands before and after the letters of the text."""
        return self._prefix + b'"', b'"' + self._suffix

    def learn(self, payload: bytes, text: str) -> None:
        """Remember what stands around ``text``, which is all that ``payload`` says."""
        self.forget()
        before, key, rest = payload.partition(self._key)
        colon, quoted, suffix = rest.partition(orjson.dumps(text))
        if colon.strip() != b":" or not quoted or self._key in rest:
            return
        prefix = before + key + colon
        if b"\\" in prefix or b"\\" in suffix:
            return  # the key may stand there a second time, spelt with escapes
        self._prefix, self._suffix = prefix, suffix
        self._around = len(prefix) + len(suffix)
