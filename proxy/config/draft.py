"""A configuration on its way: what has been read so far, where from, and everything that is wrong with it.

Nothing here stops at the first mistake. A value that cannot be read becomes a line in ``problems`` and its
setting keeps its default, so that the rest can be read and judged in the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field
from typed_settings.dict_utils import merge_settings
from typed_settings.loaders import Loader
from typed_settings.types import LoadedSettings, OptionInfo, OptionList

from proxy.config.reader import Reader, is_secret
from proxy.config.sources import DEFAULT, Environment, Origin, Source, TomlFile
from proxy.config.values import Unreadable, dotted, got, hint


@define
class Draft:
    environment: Environment
    file: TomlFile
    reader: Reader
    problems: list[str]
    warnings: list[str] = field(factory=list)
    origins: dict[str, Origin] = field(factory=dict)
    variables: set[str] = field(factory=set)
    """Every environment name that means something."""

    def refuse(self, path: Iterable[str], text: str, origin: Origin) -> None:
        self.problems.append(f"{origin}: {dotted(*path)}: {text}")

    def refuse_in_file(self, path: tuple[str, ...], text: str) -> None:
        self.refuse(path, text, self.file.origin(path))

    def values(self, at: tuple[str, ...], options: OptionList, loaders: Iterable[Loader]) -> dict[str, Any]:
        """What the loaders, weakest first, say about these options; an option nobody names is left out."""
        for option in options:
            self.origins[dotted(*at, *option.path.split("."))] = DEFAULT
        by_path = {option.path: option for option in options}
        values: dict[str, Any] = {}
        for path, (value, source) in merge_settings(options, list(_load(loaders, options))).items():
            assert isinstance(source, Source)
            where = (*at, *path.split("."))
            self.origins[dotted(*where)] = source.origin
            try:
                values[path] = self.reader.read(by_path[path], value, textual=source.textual)
            except Unreadable as error:
                self.refuse(where, str(error), source.origin)
            else:
                self._warn_of_literal(by_path[path], value, source, where)
        return values

    def _warn_of_literal(self, option: OptionInfo, value: Any, source: Source, path: tuple[str, ...]) -> None:
        parts = value if isinstance(value, list) else [value]
        in_file = source.origin.kind == "file"
        if in_file and is_secret(option) and any(isinstance(part, str) for part in parts):
            self.warnings.append(
                f"{source.origin}: {dotted(*path)}: a secret stands in the file; "
                'better refer to it by { env = "NAME" } or { file = "path" }'
            )

    def check_keys(self, at: tuple[str, ...], table: Mapping[str, Any], known: Iterable[str]) -> None:
        names = set(known)
        for name in table:
            if name not in names:
                self.refuse_in_file((*at, name), f"unknown key{hint(name, names)}")

    def tables(self, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The named tables of ``[section.<name>]``; whatever else stands there is refused."""
        found = self.file.get((section,))
        if found is None:
            return
        if not isinstance(found, dict):
            self.refuse_in_file((section,), f"expected tables [{section}.<name>], {got(found)}")
            return
        for name, table in found.items():
            if isinstance(table, dict):
                yield name, table
            else:
                self.refuse_in_file((section, name), f"expected a table, {got(table)}")


def _load(loaders: Iterable[Loader], options: OptionList) -> Iterator[LoadedSettings]:
    for loader in loaders:
        found = loader(object, options)
        assert not isinstance(found, LoadedSettings)
        yield from found
