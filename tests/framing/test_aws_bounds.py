"""What frames of Amazon's cost: work in proportion to their length, counted and not timed, and bounded memory."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.aws_frames import block, event, frame_of, text
from translators.errors import UpstreamMalformed
from translators.framing import aws
from translators.framing.aws import MAX_AWS_FRAME, AwsEvents

GOOD = event("chunk", b'{"bytes":"aGVsbG8="}')


class Work:
    """Bytes that were copied or summed up, and calls that were made."""

    copied = summed = calls = 0


class Read(bytes):
    """A read from the socket that counts what is cut out of it, and out of that."""

    work: Work

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(key, slice):
            return part
        self.work.copied += len(part)
        return of(Read, part, self.work)


class Waiting(bytearray):
    """The same for what waits."""

    work: Work

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(key, slice):
            return part
        self.work.copied += len(part)
        return of(Waiting, part, self.work)

    def __bytes__(self) -> bytes:
        self.work.copied += len(self)
        return memoryview(self).tobytes()


def of(kind: Any, data: Any, work: Work) -> Any:
    made = kind(data)
    made.work = work
    return made


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AwsEvents, Work]]:
    work = Work()

    def crc32(data: bytes) -> int:
        work.summed += len(data)
        return zlib.crc32(data)

    monkeypatch.setattr(aws, "crc32", crc32)
    events = AwsEvents()
    events._buffer = of(Waiting, b"", work)

    def called(frame: Any, what: str, argument: Any) -> None:
        work.calls += what in ("call", "c_call")

    sys.setprofile(called)
    try:
        yield events, work
    finally:
        sys.setprofile(None)


def feed(events: AwsEvents, work: Work, parts: Sequence[bytes]) -> int:
    count = 0
    for part in parts:
        count += len(events.feed(of(Read, part, work)))
    return count


def reads(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


MANY = GOOD * 4000
BIG = event("trace", b"x" * 100_000)


@pytest.mark.parametrize(
    ("data", "size", "frames"),
    [
        (MANY, len(MANY), 4000),
        (MANY, 64 * 1024, 4000),
        (MANY, 1400, 4000),
        (MANY[: 400 * len(GOOD)], 7, 400),
        (MANY[: 100 * len(GOOD)], 1, 100),
        (BIG, 1400, 1),
        (BIG, 1, 1),
        (BIG, len(BIG) - 1, 1),
        (BIG * 20, 16 * 1024, 20),
    ],
    ids=[
        "all at once",
        "64 K",
        "segments",
        "sevens",
        "bytes",
        "big in segments",
        "big in bytes",
        "big",
        "many big",
    ],
)
def test_every_byte_is_copied_and_summed_up_a_few_times_at_most(
    monkeypatch: pytest.MonkeyPatch, data: bytes, size: int, frames: int
) -> None:
    parts = reads(data, size)
    with counted(monkeypatch) as (events, work):
        count = feed(events, work, parts)
    assert count == frames
    assert work.summed <= 1.2 * len(data)
    assert work.copied <= 5 * len(data)
    # Most of these calls are this test's own, which counts what it counts; what matters is that they are few.
    assert work.calls <= 15 * len(parts) + 40 * frames + 100


def test_the_usual_frame_costs_one_checksum_and_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as (events, work):
        feed(events, work, [GOOD])
        work.calls = work.summed = 0
        events.feed(GOOD)
        calls = work.calls
    assert work.summed == len(GOOD) - 4
    assert calls == 8  # two of them are this test's


def test_a_claim_is_refused_before_anything_is_kept_for_it() -> None:
    events = AwsEvents()
    assert events.feed(frame_of(b"", total=MAX_AWS_FRAME + 1)[:12]) == []
    assert type(events.fault) is UpstreamMalformed
    assert f"over {MAX_AWS_FRAME} bytes" in events.fault.message
    assert len(events._buffer) == 0


def test_the_longest_frame_fits_and_one_byte_more_does_not() -> None:
    spare = 200 - len(event("chunk", b""))
    fits = AwsEvents(200)
    assert fits.feed(event("chunk", b"x" * spare)) == [(b"chunk", b"x" * spare)]
    events = AwsEvents(200)
    assert (events.feed(event("chunk", b"x" * (spare + 1))), events.fault is None) == ([], False)


def test_the_largest_event_of_files_fits() -> None:
    """Five files of a million bytes each, in base64."""
    payload = b"x" * (5 * 1_333_336 + 1000)
    assert AwsEvents().feed(event("files", payload)) == [(b"files", payload)]


def test_what_is_kept_for_next_time_is_bounded() -> None:
    events = AwsEvents()
    for number in range(1500):
        name = f"name-{number}"
        assert events.feed(event(name, b"x" * number)) == [(name.encode(), b"x" * number)]
        assert len(aws._preludes) <= 1024
        assert len(aws._blocks) <= 64
    long = block([text("x", "y" * 300), text(":message-type", "event"), text(":event-type", "chunk")])
    before = dict(aws._blocks)
    assert events.feed(frame_of(long, b"1") * 2) == [(b"chunk", b"1")] * 2
    assert aws._blocks == before


def test_memory_is_given_back_with_the_last_byte_of_a_frame_and_at_the_end() -> None:
    events = AwsEvents()
    events.feed(BIG[:-1])
    assert len(events._buffer) == len(BIG) - 1
    events.feed(BIG[-1:])
    assert len(events._buffer) == 0
    events.feed(BIG[:-1])
    events.close()
    assert len(events._buffer) == 0
