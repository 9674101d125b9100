"""Is this a request OpenAI would accept? Used by the stand-in to catch a gateway that sends nonsense.

``check(body, strict=…)`` raises ``BadRequest`` for the first thing wrong. One table says what each field of
the request must be, one what the content of each role may be; what concerns several fields at once follows.
Only ``strict`` refuses fields that are not in the table: every other server of this dialect ignores them.
null for any optional field is the same as leaving it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from translators.errors import BadRequest

Check: TypeAlias = Callable[[Any, str], None]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_TOOLS = 128

_NOUNS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)


def check(body: Any, *, strict: bool) -> Mapping[str, Any]:
    """``body`` without its nulls, if nothing is wrong with it."""
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    request = {name: value for name, value in body.items() if value is not None}
    unknown = [name for name in request if name not in _FIELDS]
    if unknown and strict:
        raise BadRequest(f"Unrecognized request argument supplied: {unknown[0]}", code="unknown_parameter")
    for name in ("model", "messages"):
        if name not in request:
            raise BadRequest(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
    for name, value in request.items():
        _FIELDS.get(name, _anything)(value, name)
    for rule in _RULES:
        rule(request)
    return request


# What one value must be.


def _anything(value: Any, name: str) -> None:
    """Nothing is asked of this one."""


def _noun(value: Any) -> str:
    return next((noun for kind, noun in _NOUNS if isinstance(value, kind)), "null")


def _wrong_type(value: Any, name: str, wanted: str) -> BadRequest:
    message = f"Invalid type for '{name}': expected {wanted}, but got {_noun(value)} instead."
    return BadRequest(message, param=name, code="invalid_type")


def _kind(kind: type) -> Check:
    wanted = dict(_NOUNS)[kind]

    def checked(value: Any, name: str) -> None:
        if _noun(value) != wanted:
            raise _wrong_type(value, name, wanted)

    return checked


def _range(kinds: tuple[str, ...], least: float, most: float) -> Check:
    def checked(value: Any, name: str) -> None:
        if _noun(value) not in kinds:
            raise _wrong_type(value, name, kinds[0])
        if not least <= value <= most:
            message = f"Invalid '{name}': must be from {least} to {most}, but got {value} instead."
            raise BadRequest(message, param=name, code="invalid_value")

    return checked


def _integer(least: int, most: int) -> Check:
    return _range(("an integer",), least, most)


def _decimal(least: float, most: float) -> Check:
    return _range(("a decimal", "an integer"), least, most)


def _one_of(*values: str) -> Check:
    supported = ", ".join(f"'{value}'" for value in values)

    def checked(value: Any, name: str) -> None:
        _string(value, name)
        if value not in values:
            message = f"Invalid value: '{value}'. Supported values are: {supported}."
            raise BadRequest(message, param=name, code="invalid_value")

    return checked


_string, _object, _array, _boolean = _kind(str), _kind(dict), _kind(list), _kind(bool)


def _stop(value: Any, name: str) -> None:
    marks = [value] if isinstance(value, str) else value
    _array(marks, name)
    if len(marks) > 4:
        raise BadRequest(f"Invalid '{name}': at most 4 sequences.", param=name, code="array_above_max_length")
    for place, mark in enumerate(marks):
        _string(mark, f"{name}[{place}]")


def _metadata(value: Any, name: str) -> None:
    _object(value, name)
    fits = all(isinstance(text, str) and len(key) <= 64 and len(text) <= 512 for key, text in value.items())
    if len(value) > 16 or not fits:
        raise BadRequest(
            f"Invalid '{name}': at most 16 pairs of short strings.", param=name, code="invalid_value"
        )


def _stream_options(value: Any, name: str) -> None:
    _object(value, name)
    for member in value.keys() & {"include_usage", "include_obfuscation"}:
        _boolean(value[member], f"{name}.{member}")


def _response_format(value: Any, name: str) -> None:
    _object(value, name)
    _one_of("text", "json_object", "json_schema")(value.get("type"), f"{name}.type")
    if value["type"] == "json_schema":
        _object(value.get("json_schema"), f"{name}.json_schema")
        _named(value["json_schema"].get("name"), f"{name}.json_schema.name")
        _object(value["json_schema"].get("schema"), f"{name}.json_schema.schema")


def _named(value: Any, name: str) -> None:
    _string(value, name)
    if not _NAME.fullmatch(value):
        message = f"Invalid '{name}': expected 1 to 64 letters, digits, underscores or dashes."
        raise BadRequest(message, param=name, code="invalid_value")


def _function(value: Any, name: str) -> None:
    _object(value, name)
    _named(value.get("name"), f"{name}.name")
    if value.get("parameters") is not None:
        _object(value["parameters"], f"{name}.parameters")


def _tool(value: Any, name: str) -> None:
    _object(value, name)
    _one_of("function", "custom")(value.get("type"), f"{name}.type")
    if value["type"] == "function":
        _function(value.get("function"), f"{name}.function")


def _several(item: Check, least: int, most: int) -> Check:
    def checked(value: Any, name: str) -> None:
        _array(value, name)
        if not least <= len(value) <= most:
            code = "empty_array" if not value else "array_above_max_length"
            raise BadRequest(f"Invalid '{name}': expected {least} to {most} items.", param=name, code=code)
        for place, one in enumerate(value):
            item(one, f"{name}[{place}]")

    return checked


def _choice(value: Any, name: str) -> None:
    if isinstance(value, str):
        _one_of("none", "auto", "required")(value, name)
        return
    _object(value, name)
    if "name" not in value:
        _one_of("function", "allowed_tools", "custom")(value.get("type"), f"{name}.type")


# Messages.


def _call(value: Any, name: str) -> None:
    _object(value, name)
    _string(value.get("id"), f"{name}.id")
    _object(value.get("function"), f"{name}.function")
    _string(value["function"].get("name"), f"{name}.function.name")
    _string(value["function"].get("arguments"), f"{name}.function.arguments")


def _image(value: Any, name: str) -> None:
    _object(value, name)
    _string(value.get("url"), f"{name}.url")


_PARTS: dict[str, Check] = {
    "text": _string,
    "refusal": _string,
    "image_url": _image,
    "input_audio": _object,
    "file": _object,
}
_ROLES: dict[str, tuple[str, ...]] = {
    "developer": ("text",),
    "system": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
    "function": (),
}
"""The roles, and the parts the content of each may have."""


def _message(value: Any, name: str) -> None:
    _object(value, name)
    _one_of(*_ROLES)(value.get("role"), f"{name}.role")
    role, content = value["role"], value.get("content")
    calls = value.get("tool_calls")
    if calls is not None:
        _several(_call, 1, _MOST_TOOLS)(calls, f"{name}.tool_calls")
    if role == "tool":
        _string(value.get("tool_call_id"), f"{name}.tool_call_id")
    silent = role == "assistant" and bool(calls or value.get("function_call") or value.get("refusal"))
    if content is None and not silent:
        raise _wrong_type(content, f"{name}.content", "a string or an array of parts")
    if isinstance(content, list):
        _content(content, _ROLES[role], f"{name}.content")
    elif content is not None:
        _string(content, f"{name}.content")


def _content(parts: list[Any], allowed: tuple[str, ...], name: str) -> None:
    for place, part in enumerate(parts):
        _object(part, f"{name}[{place}]")
        _one_of(*allowed)(part.get("type"), f"{name}[{place}].type")
        _PARTS[part["type"]](part.get(part["type"]), f"{name}[{place}].{part['type']}")


# What concerns several fields.


def _needs(name: str, *others: str) -> Callable[[Mapping[str, Any]], None]:
    """``name`` means something only beside one of ``others``."""

    def rule(request: Mapping[str, Any]) -> None:
        if request.get(name) not in (None, "none") and not any(request.get(other) for other in others):
            wanted = " or ".join(f"'{other}'" for other in others)
            raise BadRequest(f"'{name}' is only allowed when {wanted} is set.", param=name)

    return rule


def _calls_are_answered(request: Mapping[str, Any]) -> None:
    """Each tool message answers a call just made, and each call is answered before anyone else speaks."""
    waiting: set[str] = set()
    for place, message in enumerate(request["messages"]):
        name = f"messages[{place}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                text = "Messages with role 'tool' must answer one of the preceding 'tool_calls'."
                raise BadRequest(text, param=f"{name}.tool_call_id")
            waiting.discard(message["tool_call_id"])
        elif waiting:
            raise BadRequest(f"No tool message answers these calls: {', '.join(sorted(waiting))}", param=name)
        else:
            waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if waiting:
        raise BadRequest(
            f"No tool message answers these calls: {', '.join(sorted(waiting))}", param="messages"
        )


def _choice_is_offered(request: Mapping[str, Any]) -> None:
    choice = request.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return
    function = choice.get("function")
    chosen = function.get("name") if isinstance(function, dict) else None
    offered = [tool["function"]["name"] for tool in request["tools"] if tool["type"] == "function"]
    if chosen not in offered:
        raise BadRequest(f"Tool choice '{chosen}' not found in 'tools' parameter.", param="tool_choice")


_RULES: tuple[Callable[[Mapping[str, Any]], None], ...] = (
    _needs("stream_options", "stream"),
    _needs("top_logprobs", "logprobs"),
    _needs("tool_choice", "tools"),
    _needs("parallel_tool_calls", "tools"),
    _needs("function_call", "functions"),
    _calls_are_answered,
    _choice_is_offered,
)

_FIELDS: dict[str, Check] = {
    "model": _string,
    "messages": _several(_message, 1, 100_000),
    "stream": _boolean,
    "stream_options": _stream_options,
    "temperature": _decimal(0, 2),
    "top_p": _decimal(0, 1),
    "n": _integer(1, 128),
    "stop": _stop,
    "max_completion_tokens": _integer(1, 2**31),
    "max_tokens": _integer(1, 2**31),
    "presence_penalty": _decimal(-2, 2),
    "frequency_penalty": _decimal(-2, 2),
    "logit_bias": _object,
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 20),
    "seed": _integer(-(2**63), 2**63 - 1),
    "response_format": _response_format,
    "tools": _several(_tool, 1, _MOST_TOOLS),
    "tool_choice": _choice,
    "parallel_tool_calls": _boolean,
    "functions": _several(_function, 1, _MOST_TOOLS),
    "function_call": _choice,
    "reasoning_effort": _one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": _one_of("low", "medium", "high"),
    "modalities": _several(_string, 1, 2),
    "audio": _object,
    "prediction": _object,
    "web_search_options": _object,
    "moderation": _object,
    "user": _string,
    "safety_identifier": _string,
    "prompt_cache_key": _string,
    "service_tier": _string,
    "store": _boolean,
    "metadata": _metadata,
}
