"""What bodies look like, each shape written once.

Those of requests that are checked by a table are that table's own. Those of answers say what a client may rely on:
members that are named and not required may be missing, and others may be there.
"""

from __future__ import annotations

from typing import Any

from proxy.describe_files import FILE_SCHEMAS
from translators.checks import Schema
from translators.embeddings import SCHEMA as EMBEDDING_REQUEST
from translators.request import MESSAGE, PART
from translators.request import SCHEMA as CHAT_REQUEST

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "integer", "minimum": 0, "description": "Seconds since 1970."}
_YES: Schema = {"type": "boolean"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_FILE: Schema = {"type": "string", "format": "binary"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _just(value: str) -> Schema:
    return {"const": value}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _all_of(name: str) -> Schema:
    return {"type": "array", "items": _named(name)}


def _page_of(name: str) -> Schema:
    return _object(
        {
            "object": _just("list"),
            "data": _all_of(name),
            "has_more": _YES,
            "first_id": _MAYBE_TEXT,
            "last_id": _MAYBE_TEXT,
        }
    )


def _referring(schema: Any) -> Any:
    """The same, with shapes that have a name told by it."""
    for name, shape in _SHARED.items():
        if schema == shape:
            return _named(name)
    if isinstance(schema, dict):
        return {name: _referring(inner) for name, inner in schema.items()}
    return [_referring(inner) for inner in schema] if isinstance(schema, list) else schema


_SHARED = {"ChatMessage": MESSAGE, "ContentPart": PART}
_USAGE = _object(
    # -1 stands for what a platform does not tell
    {
        name: {"type": "integer", "minimum": -1}
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    },
    {
        "prompt_tokens_details": {"type": ["object", "null"]},
        "completion_tokens_details": {"type": ["object", "null"]},
    },
)
_FUNCTION = _object({"name": _TEXT, "arguments": _TEXT})
_FINISH: Schema = {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]}
_ENVELOPE = {"id": _TEXT, "created": _TIME, "model": _TEXT}
_METADATA: Schema = {"type": "object", "additionalProperties": _TEXT}

SCHEMAS: dict[str, Any] = {
    "Error": _object(
        {
            "error": _object(
                {
                    "message": _TEXT,
                    "type": {
                        "enum": [
                            "invalid_request_error",
                            "authentication_error",
                            "permission_error",
                            "rate_limit_error",
                            "insufficient_quota",
                            "server_error",
                        ]
                    },
                    "param": _MAYBE_TEXT,
                    "code": _MAYBE_TEXT,
                }
            )
        }
    ),
    "ChatRequest": _referring(CHAT_REQUEST),
    "ChatMessage": {name: _referring(part) for name, part in MESSAGE.items()},
    "ContentPart": PART,
    "ChatCompletion": _object(
        {**_ENVELOPE, "object": _just("chat.completion"), "choices": _all_of("ChatChoice")},
        {"usage": _USAGE},
    ),
    "ChatChoice": _object(
        {"index": _COUNT, "message": _named("ChatAnswer"), "finish_reason": _FINISH},
        {"logprobs": {"type": ["object", "null"]}},
    ),
    "ChatAnswer": _object(
        {"role": _just("assistant"), "content": _MAYBE_TEXT, "refusal": _MAYBE_TEXT},
        {
            "reasoning_content": _TEXT,
            "annotations": {"type": "array", "items": {"type": "object"}},
            "tool_calls": {
                "type": "array",
                "items": _object({"id": _TEXT, "type": _TEXT}, {"function": _FUNCTION}),
            },
            "function_call": _FUNCTION,
        },
    ),
    "ChatChunk": _object(
        {
            **_ENVELOPE,
            "object": _just("chat.completion.chunk"),
            "choices": {
                "type": "array",
                "items": _object(
                    {
                        "index": _COUNT,
                        "delta": {"type": "object"},
                        "finish_reason": {"anyOf": [_FINISH, {"type": "null"}]},
                    }
                ),
            },
        },
        {"usage": {"anyOf": [_USAGE, {"type": "null"}]}},
    ),
    "EmbeddingRequest": EMBEDDING_REQUEST,
    "EmbeddingList": _object(
        {"object": _just("list"), "data": _all_of("Embedding"), "model": _TEXT},
        {"usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT})},
    ),
    "Embedding": _object(
        {
            "object": _just("embedding"),
            "index": _COUNT,
            "embedding": {
                "anyOf": [
                    {"type": "array", "items": {"type": "number"}, "minItems": 1},
                    {"type": "string", "contentEncoding": "base64", "minLength": 4},
                ]
            },
        }
    ),
    "Model": _object({"id": _TEXT, "object": _just("model"), "created": _TIME, "owned_by": _TEXT}),
    "ModelList": _object({"object": _just("list"), "data": _all_of("Model")}),
    "TranscriptionRequest": _object(
        {"model": {"type": "string", "minLength": 1}, "file": _FILE},
        {"response_format": {"enum": ["json", "text"]}, "user": _TEXT},
    ),
    "Transcription": _object({"text": _TEXT}),
    "SpeechRequest": _object(
        {"model": {"type": "string", "minLength": 1}, "input": {"type": "string", "minLength": 1}},
        {
            "voice": {"anyOf": [_TEXT, _object({"id": _TEXT})]},
            "response_format": _just("mp3"),
            "stream_format": _just("audio"),
            "user": _TEXT,
        },
    ),
    "ConversationRequest": {
        "type": "object",
        "properties": {
            "messages": _all_of("ChatMessage"),
            "items": {"type": "array", "items": {"type": "object"}},
            "metadata": {**_METADATA, "maxProperties": 16},
        },
    },
    "Conversation": _object(
        {"id": _TEXT, "object": {"type": "string"}}, {"created_at": _TIME, "metadata": {"type": "object"}}
    ),
    "ConversationList": _page_of("Conversation"),
    "Message": _object(
        {"id": _TEXT, "role": _TEXT, "content": {"anyOf": [_TEXT, {"type": "array"}]}, "created_at": _TIME},
        {"type": _TEXT},
    ),
    "MessageList": _page_of("Message"),
    "Session": _object({"id": _TEXT, "object": _just("workflow.session"), "upstream": _TEXT}),
    "SessionList": _page_of("Session"),
    **FILE_SCHEMAS,
    "Health": _object({"status": _TEXT, "version": _TEXT, "upstreams": {"type": "array", "items": _TEXT}}),
    "Status": _object({"status": _TEXT}, {"reasons": {"type": "array", "items": _TEXT}}),
    "Description": _object({"openapi": _TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
