"""Amazon's event stream by table: the worked examples of the wire page, every kind of frame, everything wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st
from moto.core.eventstream import EventStreamEncoder

from tests.support.aws_frames import block, error, event, exception, frame_of, text
from tests.support.split import check_every_split, partitions
from translators.errors import UpstreamIncomplete, UpstreamMalformed
from translators.framing.aws import AwsEvents, known_lengths, may_wait, name_of
from translators.framing.base import Frame
from translators.template import Template

CHUNK = bytes.fromhex(
    "000000770000004bcfde7bae"
    "0b3a6576656e742d747970650700056368756e6b"
    "0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
    "0d3a6d6573736167652d747970650700056576656e74"
    "7b226279746573223a2252334c44764d4f66494752705932673d227d"
    "27fc3a76"
)
EXCEPTION = bytes.fromhex(
    "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e"
    "0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009"
    "657863657074696f6e7b226d657373616765223a22736c6f7720646f776e227d832ee072"
)
ERROR = bytes.fromhex(
    "0000005800000048154692c10d3a6d6573736167652d747970650700056572726f720b3a6572726f722d636f646507000d49"
    "6e7465726e616c4572726f720e3a6572726f722d6d657373616765070004626f6f6d961cb456"
)
LEAST = bytes.fromhex("000000100000000005c248eb7d98c8ff")

ONE: Frame = (b"chunk", b"1")
GOOD = event("chunk", b"1")


def of_every_type(first: str = "") -> list[tuple[str, int, bytes]]:
    return [
        (f"{first}yes", 0, b""),
        (f"{first}no", 1, b""),
        (f"{first}byte", 2, b"\xff"),
        (f"{first}short", 3, b"\xff\xfe"),
        (f"{first}int", 4, b"\xff" * 4),
        (f"{first}long", 5, b"\x80" + b"\0" * 7),
        (f"{first}bytes", 6, b"\0\x03\xff\xfe\xfd"),
        (f"{first}text", 7, b"\0\x03\xe2\x82\xac"),
        (f"{first}time", 8, b"\0\0\x01\x9b\0\0\0\0"),
        (f"{first}uuid", 9, bytes(16)),
    ]


ALL_TYPES = event("chunk", b"1", *of_every_type())
TOLD: list[tuple[str, bytes, list[Frame]]] = [
    ("nothing", b"", []),
    ("the chunk of the wire page", CHUNK, [(b"chunk", b'{"bytes":"R3LDvMOfIGRpY2g="}')]),
    (
        "its exception",
        EXCEPTION,
        [(b"exception:throttlingException", b'{"message":"slow down"}')],
    ),
    ("its error", ERROR, [(b"error:InternalError", b"boom")]),
    ("the least frame", LEAST, []),
    (
        "all in one",
        LEAST + CHUNK + LEAST + GOOD + GOOD,
        [(b"chunk", b'{"bytes":"R3LDvMOfIGRpY2g="}'), ONE, ONE],
    ),
    ("headers of every type", ALL_TYPES + ALL_TYPES, [ONE, ONE]),
    ("no payload", event("trace", b""), [(b"trace", b"")]),
    ("a payload that looks like a frame", event("chunk", GOOD), [(b"chunk", GOOD)]),
    ("an event nobody has heard of", event("sparkle") + GOOD, [(b"sparkle", b"{}"), ONE]),
    ("a kind nobody has heard of", frame_of(block([text(":message-type", "sparkle")])) + GOOD, [ONE]),
    ("no kind", frame_of(block([text(":event-type", "chunk")]), b"x") + GOOD, [ONE]),
    ("an event without a name", frame_of(block([text(":message-type", "event")]), b"x") + GOOD, [ONE]),
    (
        "a kind that is no text",
        frame_of(block([(":message-type", 6, b"\0\x05event"), text(":event-type", "chunk")])) + GOOD,
        [ONE],
    ),
    (
        "a failure without a name is one all the same",
        frame_of(block([text(":message-type", "exception")]), b"{}")
        + frame_of(block([text(":message-type", "error")])),
        [(b"exception:", b"{}"), (b"error:", b"")],
    ),
    (
        "another order",
        frame_of(block([text(":message-type", "event"), text(":event-type", "chunk")]), b"1"),
        [ONE],
    ),
    ("a message in many bytes", error("E", "é" * 200), [(b"error:E", ("é" * 200).encode())]),
]


def run(parts: Sequence[bytes], bound: int = 1 << 20) -> tuple[list[Frame], str]:
    """All frames, and the fault in words."""
    events = AwsEvents(bound)
    frames = [frame for part in parts for frame in events.feed(part)]
    frames += events.close()
    return frames, "" if events.fault is None else events.fault.message


@pytest.mark.parametrize(("data", "frames"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_frames_wherever_they_are_cut(data: bytes, frames: list[Frame]) -> None:
    assert check_every_split(run, data) == (frames, "")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def with_block(headers: bytes) -> bytes:
    return GOOD + frame_of(headers, b"x") + GOOD


USUAL = [text(":message-type", "event"), text(":event-type", "chunk")]
NOT_ITS = "something that is not Amazon's event stream"
LENGTHS = "an event whose lengths do not go together"
CHECKSUM = "an event whose checksum is wrong"
HEADERS = "an event whose headers cannot be read"
WRONG: list[tuple[str, bytes, str]] = [
    ("a document", GOOD + b'{"message":"Internal Server Error"}', NOT_ITS),
    ("a page", GOOD + b"<html><body>Bad Gateway</body></html>", NOT_ITS),
    ("the checksum of the lengths", GOOD + flipped(GOOD, 11) + GOOD, NOT_ITS),
    ("a length", GOOD + flipped(GOOD, 3) + GOOD, NOT_ITS),
    ("a header", GOOD + flipped(GOOD, 20) + GOOD, CHECKSUM),
    ("the payload", GOOD + flipped(GOOD, len(GOOD) - 5) + GOOD, CHECKSUM),
    ("the checksum", GOOD + flipped(GOOD, len(GOOD) - 1) + GOOD, CHECKSUM),
    ("shorter than the least", GOOD + frame_of(b"", b"", total=15), LENGTHS),
    ("no length at all", GOOD + frame_of(b"", b"", total=0), LENGTHS),
    ("headers longer than the frame", GOOD + frame_of(b"", b"abcd", length=5), LENGTHS),
    ("too many headers", GOOD + frame_of(b"", b"", total=1 << 19, length=(128 << 10) + 1), LENGTHS),
    ("too long", GOOD + frame_of(b"", b"", total=(1 << 20) + 1), "an event of over 1048576 bytes"),
    ("a type there is not", with_block(block([*USUAL, ("x", 10, b"")])), HEADERS),
    ("a name longer than the block", with_block(b"\x09abc"), HEADERS),
    ("a name and no type", with_block(b"\x03abc"), HEADERS),
    ("a text without its length", with_block(block([("x", 7, b"\0")])), HEADERS),
    ("a text longer than the block", with_block(block([("x", 7, b"\0\x05abcd")])), HEADERS),
    ("bytes longer than the block", with_block(block([("x", 6, b"\xff\xffabcd")])), HEADERS),
    ("a number longer than the block", with_block(block([("x", 5, b"1234567")])), HEADERS),
    ("a name that is no UTF-8", with_block(b"\x01\xff\x00"), HEADERS),
    ("a text that is no UTF-8", with_block(block([("x", 7, b"\0\x01\xff")])), HEADERS),
    ("a name twice", with_block(block([*USUAL, *USUAL])), HEADERS),
    ("a name twice in two types", with_block(block([("x", 0, b""), ("x", 1, b"")])), HEADERS),
]


@pytest.mark.parametrize(("data", "fault"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_cannot_be_read_ends_it_and_what_came_before_is_told(data: bytes, fault: str) -> None:
    assert check_every_split(run, data) == ([ONE], f"The upstream sent {fault}.")


def test_a_fault_is_the_upstreams_and_the_last_thing_heard() -> None:
    events = AwsEvents()
    assert events.feed(flipped(GOOD, 60)) == []
    assert type(events.fault) is UpstreamMalformed
    assert (events.fault.status, events.fault.code, events.fault.should_retry) == (
        502,
        "upstream_error",
        False,
    )
    fault = events.fault
    assert (events.feed(GOOD), events.feed(GOOD[:20]), events.close()) == ([], [], [])
    assert events.fault is fault


@pytest.mark.parametrize(
    "data", [LEAST, CHUNK, EXCEPTION, GOOD + ERROR], ids=["least", "chunk", "exception", "two"]
)
def test_a_frame_cut_off_anywhere_is_no_end(data: bytes) -> None:
    whole = run([data])[0]
    for length in range(1, len(data)):
        events = AwsEvents()
        frames = events.feed(data[:length])
        assert events.close() == []
        edge = data.startswith(GOOD) and length == len(GOOD)
        assert frames == whole[: len(frames)] and len(frames) == (
            data.startswith(GOOD) and length >= len(GOOD)
        )
        assert (type(events.fault) is UpstreamIncomplete) is not edge


def theirs(parts: Sequence[bytes]) -> list[tuple[str, str, bytes]]:
    """What botocore reads: kind, name, payload."""
    buffer = EventStreamBuffer()
    read = []
    for part in parts:
        buffer.add_data(part)
        read += list(buffer)
    names = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}
    return [
        (kind, message.headers[names[kind]], message.payload)
        for message in read
        if (kind := message.headers.get(":message-type", "")) in names
    ]


SIZES = [0, 1, 2, 16, 17, 250, 4000]
MIXED = st.lists(
    st.one_of(
        st.builds(
            event,
            st.sampled_from(["chunk", "trace", "files"]),
            st.sampled_from(SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
        ),
        st.builds(lambda payload: event("chunk", payload, *of_every_type("x")), st.binary(max_size=40)),
        st.builds(exception, st.sampled_from(["throttlingException", "x"]), st.binary(max_size=60)),
        st.builds(error, st.text(max_size=5), st.just("")),
        st.just(LEAST),
    ),
    max_size=12,
).map(b"".join)


@given(MIXED.flatmap(lambda data: st.tuples(st.just(data), partitions(data))))
def test_any_frames_cut_anywhere_read_like_botocore_reads_them(case: tuple[bytes, list[bytes]]) -> None:
    data, parts = case
    prefix = {"event": "", "exception": "exception:", "error": "error:"}
    expected = [((prefix[kind] + name).encode(), payload) for kind, name, payload in theirs([data])]
    assert run(parts) == (expected, "")


@given(MIXED, st.data())
def test_no_byte_can_be_changed_unnoticed(data: bytes, draw: st.DataObject) -> None:
    """A checksum of 32 bits sees every error of up to 32 bits in a row."""
    if not data:
        return
    at, flip = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(1, 255))
    frames, fault = run([data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]])
    whole = run([data])[0]
    assert fault
    assert frames == whole[: len(frames)]


NAMES = st.sampled_from([":event-type", ":content-type", "a", "x" * 255])
VALUES = st.one_of(
    st.booleans(), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=9), st.text(max_size=9)
)


@given(st.dictionaries(NAMES, VALUES), st.binary(max_size=99))
def test_what_moto_encodes_is_read(headers: dict[str, object], payload: bytes) -> None:
    name = headers.get(":event-type")
    data = EventStreamEncoder().encode_message({**headers, ":message-type": "event"}, payload)
    assert run([data]) == ([(name.encode(), payload)] if isinstance(name, str) else [], "")


def test_the_layout_of_the_tests_is_the_wires() -> None:
    assert event("chunk", b'{"bytes":"R3LDvMOfIGRpY2g="}') == CHUNK
    assert exception("throttlingException", b'{"message":"slow down"}') == EXCEPTION
    assert error("InternalError", "boom") == ERROR
    assert frame_of(b"") == LEAST
    assert struct.unpack(">I", GOOD[:4]) == (len(GOOD),)


def test_frames_are_called_by_their_headers() -> None:
    odd = frame_of(block([text(":message-type", "sparkle")]), b"x")
    for frame in (GOOD, odd):
        AwsEvents().feed(frame)
    assert name_of(GOOD[12:-5]) == b"chunk"
    assert [name_of(headers) for headers in (b"", GOOD[12:-6], odd[12:-5])] == [None] * 3


def test_only_the_beginning_of_a_frame_may_wait() -> None:
    AwsEvents().feed(GOOD)
    assert [may_wait(GOOD[:size]) for size in range(len(GOOD))] == [True] * len(GOOD)
    for data in (GOOD, GOOD + b"\0", b"\0" * 12, GOOD[:11] + b"\0" + GOOD[12:]):
        assert not may_wait(data)


def test_lengths_are_known_of_frames_that_were_read() -> None:
    AwsEvents().feed(GOOD)
    assert known_lengths(GOOD[:12]) == (len(GOOD), len(GOOD) - 5)
    with pytest.raises(LookupError):
        known_lengths(GOOD[:11] + b"\0")


def test_frames_alone_do_not_tell_which_of_them_say_words() -> None:
    framing = AwsEvents()
    framing.feed(CHUNK)
    assert framing.shortcut(CHUNK, Template(b'"bytes"')) is None
