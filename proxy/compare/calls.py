"""Tool calls of a stream, put together from their pieces.

The official helpers join whatever strings come for one index, so an id or a name that comes twice is doubled, and
they keep calls in a list, so the indices must count up from zero.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from proxy.compare.record import Faults
from translators import wirejson

_MOST_CALLS = 128


@define(eq=False)
class Calls:
    faults: Faults
    _begun: dict[int, tuple[str, list[str]]] = field(factory=dict)

    @property
    def begun(self) -> bool:
        return bool(self._begun)

    def piece(self, piece: dict[str, Any]) -> None:
        index, function = piece.get("index"), piece.get("function")
        function = function if isinstance(function, dict) else {}
        told = {"id": piece.get("id"), "name": function.get("name")}
        if not isinstance(index, int):
            return  # which is a fault of its type already
        if index in self._begun:
            for member, value in told.items():
                if value:
                    self.faults.add("call_again", member, subject=member)
        elif len(self._begun) < _MOST_CALLS:
            self._begin(index, {**told, "type": piece.get("type")})
        arguments = function.get("arguments")
        if isinstance(arguments, str) and index in self._begun:
            self._begun[index][1].append(arguments)

    def _begin(self, index: int, told: dict[str, Any]) -> None:
        if index != len(self._begun):
            self.faults.add("call_index", f"{index} in place of {len(self._begun)}")
        for member, value in told.items():
            if not value:
                self.faults.add("call_start", member, subject=member)
        name = told["name"]
        self._begun[index] = (name if isinstance(name, str) else "", [])

    def whole(self) -> list[tuple[str, str]]:
        return [(name, "".join(pieces)) for name, pieces in self._begun.values()]


def check_arguments(calls: list[tuple[str, str]], faults: Faults) -> None:
    for _, arguments in calls:
        try:
            fits = isinstance(wirejson.loads(arguments.encode("utf-8", "replace")), dict)
        except ValueError:
            fits = False
        if not fits:
            faults.add("call_arguments", arguments or "there are none")
