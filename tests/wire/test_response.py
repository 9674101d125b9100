"""HTTP/1.1 responses by table: every case at every split, and against h11 where h11 has a say."""

from __future__ import annotations

from collections.abc import Iterator

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.response import MAX_HEAD, MAX_LINE, ResponseParser
from tests.support.split import check_every_split, partitions


@pytest.fixture(autouse=True, scope="module", params=[0, 1 << 30], ids=["long", "short"])
def every_read_is(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a long one all chunks are looked at together, in a short one each by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.wire.response.MANY", request.param)
        yield


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def run(pieces: list[bytes]) -> tuple[object, ...]:
    """Everything a reader can see of a response that came in these pieces."""
    parser = ResponseParser()
    body = b"".join(parser.feed(piece) for piece in pieces if piece)
    head = parser.head and (parser.head.status, list(parser.head.headers.items()), parser.keep_alive)
    return head, body, parser.ended, parser.fault is not None, parser.ends_with_connection


def seen(data: bytes) -> tuple[object, ...]:
    return run([data])


COMPLETE = {
    "counted": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "counted to nothing": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "the same length twice": (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "one chunk": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello", True),
    "chunks": (CHUNKED + b"5\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n\r\n", b"hello world!", True),
    "sizes in any case": (
        CHUNKED + b"A\r\n0123456789\r\n0b\r\n0123456789a\r\n00\r\n\r\n",
        b"01234567890123456789a",
        True,
    ),
    "a chunk of line ends": (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", True),
    "a large chunk": (CHUNKED + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n", b"x" * 5000, True),
    "extensions": (CHUNKED + b'2;a=1;b="c"\r\nhi\r\n0;z\r\n\r\n', b"hi", True),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", b"hi", True),
    "no content": (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", b"", True),
    "interim": (b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "odd reason": (b"HTTP/1.1 404 \xe9\xff\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "keeps": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "blanks around a value": (OK + b"Content-Length: \t 1 \t\r\n\r\nx", b"x", True),
    "closes": (OK + b"Connection: x, close\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_a_response_is_read_however_it_is_cut(name: str) -> None:
    data, body, keeps = COMPLETE[name]
    head, found, ended, fault, _ = check_every_split(run, data)
    assert (found, ended, fault) == (body, True, False)
    assert head[2] is keeps


@pytest.mark.parametrize("name", COMPLETE)
def test_what_comes_after_the_end_is_noticed(name: str) -> None:
    data, body, _ = COMPLETE[name]
    for pieces in ([data + b"H"], [data, b"H"]):
        parser = ResponseParser()
        assert b"".join(map(parser.feed, pieces)) == body
        assert parser.ended
        assert parser.excess


@pytest.mark.parametrize("name", COMPLETE)
def test_a_response_cut_short_has_not_ended(name: str) -> None:
    data, body, _ = COMPLETE[name]
    for place in range(len(data)):
        _, found, ended, fault, ends_with_connection = seen(data[:place])
        assert not ended and not fault and not ends_with_connection
        assert body.startswith(found)


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    head, body, ended, fault, ends = check_every_split(run, b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end")
    assert (body, ended, fault, ends) == (b"to the end", False, False, True)
    assert head[2] is False


HOSTILE = {
    "no HTTP": b"220 smtp\r\n",
    "another version": b"HTTP/2 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a signed status": b"HTTP/1.1 +20 OK\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 1\n\n" + b"\r\n\r\n",
    "a folded header": OK + b"X: a\r\n b\r\n\r\n",
    "a blank before the colon": OK + b"Content-Length : 1\r\n\r\n",
    "a header without a name": OK + b": x\r\n\r\n",
    "a header without a colon": OK + b"hello\r\n\r\n",
    "a NUL in a header": OK + b"X: a\0b\r\n\r\n",
    "a bare CR in a header": OK + b"X: a\rb\r\n\r\n",
    "lengths that disagree": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\n",
    "a signed length": OK + b"Content-Length: +1\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length in other digits": OK + "Content-Length: \u0663\r\n\r\n".encode(),
    "an endless length": OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a length beside chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "gzip and chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "nothing but interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
    "a signed size": CHUNKED + b"+5\r\nhello\r\n",
    "a prefixed size": CHUNKED + b"0x5\r\nhello\r\n",
    "a size with underscores": CHUNKED + b"1_0\r\n",
    "a blank size": CHUNKED + b"\r\nhello\r\n",
    "a negative size": CHUNKED + b"-1\r\n",
    "a size that is too large": CHUNKED + b"f" * 16 + b"\r\n",
    "a control character beside a size": CHUNKED + b"5;\x01\r\nhello\r\n",
    "a chunk that is too long": CHUNKED + b"2\r\nhello\r\n",
    "a chunk with a bare LF": CHUNKED + b"2\r\nhi\n0\r\n\r\n",
    "an endless head": OK + b"X: " + b"x" * MAX_HEAD,
    "a long head": OK + b"X: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    "an endless size": CHUNKED + b"1;" + b"x" * MAX_LINE,
    "endless trailers": CHUNKED + b"0\r\nX: " + b"x" * MAX_HEAD,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_be_read_in_two_ways_is_not_read(name: str) -> None:
    data = HOSTILE[name]
    for size in (len(data), 1000, 7, 1):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert run(pieces)[3], size
        assert not run(pieces)[2]


def test_what_came_before_a_fault_still_counts() -> None:
    parser = ResponseParser()
    assert parser.feed(CHUNKED + b"5\r\nhello\r\nxyz\r\n") == b"hello"
    assert parser.fault is not None
    assert parser.feed(b"5\r\nhello\r\n") == b""


def by_h11(data: bytes) -> tuple[bytes, bool] | None:
    """The body and whether it ended, or None where h11 refuses."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    reader.send(h11.Request(method="POST", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    body = b""
    try:
        reader.receive_data(data)
        while type(event := reader.next_event()) is not h11.NEED_DATA and event is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return body, True
            elif event is h11.PAUSED:
                return body, False
    except h11.RemoteProtocolError:
        return None
    return body, False


LINES = st.sampled_from([b"\r\n", b"x\r\n", b"\r\n1\r\nx", b"1\r\nx\r\n1", b"\r", b"\n", b"0\r\n\r\n"])
"""Bodies that look like chunks."""


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=40), LINES), max_size=7), st.data())
def test_chunks_are_read_as_h11_reads_them(chunks: list[bytes], data: st.DataObject) -> None:
    sent = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert by_h11(sent) == (b"".join(chunks), True)
    assert run(data.draw(partitions(sent)))[1:4] == (b"".join(chunks), True, False)


@given(st.sampled_from([case[0] for case in COMPLETE.values()]), st.integers(0, 10**6), st.binary(max_size=3))
def test_where_both_read_a_spoiled_response_they_read_the_same(sent: bytes, place: int, noise: bytes) -> None:
    at = place % (len(sent) + 1)
    spoiled = sent[:at] + noise + sent[at + len(noise) :]
    _, body, ended, fault, _ = seen(spoiled)
    theirs = by_h11(spoiled)
    if theirs is not None and not fault and ended and theirs[1]:
        assert body == theirs[0]


@given(st.binary(max_size=200), st.data())
def test_garbage_is_no_exception(garbage: bytes, data: st.DataObject) -> None:
    for sent in (garbage, OK + garbage, CHUNKED + garbage):
        assert run(data.draw(partitions(sent)))[3] == seen(sent)[3]
