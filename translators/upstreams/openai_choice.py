"""One choice of an OpenAI-shaped answer: its pieces in, events out.

Most answers have one choice that says words, thoughts or tool calls; those become ordinary events. A piece
that says anything else becomes ``Verbatim``, with the same things put right: thoughts under one name and
told from the answer, tool calls indexed, empty strings and nulls gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import define

from translators.errors import UpstreamError
from translators.events import Emit, FinishReason, Reasoning, Refusal, Text, ToolCall, Verbatim
from translators.ids import Envelope
from translators.thinking import Thinking, may_open
from translators.upstreams.openai_tools import ToolCalls

Meaning: TypeAlias = Text | Reasoning | Refusal | ToolCall
Say: TypeAlias = Callable[[Meaning], None]

_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
_OLD_CALL = "function_call"  # clients of the old dialect wait for this word
_BROKEN = {"error", "abort", "aborted", "cancelled"}

_DELTA = {"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls"}
_CHOICE = {"index", "delta", "message", "finish_reason"}
_USUAL_DELTA = {"role", "content", "refusal"}
_USUAL_CHOICE = {"index", "delta", "finish_reason", "logprobs"}
_USUAL_END = {"stop", "length", "tool_calls", "content_filter"}
_FRAGMENT = {"index", "id", "type", "function"}


@define(eq=False)
class Choice:
    index: int
    envelope: Envelope
    _begins: bool
    """Whether thoughts may open what comes next."""
    shows_reasoning: bool
    finish: FinishReason | None = None
    calls: ToolCalls | None = None
    _thinking: Thinking | None = None
    """Since something has come that may be the tag."""
    _half: str = ""
    """The first half of a surrogate pair whose second half is still to come."""

    def read(self, raw: dict[str, Any], chunk: dict[str, Any], emit: Emit) -> str:
        """Emit what this piece of the answer says; ``chunk`` is what stands beside it and means something.

        If that was one ``Text``, and a piece with another text would be one as well, the text comes back.
        """
        delta, reason = raw.get("delta"), raw.get("finish_reason")
        if (
            chunk
            or type(delta) is not dict
            or self.index
            or not (raw.keys() <= _USUAL_CHOICE and delta.keys() <= _USUAL_DELTA)
            or type(content := delta.get("content", "")) is not str
            or raw.get("logprobs") is not None
            or delta.get("refusal")
            or (reason is not None and (type(reason) is not str or reason not in _USUAL_END))
        ):
            return self._read_all(raw, chunk, emit)
        text = self._words(content, emit) if content else ""
        if reason:
            self.end(reason, emit)
        return "" if self._half or self.finish else text

    def _read_all(self, raw: dict[str, Any], chunk: dict[str, Any], emit: Emit) -> str:
        delta = raw.get("delta")
        whole = delta is None and "message" in raw  # some servers send what was said so far beside each delta
        if delta is None:
            delta = raw.get("message") or {}
        meaning: list[Meaning] = []
        self._thoughts(delta, meaning.append)
        words = self._words(delta.get("content"), meaning.append)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            meaning.append(Refusal(refusal))
        calls = delta.get("tool_calls")
        fragments = self._calls_of_this().put_right(calls) if calls else []
        meaning += [_tool_call(fragment) for fragment in fragments]
        reason = raw.get("finish_reason") or ("stop" if whole else "")
        if reason:
            self.end(reason, meaning.append)

        more = _beyond(delta, _DELTA)
        beside = _beyond(raw, _CHOICE)
        odd = [fragment for fragment in fragments if not fragment.keys() <= _FRAGMENT]
        unusual = more or beside or chunk or odd or reason == _OLD_CALL
        if self.index == 0 and not unusual:
            for event in meaning:
                emit(event)
        elif unusual or meaning or reason:
            said = _delta(meaning, fragments)
            emit(Verbatim(self.index, {**said, **more}, beside, chunk, self._told(reason), tuple(meaning)))
        if reason in _BROKEN:
            raise UpstreamError(f"The upstream broke the answer off: {reason}.")
        return "" if len(meaning) > 1 or unusual or self.index or self._half or self.finish else words

    def _calls_of_this(self) -> ToolCalls:
        if self.calls is None:
            self.calls = ToolCalls(self.envelope, self.index)
        return self.calls

    def end(self, reason: str, say: Say) -> None:
        """Nothing more comes: what was held back is said.

        The reason becomes one of our four words; ``stop`` after tool calls still means that the client must act.
        """
        self.finish = _FINISH.get(reason.lower()) or ("tool_calls" if self.calls else "stop")
        if self._half:
            self._half = ""
            self._say("\ufffd", say)
        self._begins = False
        if self._thinking is not None:
            self._thinking.close(say)
            self._thinking = None

    def _told(self, reason: str) -> str | None:
        """The reason as a client of this dialect is told it."""
        if not reason or reason in _BROKEN:
            return None
        return reason if reason == _OLD_CALL else self.finish

    def _thoughts(self, delta: dict[str, Any], say: Say) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought and self.shows_reasoning:
            say(Reasoning(thought))

    def _words(self, content: Any, say: Say) -> str:
        if not content:
            return ""
        text = content if isinstance(content, str) else self._parts(content, say)
        if self._half or not text.isascii():
            text = self._paired(self._half + text)
        return self._say(text, say)

    def _parts(self, parts: Any, say: Say) -> str:
        """Some servers send content as a list of parts, thoughts among them."""
        words: list[str] = []
        for part in parts:
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                thought = inner if isinstance(inner, str) else "".join(piece["text"] for piece in inner)
                self._thoughts({"reasoning": thought}, say)
            else:
                words.append(part.get("text") or "")
        return "".join(words)

    def _paired(self, text: str) -> str:
        """``text`` with surrogate halves joined; the last may wait, one that is alone becomes U+FFFD."""
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text.removesuffix(self._half) if self._half else text
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _say(self, text: str, say: Say) -> str:
        """The text comes back if it is one ``Text`` just as it is."""
        if not text:
            return ""
        if self._begins:
            self._begins = False
            self._thinking = Thinking(drop=not self.shows_reasoning) if may_open(text) else None
        if self._thinking is None:
            say(Text(text))
            return text
        self._thinking.feed(text, say)
        if self._thinking.plain:
            self._thinking = None
        return ""


def _beyond(members: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """What says something that is not known."""
    if members.keys() <= known:
        return {}
    return {name: value for name, value in members.items() if name not in known and value is not None}


def _tool_call(fragment: dict[str, Any]) -> ToolCall:
    function = fragment["function"]
    return ToolCall(
        fragment["index"], fragment.get("id", ""), function.get("name", ""), function["arguments"]
    )


def _delta(meaning: list[Meaning], fragments: list[dict[str, Any]]) -> dict[str, Any]:
    """The pieces of ``meaning`` in the members of a delta."""
    delta: dict[str, Any] = {}
    for event in meaning:
        if type(event) is ToolCall:
            delta["tool_calls"] = fragments
        else:
            member = _MEMBER[type(event)]
            delta[member] = delta.get(member, "") + event.text
    return delta


_MEMBER: dict[type, str] = {Text: "content", Reasoning: "reasoning_content", Refusal: "refusal"}
