"""The vectors that need no model: the same text always gets the same one, here and on every machine.

Each word turns a few coordinates up or down, always the same ones, so that texts which share words are near to each
other and a search finds what it should; a little noise, made of the whole text, tells apart those that differ only
in order. A list of tokens is read as a text of such words. Every vector is of unit length.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterator

from translators.embeddings import Embed, Given
from translators.errors import BadRequest

SIZE = 1536
_SIZES = {"text-embedding-3-large": 3072}
"""Coordinates of a vector, where the model is known for another number of them."""
_WORD = re.compile(r"\w+")
_MOST_WORDS = 10_000
_TURNS = 8
"""Coordinates that a word turns."""
_NOISE = 0.02


def size_of(model: str, wanted: int | None) -> int:
    most = _SIZES.get(model, SIZE)
    if wanted is not None and wanted > most:
        raise BadRequest(
            f"Invalid 'dimensions': {wanted} is greater than the {most} that this model has.",
            param="dimensions",
            code="integer_above_max_value",
        )
    return wanted or most


def vectors(embed: Embed, size: int) -> Iterator[tuple[list[float], int]]:
    """For each input its vector and its number of tokens."""
    for given in embed.inputs:
        words = _words(given)
        yield vector(given, size), len(given) if not isinstance(given, str) else max(1, len(words))


def vector(given: Given, size: int) -> list[float]:
    whole = given if isinstance(given, str) else " ".join(map(str, given))
    noise = hashlib.shake_256(whole.encode("utf-8", "replace")).digest(2 * size)
    turned = [_NOISE * part / 32768 for part in struct.unpack(f"<{size}h", noise)]
    for word in _words(given):
        places = struct.unpack(f"<{_TURNS}I", hashlib.blake2b(word, digest_size=4 * _TURNS).digest())
        for place in places:
            turned[(place >> 1) % size] += 1 if place & 1 else -1
    length = math.sqrt(math.fsum(part * part for part in turned))
    return [part / length for part in turned] if length else [1.0, *turned[1:]]


def _words(given: Given) -> list[bytes]:
    if not isinstance(given, str):
        return [str(token).encode() for token in given[:_MOST_WORDS]]
    return [word.encode("utf-8", "replace") for word in _WORD.findall(given.casefold())[:_MOST_WORDS]]


def is_long(embed: Embed, size: int) -> bool:
    """Whether making them takes longer than a loop may stand still."""
    return size * len(embed.inputs) + sum(map(len, embed.inputs)) > _QUICK


_QUICK = 20_000
