"""What one answer said, in which order and when; and the laws that streams and whole answers share."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from proxy.compare.record import Faults
from proxy.compare.shapes import Shape
from proxy.compare.times import Times
from translators.excerpt import clean

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


@define(eq=False)
class Reading:
    status: int
    content_type: str
    faults: Faults
    shape: Shape
    times: Times
    answered: bool = False
    """Whether there is an answer and not an error."""
    text: str = ""
    calls: list[tuple[str, str]] = field(factory=list)
    """Name and arguments of each function that is called."""
    finish: str = ""
    order: list[tuple[str, int]] = field(factory=list)
    """Kinds of frames as they came, and how many of the kind in a row."""
    error: dict[str, Any] = field(factory=dict)
    opening: str = ""
    """How the body begins, for people to look at."""

    def forget(self, kept: int) -> None:
        """Keep no more of the answer than a report shows."""
        self.text = self.text if len(self.text) <= kept else f"{self.text[:kept]}…"
        self.calls = []
        self.error = {}

    @property
    def cut(self) -> str:
        """Why the answer broke off; empty where it did not."""
        fault = self.faults.found.get(("cut", ""))
        return "" if fault is None else fault.detail

    @property
    def refusal(self) -> str:
        """The status and the words of a refusal, or why nothing more is known."""
        if self.cut:
            return f"HTTP {self.status}, and the answer breaks off: {self.cut}"
        message = self.error.get("message")
        said = clean(message, 160) if isinstance(message, str) else ""
        return f"HTTP {self.status}: {said}" if said else f"HTTP {self.status}"


# Laws of both forms.


def check_object(document: dict[str, Any], wanted: str, faults: Faults) -> None:
    kind = document.get("object", wanted)
    if kind != wanted:
        faults.add("object", f"“{kind}”, not {wanted}")


def check_id(value: Any, faults: Faults) -> None:
    if value == "":
        faults.add("id_empty")
    elif isinstance(value, str) and not value.startswith("chatcmpl-"):
        faults.add("id_prefix")


def check_finish(reason: Any, reading: Reading) -> None:
    """A reason that is told, against what was said before it."""
    if isinstance(reason, str):
        reading.finish = reason if reason in FINISH_REASONS else clean(reason, 40)
        if reason not in FINISH_REASONS:
            reading.faults.add("finish_value", f"“{reason}”")
        elif reading.calls and reason == "stop":
            reading.faults.add("finish_of_calls", reason)
        elif reason == "tool_calls" and not reading.calls:
            reading.faults.add("calls_missing")


def check_usage(usage: dict[str, Any], faults: Faults) -> None:
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    numbers = [count for count in counts if isinstance(count, int)]
    if any(number < 0 for number in numbers):
        faults.add("usage_negative")
    elif len(numbers) == len(counts) and numbers[0] + numbers[1] != numbers[2]:
        faults.add("usage_sum", f"{numbers[0]} + {numbers[1]} ≠ {numbers[2]}")


def text_of(value: Any, faults: Faults) -> str:
    """``value``, if it is text; what is lost of a character is a fault."""
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        if any("\ud800" <= character <= "\udfff" for character in value):
            faults.add("half_character")
        if "\ufffd" in value:
            faults.add("replaced_character")
    return value
