"""``deltawire bench``: how fast somebody's own deployment streams.

Only the command is here, so that help is shown at once; ``bench_streams`` asks the target. It may be anything that
speaks the OpenAI API, so there are no stamps in the text and nothing is said of what a gateway adds: two runs, one
through the gateway and one without, say that. The key comes from the environment or a flag and is never shown.
Exit codes: 0 every stream complete, 1 some not, 2 a mistake in the command.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from proxy.bench_streams import Result

MOST_STREAMS = 1000
MOST_REQUESTS = 100_000
_PROMPT = "Count from one to one hundred in words, one number a line."
_SHOWN_FAILURES = 5
_CHAT = "/chat/completions"


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Where to ask: a host gets /v1, a base URL gets the route."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise click.BadParameter("expected a URL such as http://127.0.0.1:3000/v1")
    if parts.username or parts.password:
        raise click.BadParameter("a password does not belong into a URL; use --key")
    if parts.query or parts.fragment:
        raise click.BadParameter("a URL without ? and #")
    path = parts.path.rstrip("/").removesuffix(_CHAT) or "/v1"
    return parts._replace(path=path + _CHAT).geturl()


@click.command()
@click.option("--target", required=True, metavar="URL", callback=_address, help="Base URL of the API.")
@click.option("--model", required=True, metavar="NAME", help="Model to ask for.")
@click.option(
    "--key",
    envvar="DELTAWIRE_BENCH_KEY",
    metavar="KEY",
    help="Key for the target; others on this machine can see flags, so rather use"
    " the environment.  [env: DELTAWIRE_BENCH_KEY]",
)
@click.option(
    "--streams",
    type=click.IntRange(1, MOST_STREAMS),
    default=4,
    show_default=True,
    metavar="N",
    help=f"Streams at the same time, at most {MOST_STREAMS}.",
)
@click.option(
    "--requests",
    type=click.IntRange(1, MOST_REQUESTS),
    metavar="N",
    help="Streams in all.  [default: three times as many as at the same time]",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, 32_768),
    default=256,
    show_default=True,
    metavar="N",
    help="Bound of each answer, sent as max_tokens.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for one stream.",
)
@click.option("--prompt", default=_PROMPT, metavar="TEXT", help="What the user says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in place of the table.")
def bench(requests: int | None, streams: int, as_json: bool, **options: Any) -> None:
    """Measure how a deployment streams: first token, gaps between frames, completeness.

    The target may be this gateway or any other OpenAI-compatible server. It will generate tokens, which
    may cost money: --requests times --max-tokens of them at most.

    \b
    Examples:
      deltawire bench --target http://127.0.0.1:3000/v1 --model demo
      deltawire bench --target https://llm.example.com --model m --streams 50
      DELTAWIRE_BENCH_KEY=… deltawire bench --target http://gateway:3000/v1 --model m --json
    """
    from proxy.bench_streams import run

    total = requests or streams * 3
    if not as_json:
        click.echo(f"{total} streams of {options['model']}, {min(streams, total)} at a time", err=True)
    result = run(streams=min(streams, total), requests=total, **options)
    click.echo(json.dumps(_document(result)) if as_json else _table(result))
    sys.exit(0 if result.complete == result.requests else 1)


def _table(result: Result) -> str:
    lines = [f"{'':28}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}"]
    for words, times in (
        ("first token, ms", result.first_tokens),
        ("gap between frames, ms", result.gaps),
        ("whole stream, ms", result.durations),
    ):
        lines.append(
            f"{words:28}" + "".join(f"{_shown(value):>10}" for value in _percentiles(times).values())
        )
    lines += [
        f"{'frames per second':28}{result.frames / result.seconds:>10,.1f}",
        f"{'tokens per second':28}{_per_second(result):>10}",
        f"{'complete streams':28}{f'{result.complete} of {result.requests}':>10}",
    ]
    failures = sorted(result.failures.items(), key=lambda failure: -failure[1])
    lines += [f"  {count} × {words}" for words, count in failures[:_SHOWN_FAILURES]]
    if len(failures) > _SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - _SHOWN_FAILURES} other kinds of failure")
    return "\n".join(lines)


def _document(result: Result) -> dict[str, Any]:
    return {
        "requests": result.requests,
        "complete": result.complete,
        "seconds": round(result.seconds, 3),
        "frames": result.frames,
        "tokens": result.tokens,
        "frames_per_s": round(result.frames / result.seconds, 1),
        "first_token_ms": _percentiles(result.first_tokens),
        "gap_ms": _percentiles(result.gaps),
        "stream_ms": _percentiles(result.durations),
        "failures": result.failures,
    }


def _percentiles(times: list[float]) -> dict[str, float | None]:
    """Milliseconds of so many seconds."""
    ordered = sorted(times)
    return {
        name: round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1000, 3)
        if ordered
        else None
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
    }


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _per_second(result: Result) -> str:
    """Tokens are what the target says it used; not every server says."""
    return f"{result.tokens / result.seconds:,.1f}" if result.tokens else "not told"
