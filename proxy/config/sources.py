"""Where values are written: the TOML file, the process environment above ``.env``, the flags.

Each source is a typed-settings loader that yields one ``LoadedSettings`` for every value it finds, so that
typed-settings' own merge keeps, beside the winning value, the ``Source`` that knows where it was written.

tomllib does not tell lines. A TOML document is a sequence of statements that each stand on their own, so the
lines are found by parsing it once more, statement by statement, with tomllib itself.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import field, frozen
from dotenv.parser import parse_stream
from typed_settings.dict_utils import set_path
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo, OptionList, SettingsClass

from proxy.config.reader import is_secret, read_text
from proxy.config.values import Unreadable, printable

_LONGEST_STATEMENT = 200

Layer: TypeAlias = Literal[".env", "env"]


@frozen
class Origin:
    """Where a value comes from, as ``deltawire check`` prints it."""

    kind: Literal["default", "file", "env", ".env", "flag"]
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        return f"{self.kind} {self.name}".rstrip()


DEFAULT = Origin("default")


class Source(LoaderMeta):
    """typed-settings' note on a loaded value, with our origin in it."""

    def __init__(self, origin: Origin, folder: Path, *, textual: bool) -> None:
        super().__init__(str(origin), folder)
        self.origin = origin
        self.textual = textual


def _found(option: OptionInfo, value: Any, source: Source) -> LoadedSettings:
    settings: dict[str, Any] = {}
    set_path(settings, option.path, value)
    return LoadedSettings(settings, source)


# TOML.


def _paths(parsed: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(parsed, dict):
        for key, value in parsed.items():
            yield (*at, key)
            yield from _paths(value, (*at, key))


def statement_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line each key of a valid document is first written in."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement, first = (f"{statement}{line}\n", first) if statement else (f"{line}\n", number)
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            if number - first >= _LONGEST_STATEMENT:
                return lines  # each line parses the statement anew, and lines are only a courtesy
            continue
        if is_header := statement.lstrip().startswith("["):
            table = ()
        for path in _paths(parsed):
            lines.setdefault((*table, *path), first)
        if is_header:
            table = max(_paths(parsed), key=len)
        statement = ""
    return lines


@frozen
class TomlFile:
    """A parsed configuration file, or an empty one where none was named."""

    name: str
    folder: Path
    data: Mapping[str, Any] = field(factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(factory=dict)

    @classmethod
    def read(cls, path: Path, cwd: Path) -> TomlFile:
        name = printable(str(path))
        full = cwd / path
        try:
            text = read_text(full).replace("\r\n", "\n")
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Unreadable(f"{name}: is not TOML: {printable(str(error))}") from error
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from error
        except (RecursionError, ValueError) as error:
            raise Unreadable(f"{name}: is not TOML: nested too deep, or a number too long") from error
        return cls(name, full.parent, data, statement_lines(text))

    def get(self, path: Sequence[str]) -> Any:
        found: Any = self.data
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def origin(self, path: Sequence[str]) -> Origin:
        """Where the key is written, or else the nearest table around it."""
        for length in range(len(path), 0, -1):
            if line := self.lines.get(tuple(path[:length])):
                return Origin("file", self.name, line)
        return Origin("file", self.name)


@frozen
class TomlLoader:
    file: TomlFile
    at: tuple[str, ...] = ()

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> Iterator[LoadedSettings]:
        for option in options:
            path = (*self.at, *option.path.split("."))
            value = self.file.get(path)
            if value is not None:
                source = Source(self.file.origin(path), self.file.folder, textual=False)
                yield _found(option, value, source)


# The environment.


def read_dotenv(path: Path) -> tuple[dict[str, str], list[str]]:
    """The variables of a ``.env`` file, if there is one, and what is wrong with it. ``$`` means nothing."""
    if not path.is_file():
        return {}, []
    try:
        text = read_text(path)
    except Unreadable as error:
        return {}, [f".env: {error}"]
    bindings = list(parse_stream(io.StringIO(text)))
    problems = [
        f".env:{binding.original.line}: expected NAME=value (a quote may be missing)"
        for binding in bindings
        if binding.error
    ]
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value}, problems


@frozen
class Environment:
    """The variables that are set to something, the process's own above those of ``.env``.

    A variable set to nothing counts as not set, and hides the one in ``.env``.
    """

    dotenv: Mapping[str, str]
    process: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> Environment:
        return cls(
            {name: value for name, value in dotenv.items() if value.strip() and name not in environ},
            {name: value for name, value in environ.items() if value.strip()},
        )

    @property
    def layers(self) -> tuple[tuple[Layer, Mapping[str, str]], ...]:
        """Weakest first."""
        return ((".env", self.dotenv), ("env", self.process))

    def get(self, name: str) -> str | None:
        return self.process.get(name, self.dotenv.get(name))

    def origin(self, name: str) -> Origin:
        return Origin("env" if name in self.process else ".env", printable(name))

    def names(self) -> set[str]:
        return self.dotenv.keys() | self.process.keys()


def variables(option: OptionInfo, names: Sequence[str]) -> list[str]:
    """Every variable that can set the option: a secret may also be in a file that ``NAME_FILE`` names."""
    files = [f"{name}_FILE" for name in names] if is_secret(option) else []
    return [*names, *files]


def own_names(option: OptionInfo) -> Sequence[str]:
    """The variables a field of the model lists itself, strongest first."""
    names: Sequence[str] = option.metadata["env"]
    return names


@frozen
class EnvLoader:
    environment: Environment
    folder: Path
    problems: list[str]
    names: Callable[[OptionInfo], Sequence[str]] = own_names

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> Iterator[LoadedSettings]:
        for kind, layer in self.environment.layers:
            for option in options:
                for name in reversed(self.names(option)):
                    for origin, value in self._values(option, name, kind, layer):
                        yield _found(option, value, Source(origin, self.folder, textual=True))

    def _values(
        self, option: OptionInfo, name: str, kind: Layer, layer: Mapping[str, str]
    ) -> Iterator[tuple[Origin, Any]]:
        in_file = f"{name}_FILE"
        if is_secret(option) and in_file in layer:
            origin = Origin(kind, in_file)
            if name in layer:
                self.problems.append(f"{origin}: {name} is set as well; keep one of the two")
            yield origin, {"file": layer[in_file]}
        if name in layer:
            yield Origin(kind, name), layer[name]


# Flags.


@frozen
class FlagLoader:
    """Values by the path of their setting, as in ``{"server.port": "8080"}``; None is no value."""

    flags: Mapping[str, Any]
    folder: Path

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> Iterator[LoadedSettings]:
        for option in options:
            value = self.flags.get(option.path)
            if value is not None:
                origin = Origin("flag", option.metadata["flag"] or option.path)
                yield _found(option, value, Source(origin, self.folder, textual=isinstance(value, str)))
