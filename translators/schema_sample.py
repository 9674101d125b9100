"""One value that a JSON Schema accepts.

``sample(schema)`` walks the schema once and answers with the plainest instance: every property while the
walk is shallow, only the required ones below that, the branch that ends soonest where there is a choice.
The same schema and seed give the same value, and no schema can make it run long: the walk stops at
``_DEEPEST`` levels or when it has read its share (the larger the document, the fewer schemas), and lengths
are capped, so a schema that no small value satisfies gets a value that does not satisfy it.

Understood: type, enum, const, properties, required, additionalProperties, minProperties, items, prefixItems,
minItems, maxItems, uniqueItems, the bounds of numbers and strings, multipleOf, common formats, anyOf, oneOf
(as anyOf), allOf and references inside the document. ``pattern``, ``not`` and conditions are not read.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from functools import reduce
from itertools import islice
from typing import Any, TypeAlias

from attrs import define

Schema: TypeAlias = Mapping[str, Any]

_SHALLOW = 3
"""Below this many levels only what is required is made."""
_DEEPEST = 24
_VISITS = 2_000
_READS = 10_000_000
"""Visits times the size of the document: what bounds the time, since one visit may copy a whole schema."""
_LARGEST_SCHEMA = 50_000
_PARTS = 64
_LONGEST_STRING = 1_000
_LONGEST_ARRAY = 100
_LARGEST_NUMBER = 1e15
_FINEST_STEP = 1e-6
_INDIRECTIONS = 32

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "indigo", "juniper")

_NAMED = {
    "city": "Paris",
    "location": "Paris",
    "country": "France",
    "name": "Ada",
    "title": "Field notes",
    "language": "en",
    "currency": "EUR",
}

_FORMATS = {
    "date-time": "2025-01-02T03:04:05Z",
    "date": "2025-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_HINTS = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "minProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
    "multipleOf": "number",
}
"""What a schema without a type is about, told by the first of these words in it."""


def sample(schema: Any, *, seed: int = 0, shares: int = 1) -> Any:
    """A value that ``schema`` accepts; equal arguments give equal values.

    Who makes several values for one request says so in ``shares``: together they may cost what one may.
    """
    visits = min(_VISITS, _READS // _size(schema)) // shares
    return _Walk(root=schema, seed=seed, left=visits).value(schema, "", 0)


def _size(schema: Any) -> int:
    """How many values the document holds, counted up to the limit."""
    count, waiting = 0, [schema]
    while waiting and count < _LARGEST_SCHEMA:
        node = waiting.pop()
        count += 1
        if isinstance(node, Mapping):
            waiting.extend(islice(node.values(), _LARGEST_SCHEMA))
        elif isinstance(node, list):
            waiting.extend(islice(node, _LARGEST_SCHEMA))
    return count


def _join_types(left: Any, right: Any) -> Any:
    both = [kind for kind in _list_of(left) if kind in _list_of(right)]
    if "integer" in _list_of(left) + _list_of(right) and "integer" not in both and "number" not in both:
        both.append("integer")
    return both


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _larger(left: Any, right: Any) -> Any:
    return max((bound for bound in (left, right) if _number(bound) is not None), default=None)


def _smaller(left: Any, right: Any) -> Any:
    return min((bound for bound in (left, right) if _number(bound) is not None), default=None)


def _both_dicts(left: Any, right: Any) -> Any:
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return right
    common = {name: {"allOf": [left[name], right[name]]} for name in left.keys() & right.keys()}
    return {**left, **right, **common}


_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _join_types,
    "enum": lambda left, right: [
        value for value in _list_of(left)[:_PARTS] if value in _list_of(right)[:_PARTS]
    ],
    "required": lambda left, right: [*_list_of(left), *_list_of(right)],
    "properties": _both_dicts,
    "minimum": _larger,
    "exclusiveMinimum": _larger,
    "minLength": _larger,
    "minItems": _larger,
    "minProperties": _larger,
    "maximum": _smaller,
    "exclusiveMaximum": _smaller,
    "maxLength": _smaller,
    "maxItems": _smaller,
}
"""How a keyword that two schemas have becomes one; for every other the second schema's wins."""


def _merged(left: Schema, right: Schema) -> Schema:
    out = {**left, **right}
    for keyword in left.keys() & right.keys() & _JOINS.keys():
        out[keyword] = _JOINS[keyword](left[keyword], right[keyword])
    return out


def _number(value: Any, default: Any = None) -> Any:
    """``value`` if it is a number that arithmetic cannot blow up on."""
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return value if usable and abs(value) <= _LARGEST_NUMBER else default


def _count(value: Any, default: int, cap: int) -> int:
    return max(0, min(int(_number(value, default)), cap))


def _without(schema: Schema, keyword: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != keyword}


@define
class _Walk:
    """One pass over one schema; ``left`` counts down with every schema it reads."""

    root: Any
    seed: int
    left: int

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if self.left <= 0:
            return None
        self.left -= 1
        plain = self.plain(schema, depth)
        if "const" in plain:
            return plain["const"]
        options = plain.get("enum")
        if isinstance(options, list) and options:
            return options[self.chance(name) % len(options)]
        return _MAKERS[self.kind(plain, depth)](self, plain, name, depth)

    def plain(self, schema: Any, depth: int) -> Schema:
        """``schema`` with references, allOf and choices worked into it."""
        out: Schema = schema if isinstance(schema, Mapping) and depth <= _DEEPEST else {}
        for _ in range(min(self.left, _INDIRECTIONS)):
            if "$ref" in out:
                out = _merged(self.target(out["$ref"]), _without(out, "$ref"))
            elif "allOf" in out:
                parts = _list_of(out["allOf"])[:_PARTS]
                out = reduce(_merged, (self.plain(part, depth + 1) for part in parts), _without(out, "allOf"))
            elif "anyOf" in out:
                out = self.chosen(out, "anyOf", depth)
            elif "oneOf" in out:
                out = self.chosen(out, "oneOf", depth)
            else:
                break
            self.left -= 1
        return out

    def followed(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return schema
        self.left -= 1
        return _merged(self.target(schema["$ref"]), _without(schema, "$ref"))

    def chosen(self, schema: Schema, keyword: str, depth: int) -> Schema:
        options = _list_of(schema[keyword])[:_PARTS]
        branches: list[Schema] = [branch for branch in options if isinstance(branch, Mapping)]
        rest = _without(schema, keyword)
        if not branches:
            return rest
        branch = min(branches, key=self.weight) if depth >= _SHALLOW else branches[0]
        return _merged(rest, branch)

    def weight(self, schema: Schema) -> int:
        """How much more there is to make: nothing inside, perhaps something, certainly something."""
        target = self.followed(schema)
        if "anyOf" in target or "oneOf" in target or "allOf" in target:
            return 1
        if "const" in target or "enum" in target:
            return 0
        kind = self.kind(target, _SHALLOW)
        if kind == "object":
            return 2 if target.get("required") else 1
        if kind == "array":
            return 2 if _number(target.get("minItems"), 0) > 0 else 1
        return 0

    def target(self, pointer: Any) -> Schema:
        """What ``#/…`` points at; anything else points at a schema that accepts everything."""
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            return {}
        node = self.root
        for token in pointer[1:].split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping):
                return {}
            node = node.get(key)
        return node if isinstance(node, Mapping) else {}

    def kind(self, schema: Schema, depth: int) -> str:
        kinds = [kind for kind in _list_of(schema.get("type")) if isinstance(kind, str) and kind in _MAKERS]
        if not kinds:
            return next((kind for word, kind in _HINTS.items() if word in schema), "string")
        if depth > _SHALLOW and "null" in kinds:
            return "null"
        return next((kind for kind in kinds if kind != "null"), "null")

    def chance(self, name: str) -> int:
        return zlib.crc32(f"{self.seed}/{name}".encode("utf-8", "replace"))

    def object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        declared = schema.get("properties")
        properties = declared if isinstance(declared, Mapping) else {}
        required = [key for key in _list_of(schema.get("required")) if isinstance(key, str)]
        extra = schema.get("additionalProperties", {})
        least = _count(schema.get("minProperties"), 0, _LONGEST_ARRAY)
        names = dict.fromkeys(required)
        if depth < _SHALLOW:
            names.update(dict.fromkeys(properties))
        else:
            names.update(dict.fromkeys(list(properties)[:least]))
        names.update(dict.fromkeys(f"key{number}" for number in range(least - len(names))))
        most = max(len(set(required)), _count(schema.get("maxProperties"), len(names), len(names)))
        return {key: self.value(properties.get(key, extra), key, depth + 1) for key in list(names)[:most]}

    def array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems")
        heads = prefix if isinstance(prefix, list) else []
        item = schema.get("items", {})
        usual = max(len(heads), 1) if depth < _SHALLOW else 0
        least = _count(schema.get("minItems"), 0, _LONGEST_ARRAY)
        length = max(least, min(usual, _count(schema.get("maxItems"), usual, _LONGEST_ARRAY)))
        if item is False:
            length = min(length, len(heads))
        out = [
            self.value(heads[n] if n < len(heads) else item, f"{name}{n or ''}", depth + 1)
            for n in range(length)
        ]
        return self.distinct(out, item, name, depth) if schema.get("uniqueItems") is True else out

    def distinct(self, items: list[Any], item: Any, name: str, depth: int) -> list[Any]:
        """``items`` with each repetition made again under other names until it differs."""
        out: list[Any] = []
        for number, value in enumerate(items):
            for attempt in range(_LONGEST_ARRAY):
                if value not in out:
                    break
                value = self.value(
                    self.numbered(item, number + attempt), f"{name}.{number}.{attempt}", depth + 1
                )
            out.append(value)
        return out

    def numbered(self, item: Any, number: int) -> Any:
        """Numbers are told apart by counting away from the bound they start at."""
        plain = self.plain(item, _SHALLOW)
        kind = self.kind(plain, _SHALLOW)
        if kind not in ("integer", "number") or "enum" in plain:
            return item
        start = _MAKERS[kind](self, plain, "", 0)
        distance = number * max(1, _number(plain.get("multipleOf"), 1))
        downwards = "maximum" in plain or "exclusiveMaximum" in plain
        upwards = "minimum" in plain or "exclusiveMinimum" in plain or not downwards
        return {**plain, "minimum": start + distance} if upwards else {**plain, "maximum": start - distance}

    def string(self, schema: Schema, name: str, depth: int) -> str:
        shape = schema.get("format")
        if isinstance(shape, str) and shape in _FORMATS:
            return _FORMATS[shape]
        least = _count(schema.get("minLength"), 0, _LONGEST_STRING)
        most = max(least, _count(schema.get("maxLength"), _LONGEST_STRING, _LONGEST_STRING))
        chance = self.chance(name)
        text = _NAMED.get(name) or f"{_WORDS[chance % len(_WORDS)]} {chance % 97}"
        return text.ljust(least, "x")[:most]

    def numeric(self, schema: Schema, name: str, depth: int) -> Any:
        """The smallest multiple of the step (1 when there is none) inside the bounds, or near zero."""
        low, high = _number(schema.get("minimum")), _number(schema.get("maximum"))
        above, below = _number(schema.get("exclusiveMinimum")), _number(schema.get("exclusiveMaximum"))
        step = _number(schema.get("multipleOf"), 1)
        step = step if step >= _FINEST_STEP else 1
        if low is not None or above is not None:
            floor = max(bound for bound in (low, above) if bound is not None)
            number = math.ceil(floor / step) * step
            number = number + step if above is not None and number <= above else number
        elif high is not None or below is not None:
            ceiling = min(bound for bound in (high, below) if bound is not None)
            number = math.floor(ceiling / step) * step
            number = number - step if below is not None and number >= below else number
        else:
            number = step * (1 + self.chance(name) % 9)
        number = round(number, 9)
        return number if _within(number, low, high, above, below) else _between(low, high, above, below)

    def integer(self, schema: Schema, name: str, depth: int) -> int:
        step = _number(schema.get("multipleOf"), 1)
        whole = next((times * step for times in range(1, 101) if (times * step) % 1 == 0), 1)
        return int(self.numeric({**schema, "multipleOf": whole}, name, depth))

    def boolean(self, schema: Schema, name: str, depth: int) -> bool:
        return self.chance(name) % 2 == 0

    def null(self, schema: Schema, name: str, depth: int) -> None:
        return None


def _within(number: Any, low: Any, high: Any, above: Any, below: Any) -> bool:
    return (
        (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
        and (below is None or number < below)
    )


def _between(low: Any, high: Any, above: Any, below: Any) -> Any:
    """A fraction, where no whole step fits between two bounds."""
    floor = max((bound for bound in (low, above) if bound is not None), default=-_LARGEST_NUMBER)
    ceiling = min((bound for bound in (high, below) if bound is not None), default=_LARGEST_NUMBER)
    return (floor + ceiling) / 2


_MAKERS: dict[str, Callable[[_Walk, Schema, str, int], Any]] = {
    "object": _Walk.object,
    "array": _Walk.array,
    "string": _Walk.string,
    "number": _Walk.numeric,
    "integer": _Walk.integer,
    "boolean": _Walk.boolean,
    "null": _Walk.null,
}
