"""What a comparison found, as every report needs it.

The verdicts, the findings of all questions together, and the figures of both sides in the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import field, frozen

from proxy.compare.judge import Verdict
from proxy.compare.reading import Reading
from proxy.compare.record import Finding, Level

COLUMNS = (
    *("status", "frames", "reads", "bytes"),
    *("first byte", "first word", "gap p50", "gap p90", "gap max", "total"),
)
"""The last six are milliseconds."""


@frozen
class Endpoint:
    side: str
    url: str
    """Up to the route."""
    model: str
    key: str = field(default="", repr=False)
    about: str = ""

    def __str__(self) -> str:
        about = f" ({self.about})" if self.about else ""
        return f"{self.url}, model {self.model}{about}"


@frozen
class Comparison:
    left: Endpoint
    right: Endpoint
    verdicts: tuple[Verdict, ...]

    @property
    def differences(self) -> int:
        return sum(len(verdict.differences) for verdict in self.verdicts)

    @property
    def notes(self) -> int:
        return sum(len(verdict.notes) for verdict in self.verdicts)

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare: two sides that refuse everything are alike and useless."""
        asked = [verdict for verdict in self.verdicts if not verdict.question.refused]
        return not asked or any(verdict.compared or verdict.differences for verdict in asked)

    def summary(self) -> str:
        questions = _number(len(self.verdicts), "question")
        return f"{_number(self.differences, 'difference')} and {_number(self.notes, 'note')} in {questions}"

    def grouped(self, level: Level) -> list[tuple[Finding, list[str]]]:
        """Each finding once, with the questions that showed it."""
        found: dict[Finding, list[str]] = {}
        for verdict in self.verdicts:
            for finding in verdict.findings:
                if finding.level == level:
                    found.setdefault(finding, []).append(verdict.question.name)
        return list(found.items())

    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """Question, side and a cell for each of ``COLUMNS``."""
        for verdict in self.verdicts:
            for side, reading in (("left", verdict.left), ("right", verdict.right)):
                yield verdict.question.name, side, [_shown(value) for value in figures(reading).values()]

    def document(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "differences": self.differences,
            "notes": self.notes,
            **{side.side: {"url": side.url, "model": side.model} for side in (self.left, self.right)},
            "questions": [_document(verdict) for verdict in self.verdicts],
        }


def outcome(verdict: Verdict) -> str:
    """One or two words for a question."""
    if verdict.differences:
        return _number(len(verdict.differences), "difference")
    return "same" if verdict.compared else "not compared"


def figures(reading: Reading) -> dict[str, int | float | None]:
    """A value for each of ``COLUMNS``; times in milliseconds."""
    times = reading.times
    seconds = (times.first_byte, times.first_word, times.gap(50), times.gap(90), times.gap(100), times.total)
    counts = (reading.status, len(times.frames) or None, times.reads, times.size)
    told = [None if value is None else round(value * 1000, 3) for value in seconds]
    return dict(zip(COLUMNS, (*counts, *told), strict=True))


def order(reading: Reading) -> str:
    """The frames as they came: ``first · content × 5 · finish``."""
    return " · ".join(kind if count == 1 else f"{kind} × {count}" for kind, count in reading.order)


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.question.name,
        "result": outcome(verdict),
        "answer": verdict.answer or None,
        "findings": [
            {
                "level": finding.level,
                "side": finding.side,
                "code": finding.code,
                "text": finding.words,
            }
            for finding in verdict.findings
        ],
        "left": _side(verdict.left),
        "right": _side(verdict.right),
    }


def _side(reading: Reading) -> dict[str, Any]:
    names = [name.replace(" ", "_") for name in COLUMNS]
    names[4:] = [f"{name}_ms" for name in names[4:]]
    return {
        **dict(zip(names, figures(reading).values(), strict=True)),
        "order": order(reading),
        "finish_reason": reading.finish or None,
    }


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
