"""What the fuzz targets are fed: recorded wires, their bytes changed, cut out, doubled and spliced.

``FUZZ_EXAMPLES`` says how long a run is: a few seconds for the whole suite by default, ``make fuzz`` for hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.split import partitions
from tests.wires.reader import NAMES, wire

Target = TypeVar("Target", bound=Callable[..., Any])

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))

WIRES = [wire(name) for name in NAMES]
TOKENS = [
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"data:",
    b"event:",
    b":",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"NaN",
    b'"\\ud83d"',
    b"\xe2\x80\xa8",
    b"<",
    b">",
    b"<think>",
    b"</think>",
    b"[DONE]",
    b'"error":',
    b'"content":',
    b'"choices":',
    b'"index":',
    b"&#",
    b"Bearer ",
    b"https://",
]


def fuzzed(target: Target) -> Target:
    """As many examples as ``FUZZ_EXAMPLES`` says, however long each takes."""
    run = settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return run(target)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 64)))
        piece = data[start:end]
        other = draw(
            st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4), st.just(piece * 2), st.just(b""))
        )
        data = data[:start] + other + data[end:]
    return data


def cut(seeds: list[bytes]) -> st.SearchStrategy[tuple[bytes, list[bytes]]]:
    """Bytes, and the same bytes in pieces."""
    return st.one_of(mutated(seeds), st.binary(max_size=64)).flatmap(
        lambda data: st.tuples(st.just(data), partitions(data))
    )
