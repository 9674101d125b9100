"""Is this a request Coze would accept? A table for each body says what its fields must be; the first wrong is 4000.

A null is a field left out, as the official SDK sends it. A field that is not in the table is refused, because it is
in the wrong place: Coze would ignore it, and whoever sent it would never know. ``messages`` holds the rules of
EnterMessage lists, above all those of multimodal content: JSON text inside JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from multidict import MultiMapping

from proxy.simulators.coze_replies import invalid, missing
from translators import wirejson

Check: TypeAlias = Callable[[Any, str], None]
Fields: TypeAlias = Mapping[str, Check]

_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_]+", re.ASCII)
_MOST_MESSAGES = 100
_MOST_FLOW_MESSAGES = 50
LONGEST_NAME = 100

_NOUNS: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def body(given: Any, fields: Fields, *required: str) -> dict[str, Any]:
    """``given`` without its nulls, if every field is one of ``fields`` and right."""
    if not isinstance(given, dict):
        raise invalid("The request body must be a JSON object.")
    found = {name: value for name, value in given.items() if value is not None}
    for name in required:
        if name not in found:
            raise missing(name)
    for name, value in found.items():
        if name not in fields:
            raise invalid(f"The field {name} does not belong in this body.")
        fields[name](value, name)
    return found


# Queries.


def query_id(query: MultiMapping[str], name: str) -> str:
    if not (value := query.get(name, "")):
        raise missing(name)
    identifier(value, name)
    return value


def query_number(query: MultiMapping[str], name: str, default: int, most: int = 2**31) -> int:
    value = query.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:12]) <= most:
        raise invalid(f"The field {name} must be an integer from 1 to {most}.")
    return int(value[:12])


# What one value must be.


def _kind(kind: type) -> Check:
    def checked(value: Any, name: str) -> None:
        if type(value) is not kind:
            raise invalid(f"The field {name} must be {_NOUNS[kind]}.")

    return checked


string, boolean, integer, array, mapping = _kind(str), _kind(bool), _kind(int), _kind(list), _kind(dict)


def filled(value: Any, name: str) -> None:
    string(value, name)
    if not value:
        raise missing(name)


def identifier(value: Any, name: str) -> None:
    string(value, name)
    if _ID.fullmatch(value) is None:
        raise invalid(f"The field {name} must be an id: a string of decimal digits.")


def short(most: int) -> Check:
    def checked(value: Any, name: str) -> None:
        string(value, name)
        if len(value) > most:
            raise invalid(f"The field {name} must have at most {most} characters.")

    return checked


def number(least: int, most: int) -> Check:
    def checked(value: Any, name: str) -> None:
        integer(value, name)
        if not least <= value <= most:
            raise invalid(f"The field {name} must be from {least} to {most}.")

    return checked


def one_of(*values: str) -> Check:
    def checked(value: Any, name: str) -> None:
        string(value, name)
        if value not in values:
            raise invalid(f"The field {name} must be one of {', '.join(values)}.")

    return checked


def strings(value: Any, name: str) -> None:
    mapping(value, name)
    for key, text in value.items():
        string(text, f"{name}.{key}")


def _variables(value: Any, name: str) -> None:
    strings(value, name)
    for key in value:
        if _VARIABLE.fullmatch(key) is None:
            raise invalid(f"The variable {key} of {name} may have letters and underscores only.")


def meta_data(value: Any, name: str) -> None:
    strings(value, name)
    if len(value) > 16:
        raise invalid(f"The field {name} must have at most 16 pairs.")
    for key, text in value.items():
        if not 1 <= len(key) <= 64 or not 1 <= len(text) <= 512:
            raise invalid(f"The pair {key} of {name} is too long or empty.")


def _members(fields: Fields, *required: str) -> Check:
    def checked(value: Any, name: str) -> None:
        mapping(value, name)
        body(value, fields, *required)

    return checked


# Messages.

_TOOL_TYPES = ("function_call", "tool_output", "tool_response")
_MESSAGE: Fields = {
    "role": one_of("user", "assistant"),
    "type": one_of("question", "answer", *_TOOL_TYPES),
    "content": string,
    "content_type": one_of("text", "object_string"),
    "meta_data": meta_data,
}
_ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("file_id", "file_url"),
    "file": ("file_id", "file_url"),
    "audio": ("file_id", "file_url"),
}
"""What an element of multimodal content is, and the members of which it must have one."""


def message(value: Any, name: str) -> None:
    """One EnterMessage by itself."""
    mapping(value, name)
    given = body(value, _MESSAGE, "role", "content", "content_type")
    role, kind = given["role"], given.get("type", "question")
    if (kind == "question") is not (role == "user"):
        raise invalid(f"{name}: a message of role {role} cannot be of type {kind}.")
    if given["content_type"] == "object_string":
        if role != "user":
            raise invalid(f"{name}: only users send object_string.")
        elements(given["content"], f"{name}.content")


def elements(content: str, name: str) -> list[dict[str, Any]]:
    """The multimodal content in this JSON text, if it keeps the rules for one message."""
    try:
        found = wirejson.loads(content.encode("utf-8", "replace"))
    except ValueError:
        raise invalid(f"{name} is object_string and must be the JSON text of an array.") from None
    if not isinstance(found, list) or not found:
        raise invalid(f"{name} is object_string and must be the JSON text of an array.")
    for place, element in enumerate(found):
        _element(element, f"{name}[{place}]")
    texts = sum(element["type"] == "text" for element in found)
    if texts > 1:
        raise invalid(f"{name} may have one text element at most.")
    if texts == len(found):
        raise invalid(f"{name} has only text: send it with content_type text.")
    return found


def _element(element: Any, name: str) -> None:
    mapping(element, name)
    given = {key: value for key, value in element.items() if value is not None}
    one_of(*_ELEMENTS)(given.get("type"), f"{name}.type")
    wanted = _ELEMENTS[given["type"]]
    if not any(member in given for member in wanted):
        raise invalid(f"{name} needs {' or '.join(wanted)}.")
    for member, value in given.items():
        if member not in ("type", *wanted):
            raise invalid(f"{name}.{member} does not belong there.")
        filled(value, f"{name}.{member}")
    if "file_id" in given:
        identifier(given["file_id"], f"{name}.file_id")
    if not given.get("file_url", "http://").startswith(("http://", "https://")):
        raise invalid(f"{name}.file_url must be a public address.")


def messages(most: int, *, plain: bool = False) -> Check:
    """A whole list; with ``plain`` text is all it may hold."""

    def checked(value: Any, name: str) -> None:
        array(value, name)
        if len(value) > most:
            raise invalid(f"The field {name} may have at most {most} messages.")
        for place, one in enumerate(value):
            message(one, f"{name}[{place}]")
            if plain and one["content_type"] != "text":
                raise invalid(f"{name}[{place}]: a chatflow takes text only.")
            _has_words(value, place, f"{name}[{place}]")

    return checked


def _has_words(among: Sequence[Any], place: int, name: str) -> None:
    """A message of images and files alone needs a plain one directly before or after it."""
    one = among[place]
    if one["content_type"] != "object_string":
        return
    if {element["type"] for element in elements(one["content"], name)} - {"image", "file"}:
        return
    beside = [*among[max(0, place - 1) : place], *among[place + 1 : place + 2]]
    if not any(isinstance(other, dict) and other.get("content_type") == "text" for other in beside):
        raise invalid(f"{name} has no text, and no text message stands directly before or after it.")


# Bodies.

CHAT: Fields = {
    "bot_id": identifier,
    "user_id": filled,
    "additional_messages": messages(_MOST_MESSAGES),
    "stream": boolean,
    "auto_save_history": boolean,
    "custom_variables": _variables,
    "parameters": mapping,
    "meta_data": meta_data,
    "extra_params": _members({"latitude": string, "longitude": string}),
    "shortcut_command": _members({"command_id": filled, "parameters": strings}, "command_id"),
    "enable_card": boolean,
    "publish_status": one_of("published_online", "unpublished_draft"),
    "bot_version": filled,
}
STUDIO_CHAT: Fields = {**CHAT, "connector_id": string, "custom_config": mapping}
CANCEL: Fields = {"conversation_id": identifier, "chat_id": identifier}
_OUTPUT = _members({"tool_call_id": filled, "output": string}, "tool_call_id", "output")


def _outputs(value: Any, name: str) -> None:
    array(value, name)
    for place, output in enumerate(value):
        _OUTPUT(output, f"{name}[{place}]")


SUBMIT: Fields = {"tool_outputs": _outputs, "stream": boolean}

CREATE_CONVERSATION: Fields = {
    "bot_id": identifier,
    "messages": messages(_MOST_MESSAGES),
    "meta_data": meta_data,
    "name": short(LONGEST_NAME),
    "connector_id": identifier,
}
RENAME: Fields = {"name": short(LONGEST_NAME)}
CREATE_MESSAGE: Fields = {name: check for name, check in _MESSAGE.items() if name != "type"}
LIST_MESSAGES: Fields = {
    "order": one_of("asc", "desc"),
    "chat_id": identifier,
    "before_id": identifier,
    "after_id": identifier,
    "limit": number(1, 50),
    "include_middle_message": boolean,
}
MODIFY_MESSAGE: Fields = {"content": string, "content_type": _MESSAGE["content_type"], "meta_data": meta_data}

_WORKFLOW: Fields = {
    "workflow_id": identifier,
    "parameters": mapping,
    "bot_id": identifier,
    "app_id": identifier,
    "ext": strings,
    "workflow_version": filled,
    "connector_id": identifier,
}
STREAM_RUN: Fields = _WORKFLOW
RUN: Fields = {**_WORKFLOW, "is_async": boolean}
RESUME: Fields = {
    "workflow_id": identifier,
    "event_id": filled,
    "interrupt_type": integer,
    "resume_data": string,
    "connector_id": identifier,
}
CHATFLOW: Fields = {
    **_WORKFLOW,
    "additional_messages": messages(_MOST_FLOW_MESSAGES, plain=True),
    "conversation_id": identifier,
}
TOKEN: Fields = {"grant_type": filled, "duration_seconds": number(1, 86_399), "scope": mapping}
