"""``chat.completion``: the same answer as one document.

Events are folded until the answer ends; then one JSON body comes out. Words are kept as lists of pieces and
joined once. Members that only the OpenAI dialect knows are folded the way its own SDK does it: lists grow,
objects are merged, and of anything else the last value holds.

A failure renders nothing: where an answer is whole, an error is an HTTP status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson
from translators.events import (
    Activity,
    Citation,
    Event,
    Failed,
    File,
    Finish,
    Opened,
    Ping,
    Reasoning,
    Refusal,
    Replace,
    Suggestion,
    Text,
    ToolCall,
    Usage,
    Verbatim,
)
from translators.ids import Envelope
from translators.shortcut import spoken
from translators.surfaces.chat_parts import annotation, extension, file_link, usage_document


@define(eq=False)
class _Message:
    """One choice, as far as it has been said."""

    words: dict[str, list[str]] = field(factory=dict)
    calls: dict[int, dict[str, Any]] = field(factory=dict)
    more: dict[str, Any] = field(factory=dict)
    choice: dict[str, Any] = field(factory=dict)
    finish: str | None = None

    def say(self, member: str, text: str) -> None:
        self.words.setdefault(member, []).append(text)

    def call(self, index: int, id: str, name: str, arguments: str, more: dict[str, Any]) -> None:
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": [], "more": {}})
        call["id"] = call["id"] or id
        call["name"] += name
        call["arguments"].append(arguments)
        _fold(call["more"], more)

    def _acts(self) -> bool:
        """Whether the answer is something else than words."""
        return bool(self.calls or self.more.get("audio") or self.more.get("function_call"))

    def document(self, index: int, reason: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        message |= {member: "".join(pieces) for member, pieces in self.words.items()}
        if message["content"] is None and message["refusal"] is None and not self._acts():
            message["content"] = ""
        message |= self.more
        if self.calls:
            message["tool_calls"] = [_call_document(call) for _, call in sorted(self.calls.items())]
        finish = self.finish or reason
        return {"index": index, "message": message, "logprobs": None, **self.choice, "finish_reason": finish}


def _call_document(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": "".join(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": function, **call["more"]}


_WORDS = ("content", "reasoning_content", "refusal")
_CALL = {"index", "id", "type", "function"}


@define(eq=False)
class ChatWhole:
    streams: ClassVar[bool] = False
    content_type: ClassVar[str] = "application/json"
    keep_alive: ClassVar[bytes] = b""

    envelope: Envelope
    extensions: bool = False
    """Whether the answer carries what the platform says beyond the dialect."""

    _messages: dict[int, _Message] = field(factory=dict)
    _more: dict[str, Any] = field(factory=dict)
    _usage: Usage | None = None

    def begin(self) -> bytes:
        return b""

    def render(self, events: Sequence[Event]) -> bytes:
        out = b""
        for event in events:
            if type(event) is Finish:
                out = self._finish(event)
            else:
                self._on[type(event)](self, event)
        return out

    def words(self, texts: list[bytes]) -> bytes:
        self._message().say("content", spoken(texts))
        return b""

    def _message(self, index: int = 0) -> _Message:
        return self._messages.setdefault(index, _Message())

    def _opened(self, event: Opened) -> None:
        _fold(self._more, event.constants or {})

    def _text(self, event: Text) -> None:
        self._message().say("content", event.text)

    def _reasoning(self, event: Reasoning) -> None:
        self._message().say("reasoning_content", event.text)

    def _refusal(self, event: Refusal) -> None:
        self._message().say("refusal", event.text)

    def _tool_call(self, event: ToolCall) -> None:
        self._message().call(event.index, event.id, event.name, event.arguments, {})

    def _citation(self, event: Citation) -> None:
        _fold(self._message().more, {"annotations": [annotation(event)]})

    def _file(self, event: File) -> None:
        self._message().say("content", file_link(event))

    def _replace(self, event: Replace) -> None:
        self._message().words["content"] = [event.text]

    def _counted(self, event: Usage) -> None:
        self._usage = event

    def _nothing(self, event: Activity | Suggestion | Ping | Failed) -> None:
        """A document has no place for it."""

    def _verbatim(self, event: Verbatim) -> None:
        message = self._message(event.index)
        delta = dict(event.delta)
        for member in _WORDS:
            if member in delta:
                message.say(member, delta.pop(member))
        for call in delta.pop("tool_calls", ()):
            function = call["function"]
            more = {name: value for name, value in call.items() if name not in _CALL}
            message.call(
                call["index"], call.get("id", ""), function.get("name", ""), function["arguments"], more
            )
        _fold(message.more, delta)
        _fold(message.choice, event.choice)
        _fold(self._more, event.chunk)
        message.finish = event.finish_reason or message.finish

    def _finish(self, event: Finish) -> bytes:
        self._message(min(self._messages, default=0))
        document = {
            "id": self.envelope.id,
            "object": "chat.completion",
            "created": self.envelope.created,
            "model": self.envelope.model,
            "choices": [m.document(index, event.reason) for index, m in sorted(self._messages.items())],
        }
        if self._usage is not None:
            document["usage"] = usage_document(self._usage)
        told = extension(event) if self.extensions else {}
        return wirejson.dumps({**document, **self._more, **told})

    _on: ClassVar[dict[type, Callable[[ChatWhole, Any], None]]] = {
        Text: _text,
        Opened: _opened,
        Reasoning: _reasoning,
        Refusal: _refusal,
        ToolCall: _tool_call,
        Activity: _nothing,
        Citation: _citation,
        File: _file,
        Replace: _replace,
        Suggestion: _nothing,
        Usage: _counted,
        Failed: _nothing,
        Ping: _nothing,
        Verbatim: _verbatim,
    }


def _fold(into: dict[str, Any], piece: dict[str, Any]) -> None:
    for name, value in piece.items():
        held = into.get(name)
        if isinstance(value, list):
            if not isinstance(held, list):
                into[name] = held = []
            held += value
        elif isinstance(value, dict):
            if not isinstance(held, dict):
                into[name] = held = {}
            _fold(held, value)
        elif isinstance(value, str) and isinstance(held, str) and name in _STREAMED:
            into[name] = held + value
        else:
            into[name] = value


_STREAMED = {"data", "transcript", "arguments"}
"""Strings that come in pieces inside members like ``audio`` and the old ``function_call``."""
