"""Server-sent events by table: what browsers are tested on, and what gateways meet besides.

The rows follow the web platform's event-source cases in meaning; where this framer differs on purpose (data
stays bytes, the last event counts without its blank line) the row says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from translators.errors import UpstreamIncomplete
from translators.framing.base import Frame
from translators.framing.sse import SSE

BOM = b"\xef\xbb\xbf"
LONG = b":" + b"x" * 2048

CASES: list[tuple[str, bytes, list[Frame]]] = [
    ("one event", b"data: hi\n\n", [(b"", b"hi")]),
    ("no space", b"data:hi\n\n", [(b"", b"hi")]),
    ("one space goes, the second stays", b"data:  hi\n\n", [(b"", b" hi")]),
    ("a tab stays", b"data:\thi\n\n", [(b"", b"\thi")]),
    ("a space before the colon is part of the name", b"data : hi\n\n", []),
    ("a leading space is part of the name", b" data: hi\n\n", []),
    ("data without value", b"data:\n\n", [(b"", b"")]),
    (
        "field without colon",
        b"data\n\ndata\ndata\n\ndata:test\n\n",
        [(b"", b""), (b"", b"\n"), (b"", b"test")],
    ),
    ("several data lines", b"data:1\ndata\ndata: 3\n\n", [(b"", b"1\n\n3")]),
    ("colons in the value", b"data: a:b: c\n\n", [(b"", b"a:b: c")]),
    ("named", b"event: msg\ndata: x\n\n", [(b"msg", b"x")]),
    ("named after its data", b"data: x\nevent:msg\n\n", [(b"msg", b"x")]),
    ("the last name holds", b"event: a\nevent: b\ndata: x\n\n", [(b"b", b"x")]),
    ("an empty name is no name", b"event: a\nevent:\ndata: x\n\n", [(b"", b"x")]),
    ("a name does not outlive its event", b"event: a\ndata: 1\n\ndata: 2\n\n", [(b"a", b"1"), (b"", b"2")]),
    ("a name without data is no event", b"event: ping\n\ndata: 2\n\n", [(b"", b"2")]),
    ("field names know their case", b"Data: x\nEVENT: y\n\ndata: z\n\n", [(b"", b"z")]),
    ("id and retry", b"id: 7\nretry: 2000\ndata: x\nretry: 10x\nid\n\n", [(b"", b"x")]),
    ("an id with NUL", b"id: a\0b\ndata: x\n\n", [(b"", b"x")]),
    ("unknown fields", b"foo: bar\ndatax: no\ndata: x\n:\n\n", [(b"", b"x")]),
    ("NUL in data", b"data: a\0b\n\n", [(b"", b"a\0b")]),
    ("bytes that are not UTF-8", b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
    (
        "separators of other worlds",
        "data: a\u2028b\u0085c\v\fd\n\n".encode(),
        [(b"", "a\u2028b\u0085c\v\fd".encode())],
    ),
    (
        "comments of all kinds",
        LONG + b"\r\ndata:1\r:\0\n:\r\ndata:2\n" + LONG + b"\rdata:3\n:data:x\r\n\r\n",
        [(b"", b"1\n2\n3")],
    ),
    ("only comments", b": a\n\n:\n\n: b\n", []),
    ("BOM", BOM + b"data: 1\n\ndata: 2\n\n", [(b"", b"1"), (b"", b"2")]),
    ("the second BOM belongs to the field", BOM * 2 + b"data: 1\n\ndata: 2\n\n", [(b"", b"2")]),
    (
        "a BOM later belongs to the field",
        b"data: 1\n\n" + BOM + b"data: 2\n\ndata: 3\n\n",
        [(b"", b"1"), (b"", b"3")],
    ),
    ("a BOM in the data stays", b"data: " + BOM + b"\n\n", [(b"", BOM)]),
    ("half a BOM", b"\xef\xbbdata: 1\n\ndata: 2\n\n", [(b"", b"2")]),
    ("CRLF", b"data: 1\r\n\r\ndata: 2\r\n\r\n", [(b"", b"1"), (b"", b"2")]),
    ("CR", b"data: 1\r\rdata: 2\r\r", [(b"", b"1"), (b"", b"2")]),
    ("LF CR is two ends", b"data: 1\n\rdata: 2\n\r", [(b"", b"1"), (b"", b"2")]),
    ("CR CRLF is two ends", b"data: 1\r\r\ndata: 2\r\r\n", [(b"", b"1"), (b"", b"2")]),
    ("CRLF is one end", b"data: 1\r\ndata: 2\r\n\r\n", [(b"", b"1\n2")]),
    ("mixed", b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r", [(b"", b"1"), (b"", b"2"), (b"", b"3")]),
    ("many blank lines", b"\n\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [(b"", b"1"), (b"", b"2")]),
    ("three blank lines, then a name", b"\n\n\nevent: a\ndata: 1\n\n", [(b"a", b"1")]),
    ("nothing", b"", []),
    ("blank", b"\r\n\r\n\n", []),
    ("the last line open (differs from browsers)", b"data: 1\n\ndata: 2", [(b"", b"1"), (b"", b"2")]),
    (
        "the last event open (differs from browsers)",
        b"data: 1\n\nevent: a\r\ndata: 2\r\n",
        [(b"", b"1"), (b"a", b"2")],
    ),
    ("a comment at the end", b"data: 1\n\n: bye", [(b"", b"1")]),
]


def run(parts: Sequence[bytes]) -> tuple[list[Frame], bool]:
    """All frames, and whether it ended in a fault."""
    sse = SSE()
    frames = [frame for part in parts for frame in sse.feed(part)]
    frames += sse.close()
    return frames, sse.fault is not None


@pytest.mark.parametrize(("data", "frames"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_frames_wherever_it_is_cut(data: bytes, frames: list[Frame]) -> None:
    assert check_every_split(run, data) == (frames, False)


@pytest.mark.parametrize(
    "rest", [b"dat", b"event: x", b"id: 1\n", b"{", b"x: y\n", BOM[:2], b": c\nretry: 1"]
)
def test_a_rest_that_is_no_event_is_a_fault(rest: bytes) -> None:
    frames, fault = check_every_split(run, b"data: 1\n\n" + rest)
    assert (frames, fault) == ([(b"", b"1")], True)
    sse = SSE()
    sse.feed(rest)
    sse.close()
    assert type(sse.fault) is UpstreamIncomplete


GRAMMAR = st.sampled_from(
    [
        b"data:",
        b"data",
        b"event:",
        b"id:",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"x",
        b"{}",
        BOM,
        b"\0",
        b"\xff",
    ]
)


@given(
    st.lists(GRAMMAR, max_size=24)
    .map(b"".join)
    .flatmap(lambda data: st.tuples(st.just(data), partitions(data)))
)
def test_any_pieces_of_the_grammar_cut_anywhere(case: tuple[bytes, list[bytes]]) -> None:
    data, parts = case
    assert run(parts) == run([data])


@given(st.lists(st.tuples(st.sampled_from(["\n", "\r", "\r\n"]), st.booleans()), max_size=8), st.booleans())
def test_line_ends_and_comments_change_nothing(styles: list[tuple[str, bool]], mark: bool) -> None:
    out = BOM.decode() if mark else ""
    for number, (end, comment) in enumerate(styles):
        out += f"data: {number}{end}" + (f": aside{end}" if comment else "") + f"data: more{end}{end}"
    assert run([out.encode()]) == ([(b"", b"%d\nmore" % number) for number in range(len(styles))], False)
