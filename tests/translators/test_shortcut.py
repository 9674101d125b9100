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


def whole(data: bytes, shortcut: Shortcut | None = None) -> list[bytes] | None:
    """The texts, if ``data`` is made of nothing else."""
    texts, end = (shortcut or fresh()).read(data)
    assert 0 < end <= len(data)
    return texts if end == len(data) else None


def in_turn(shortcut: Shortcut, data: bytes) -> list[bytes | list[bytes]]:
    """What is read, and what is not."""
    parts: list[bytes | list[bytes]] = []
    while data:
        texts, end = shortcut.read(data)
        assert end > 0
        parts.append(data[:end] if texts is None else texts)
        data = data[end:]
    return parts


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
    assert whole(framed(sent)) == [told]
    assert whole(framed(b"a", sent, sent)) == [b"a", told, told]
    assert told == dumps_text(orjson.loads(b'"%b"' % sent))[1:-1]


@pytest.mark.parametrize("sent", DECLINED)
def test_texts_that_are_declined(sent: bytes) -> None:
    assert whole(framed(sent)) is None
    assert whole(framed(b"a", sent)) is None
    assert whole(framed(sent, b"a")) is None
    assert whole(framed("é".encode(), sent, b"a")) is None
    assert whole(framed(rb"\n", sent, b"a")) is None


TORN = [(b"\xe6", b"\x95\xb0"), (rb"\ud83d", rb"\ude00"), (b"\\", b'"'), (b"a\\", rb",\"x"), (b'"', b'"')]


@pytest.mark.parametrize(("first", "second"), TORN)
def test_texts_that_are_whole_only_together_are_declined(first: bytes, second: bytes) -> None:
    assert whole(framed(first, second)) is None
    assert whole(framed(b"a", first, second, b"b")) is None


ONE = framed(b"word")
PING = b": ping\n\n"
OTHER = b"event: words\ndata: {}\n\n"
LIKE = ONE.replace(b"words", b"other")
"""With the end of words, but not their beginning."""
ELSE = ONE.replace(b'"id":1', b'"id":2')
"""With both, but something else between the two."""
UNLIKE = ONE.replace(b"[2]", b"[3]")
"""With their beginning."""
STRANGE = [
    b"\n",
    HEAD,
    HEAD[:5],
    TAIL,
    HEAD + TAIL[1:],
    HEAD[:-1] + TAIL,
    ONE[:-1],
    ONE[1:],
    b"\n" + ONE,
    PING,
    LIKE,
    UNLIKE,
    ELSE,
    OTHER,
    ONE.replace(b"\n", b"\r\n"),
    ONE.replace(b"\n", b"\r"),
    ONE.replace(b'"word"', b"null"),
    framed(b"event: words\ndata: x")[:-1],
    ONE[:-1] + ONE,
]


@pytest.mark.parametrize("data", STRANGE)
def test_other_data_is_declined(data: bytes) -> None:
    assert whole(data) is None


MIXED: list[list[bytes | list[bytes]]] = [
    [[b"word"], PING],
    [PING, [b"word"]],
    [PING + PING + OTHER, [b"word"]],
    [[b"word"], PING, [b"word", b"word"], OTHER + PING, [b"word"]],
    [LIKE, [b"word"]],
    [UNLIKE, [b"word"]],
    [UNLIKE + LIKE, [b"word"], UNLIKE],
    [[b"word"], LIKE, [b"word", b"word"]],
    [[b"word"], ELSE, [b"word", b"word"], ELSE, UNLIKE + ELSE, [b"word"]],
    [ELSE + PING, [b"word"], ELSE],
    [[b"word"], LIKE, [b"word"], PING + LIKE, [b"word"]],
    [[b"word", b"word"], UNLIKE, [b"word"], UNLIKE],
    [[b"word"], OTHER, [b"word"], ONE.replace(b'"word"', b"null"), [b"word"]],
    [[b"word"], b"\n\n", [b"word"]],
    [[b"word"], ONE.replace(b"\n", b"\r\n")],
    [[b"word"], HEAD + b"\r"],
    [framed(b"a", b'"'), PING, [b"word"]],
    [framed(b"", b"a"), PING, [b"word"]],
    [[b"word"], framed(b"\n"), [b"word"]],
]
"""Words, and what is none, in turn."""


@pytest.mark.parametrize("parts", MIXED)
def test_words_are_read_up_to_something_else_and_from_after_it(parts: list[bytes | list[bytes]]) -> None:
    data = b"".join(part if isinstance(part, bytes) else framed(*part) for part in parts)
    assert in_turn(fresh(), data) == parts


def test_what_ends_like_words_does_not_hide_what_stands_before_its_end() -> None:
    assert whole(ONE + LIKE) is None
    assert whole(ONE + LIKE + ONE) is None
    assert whole(ONE + PING + LIKE + ONE) is None


def test_a_head_and_a_tail_that_overlap_are_not_a_frame() -> None:
    shortcut = Shortcut(b'data: ""', b'""\n\n', MAX_FRAME, bytearray())
    assert whole(b'data: ""\n\n', shortcut) is None
    assert whole(b'data: "x"\n\n', shortcut) is None
    assert whole(b'data: ""x""\n\n', shortcut) == [b"x"]


def test_a_head_may_be_short() -> None:
    shortcut = Shortcut(b'data:"', b'"\n\n', MAX_FRAME, bytearray())
    assert whole(b'data:"a"\n\ndata:"b"\n\n', shortcut) == [b"a", b"b"]
    assert whole(b'data:"a"\n\ndata:"data:"\n\n', shortcut) is None


def test_a_read_longer_than_a_frame_may_be_is_declined() -> None:
    shortcut = Shortcut(HEAD, TAIL, len(ONE), bytearray())
    assert whole(ONE, shortcut) == [b"word"]
    assert whole(framed(b"words"), shortcut) is None
    assert whole(ONE * 2, shortcut) is None


def test_texts_longer_than_is_allowed_are_declined() -> None:
    shortcut = Shortcut(HEAD, TAIL, MAX_FRAME, bytearray(), longest=4)
    assert whole(ONE, shortcut) == [b"word"]
    assert whole(ONE * 3, shortcut) == [b"word"] * 3
    assert whole(framed(b"words"), shortcut) is None
    assert whole(framed(b"a", b"words"), shortcut) is None
    assert whole(framed("éée".encode()), shortcut) is None


def test_many() -> None:
    words = [b"%d" % number for number in range(1000)]
    assert whole(framed(*words)) == words
    assert whole(framed(*words, b"")) is None


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
    """A text may hold frames itself: so many texts are there, and the law holds for them. Or it may hold the end of
    one and something else."""
    data = framed(*texts)
    apart = data[len(HEAD) : -len(TAIL)].split(TAIL + HEAD)
    read, end = fresh().read(data)
    if end == len(data):
        assert read == slowly(apart)
    elif read is not None:
        assert read == slowly(data[len(HEAD) : end - len(TAIL)].split(TAIL + HEAD))
    if read is not None:
        assert spoken(read) == "".join(map(orjson.loads, (b'"%b"' % text for text in read)))


CUT = framed(b"a", b"b", b"c")


@pytest.mark.parametrize("cut", range(len(framed(b"a")), len(CUT)))
def test_a_read_that_ends_within_a_frame_is_gone_on_with(cut: int) -> None:
    rest = bytearray()
    shortcut = Shortcut(HEAD, TAIL, MAX_FRAME, rest)
    texts = whole(CUT[:cut], shortcut)
    assert texts == [b"a", b"b"][: cut // len(framed(b"a"))]
    assert rest == CUT[len(framed(*texts)) : cut]
    assert texts + (whole(CUT[cut:] + framed(b"d"), shortcut) or []) == [b"a", b"b", b"c", b"d"]
    assert rest == b""


def test_a_line_end_too_many_goes_with_the_words_before_it() -> None:
    rest = bytearray()
    assert whole(ONE + b"\n", Shortcut(HEAD, TAIL, MAX_FRAME, rest)) == [b"word"]
    assert rest == b"\n"


WAITING: list[tuple[bytes, bytes, int]] = [
    (b"", ONE[:-1], len(ONE) - 1),
    (b"", b"\n\n" + HEAD, 2),
    (HEAD, b"b", 1),
    (HEAD, b"b" + TAIL[:-1], len(TAIL)),
    (HEAD, ONE, len(ONE)),
    (HEAD, ONE + ONE, len(ONE)),
    (HEAD, b'b"' + TAIL, len(TAIL) + 2),
    (b"d", HEAD[1:] + b"b" + TAIL + ONE, len(HEAD) + len(TAIL)),
    (HEAD + b"b" + TAIL[:-1], b": ping\n\n" + ONE, len(PING)),
    (b"\n", b"\n" + ONE, 1),
    (b"\n", ONE, len(ONE)),
]
"""What waits from an earlier read, a read that is not gone on with, and what of it is declined."""


@pytest.mark.parametrize(("waiting", "data", "end"), WAITING)
def test_what_is_declined_leaves_what_waits_as_it_is(waiting: bytes, data: bytes, end: int) -> None:
    rest = bytearray(waiting)
    assert Shortcut(HEAD, TAIL, MAX_FRAME, rest).read(data) == (None, end)
    assert rest == waiting


def test_what_waits_is_used_up_by_the_words_that_it_begins() -> None:
    rest = bytearray(ONE[:20])
    shortcut = Shortcut(HEAD, TAIL, MAX_FRAME, rest)
    assert shortcut.read(ONE[20:] + PING + ONE) == ([b"word"], len(ONE) - 20)
    assert rest == b""


PIECES = st.one_of(
    st.sampled_from([ONE, ONE, PING, OTHER, LIKE, UNLIKE, ELSE, ONE[:-1], HEAD, b"\n"]), st.binary(max_size=5)
)


@given(st.lists(PIECES))
def test_nothing_is_lost_or_read_that_is_not_there(pieces: list[bytes]) -> None:
    data, rest = b"".join(pieces), bytearray()
    parts = in_turn(Shortcut(HEAD, TAIL, MAX_FRAME, rest), data)
    assert b"".join(part if isinstance(part, bytes) else framed(*part) for part in parts) + rest == data
