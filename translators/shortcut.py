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

from itertools import repeat
from operator import and_

import orjson

from translators.wirejson import dumps_text, safe_lines

_LF, _CR = ord("\n"), ord("\r")
_BLANK = b"\n\n"
_PLAIN = bytes(0xFF if byte < 0x20 or byte in b'"\\' else byte for byte in range(256))
"""Changes every text with a byte that does not stand for itself in a JSON string."""
_MARK = 16

ANY_LENGTH: float = 1 << 30
"""Of a text: there is no frame for a longer one."""


class Shortcut:
    __slots__ = ("_head", "_limit", "_longest", "_rest", "_tail")

    def __init__(
        self, head: bytes, tail: bytes, limit: int, rest: bytearray, longest: float = ANY_LENGTH
    ) -> None:
        """``limit`` is the longest frame that is allowed; a longer read is not looked at. ``rest`` is where the
        framing keeps the beginning of an event. ``longest`` is the longest text that is read here, in bytes."""
        self._head = head
        self._tail = tail
        self._limit = limit
        self._longest = longest
        self._rest = rest

    def read(self, data: bytes) -> tuple[list[bytes] | None, int]:
        """The texts that ``data`` begins with, or None for something else, and where that ends."""
        if self._rest:
            return self._go_on(data)
        head, tail, end = self._head, self._tail, len(data)
        if not data.startswith(head) or end > self._limit:
            return None, self._other(data)
        text = data[len(head) : -len(tail)]  # empty where the two overlap
        texts = [text]
        if _LF in text or not data.endswith(tail):
            texts, end = self._cut(data)
            text = b"".join(texts)
            if _LF in text:
                texts, end = self._until_line_end(texts)
                text = b"".join(texts)
            if not texts:
                return None, self._other(data)
        elif text and text.isascii() and text.translate(_PLAIN) == text and len(text) <= self._longest:
            return texts, end  # the usual read
        if len(text) > self._longest and max(map(len, texts)) > self._longest:
            return None, end
        if text.translate(_PLAIN) != text:
            told = _written(texts)
        elif text.isascii():
            told = texts if text and all(texts) else None
        else:
            told = _decoded(texts)
        return told, end if told is None or end == len(data) else self._keep(data, end)

    def _until_line_end(self, texts: list[bytes]) -> tuple[list[bytes], int]:
        """One of them goes on after its tail, with something else that has the same."""
        first = next(number for number, text in enumerate(texts) if _LF in text)
        text, tail, _ = texts[first].partition(self._tail)
        texts = [*texts[:first], text] if tail else texts[:first]
        return texts, sum(map(len, texts)) + len(texts) * (len(self._head) + len(self._tail))

    def _go_on(self, data: bytes) -> tuple[list[bytes] | None, int]:
        """A read that begins within a frame."""
        rest, waiting = self._rest, bytes(self._rest)
        rest.clear()
        texts, end = self.read(waiting + data)
        if texts is None:
            rest[:] = waiting
        return texts, end - len(waiting)

    def _keep(self, data: bytes, end: int) -> int:
        """What has no end yet waits where the framing would keep it."""
        rest = data[end:]
        if _BLANK in rest or _CR in rest:
            return end
        self._rest[:] = rest
        return len(data)

    def _other(self, data: bytes) -> int:
        """Where something else than words ends, or seems to."""
        at = data.find(_BLANK + self._head)
        return len(data) if at < 0 else at + len(_BLANK)

    def _cut(self, data: bytes) -> tuple[list[bytes], int]:
        """The texts between heads and tails that ``data`` begins with, and where these end; none where it does not.

        Cutting at a short mark and putting together again to compare is quicker than looking for all of it.
        """
        head, tail = self._head, self._tail
        mark = head[:_MARK]
        start, stop = len(head) - len(mark), -len(tail)
        whole = data if data.endswith(tail) else data[: data.rfind(_BLANK) + len(_BLANK)]
        pieces = whole.split(mark)[1:]
        texts = [piece[start:stop] for piece in pieces]
        run = head + (tail + head).join(texts) + tail
        if run == whole:
            return texts, len(run)
        # There is something else in it: a piece that does not begin or end like words, or goes on after them.
        rest = head[len(mark) :]
        begins, ends = map(bytes.startswith, pieces, repeat(rest)), map(bytes.endswith, pieces, repeat(tail))
        alike = [*map(and_, begins, ends), False].index(False)
        last = [piece for piece in pieces[alike : alike + 1] if piece.startswith(rest) and tail in piece]
        texts[alike:] = [piece[start : piece.index(tail)] for piece in last]
        run = head + (tail + head).join(texts) + tail
        return (texts, len(run)) if data.startswith(run) else ([], 0)


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
