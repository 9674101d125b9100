"""An OpenAI chat request, checked once.

``Prompt`` keeps the body as the client sent it, because an OpenAI-shaped upstream gets all of it, and beside
it what every platform needs. Fields are checked by table, with the wording and the ``param`` that OpenAI
uses, so that SDK users see the messages they know; ``SCHEMA`` tells the same table to the API's description.
Unknown fields and kinds of content are for the upstream to judge. A null is absence.

Most requests are a model's name and a list of roles and words. That nothing is wrong with those can be seen at a
look, which is all they get; whatever looks otherwise goes through the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from translators.checks import MAX_MODEL as MAX_MODEL
from translators.checks import (
    Check,
    Schema,
    any_object,
    anything,
    array,
    boolean,
    demanding,
    either,
    integer,
    members,
    missing,
    model_name,
    no_model,
    number,
    object_schema,
    one_of,
    one_of_members,
    says,
    string,
    wrong,
    wrong_type,
)
from translators.record import record

_USUAL = {"model", "messages", "stream", "stream_options"}
_SPEAKERS = ("user", "assistant", "system", "developer")


@record
class Prompt:
    body: Mapping[str, Any]
    model: str
    stream: bool
    include_usage: bool

    @classmethod
    def from_chat(cls, body: dict[str, Any]) -> Prompt:
        if None in body.values():
            body = {name: value for name, value in body.items() if value is not None}
        if not _is_usual(body):
            _check(body)
        options = body.get("stream_options")
        return cls(
            body, body["model"], bool(body.get("stream")), bool(options and options.get("include_usage"))
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages


FORGOTTEN = {stream: Prompt({}, "", stream, include_usage=False) for stream in (True, False)}
"""Stands where a prompt was that is not needed any more, by whether it asked for a stream."""


def _is_usual(body: Mapping[str, Any]) -> bool:
    """Whether it can be seen at a look that nothing is wrong: a no says nothing, a yes is sure."""
    model, stream, options = body.get("model"), body.get("stream", False), body.get("stream_options")
    return (
        body.keys() <= _USUAL
        and type(model) is str
        and 0 < len(model) <= MAX_MODEL
        and model.isprintable()
        and not model.isspace()
        and type(stream) is bool
        and (options is None or (stream and _is_usual_option(options)))
        and _are_words(body.get("messages"))
    )


def _is_usual_option(options: Any) -> bool:
    return type(options) is dict and len(options) == 1 and type(options.get("include_usage")) is bool


def _are_words(messages: Any) -> bool:
    """Whether there are some, and each is a role and a text."""
    if type(messages) is not list or not messages:
        return False
    for message in messages:
        if (
            type(message) is not dict
            or len(message) != 2
            or type(message.get("content")) is not str
            or message.get("role") not in _SPEAKERS
        ):
            return False
    return True


def _check(body: Mapping[str, Any]) -> None:
    """Raises BadRequest for the first field of the table that is wrong."""
    if "model" not in body:
        raise no_model("model")
    if "messages" not in body:
        raise missing("messages")
    for name, check in _FIELDS.items():
        if name in body:
            check(body[name], name)
    if "stream_options" in body and not body.get("stream"):
        raise wrong(
            "stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        )


_PARTS: dict[str, Check] = {
    "text": members({"text": string}),
    "refusal": members({"refusal": string}),
    "image_url": members(
        {"image_url": either((str, string), (dict, members({"url": string})), expected="an object")}
    ),
    "input_audio": members({"input_audio": members({"data": string, "format": string})}),
    "file": one_of_members({"file": any_object, "file_url": string, "file_id": string}),
    "image": one_of_members({"file_url": string, "file_id": string}),
}


@says(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string"}},
        "anyOf": [
            *(
                {**part.schema, "properties": {"type": {"const": name}, **part.schema["properties"]}}
                for name, part in _PARTS.items()
            ),
            {"properties": {"type": {"not": {"enum": list(_PARTS)}}}},
        ],
    }
)
def _part(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise wrong_type(param, "an object", value)
    string(value.get("type"), f"{param}.type")
    _PARTS.get(value["type"], anything)(value, param)


_content = either(
    (str, anything), (list, array(_part, "objects")), expected="one of a string or array of objects"
)
_tool_call = members(
    {"id": string},
    {"type": string, "function": members({"name": string}, {"arguments": string})},
)
_told = members({"content": _content}, {"name": string})
_said = members(
    {},
    {"content": _content, "name": string, "refusal": string, "tool_calls": array(_tool_call, "objects")},
)
_SAYINGS = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content", "reasoning")
_SOMETHING: Schema = {"not": {"enum": [None, "", [], {}, False, 0]}}


@says(
    {
        **_said.schema,
        "anyOf": [
            demanding("content", _content),
            *({"required": [saying], "properties": {saying: _SOMETHING}} for saying in _SAYINGS),
        ],
    }
)
def _assistant(value: Any, param: str) -> None:
    _said(value, param)
    if not any(value.get(saying) for saying in _SAYINGS) and value.get("content") is None:
        raise missing(f"{param}.content")


_ROLES: dict[str, Check] = {
    "system": _told,
    "developer": _told,
    "user": _told,
    "assistant": _assistant,
    "tool": members({"content": _content, "tool_call_id": string}),
    "function": members({"name": string}, {"content": _content}),
}


_role = one_of(*_ROLES)


@says(
    {
        "type": "object",
        "required": ["role"],
        "properties": {"role": _role.schema},
        "anyOf": [
            {
                **message.schema,
                "properties": {"role": {"const": role}, **message.schema["properties"]},
            }
            for role, message in _ROLES.items()
        ],
    }
)
def _message(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise wrong_type(param, "an object", value)
    role = value.get("role")
    if role is None:
        raise missing(f"{param}.role")
    _role(role, f"{param}.role")
    _ROLES[role](value, param)


_several = array(_message, "objects", at_least=1)


@says(_several.schema)
def _messages(value: Any, param: str) -> None:
    if not _are_words(value):
        _several(value, param)


_tool = members({"type": string}, {"function": members({"name": string}, {"parameters": any_object})})

_FIELDS: dict[str, Check] = {
    "model": model_name,
    "messages": _messages,
    "stream": boolean,
    "stream_options": members({}, {"include_usage": boolean, "include_obfuscation": boolean}),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "n": integer(1, 128),
    "seed": integer(),
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "stop": either(
        (str, anything), (list, array(string, "strings")), expected="one of a string or array of strings"
    ),
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "logit_bias": any_object,
    "user": string,
    "metadata": any_object,
    "modalities": array(string, "strings"),
    "response_format": members({"type": string}),
    "tools": array(_tool, "objects"),
    "tool_choice": either((str, anything), (dict, anything), expected="one of a string or an object"),
    "parallel_tool_calls": boolean,
    "functions": array(members({"name": string}), "objects"),
    "function_call": either((str, anything), (dict, anything), expected="one of a string or an object"),
    "reasoning_effort": string,
}

MESSAGE, PART = _message.schema, _part.schema
SCHEMA = object_schema(
    {name: _FIELDS[name] for name in ("model", "messages")},
    {name: check for name, check in _FIELDS.items() if name not in ("model", "messages")},
)
"""What a chat request may be, as far as it is looked at here."""
