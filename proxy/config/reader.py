"""From a value as it was written to a value of its setting's type.

Two cattrs converters with the same hooks: one for TOML, where a number is a number and anything else in its
place is a mistake, and one for the environment and the flags, where everything is text. Only settings that
hold secrets may refer elsewhere (``{ env = "NAME" }``, ``{ file = "path" }``); files are read here, small
ones only, relative to the file that names them. Whatever is wrong is an ``Unreadable``.
"""

from __future__ import annotations

import collections.abc
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import attrs
import cattrs
from attrs import define, field
from typed_settings.types import OptionInfo

from proxy.config.values import Reference, Rule, Secret, Unreadable, got, key, quoted

_LARGEST_FILE = 1024 * 1024
_TRUTHS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_REAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)
_PATH_STARTS = ("/", "./", "../")


def read_text(path: Path) -> str:
    """A small UTF-8 file; the message of a failure does not name it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or 'input/output error'})") from error
    except ValueError as error:
        raise Unreadable("cannot be read (not a legal path)") from error
    if len(data) > _LARGEST_FILE:
        raise Unreadable("cannot be read (larger than 1 MiB)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start})") from error


def is_secret(option: OptionInfo) -> bool:
    """A setting of type Secret, or one that its class hides with ``repr=False``."""
    if option.cls in (Secret, Secret | None, tuple[Secret, ...]):
        return True
    return attrs.fields_dict(option.parent_cls)[option.name].repr is False


# Hooks for values that are written as what they are.


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"expected text, {got(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unreadable("expected text that is legal UTF-8") from error
    return value


def _boolean(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"expected true or false, {got(value)}")
    return value


def _whole(value: Any, _: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(f"expected a whole number, {got(value)}")
    return value


def _real(value: Any, _: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Unreadable(f"expected a number, {got(value)}")
    if not abs(value) < 1e18:  # neither is nan
        raise Unreadable("expected a finite number")
    return float(value)


def _anything(value: Any, _: Any) -> Any:
    return value


def _choice(value: Any, literal: Any) -> Any:
    choices = get_args(literal)
    wanted = value.strip().casefold() if isinstance(value, str) else value
    for choice in choices:
        if wanted == (choice.casefold() if isinstance(choice, str) else choice):
            return choice
    raise Unreadable(f"expected one of {', '.join(map(str, choices))}, {got(value)}")


# The same for values that are written as text.


def _boolean_text(value: Any, _: Any) -> bool:
    truth = _TRUTHS.get(_text(value, str).strip().lower())
    if truth is None:
        raise Unreadable(f"expected true or false, {got(value)}")
    return truth


def _whole_text(value: Any, _: Any) -> int:
    digits = _text(value, str).strip()
    if not _WHOLE.fullmatch(digits):
        raise Unreadable(f"expected a whole number, {got(value)}")
    return int(digits)


def _real_text(value: Any, _: Any) -> float:
    digits = _text(value, str).strip()
    if not _REAL.fullmatch(digits):
        raise Unreadable(f"expected a number, {got(value)}")
    return float(digits)


def _is(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


def _has_rule(kind: Any) -> bool:
    return get_origin(kind) is Annotated and isinstance(kind.__metadata__[0], Rule)


@define
class Reader:
    """Reads values for one load; remembers which variables were referred to."""

    look_up: Callable[[str], str | None]
    folder: Path
    """What a file named in TOML is relative to."""
    cwd: Path
    """What a file named in the environment is relative to."""
    referred: set[str] = field(factory=set)
    _written: cattrs.Converter = field(init=False)
    _textual: cattrs.Converter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._written = self._converter(self.folder, _boolean, _whole, _real)
        self._textual = self._converter(self.cwd, _boolean_text, _whole_text, _real_text)

    def read(self, option: OptionInfo, value: Any, *, textual: bool) -> Any:
        converter = self._textual if textual else self._written
        if is_secret(option) and option.cls in (str, str | None):
            return str(converter.structure(value, Reference))
        return converter.structure(value, option.cls)

    def _converter(
        self,
        folder: Path,
        boolean: Callable[[Any, Any], bool],
        whole: Callable[[Any, Any], int],
        real: Callable[[Any, Any], float],
    ) -> cattrs.Converter:
        converter = cattrs.Converter(detailed_validation=False)

        def ruled(value: Any, kind: Any) -> Any:
            rule: Rule = kind.__metadata__[0]
            return rule.read(converter.structure(value, rule.raw))

        def many(value: Any, kind: Any) -> tuple[Any, ...]:
            if isinstance(value, str):
                value = [part for part in map(str.strip, value.split(",")) if part]
            if not isinstance(value, list):
                raise Unreadable(f"expected an array, {got(value)}")
            return tuple(converter.structure(item, get_args(kind)[0]) for item in value)

        def table(value: Any, kind: Any) -> Mapping[Any, Any]:
            if not isinstance(value, dict):
                raise Unreadable(f"expected a table, {got(value)}")
            _, of = get_args(kind)
            return {_text(name, str): converter.structure(item, of) for name, item in value.items()}

        converter.register_structure_hook_func(_is(tuple), many)
        converter.register_structure_hook_func(_is(dict, collections.abc.Mapping), table)
        converter.register_structure_hook_func(_is(Literal), _choice)
        converter.register_structure_hook_func(_has_rule, ruled)
        converter.register_structure_hook_func(lambda kind: kind is Any, _anything)
        converter.register_structure_hook_func(
            lambda kind: kind == tuple[Secret, ...], lambda value, _: self._keys(value, folder)
        )
        converter.register_structure_hook(Reference, lambda value, _: Reference(self._refer(value, folder)))
        converter.register_structure_hook(Secret, lambda value, _: key(self._refer(value, folder).strip()))
        converter.register_structure_hook(str, _text)
        converter.register_structure_hook(bool, boolean)
        converter.register_structure_hook(int, whole)
        converter.register_structure_hook(float, real)
        return converter

    def _refer(self, value: Any, folder: Path) -> str:
        """Text, or the text that a table of one entry refers to."""
        if isinstance(value, str):
            return _text(value, str)
        match value:
            case {"env": str(name)} if len(value) == 1:
                self.referred.add(name)
                found = self.look_up(name)
                if found is None:
                    raise Unreadable(f"environment variable {quoted(name)} is not set")
                return _text(found, str)
            case {"file": str(name)} if len(value) == 1:
                return self._file(name, folder, shown=f"file {quoted(name, 200)}")
        raise Unreadable(f'expected text, {{ env = "NAME" }} or {{ file = "path" }}, {got(value)}')

    def _file(self, name: str, folder: Path, *, shown: str) -> str:
        try:
            return read_text(folder / name).strip()
        except Unreadable as error:
            raise Unreadable(f"{shown} {error}") from error

    def _keys(self, value: Any, folder: Path) -> tuple[Secret, ...]:
        """Keys as an array, as text with commas, as a file with one key a line."""
        parts = value if isinstance(value, list) else [value]
        keys = [found for part in parts for found in self._keys_in(part, folder)]
        if not keys and value != []:
            # An operator who set this meant to close the door: never leave it open by accident.
            raise Unreadable("expected at least one key")
        return tuple(dict.fromkeys(keys))

    def _keys_in(self, part: Any, folder: Path) -> list[Secret]:
        text = self._refer(part, folder).strip()
        in_file = isinstance(part, dict) and "file" in part
        if not in_file and text.startswith(_PATH_STARTS):
            # The text may be a key all the same, so the message must not repeat it.
            text, in_file = (
                self._file(text, folder, shown="a key that looks like a path names a file that"),
                True,
            )
        if in_file:
            lines = (line.strip() for line in text.splitlines())
            return [key(line) for line in lines if line and not line.startswith("#")]
        return [key(piece) for piece in map(str.strip, text.split(",")) if piece]
