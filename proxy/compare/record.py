"""What ``deltawire compare`` asks, what came back, and what is wrong with it: values without a socket or a clock.

A ``Recording`` is one answer as it arrived: the head, the bytes of each read and when it returned. Judging one
gives ``Faults``, each a law of ``laws`` that the answer breaks, with the first place it was seen; the same
law broken over and over is one fault with a count, so that hostile answers cannot fill memory. ``Finding`` is what
the two sides amount to: a fault of one side is a difference, the same fault on both sides is none.
"""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field, frozen

from translators.excerpt import clean

Level = Literal["difference", "note"]
Side = Literal["left", "right", "both"]

MOST_FAULTS = 200
"""Kinds of fault kept of one answer; laws are few, but some are broken at a path the peer can choose."""
_LONGEST_DETAIL = 160


@frozen
class Question:
    name: str
    about: str
    body: dict[str, Any]
    """The request, but for the model."""
    refused: bool = False
    """Whether the right answer is an error."""

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def counts(self) -> bool:
        return bool(self.body.get("stream_options", {}).get("include_usage"))

    def to(self, model: str) -> dict[str, Any]:
        """The request; a question about models brings its own."""
        return {"model": model, **self.body}


@frozen
class Recording:
    status: int
    headers: dict[str, str] = field(factory=dict)
    """Of the answer, names in lower case."""
    pieces: tuple[tuple[float, bytes], ...] = ()
    """What each read returned, and how many seconds after the request."""
    total: float = 0.0
    end: str = ""
    """Why the answer stopped before its end; empty where it did not."""

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


@define
class Fault:
    code: str
    subject: str
    """What it is about, such as the path of a member."""
    detail: str
    count: int = 1


@define(eq=False)
class Faults:
    found: dict[tuple[str, str], Fault] = field(factory=dict)

    def add(self, code: str, detail: str = "", *, subject: str = "") -> None:
        known = self.found.get((code, subject))
        if known is not None:
            known.count += 1
        elif len(self.found) < MOST_FAULTS:
            self.found[code, subject] = Fault(code, subject, clean(detail, _LONGEST_DETAIL))

    def __contains__(self, code: object) -> bool:
        return any(known == code for known, _ in self.found)


@frozen
class Finding:
    level: Level
    side: Side
    code: str
    words: str
