"""``deltawire compare``: do two endpoints of the OpenAI API speak alike?

Only the command is here, so that help is shown at once: ``endpoints`` decides who is asked,
``questions`` what, ``ask`` asks, ``judge`` judges. Exit codes: 0 no difference,
1 differences, 2 a mistake in the command or an endpoint that cannot be compared, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.compare.endpoints import GATEWAY, MODEL, Mistake, Wanted, endpoints
from proxy.compare.questions import QUESTIONS, prompted
from proxy.config.sources import read_dotenv

if TYPE_CHECKING:
    from proxy.compare.result import Comparison

_DIFFERENT, _UNUSABLE, _STOPPED = 1, 2, 130
_SUFFIXES = (".html", ".md")
_LEFT_KEY, _RIGHT_KEY = "DELTAWIRE_COMPARE_LEFT_KEY", "DELTAWIRE_COMPARE_RIGHT_KEY"
_RATHER = "others on this machine can see flags, so rather use the environment."


def _reports(context: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in paths:
        if path.suffix not in _SUFFIXES:
            raise click.BadParameter(f"expected a name that ends with {' or '.join(_SUFFIXES)}")
        if not path.absolute().parent.is_dir():
            raise click.BadParameter(f"there is no directory {path.parent}")
    return paths


@click.command()
@click.option("--left", metavar="URL", help="Base URL of the side to be like.  [env: OPENAI_BASE_URL]")
@click.option(
    "--left-model", metavar="NAME", help=f"Model to ask there.  [default: --model, for OpenAI {MODEL}]"
)
@click.option(
    "--left-key",
    envvar=_LEFT_KEY,
    metavar="KEY",
    help=f"Key for it; {_RATHER}  [env: {_LEFT_KEY}, without --left also OPENAI_API_KEY]",
)
@click.option(
    "--right",
    "--target",
    "right",
    metavar="URL",
    help=f"Base URL of the gateway to be judged.  [default: {GATEWAY}]",
)
@click.option(
    "--right-model", metavar="NAME", help="Model to ask there.  [default: --model, or the left side's]"
)
@click.option("--right-key", envvar=_RIGHT_KEY, metavar="KEY", help=f"Key for it.  [env: {_RIGHT_KEY}]")
@click.option("--model", metavar="NAME", help="Model to ask on both sides.")
@click.option(
    "--only",
    type=click.Choice(list(QUESTIONS)),
    multiple=True,
    help="Ask this one of the built-in questions; may be repeated.  [default: all]",
)
@click.option(
    "--prompt",
    "prompts",
    metavar="TEXT",
    multiple=True,
    help="Ask this, streamed, in place of the built-in questions; may be repeated.",
)
@click.option(
    "--same-answer",
    is_flag=True,
    help="Count other words, calls or finish reasons as differences: for a gateway against its own upstream.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for one answer.",
)
@click.option(
    "--report",
    "reports",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    callback=_reports,
    help="Write a report as well, .html or .md; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in place of the table.")
def compare(
    left: str | None,
    left_model: str | None,
    left_key: str | None,
    right: str | None,
    right_model: str | None,
    right_key: str | None,
    model: str | None,
    only: tuple[str, ...],
    prompts: tuple[str, ...],
    reports: tuple[Path, ...],
    as_json: bool,
    timeout: float,
    same_answer: bool,
) -> None:
    """Ask two endpoints the same and say how their answers differ in form.

    The left side is the one to be like: --left, or OpenAI where OPENAI_API_KEY or OPENAI_BASE_URL is set (.env is
    read as well), or else a stand-in that is built in. The right side is a gateway: --right, or the one on this
    machine, or one in front of the stand-in if nothing at all is said.

    Bytes, members, types, order, roles, finish reasons and usage are judged; words only with --same-answer, times
    never. The questions are short, but real endpoints will generate tokens, which may cost money.

    Exits with 0 if there is no difference, with 1 if there is one, and with 2 if an endpoint cannot be asked.

    \b
    Examples:
      deltawire compare
      deltawire compare --target http://127.0.0.1:3000/v1 --model demo
      OPENAI_API_KEY=… deltawire compare --right https://gateway.example.com --report report.html
      deltawire compare --left http://gpu:8000/v1 --right http://127.0.0.1:3000/v1 --model llama3 --same-answer
    """
    try:
        sides = endpoints(
            Wanted(left, left_model, left_key), Wanted(right, right_model, right_key), model, _environment()
        )
    except Mistake as mistake:
        raise click.UsageError(str(mistake)) from None
    questions = [QUESTIONS[name] for name in only]
    questions += [prompted(number, text) for number, text in enumerate(prompts, 1)]
    questions = questions or list(QUESTIONS.values())
    from proxy.compare.run import Unusable, run

    own = not any(side.url for side in sides)  # then nothing may differ, words included
    try:
        comparison = run(*sides, questions, seconds=timeout, same_answer=same_answer or own)
    except Unusable as error:
        click.echo(str(error), err=True)
        sys.exit(_UNUSABLE)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(_STOPPED)
    click.echo(json.dumps(comparison.document()) if as_json else _table(comparison))
    _write(comparison, reports)
    sys.exit(_DIFFERENT if comparison.differences else 0)


def _environment() -> dict[str, str]:
    dotenv, problems = read_dotenv(Path.cwd() / ".env")
    for problem in problems:
        click.echo(problem, err=True)
    return {**dotenv, **os.environ}


def _table(comparison: Comparison) -> str:
    from proxy.compare.text import table

    return table(comparison)


def _write(comparison: Comparison, reports: tuple[Path, ...]) -> None:
    from proxy.compare.html import html
    from proxy.compare.markdown import markdown

    writers: dict[str, Callable[[Comparison, str], str]] = {".html": html, ".md": markdown}
    for path in reports:
        try:
            path.write_text(writers[path.suffix](comparison, _made()), encoding="utf-8", errors="replace")
        except OSError as error:
            click.echo(f"{path}: cannot be written ({error.strerror})", err=True)
            sys.exit(_UNUSABLE)


def _made() -> str:
    """By what and when, for the foot of a report."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    return f"deltawire {version('deltawire')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
