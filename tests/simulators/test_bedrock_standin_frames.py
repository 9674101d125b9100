"""Frames: the wire page's worked examples, moto's encoder, botocore's decoder, and every way they can leave."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from moto.core.eventstream import EventStreamEncoder

from proxy.simulators import bedrock_frames as frames
from proxy.simulators.bedrock_faults import Trouble
from proxy.simulators.bedrock_frames import EVERY_TYPE, Cutter, Sized, Wire

CHUNK = (
    "000000770000004bcfde7bae0b3a6576656e742d74797065070005" + b"chunk".hex() + "0d3a636f6e74656e742d74797065070010"
    + b"application/json".hex() + "0d3a6d6573736167652d74797065070005" + b"event".hex()
    + b'{"bytes":"R3LDvMOfIGRpY2g="}'.hex() + "27fc3a76"
)  # fmt: skip
THROTTLED = (
    "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e"
    "0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009"
    "657863657074696f6e7b226d657373616765223a22736c6f7720646f776e227d832ee072"
)
BOOM = (
    "0000005800000048154692c10d3a6d6573736167652d747970650700056572726f720b3a6572726f722d636f646507000d49"
    "6e7465726e616c4572726f720e3a6572726f722d6d657373616765070004626f6f6d961cb456"
)


def read(data: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def test_the_worked_examples() -> None:
    assert frames.event("chunk", {"bytes": "R3LDvMOfIGRpY2g="}).hex() == CHUNK
    assert frames.exception(Trouble("throttlingException", "slow down")).hex() == THROTTLED
    assert frames.error("InternalError", "boom").hex() == BOOM
    assert frames.message((), b"").hex() == "000000100000000005c248eb7d98c8ff"


@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256)) * 300])
def test_moto_encodes_the_same(payload: bytes) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ours = (("a", True), ("b", False), ("c", Sized(-7, 4)), ("d", b"\x00"), ("e", "ü"), ("f", when))
    theirs = {name: value.value if isinstance(value, Sized) else value for name, value in ours}
    assert frames.message(ours, payload) == EventStreamEncoder().encode_message(theirs, payload)


def test_botocore_reads_headers_of_every_type() -> None:
    (message,) = read(frames.event("chunk", {"bytes": "aGk="}, EVERY_TYPE))
    given = {name: value.value if isinstance(value, Sized) else value for name, value in EVERY_TYPE}
    given |= {"x-timestamp": 1767323045678, "x-uuid": UUID("0b0c7a5e-2f3d-4a41-9d0e-6f0a4b7c1d22").bytes}
    usual = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    assert message.headers == given | usual
    assert message.payload == b'{"bytes":"aGk="}'


# Writes.


def cut(wire: Wire, *given: bytes) -> list[bytes]:
    cutter = Cutter.of(wire)
    writes = [write for frame in given for write in cutter.take(frame)]
    return [*writes, *cutter.flush()]


ONE, TWO, THREE = (frames.event("chunk", {"bytes": "aGk=" * size}) for size in (1, 2, 3))
ALL = ONE + TWO + THREE


def test_a_write_for_each_frame_for_some_and_for_all() -> None:
    assert cut(Wire(), ONE, TWO, THREE) == [ONE, TWO, THREE]
    assert cut(Wire(per_write=2), ONE, TWO, THREE) == [ONE + TWO, THREE]
    assert cut(Wire(per_write=0), ONE, TWO, THREE) == [ALL]


def test_writes_of_some_bytes() -> None:
    assert cut(Wire(bytes_per_write=1), ONE, TWO) == [bytes([byte]) for byte in ONE + TWO]
    writes = cut(Wire(bytes_per_write=100, per_write=0), ONE, TWO, THREE)
    assert b"".join(writes) == ALL
    assert {len(write) for write in writes[:-1]} == {100}


def test_random_writes_are_the_same_for_the_same_seed() -> None:
    first, again, other = (cut(Wire(seed=seed, per_write=0), ONE, TWO, THREE) for seed in (7, 7, 8))
    assert first == again != other
    assert b"".join(first) == b"".join(other) == ALL
    assert len(first) > 2


@pytest.mark.parametrize(
    ("cut_end", "left"), [(1, ONE + TWO[:-1]), (len(TWO), ONE), (len(TWO) + 3, ONE[:-3])]
)
def test_the_end_can_be_missing(cut_end: int, left: bytes) -> None:
    for wire in (
        Wire(cut_end=cut_end),
        Wire(cut_end=cut_end, per_write=0),
        Wire(cut_end=cut_end, bytes_per_write=5),
    ):
        assert b"".join(cut(wire, ONE, TWO)) == left


@pytest.mark.parametrize("what", ["prelude", "message", "payload"])
def test_one_frame_can_be_wrong(what: Any) -> None:
    first, second, third = cut(Wire(corrupt=what, corrupt_at=1), ONE, TWO, THREE)
    assert (first, third) == (ONE, THREE)
    assert sum(one != other for one, other in zip(second, TWO, strict=True)) == 1
    with pytest.raises(ChecksumMismatch):
        read(second)
