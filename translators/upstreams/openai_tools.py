"""Fragments of tool calls, as OpenAI-shaped servers send them, put in order.

Clients need an index on every fragment, counted from 0 without gaps, and the id, type and name once, with the
first. Servers leave out the index, number from 1, give every parallel call index 0, repeat id and name with
every fragment, or never send an id. Which call a fragment belongs to is decided by its id if that is new or
known, else by its index, else it goes on with the last call.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from translators import wirejson
from translators.ids import Envelope

MAX_CALLS = 1024

_TOLD = {"index", "id", "type", "function"}


@define(eq=False)
class _Call:
    index: int
    id: str
    name: str = ""


@define(eq=False)
class ToolCalls:
    envelope: Envelope
    choice: int
    _calls: list[_Call] = field(factory=list)
    _by_id: dict[str, _Call] = field(factory=dict)
    _by_index: dict[int, _Call] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def put_right(self, fragments: Any) -> list[dict[str, Any]]:
        return [self._fragment(fragment) for fragment in fragments]

    def _fragment(self, raw: dict[str, Any]) -> dict[str, Any]:
        function = raw.get("function") or {}
        name = function.get("name") or ""
        call, first = self._call(str(raw.get("id") or ""), raw.get("index"))
        out: dict[str, Any] = {"index": call.index}
        if first:
            out["id"] = call.id
            out["type"] = "function"
        out["function"] = told = {"arguments": _arguments(function.get("arguments"))}
        if first or (name and name != call.name):
            told["name"] = name
            call.name += name
        out.update((key, value) for key, value in raw.items() if key not in _TOLD and value is not None)
        return out

    def _call(self, id: str, index: Any) -> tuple[_Call, bool]:
        known = self._by_id.get(id) if id else None
        if known is None:
            at_index = self._by_index.get(index) if type(index) is int else None
            if not id:
                known = at_index or (self._calls[-1] if self._calls and type(index) is not int else None)
        if known is not None:
            return known, False
        if len(self._calls) >= MAX_CALLS:
            raise ValueError(f"more than {MAX_CALLS} tool calls")
        position = len(self._calls)
        call = _Call(position, id or self.envelope.tool_call_id(self.choice, position))
        self._calls.append(call)
        self._by_id[id or call.id] = call
        if type(index) is int:
            self._by_index[index] = call
        return call, True


def _arguments(value: Any) -> str:
    """Arguments are JSON in a string; some servers send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else wirejson.dumps(value).decode()
