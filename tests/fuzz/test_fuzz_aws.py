"""Fuzz: Amazon's event stream. Cuts change nothing, nothing raises, bounds hold, and what is told was checked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.corpus import cut, fuzzed
from tests.support.aws_frames import block, error, event, exception, frame_of, text
from translators.framing.aws import AwsEvents
from translators.framing.base import Frame

SEEDS = [
    event("chunk", b'{"bytes":"aGk="}') * 3,
    event("trace", b"x" * 300) + exception("throttlingException", b"{}"),
    error("InternalError", "boom") + event("chunk"),
    frame_of(b""),
    frame_of(block([("a", 0, b""), ("b", 6, b"\0\1x"), ("c", 9, bytes(16)), text(":message-type", "event")])),
]
TELLING = b"".join(SEEDS)


def run(parts: list[bytes], bound: int) -> tuple[list[Frame], str]:
    events = AwsEvents(bound)
    frames: list[Frame] = []
    for part in parts:
        frames += events.feed(part)
        assert len(events._buffer) <= bound + 12
    frames += events.close()
    return frames, "" if events.fault is None else events.fault.message


@fuzzed
@given(cut([*SEEDS, TELLING]), st.sampled_from([100, 200, 1 << 20]))
def test_fuzz_aws(case: tuple[bytes, list[bytes]], bound: int) -> None:
    data, parts = case
    frames, fault = run(parts, bound)
    assert (frames, fault) == run([data], bound)
    assert all(payload in data for _, payload in frames)


@fuzzed
@given(st.binary(max_size=80), st.binary(max_size=20))
def test_fuzz_aws_headers(headers: bytes, payload: bytes) -> None:
    """Any bytes where headers should be, under checksums that are right."""
    frames, fault = run([frame_of(headers, payload), event("chunk", b"1")], 1 << 20)
    assert fault or frames[-1] == (b"chunk", b"1")
    assert len(frames) <= 2
