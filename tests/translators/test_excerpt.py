"""What may be quoted of an upstream: no secret, address, path, markup or trace, on one short line, quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.excerpt import LIMIT, clean, clean_bytes

CASES: list[tuple[str, str]] = [
    (
        "Plain words stay, with (some) punctuation: 50 % & more.",
        "Plain words stay, with (some) punctuation: 50 % & more.",
    ),
    ("two\r\nlines\tand\0NUL\x1b[31m\u2028\x85end", "two lines and NUL [31m end"),
    ("  edges  ", "edges"),
    ("", ""),
    ("<html><head><style>a{b:c}</style><script>x('</p>')</script></head><p>Hi <b>you</b></p>", "Hi you"),
    ("<SCRIPT src=x>evil()</SCRIPT >after", "after"),
    ("before<script>never closed", "before"),
    ("&lt;b&gt;bold&lt;/b&gt; &amp; &quot;q&quot; &#8212; &#x41;", 'bold & "q" — A'),
    ("&#99999999999999; &#" + "9" * 5000 + ";x", "; ;x"),
    ("&#xd800; &#0;", "\ufffd \ufffd"),
    ("see https://user:pw@internal.example:8080/v1?key=1 now", "see [address] now"),
    ("at HTTP://10.0.0.1/x, postgres://u:p@db/x and redis://cache", "at [address] [address] and [address]"),
    ("dial tcp 10.1.2.3:11434: refused", "dial tcp [address]: refused"),
    ("Authorization: Bearer abcdef123456.x-y_z", "Authorization: Bearer [secret]"),
    ("Basic dXNlcjpwYXNzd29yZA==", "Basic [secret]"),
    ("Incorrect API key provided: sk-proj-abcd********wxyz.", "Incorrect API key provided: [secret]"),
    ("pat_abcdefghijklmnop and gsk_ABCDEFGHIJKLMNOP", "[secret] and [secret]"),
    ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
    ("AIzaSyA-1234567890abcdefg", "[secret]"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "token [secret]"),
    (
        "api_key=hunter22 password: 'hunter22' secret:hunter22",
        "api_key=[secret] password: '[secret]' secret:[secret]",
    ),
    (
        "The secret api_key: hunter22, the maximum token length",
        "The secret api_key: [secret], the maximum token length",
    ),
    ("File /usr/lib/python3/x.py and /v1/chat stay apart", "File [path] and /v1/chat stay apart"),
    ("Boom Traceback (most recent call last):\n  File x, line 1\nKeyError", "Boom"),
    ("\ud83dhalf", "half"),
    (
        "KeyboardInterrupted patternmatching application approximately",
        "KeyboardInterrupted patternmatching application approximately",
    ),
]


@pytest.mark.parametrize(("said", "shown"), CASES, ids=[case[0][:30] for case in CASES])
def test_cleaned(said: str, shown: str) -> None:
    assert clean(said) == shown


def test_short() -> None:
    assert clean("x" * LIMIT) == "x" * LIMIT
    assert clean("x" * (LIMIT + 1)) == "x" * (LIMIT - 1) + "…"
    assert clean("word " * 50, 21) == "word word word word…"
    assert clean_bytes(b"caf\xc3\xa9 \xff" + b"x" * 1_000_000, 10) == "café \ufffdxxx…"


CANARY = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "before", ["Bearer ", "sk-", "api_key: ", "secret=", "https://x:", "AKIA", "token='"]
)
@given(prefix=st.text(max_size=20), suffix=st.text(max_size=20))
def test_a_planted_secret_is_never_shown(before: str, prefix: str, suffix: str) -> None:
    assert CANARY not in clean(f"{prefix} {before}{CANARY} {suffix}")


@given(st.text(st.characters(exclude_categories=()), max_size=400), st.integers(1, 300))
def test_any_text_gives_one_short_printable_line(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode()


HOSTILE = [
    "<",
    "<script",
    "<script>",
    "</script ",
    "<script>x</script ",
    "<style ",
    "<a ",
    "&",
    "&#",
    "&#9",
    "&lt;",
    "&lt",
    "http://",
    "https",
    "bearer ",
    "bearer\t",
    "basic  ",
    "sk-",
    "sk-a",
    "key-key-",
    "api_key=",
    "token",
    "token'",
    "1.",
    "1.1.1.",
    "255.255.255.255",
    "/a",
    "/a/",
    "a/",
    "//",
    "/" + "a" * 50,
    " ",
    "\0",
    "\n",
    "Traceback (most recent call last)",
    "eyJ",
    "\u2028",
    "é",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_a_megabyte_of_anything_takes_as_long_as_what_is_looked_at(piece: str) -> None:
    """Only a bounded beginning is read, and no pattern goes over it again and again."""
    text = piece * (1_000_000 // len(piece))
    raw = text.encode()

    def seconds() -> float:
        started = time.process_time()
        clean(text)
        clean_bytes(raw)
        return time.process_time() - started

    assert min(seconds() for _ in range(3)) < 0.25
