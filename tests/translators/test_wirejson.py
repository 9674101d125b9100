"""JSON in and out without loss: wide integers, half pairs, bytes that are no UTF-8, line separators, depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators import wirejson

BIG = 12345678901234567890123
READ: list[tuple[bytes, Any]] = [
    (b'{"a":1}', {"a": 1}),
    (b"18446744073709551615", 2**64 - 1),
    (b"18446744073709551616", 2**64),
    (b"-9223372036854775808", -(2**63)),
    (b"-9223372036854775809", -(2**63) - 1),
    (b"-9999999999999999999", -9999999999999999999),
    (b"1" * 4000, int("1" * 4000)),
    (b'{"a":"99999999999999999999"}', {"a": "9" * 20}),
    (b'"\\ud83d"', "\ud83d"),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'["\\ude00\\ud83d"]', ["\ude00\ud83d"]),
    (b'"caf\xe9"', "caf\ufffd"),
    (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),
    (b"1e22", 1e22),
    (b"123456789012345678901e-10", 12345678901.23456789),
    (b'{"a":0.1234567890123456789}', {"a": 0.1234567890123456789}),
    (b'{"a":0.1234567890123456789,"b":12345678901234567890123}', {"a": 0.1234567890123456789, "b": BIG}),
    (b'{"a":"x12345678901234567890123"}', {"a": "x12345678901234567890123"}),
    (b'{"a":"x12345678901234567890123","b":12345678901234567890123}', {"a": f"x{BIG}", "b": BIG}),
    (b"[" * 200 + b"]" * 200, None),
]


@pytest.mark.parametrize(("data", "document"), READ, ids=[repr(row[0][:30]) for row in READ])
def test_loads(data: bytes, document: Any) -> None:
    assert wirejson.loads(data) == (document if document is not None else json.loads(data))


REFUSED = [
    b"",
    b" ",
    b"{",
    b"nul",
    b"NaN",
    b"[Infinity]",
    b"-Infinity",
    b"1e400",
    b"-1e400",
    b"[1e400,18446744073709551616]",
    b"[NaN,18446744073709551616]",
    b"\xef\xbb\xbf{}",
    b"{}{}",
    b'"\n"',
    b"1" * 5000,
    b"[" * 100_000,
    b"[" * 201 + b"]" * 201,
    b'{"a":' * 201 + b"1" + b"}" * 201,
    b"[" * 1000 + b"]" * 1000,
    b"[" * 5000 + b"]" * 5000,
    b"[18446744073709551616," + b"[" * 900 + b"]" * 901,
    b"\xff" + b"[" * 5000 + b"]" * 5000,
]


@pytest.mark.parametrize("data", REFUSED, ids=[repr(row[:30]) for row in REFUSED])
def test_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        wirejson.loads(data)


def test_many_brackets_are_not_depth() -> None:
    assert len(wirejson.loads(b"[" + b"[{}]," * 500 + b"[]]")) == 501


WRITTEN: list[tuple[Any, bytes]] = [
    ({"a": [1, None, True, 0.5]}, b'{"a":[1,null,true,0.5]}'),
    (2**64, b"18446744073709551616"),
    ({"a": 2**70, "b": "é\u2028"}, '{"a":1180591620717411303424,"b":"é\\u2028"}'.encode()),
    ("\ud83d", '"\ufffd"'.encode()),
    (["\ud83dx", {"\ude00": 1}], '["\ufffdx",{"\ufffd":1}]'.encode()),
    ("a\u2028b\u2029c\u0085d", b'"a\\u2028b\\u2029c\\u0085d"'),
    ("\u2027\u202a\u00a0", '"\u2027\u202a\u00a0"'.encode()),
    ("\r\n\0\x7f", b'"\\r\\n\\u0000\x7f"'),
]


@pytest.mark.parametrize(("document", "out"), WRITTEN, ids=[repr(row[1][:30]) for row in WRITTEN])
def test_dumps(document: Any, out: bytes) -> None:
    assert wirejson.dumps(document) == out
    if isinstance(document, str):
        assert wirejson.dumps_text(document) == out


def test_what_cannot_be_written_is_a_value_error() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for document in (deep, [2**64, float("inf")]):
        with pytest.raises(ValueError):
            wirejson.dumps(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_what_is_read_is_what_was_written(document: Any) -> None:
    out = wirejson.dumps(document)
    assert json.loads(out) == document == wirejson.loads(out)
    assert len(out.decode().splitlines()) == 1
    assert wirejson.loads(json.dumps(document).encode()) == document


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_one_line_of_utf8(text: str) -> None:
    for out in (wirejson.dumps_text(text), wirejson.dumps([text, 2**64])):
        assert len(out.decode().splitlines()) == 1
        said = wirejson.loads(out)
        (said if type(said) is str else said[0]).encode()


@given(st.binary())
def test_what_can_be_read_can_be_written(data: bytes) -> None:
    for candidate in (data, b'["' + data + b'"]', b"[" + data + b"]"):
        try:
            document = wirejson.loads(candidate)
        except ValueError:
            continue
        wirejson.dumps(document)
