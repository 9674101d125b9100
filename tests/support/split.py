"""Bytes may be cut anywhere: one helper that cuts them everywhere.

``run`` is given the pieces and returns whatever can be compared: frames, joined output, an error's words. The
law is that every way of cutting gives the same. It serves framers, streams and splitters of text alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from hypothesis import strategies as st

Outcome = TypeVar("Outcome")
Cut = TypeVar("Cut", bytes, str)


MOST_PLACES = 2000
"""Where one piece of data is cut, each time anew: of a longer one only every second, third … place is tried."""


def places(data: Cut) -> range:
    return range(0, len(data), 1 + len(data) // MOST_PLACES)


def every_split(data: Cut) -> Iterator[list[Cut]]:
    """One byte at a time, with empty pieces between, and the single split points."""
    yield [data[place : place + 1] for place in range(len(data))]
    yield [piece for place in range(len(data)) for piece in (data[:0], data[place : place + 1])]
    for place in places(data)[1:]:
        yield [data[:place], data[place:]]


def check_every_split(run: Callable[[Sequence[Cut]], Outcome], data: Cut) -> Outcome:
    """What ``run`` makes of ``data`` in one piece, after checking that it makes the same of all others."""
    whole = run([data])
    for parts in every_split(data):
        assert run(parts) == whole, f"cut into {len(parts)} pieces, the first of {len(parts[0])}"
    return whole


def cut_at(data: Cut, places: Sequence[int]) -> list[Cut]:
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def partitions(data: Cut) -> st.SearchStrategy[list[Cut]]:
    """Random ways of cutting, empty pieces included."""
    places = st.lists(st.integers(0, len(data)), max_size=12)
    return places.map(lambda chosen: cut_at(data, chosen))
