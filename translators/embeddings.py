"""Vectors of texts: the request, checked once, and an answer of the OpenAI dialect, retold.

``Embed`` keeps the body as the client sent it, for an OpenAI-shaped upstream gets all of it. An answer is retold
vector by vector, because two thousand of them are tens of megabytes that nobody may parse in one breath: a short
answer is read as a whole, a long one is cut at its items. Each vector leaves in the form the client asked for,
numbers or base64 of little-endian 32-bit floats, whichever the upstream speaks. The model is the client's name.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
from attrs import frozen

from translators import wirejson
from translators.checks import (
    LARGEST,
    Check,
    Schema,
    empty_array,
    integer,
    missing,
    model_name,
    no_model,
    object_schema,
    one_of,
    says,
    string,
    wrong,
    wrong_type,
)
from translators.errors import UpstreamMalformed

MOST_INPUTS = 2048
LONG = 256 * 1024
"""Bytes of an answer that may be read in one breath."""
PER_INPUT = 160 * 1024
"""Bytes that one vector may take: 4096 numbers in the widest form that servers write them."""
LONGEST = 128 * 1024 * 1024
_FIRST_BYTES = 64 * 1024
_MOST_DIMENSIONS = 65_536

Given: TypeAlias = str | Sequence[int]
"""One input: a text, or what a tokenizer made of one."""


# The request.


def _tokens(value: Any, param: str) -> None:
    if type(value) is not list:
        raise wrong_type(param, "an array of tokens", value)
    if not value:
        raise empty_array(param, 1)
    if set(map(type, value)) != {int}:
        raise wrong_type(param, "an array of tokens", next(item for item in value if type(item) is not int))
    if min(value) < 0:
        raise wrong(param, f"Invalid '{param}': a token is a number from 0.")


def _text(value: Any, param: str) -> None:
    if type(value) is not str:
        raise wrong_type(param, "a string", value)
    if not value:
        raise wrong(param, f"Invalid '{param}': empty string. Send at least one character.", "empty_string")


_TOKEN = {"type": "integer", "minimum": 0, "maximum": LARGEST}
_TOKENS = {"type": "array", "items": _TOKEN, "minItems": 1}
_TEXT = {"type": "string", "minLength": 1}


@says(
    {
        "anyOf": [
            _TEXT,
            {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_INPUTS},
            _TOKENS,
            {"type": "array", "items": _TOKENS, "minItems": 1, "maxItems": MOST_INPUTS},
        ]
    }
)
def _input(value: Any, param: str) -> None:
    if type(value) is str:
        _text(value, param)
        return
    if type(value) is not list:
        raise wrong_type(param, "one of a string, an array of strings or an array of tokens", value)
    if not value or type(value[0]) is int:
        _tokens(value, param)
        return
    if len(value) > MOST_INPUTS:
        message = (
            f"Invalid '{param}': array too long. Expected at most {MOST_INPUTS} items, got {len(value)}."
        )
        raise wrong(param, message, "array_above_max_length")
    check = _tokens if type(value[0]) is list else _text
    for number, item in enumerate(value):
        check(item, f"{param}[{number}]")


_FIELDS: dict[str, Check] = {
    "model": model_name,
    "input": _input,
    "encoding_format": one_of("float", "base64"),
    "dimensions": integer(1, _MOST_DIMENSIONS),
    "user": string,
}
SCHEMA: Schema = object_schema(
    {name: _FIELDS[name] for name in ("model", "input")},
    {name: check for name, check in _FIELDS.items() if name not in ("model", "input")},
)


@frozen
class Embed:
    body: Mapping[str, Any]
    model: str
    inputs: Sequence[Given]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Embed:
        """Raises BadRequest."""
        body = {name: value for name, value in body.items() if value is not None}
        if "model" not in body:
            raise no_model("model")
        if "input" not in body:
            raise missing("input")
        for name, check in _FIELDS.items():
            if name in body:
                check(body[name], name)
        given = body["input"]
        single = type(given) is str or type(given[0]) is int
        return cls(body, body["model"], [given] if single else given)

    @property
    def base64(self) -> bool:
        return self.body.get("encoding_format") == "base64"

    @property
    def dimensions(self) -> int | None:
        wanted: int | None = self.body.get("dimensions")
        return wanted

    @property
    def longest(self) -> int:
        """Bytes that an answer to it may have."""
        return min(LONGEST, _FIRST_BYTES + PER_INPUT * len(self.inputs))


# The answer.


@frozen
class Embedded:
    """The body of an answer in pieces; whoever joins those of a long one does so beside the event loop."""

    pieces: Iterable[bytes]
    """Making them may raise GatewayError."""
    long: bool


@frozen
class InProcess:
    """Vectors of a model that runs in the gateway's own process, which knows how to load it by this name."""

    model: str


def rendered(embed: Embed, vectors: Iterable[tuple[list[float], int]]) -> Iterator[bytes]:
    """An answer made here, from each input's vector and its number of tokens."""
    yield _HEAD
    number = tokens = 0
    for vector, length in vectors:
        yield _item(embed, {"embedding": vector}, number)
        number, tokens = number + 1, tokens + length
    yield _tail(embed, {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, number)


def retold(embed: Embed, raw: bytes) -> Embedded:
    """An upstream's answer."""
    if len(raw) > LONG:
        return Embedded(_long(embed, raw), long=True)
    return Embedded(_short(embed, raw), long=False)


def _short(embed: Embed, raw: bytes) -> Iterator[bytes]:
    document = _loads(raw)
    items = document.get("data") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise _malformed("something that is no list of vectors")
    yield _HEAD
    for number, item in enumerate(items):
        yield _item(embed, item, number)
    yield _tail(embed, document, len(items))


_DATA = re.compile(rb'"data"\s*:\s*\[')
_BETWEEN = re.compile(rb"[\s,]*")
_MOST_BRACES = 16  # an item may have members that are objects, but not many


def _long(embed: Embed, raw: bytes) -> Iterator[bytes]:
    """The list is found by its name, and each item by its closing brace: a vector has none."""
    start = _DATA.search(raw)
    if start is None:
        raise _malformed("something that is no list of vectors")
    yield _HEAD
    place, number = _next(raw, start.end()), 0
    while raw[place : place + 1] == b"{":
        item, place = _cut(raw, place)
        yield _item(embed, item, number)
        place, number = _next(raw, place), number + 1
    yield _tail(embed, _loads(raw[: start.end()] + raw[place:]), number)


def _next(raw: bytes, place: int) -> int:
    between = _BETWEEN.match(raw, place)
    return between.end() if between else place


def _cut(raw: bytes, start: int) -> tuple[Any, int]:
    """The object that begins here, and where it ends."""
    end = start
    for _ in range(_MOST_BRACES):
        end = raw.find(b"}", end, start + 2 * PER_INPUT) + 1
        if not end:
            break
        try:
            return orjson.loads(raw[start:end]), end
        except ValueError:
            continue
    raise _malformed("a vector that cannot be read")


def _loads(raw: bytes) -> Any:
    try:
        return wirejson.loads(raw)
    except ValueError:
        raise _malformed("something that is not JSON") from None


_HEAD = b'{"object":"list","data":['
_OWN = {"object", "data", "model"}


def _item(embed: Embed, item: Any, number: int) -> bytes:
    """One vector of the answer, with the comma that parts it from the one before."""
    vector = item.get("embedding") if isinstance(item, dict) else None
    index = item.get("index", number) if isinstance(item, dict) else None
    if type(index) is not int or not 0 <= index < len(embed.inputs):
        raise _malformed("a vector that belongs to nothing")
    told = {**item, "object": "embedding", "index": index, "embedding": _as_asked(embed, vector)}
    return (b"," if number else b"") + wirejson.dumps(told)


def _tail(embed: Embed, document: Any, number: int) -> bytes:
    if not isinstance(document, dict):
        raise _malformed("something that is no list of vectors")
    if number != len(embed.inputs):
        raise _malformed(f"{number} vectors for {len(embed.inputs)} inputs")
    rest = {name: value for name, value in document.items() if name not in _OWN}
    return b"]," + wirejson.dumps({"model": embed.model, **rest})[1:]


_NUMBERS = {float, int}


def _as_asked(embed: Embed, vector: Any) -> str | list[float]:
    if type(vector) is str:
        raw = _packed(vector)
        return vector if embed.base64 else _numbers(raw)
    if type(vector) is not list or not vector or not set(map(type, vector)) <= _NUMBERS:
        raise _malformed("a vector that is none")
    if not embed.base64:
        return vector
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise _malformed("a vector with numbers that are too large") from None


def _packed(text: str) -> bytes:
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raw = b""
    if not raw or len(raw) % 4:
        raise _malformed("a vector that is no base64 of 32-bit numbers")
    return raw


def _numbers(raw: bytes) -> list[float]:
    numbers = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    if not all(map(math.isfinite, numbers)):
        raise _malformed("a vector with numbers that are none")
    return numbers


def _malformed(what: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"The upstream answered with {what}.")
