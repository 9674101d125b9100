"""Finding the words in what an agent yields, which can be anything.

A runtime hands on whatever its agent's author thought of. Still most agents yield text in few shapes: a string, a
content block, a list of them, a message with a role, each perhaps inside another. What is somebody else's (a user's
message, a tool's result) has no words of the assistant, and what is in no known shape has none at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from translators import wirejson
from translators.errors import GatewayError, UpstreamDependencyFailed
from translators.events import FinishReason, Usage
from translators.upstreams.bedrock_errors import sanitized

NOT_JSON = object()

_DEEPEST = 8
_LONGEST_DETAIL = 1000
_INSIDE = ("text", "content", "parts", "message", "artifacts", "delta", "data")
"""Members in which there are words or something that has them; the first that has any counts."""
_WHOLE = ("result", "response", "output", "answer", "completion", "choices", *_INSIDE, "body")
_OURS = ("assistant", "ai", "model", "agent")

QUIET = frozenset(
    (
        *("tool", "tool_use", "tool_call", "tool_calls", "tool_result", "tool_start", "tool_end", "function"),
        *("tool_input", "toolUse", "toolResult", "start", "stop", "status", "progress", "metadata", "usage"),
        *("ping", "heartbeat", "keepalive", "keep_alive", "log", "debug", "human", "user", "system", "image"),
    )
)
"""What may stand as the type of something that has no words of the assistant."""
THOUGHTS = frozenset(("thinking", "thought", "reasoning", "reasoning_content"))
LAST = frozenset(("final", "result", "complete", "completed", "done", "end"))
"""Types of what repeats the whole answer, or is all of it."""

_REPR = re.compile(r"\{'\w{1,64}': .*(?:<|\w\().*\}", re.DOTALL)
REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "length": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filter": "content_filter",
}
_COUNTS = (
    ("inputTokens", "outputTokens"),
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
)


def parsed(payload: bytes) -> Any:
    """The JSON in ``payload``, or ``NOT_JSON``."""
    try:
        return wirejson.loads(payload)
    except ValueError:
        return NOT_JSON


def members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def spoken(value: Any, depth: int = 0) -> str:
    """The assistant's words in a value of any of the usual shapes; empty if it has none."""
    if isinstance(value, str):
        return value
    if depth >= _DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(spoken(one, depth + 1) for one in value)
    return _first(members(value), _INSIDE, depth + 1) if is_ours(members(value)) else ""


def whole(document: Mapping[str, Any]) -> str:
    """The words of an answer in one piece; empty if it is in no known shape."""
    return _first(document, _WHOLE, 0) if is_ours(document) else ""


def is_ours(value: Mapping[str, Any]) -> bool:
    type = value.get("type")
    quiet = isinstance(type, str) and (type in QUIET or type in THOUGHTS)
    return not quiet and (value.get("role") or "assistant") in _OURS


def is_failure(value: Mapping[str, Any]) -> bool:
    """Whether it tells of an error and of nothing else; a message beside an error is about the error."""
    return bool(value.get("error")) and not whole({**value, "message": None})


def _first(value: Mapping[str, Any], names: tuple[str, ...], depth: int) -> str:
    found = (spoken(value[name], depth) for name in names if name in value)
    return next((text for text in found if text), "")


def is_repr(text: str) -> bool:
    """Whether it is an event in Python's own spelling: so agents yield those that JSON cannot express."""
    return text[:2] == "{'" and _REPR.fullmatch(text) is not None


def failure(told: Any) -> GatewayError:
    """What an agent means that says that it failed, as text or as an object."""
    document = members(told)
    inner = document.get("error")
    candidates = (told, inner, members(inner).get("message"), document.get("message"), spoken(told))
    words = next((one for one in candidates if isinstance(one, str) and one.strip()), "")
    return UpstreamDependencyFailed(
        f"The agent in the runtime failed: {sanitized(words) or 'no reason was given'}",
        detail=words[:_LONGEST_DETAIL],
    )


def usage(told: Any) -> Usage | None:
    counts = members(told)
    for names in _COUNTS:
        numbers = [counts.get(name) for name in names]
        if any(type(number) is int for number in numbers):
            input, output = (number if type(number) is int and number > 0 else 0 for number in numbers)
            return Usage(input, output)
    return None
