"""Reading a run of word frames at once, from the bytes of the upstream to the letters that the client gets.

Most reads of a stream are nothing but frames like the last one, and those differ in their text only. So when a
framing has cut out an event that a template stands for, it puts down what stood on the wire before and after the
text (``head`` and ``tail``, up to the quotes and with the line ends), and from then on a read is first asked
whether it is made of that. If it is, the texts lie between: no frames are cut, no events are made.

The texts come out as the inside of JSON strings, just as ``wirejson`` would write them. What a platform sends is
mostly that already: without quotes, backslashes and control characters a text stands for itself, if it is UTF-8.
Any other is parsed and written anew.

Whatever is not proved is declined and takes the ordinary way. All that a shortcut leaves behind is the beginning of
a frame whose end has not come, in the framing's own buffer, so either way can go on where the other stopped.
"""

from __future__ import annotations

import orjson

from translators.wirejson import dumps_text, safe_lines

_LF, _CR = ord("\n"), ord("\r")
_BLANK = b"\n\n"
_PLAIN = bytes(0xFF if byte < 0x20 or byte in b'"\\' else byte for byte in range(256))
"""Changes every text with a byte that does not stand for itself in a JSON string."""
_MARK = 16


class Shortcut:
    __slots__ = ("_head", "_limit", "_rest", "_tail")

    def __init__(self, head: bytes, tail: bytes, limit: int, rest: bytearray) -> None:
        """``limit`` is the longest frame that is allowed; a longer read is not looked at. ``rest`` is where the
        framing keeps the beginning of an event."""
        self._head = head
        self._tail = tail
        self._limit = limit
        self._rest = rest

    def read(self, data: bytes) -> list[bytes] | None:
        """The texts of the frames in ``data``; None if there is anything else in it."""
        head, tail = self._head, self._tail
        if self._rest or not data.endswith(tail):
            return self._torn(data)
        if not data.startswith(head) or len(data) > self._limit:
            return None
        text = data[len(head) : -len(tail)]  # empty where the two overlap
        texts = [text]
        if _LF in text:
            texts = self._cut(data)
            text = b"".join(texts)
        if text.translate(_PLAIN) != text:
            return _written(texts)
        if not text.isascii():
            return _decoded(texts)
        return texts if all(texts) else None

    def is_torn(self, data: bytes) -> bool:
        """Whether it begins or ends within a frame, or ends with something else."""
        return bool(self._rest) or not data.endswith(self._tail)

    def apart(self, data: bytes) -> list[bytes]:
        """``data`` cut where events that begin like words begin, and where others do; what is torn goes with words
        beside it."""
        parts: list[bytes] = []
        head, words, begin, at = self._head, True, 0, 0
        *events, last = data.split(_BLANK)
        goes_on = bool(self._rest)
        for event in events:
            if not goes_on and event.startswith(head) is not words:
                words = not words
                parts.append(data[begin:at])
                begin = at
            goes_on = False
            at += len(event) + len(_BLANK)
        if words is not last.startswith(head[: len(last)]):
            parts.append(data[begin:at])
            begin = at
        return [part for part in (*parts, data[begin:]) if part]

    def _torn(self, data: bytes) -> list[bytes] | None:
        """A read that begins or ends within a frame. What has no end yet waits where the framing would keep it."""
        rest, waiting = self._rest, bytes(self._rest)
        data = waiting + data
        end = data.rfind(_BLANK) + len(_BLANK)
        if not data.endswith(self._tail, 0, end) or _CR in data[end:]:
            return None
        rest.clear()
        texts = self.read(data[:end])
        rest[:] = waiting if texts is None else data[end:]
        return texts

    def _cut(self, data: bytes) -> list[bytes]:
        """The texts between heads and tails; nothing that passes for texts if there is more in ``data``.

        Cutting at a short mark and putting together again to compare is quicker than looking for all of it.
        """
        head, tail = self._head, self._tail
        mark = head[:_MARK]
        start, end = len(head) - len(mark), -len(tail)
        texts = [rest[start:end] for rest in data.split(mark)[1:]]
        return texts if head + (tail + head).join(texts) + tail == data else [b""]


def _decoded(texts: list[bytes]) -> list[bytes] | None:
    """Texts without anything that has to be escaped, but line ends that are none to JSON; None if not UTF-8."""
    quoted = b'"'.join(texts)
    try:
        quoted.decode()
    except UnicodeDecodeError:
        return None
    return safe_lines(quoted).split(b'"') if all(texts) else None


def _written(texts: list[bytes]) -> list[bytes] | None:
    """Texts as we write them; None if one of them is not the inside of a string, or empty."""
    written: list[bytes] = []
    for text in texts:
        try:
            string = orjson.loads(b'"' + text + b'"')
        except orjson.JSONDecodeError:
            return None
        if not string:
            return None
        written.append(dumps_text(string)[1:-1])
    return written


def spoken(texts: list[bytes]) -> str:
    """What was read, as one text."""
    joined: str = orjson.loads(b'"' + b"".join(texts) + b'"')
    return joined
