"""What a request's fields may be: each check refuses in OpenAI's words and tells the same as a JSON schema.

A check is a plain function, called with a value and the name under which the client knows it; the schema is an
attribute of it, so saying what is accepted costs nothing when a request is read. Builders make checks of checks,
and their schemas likewise: what the API's description says of a body is what the code refuses.

A null is absence, so an optional member may be null. Members that no table names are for somebody else to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, cast

from translators.decode import kind
from translators.errors import BadRequest

Schema: TypeAlias = dict[str, Any]

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""What ``decode`` lets through."""

MAX_MODEL = 256
"""The model's name is repeated in every frame, so it may not be a book."""


class Check(Protocol):
    schema: Schema

    def __call__(self, value: Any, param: str, /) -> None:
        """Raises BadRequest."""
        ...


def says(schema: Schema) -> Callable[[Callable[[Any, str], None]], Check]:
    """The function that is decorated accepts what ``schema`` describes."""

    def decorate(function: Callable[[Any, str], None]) -> Check:
        check = cast(Check, function)
        check.schema = schema
        return check

    return decorate


# Words.


def wrong(param: str, message: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, param=param, code=code)


def wrong_type(param: str, expected: str, value: object) -> BadRequest:
    message = f"Invalid type for '{param}': expected {expected}, but got {kind(value)} instead."
    return wrong(param, message, "invalid_type")


def missing(param: str) -> BadRequest:
    return wrong(param, f"Missing required parameter: '{param}'.", "missing_required_parameter")


def empty_array(param: str, at_least: int) -> BadRequest:
    return wrong(
        param,
        f"Invalid '{param}': empty array. Expected an array with minimum length {at_least}, "
        "but got an empty array instead.",
        "empty_array",
    )


# One value.

_JSON: dict[type, str] = {str: "string", bool: "boolean", int: "integer", dict: "object", list: "array"}


def typed(expected: str, *types: type, schema: Schema | None = None) -> Check:
    @says(schema or {"type": _JSON[types[0]]})
    def check(value: Any, param: str) -> None:
        if type(value) not in types:
            raise wrong_type(param, expected, value)

    return check


@says({})
def anything(value: Any, param: str) -> None:
    """The upstream judges it."""


string = typed("a string", str)
boolean = typed("a boolean", bool)
any_object = typed("an object", dict)


def no_model(param: str) -> BadRequest:
    return wrong(param, "you must provide a model parameter", "missing_required_parameter")


@says({"type": "string", "minLength": 1, "maxLength": MAX_MODEL})
def model_name(value: Any, param: str) -> None:
    string(value, param)
    if not value.strip():
        raise no_model(param)
    if len(value) > MAX_MODEL or not value.isprintable():
        raise wrong(param, f"Invalid '{param}': expected at most {MAX_MODEL} printable characters.")


def number(low: float, high: float) -> Check:
    schema = {"type": "number", "minimum": low, "maximum": high}
    is_number = typed("a decimal", int, float, schema=schema)

    @says(schema)
    def check(value: Any, param: str) -> None:
        is_number(value, param)
        _within(value, low, high, param, "decimal")

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    is_integer = typed("an integer", int)

    @says(
        {
            "type": "integer",
            "minimum": SMALLEST if low is None else low,
            "maximum": LARGEST if high is None else high,
        }
    )
    def check(value: Any, param: str) -> None:
        is_integer(value, param)
        _within(value, low, high, param, "integer")

    return check


def _within(value: float, low: float | None, high: float | None, param: str, noun: str) -> None:
    if low is not None and value < low:
        message = f"Invalid '{param}': {value} is less than the minimum of {low}."
        raise wrong(param, message, f"{noun}_below_min_value")
    if high is not None and value > high:
        message = f"Invalid '{param}': {value} is greater than the maximum of {high}."
        raise wrong(param, message, f"{noun}_above_max_value")


def one_of(*values: str) -> Check:
    @says({"type": "string", "enum": list(values)})
    def check(value: Any, param: str) -> None:
        if value not in values or type(value) is not str:
            supported = ", ".join(f"'{known}'" for known in values)
            found = f"'{value[:40]}'" if isinstance(value, str) else kind(value)
            raise wrong(param, f"Invalid value: {found}. Supported values are: {supported}.")

    return check


def either(*choices: tuple[type, Check], expected: str) -> Check:
    """The type of the value says which check it is for."""
    by_type = dict(choices)

    @says({"anyOf": [{"type": _JSON[type], **inner.schema} for type, inner in choices]})
    def check(value: Any, param: str) -> None:
        inner = by_type.get(type(value))
        if inner is None:
            raise wrong_type(param, expected, value)
        inner(value, param)

    return check


# Values of values.


def array(items: Check, of: str, at_least: int = 0) -> Check:
    is_array = typed(f"an array of {of}", list)

    @says({"type": "array", "items": items.schema, **({"minItems": at_least} if at_least else {})})
    def check(value: Any, param: str) -> None:
        is_array(value, param)
        if len(value) < at_least:
            raise empty_array(param, at_least)
        for number, item in enumerate(value):
            items(item, f"{param}[{number}]")

    return check


def members(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, expected: str = "an object"
) -> Check:
    @says(object_schema(required, optional or {}))
    def check(value: Any, param: str) -> None:
        if type(value) is not dict:
            raise wrong_type(param, expected, value)
        for name, inner in required.items():
            if value.get(name) is None:
                raise missing(f"{param}.{name}")
            inner(value[name], f"{param}.{name}")
        for name, inner in (optional or {}).items():
            if value.get(name) is not None:
                inner(value[name], f"{param}.{name}")

    return check


def one_of_members(among: Mapping[str, Check]) -> Check:
    """Any of them will do; the first is what is asked for where there is none."""
    first = next(iter(among))
    checked, demanded = members({}, among), members({first: among[first]})

    @says({**checked.schema, "anyOf": [demanding(name, inner) for name, inner in among.items()]})
    def check(value: Any, param: str) -> None:
        checked(value, param)
        if all(value.get(name) is None for name in among):
            demanded(value, param)

    return check


def demanding(name: str, inner: Check) -> Schema:
    """An object that has this member, whatever else it has."""
    return {"required": [name], "properties": {name: inner.schema}}


def object_schema(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {
            **{name: inner.schema for name, inner in required.items()},
            **{name: nullable(inner.schema) for name, inner in optional.items()},
        },
    }
    return {**schema, "required": list(required)} if required else schema


def nullable(schema: Schema) -> Schema:
    if "anyOf" in schema and len(schema) == 1:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema
