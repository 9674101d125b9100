"""An OpenAI chat request, checked once.

``Prompt`` keeps the body as the client sent it, because an OpenAI-shaped upstream gets all of it, and beside
it what every platform needs. Fields are checked by table, with the wording and the ``param`` that OpenAI
uses, so that SDK users see the messages they know. Unknown fields and kinds of content are for the upstream
to judge. A null is absence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from translators.decode import kind
from translators.errors import BadRequest

MAX_MODEL = 256
"""The model's name is repeated in every frame, so it may not be a book."""

Check: TypeAlias = Callable[[Any, str], None]


@frozen
class Prompt:
    body: Mapping[str, Any]
    model: str
    stream: bool
    include_usage: bool

    @classmethod
    def from_chat(cls, body: dict[str, Any]) -> Prompt:
        body = {name: value for name, value in body.items() if value is not None}
        if "model" not in body:
            raise BadRequest(
                "you must provide a model parameter", param="model", code="missing_required_parameter"
            )
        if "messages" not in body:
            raise BadRequest(
                "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
            )
        for name, check in _FIELDS.items():
            if name in body:
                check(body[name], name)
        stream = bool(body.get("stream"))
        options = body.get("stream_options")
        if options is not None and not stream:
            raise _wrong(
                "stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            )
        return cls(body, body["model"], stream, bool(options and options.get("include_usage")))

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages


FORGOTTEN = {stream: Prompt({}, "", stream, include_usage=False) for stream in (True, False)}
"""Stands where a prompt was that is not needed any more, by whether it asked for a stream."""


def _wrong(param: str, message: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, param=param, code=code)


def _wrong_type(param: str, expected: str, value: object) -> BadRequest:
    found = kind(value)
    return _wrong(
        param, f"Invalid type for '{param}': expected {expected}, but got {found} instead.", "invalid_type"
    )


def _typed(expected: str, *types: type) -> Check:
    def check(value: Any, param: str) -> None:
        if type(value) not in types:
            raise _wrong_type(param, expected, value)

    return check


_string = _typed("a string", str)
_boolean = _typed("a boolean", bool)
_object = _typed("an object", dict)


def _number(low: float, high: float) -> Check:
    is_number = _typed("a decimal", int, float)

    def check(value: Any, param: str) -> None:
        is_number(value, param)
        _within(value, low, high, param, "decimal")

    return check


def _integer(low: int | None = None, high: int | None = None) -> Check:
    is_integer = _typed("an integer", int)

    def check(value: Any, param: str) -> None:
        is_integer(value, param)
        _within(value, low, high, param, "integer")

    return check


def _within(value: float, low: float | None, high: float | None, param: str, noun: str) -> None:
    if low is not None and value < low:
        raise _wrong(
            param,
            f"Invalid '{param}': {value} is less than the minimum of {low}.",
            f"{noun}_below_min_value",
        )
    if high is not None and value > high:
        raise _wrong(
            param,
            f"Invalid '{param}': {value} is greater than the maximum of {high}.",
            f"{noun}_above_max_value",
        )


def _one_of(*values: str) -> Check:
    def check(value: Any, param: str) -> None:
        if value not in values or type(value) is not str:
            supported = ", ".join(f"'{known}'" for known in values)
            found = f"'{value[:40]}'" if isinstance(value, str) else kind(value)
            raise _wrong(param, f"Invalid value: {found}. Supported values are: {supported}.")

    return check


def _array(items: Check, of: str, at_least: int = 0) -> Check:
    is_array = _typed(f"an array of {of}", list)

    def check(value: Any, param: str) -> None:
        is_array(value, param)
        if len(value) < at_least:
            raise _wrong(
                param,
                f"Invalid '{param}': empty array. Expected an array with minimum length {at_least}, "
                "but got an empty array instead.",
                "empty_array",
            )
        for number, item in enumerate(value):
            items(item, f"{param}[{number}]")

    return check


def _members(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, expected: str = "an object"
) -> Check:
    def check(value: Any, param: str) -> None:
        if type(value) is not dict:
            raise _wrong_type(param, expected, value)
        for name, inner in required.items():
            if value.get(name) is None:
                raise _wrong(
                    f"{param}.{name}",
                    f"Missing required parameter: '{param}.{name}'.",
                    "missing_required_parameter",
                )
            inner(value[name], f"{param}.{name}")
        for name, inner in (optional or {}).items():
            if value.get(name) is not None:
                inner(value[name], f"{param}.{name}")

    return check


def _one_of_members(members: Mapping[str, Check]) -> Check:
    """Any of them will do; the first is what is asked for where there is none."""
    first = next(iter(members))
    checked, demanded = _members({}, members), _members({first: members[first]})

    def check(value: Any, param: str) -> None:
        checked(value, param)
        if all(value.get(name) is None for name in members):
            demanded(value, param)

    return check


def _either(*choices: tuple[type, Check], expected: str) -> Check:
    by_type = dict(choices)

    def check(value: Any, param: str) -> None:
        inner = by_type.get(type(value))
        if inner is None:
            raise _wrong_type(param, expected, value)
        inner(value, param)

    return check


def _anything(value: Any, param: str) -> None:
    """The upstream judges it."""


def _model(value: Any, param: str) -> None:
    _string(value, param)
    if not value.strip():
        raise BadRequest("you must provide a model parameter", param=param, code="missing_required_parameter")
    if len(value) > MAX_MODEL or not value.isprintable():
        raise _wrong(param, f"Invalid '{param}': expected at most {MAX_MODEL} printable characters.")


_PARTS: dict[str, Check] = {
    "text": _members({"text": _string}),
    "refusal": _members({"refusal": _string}),
    "image_url": _members(
        {"image_url": _either((str, _string), (dict, _members({"url": _string})), expected="an object")}
    ),
    "input_audio": _members({"input_audio": _members({"data": _string, "format": _string})}),
    "file": _one_of_members({"file": _object, "file_url": _string, "file_id": _string}),
    "image": _one_of_members({"file_url": _string, "file_id": _string}),
}


def _part(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise _wrong_type(param, "an object", value)
    _string(value.get("type"), f"{param}.type")
    _PARTS.get(value["type"], _anything)(value, param)


_content = _either(
    (str, _anything), (list, _array(_part, "objects")), expected="one of a string or array of objects"
)
_tool_call = _members(
    {"id": _string},
    {"type": _string, "function": _members({"name": _string}, {"arguments": _string})},
)
_told = _members({"content": _content}, {"name": _string})
_said = _members(
    {},
    {"content": _content, "name": _string, "refusal": _string, "tool_calls": _array(_tool_call, "objects")},
)
_ROLES: dict[str, Check] = {
    "system": _told,
    "developer": _told,
    "user": _told,
    "assistant": _said,
    "tool": _members({"content": _content, "tool_call_id": _string}),
    "function": _members({"name": _string}, {"content": _content}),
}


def _message(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise _wrong_type(param, "an object", value)
    role = value.get("role")
    if role is None:
        raise _wrong(
            f"{param}.role", f"Missing required parameter: '{param}.role'.", "missing_required_parameter"
        )
    _one_of(*_ROLES)(role, f"{param}.role")
    _ROLES[role](value, param)
    if role == "assistant" and not any(value.get(said) for said in _SAYINGS) and value.get("content") is None:
        raise _wrong(
            f"{param}.content",
            f"Missing required parameter: '{param}.content'.",
            "missing_required_parameter",
        )


_SAYINGS = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content", "reasoning")

_tool = _members({"type": _string}, {"function": _members({"name": _string}, {"parameters": _object})})

_FIELDS: dict[str, Check] = {
    "model": _model,
    "messages": _array(_message, "objects", at_least=1),
    "stream": _boolean,
    "stream_options": _members({}, {"include_usage": _boolean, "include_obfuscation": _boolean}),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "n": _integer(1, 128),
    "seed": _integer(),
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "stop": _either(
        (str, _anything), (list, _array(_string, "strings")), expected="one of a string or array of strings"
    ),
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 20),
    "logit_bias": _object,
    "user": _string,
    "metadata": _object,
    "modalities": _array(_string, "strings"),
    "response_format": _members({"type": _string}),
    "tools": _array(_tool, "objects"),
    "tool_choice": _either((str, _anything), (dict, _anything), expected="one of a string or an object"),
    "parallel_tool_calls": _boolean,
    "functions": _array(_members({"name": _string}), "objects"),
    "function_call": _either((str, _anything), (dict, _anything), expected="one of a string or an object"),
    "reasoning_effort": _string,
}
