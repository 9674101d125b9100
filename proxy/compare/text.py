"""The report of a comparison on a terminal. Colours are taken out by click where nobody sees them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from proxy.compare.record import Level
from proxy.compare.result import COLUMNS, Comparison, outcome

_COLOURS = {"same": "green", "not compared": "yellow"}
_HEADINGS: tuple[tuple[Level, str, str], ...] = (
    ("difference", "Differences", "red"),
    ("note", "Notes", "cyan"),
)


def table(comparison: Comparison) -> str:
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"left   {comparison.left}"
    yield f"right  {comparison.right}"
    yield ""
    width = max(len(verdict.question.name) for verdict in comparison.verdicts) + 2
    for verdict in comparison.verdicts:
        result = outcome(verdict)
        shown = click.style(f"{result:16}", fg=_COLOURS.get(result, "red"))
        yield f"{verdict.question.name:{width}}{shown}{verdict.answer or '–':13}{verdict.question.about}"
    for level, heading, colour in _HEADINGS:
        findings = comparison.grouped(level)
        if findings:
            yield ""
            yield click.style(f"{heading} (left / right)", bold=True)
        for finding, names in findings:
            side = click.style(f"{finding.side:6}", fg=colour)
            yield f"  {side} {finding.words}  [{', '.join(names)}]"
    yield ""
    yield from _figures(comparison, width)
    yield ""
    yield click.style(comparison.summary(), bold=True)


def _figures(comparison: Comparison, width: int) -> Iterator[str]:
    rows = list(comparison.rows())
    widths = [max(len(name), *(len(row[2][place]) for row in rows)) + 2 for place, name in enumerate(COLUMNS)]
    named = zip(COLUMNS, widths, strict=True)
    yield f"{'':{width}}{'':6}" + "".join(f"{name:>{room}}" for name, room in named) + "  (times in ms)"
    for question, side, cells in rows:
        name = question if side == "left" else ""
        shown = zip(cells, widths, strict=True)
        yield f"{name:{width}}{side:6}" + "".join(f"{cell:>{room}}" for cell, room in shown)
