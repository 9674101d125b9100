"""Chunks that hold nothing but words, read by the run: from a read's bytes to what stands inside JSON strings.

Such a chunk differs from the one before it in its length, its text and two checksums. So everything before the text
is one key: a head whose lengths, headers and first member the ordinary road has read once is looked up with its own
checksum, from which that of the frame goes on. What is left to do for each frame is one look-up, one checksum and
one decoding of base64, and the escaping that words seldom need is decided for all of them together.

``Words`` keeps nothing of a stream, so all streams whose frames have the same headers share one. A read is taken or
declined: what is declined, for whatever reason, is read on the ordinary road, from the same state.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable
from struct import Struct
from typing import Any, TypeAlias
from zlib import crc32

from translators import wirejson
from translators.framing.aws import PRELUDE, AwsEvents, known_length, known_lengths, may_wait, name_of
from translators.template import Template

CHUNK = b"chunk"
BEGINS = b'{"bytes":"'
ENDS = b'"}'
LONGEST = 1024
"""Bytes of text in a frame that is read so; words are shorter."""

ALIKE = Template(b'"bytes"')
"""Stands for chunks of words where an upstream says that these are to be read so; how is known here."""

_KEPT_HEADS = 512
_KEPT_READERS = 16
_CHECKSUM = 4
_PLAIN = bytes(byte for byte in range(0x20, 0x80) if byte not in b'"\\')
"""Bytes that stand in a JSON string as they are, whatever stands beside them."""
_WHOLE = bytes(byte for byte in range(0x80, 0x100) if byte not in b"\xc2\xe2")
"""The same of characters of several bytes: those that are escaped begin with one of the two."""

_Head: TypeAlias = tuple[int, int, Callable[[bytes, int], tuple[Any, ...]]]
"""The length of the frame, the checksum of what is before the text, and what takes apart the rest."""

_readers: dict[tuple[bytes, int], Words] = {}


class ChunkEvents(AwsEvents):
    """The framing of an answer whose words come in chunks, which have the same headers all along."""

    __slots__ = ("_short", "_words")

    def __init__(self, short: int) -> None:
        """``short``: characters up to which the text of a chunk is told as it comes."""
        super().__init__()
        self._short = short
        self._words: Words | None = None

    def shortcut(self, data: bytes, template: Template | None) -> ChunkEvents | None:
        if template is None or self.fault is not None:
            return None
        if self._words is None and name_of(self._headers) == CHUNK:
            self._words = _reader(self._headers, self._short)
        return None if self._words is None else self

    def read(self, data: bytes) -> tuple[list[bytes] | None, int]:
        """As ``Words`` reads it, joined with what waited for the rest of its frame."""
        assert self._words is not None
        buffer = self._buffer
        waited = len(buffer)
        if buffer:
            data = bytes(buffer) + data
        texts, end = self._words.read(data)
        if texts is not None:
            buffer.clear()
            rest = data[end:]
            if rest and may_wait(rest):
                self._keep(rest)
                end = len(data)
        return texts, end - waited


def _reader(headers: bytes, short: int) -> Words:
    reader = _readers.get((headers, short))
    if reader is None:
        if len(_readers) >= _KEPT_READERS:
            _readers.clear()
        reader = _readers[headers, short] = Words(headers, short)
    return reader


class Words:
    __slots__ = ("_around", "_heads", "_longest", "_start")

    def __init__(self, headers: bytes, short: int) -> None:
        """``headers`` say that the frame is a chunk."""
        self._around = headers + BEGINS
        self._start = PRELUDE + len(self._around)
        self._longest = min(short, LONGEST)
        self._heads: dict[bytes, _Head] = {}

    def read(self, data: bytes) -> tuple[list[bytes] | None, int]:
        """What ``data`` begins with, and where that ends: texts as they stand inside JSON strings, or None for
        something else."""
        heads, start, at, size = self._heads, self._start, 0, len(data)
        pieces: list[bytes] = []
        try:
            while size - at >= start:
                head = data[at : at + start]
                length, before, parts = heads.get(head) or self._learn(head)
                if length > size - at:
                    break
                rest, checksum = parts(data, at + start)
                code = rest.removesuffix(ENDS)
                if crc32(rest, before) != checksum or len(code) == len(rest):
                    break
                pieces.append(a2b_base64(code, strict_mode=True))
                at += length
        except (ValueError, LookupError):
            """Another kind of frame, or none."""
        if not pieces:
            return None, self._other(data)
        odd = b"".join(pieces).translate(None, _PLAIN)
        if not odd:
            return pieces, at
        try:
            texts = [piece.decode() for piece in pieces]
        except UnicodeDecodeError:
            return None, at
        if odd.translate(None, _WHOLE):
            return [wirejson.dumps_text(text)[1:-1] for text in texts], at
        return pieces, at

    def _other(self, data: bytes) -> int:
        """Where what is no words ends, as far as the lengths of its frames are known."""
        size, at = len(data), known_length(data, 0)
        while 0 < at < size and not data.startswith(self._around, at + PRELUDE):
            length = known_length(data, at)
            at = at + length if length else size
        return at if 0 < at < size else size

    def _learn(self, head: bytes) -> _Head:
        """Raises ValueError or LookupError for a head that is not known to be right."""
        total, begin = known_lengths(head[:PRELUDE])
        rest = total - self._start - _CHECKSUM
        code = rest - len(ENDS)
        if head[PRELUDE:] != self._around or begin != self._start - len(BEGINS):
            raise ValueError("another kind of frame")
        if not 0 < code * 3 // 4 <= self._longest:
            raise ValueError("too long for words, or too short")
        if len(self._heads) >= _KEPT_HEADS:
            self._heads.clear()
        found = self._heads[head] = (total, crc32(head), Struct(f">{rest}sI").unpack_from)
        return found
