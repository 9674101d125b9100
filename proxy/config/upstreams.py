"""Upstreams and model aliases: the part of the configuration whose shape depends on the kinds there are.

A kind (one class in ``translators.upstreams``) brings its own settings, its defaults and the environment
names that configure it; nothing here knows any of them by name. The settings of a kind stand beside the
common ones in the same TOML table. Where no file names an upstream, each kind whose names are in the
environment makes one, and where there is none of these either, the kind that says it is the fallback does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import attrs
from attrs import frozen
from typed_settings.cls_utils import deep_options
from typed_settings.loaders import Loader
from typed_settings.types import OptionInfo, OptionList

from proxy.config.draft import Draft
from proxy.config.model import PREFIX, Alias, Limits, Upstream
from proxy.config.reader import is_secret
from proxy.config.sources import DEFAULT, EnvLoader, TomlLoader, variables
from proxy.config.values import Unreadable, dotted, got, hint, model_id, printable


class Kind(Protocol):
    """What the configuration must know of a class in ``translators.upstreams``."""

    @property
    def default_name(self) -> str: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def defaults(self) -> Mapping[str, Any]: ...

    @property
    def fallback(self) -> bool: ...

    @property
    def Settings(self) -> type[Any]: ...

    def address(self, base_url: str) -> str: ...


Kinds: TypeAlias = Mapping[str, Kind]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_TIMEOUTS = ("connect_timeout", "first_byte_timeout", "idle_timeout")
_COMMON = tuple(option for option in deep_options(Upstream) if option.path not in ("name", "kind", "options"))
_FILE_ONLY = ("headers",)
_ALIAS = tuple(option for option in deep_options(Alias) if option.path != "options")


@frozen
class Declared:
    """An upstream that exists, before its settings are read."""

    name: str
    kind_name: str
    kind: Kind
    in_file: bool

    @property
    def path(self) -> tuple[str, str]:
        return ("upstreams", self.name)

    @property
    def own_options(self) -> OptionList:
        return deep_options(self.kind.Settings)

    @property
    def prefix(self) -> str:
        return f"{PREFIX}UPSTREAM_{re.sub('[^A-Z0-9]', '_', self.name.upper())}_"

    def names(self, option: OptionInfo) -> list[str]:
        """The variables that set the option, strongest first."""
        if option.path in _FILE_ONLY:
            return []
        of_kind = [name for name, field in self.kind.environment.items() if field == option.path]
        return [self.prefix + option.path.upper(), *(of_kind if self.name == self.kind.default_name else [])]


def read_upstreams(draft: Draft, kinds: Kinds, limits: Limits) -> dict[str, Upstream]:
    declared = _in_file(draft, kinds)
    if not draft.file.get(("upstreams",)):
        declared = _in_environment(draft, kinds)
    _refuse_shared_names(draft, declared)
    upstreams = {one.name: _read_upstream(draft, one, limits) for one in declared}
    _warn_of_shared_models(draft, upstreams)
    return upstreams


def _in_file(draft: Draft, kinds: Kinds) -> list[Declared]:
    declared = []
    for name, table in draft.tables("upstreams"):
        path = ("upstreams", name)
        kind_name = table.get("kind")
        if not _NAME.fullmatch(name):
            draft.refuse_in_file(path, "expected a name of letters, digits, '.', '_' and '-', at most 64")
        if kind_name is None:
            draft.refuse_in_file(path, f"kind is missing; known here: {', '.join(kinds)}")
        elif not isinstance(kind_name, str):
            draft.refuse_in_file((*path, "kind"), f"expected text, {got(kind_name)}")
        elif kind_name not in kinds:
            draft.refuse_in_file((*path, "kind"), f"unknown kind{hint(kind_name, kinds)}")
        else:
            declared.append(Declared(name, kind_name, kinds[kind_name], in_file=True))
    return declared


def _in_environment(draft: Draft, kinds: Kinds) -> list[Declared]:
    present = draft.environment.names()
    declared = [
        Declared(kind.default_name, name, kind, in_file=False)
        for name, kind in kinds.items()
        if any(variable in present or f"{variable}_FILE" in present for variable in kind.environment)
    ]
    return declared or [
        Declared(kind.default_name, name, kind, in_file=False)
        for name, kind in kinds.items()
        if kind.fallback
    ]


def _refuse_shared_names(draft: Draft, declared: list[Declared]) -> None:
    first: dict[str, str] = {}
    for one in declared:
        other = first.setdefault(one.prefix, one.name)
        used = any(name.startswith(one.prefix) for name in draft.environment.names())
        if other != one.name and used:
            draft.problems.append(f"env {one.prefix}…: means both upstream {other} and upstream {one.name}")


def _read_upstream(draft: Draft, one: Declared, limits: Limits) -> Upstream:
    own = one.own_options
    options = (*_COMMON, *own)
    if one.in_file:
        known = ["kind", *(option.path for option in options)]
        draft.check_keys(one.path, draft.file.get(one.path), known)
    for option in options:
        draft.variables.update(variables(option, one.names(option)))
    loaders: list[Loader] = [
        TomlLoader(draft.file, one.path),
        EnvLoader(draft.environment, draft.reader.cwd, draft.problems, one.names),
    ]
    values = draft.values(one.path, options, loaders)
    draft.origins[dotted(*one.path, "kind")] = (
        draft.file.origin((*one.path, "kind")) if one.in_file else DEFAULT
    )
    settings = {option.path: values.pop(option.path) for option in own if option.path in values}
    common = {**_inherited(draft, one, limits), **values}
    if common.get("base_url"):
        common["base_url"] = one.kind.address(common["base_url"])
    return Upstream(name=one.name, kind=one.kind_name, options=_settings(draft, one, settings), **common)


def _inherited(draft: Draft, one: Declared, limits: Limits) -> dict[str, Any]:
    """The kind's defaults, and the limits of all upstreams unless only the kind has an opinion."""
    inherited = dict(one.kind.defaults)
    if draft.file.get((*one.path, "base_url")) is not None:
        # The default models are those of the default address, and the file names another.
        inherited.pop("models", None)
    for name in _TIMEOUTS:
        origin = draft.origins[dotted("limits", name)]
        if origin != DEFAULT or name not in inherited:
            inherited[name] = getattr(limits, name)
            here = dotted(*one.path, name)
            draft.origins[here] = origin if draft.origins[here] == DEFAULT else draft.origins[here]
    return inherited


def _settings(draft: Draft, one: Declared, values: Mapping[str, Any]) -> Any:
    """The kind's settings object; None once a problem says why there is none."""
    complete = True
    for option in one.own_options:
        if option.has_no_default and option.path not in values:
            complete = False
            if draft.origins[dotted(*one.path, option.path)] == DEFAULT:
                names = " or ".join(one.names(option))
                draft.refuse_in_file(one.path, f"{option.path} is missing (env {names} sets it, too)")
    if not complete:
        return None
    try:
        return one.kind.Settings(**values)
    except (TypeError, ValueError) as error:
        draft.refuse_in_file(one.path, _own_words(error, one.own_options, values))
        return None


def _own_words(error: Exception, options: OptionList, values: Mapping[str, Any]) -> str:
    """What the validator of a kind's settings says, unless it says a secret."""
    secrets = [str(values[option.path]) for option in options if is_secret(option) and option.path in values]
    if not error.args or any(secret in str(error.args[0]) for secret in secrets):
        return "these settings do not go together"
    return printable(str(error.args[0]))[:200]


def _warn_of_shared_models(draft: Draft, upstreams: Mapping[str, Upstream]) -> None:
    first: dict[str, str] = {}
    for upstream in upstreams.values():
        for model in upstream.models:
            other = first.setdefault(model, upstream.name)
            if other != upstream.name:
                draft.warnings.append(
                    f"model {model} is listed by {other} and by {upstream.name}: {other} answers for it"
                )


def read_aliases(draft: Draft, kinds: Kinds, upstreams: Mapping[str, Upstream]) -> dict[str, Alias]:
    aliases = {}
    for name, table in draft.tables("models"):
        try:
            model_id(name)
        except Unreadable as error:
            draft.refuse_in_file(("models", name), str(error))
        upstream = _upstream_of(draft, name, table.get("upstream"), upstreams)
        if upstream is not None:
            alias = _read_alias(draft, name, table, upstream, kinds[upstream.kind])
            aliases.update({name: alias} if alias else {})
    return aliases


def _upstream_of(draft: Draft, name: str, wanted: Any, upstreams: Mapping[str, Upstream]) -> Upstream | None:
    path = ("models", name)
    if wanted is None:
        draft.refuse_in_file(path, f"upstream is missing; known here: {', '.join(upstreams)}")
    elif not isinstance(wanted, str):
        draft.refuse_in_file((*path, "upstream"), f"expected text, {got(wanted)}")
    elif wanted not in upstreams and draft.file.get(("upstreams", wanted)) is None:
        draft.refuse_in_file((*path, "upstream"), f"no such upstream{hint(wanted, upstreams)}")
    else:
        return upstreams.get(wanted)  # None where the upstream itself has been refused
    return None


def _read_alias(
    draft: Draft, name: str, table: Mapping[str, Any], upstream: Upstream, kind: Kind
) -> Alias | None:
    path = ("models", name)
    own = deep_options(kind.Settings)
    options = (*_ALIAS, *own)
    draft.check_keys(path, table, (option.path for option in options))
    values = draft.values(path, options, [TomlLoader(draft.file, path)])
    for option in own:
        if option.path not in table:
            inherited = draft.origins[dotted("upstreams", upstream.name, option.path)]
            draft.origins[dotted(*path, option.path)] = inherited
    changes = {option.path: values.pop(option.path) for option in own if option.path in values}
    if upstream.options is None:
        return None
    try:
        return Alias(**values, options=attrs.evolve(upstream.options, **changes))
    except (TypeError, ValueError) as error:
        draft.refuse_in_file(path, _own_words(error, own, values | changes))
        return None
