"""Which members the documents of an answer have, and of which JSON types.

The tables say what OpenAI sends. ``must`` is there always, and its absence is a fault of the side alone; ``may`` is
there or not, but if the left side always sends it, clients may count on it, so the right side should too; ``own``
concerns OpenAI's own machines or is left out by good servers, so that its absence is only worth a note. Members
that no table knows are noted by name and not looked into.

A ``Shape`` counts, for each kind of frame, how often each path was there and how often the object that could have
held it, because "in every frame" and "in some" are different promises.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

from attrs import define, field, frozen

from proxy.compare.record import Faults
from translators.excerpt import clean

_MOST_UNKNOWN = 50  # members that no table knows, of one kind of frame
_LONGEST_NAME = 40


@frozen
class Member:
    types: str
    must: bool = False
    own: bool = False
    inner: Members | None = None


Members: TypeAlias = dict[str, Member]


def _must(types: str, inner: Members | None = None) -> Member:
    return Member(types, must=True, inner=inner)


def _may(types: str, inner: Members | None = None) -> Member:
    return Member(types, inner=inner)


def _own(types: str, inner: Members | None = None) -> Member:
    return Member(types, own=True, inner=inner)


_DETAILS = _own("object null")
_USAGE: Members = {
    "prompt_tokens": _must("integer"),
    "completion_tokens": _must("integer"),
    "total_tokens": _must("integer"),
    "prompt_tokens_details": _DETAILS,
    "completion_tokens_details": _DETAILS,
}
_PLATFORM: Members = {
    "system_fingerprint": _own("string null"),
    "service_tier": _own("string null"),
    "moderation": _own("object null"),
}
_FUNCTION: Members = {"name": _may("string"), "arguments": _may("string")}
_FRAGMENT: Members = {
    "index": _must("integer"),
    "id": _may("string"),
    "type": _may("string"),
    "function": _may("object", _FUNCTION),
}
_DELTA: Members = {
    "role": _may("string"),
    "content": _may("string null"),
    "refusal": _may("string null"),
    "tool_calls": _may("array", _FRAGMENT),
    "function_call": _own("object"),
    "reasoning_content": _own("string null"),
    "reasoning": _own("string null"),
    "annotations": _own("array"),
    "audio": _own("object null"),
}
_CHOICE: Members = {
    "index": _must("integer"),
    "delta": _must("object", _DELTA),
    "finish_reason": _must("string null"),
    "logprobs": _may("object null"),
}
CHUNK: Members = {
    "id": _must("string"),
    "object": _must("string"),
    "created": _must("integer"),
    "model": _must("string"),
    "choices": _must("array", _CHOICE),
    "usage": _may("object null", _USAGE),
    "obfuscation": _own("string"),
    **_PLATFORM,
}
_CALL: Members = {
    "id": _must("string"),
    "type": _must("string"),
    "function": _must("object", {"name": _must("string"), "arguments": _must("string")}),
}
_MESSAGE: Members = {
    "role": _must("string"),
    "content": _must("string null"),
    "refusal": _may("string null"),
    "tool_calls": _may("array", _CALL),
    "function_call": _own("object null"),
    "reasoning_content": _own("string null"),
    "reasoning": _own("string null"),
    "annotations": _own("array"),
    "audio": _own("object null"),
}
WHOLE: Members = {
    "id": _must("string"),
    "object": _must("string"),
    "created": _must("integer"),
    "model": _must("string"),
    "choices": _must(
        "array",
        {
            "index": _must("integer"),
            "message": _must("object", _MESSAGE),
            "finish_reason": _must("string"),
            "logprobs": _may("object null"),
        },
    ),
    "usage": _may("object", _USAGE),
    "metadata": _own("object null"),
    **_PLATFORM,
}
ERROR: Members = {
    "error": _must(
        "object",
        {
            "message": _must("string"),
            "type": _must("string"),
            "param": _must("string null"),
            "code": _must("string null"),
        },
    )
}

_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


@define(eq=False)
class Kind:
    """All frames of one kind, laid over each other."""

    objects: Counter[str] = field(factory=Counter)
    """How many objects stood at each path."""
    types: dict[str, Counter[str]] = field(factory=dict)
    """For each path, how often it was of which type."""
    members: dict[str, tuple[str, Member | None]] = field(factory=dict)
    """For each path, the path of its object and what the tables say of it."""

    def count(self, path: str) -> int:
        return self.types[path].total() if path in self.types else 0

    def named(self, path: str) -> set[str]:
        return set(self.types[path])


@define(eq=False)
class Shape:
    faults: Faults
    kinds: dict[str, Kind] = field(factory=dict)
    _unknown: int = 0

    def add(self, kind: str, document: dict[str, Any], members: Members) -> None:
        self._object(self.kinds.setdefault(kind, Kind()), kind, "", document, members)

    def _object(self, kind: Kind, name: str, path: str, value: dict[str, Any], members: Members) -> None:
        kind.objects[path] += 1
        for key, inner in value.items():
            member = members.get(key)
            if member is not None:
                self._member(kind, name, path, key, member, inner)
            else:
                self._stranger(kind, path, key, inner)
        for key, member in members.items():
            if member.must and key not in value:
                self.faults.add("missing", f"in a frame of kind “{name}”", subject=_join(path, key))

    def _member(self, kind: Kind, name: str, path: str, key: str, member: Member, value: Any) -> None:
        where, found = _join(path, key), _TYPES[type(value)]
        kind.members.setdefault(where, (path, member))
        kind.types.setdefault(where, Counter())[found] += 1
        if found not in member.types.split():
            self.faults.add("type", f"{found}, not {member.types.replace(' ', ' or ')}", subject=where)
        elif member.inner is not None and isinstance(value, dict):
            self._object(kind, name, where, value, member.inner)
        elif member.inner is not None and isinstance(value, list):
            self._items(kind, name, f"{where}[]", value, member.inner)

    def _items(self, kind: Kind, name: str, path: str, items: list[Any], members: Members) -> None:
        for item in items:
            if isinstance(item, dict):
                self._object(kind, name, path, item, members)
            else:
                self.faults.add("type", f"{_TYPES[type(item)]}, not object", subject=path)

    def _stranger(self, kind: Kind, path: str, key: str, value: Any) -> None:
        where = _join(path, clean(key, _LONGEST_NAME))
        if where not in kind.types:
            self._unknown += 1
            if self._unknown > _MOST_UNKNOWN:
                return
            kind.members[where] = (path, None)
        kind.types.setdefault(where, Counter())[_TYPES[type(value)]] += 1


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
