"""The frames of a chat stream against the laws that clients hold them to.

Each frame is counted under one kind, by the first of its choices: ``first`` (it brings the role), ``content``,
``reasoning``, ``refusal``, ``call`` (a tool call begins), ``arguments`` (one goes on), ``finish``, ``usage``,
``error`` and ``empty``. What is missing at the end is only said of a stream that ended by itself: one that told an
error or was cut misses everything after it, and that is said already.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from proxy.compare.calls import Calls, check_arguments
from proxy.compare.reading import (
    Reading,
    check_finish,
    check_id,
    check_object,
    check_usage,
    text_of,
)
from proxy.compare.record import Question, Recording
from proxy.compare.shapes import CHUNK, ERROR
from proxy.compare.syntax import frames, look
from translators import wirejson
from translators.excerpt import clean

_DONE = b"[DONE]"
_LINE_ENDS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")
_NO_STREAM = (b"{", b"[", b"<")  # how a document or a page begins
_CONSTANT = ("id", "created", "model")
_WORDS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
_KINDS = (
    ("content", "content"),
    ("reasoning_content", "reasoning"),
    ("reasoning", "reasoning"),
    ("refusal", "refusal"),
)
_MOST_TURNS = 1000  # changes from one kind of frame to another that are kept


@define(eq=False)
class Frames:
    reading: Reading
    question: Question
    calls: Calls = field(init=False)
    _constants: dict[str, Any] = field(factory=dict)
    _text: list[str] = field(factory=list)
    _begun: bool = False
    _role: bool = False
    _finished: bool = False
    _counted: bool = False
    _done: bool = False
    _failed: bool = False

    @calls.default
    def _no_calls(self) -> Calls:
        return Calls(self.reading.faults)

    def read(self, recording: Recording) -> None:
        faults = self.reading.faults
        if recording.body.lstrip()[:1] in _NO_STREAM:
            faults.add("no_events")
            return
        look(recording, faults)
        for when, payload in frames(recording, faults):
            self.reading.times.frames.append(when)
            self._frame(when, payload)
        self._end(bool(recording.end))

    def _frame(self, when: float, payload: bytes) -> None:
        if self._done:
            self.reading.faults.add("after_done")
        elif payload.strip() == _DONE:
            self._done = True
            self._turn("[DONE]")
            if payload != _DONE:
                self.reading.faults.add("done_spelling")
        elif (chunk := self._chunk(payload)) is not None:
            self._count(chunk)
            self._read(when, chunk)

    def _chunk(self, payload: bytes) -> dict[str, Any] | None:
        faults = self.reading.faults
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError:
            faults.add("not_utf8")
        if any(mark in payload for mark in _LINE_ENDS):
            faults.add("line_ends")
        try:
            chunk = wirejson.loads(payload)
        except ValueError:
            if payload.strip():
                faults.add("chunk_not_json", payload[:400].decode("utf-8", "replace"))
            return None
        if not isinstance(chunk, dict):
            faults.add("chunk_not_object")
            return None
        return chunk

    def _count(self, chunk: dict[str, Any]) -> None:
        """Lay the frame over the others of its kind."""
        kind = self._kind(chunk)
        self._turn(kind)
        self.reading.shape.add(kind, chunk, ERROR if kind == "error" else CHUNK)

    def _turn(self, kind: str) -> None:
        order = self.reading.order
        if order and order[-1][0] == kind:
            order[-1] = (kind, order[-1][1] + 1)
        elif len(order) < _MOST_TURNS:
            order.append((kind, 1))

    def _kind(self, chunk: dict[str, Any]) -> str:
        if chunk.get("error"):
            return "error"
        choice = next(iter(_choices(chunk)), None)
        if choice is None:
            return "usage" if chunk.get("usage") else "empty"
        delta = _delta(choice)
        calls = delta.get("tool_calls")
        if choice.get("finish_reason"):
            return "finish"
        if delta.get("role") and not self._role:
            return "first"
        if isinstance(calls, list) and calls:
            return "call" if any(isinstance(call, dict) and call.get("id") for call in calls) else "arguments"
        return next((kind for member, kind in _KINDS if delta.get(member)), "empty")

    def _read(self, when: float, chunk: dict[str, Any]) -> None:
        faults = self.reading.faults
        if error := chunk.get("error"):
            self._failed = True
            self.reading.error = error if isinstance(error, dict) else {}
            message = self.reading.error.get("message")
            faults.add("error_in_stream", message if isinstance(message, str) else clean(str(error)))
            return
        check_object(chunk, "chat.completion.chunk", faults)
        for member in _CONSTANT:
            if member in chunk:
                self._same(member, chunk[member])
        choices = _choices(chunk)
        self._usage(chunk, bool(choices))
        if len(choices) > 1:
            faults.add("several_choices")
        for choice in choices:
            if choice.get("index", 0) == 0:
                self._choice(when, choice)
            else:
                faults.add("choice_index", str(choice["index"]))

    def _same(self, member: str, value: Any) -> None:
        if member not in self._constants:
            self._constants[member] = value
            if member == "id":
                check_id(value, self.reading.faults)
        elif self._constants[member] != value:
            self.reading.faults.add(f"{member}_changes")

    def _usage(self, chunk: dict[str, Any], has_choices: bool) -> None:
        faults, usage = self.reading.faults, chunk.get("usage")
        if has_choices:
            if self._counted:
                faults.add("after_usage")
            if usage:
                faults.add("usage_with_choices")
        elif not isinstance(usage, dict):
            faults.add("no_choices")
        else:
            if not self.question.counts:
                faults.add("usage_unasked")
            if self._counted:
                faults.add("usage_again")
            elif not self._finished:
                faults.add("usage_early")
            self._counted = True
            check_usage(usage, faults)

    def _choice(self, when: float, choice: dict[str, Any]) -> None:
        faults, delta = self.reading.faults, _delta(choice)
        says = any(delta.get(member) for member in _WORDS)
        if self._finished and says:
            faults.add("after_finish")
        self._roles(delta)
        if self._begun and "content" in delta and delta["content"] is None:
            faults.add("content_null")
        self._begun = True
        if says:
            self.reading.times.spoke(when)
            self._say(delta)
        reason = choice.get("finish_reason")
        if reason == "":
            faults.add("finish_value", "an empty string, not null")
        elif reason is not None:
            if self._finished:
                faults.add("finish_again")
            if says:
                faults.add("finish_with_words")
            self._finished = True
            self.reading.calls = self.calls.whole()
            check_finish(reason, self.reading)

    def _roles(self, delta: dict[str, Any]) -> None:
        faults, role = self.reading.faults, delta.get("role")
        if isinstance(role, str) and role != "assistant":
            faults.add("role", f"“{role}”, not assistant")
        if role and self._role:
            faults.add("role_again")
        elif role:
            self._role = True
            if self._begun:
                faults.add("role_late")

    def _say(self, delta: dict[str, Any]) -> None:
        faults = self.reading.faults
        thought = text_of(delta.get("reasoning_content") or delta.get("reasoning"), faults)
        if thought and (self._text or self.calls.begun):
            faults.add("reasoning_late")
        if said := text_of(delta.get("content"), faults) + text_of(delta.get("refusal"), faults):
            self._text.append(said)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self.calls.piece(call)

    def _end(self, cut: bool) -> None:
        reading, faults = self.reading, self.reading.faults
        reading.text = "".join(self._text)
        reading.calls = self.calls.whole()
        if self._begun and not self._role:
            faults.add("no_role")
        if cut or self._failed:
            return
        if not reading.times.frames:
            faults.add("no_events")
            return
        check_arguments(reading.calls, faults)
        if not self._finished:
            faults.add("finish_missing")
        if self.question.counts and not self._counted:
            faults.add("usage_missing")
        if not self._done:
            faults.add("done_missing")


def _choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}
