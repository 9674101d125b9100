"""What a request may say to an agent beside OpenAI's fields, in an object ``bedrock`` or right in the body.

Members have the service's own names, in its spelling or with underscores, and win over what is derived from the
rest of the request. They are checked by one table, because what is wrong with them should be said here, with the
place it stands at, and not by a validator abroad; members that nobody knows are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from translators.errors import BadRequest

MEMORY_ID = re.compile(r"[0-9a-zA-Z._:-]{2,100}", re.ASCII)
_ARN = re.compile(r"arn:[0-9A-Za-z:/_-]{1,2040}", re.ASCII)
_UNDERSCORE = re.compile(r"_([a-z])")
_MAX_BASES = 100

Check: TypeAlias = Callable[[Any, str], None]


def extras(body: Mapping[str, Any], inline: bool = False) -> dict[str, Any]:
    """The members by the service's own names, checked. Raises BadRequest."""
    table = _INLINE if inline else _AGENT
    given = body.get("bedrock", {})
    _object(given, "bedrock")
    found: dict[str, Any] = {}
    for name in ("memory_id", "end_session"):
        if name in body:
            found[_camel(name)] = _checked(_camel(name), body[name], name, table)
    for name, value in given.items():
        if value is not None:
            found[_camel(name)] = _checked(_camel(name), value, f"bedrock.{name}", table)
    return found


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def _checked(name: str, value: Any, param: str, table: Mapping[str, Check]) -> Any:
    check = table.get(name)
    if check is None:
        known = ", ".join(table)
        raise BadRequest(
            f"Unknown member '{param[:100]}'. Known are: {known}.",
            param=param[:200],
            code="unknown_parameter",
        )
    check(value, param)
    return value


def _wrong_type(param: str, expected: str) -> BadRequest:
    return BadRequest(f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type")


def _wrong(param: str, expected: str) -> BadRequest:
    return BadRequest(f"Invalid '{param}': expected {expected}.", param=param, code="invalid_value")


def _boolean(value: Any, param: str) -> None:
    if type(value) is not bool:
        raise _wrong_type(param, "a boolean")


def _object(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise _wrong_type(param, "an object")


def _integer(least: int, most: int) -> Check:
    def check(value: Any, param: str) -> None:
        if type(value) is not int:
            raise _wrong_type(param, "an integer")
        if not least <= value <= most:
            raise _wrong(param, f"an integer from {least} to {most}")

    return check


def _like(pattern: re.Pattern[str], expected: str) -> Check:
    def check(value: Any, param: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(param, "a string")
        if not pattern.fullmatch(value):
            raise _wrong(param, expected)

    return check


def _texts(value: Any, param: str) -> None:
    _object(value, param)
    for name, text in value.items():
        if not isinstance(text, str):
            raise _wrong_type(f"{param}.{name[:100]}", "a string")


def _objects(at_least: int, at_most: int, *members: str) -> Check:
    """So many objects, each with these members."""

    def check(value: Any, param: str) -> None:
        if type(value) is not list:
            raise _wrong_type(param, "an array of objects")
        if not at_least <= len(value) <= at_most:
            raise _wrong(param, f"{at_least} to {at_most} objects")
        for number, one in enumerate(value):
            _object(one, f"{param}[{number}]")
            for member in members:
                if one.get(member) is None:
                    raise BadRequest(
                        f"Missing required parameter: '{param}[{number}].{member}'.",
                        param=f"{param}[{number}].{member}",
                        code="missing_required_parameter",
                    )

    return check


def _latency(value: Any, param: str) -> None:
    if value not in ("standard", "optimized"):
        raise _wrong(param, "'standard' or 'optimized'")


_SHARED: dict[str, Check] = {
    "enableTrace": _boolean,
    "endSession": _boolean,
    "streamFinalResponse": _boolean,
    "applyGuardrailInterval": _integer(1, 1_000_000),
    "latency": _latency,
    "promptCreationConfigurations": _object,
    "sessionAttributes": _texts,
    "promptSessionAttributes": _texts,
}
_AGENT: dict[str, Check] = {
    **_SHARED,
    "memoryId": _like(MEMORY_ID, "2 to 100 letters, digits, '.', '_', ':' and '-'"),
    "sourceArn": _like(_ARN, "an ARN"),
    "knowledgeBaseConfigurations": _objects(1, _MAX_BASES, "knowledgeBaseId", "retrievalConfiguration"),
}
_INLINE: dict[str, Check] = {
    **_SHARED,
    "actionGroups": _objects(1, 50, "actionGroupName"),
    "knowledgeBases": _objects(1, _MAX_BASES, "knowledgeBaseId", "description"),
    "guardrailConfiguration": _object,
    "idleSessionTTLInSeconds": _integer(60, 3600),
}
