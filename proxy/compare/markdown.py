"""The report of a comparison as Markdown.

Whatever an endpoint said stands escaped, or in a fence that it cannot close.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from proxy.compare.judge import Verdict
from proxy.compare.record import Level
from proxy.compare.result import COLUMNS, Comparison, order, outcome

_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
_HEADINGS: tuple[tuple[Level, str], ...] = (("difference", "Differences"), ("note", "Notes"))


def markdown(comparison: Comparison, made: str) -> str:
    return "\n".join(_lines(comparison, made)) + "\n"


def _lines(comparison: Comparison, made: str) -> Iterator[str]:
    yield "# Two endpoints compared"
    yield ""
    yield f"- left: {_plain(str(comparison.left))}"
    yield f"- right: {_plain(str(comparison.right))}"
    yield f"- result: **{comparison.summary()}**"
    yield f"- made: {_plain(made)}"
    yield ""
    yield from _table(
        ("question", "result", "answer", "about"),
        (
            (_plain(one.question.name), outcome(one), one.answer or "–", one.question.about)
            for one in comparison.verdicts
        ),
    )
    for level, heading in _HEADINGS:
        findings = comparison.grouped(level)
        if findings:
            yield from ("", f"## {heading} (left / right)", "")
            rows = ((one.side, _plain(one.words), _plain(", ".join(names))) for one, names in findings)
            yield from _table(("side", heading.lower()[:-1], "questions"), rows)
    yield from ("", "## Figures", "", "Times in milliseconds; they are not judged.", "")
    yield from _table(
        ("question", "side", *COLUMNS),
        ((_plain(name), side, *cells) for name, side, cells in comparison.rows()),
    )
    for verdict in comparison.verdicts:
        yield from ("", f"## {_plain(verdict.question.name)}", "")
        yield from _question(verdict)


def _question(verdict: Verdict) -> Iterator[str]:
    yield from _fenced("Asked", json.dumps(verdict.question.body, ensure_ascii=False, indent=2))
    for side, reading in (("Left", verdict.left), ("Right", verdict.right)):
        if reading.order:
            yield from ("", f"{side}, frames: {_plain(order(reading))}", "")
        if reading.text:
            yield from _fenced(f"{side} says", reading.text)
        yield from _fenced(f"{side}, as it begins", reading.opening)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(heads)
    yield f"| {' | '.join(names)} |"
    yield f"| {' | '.join('---' for _ in names)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _fenced(title: str, text: str) -> Iterator[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{title}:", "", f"{fence}text", *text.replace("\r", "␍").rstrip("\n").split("\n"), fence)


def _plain(text: str) -> str:
    """``text`` that means nothing to Markdown or to HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\1", text)
