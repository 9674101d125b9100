"""The sampler against a small validator written here, which reads the same keywords the other way round."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.schema_sample import sample

KINDS: dict[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}

BOUNDS: dict[str, Any] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "multipleOf": lambda value, bound: abs(value / bound - round(value / bound)) < 1e-6,
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "minProperties": lambda value, bound: len(value) >= bound,
    "maxProperties": lambda value, bound: len(value) <= bound,
    "uniqueItems": lambda value, bound: not bound or all(value.count(item) == 1 for item in value),
}


def valid(schema: Any, value: Any, root: Any = None) -> bool:
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        node = root
        for token in schema["$ref"].split("/")[1:]:
            node = node[token.replace("~1", "/").replace("~0", "~")]
        if not valid(node, value, root):
            return False
    checks = [
        "const" not in schema or value == schema["const"],
        "enum" not in schema or value in schema["enum"],
        all(BOUNDS[word](value, bound) for word, bound in schema.items() if word in BOUNDS),
        all(valid(part, value, root) for part in schema.get("allOf", ())),
        "anyOf" not in schema or any(valid(part, value, root) for part in schema["anyOf"]),
        "oneOf" not in schema or any(valid(part, value, root) for part in schema["oneOf"]),
    ]
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        checks.append(any(KINDS[kind](value) for kind in kinds))
    if isinstance(value, dict):
        declared = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        checks += [name in value for name in schema.get("required", ())]
        checks += [valid(declared.get(name, extra), item, root) for name, item in value.items()]
    if isinstance(value, list):
        heads = schema.get("prefixItems", [])
        checks += [
            valid(heads[number] if number < len(heads) else schema.get("items", True), item, root)
            for number, item in enumerate(value)
        ]
    return all(checks)


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value", "left", "children"],
            "additionalProperties": False,
        }
    },
}

SATISFIABLE = [
    True,
    {},
    {"type": "string"},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "unheard-of"},
    {"type": "integer"},
    {"type": "integer", "minimum": 3.2},
    {"type": "integer", "maximum": -4.5},
    {"type": "integer", "exclusiveMinimum": 3},
    {"type": "integer", "exclusiveMaximum": 3, "multipleOf": 2},
    {"type": "integer", "exclusiveMaximum": 4, "multipleOf": 2},
    {"type": "integer", "multipleOf": 0.5},
    {"type": "integer", "multipleOf": 0.3, "minimum": 1},
    {"type": "number", "minimum": 0.2, "maximum": 0.7},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "multipleOf": 0.1, "minimum": 0.25},
    {"type": "number", "minimum": 1, "exclusiveMinimum": 5},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["null", "string"]},
    {"type": ["null"]},
    {"const": {"a": 1}},
    {"enum": ["red", "green", None]},
    {"properties": {"a": {"type": "integer"}}},
    {"items": {"type": "integer"}},
    {"minimum": 7},
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city"],
    },
    {"type": "object", "required": ["free"]},
    {"type": "object", "required": ["n"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 3},
    {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {"a": {}, "b": {}},
        "required": ["b"],
    },
    {"type": "array"},
    {"type": "array", "items": {"type": "string"}, "minItems": 3},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "boolean"}],
        "items": False,
        "minItems": 2,
    },
    {"type": "array", "items": {"type": "string"}, "minItems": 5, "uniqueItems": True},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer", "minimum": 4}, "minItems": 4, "uniqueItems": True},
    {
        "type": "array",
        "items": {"type": "number", "maximum": 4, "multipleOf": 2},
        "minItems": 4,
        "uniqueItems": True,
    },
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
            {"type": "null"},
        ]
    },
    {
        "type": "object",
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {"b": {"type": "null"}},
    },
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]},
    {
        "allOf": [
            {"properties": {"a": {"minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 3}}, "required": ["b"]},
        ]
    },
    {"allOf": [{"type": ["integer", "string"]}, {"type": "number"}, {"minimum": 2}, {"minimum": 5}]},
    {"allOf": [{"type": "integer", "maximum": 5}, {"maximum": 3}]},
    {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
    {"allOf": [{"anyOf": [{"type": "integer"}]}, {"anyOf": [{"minimum": 4}]}]},
    {"allOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "boolean"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "integer"}}, "minimum": 9},
    TREE,
    {**TREE, "$ref": "#/$defs/list", "$defs": {"list": {"type": ["array", "null"], "items": {"$ref": "#"}}}},
]


@pytest.mark.parametrize("schema", SATISFIABLE, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 99])
def test_value_satisfies_its_schema(schema: Any, seed: int) -> None:
    assert valid(schema, sample(schema, seed=seed))


def test_all_properties_are_made_where_it_is_shallow() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
        "required": ["a"],
    }
    assert sample(schema) == {"a": None, "b": None}


def test_seed_and_name_vary_the_value_and_nothing_else_does() -> None:
    schema = {"type": "object", "properties": {"one": {"type": "string"}, "two": {"type": "string"}}}
    first = sample(schema, seed=1)
    assert first == sample(schema, seed=1)
    assert first != sample(schema, seed=2)
    assert first["one"] != first["two"]


def test_known_names_read_well() -> None:
    assert sample({"properties": {"city": {"type": "string"}}}) == {"city": "Paris"}


def wide(levels: int) -> dict[str, Any]:
    """A schema that asks for 20 ** levels values."""
    names = [f"p{number}" for number in range(20)]
    definitions = {
        f"l{level}": {
            "properties": {name: {"$ref": f"#/$defs/l{level + 1}"} for name in names},
            "required": names,
        }
        for level in range(levels)
    }
    return {"$ref": "#/$defs/l0", "$defs": definitions}


def nested_list(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"allOf": [schema, schema]}
    return schema


HOSTILE = {
    "itself": {"$ref": "#"},
    "two that name each other": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "required recursion": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "a bomb": wide(12),
    "long lists": {"type": "array", "minItems": 10**12, "items": {"type": "array", "minItems": 10**12}},
    "long strings": {"type": "string", "minLength": 10**14},
    "allOf in allOf": nested_list(30),
    "deep allOf": {"allOf": [nested_list(3)] * 1000},
    "a large document": {
        "enum": [],
        "required": [f"k{n}" for n in range(60_000)],
        "items": [{"a": n} for n in range(60_000)],
    },
    "no distinct values": {"type": "array", "items": {"const": 1}, "minItems": 100, "uniqueItems": True},
    "every branch recurs": {
        "anyOf": [{"items": {"$ref": "#"}, "minItems": 1}, {"properties": {"a": {"$ref": "#"}}}]
    },
    "recursion through allOf": {
        "anyOf": [{"allOf": [{"items": {"$ref": "#"}, "minItems": 1}]}, {"required": ["x"]}]
    },
    "a large part taken often": {
        "$defs": {"big": {f"x{number}": 1 for number in range(20_000)}},
        "properties": {f"p{number}": {"allOf": [{"$ref": "#/$defs/big"}] * 64} for number in range(250)},
    },
    "constants": {"items": {"items": {"items": {"anyOf": [{"$ref": "#"}, {"const": 1}, {"enum": [2]}]}}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schema_ends_soon(name: str) -> None:
    began = time.process_time()
    sample(HOSTILE[name])
    assert time.process_time() - began < 2


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0)


def count_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count_of, inner))


def test_hostile_schema_gets_a_small_value() -> None:
    assert depth_of(sample(HOSTILE["required recursion"])) < 30
    assert count_of(sample(HOSTILE["a bomb"])) < 5_000
    assert count_of(sample(HOSTILE["long lists"])) < 20_000


def test_the_larger_the_document_the_fewer_schemas_are_read() -> None:
    schema = {"properties": {f"p{number}": {"type": "integer"} for number in range(1_000)}}
    assert None not in sample(schema).values()
    large = {**schema, "$defs": {f"x{number}": {} for number in range(60_000)}}
    assert 0 < sum(value is not None for value in sample(large).values()) < 200


NONSENSE = [
    None,
    7,
    [],
    False,
    {"type": 4},
    {"type": ["nothing", 3]},
    {"enum": 3},
    {"properties": [1], "required": 4},
    {"required": [1, None]},
    {"$ref": 5},
    {"$ref": "https://example.com/x"},
    {"$ref": "#/$defs/absent/deeper"},
    {"$ref": "#/type/x", "type": "string"},
    {"anyOf": "x"},
    {"anyOf": [], "type": "integer"},
    {"anyOf": [1, 2]},
    {"allOf": [1, {"properties": 3}, {"properties": {}}]},
    {"type": "array", "items": 3, "prefixItems": 4},
    {"type": "number", "minimum": "a", "maximum": True},
    {"type": "number", "minimum": float("inf")},
    {"type": "number", "multipleOf": -1},
    {"type": "number", "multipleOf": 0},
    {"type": "number", "minimum": 5, "maximum": 2},
    {"type": "number", "maximum": 2, "exclusiveMinimum": 2},
    {"type": "number", "exclusiveMinimum": 1e15, "multipleOf": 1e-6},
    {"type": "number", "exclusiveMaximum": -1e15, "multipleOf": 1e-6},
    {"allOf": [{"minimum": "a"}, {"minimum": None}]},
    {"allOf": [{"minimum": 1}, {"minimum": None}]},
    {"type": "string", "minLength": -4, "maxLength": -9},
    {"type": "string", "format": ["date"]},
]


@pytest.mark.parametrize("schema", NONSENSE, ids=str)
def test_nonsense_gets_some_value(schema: Any) -> None:
    sample(schema)


NAMES = st.sampled_from(["a", "b", "city", "é/~"])

SCHEMAS = st.recursive(
    st.one_of(
        st.builds(lambda least: {"type": "string", "minLength": least}, st.integers(0, 40)),
        st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 4)),
        st.builds(
            lambda low, room, kind: {"type": kind, "minimum": low, "maximum": low + room},
            st.integers(-1000, 1000),
            st.integers(0, 3),
            st.sampled_from(["integer", "number"]),
        ),
        st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 50)),
        st.just({"type": "boolean"}),
        st.just({"type": ["string", "null"]}),
        st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(), min_size=1)),
        st.builds(lambda value: {"const": value}, st.none() | st.text() | st.booleans()),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda properties, extra: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[::2],
                "additionalProperties": extra,
            },
            st.dictionaries(NAMES, inner, max_size=4),
            st.booleans(),
        ),
        st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 4)
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part]}, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, st.integers())
def test_any_satisfiable_schema_is_satisfied(schema: Any, seed: int) -> None:
    assert valid(schema, sample(schema, seed=seed))


KEYWORDS = st.sampled_from(
    [*BOUNDS, "type", "properties", "items", "enum", "required", "anyOf", "allOf", "$ref", "a"]
)

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["object", "#", "integer", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYWORDS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_any_document_gets_a_value(schema: Any) -> None:
    sample(schema)
