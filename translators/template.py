"""Reading a frame that is like the last one without parsing it.

An upstream's token frames differ in one string only. Once a frame has been parsed and understood to say
nothing but its text, the bytes before and after that text are remembered; a later frame with the same bytes
around one JSON string means the same with another text, and only the string is parsed. Anything else is
declined and takes the ordinary way, so the shortcut needs no knowledge of the dialect and cannot change what
it says.
"""

from __future__ import annotations

import orjson


class Template:
    __slots__ = ("_around", "_key", "_prefix", "_suffix")

    def __init__(self, key: bytes) -> None:
        """``key`` is the name of the member that holds the text, in its quotes."""
        self._key = key
        self.forget()

    def forget(self) -> None:
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
        return text if type(text) is str else None

    def learn(self, payload: bytes, text: str) -> None:
        """Remember what stands around ``text``, which is all that ``payload`` says."""
        self.forget()
        key = payload.find(self._key)
        start = payload.find(b'"', key + len(self._key))
        quoted = orjson.dumps(text)
        end = start + len(quoted)
        if payload.count(self._key) != 1 or payload[start:end] != quoted:
            return
        if payload[key + len(self._key) : start].strip() != b":":
            return
        prefix, suffix = payload[:start], payload[end:]
        if b"\\" in prefix or b"\\" in suffix:
            return  # the key may stand there a second time, spelt with escapes
        self._prefix, self._suffix = prefix, suffix
        self._around = len(prefix) + len(suffix)
