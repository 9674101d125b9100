"""What is read past aiohttp's parser means to us what it means to it: a law that generated heads try to break.

Whatever both would read has to be read alike, whether it is new or known, and whatever was read before.
"""

from __future__ import annotations

from typing import Any

from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.heads import Heads
from tests.proxy.heads_setup import head, theirs


def test_the_parser_is_the_one_that_serves():
    assert HttpRequestParser is not HttpRequestParserPy


LENGTHS = [f"{name}: {value}" for name in ("Content-Length", "content-length") for value in ("0", "5", "17")]
NAMES = ["Accept", "authorization", "X-Request-ID", "Origin", "x", "User-Agent", "Cookie", "Keep-Alive"]
ODD_LINES = [
    *("Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: h2c", "Upgrade: websocket", "TE: gzip"),
    *(
        "Connection: close",
        "Connection: keep-alive",
        "connection: Upgrade",
        "Content-Encoding: gzip",
        "Trailer: X",
    ),
    *("CONTENT-LENGTH: 5", "Content-Length:5", "Content-Length: +5", "Content-Length: 5, 5", "Host: other"),
    *(
        " folded",
        "no colon",
        ": empty",
        "X : a",
        "X: \0",
        "X: a\nY: b",
        "X: ä",
        "",
        "Content-Length: 5\nX: a",
    ),
]
SIGNS = [
    *(bytes([sign]) for sign in b'\0\t\n\r "(+-,059:;AXn\x7f\x80\xc3\xff'),
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
]
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
BLANKS = st.sampled_from(["", " ", "\t "])
LINES = st.builds("{}:{}{}".format, st.sampled_from(NAMES), BLANKS, PRINTABLE)


@st.composite
def well_formed(draw: Any) -> bytes:
    """Any order, no name twice, nothing that means more than itself."""
    more = draw(st.lists(LINES, max_size=6, unique_by=lambda line: line.partition(":")[0].lower()))
    host = draw(st.sampled_from(["Host: test", "host:a:1", "HOST: \t[::1]:80 "]))
    lines = draw(st.permutations([host, draw(st.sampled_from(LENGTHS)), *more]))
    return head(*lines)


@st.composite
def any_heads(draw: Any) -> bytes:
    lines = draw(
        st.lists(st.one_of(LINES, st.sampled_from([*LENGTHS, *ODD_LINES, "Host: test"])), max_size=5)
    )
    if draw(st.booleans()):
        lines = draw(st.permutations([*lines, "Host: test", draw(st.sampled_from(LENGTHS))]))
    return head(*lines)


@st.composite
def mutated(draw: Any, heads: st.SearchStrategy[bytes]) -> bytes:
    data = draw(heads)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        dropped = draw(st.integers(0, 2))
        data = data[:at] + draw(st.sampled_from([b"", *SIGNS])) + data[at + dropped :]
    return data


@given(well_formed())
def test_law_what_is_well_formed_is_read(data):
    assert Heads().read(data) is not None


@settings(max_examples=400)
@given(mutated(st.one_of(well_formed(), any_heads())))
def test_law_what_is_read_is_what_aiohttp_reads(data):
    heads = Heads()
    first, second = heads.read(data), heads.read(data)
    assert first == second
    if first is not None:
        headers, begin, length = first
        assert second is not None and headers is second[0]
        assert list(headers.items()) == theirs(data[:begin], length)


@st.composite
def relatives(draw: Any) -> list[bytes]:
    """Heads that have most of their bytes in common."""
    one = draw(well_formed())
    return [one, *draw(st.lists(mutated(st.just(one)), min_size=1, max_size=4)), one]


@given(relatives())
def test_law_a_head_means_the_same_whatever_came_before(family):
    heads = Heads()
    assert [heads.read(data) for data in family] == [Heads().read(data) for data in family]
