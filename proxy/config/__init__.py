"""The whole configuration: from a file, the environment and the flags to one frozen ``Config``.

Weakest first: defaults, the TOML file, ``.env``, the process environment, flags. ``load`` is the only way in,
for ``deltawire serve`` and for ``deltawire check`` alike: it reads nothing but what it is given, tells where
each value came from, and reports every problem at once. ``model`` says what there is to configure,
``sources`` where it is written, ``reader`` how it is read, ``upstreams`` what kinds add.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen
from typed_settings.cls_utils import deep_options
from typed_settings.loaders import Loader
from typed_settings.types import OptionList

from proxy.config.draft import Draft
from proxy.config.model import PREFIX, Alias, Auth, Config, Cors, Limits, Log, Server, Storage, Upstream
from proxy.config.reader import Reader
from proxy.config.sources import (
    Environment,
    EnvLoader,
    FlagLoader,
    Origin,
    TomlFile,
    TomlLoader,
    own_names,
    read_dotenv,
    variables,
)
from proxy.config.upstreams import Kind, Kinds, read_aliases, read_upstreams
from proxy.config.values import Secret, Unreadable, database_url, hint, is_loopback, printable

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
SECTIONS: Mapping[str, type[Any]] = {
    "server": Server,
    "auth": Auth,
    "cors": Cors,
    "log": Log,
    "limits": Limits,
    "storage": Storage,
}
OPTIONS: OptionList = tuple(
    option for option in deep_options(Config) if option.path not in ("upstreams", "models")
)
"""Everything that can be set whatever the upstreams are."""


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_OF_COMMANDS = ("DELTAWIRE_BENCH_KEY", "DELTAWIRE_COMPARE_LEFT_KEY", "DELTAWIRE_COMPARE_RIGHT_KEY")
"""Read by other commands, and no mistake where this one finds them."""
_OF_TOOLS = ("AWS_",)


@frozen
class Loaded:
    config: Config
    origins: Mapping[str, Origin]
    """Where each value came from, by its dotted key."""
    warnings: tuple[str, ...] = ()
    for_tools: Mapping[str, str] = field(factory=dict, repr=False)
    """Variables of ``.env`` that mean something to others, who look for them in the process's own environment."""


def load(
    *, path: Path | None, environ: Mapping[str, str], cwd: Path, flags: Mapping[str, Any], kinds: Kinds
) -> Loaded:
    """Read everything, or raise ``ConfigError``. ``flags`` are by setting: ``{"server.port": "8080"}``."""
    draft = _open(path, environ, cwd)
    values = _read_settings(draft, OPTIONS, flags)
    sections = {name: _section(name, values) for name in SECTIONS}
    upstreams = read_upstreams(draft, kinds, sections["limits"])
    config = Config(
        **sections,
        upstreams=upstreams,
        models=read_aliases(draft, kinds, upstreams),
        default_upstream=_default_upstream(draft, values.get("default_upstream"), upstreams),
        extensions=values.get("extensions", False),
    )
    _refuse_other_databases(draft, sections["storage"])
    _refuse_unknown(draft, flags, kinds)
    _warn_of_open_door(draft, config.server, config.auth)
    if draft.problems:
        raise ConfigError(draft.problems)
    dotenv = draft.environment.dotenv.items()
    for_tools = {name: value for name, value in dotenv if name.startswith(_OF_TOOLS)}
    return Loaded(config, draft.origins, tuple(draft.warnings), for_tools)


def load_server(*, environ: Mapping[str, str], cwd: Path, flags: Mapping[str, Any]) -> Server:
    """Only where to listen, for the demo: nothing else that is configured here concerns it."""
    nothing = TomlFile("", cwd)
    draft = _draft(environ, cwd, nothing)
    values = _read_settings(draft, tuple(o for o in OPTIONS if o.path.startswith("server.")), flags)
    if draft.problems:
        raise ConfigError(draft.problems)
    server: Server = _section("server", values)
    return server


def _draft(environ: Mapping[str, str], cwd: Path, file: TomlFile) -> Draft:
    dotenv, problems = read_dotenv(cwd / ".env")
    environment = Environment.of(environ, dotenv)
    return Draft(environment, file, Reader(environment.get, file.folder, cwd), problems)


def _open(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Draft:
    draft = _draft(environ, cwd, TomlFile("", cwd))
    named = draft.environment.get(CONFIG_VARIABLE)
    if path is None and named is None:
        return draft
    try:
        file = TomlFile.read(path or Path(str(named)), cwd)
    except Unreadable as error:
        # What an unread file says about the rest is unknown: judging the rest without it would mislead.
        raise ConfigError([*draft.problems, str(error)]) from error
    return _draft(environ, cwd, file)


def _read_settings(draft: Draft, options: OptionList, flags: Mapping[str, Any]) -> dict[str, Any]:
    for option in options:
        draft.variables.update(variables(option, own_names(option)))
    cwd = draft.reader.cwd
    loaders: list[Loader] = [
        TomlLoader(draft.file),
        EnvLoader(draft.environment, cwd, draft.problems),
        FlagLoader(flags, cwd),
    ]
    return draft.values((), options, loaders)


def _section(name: str, values: Mapping[str, Any]) -> Any:
    start = f"{name}."
    return SECTIONS[name](
        **{path.removeprefix(start): values[path] for path in values if path.startswith(start)}
    )


def _default_upstream(draft: Draft, wanted: str | None, upstreams: Mapping[str, Upstream]) -> str | None:
    if wanted is None:
        written = draft.file.get(("upstreams",))
        return None if written else next(iter(upstreams), None)
    if wanted not in upstreams and draft.file.get(("upstreams", wanted)) is None:
        path = ("default_upstream",)
        draft.refuse(path, f"no such upstream{hint(wanted, upstreams)}", draft.origins["default_upstream"])
    return wanted


def _refuse_other_databases(draft: Draft, storage: Storage) -> None:
    try:
        if storage.database_url is not None:
            database_url(storage.database_url)
    except Unreadable as error:
        draft.refuse(("storage", "database_url"), str(error), draft.origins["storage.database_url"])


def _refuse_unknown(draft: Draft, flags: Mapping[str, Any], kinds: Kinds) -> None:
    draft.check_keys((), draft.file.data, [*(a.name for a in attrs.fields(Config))])
    for name, section in SECTIONS.items():
        table = draft.file.get((name,))
        if isinstance(table, dict):
            draft.check_keys((name,), table, [attribute.name for attribute in attrs.fields(section)])
        elif table is not None:
            draft.refuse_in_file((name,), f"expected a table [{name}]")
    known = draft.variables | draft.reader.referred | {CONFIG_VARIABLE, *_OF_COMMANDS}
    known.update(name for kind in kinds.values() for name in kind.environment)
    for name in sorted(draft.environment.names() - known):
        if name.startswith(PREFIX):
            draft.problems.append(f"{draft.environment.origin(name)}: unknown name{_env_hint(name, known)}")
    for path in flags.keys() - {option.path for option in OPTIONS}:
        draft.problems.append(f"flag {printable(path)}: no such setting")


def _env_hint(name: str, known: set[str]) -> str:
    return hint(name, (other for other in known if other.startswith(PREFIX)))


def _warn_of_open_door(draft: Draft, server: Server, auth: Auth) -> None:
    if not auth.api_keys and not is_loopback(server.host):
        draft.warnings.append(open_door(server.host))


def open_door(host: str) -> str:
    return f"ANYONE who can reach {host} may use this gateway: no API_KEYS are set"


__all__ = [
    "Alias",
    "Auth",
    "Config",
    "ConfigError",
    "Cors",
    "Kind",
    "Kinds",
    "Limits",
    "Loaded",
    "Log",
    "Origin",
    "Secret",
    "Server",
    "Storage",
    "Upstream",
    "is_loopback",
    "load",
    "load_server",
]
