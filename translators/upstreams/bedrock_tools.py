"""Calls that an agent leaves to the client, and their results on the way back.

An agent that returns control says which functions it wants called and waits, in its session, for all the results at
once. The id of a call is ``call_``, the invocation's id in 32 hex digits, and a number; what is behind it (the
session, the action group) is remembered under these digits until the results come. Where nothing is remembered,
because another process made the calls, the id is enough if the client names the session and the tools' names begin
with their action groups.

Results that do not fit are refused here: the service would only say that something is wrong.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from translators import wirejson
from translators.errors import BadRequest
from translators.events import ToolCall

MAX_RESULTS = 5
MAX_CALLS = 32
"""Calls of one answer; the service knows five."""
QUALIFIER = "__"
"""Stands between an action group, in which it cannot occur, and a function."""

_ID = re.compile(r"call_([0-9a-f]{32})_([0-9]{1,2})", re.ASCII)
_LONGEST_NAME = 64
_STRANGE = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_YES = frozenset(("yes", "confirm", "true", "approve"))
_KEPT = ("actionGroup", "function", "apiPath", "httpMethod", "agentId", "actionInvocationType")
_ASKS = "USER_CONFIRMATION"
_ASKS_AND_ACTS = "USER_CONFIRMATION_AND_RESULT"


def digits(invocation_id: str) -> str:
    """The 32 hex digits that stand for an invocation; those of a UUID are its own."""
    plain = invocation_id.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", plain, re.ASCII):
        return plain
    return hashlib.sha256(invocation_id.encode("utf-8", "replace")).hexdigest()[:32]


def memory_key(invocation: str) -> str:
    return f"bedrock-call:{invocation}"


# Calls on their way to the client.


@define(eq=False)
class Calls:
    """Those of one answer."""

    qualified: bool
    """Whether names begin with their action group."""
    types: Mapping[tuple[str, str], str] = {}
    """Better types of parameters than the agent knows, by function and name."""

    waiting: dict[str, dict[str, Any]] = field(factory=dict, init=False)
    """By the digits of each invocation: its id, and what was asked for."""
    confirmations: list[str] = field(factory=list, init=False)
    """Ids of those that only want to be allowed."""
    _count: int = field(default=0, init=False)

    def read(self, told: Mapping[str, Any]) -> list[ToolCall]:
        """The calls of one ``returnControl``. Raises ValueError, LookupError, TypeError or AttributeError."""
        invocation = told["invocationId"]
        if not isinstance(invocation, str) or not 0 < len(invocation) <= 200:
            raise ValueError("the invocation has no id")
        key = digits(invocation)
        entry = self.waiting.setdefault(key, {"invocation": invocation, "inputs": []})
        return [self._call(key, entry["inputs"], one) for one in told["invocationInputs"]]

    def _call(self, key: str, inputs: list[dict[str, Any]], told: Mapping[str, Any]) -> ToolCall:
        if self._count >= MAX_CALLS:
            raise ValueError(f"more than {MAX_CALLS} calls")
        asked = told.get("functionInvocationInput") or told["apiInvocationInput"]
        kept = {name: asked[name] for name in _KEPT if isinstance(asked.get(name), str)}
        group, name = kept["actionGroup"], _name(kept)
        id = f"call_{key}_{len(inputs)}"
        if kept.get("actionInvocationType") in (_ASKS, _ASKS_AND_ACTS):
            self.confirmations.append(id)
        inputs.append(kept)
        index, self._count = self._count, self._count + 1
        arguments = wirejson.dumps(self._arguments(asked)).decode()
        if self.qualified and "function" in kept:
            name = f"{group}{QUALIFIER}{name}"
        return ToolCall(index, id, name[:_LONGEST_NAME], arguments)

    def _arguments(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters, then what goes into the body; the first of a name holds."""
        found: dict[str, Any] = {}
        content = (asked.get("requestBody") or {}).get("content") or {}
        properties = [one for body in content.values() for one in body.get("properties") or ()]
        for one in [*(asked.get("parameters") or ()), *properties]:
            name, value = one["name"], one.get("value")
            type = self.types.get((asked.get("function", ""), name)) or one.get("type")
            found.setdefault(name, _typed(value, type) if isinstance(value, str) else value)
        return found


NO_CALLS: Final = Calls(False)
"""Of an answer that has none: most are so."""


def _name(kept: Mapping[str, str]) -> str:
    if "function" in kept:
        return kept["function"]
    path = _STRANGE.sub("_", kept["apiPath"]).strip("_")
    return f"{_STRANGE.sub('_', kept['httpMethod'].lower())}_{path}".rstrip("_")


def _typed(value: str, type: Any) -> Any:
    """``value`` as the type it was meant to have, if it can be read so."""
    if type in ("integer", "number"):
        if not _NUMBER.fullmatch(value):
            return value
    elif type == "boolean":
        return {"true": True, "false": False}.get(value.lower(), value)
    elif type not in _CONTAINERS:
        return value
    try:
        found = wirejson.loads(value.encode("utf-8", "surrogatepass"))
    except ValueError:
        return value
    return found if isinstance(found, _CONTAINERS.get(type, (int, float))) else value


_CONTAINERS: dict[Any, type | tuple[type, ...]] = {"array": list, "object": dict, "any": (dict, list)}


# Results on their way back.


@frozen
class Outcome:
    """One result, as the client says it."""

    id: str
    index: int
    text: str
    name: str
    """What the tool was called, if the request still has the call."""


@frozen
class Results:
    """The results that a request ends with, all of one invocation."""

    invocation: str
    """Its digits."""
    outcomes: tuple[Outcome, ...]
    """In the order of the calls."""

    @classmethod
    def read(cls, messages: Sequence[Mapping[str, Any]]) -> Results | None:
        """None if the request does not end with any. Raises BadRequest."""
        roles = [one["role"] for one in messages]
        start = max((n + 1 for n, role in enumerate(roles) if role == "assistant"), default=0)
        tail = [(n, one) for n, one in enumerate(messages) if n >= start and one["role"] in ("tool", "user")]
        told = [(n, one) for n, one in tail if one["role"] == "tool"]
        if not told:
            return None
        if tail[-1][1]["role"] == "user":
            raise _refuse(
                "Results of tools have to be answered before the user speaks again: an agent takes either.",
                f"messages[{tail[-1][0]}]",
                "invalid_value",
            )
        calls = (messages[start - 1].get("tool_calls") or ()) if start else ()
        names = {call["id"]: (call.get("function") or {}).get("name") or "" for call in calls}
        found: dict[str, Outcome] = {}
        invocations: set[str] = set()
        for number, message in told:
            id = message["tool_call_id"]
            match = _ID.fullmatch(id)
            if match is None:
                raise unknown(id, f"messages[{number}].tool_call_id")
            if id in found:
                raise _refuse(
                    f"There are two results for the tool call {id}.",
                    f"messages[{number}]",
                    "duplicate_tool_result",
                )
            invocations.add(match[1])
            found[id] = Outcome(id, int(match[2]), _text(message.get("content")), names.get(id, ""))
        if len(invocations) > 1:
            raise _refuse("The tool messages at the end must all belong to one round of calls.", "messages")
        for id in names:
            if id not in found and _ID.fullmatch(id):
                raise missing(id)
        outcomes = tuple(sorted(found.values(), key=lambda outcome: outcome.index))
        return cls(invocations.pop(), outcomes)

    def to(self, inputs: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """As answers to what was asked for. Raises BadRequest."""
        by_index = {outcome.index: outcome for outcome in self.outcomes}
        for outcome in self.outcomes:
            if outcome.index >= len(inputs):
                raise unknown(outcome.id)
        for index in range(len(inputs)):
            if index not in by_index:
                raise missing(f"call_{self.invocation}_{index}")
        _count(len(inputs))
        return [_answer(asked, by_index[index].text) for index, asked in enumerate(inputs)]

    def by_name(self, group: str = "") -> list[dict[str, Any]]:
        """As answers by their names alone, which begin with the action group if that is not given."""
        _count(len(self.outcomes))
        inputs = []
        for outcome in self.outcomes:
            before, _, function = outcome.name.partition(QUALIFIER)
            if group:
                before, function = group, outcome.name
            elif len(outcome.name) >= _LONGEST_NAME:
                function = ""  # it may have been cut off
            if not before or not function:
                raise unknown(outcome.id)
            inputs.append({"actionGroup": before, "function": function})
        return [_answer(asked, outcome.text) for asked, outcome in zip(inputs, self.outcomes, strict=True)]


def uuid_shaped(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def _answer(asked: Mapping[str, str], text: str) -> dict[str, Any]:
    state, told = _confirmation(asked.get("actionInvocationType", ""), text)
    body = {"body": text}
    group: dict[str, Any] = {name: asked[name] for name in ("actionGroup", "agentId") if name in asked}
    confirmed = {"confirmationState": state} if state else {}
    if "function" in asked:
        result = {**group, "function": asked["function"], **confirmed}
        return {"functionResult": {**result, "responseBody": {"TEXT": body}} if told else result}
    result = {**group, "apiPath": asked["apiPath"], "httpMethod": asked["httpMethod"], **confirmed}
    if told:
        result |= {"httpStatusCode": 200, "responseBody": {"application/json": body}}
    return {"apiResult": result}


def _confirmation(type: str, text: str) -> tuple[str, bool]:
    """Whether the user allows it, where that was asked, and whether the text is a result."""
    if type not in (_ASKS, _ASKS_AND_ACTS):
        return "", True
    state = _stated(text)
    if type == _ASKS:
        agrees = state == "CONFIRM" or text.strip().lower() in _YES
        return ("CONFIRM" if agrees else "DENY"), False
    return ("DENY", False) if state == "DENY" else ("CONFIRM", True)


def _stated(text: str) -> str:
    """What a JSON document says about it; empty where it is none."""
    try:
        said = wirejson.loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return ""
    if isinstance(said, dict):
        said = said.get("confirmationState")
        return said.upper() if isinstance(said, str) else ""
    return "DENY" if said is False else ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _count(number: int) -> None:
    if number > MAX_RESULTS:
        raise _refuse(f"An agent takes at most {MAX_RESULTS} results at once.", "messages")


def unknown(id: str, param: str = "messages") -> BadRequest:
    return _refuse(
        f"The tool call {id[:100]} is not one that this agent waits for.", param, "unknown_tool_call"
    )


def missing(id: str) -> BadRequest:
    return _refuse(
        f"The tool call {id} has no result: the agent goes on when it has all of them.",
        "messages",
        "missing_tool_result",
    )


def _refuse(message: str, param: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, param=param, code=code)
