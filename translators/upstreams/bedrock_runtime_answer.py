"""What an agent in a runtime yields, told as an answer.

An agent often yields the same words in several shapes: the events of its model, its framework's own events, the
message they make, and a result in the end. So words are taken from one source. Sources have ranks, pieces above
wholes; when one of a higher rank speaks up, the others are not listened to any more. What only repeats is kept, and
told at the end if it is all there is. Objects in no known shape are left out, unless there was nothing else.

The answer is complete when the body is, for there is no last event that every agent yields. But a model's message
that was begun and not ended is an answer cut off, and a body without a word is none.

Most frames of an answer differ in one string: they are read by template.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import define, field

from translators import shortcut
from translators.errors import UpstreamFailed
from translators.events import Activity, Emit, FinishReason, Opened, Reasoning, Usage
from translators.template import Template
from translators.upstreams.base import Upstream
from translators.upstreams.bedrock_runtime_framing import DOCUMENT, TEXT, RuntimeFraming
from translators.upstreams.bedrock_runtime_words import (
    LAST,
    NOT_JSON,
    QUIET,
    REASONS,
    THOUGHTS,
    failure,
    is_failure,
    is_ours,
    is_repr,
    members,
    parsed,
    spoken,
    usage,
    whole,
)
from translators.upstreams.bedrock_sister import Sister

_ROOM = 64 * 1024
"""Bytes of objects in no known shape that are kept."""
_MAX_HELD = 4 * 1024 * 1024
_LONGEST_NAME = 200
_BETWEEN = "\n\n"
_PLAIN = "plain"
_UTF8 = codecs.getincrementaldecoder("utf-8")
_UNLIKE = Template(b"")
"""What no frame is like, before one was learned from."""

Read: TypeAlias = Callable[[Any, Any, bytes, Emit], bool]
"""Reads one member of an object; whether it is one of this shape."""


_SILENT = frozenset(("init_event_loop", "start", "start_event_loop", "current_tool_use", "complete"))
"""Members of a framework's events that say how it is getting on."""


def _words(source: str, rank: int) -> Read:
    """How a member is read that holds a piece of the answer, as a string or in another of the usual shapes."""
    key = b'"%b"' % source.encode()

    def read(answer: Any, value: Any, payload: bytes, emit: Emit) -> bool:
        plain = isinstance(value, str)
        answer._hear(spoken(value), source, rank, emit, key if plain else b"", payload)
        return isinstance(value, (str, list, dict))

    return read


@define(eq=False)
class RuntimeAnswer(Sister):
    _framed: RuntimeFraming = field(init=False)
    _template: Template = field(default=_UNLIKE, init=False)
    _decoder: codecs.IncrementalDecoder | None = field(default=None, init=False)
    """Of bare text, if that is what comes."""

    _opened: bool = field(default=False, init=False)
    _source: str = field(default="", init=False)
    """Where words are taken from."""
    _rank: int = field(default=0, init=False)
    _thinker: str = field(default="", init=False)
    """Where thoughts are taken from."""
    _held: str = field(default="", init=False)
    """The answer as something says that only repeats."""
    _remarks: tuple[str, ...] = field(default=(), init=False)
    """Strings that may be pieces of an answer or remarks about it."""
    _strange: tuple[str, ...] = field(default=(), init=False)
    _room: int = field(default=_ROOM, init=False)

    _speaking: bool = field(default=False, init=False)
    """Within a message of the model."""
    _gap: bool = field(default=False, init=False)
    """The next words are of another message."""
    _stopped: bool = field(default=False, init=False)
    _reason: FinishReason = field(default="stop", init=False)
    _counted: Usage | None = field(default=None, init=False)

    @_framed.default
    def _own_framing(self) -> RuntimeFraming:
        return RuntimeFraming(self._longest)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        text = self._template.match(payload)
        if text:
            self._say(text, emit)
            return
        if not self._opened:
            self._opened = True
            emit(Opened(conversation=self.headers.get("x-session-id", "")))
        self._FRAMES.get(name, RuntimeAnswer._event)(self, payload, emit)

    @property
    def template(self) -> Template:
        return self._template

    def heard(self, texts: list[bytes]) -> None:
        self._told.say(shortcut.spoken(texts))

    def eof(self, emit: Emit) -> None:
        if self._decoder is not None:
            self._hear(self._decoder.decode(b"", True), _PLAIN, 3, emit)
        if not self._spoke:
            self._say_at_last(emit)
        if self._speaking:
            Upstream.eof(self, emit)
        elif not (self._spoke or self._thinker or self._stopped):
            self._give_up(UpstreamFailed("The agent in the runtime returned no output."), emit)
        else:
            self._complete(self._reason, self._counted, {}, emit)

    def _say_at_last(self, emit: Emit) -> None:
        """Nothing was said by anybody who would say it piece by piece."""
        text = self._held or "".join(self._remarks)
        if not text and not self._stopped and not self._thinker:
            text = "\n".join(self._strange)
        if text and not self._speaking:
            self._say(text, emit)

    # Frames.

    def _event(self, payload: bytes, emit: Emit) -> None:
        if not payload or payload == b"[DONE]":
            return
        value = parsed(payload)
        if isinstance(value, dict):
            self._object(value, payload, emit)
        elif value is NOT_JSON or self._source == _PLAIN or isinstance(value, (int, float)):
            self._hear(payload.decode("utf-8", "replace"), _PLAIN, 3, emit)
        elif not (isinstance(value, str) and is_repr(value)):
            self._hear(spoken(value), "string", 3, emit)

    def _bare(self, payload: bytes, emit: Emit) -> None:
        if self._decoder is None:
            self._decoder = _UTF8("replace")
        self._hear(self._decoder.decode(payload), _PLAIN, 3, emit)

    def _whole(self, payload: bytes, emit: Emit) -> None:
        value = parsed(payload)
        if value is NOT_JSON and (self._framed.is_json or payload[:1] in (b"{", b"[", b'"')):
            raise ValueError("a document that is cut off, or no JSON")
        document = members(value)
        if is_failure(document):
            self._give_up(failure(document), emit)
            return
        text = whole(document) if document else spoken(value)
        self._counted = usage(document.get("usage"))
        if not text and value is not None and value != "":
            text = payload.decode("utf-8", "replace")
        self._hear(text, "document", 3, emit)

    def _failed(self, payload: bytes, emit: Emit) -> None:
        value = parsed(payload)
        self._give_up(failure(payload.decode("utf-8", "replace") if value is NOT_JSON else value), emit)

    _FRAMES: ClassVar[dict[bytes, Callable[[Any, bytes, Emit], None]]] = {
        DOCUMENT: _whole,
        TEXT: _bare,
        b"error": _failed,
    }

    # Objects.

    def _object(self, value: dict[str, Any], payload: bytes, emit: Emit) -> None:
        kind = value.get("type", value.get("event"))
        kind = kind if isinstance(kind, str) else ""
        if kind == "error" or is_failure(value):
            self._give_up(failure(value), emit)
        elif kind in THOUGHTS:
            self._think(_thought(value), "type", emit)
        elif kind in LAST:
            self._hold(whole(value))
        elif kind not in QUIET and is_ours(value):
            self._read_members(value, payload, emit)

    def _read_members(self, value: dict[str, Any], payload: bytes, emit: Emit) -> None:
        for member, read in self._MEMBERS.items():
            if member in value and read(self, value[member], payload, emit):
                return
        self._room -= len(payload)
        if self._room >= 0 and not _SILENT.intersection(value):
            self._strange += (payload.decode("utf-8", "replace"),)

    def _converse(self, event: Any, payload: bytes, emit: Emit) -> bool:
        """An event of the model's stream, wrapped."""
        if not isinstance(event, dict):
            return False
        for member, read in self._EVENTS.items():
            if member in event:
                return read(self, event[member], payload, emit)
        self._hear(spoken(event), "event", 4, emit)
        return True

    def _message_start(self, message: Any, payload: bytes, emit: Emit) -> bool:
        self._template = _UNLIKE
        self._speaking = True
        self._gap = self._spoke
        return True

    def _block_start(self, block: Any, payload: bytes, emit: Emit) -> bool:
        tool = members(members(members(block).get("start")).get("toolUse"))
        if tool:
            id, name = (str(tool.get(key, ""))[:_LONGEST_NAME] for key in ("toolUseId", "name"))
            emit(Activity("tool", id, name, state="started"))
        return True

    def _block_delta(self, block: Any, payload: bytes, emit: Emit) -> bool:
        delta = members(members(block).get("delta"))
        text, thought = delta.get("text"), members(delta.get("reasoningContent")).get("text")
        if isinstance(thought, str):
            self._think(thought, "model", emit)
        if isinstance(text, str):
            self._hear(text, "model", 5, emit, b'"text"', payload)
        return True

    def _message_stop(self, message: Any, payload: bytes, emit: Emit) -> bool:
        self._speaking = False
        self._stopped = True
        self._reason = REASONS.get(str(members(message).get("stopReason")), "stop")
        return True

    def _metadata(self, metadata: Any, payload: bytes, emit: Emit) -> bool:
        """Each call of a model counts for itself."""
        counted, before = usage(members(metadata).get("usage")), self._counted or Usage(0, 0)
        if counted is not None:
            self._counted = Usage(before.input + counted.input, before.output + counted.output)
        return True

    def _usage(self, told: Any, payload: bytes, emit: Emit) -> bool:
        self._counted = usage(told) or self._counted
        return True

    def _nothing(self, value: Any, payload: bytes, emit: Emit) -> bool:
        return True

    def _choices(self, choices: Any, payload: bytes, emit: Emit) -> bool:
        """A chunk in OpenAI's dialect."""
        choice = members(choices[0]) if isinstance(choices, list) and choices else {}
        delta = members(choice.get("delta"))
        content, thought = delta.get("content"), delta.get("reasoning_content")
        if isinstance(thought, str):
            self._think(thought, "choices", emit)
        if isinstance(content, str):
            self._hear(content, "choices", 4, emit, b'"content"', payload)
        if isinstance(choice.get("finish_reason"), str):
            self._stopped = True
            self._reason = REASONS.get(choice["finish_reason"], "stop")
        return bool(choice)

    def _thought(self, thought: Any, payload: bytes, emit: Emit) -> bool:
        self._think(thought if isinstance(thought, str) else "", "framework", emit)
        return True

    def _message(self, message: Any, payload: bytes, emit: Emit) -> bool:
        """A whole message says what its pieces said; a string may be anything, so it has to wait."""
        if isinstance(message, str):
            self._room -= len(message)
            self._remarks += (message,) if self._room >= 0 else ()
        else:
            self._gap = self._gap or self._source == "message"
            self._hear(spoken(message), "message", 1, emit)
        return True

    def _result(self, result: Any, payload: bytes, emit: Emit) -> bool:
        self._hold(spoken(result))
        return True

    _CONVERSE: ClassVar[dict[str, Read]] = {
        "contentBlockDelta": _block_delta,
        "contentBlockStart": _block_start,
        "contentBlockStop": _nothing,
        "messageStart": _message_start,
        "messageStop": _message_stop,
    }
    _EVENTS: ClassVar[dict[str, Read]] = {**_CONVERSE, "metadata": _metadata}
    _MEMBERS: ClassVar[dict[str, Read]] = {
        "event": _converse,
        **_CONVERSE,
        "choices": _choices,
        "reasoningText": _thought,
        **{name: _words(name, 4) for name in ("data", "delta")},
        **{name: _words(name, 3) for name in ("token", "chunk", "text", "content")},
        **{name: _words(name, 2) for name in ("response", "output", "answer", "completion")},
        "message": _message,
        "result": _result,
        "metadata": _metadata,
        "usage": _usage,
    }
    """In the order in which they count; later ones say the same in another way, or less."""

    # Words.

    def _hear(
        self, text: str, source: str, rank: int, emit: Emit, key: bytes = b"", payload: bytes = b""
    ) -> None:
        """Words from one of the sources. Where they are one string in ``payload``, ``key`` is its name, quoted."""
        if not text:
            return
        if source != self._source:
            if rank <= self._rank:
                return
            self._source, self._rank = source, rank
            self._template = _UNLIKE
        if key and text.encode("utf-8", "replace").decode() == text:
            if self._template is _UNLIKE:
                self._template = Template(key, longest=self._longest)
            self._template.learn(payload, text)
        self._say(f"{_BETWEEN}{text}" if self._gap else text, emit)
        self._gap = False

    def _think(self, text: str, source: str, emit: Emit) -> None:
        if text and self._thinker in ("", source):
            self._thinker = source
            if self.settings.reasoning:
                emit(Reasoning(text))

    def _hold(self, text: str) -> None:
        if text and len(text) <= _MAX_HELD:
            self._held = text


def _thought(value: Mapping[str, Any]) -> str:
    return spoken({name: part for name, part in value.items() if name != "type"}) or spoken(
        next((value[name] for name in THOUGHTS if name in value), "")
    )
