"""What a value may be, as data: the kinds of shape that AWS describes its requests with, and the check of each.

A shape says its limits in members, so that a test can compare whole tables with the service model. ``check``
refuses in words like those of the platform's own validation. A null is a member left out, as the services read it;
a member that no table knows is refused, because the platform would drop it and its sender would never hear of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from proxy.simulators.bedrock_faults import Fault, invalid


def _refused(value: Any, where: str, rule: str) -> Fault:
    told = repr(value)
    told = told if len(told) <= 120 else f"{told[:119]}…"
    return invalid(
        f"1 validation error detected: Value {told} at '{where}' failed to satisfy constraint: Member must {rule}"
    )


def _measured(size: int, least: int | None, most: int | None, noun: str, value: Any, where: str) -> None:
    if most is not None and size > most:
        raise _refused(value, where, f"have {noun} less than or equal to {most}")
    if least is not None and size < least:
        raise _refused(value, where, f"have {noun} greater than or equal to {least}")


def _of_type(value: Any, kind: type | tuple[type, ...], noun: str, where: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _refused(value, where, f"be {noun}")


@frozen
class Text:
    min: int | None = None
    max: int | None = None
    pattern: str = ""
    enum: frozenset[str] = frozenset()

    def check(self, value: Any, where: str) -> None:
        _of_type(value, str, "a string", where)
        _measured(len(value), self.min, self.max, "length", value, where)
        if self.enum and value not in self.enum:
            raise _refused(value, where, f"satisfy enum value set: [{', '.join(sorted(self.enum))}]")
        if self.pattern and re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise _refused(value, where, f"satisfy regular expression pattern: {self.pattern}")


@frozen
class Flag:
    def check(self, value: Any, where: str) -> None:
        _of_type(value, bool, "a boolean", where)


@frozen
class Number:
    min: int | None = None
    max: int | None = None
    whole: bool = True

    def check(self, value: Any, where: str) -> None:
        kinds: tuple[type, ...] = (int,) if self.whole else (int, float)
        _of_type(value, kinds, "an integer" if self.whole else "a number", where)
        _measured(value, self.min, self.max, "value", value, where)


@frozen
class Blob:
    """Bytes, which JSON carries as base64."""

    min: int | None = None
    max: int | None = None

    def check(self, value: Any, where: str) -> None:
        _of_type(value, str, "a base64 string", where)
        try:
            size = len(base64.b64decode(value.encode("ascii"), validate=True))
        except (binascii.Error, UnicodeEncodeError):
            raise _refused(value, where, "be valid base64") from None
        _measured(size, self.min, self.max, "length", value, where)


@frozen
class Anything:
    """A document: whatever JSON can say."""

    def check(self, value: Any, where: str) -> None:
        """Nothing is wrong with it."""


@frozen
class Listed:
    of: Shape
    min: int | None = None
    max: int | None = None

    def check(self, value: Any, where: str) -> None:
        _of_type(value, list, "a list", where)
        _measured(len(value), self.min, self.max, "length", value, where)
        for place, item in enumerate(value, 1):
            self.of.check(item, f"{where}.{place}.member")


@frozen
class Mapped:
    of: Shape
    keys: Text = Text()

    def check(self, value: Any, where: str) -> None:
        _of_type(value, dict, "a map", where)
        for key, item in value.items():
            self.keys.check(key, f"{where}.key")
            self.of.check(item, f"{where}.{key}")


@frozen(eq=False)
class Structure:
    """``members`` may be filled later, for shapes that hold themselves."""

    members: Mapping[str, Shape] = field(repr=False)
    required: frozenset[str] = frozenset()
    union: bool = False

    def check(self, value: Any, where: str) -> None:
        _of_type(value, dict, "a structure", where)
        given = {name: one for name, one in value.items() if one is not None}
        for name in sorted(self.required - given.keys()):
            raise invalid(
                f"1 validation error detected: Value null at '{_at(where, name)}' failed to satisfy constraint: "
                "Member must not be null"
            )
        if self.union and len(given) != 1:
            raise _refused(sorted(given), where or "request", "be a union with exactly one member")
        for name, one in given.items():
            if name not in self.members:
                raise invalid(f"The request has a member that is not known here: '{_at(where, name)}'.")
            self.members[name].check(one, _at(where, name))


Shape: TypeAlias = Text | Flag | Number | Blob | Anything | Listed | Mapped | Structure


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def without_nulls(value: Any) -> Any:
    """``value`` as the services read it."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
