"""What a shortcut reads and what it declines. That its use is never seen is test_stream_shortcut's to prove."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.framing.base import MAX_FRAME
from translators.shortcut import Shortcut, spoken
from translators.wirejson import dumps_text

HEAD = b'event: words\ndata: {"id":1,"content":"'
TAIL = b'","b":[2]}\n\n'


def fresh() -> Shortcut:
    return Shortcut(HEAD, TAIL, MAX_FRAME, bytearray())


def framed(*texts: bytes) -> bytes:
    return b"".join(HEAD + text + TAIL for text in texts)


READ: list[tuple[bytes, bytes]] = [
    (b"word", b"word"),
    (b" ", b" "),
    (b"\x7f", b"\x7f"),
    (b"data: {", b"data: {"),
    ("数据 é 🙂".encode(), "数据 é 🙂".encode()),
    (rb"a\n\t\"\\ b", rb"a\n\t\"\\ b"),
    (rb"\/", b"/"),
    (rb"\u0041", b"A"),
    (rb"\u000A\u001B", rb"\n\u001b"),
    (rb"\u00e9\ud83d\ude00", "é😀".encode()),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029\\n".encode(), rb"\u2029\n"),
    ("é\x85".encode(), "é\\u0085".encode()),
    (rb"\u2028", rb"\u2028"),
    (rb"\u0000", rb"\u0000"),
]
"""The text as it came, and as it goes."""

DECLINED = [
    b"",
    b'a"b',
    b'a","b":"c',
    b'"',
    b"a\\",
    b"\\",
    rb"\x41",
    rb"\u12",
    rb"\ud83d",
    rb"\ude00 x",
    b"\xff",
    b"\xe6\x95",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    *(bytes([control]) for control in range(0x20)),
]


@pytest.mark.parametrize(("sent", "told"), READ)
def test_texts_that_are_read(sent: bytes, told: bytes) -> None:
    assert fresh().read(framed(sent)) == [told]
    assert fresh().read(framed(b"a", sent, sent)) == [b"a", told, told]
    assert told == dumps_text(orjson.loads(b'"%b"' % sent))[1:-1]


@pytest.mark.parametrize("sent", DECLINED)
def test_texts_that_are_declined(sent: bytes) -> None:
    assert fresh().read(framed(sent)) is None
    assert fresh().read(framed(b"a", sent)) is None
    assert fresh().read(framed(sent, b"a")) is None
    assert fresh().read(framed("é".encode(), sent, b"a")) is None
    assert fresh().read(framed(rb"\n", sent, b"a")) is None


TORN = [(b"\xe6", b"\x95\xb0"), (rb"\ud83d", rb"\ude00"), (b"\\", b'"'), (b"a\\", rb",\"x"), (b'"', b'"')]


@pytest.mark.parametrize(("first", "second"), TORN)
def test_texts_that_are_whole_only_together_are_declined(first: bytes, second: bytes) -> None:
    assert fresh().read(framed(first, second)) is None
    assert fresh().read(framed(b"a", first, second, b"b")) is None


ONE = framed(b"word")
STRANGE = [
    b"",
    b"\n",
    HEAD,
    TAIL,
    HEAD + TAIL[1:],
    HEAD[:-1] + TAIL,
    ONE[:-1],
    ONE[1:],
    ONE + b"\n",
    b"\n" + ONE,
    ONE + b": ping\n\n",
    b": ping\n\n" + ONE,
    ONE + b": ping\n\n" + ONE,
    ONE + b"\n" + ONE,
    ONE[:-1] + ONE,
    ONE.replace(b"words", b"other"),
    ONE + ONE.replace(b"words", b"other") + ONE,
    ONE.replace(b"[2]", b"[3]"),
    ONE + ONE.replace(b"[2]", b"[3]") + ONE,
    ONE.replace(b"\n", b"\r\n"),
    ONE.replace(b"\n", b"\r"),
    ONE * 2 + ONE.replace(b'"word"', b"null") + ONE,
    ONE + b"event: words\ndata: {}\n\n" + ONE,
    framed(b"event: words\ndata: x", b"a"),
]


@pytest.mark.parametrize("data", STRANGE)
def test_other_data_is_declined(data: bytes) -> None:
    assert fresh().read(data) is None


def test_a_head_and_a_tail_that_overlap_are_not_a_frame() -> None:
    shortcut = Shortcut(b'data: ""', b'""\n\n', MAX_FRAME, bytearray())
    assert shortcut.read(b'data: ""\n\n') is None
    assert shortcut.read(b'data: "x"\n\n') is None
    assert shortcut.read(b'data: ""x""\n\n') == [b"x"]


def test_a_head_may_be_short() -> None:
    shortcut = Shortcut(b'data:"', b'"\n\n', MAX_FRAME, bytearray())
    assert shortcut.read(b'data:"a"\n\ndata:"b"\n\n') == [b"a", b"b"]
    assert shortcut.read(b'data:"a"\n\ndata:"data:"\n\n') is None


def test_a_read_longer_than_a_frame_may_be_is_declined() -> None:
    shortcut = Shortcut(HEAD, TAIL, len(ONE), bytearray())
    assert shortcut.read(ONE) == [b"word"]
    assert shortcut.read(framed(b"words")) is None
    assert shortcut.read(ONE * 2) is None


def test_many() -> None:
    words = [b"%d" % number for number in range(1000)]
    assert fresh().read(framed(*words)) == words
    assert fresh().read(framed(*words, b"")) is None


INSIDES = st.one_of(
    st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=8).map(lambda text: dumps_text(text)[1:-1]),
    st.text(max_size=4).map(lambda text: json.dumps(text)[1:-1].encode()),
    st.binary(max_size=4),
    st.sampled_from([one for one, _ in READ] + DECLINED + [HEAD, TAIL, TAIL + HEAD, b"\n\n", b'",\n"']),
)


def slowly(texts: list[bytes]) -> list[bytes] | None:
    """The same, said plainly."""
    told = []
    for text in texts:
        try:
            string = orjson.loads(b'"' + text + b'"')
        except ValueError:
            return None
        told.append(dumps_text(string)[1:-1])
    return told if all(told) else None


@given(st.lists(INSIDES, min_size=1, max_size=5))
def test_what_is_read_is_what_a_parser_reads(texts: list[bytes]) -> None:
    """A text may hold frames itself: so many texts are there, and the law holds for them."""
    data = framed(*texts)
    apart = data[len(HEAD) : -len(TAIL)].split(TAIL + HEAD)
    read = fresh().read(data)
    assert read == slowly(apart)
    if read is not None:
        assert spoken(read) == "".join(orjson.loads(b'"%b"' % text) for text in apart)


CUT = framed(b"a", b"b", b"c")


@pytest.mark.parametrize("cut", range(len(framed(b"a")), len(CUT)))
def test_a_read_that_ends_within_a_frame_is_gone_on_with(cut: int) -> None:
    rest = bytearray()
    shortcut = Shortcut(HEAD, TAIL, MAX_FRAME, rest)
    texts = shortcut.read(CUT[:cut])
    assert texts == [b"a", b"b"][: cut // len(framed(b"a"))]
    assert rest == CUT[len(framed(*texts)) : cut]
    assert texts + (shortcut.read(CUT[cut:] + framed(b"d")) or []) == [b"a", b"b", b"c", b"d"]
    assert rest == b""


WAITING = [
    (b"", framed(b"a")[:-1]),
    (b"", framed(b"a") + HEAD + b"\r"),
    (b"", framed(b"a") + b": ping\n\n" + HEAD),
    (b"", b"\n\n" + HEAD),
    (HEAD, b"b"),
    (HEAD, b"b" + TAIL[:-1]),
    (HEAD, framed(b"b")),
    (HEAD, b'b"' + TAIL),
    (b"d", HEAD[1:] + b"b" + TAIL),
    (HEAD + b"b", TAIL + b": ping\n\n"),
]
"""What waits from an earlier read, and a read that is not gone on with."""


@pytest.mark.parametrize(("waiting", "data"), WAITING)
def test_what_is_declined_leaves_what_waits_as_it_is(waiting: bytes, data: bytes) -> None:
    rest = bytearray(waiting)
    assert Shortcut(HEAD, TAIL, MAX_FRAME, rest).read(data) is None
    assert rest == waiting


PING = b": ping\n\n"
OTHER = b"event: words\ndata: {}\n\n"
APART: list[list[bytes]] = [
    [framed(b"a")],
    [framed(b"a", b"b")],
    [PING],
    [PING + OTHER],
    [framed(b"a"), PING],
    [PING, framed(b"a")],
    [framed(b"a"), PING + OTHER, framed(b"b", b"c"), OTHER],
    [PING, framed(b"a") + ONE[:-1]],
    [framed(b"a") + HEAD[:-1]],
    [framed(b"a") + HEAD[:1]],
    [framed(b"a"), b"\n"],
    [PING, HEAD[:5]],
    [ONE[5:], framed(b"a")],
]


@pytest.mark.parametrize("parts", APART)
def test_words_and_other_things_are_taken_apart(parts: list[bytes]) -> None:
    assert fresh().apart(b"".join(parts)) == parts


def test_what_goes_on_goes_with_the_words_after_it() -> None:
    shortcut = Shortcut(HEAD, TAIL, MAX_FRAME, bytearray(ONE[:20]))
    assert shortcut.apart(ONE[20:] + ONE + PING) == [ONE[20:] + ONE, PING]
    assert shortcut.apart(ONE[20:] + PING + ONE) == [ONE[20:], PING, ONE]


@given(st.lists(st.one_of(st.sampled_from([ONE, PING, OTHER, ONE[:-1], HEAD, b"\n"]), st.binary(max_size=5))))
def test_nothing_is_lost_between_the_parts(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert b"".join(fresh().apart(data)) == data
