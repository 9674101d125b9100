"""The report of a comparison as one HTML file: no script, nothing loaded, everything that was said escaped.

The policy in its head allows the one style sheet, by its hash, and nothing else, so that even a mistake in the
escaping would not run what an endpoint sent. When frames came is drawn as plain rectangles.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from html import escape

from proxy.compare.judge import Verdict
from proxy.compare.record import Level
from proxy.compare.result import COLUMNS, Comparison, order, outcome
from proxy.compare.times import Times

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --good: #1a7f37; --bad: #cf222e; --dull: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.figures td:nth-child(n+3), .figures th:nth-child(n+3) { text-align: right; font-variant-numeric: tabular-nums; }
.same { color: var(--good); } .differs { color: var(--bad); } .dull { color: var(--dull); }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .6rem; white-space: pre-wrap; }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: 1rem; background: var(--line); fill: currentColor; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_HEADINGS: tuple[tuple[Level, str], ...] = (("difference", "Differences"), ("note", "Notes"))
_MOST_TICKS = 400
_WIDTH = 1000


def html(comparison: Comparison, made: str) -> str:
    return "\n".join(_lines(comparison, made)) + "\n"


def _lines(comparison: Comparison, made: str) -> Iterator[str]:
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Two endpoints compared</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Two endpoints compared</h1>"""
    kind = "differs" if comparison.differences else "same"
    yield f'<p class="{kind}"><strong>{escape(comparison.summary())}</strong></p>'
    yield f"<p>left: {escape(str(comparison.left))}<br>right: {escape(str(comparison.right))}</p>"
    yield f'<p class="dull">{escape(made)}</p>'
    yield from _table(("question", "result", "answer", "about"), map(_row, comparison.verdicts))
    for level, heading in _HEADINGS:
        findings = comparison.grouped(level)
        if findings:
            yield f"<h2>{heading} (left / right)</h2>"
            rows = ((one.side, one.words, ", ".join(names)) for one, names in findings)
            yield from _table(("side", heading.lower()[:-1], "questions"), rows)
    yield "<h2>Figures</h2><p>Times in milliseconds; they are not judged.</p>"
    figures = ((name, side, *cells) for name, side, cells in comparison.rows())
    yield from _table(("question", "side", *COLUMNS), figures, "figures")
    yield "<h2>Questions</h2>"
    for verdict in comparison.verdicts:
        yield from _question(verdict)
    yield "</body></html>"


def _row(verdict: Verdict) -> tuple[str, ...]:
    return verdict.question.name, outcome(verdict), verdict.answer or "–", verdict.question.about


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "findings") -> Iterator[str]:
    yield f'<table class="{kind}"><thead><tr>{_cells("th", heads)}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{_cells('td', row)}</tr>"
    yield "</tbody></table>"


def _cells(name: str, values: Iterable[str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for value in values)


def _question(verdict: Verdict) -> Iterator[str]:
    question = verdict.question
    asked = json.dumps(question.body, ensure_ascii=False, indent=2)
    opened = " open" if verdict.differences else ""
    yield f"<details{opened}><summary>{escape(question.name)}: {outcome(verdict)}</summary>"
    yield f"<pre>{escape(asked)}</pre>"
    yield '<div class="sides">'
    longest = max(verdict.left.times.total, verdict.right.times.total)
    for side, reading in (("left", verdict.left), ("right", verdict.right)):
        yield f"<div><h3>{side}</h3>"
        if reading.order:
            yield f"<p>{escape(order(reading))}</p>{_ticks(reading.times, longest)}"
        if reading.text:
            yield f"<pre>{escape(reading.text)}</pre>"
        yield f"<pre>{escape(reading.opening)}</pre></div>"
    yield "</div></details>"


def _ticks(times: Times, longest: float) -> str:
    """When each frame came, on a scale that both sides share."""
    step = len(times.frames) // _MOST_TICKS + 1
    places = [round(when / longest * (_WIDTH - 2)) if longest else 0 for when in times.frames[::step]]
    marks = "".join(f'<rect x="{place}" y="0" width="2" height="16"/>' for place in sorted(set(places)))
    return f'<svg viewBox="0 0 {_WIDTH} 16" preserveAspectRatio="none" role="img">{marks}</svg>'
