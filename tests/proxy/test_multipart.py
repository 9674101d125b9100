"""The reader of forms: every way of cutting gives the same parts, and what is no form is refused in bounds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routes.multipart import (
    LONGEST_HEAD,
    LONGEST_PREAMBLE,
    MOST_PARTS,
    End,
    Head,
    Multipart,
    boundary_of,
)
from tests.support.split import check_every_split, partitions
from translators.errors import BadRequest


def read(parts: Iterable[bytes], boundary: bytes = b"b") -> list[tuple[Head, bytes]] | str:
    """The parts of a form, or what is wrong with it."""
    reader = Multipart(boundary)
    found: list[tuple[Head, bytearray]] = []
    ended = False
    try:
        for piece in [*parts, b""]:
            for event in reader.feed(piece):
                assert not ended, "nothing follows the end"
                if isinstance(event, Head):
                    found.append((event, bytearray()))
                elif isinstance(event, End):
                    ended = True
                else:
                    assert event, "nobody is told of nothing"
                    found[-1][1].extend(event)
        reader.close()
    except BadRequest as error:
        return error.message
    assert ended
    return [(head, bytes(data)) for head, data in found]


def part(disposition: str, data: bytes = b"", *lines: str) -> bytes:
    head = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *lines))
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


FORM = (
    part('name="purpose"', b"user_data")
    + part('name="file"; filename="a.txt"', b"line\r\n--\r\n--a\r\n-\r--b \n\r\n", "Content-Type: text/plain")
    + part('name="empty"')
    + b"--b--\r\n"
)
PARTS = [
    (Head("purpose"), b"user_data"),
    (Head("file", "a.txt", "text/plain"), b"line\r\n--\r\n--a\r\n-\r--b \n\r\n"),
    (Head("empty"), b""),
]


def test_a_form_is_read_however_it_is_cut():
    assert check_every_split(read, FORM) == PARTS


@given(partitions(FORM))
def test_a_form_is_read_in_any_pieces(parts: Sequence[bytes]):
    assert read(parts) == PARTS


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--b--",
        b"--b--\r\n",
        b"a preamble\r\n--b--\r\nand an epilogue",
        b"--b \t \r\nContent-Disposition: form-data; name=x\r\n\r\nvalue\r\n--b--",
        part('name="x"', b"\r\n") + b"--b--",
        part('name="x"', b"\r\n--") + b"--b--",
        part('name="x"', b"\r\n--b"[:-1]) + b"--b--",
        part('name="x"', b"--b") + b"--b--",
        part('name="x"', b"\r\r\n\r\n\r") + b"--b--",
        b"--b\r\n\r\nno head at all\r\n--b--",
        b"--b\r\nnonsense\r\n\r\n\r\n--b--",
        b"--b\r\n: x\r\n\r\n\r\n--b--",
        b"--bb\r\n",
        b"--b-\r\n",
        b"--b\rx",
        b"--bx--",
        part('name="x"', b"y"),
        part('name="x"', b"\r\n--bc") + b"--b--",
        b"Content-Disposition: form-data; name=x\r\n\r\nvalue",
        part('nom="x"') + b"--b--",
        b"--b\r\nContent-Disposition: attachment; name=x\r\n\r\n\r\n--b--",
        part('name="x"', b"eA==", "Content-Transfer-Encoding: base64") + b"--b--",
        part('name="x"', b"x", "Content-Transfer-Encoding: Binary") + b"--b--",
    ],
)
def test_whatever_it_is_it_is_the_same_however_it_is_cut(form: bytes):
    check_every_split(read, form)


@pytest.mark.parametrize("form", [FORM, b"--b--", b"x\r\n" + FORM])
def test_a_form_that_breaks_off_anywhere_is_not_complete(form: bytes):
    end = form.rindex(b"--b--") + len(b"--b--")
    for stop in range(end):
        assert isinstance(read([form[:stop]]), str), stop
    for stop in range(end, len(form) + 1):
        assert isinstance(read([form[:stop]]), list), stop


@pytest.mark.parametrize("data", [b"x--b", b"\r\n--", b"\r\n--a", b"\r", b"\r\n", b"\r\n\r\n", b"--", b"-"])
def test_content_may_look_like_a_boundary(data: bytes):
    form = part('name="x"', data) + b"--b--"
    assert check_every_split(read, form) == [(Head("x"), data)]


@given(st.binary(max_size=200), st.binary(max_size=60))
@settings(max_examples=200)
def test_any_content_comes_through(first: bytes, second: bytes):
    boundary = b"boundary0123456789"
    form = b""
    for number, data in enumerate((first, second)):
        form += b'--%b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n%b\r\n' % (boundary, number, data)
    form += b"--%b--\r\n" % boundary
    expected = [(Head("0"), first), (Head("1"), second)]
    assert read([form], boundary) == expected
    assert read([form[at : at + 7] for at in range(0, len(form), 7)], boundary) == expected


ALPHABET = [b"\r", b"\n", b"-", b"--", b"b", b"\r\n--b", b"\r\n", b"x", b": ", b'name="x"', b";"]
TOKENS = st.lists(st.sampled_from([*ALPHABET, part('name="x"')]), max_size=30).map(b"".join)


@given(TOKENS.flatmap(lambda form: st.tuples(st.just(form), partitions(form))))
@settings(max_examples=300)
def test_garbage_is_refused_in_the_same_words_or_read_the_same(garbage: tuple[bytes, list[bytes]]):
    whole, parts = garbage
    assert read(parts) == read([whole])


NAMES = [
    ('filename="a.txt"', "a.txt"),
    ("filename=a.txt", "a.txt"),
    ('filename=""', ""),
    ("filename=", ""),
    ('filename="häagen 🍦.txt"', "häagen 🍦.txt"),
    ('filename="../../etc/passwd"', "../../etc/passwd"),
    ('filename="C:\\dir\\file"', "C:\\dir\\file"),
    ('filename="say \\"hi\\" \\\\ there"', 'say "hi" \\ there'),
    ('filename="say %22hi%22"', 'say "hi"'),
    ('filename="100%25.txt"', "100%25.txt"),
    ('filename="a;b=c.txt"', "a;b=c.txt"),
    ("filename*=UTF-8''na%C3%AFve%20file.txt", "naïve file.txt"),
    ("filename*=utf-8'en'x", "x"),
    ("filename*=iso-8859-1''%e9", "é"),
    ("filename=\"plain\"; filename*=UTF-8''f%C3%BCll", "füll"),
    ("filename*=UTF-8''f%C3%BCll; filename=plain", "füll"),
    ("filename=\"plain\"; filename*=koi8-r''%c1", "plain"),
    ("filename*=UTF-8''%ff", "\ufffd"),
    ('FileName="a"', "a"),
    ('filename = "a"', "a"),
    ('filename="first"; filename="second"', "first"),
    ('filename="' + "n" * 4000 + '"', "n" * 4000),
]


@pytest.mark.parametrize(("told", "expected"), NAMES, ids=[told[:40] for told, _ in NAMES])
def test_the_name_of_a_file(told: str, expected: str):
    for disposition in (f'name="file"; {told}', f'{told}; name="file"'):
        assert read([part(disposition) + b"--b--"]) == [(Head("file", expected), b"")]


def test_a_name_that_is_no_utf_8_is_read_as_far_as_it_goes():
    form = b'--b\r\nContent-Disposition: form-data; name="x"; filename="a\xff\xfe.txt"\r\n\r\n\r\n--b--'
    assert read([form]) == [(Head("x", "a\ufffd\ufffd.txt"), b"")]


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b:c"', b"a b:c"),
        ("Multipart/Form-Data;BOUNDARY=----WebKit'()+_,./:=?", b"----WebKit'()+_,./:=?"),
        ("multipart/form-data; charset=utf-8; boundary=x; other=y", b"x"),
        ("multipart/form-data; boundary=" + "a" * 70, b"a" * 70),
        ("multipart/form-data; boundary=" + "-" * 70, b"-" * 70),
    ],
)
def test_a_boundary(header: str, boundary: bytes):
    assert boundary_of(header) == boundary


@pytest.mark.parametrize(
    "header",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "a" * 71,
        'multipart/form-data; boundary="a "',
        'multipart/form-data; boundary="a\r\nb"',
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=a\\b",
        "multipart/mixed; boundary=abc",
        "application/json; boundary=abc",
        "text/plain",
        "multipart/form-data; xboundary=abc",
        ";" * 8000,
        "multipart/form-data" + "; " * 4000,
    ],
)
def test_what_is_no_boundary(header: str):
    began = time.perf_counter()
    with pytest.raises(BadRequest):
        boundary_of(header)
    assert time.perf_counter() - began < 0.5


def test_there_are_bounds():
    one = part('name="x"')
    assert len(read([one * MOST_PARTS + b"--b--"])) == MOST_PARTS
    assert "parts" in read([one * (MOST_PARTS + 1) + b"--b--"])

    long = "X: " + "y" * (LONGEST_HEAD - 3 - len("\r\nContent-Disposition: form-data; name=x\r\n"))
    assert isinstance(
        read([f"--b\r\n{long}\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n--b--".encode()]), list
    )
    assert "head" in read([b"--b\r\n" + b"y" * (LONGEST_HEAD + 1)])
    assert "head" in read([b"--b\r\n" + b"y" * LONGEST_HEAD, b"y", b"\r\n\r\n"])

    assert isinstance(read([b"y" * (LONGEST_PREAMBLE - 2) + b"\r\n" + FORM]), list)
    for end in (b"", FORM):
        assert "around" in read([b"y" * (LONGEST_PREAMBLE + 1) + b"\r\n" + end])
        assert "around" in read([*[b"y"] * (LONGEST_PREAMBLE + 1), end])
    assert isinstance(read([FORM + b"y" * (LONGEST_PREAMBLE - 2)]), list)
    assert "around" in read([FORM, *[b"y" * 1000] * 5])
    assert "behind a boundary" in read([b"--b" + b" " * 65 + b"\r\n"])
    assert "behind a boundary" in read([b"--b", *[b" "] * 65])


def test_little_is_held_back():
    reader = Multipart(b"b" * 70)
    reader.feed(b"--" + b"b" * 70 + b"\r\nContent-Disposition: form-data; name=x\r\n\r\n")
    for piece in (b"x" * 10_000, b"\r" * 10_000, b"\r\n--" * 10_000, (b"\r\n--" + b"b" * 69) * 1000):
        reader.feed(piece)
        assert len(reader._buffer) < 74 + 2


NEAR = [
    b"-" * (1 << 20),
    b"\r" * (1 << 20),
    b"\r\n" * (1 << 19),
    b"\r\n-" * 350_000,
    b"\r\n--" * (1 << 18),
    (b"\r\n--" + b"-" * 69) * 14_000,
    (b"\r\n--" + b"-" * 69 + b"\r") * 14_000,
]


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
@pytest.mark.parametrize("data", NEAR, ids=range(len(NEAR)))
def test_what_is_nearly_a_boundary_costs_no_more(data: bytes, size: int):
    """About a megabyte each; T21 asks for less than 50 ms of it."""
    boundary = b"-" * 70
    reader = Multipart(boundary)
    reader.feed(b"--" + boundary + b"\r\nContent-Disposition: form-data; name=x\r\n\r\nx")
    began = time.process_time()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    assert time.process_time() - began < 0.05


def test_a_trickle_costs_no_more_than_its_bytes():
    reader = Multipart(b"-" * 70)
    began = time.process_time()
    for byte in b"--" + b"-" * 70 + b"\r\n" + b"x" * (LONGEST_HEAD - 10):
        reader.feed(bytes([byte]))
    assert time.process_time() - began < 0.5


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, len(FORM) - 1), st.integers(0, 4), st.sampled_from([b"", *ALPHABET, b"\0", b"\xff"])
    ),
    min_size=1,
    max_size=6,
)


@given(MUTATIONS)
@settings(max_examples=500)
def test_a_form_that_was_damaged_is_refused_or_read_however_it_is_cut(damage: list[tuple[int, int, bytes]]):
    form = FORM
    for place, length, instead in damage:
        form = form[:place] + instead + form[place + length :]
    whole = read([form])
    assert read([form[at : at + 1] for at in range(len(form))]) == whole
    assert read([form[at : at + 13] for at in range(0, len(form), 13)]) == whole
