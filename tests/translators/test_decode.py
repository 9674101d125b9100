"""Reading request bodies: what is refused, in which words, and at what cost.

Bombs are compared with the time that a harmless body of the same size takes, not with a clock.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.decode import MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES, decode, kind
from translators.errors import BadRequest

UNREADABLE = "We could not parse the JSON body of your request: "
MIB = 1 << 20

REFUSED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "has no body"),
    ("blank", b" \r\n\t", "has no body"),
    ("words", b"hello", UNREADABLE),
    ("cut", b'{"a":', UNREADABLE),
    ("two documents", b"{}{}", UNREADABLE),
    ("NaN", b'{"a":NaN}', UNREADABLE),
    ("Infinity", b'{"a":-Infinity}', UNREADABLE),
    ("too large for a float", b'{"a":1e400}', UNREADABLE),
    ("half a pair", b'{"a":"\\ud83d"}', UNREADABLE),
    ("the other half", b'{"a":"\\ude00"}', UNREADABLE),
    ("BOM", b"\xef\xbb\xbf{}", UNREADABLE),
    ("not UTF-8", b'{"a":"\xff"}', UNREADABLE),
    ("overlong UTF-8", b'{"a":"\xc0\xaf"}', UNREADABLE),
    ("UTF-16", '{"a":1}'.encode("utf-16"), UNREADABLE),
    ("raw control character", b'{"a":"\n"}', UNREADABLE),
    ("single quotes", b"{'a':1}", UNREADABLE),
    ("trailing comma", b'{"a":1,}', UNREADABLE),
    ("comment", b'{"a":1} // x', UNREADABLE),
    ("array", b"[]", "must be a JSON object, not an array"),
    ("string", b'"x"', "not a string"),
    ("integer", b"1", "not an integer"),
    ("number", b"1.5", "not a number"),
    ("boolean", b"true", "not a boolean"),
    ("null", b"null", "not null"),
    ("wide", b'{"a":18446744073709551616}', "The integer 18446744073709551616… is too large"),
    ("wide, negative", b'{"a":-9223372036854775809}', "The integer -9223372036854775809… is too large"),
    ("very wide", b'{"a":' + b"9" * 5000 + b"}", "is too large"),
    ("wide in an array after a string", b'{"a":["\\"1\\\\",99999999999999999999]}', "is too large"),
    ("deep", b'{"a":' * 101 + b"1" + b"}" * 101, f"more than {MAX_DEPTH} levels deep"),
    ("deep array", b'{"a":' + b"[" * 100_000 + b"}", f"more than {MAX_CONTAINERS} objects and arrays"),
    ("deep and unfinished", b'{"a":' + b"[" * 2000, f"more than {MAX_DEPTH} levels deep"),
    (
        "wide array",
        b'{"a":[' + b"[]," * MAX_CONTAINERS + b"[]]}",
        f"more than {MAX_CONTAINERS} objects and arrays",
    ),
    ("more ends than beginnings", b"[]" * 101 + b"]" * 200, UNREADABLE),
    ("many values", b'{"a":[' + b"1," * (MAX_VALUES + 1) + b"1]}", f"more than {MAX_VALUES} values"),
    ("many strings", b'{"a":[' + b'"",' * (4 * MAX_VALUES) + b'""]}', f"more than {MAX_VALUES} values"),
]


@pytest.mark.parametrize(("raw", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(raw: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(raw)
    assert words in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.code == ("invalid_value" if "too large" in words else None)
    assert caught.value.param is None


READ: list[tuple[str, bytes, dict[str, Any]]] = [
    ("empty", b" {} ", {}),
    ("the last key wins", b'{"a":1,"a":2}', {"a": 2}),
    ("the widest", b'{"a":[18446744073709551615,-9223372036854775808]}', {"a": [2**64 - 1, -(2**63)]}),
    ("digits in a string", b'{"a":"' + b"9" * 100 + b'"}', {"a": "9" * 100}),
    ("digits in a key", b'{"' + b"9" * 30 + b'":1}', {"9" * 30: 1}),
    (
        "digits after an escaped quote",
        b'{"a":"\\"99999999999999999999","b":1}',
        {"a": '"99999999999999999999', "b": 1},
    ),
    ("digits after a backslash", b'{"a":"\\\\","b":"99999999999999999999"}', {"a": "\\", "b": "9" * 20}),
    ("a long fraction", b'{"a":0.33333333333333333333333}', {"a": 1 / 3}),
    ("a long float", b'{"a":10000000000000000000000.0,"b":100000000000000000000e1}', {"a": 1e22, "b": 1e21}),
    ("a pair", b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    ("NUL", b'{"a":"\\u0000"}', {"a": "\0"}),
    ("brackets in strings", b'{"a":"' + b"[{" * 60_000 + b'"}', {"a": "[{" * 60_000}),
    ("commas in strings", b'{"a":"' + b"," * (2 * MAX_VALUES) + b'"}', {"a": "," * (2 * MAX_VALUES)}),
    ("escaped quotes", b'{"a":"' + b'\\"[' * 1000 + b'"}', {"a": '"[' * 1000}),
]


@pytest.mark.parametrize(("raw", "document"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_read(raw: bytes, document: dict[str, Any]) -> None:
    assert decode(raw) == document


def test_limits_are_met_exactly() -> None:
    inner = MAX_DEPTH - 1
    assert decode(b'{"a":' + b"[" * inner + b"]" * inner + b',"b":[[],[]]}')["b"] == [[], []]
    assert len(decode(b'{"a":[' + b"[]," * (MAX_CONTAINERS - 3) + b"[]]}")["a"]) == MAX_CONTAINERS - 2
    assert len(decode(b'{"a":[' + b"1," * MAX_VALUES + b"1]}")["a"]) == MAX_VALUES + 1


BOMBS: dict[str, bytes] = {
    "deep": b'{"a":' + b"[" * (10 * MIB),
    "ends": b"[]" * 101 + b"]" * (10 * MIB),
    "wide": b'{"a":[' + b"{}," * (3 * MIB) + b"{}]}",
    "values": b'{"a":[' + b"1," * (5 * MIB) + b"1]}",
    "strings": b'{"a":[' + b'"",' * (3 * MIB) + b'""]}',
    "quotes": b"99999999999999999999" + b'"' * (10 * MIB),
    "string of brackets": b'{"a":"' + b"[{" * (5 * MIB) + b'"}',
    "string of escaped quotes": b'{"a":"' + b'\\"' * (5 * MIB) + b'"}',
    "string of backslashes": b'{"a":"' + b"\\\\" * (5 * MIB) + b'"}',
    "open string": b'{"a":[[' + b'"[' * (5 * MIB),
}


def seconds(raw: bytes) -> float:
    started = time.process_time()
    with suppress(BadRequest):
        decode(raw)
    return time.process_time() - started


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_than_passes_over_its_bytes(name: str) -> None:
    """Ten MiB of hostile structure against thirty passes over ten MiB: building it would cost hundreds."""
    raw = BOMBS[name]

    def passes() -> float:
        started = time.process_time()
        for _ in range(30):
            raw.translate(None, b"\1")
        return time.process_time() - started

    assert min(seconds(raw) for _ in range(2)) < max(passes() for _ in range(2))


@pytest.mark.parametrize("value", [object(), b"x", (1,)])
def test_kind_of_what_json_does_not_have(value: object) -> None:
    assert kind(value) == "an unknown value"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


BODIES = st.one_of(
    st.binary(),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.text(), JSON).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ),
)


@given(BODIES)
def test_any_bytes_are_an_object_or_a_bad_request(raw: bytes) -> None:
    try:
        document = decode(raw)
    except BadRequest as error:
        assert error.status == 400
        assert error.message.endswith(".")
    else:
        assert document == json.loads(raw)
