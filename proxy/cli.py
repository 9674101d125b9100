"""The ``deltawire`` command.

``serve`` and ``check`` load the configuration by the same call, so that what ``check`` approves is what
``serve`` runs. The flags and the table of environment names are made from the model (``model``) and
listed nowhere else. The server, the demo and the kinds of upstream are imported by the command that needs
them: help and mistakes are shown at once. Exit codes: 0 good, 2 a mistake in the command or configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from typed_settings.types import OptionInfo

from proxy.bench_command import bench
from proxy.compare.command import compare
from proxy.config import (
    CONFIG_VARIABLE,
    OPTIONS,
    ConfigError,
    Kinds,
    Loaded,
    is_loopback,
    load,
    load_server,
    open_door,
)
from proxy.config.report import report, shown

Command = TypeVar("Command", bound=Callable[..., Any])

_MISTAKE = 2


def _help_of(option: OptionInfo) -> str:
    return str(option.metadata["click"]["help"])


class _Configured(click.Command):
    """A command whose help ends with the environment; made only when asked, since the kinds add to it."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Environment (.env in the working directory is read as well)"):
            formatter.write_dl([(_names_of(option), _help_of(option)) for option in OPTIONS])
        with formatter.section("One upstream without a file"):
            formatter.write_dl(
                [(name, field) for kind in _kinds().values() for name, field in kind.environment.items()]
            )
        with formatter.section("More"):
            formatter.write_dl(_MORE)


_MORE = (
    ("DELTAWIRE_<NAME>", "every name above may have the prefix; with it, it is stronger"),
    ("DELTAWIRE_UPSTREAM_<NAME>_<FIELD>", "a field of an upstream, such as idle_timeout"),
    ("<NAME>_FILE", "for keys: the file that holds them"),
    ("times", "5, 5s, 500ms, 2m or 1h"),
    ("sizes", "10485760, 512k, 10m or 10MiB"),
)


def _names_of(option: OptionInfo) -> str:
    return str(option.metadata["env"][-1])


def _flags(only: str = "") -> Callable[[Command], Command]:
    """A flag for each setting that has one; its value is read by the configuration, like any other."""

    def decorate(command: Command) -> Command:
        for option in reversed(OPTIONS):
            flag = option.metadata["flag"]
            if flag and option.path.startswith(only):
                words = f"{_help_of(option)}  [env: {_names_of(option)}; default: {shown(option.default)}]"
                command = click.option(flag, option.path.replace(".", "__"), metavar="VALUE", help=words)(
                    command
                )
        return command

    return decorate


_config_flag = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"TOML file with upstreams and model aliases.  [env: {CONFIG_VARIABLE}]",
)


def _settings(flags: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in flags.items()}


def _kinds() -> Kinds:
    from translators.upstreams import UPSTREAMS

    return UPSTREAMS


def _load(config: Path | None, flags: dict[str, Any]) -> Loaded:
    try:
        loaded = load(path=config, environ=os.environ, cwd=Path.cwd(), flags=_settings(flags), kinds=_kinds())
    except ConfigError as error:
        _give_up(error)
    for name, value in loaded.for_tools.items():
        os.environ.setdefault(name, value)
    return loaded


def _give_up(error: ConfigError) -> NoReturn:
    for problem in error.problems:
        click.echo(problem, err=True)
    sys.exit(_MISTAKE)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.secho(f"WARNING: {warning}", err=True, fg="yellow", bold=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="deltawire", message="%(prog)s %(version)s")
def cli() -> None:
    """Streams assistants to OpenAI clients, one token at a time.

    \b
    Examples:
      deltawire demo                                  a built-in model: no key, no network
      deltawire serve                                 Ollama on this machine
      LLAMA_BASE_URL=http://gpu:8000/v1 deltawire serve
      deltawire check --config deltawire.toml --online
      deltawire bench --target http://127.0.0.1:3000/v1 --model demo
      deltawire compare --target http://127.0.0.1:3000/v1 --model demo
    """


cli.add_command(bench)
cli.add_command(compare)


@cli.command(cls=_Configured)
@_config_flag
@_flags()
def serve(config: Path | None, **flags: Any) -> None:
    """Serve the OpenAI API in front of the configured upstreams.

    Weakest first: defaults, the TOML file, .env, the environment, flags.

    \b
    Examples:
      deltawire serve
      deltawire serve --config deltawire.toml --port 8080
      API_KEYS_FILE=/run/secrets/keys deltawire serve --host 0.0.0.0
    """
    loaded = _load(config, flags)
    from proxy.server import run

    sys.exit(run(loaded))  # which logs the warnings


@cli.command()
@_flags("server.host")
@_flags("server.port")
def demo(**flags: Any) -> None:
    """Serve a built-in model that needs no key and no network.

    \b
    Examples:
      deltawire demo
      PORT=8080 deltawire demo
    """
    try:
        server = load_server(environ=os.environ, cwd=Path.cwd(), flags=_settings(flags))
    except ConfigError as error:
        _give_up(error)
    if not is_loopback(server.host):
        _warn([open_door(server.host)])
    from proxy.demo import run

    sys.exit(run(server.host, server.port))


@cli.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there."
)
def spec(out: Path | None) -> None:
    """Print the description of the API that `serve` offers: OpenAPI 3.1, as JSON.

    \b
    Examples:
      deltawire spec
      deltawire spec --out openapi.json
    """
    import orjson

    from proxy.routes.table import description

    text = orjson.dumps(orjson.loads(description()), option=orjson.OPT_INDENT_2) + b"\n"
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_bytes(text)
    except OSError as error:
        click.echo(f"cannot write {out}: {error.strerror or error}", err=True)
        sys.exit(_MISTAKE)


@cli.command()
@_config_flag
@click.option("--online", is_flag=True, help="Ask each upstream and the storage, too.")
@_flags()
def check(config: Path | None, online: bool, **flags: Any) -> None:
    """Print every setting with its origin, secrets masked, and say whether `serve` would start.

    Takes the flags of `serve`. Exits with 0 if all is well and with 2 if not.

    \b
    Examples:
      deltawire check
      deltawire check --config deltawire.toml --online
    """
    loaded = _load(config, flags)
    for line in report(loaded):
        click.echo(line)
    _warn(loaded.warnings)
    if online and not _all_answer(loaded):
        sys.exit(_MISTAKE)
    click.echo("ok")


def _all_answer(loaded: Loaded) -> bool:
    import asyncio

    from proxy.probe import Probe, probe, probe_storage

    async def ask() -> list[Probe]:
        return [*await probe(loaded.config), await probe_storage(loaded.config)]

    probes = asyncio.run(ask())
    for one in probes:
        click.echo(str(one), err=not one.ok)
    return all(one.ok for one in probes)
