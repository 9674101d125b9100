"""Is this a request Dify would accept? Used by the stand-in to catch a gateway that sends nonsense.

``check(body, mode, version)`` looks at each field by itself, as the platform's own models do, and raises
``FieldsRefused`` for what has the wrong shape; fields it does not know it ignores, also as the platform does.
``Ask`` is what is left. What needs the app (its form, its files) is in ``fill`` and dify_files.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from proxy.simulators.dify_apps import Variable
from proxy.simulators.dify_errors import FieldsRefused, Refused, Wrong, invalid
from proxy.simulators.dify_versions import CHATS, Version

Body: TypeAlias = Mapping[str, Any]
Complaint: TypeAlias = tuple[str, str] | None
"""Pydantic's name for what is wrong and its sentence, or None."""

_TRUTHS = (True, False, 0, 1, "true", "false", "True", "False", "0", "1")
_MISSING = ("missing", "Field required")
_ABSENT = object()


@frozen
class Ask:
    """A request to generate, its fields in order."""

    inputs: dict[str, Any]
    query: str
    streaming: bool
    conversation_id: str
    files: tuple[dict[str, Any], ...]
    names: bool
    """Whether a new conversation gets a name made up from its first question."""
    workflow_id: str


# The user, who is looked for before anything else.


def document(content_type: str, raw: bytes, loads: Callable[[bytes], Any]) -> Body:
    """The JSON object in a body."""
    if content_type != "application/json":
        raise Refused("unsupported_media_type")
    try:
        body = loads(raw)
    except ValueError:
        raise Refused("bad_request") from None
    if not isinstance(body, dict):
        # The platform asks whatever it finds for its "user" and falls over.
        raise Refused("unknown")
    return body


def user_of(value: Any, *, required: bool) -> str:
    if not value:
        if required:
            raise invalid("Arg user must be provided.")
        return "DEFAULT-USER"
    return str(value)


# One field at a time.


def _inputs(value: Any, version: Version) -> Complaint:
    if isinstance(value, dict) or (value == [] and version.list_inputs):
        return None
    return _MISSING if value is _ABSENT else ("dict_type", "Input should be a valid dictionary")


def _needed_text(value: Any, version: Version) -> Complaint:
    return _MISSING if value is _ABSENT else _text(value, version)


def _text(value: Any, version: Version) -> Complaint:
    fits = value is _ABSENT or isinstance(value, str)
    return None if fits else ("string_type", "Input should be a valid string")


def _optional_text(value: Any, version: Version) -> Complaint:
    return None if value is None else _text(value, version)


def _mode(value: Any, version: Version) -> Complaint:
    fits = value is _ABSENT or value is None or value in ("blocking", "streaming")
    return None if fits else ("literal_error", "Input should be 'blocking' or 'streaming'")


def _files(value: Any, version: Version) -> Complaint:
    if value is _ABSENT or value is None:
        return None
    if not isinstance(value, list):
        return "list_type", "Input should be a valid list"
    fits = all(isinstance(one, dict) for one in value)
    return None if fits else ("dict_type", "Input should be a valid dictionary")


def _conversation(value: Any, version: Version) -> Complaint:
    if value is _ABSENT or value is None or (isinstance(value, str) and not value.strip()):
        return None
    fits = isinstance(value, str) and is_uuid(value.strip())
    return None if fits else ("value_error", "Value error, conversation_id must be a valid UUID")


def _truth(value: Any, version: Version) -> Complaint:
    fits = value is _ABSENT or (not isinstance(value, (list, dict)) and value in _TRUTHS)
    return None if fits else ("bool_parsing", "Input should be a valid boolean, unable to interpret input")


def is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


Check: TypeAlias = Callable[[Any, Version], Complaint]

_RUN: dict[str, Check] = {"inputs": _inputs, "files": _files, "response_mode": _mode}
_COMPLETION: dict[str, Check] = {**_RUN, "query": _text, "retriever_from": _text}
_CHAT: dict[str, Check] = {
    **_COMPLETION,
    "query": _needed_text,
    "conversation_id": _conversation,
    "auto_generate_name": _truth,
    "workflow_id": _optional_text,
}


def _model(mode: str) -> tuple[str, dict[str, Check]]:
    """What the platform calls the body of this mode, and its fields."""
    if mode in CHATS:
        return "ChatRequestPayload", _CHAT
    return ("WorkflowRunPayload", _RUN) if mode == "workflow" else ("CompletionRequestPayload", _COMPLETION)


def check(body: Body, mode: str, version: Version) -> Ask:
    name, fields = _model(mode)
    wrongs = []
    for field, look in fields.items():
        value = body.get(field, _ABSENT)
        if (complaint := look(value, version)) is not None:
            kind, reason = complaint
            wrongs.append(Wrong(field, reason, kind, dict(body) if value is _ABSENT else value))
    if wrongs:
        raise FieldsRefused(name, tuple(wrongs))
    query = str(body.get("query", "")) if mode != "workflow" else ""
    if mode in CHATS and not query:
        raise invalid("query is required")
    return Ask(
        inputs=dict(body["inputs"]),
        query=query.replace("\0", ""),
        streaming=body.get("response_mode") == "streaming",
        conversation_id=str(body.get("conversation_id") or "").strip() if mode in CHATS else "",
        files=tuple(body.get("files") or ()),
        names=mode in CHATS and body.get("auto_generate_name", True) in (True, 1, "true", "True", "1"),
        workflow_id=str(body.get("workflow_id") or "") if mode == "advanced-chat" else "",
    )


# The form.


def fill(form: tuple[Variable, ...], given: Body) -> dict[str, Any]:
    """The inputs a run starts with: only what the form has, and all that it has."""
    return {one.variable: _filled(one, given.get(one.variable)) for one in form}


def _filled(field: Variable, value: Any) -> Any:
    if value is None:
        if field.required:
            raise invalid(f"{field.variable} is required in input form")
        value = field.default
        if value is None:
            return None
    if not field.required and field.type in ("file", "file-list") and value == "":
        return None
    return _KINDS.get(field.type, _as_it_is)(field, value)


def _as_it_is(field: Variable, value: Any) -> Any:
    return value


def _string(field: Variable, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(f"(type '{field.type}') {field.variable} in input form must be a string")
    if field.max_length and len(value) > field.max_length:
        raise invalid(f"{field.variable} in input form must be less than {field.max_length} characters")
    return value.replace("\0", "")


def _chosen(field: Variable, value: Any) -> str:
    chosen = _string(field, value)
    if chosen not in field.options:
        raise invalid(f"{field.variable} in input form must be one of the following: {list(field.options)}")
    return chosen


def _number(field: Variable, value: Any) -> int | float | None:
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        raise Refused("unknown")
    if not value.strip():
        return None
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise invalid(f"{field.variable} in input form must be a valid number") from None


def _checked(field: Variable, value: Any) -> Any:
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _file(field: Variable, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{field.variable} in input form must be a file")
    return value


def _file_list(field: Variable, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(f"{field.variable} in input form must be a list of files")
    if field.max_length and len(value) > field.max_length:
        raise invalid(f"{field.variable} in input form must be less than {field.max_length} files")
    return value


_KINDS: dict[str, Callable[[Variable, Any], Any]] = {
    "text-input": _string,
    "paragraph": _string,
    "select": _chosen,
    "number": _number,
    "checkbox": _checked,
    "file": _file,
    "file-list": _file_list,
}
