"""What hostile bytes cost a framer: time in proportion to their length, and memory up to a bound.

The bound is on one event, whatever it is made of, and whether it is met does not depend on how the bytes were
cut. Times are compared with each other and never with a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from translators.errors import UpstreamMalformed
from translators.framing.base import MAX_FRAME, Frame
from translators.framing.sniff import Sniff
from translators.framing.sse import SSE

LIMIT = 12


def run(parts: Sequence[bytes]) -> tuple[list[Frame], str]:
    sse = SSE(LIMIT)
    frames = [frame for part in parts for frame in sse.feed(part)]
    frames += sse.close()
    return frames, "" if sse.fault is None else type(sse.fault).__name__


ONE = (b"", b"1")

BOUNDS: list[tuple[str, bytes, list[Frame], str]] = [
    ("just fits", b"data: 123456\n\n", [(b"", b"123456")], ""),
    ("just fits, open", b"data: 123456", [(b"", b"123456")], ""),
    ("just fits, one end", b"data: 123456\n", [(b"", b"123456")], ""),
    ("just fits, CRLF", b"data: 123456\r\n\r\n", [(b"", b"123456")], ""),
    ("one too many", b"data: 1234567\n\n", [], "UpstreamMalformed"),
    ("one too many, open", b"data: 1234567", [], "UpstreamMalformed"),
    ("one too many, one end", b"data: 1234567\n", [], "UpstreamMalformed"),
    ("just fits after blank lines", b"\n\n\ndata: 123456\n\n", [(b"", b"123456")], ""),
    ("too many after blank lines", b"\n\n\ndata: 1234567\n\n", [], "UpstreamMalformed"),
    ("blank lines are no event", b"\n" * 100, [], ""),
    ("what came before is kept", b"data: 1\n\ndata: 1\n\n" + b"x" * 50, [ONE, ONE], "UpstreamMalformed"),
    ("what comes after is not", b"data: 1\n\n" + b"x" * 50 + b"\n\ndata: 2\n\n", [ONE], "UpstreamMalformed"),
    ("many lines count together", b"data: 1\ndata: 2\n\n", [], "UpstreamMalformed"),
    ("comments count", b": " + b"x" * 50 + b"\n\ndata: 1\n\n", [], "UpstreamMalformed"),
    ("endless comment", b": " + b"x" * 50, [], "UpstreamMalformed"),
    ("many small ones", b"data: 1\n\n" * 30, [ONE] * 30, ""),
]


@pytest.mark.parametrize(("data", "frames", "fault"), [b[1:] for b in BOUNDS], ids=[b[0] for b in BOUNDS])
def test_bound_wherever_it_is_cut(data: bytes, frames: list[Frame], fault: str) -> None:
    assert check_every_split(run, data) == (frames, fault)


PIECES = st.sampled_from([b"data: 12345", b"6", b"\n", b"\n\n", b"\r\n", b"\r", b": c", b"x" * 12])


@given(st.lists(PIECES, max_size=14).map(b"".join).flatmap(lambda d: st.tuples(st.just(d), partitions(d))))
def test_bound_does_not_depend_on_the_cuts(case: tuple[bytes, list[bytes]]) -> None:
    data, parts = case
    assert run(parts) == run([data])


def test_default_bound_and_memory_given_back() -> None:
    sse = SSE()
    piece = b"x" * 65536
    held = 0
    for _ in range(2 * MAX_FRAME // len(piece)):
        assert sse.feed(piece) == []
        held = max(held, len(sse._buffer))
        if sse.fault is not None:
            break
    assert type(sse.fault) is UpstreamMalformed
    assert f"over {MAX_FRAME} bytes" in sse.fault.message
    assert held <= MAX_FRAME + 2
    assert len(sse._buffer) == 0
    assert sse.feed(b"x\n\ndata: 1\n\n" + piece) == []
    assert sse.close() == []
    assert len(sse._buffer) == 0


def feeds(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def seconds(work: Callable[[bytes], object], data: bytes) -> float:
    started = time.process_time()
    work(data)
    return time.process_time() - started


def assert_linear(work: Callable[[bytes], object], data: Callable[[int], bytes], size: int) -> None:
    """The time for twice as much is at most 2.5 times as long; a busy machine gets further tries."""
    ratios = []
    for _ in range(6):
        ratios.append(seconds(work, data(2 * size)) / max(seconds(work, data(size)), 2e-3))
        if ratios[-1] <= 2.5:
            return
    raise AssertionError(ratios)


SHAPES: dict[str, Callable[[int], bytes]] = {
    "one endless line": lambda n: b"x" * n,
    "one event of many lines": lambda n: b"data: x\n" * (n // 8),
    "carriage returns": lambda n: b":\r" * (n // 2),
    "many events": lambda n: b"data: {}\n\n" * (n // 10),
    "blank lines": lambda n: b"\n" * n,
}


@pytest.mark.parametrize(
    ("feed", "size", "times"), [(1, 30_000, 1), (7, 100_000, 1), (1400, 600_000, 1), (0, 100_000, 10)]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear(shape: str, feed: int, size: int, times: int) -> None:
    """Whole feeds are short and many, so that what a first large allocation costs is not measured."""

    def work(data: bytes) -> None:
        for make in (SSE, Sniff) * times:
            framing = make()
            for part in feeds(data, feed or len(data)):
                framing.feed(part)
            framing.close()

    assert_linear(work, SHAPES[shape], size)
