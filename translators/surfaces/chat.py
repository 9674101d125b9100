"""``chat.completion.chunk`` frames: the surface every chat frontend reads.

A stream is bare ``data:`` frames with one id, one ``created`` and the model's name as the client wrote it.
The role comes once for each choice, just before its first piece; when the upstream has said that the answer
is complete, one finish frame for each choice, the usage if it was asked for, and ``[DONE]``. A failure is
one ``error`` frame and nothing after it.

What all frames share is rendered once: a text frame is the text as a JSON string between pieces that are made
already. Keeping the pieces joined would save 20 ns a frame and cost 400 bytes for every open stream.

Platform activity and suggestions say nothing here, nor does a ping before the first frame. A replaced text
cannot be unsaid: the rest of it is sent if it goes on from what was said, else all of it after a blank line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, get_args

from attrs import define, field

from translators import wirejson
from translators.events import (
    Activity,
    Citation,
    Event,
    Failed,
    File,
    Finish,
    FinishReason,
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

DONE = b"data: [DONE]\n\n"
_ROLE = {"role": "assistant", "content": "", "refusal": None}


def _piece(index: int, delta: dict[str, Any], choice: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **(choice or {})}


_FIRST_ROLE = wirejson.dumps(_piece(0, _ROLE))
_MARK = wirejson.dumps("\0")[1:-1]  # stands for the letters while that which does not differ is made
_WORDS_START, _, _WORDS_END = wirejson.dumps(_piece(0, {"content": "\0"})).partition(_MARK)
_TEXT_START, _TEXT_END = _WORDS_START[:-1], _WORDS_END[1:]
_ENDS = {
    reason: wirejson.dumps(_piece(0, {}, {"finish_reason": reason})) for reason in get_args(FinishReason)
}
_BEGUN: dict[int, dict[str, Any]] = {0: {}}
"""The endings of an answer that is one choice, without any that the upstream has given."""


@define(eq=False)
class Chat:
    streams: ClassVar[bool] = True
    content_type: ClassVar[str] = "text/event-stream; charset=utf-8"
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    envelope: Envelope
    include_usage: bool
    extensions: bool = False
    """Whether the last chunk carries what the platform says beyond the dialect."""

    _constants: dict[str, Any] = field(factory=dict)
    _usage: Usage | None = None
    _endings: dict[int, dict[str, Any]] = field(factory=dict)
    """The last frame of every choice that has begun; empty where the upstream has not given it yet."""
    _before: bytes = b""
    """Made with the first role frame, which comes before every frame but an error."""
    _after: bytes = b""
    _speaking: bool = False
    """Whether words have been said: then more of them need nothing but their frame."""

    def begin(self) -> bytes:
        return self._role(0)

    def render(self, events: Sequence[Event]) -> bytes:
        if len(events) == 1 and self._speaking:
            event = events[0]
            if type(event) is Text:
                words = wirejson.dumps_text(event.text)
                return b"".join((self._before, _TEXT_START, words, _TEXT_END, self._after))
        out: list[bytes] = []
        for event in events:
            if type(event) is Text and self._speaking:
                out += (self._before, _TEXT_START, wirejson.dumps_text(event.text), _TEXT_END, self._after)
            else:
                out.append(self._on[type(event)](self, event))
        return b"".join(out)

    def words(self, texts: list[bytes]) -> bytes:
        if not self._speaking:
            return self.render([Text(spoken([text])) for text in texts])
        words = texts[0]
        if len(texts) > 1:
            words = b"".join((_WORDS_END, self._after, self._before, _WORDS_START)).join(texts)
        return b"".join((self._before, _WORDS_START, words, _WORDS_END, self._after))

    def _opened(self, event: Opened) -> bytes:
        if not self._endings:
            self._constants = event.constants or {}
        return b""

    def _text(self, event: Text) -> bytes:
        """The first words; ``render`` says those that follow."""
        self._speaking = True
        role, words = self._role(0), wirejson.dumps_text(event.text)
        return b"".join((role, self._before, _TEXT_START, words, _TEXT_END, self._after))

    def _reasoning(self, event: Reasoning) -> bytes:
        return self._role(0) + self._frame(0, {"reasoning_content": event.text})

    def _refusal(self, event: Refusal) -> bytes:
        return self._role(0) + self._frame(0, {"refusal": event.text})

    def _tool_call(self, event: ToolCall) -> bytes:
        call: dict[str, Any] = {"index": event.index}
        if event.id:
            call |= {"id": event.id, "type": "function"}
        call["function"] = {"name": event.name} if event.name else {}
        call["function"]["arguments"] = event.arguments
        return self._role(0) + self._frame(0, {"tool_calls": [call]})

    def _citation(self, event: Citation) -> bytes:
        return self._role(0) + self._frame(0, {"annotations": [annotation(event)]})

    def _file(self, event: File) -> bytes:
        return self.render([Text(file_link(event))])

    def _replace(self, event: Replace) -> bytes:
        goes_on = event.text.startswith(event.said)
        text = event.text.removeprefix(event.said) if goes_on else f"\n\n{event.text}"
        return self.render([Text(text)]) if text else b""

    def _verbatim(self, event: Verbatim) -> bytes:
        role = self._role(event.index)
        if event.finish_reason is None:
            return role + self._frame(event.index, event.delta, event.choice, event.chunk)
        ending = {"choice": {**event.choice, "finish_reason": event.finish_reason}, "chunk": event.chunk}
        if not event.delta:
            self._endings[event.index] = ending
            return role
        self._endings[event.index] = {"choice": {"finish_reason": event.finish_reason}}
        return role + self._frame(event.index, event.delta, event.choice, event.chunk)

    def _counted(self, event: Usage) -> bytes:
        self._usage = event
        return b""

    def _ping(self, event: Ping) -> bytes:
        return self.keep_alive if self._endings else b""

    def _nothing(self, event: Activity | Suggestion) -> bytes:
        return b""

    def _finish(self, event: Finish) -> bytes:
        if self._endings == _BEGUN and not self.include_usage and not (self.extensions and event.platform):
            return b"".join((self._before, _ENDS[event.reason], self._after, DONE))
        out = [self._role(0)] if not self._endings else []
        counted = self.include_usage and self._usage is not None
        told = extension(event) if self.extensions else {}
        last = max(self._endings)
        for index, ending in sorted(self._endings.items()):
            choice = {"finish_reason": event.reason, **ending.get("choice", {})}
            chunk = ending.get("chunk") or {}
            out.append(
                self._frame(index, {}, choice, chunk if counted or index != last else {**chunk, **told})
            )
        if self.include_usage and self._usage is not None:
            usage = usage_document(self._usage)
            out.append(_data({**self._chunk(), "choices": [], "usage": usage, **told}))
        out.append(DONE)
        return b"".join(out)

    def _failed(self, event: Failed) -> bytes:
        return b"data: " + event.error.body() + b"\n\n"

    def _role(self, index: int) -> bytes:
        if index in self._endings:
            return b""
        self._endings[index] = {}
        if not self._before:
            self._surround()
        piece = wirejson.dumps(_piece(index, _ROLE)) if index else _FIRST_ROLE
        return b"".join((self._before, piece, self._after))

    def _frame(
        self,
        index: int,
        delta: dict[str, Any],
        choice: dict[str, Any] | None = None,
        chunk: dict[str, Any] | None = None,
    ) -> bytes:
        piece = _piece(index, delta, choice)
        if not chunk:
            return b"".join((self._before, wirejson.dumps(piece), self._after))
        document = {**self._chunk(), **(chunk or {}), "choices": [piece]}
        if self.include_usage:
            document["usage"] = None
        return _data(document)

    def _surround(self) -> None:
        """Make what stands before and after the choice in every ordinary frame."""
        self._before = b"".join((b"data: ", wirejson.dumps(self._chunk())[:-1], b',"choices":['))
        self._after = b'],"usage":null}\n\n' if self.include_usage else b"]}\n\n"

    def _chunk(self) -> dict[str, Any]:
        return {
            "id": self.envelope.id,
            "object": "chat.completion.chunk",
            "created": self.envelope.created,
            "model": self.envelope.model,
            **self._constants,
        }

    _on: ClassVar[dict[type, Callable[[Chat, Any], bytes]]] = {
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
        Finish: _finish,
        Failed: _failed,
        Ping: _ping,
        Verbatim: _verbatim,
    }


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + wirejson.dumps(document) + b"\n\n"
