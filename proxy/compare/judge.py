"""Two answers to the same question, side by side: what a client would notice, and what is only worth knowing.

The left side is the one to be like. A law that only one side breaks is a difference; one that both break is a note,
because a client that can talk to the one can talk to the other. A known member that the left always sends and the
right does not is a difference; what the right sends beyond that is a note, since clients ignore it. Words differ
from model to model, so they are a note unless the same answer was asked for. Times are not judged at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from proxy.compare.laws import LAWS, words
from proxy.compare.reading import Reading
from proxy.compare.record import Finding, Level, Question, Side
from proxy.compare.shapes import Kind
from translators import wirejson
from translators.excerpt import clean

_CONTEXT = 24  # characters of each answer that are quoted where they part


@frozen
class Verdict:
    question: Question
    left: Reading
    right: Reading
    findings: tuple[Finding, ...]
    answer: str = ""
    """Whether both said the same; empty where not both said anything."""

    @property
    def differences(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "difference"]

    @property
    def notes(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "note"]

    @property
    def compared(self) -> bool:
        """Whether both sides did what the question is about, and one of them to its end."""
        sides = (self.left, self.right)
        return all(side.answered != self.question.refused for side in sides) and not all(
            side.cut for side in sides
        )


def judge(question: Question, left: Reading, right: Reading, *, same_answer: bool = False) -> Verdict:
    findings = [*_replies(question, left, right), *_laws(left, right)]
    if left.status and right.status:
        findings += _heads(left, right)
        findings += _shapes(left, right)
    if left.answered and right.answered:
        level: Level = "difference" if same_answer else "note"
        findings += (Finding(level, "both", code, words) for code, words in _answers(left, right))
    findings.sort(key=lambda finding: finding.level != "difference")
    return Verdict(question, left, right, tuple(findings), _answer(left, right))


def _difference(side: Side, code: str, words: str) -> Finding:
    return Finding("difference", side, code, words)


def _note(side: Side, code: str, words: str) -> Finding:
    return Finding("note", side, code, words)


def _replies(question: Question, left: Reading, right: Reading) -> Iterator[Finding]:
    """Whether both answered or both refused, and how."""
    if not (left.status and right.status):
        return  # which is a fault of the side that is silent
    if left.answered != right.answered:
        side, refusal = ("right", right.refusal) if left.answered else ("left", left.refusal)
        yield _difference(_side(side), "refused", f"refuses what the other side answers: {refusal}")
    elif left.answered and question.refused:
        yield _note("both", "not_refused", "answer what should be refused")
    elif not left.answered:
        if not question.refused:
            told = f"{left.refusal} / {right.refusal}"
            yield _note("both", "refused", f"refuse, so nothing is compared: {told}")
        if left.status != right.status:
            yield _difference("both", "status", f"HTTP {left.status} / HTTP {right.status}")
        for member in ("type", "code"):
            values = [_quoted(side.error.get(member)) for side in (left, right)]
            if values[0] != values[1]:
                yield _note("both", f"error_{member}", f"the error's {member} is {values[0]} / {values[1]}")


def _laws(left: Reading, right: Reading) -> Iterator[Finding]:
    for side, own, other in (("left", left, right), ("right", right, left)):
        for key, fault in own.faults.found.items():
            if key not in other.faults.found:
                yield Finding(LAWS[fault.code].level, _side(side), fault.code, words(fault))
            elif side == "left":
                yield _note("both", fault.code, words(fault))


def _side(name: str) -> Side:
    return "left" if name == "left" else "right"


def _heads(left: Reading, right: Reading) -> Iterator[Finding]:
    types = [side.content_type.partition(";") for side in (left, right)]
    known = "content_type" in left.faults or "content_type" in right.faults
    if not known and types[0][2].strip().lower() != types[1][2].strip().lower():
        told = f"{left.content_type} / {right.content_type}"
        yield _note("both", "content_type_parameters", f"the content type is {told}")


# Shapes.


def _shapes(left: Reading, right: Reading) -> Iterator[Finding]:
    found: dict[tuple[Level, Side, str, str], list[str]] = {}
    for name in (*left.shape.kinds, *(kind for kind in right.shape.kinds if kind not in left.shape.kinds)):
        mine, theirs = left.shape.kinds.get(name), right.shape.kinds.get(name)
        if mine is not None and theirs is not None:
            for level, side, code, told in _kind(mine, theirs):
                found.setdefault((level, side, code, told), []).append(name)
        elif left.answered and right.answered:
            side = "left" if theirs is None else "right"
            yield _note(_side(side), "only_one", f"alone sends frames of kind “{name}”")
    for (level, side, code, told), kinds in found.items():
        yield Finding(level, side, code, f"{told} (in {', '.join(kinds)})")


def _kind(left: Kind, right: Kind) -> Iterator[tuple[Level, Side, str, str]]:
    for path, (parent, member) in left.members.items():
        places = right.objects[parent]
        if (member is not None and member.must) or not places:
            continue  # its absence is a fault of that side, or there was nowhere it could have been
        count, always = right.count(path), left.count(path) == left.objects[parent]
        if not count:
            known = member is not None and not member.own and always
            yield "difference" if known else "note", "right", "lacks", f"lacks {path}"
        elif always and count < places:
            known = member is not None and not member.own
            yield "difference" if known else "note", "right", "lacks", f"sometimes lacks {path}"
        elif left.named(path) != right.named(path):
            types = [" or ".join(sorted(side.named(path))) for side in (left, right)]
            yield "note", "both", "other_type", f"{path} is {types[0]} / {types[1]}"
    for path, (parent, _) in right.members.items():
        if path not in left.members and left.objects[parent]:
            yield "note", "right", "extra", f"has {path} as well"


# What was said.


def _answers(left: Reading, right: Reading) -> Iterator[tuple[str, str]]:
    if left.text != right.text:
        yield "text", _parting(left.text, right.text)
    if [_call(*call) for call in left.calls] != [_call(*call) for call in right.calls]:
        yield "calls", f"the calls are {_calls(left)} / {_calls(right)}"
    if left.finish != right.finish:
        yield "finish", f"finish_reason is {_quoted(left.finish)} / {_quoted(right.finish)}"


def _answer(left: Reading, right: Reading) -> str:
    if not (left.answered and right.answered):
        return ""
    return "other words" if any(_answers(left, right)) else "same words"


def _parting(left: str, right: str) -> str:
    place = next(
        (place for place, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )
    rests = [_quoted(text[place : place + _CONTEXT]) for text in (left, right)]
    return f"the texts ({len(left)} / {len(right)} characters) part at {place}: {rests[0]} / {rests[1]}"


def _call(name: str, arguments: str) -> tuple[str, Any]:
    try:
        return name, wirejson.loads(arguments.encode("utf-8", "replace"))
    except ValueError:
        return name, arguments


def _calls(reading: Reading) -> str:
    shown = [clean(f"{name}({arguments})", 60) for name, arguments in reading.calls[:3]]
    return ", ".join(shown) or "none"


def _quoted(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    return f"“{clean(value if isinstance(value, str) else str(value), 60)}”"
