"""An answer of an agent, event by event: the half of the upstream that listens.

Words come in ``chunk``, as base64 of UTF-8 that may be cut anywhere. No event ends an answer: a body that ends
between two frames does, and so usage and the reason for the end are told only then. An agent that cannot stream
says all in one piece, which a stream retells in words; joined they are the piece again.

What a trace repeats of the answer is never told beside it: it stands in only where a body ended without an answer.

The usual chunk has one member, and base64 contains no quote: so its text stands between a fixed beginning and its
last two bytes if there is no quote in between, and nothing has to be parsed. While nothing but words can be meant,
a read of such chunks is not even cut into frames (``bedrock_words``).
"""

from __future__ import annotations

import codecs
import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, field

from translators import affinity, wirejson
from translators.errors import UpstreamFailed
from translators.events import Emit, File, Finish, FinishReason, Opened, Text, Usage
from translators.framing.base import Framing
from translators.shortcut import spoken
from translators.template import Template
from translators.upstreams.base import Upstream
from translators.upstreams.bedrock_citations import Sources
from translators.upstreams.bedrock_errors import ERROR, EXCEPTION, NO_STREAMING, exception, unmodelled
from translators.upstreams.bedrock_files import MAX_MADE, link, made
from translators.upstreams.bedrock_tools import NO_CALLS, Calls
from translators.upstreams.bedrock_traces import Steps, is_echo
from translators.upstreams.bedrock_words import ALIKE, BEGINS, CHUNK, ChunkEvents

MAX_PIECES = 4096
"""Pieces that one chunk is told in; of more words several make a piece."""

_LENGTH = len(BEGINS)
_END = ord("}")
_WORD = re.compile(r"\S+\s*|\s+")
_UNBOUNDED = 1 << 62
_UNKNOWN: dict[str, Usage | None] = {
    "-1": Usage(-1, -1, native={"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1}),
    "0": Usage(0, 0),
    "omit": None,
}

_Read = Callable[[Any, bytes, bytes, Emit], None]


def in_words(text: str) -> list[str]:
    """``text`` in pieces that end where a word begins."""
    words: list[str] = _WORD.findall(text)
    if len(words) <= MAX_PIECES:
        return words
    size = -(-len(words) // MAX_PIECES)
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


@define(eq=False)
class BedrockAnswer(Upstream):
    _steps: Steps = field(init=False)
    _calls: Calls = field(default=NO_CALLS, init=False)
    _sources: Sources | None = field(default=None, init=False)
    """Made when something is cited."""
    _told: affinity.Told = field(factory=affinity.Told, init=False)
    _short: int = field(init=False)
    """Characters up to which a piece is told as it comes."""
    _torn: bytes = field(default=b"", init=False)
    """The beginning of a character that has not ended."""
    _speaking: bool = field(default=False, init=False)
    """Whether the last thing that was told was words."""
    _opened: bool = field(default=False, init=False)
    _answered: bool = field(default=False, init=False)
    """Whether anything counts as an answer, if only an empty one."""
    _completed: bool = field(default=False, init=False)
    _refused: bool = field(default=False, init=False)
    """Whether the platform said no."""
    _cannot_stream: bool = field(default=False, init=False)
    """Whether it said no to streaming."""
    _made: tuple[File, ...] = field(default=(), init=False)
    _ends: bool = field(default=False, init=False)
    """Whether the session is over with this answer."""
    _session: str = field(default="", init=False)
    _memory: str = field(default="", init=False)
    """What the agent keeps across sessions, by its name."""

    @_steps.default
    def _own_steps(self) -> Steps:
        return Steps(self.settings.reasoning, self.settings.custom_traces)

    @_short.default
    def _own_short(self) -> int:
        splits = self.prompt.stream and self.settings.split == "words"
        return int(self.settings.split_threshold) if splits else _UNBOUNDED

    def framing(self) -> Framing:
        return ChunkEvents(self._short)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        if (
            name == CHUNK
            and payload.startswith(BEGINS)
            and payload.find(b'"', _LENGTH) == len(payload) - 2
            and payload[-1] == _END
            and not self._torn
        ):
            try:
                text = a2b_base64(payload[_LENGTH:-2], strict_mode=True).decode()
            except ValueError:
                text = ""  # not what it seemed, or half a character
            if text and len(text) <= self._short:
                if not self._speaking:
                    self._open(emit)
                    self._answered = self._speaking = True
                    self._steps.thinks = False
                self._told.say(text)
                emit(Text(text))
                return
        self._open(emit)
        read = self._ON.get(name) or self._ON.get(name.partition(b":")[0] + b":")
        if read is not None:
            read(self, name, payload, emit)

    def _open(self, emit: Emit) -> None:
        if not self._opened:
            self._opened = True
            emit(Opened(conversation=self._session))

    @property
    def template(self) -> Template | None:
        """Words after words, with no character between them that has not ended, are nothing but words."""
        return ALIKE if self._speaking and not self._torn else None

    def heard(self, texts: list[bytes]) -> None:
        self._told.say(spoken(texts))

    def eof(self, emit: Emit) -> None:
        if self._torn:
            self._speak(self._torn.decode("utf-8", "replace"), emit)
        steps = self._steps
        if not self._answered and steps.final is not None:
            self._answered = True
            self._speak(steps.final, emit)
        if not self._answered and steps.failure is not None:
            self._refused = True
            self.fail(steps.failure, emit)
        elif not self._answered and not self._ends and not steps.intervened:
            self.fail(UpstreamFailed("The agent returned no output."), emit)
        else:
            self._complete(emit)

    def _chunk(self, name: bytes, payload: bytes, emit: Emit) -> None:
        document = wirejson.loads(payload)
        self._answered = True
        data = document.get("bytes")
        if data:
            self._speak(self._decoded(a2b_base64(data, strict_mode=True)), emit)
        if document.get("attribution"):
            self._sources = self._sources or Sources()
            for citation in self._sources.read(document["attribution"], self._told):
                emit(citation)

    def _decoded(self, data: bytes) -> str:
        data = self._torn + data
        text, whole = codecs.utf_8_decode(data, "replace", False)
        self._torn = data[whole:]
        return text

    def _speak(self, text: str, emit: Emit) -> None:
        if not text:
            return
        self._speaking = True
        self._steps.thinks = False
        self._told.say(text)
        for piece in (text,) if len(text) <= self._short else in_words(text):
            emit(Text(piece))

    def _trace(self, name: bytes, payload: bytes, emit: Emit) -> None:
        if not is_echo(payload):
            self._steps.read(wirejson.loads(payload), emit)

    def _return_control(self, name: bytes, payload: bytes, emit: Emit) -> None:
        if self._calls is NO_CALLS:
            self._calls = Calls(self.settings.qualify_tool_names)
        for call in self._calls.read(wirejson.loads(payload)):
            self._answered = True
            emit(call)

    def _files(self, name: bytes, payload: bytes, emit: Emit) -> None:
        for told in wirejson.loads(payload).get("files") or ():
            if len(self._made) >= MAX_MADE:
                return
            file = made(told)
            if self._speaking:
                self._speak("\n\n", emit)
            self._made += (file,)
            self._answered, self._speaking, self._steps.thinks = True, False, False
            self._told.say(link(file))
            emit(file)

    def _exception(self, name: bytes, payload: bytes, emit: Emit) -> None:
        self._refused = True
        self._cannot_stream = NO_STREAMING.encode() in payload.lower()
        self.fail(exception(name, payload), emit)

    def _error(self, name: bytes, payload: bytes, emit: Emit) -> None:
        self._refused = True
        self.fail(unmodelled(name, payload), emit)

    def _complete(self, emit: Emit) -> None:
        usage = self._steps.usage or _UNKNOWN[self.settings.usage_unknown]
        if usage is not None:
            emit(usage)
        self.done = self._completed = True
        emit(Finish(self._reason(), self._platform()))

    def _reason(self) -> FinishReason:
        if self._steps.intervened:
            return "content_filter"
        return "tool_calls" if self._calls.waiting else "stop"

    def _platform(self) -> dict[str, Any]:
        told: dict[str, Any] = {"session_id": self._session}
        if self._memory:
            told["memory_id"] = self._memory
        if self._calls.waiting:
            told["invocation_ids"] = [entry["invocation"] for entry in self._calls.waiting.values()]
        if self._calls.confirmations:
            told["confirmations"] = self._calls.confirmations
        if self._sources is not None and self._sources.raw:
            told["citations"] = self._sources.raw
        return told

    _ON: ClassVar[dict[bytes, _Read]] = {
        CHUNK: _chunk,
        b"trace": _trace,
        b"returnControl": _return_control,
        b"files": _files,
        EXCEPTION: _exception,
        ERROR: _error,
    }
