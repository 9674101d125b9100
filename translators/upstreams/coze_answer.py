"""The events of one chat run, as events of ours.

A run opens with the chat's ids, which say nothing to a client yet, so that a failure right after them is still an
HTTP status. Deltas of answers are words and thoughts; whatever else the platform does on the way (plugins,
knowledge) is activity, and its notes to itself (``verbose``) are nothing. The run ends with
``conversation.chat.completed`` or with the platform asking the client to act; ``done`` alone ends it, too, if
something was said. Sounds are left out.

Deltas of an answer differ in one string, so most are read through a template, one for words and one for thoughts.
A completed message can look exactly like a delta: only the event's name tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson
from translators.errors import Conflict, GatewayError, UpstreamError, UpstreamIncomplete
from translators.events import (
    Activity,
    Emit,
    Failed,
    File,
    Finish,
    FinishReason,
    Opened,
    Reasoning,
    Suggestion,
    Text,
    ToolCall,
    Usage,
)
from translators.excerpt import clean_bytes
from translators.shortcut import spoken
from translators.template import Template
from translators.upstreams.coze_errors import FILTERED, code_of, coze_error, logid_of
from translators.upstreams.coze_ids import ToolCallId, told_id
from translators.upstreams.coze_said import MAX_HELD, Message, Said

DELTA = b"conversation.message.delta"
COMPLETED = b"conversation.message.completed"

_MAX_FOLLOW_UPS = 16
_LONGEST_FOLLOW_UP = 1000
_LONGEST_URL = 2048
_MAX_CALLS = 128

_BARE = {b"done", b"conversation.stream.done", b"error"}
"""Events that mean something without data."""
_WORDS = (None, "", "text")
_NOTHING: Mapping[str, Any] = {}
_FREE = Usage(0, 0)
_WORD = b'"content"'
_THOUGHT = b'"reasoning_content"'
_UNLIKE = Template(_WORD, DELTA)
"""What no frame is like, before one was learned from."""
_NOBODY = Message()
_HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair, which a template cannot stand for."""


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def loosely(payload: bytes | str) -> Any:
    """The document, or None: some payloads are JSON only sometimes."""
    try:
        return wirejson.loads(payload.encode("utf-8", "replace") if isinstance(payload, str) else payload)
    except ValueError:
        return None


def usage_of(document: Any, total: Any = None) -> Usage:
    """Counts under either of their names; a total alone is not divided by guessing."""
    counts = document if isinstance(document, dict) else {}
    asked = _count(counts.get("input_count")) or _count(counts.get("input_tokens"))
    given = _count(counts.get("output_count")) or _count(counts.get("output_tokens"))
    if asked or given:
        return Usage(asked, given)
    total = _count(counts.get("token_count")) or _count(total)
    native = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": total}
    return Usage(0, 0, native=native if total else None)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def address(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST_URL else ""


@define(eq=False)
class ChatAnswer:
    separator: str
    passed: bool
    """Whether the credential is the client's own."""
    conversation_id: str = ""
    chat_id: str = ""
    done: bool = False
    over: bool = False
    """The platform has said how the run ended."""
    headers: dict[str, str] = field(factory=dict)

    _opened: bool = False
    _said: Said = field(init=False)
    _current: Message = _NOBODY
    """The message that the template stands for."""
    template: Template = _UNLIKE
    _thinking: Template | None = None
    """Most bots say nothing to themselves."""
    _section_id: str = ""
    _platform: Mapping[str, Any] = _NOTHING
    _follow_ups: tuple[str, ...] = ()
    _card: str = ""
    _usage: Usage = _FREE

    def __attrs_post_init__(self) -> None:
        self._said = Said(self.separator)
        self.belongs_to(self.conversation_id, self.chat_id)

    def read(self, name: bytes, payload: bytes, emit: Emit) -> None:
        if name == DELTA:
            text = self.template.match(payload)
            if text:
                emit(Text(text))
                self._said.again(self._current, text)
                return
            thought = self._thinking.match(payload) if self._thinking is not None else None
            if thought:
                emit(Reasoning(thought))
                return
        handler = self._on.get(name)
        if handler is not None and (payload or name in _BARE):
            handler(self, payload, emit)

    def heard(self, texts: list[bytes]) -> None:
        self._said.again(self._current, spoken(texts))

    # How a run begins.

    def _chat(self, payload: bytes, emit: Emit) -> None:
        if not self._opened:  # a second one tells nothing new
            chat = wirejson.loads(payload)
            self._open(chat, chat.get("id"), emit)

    def _open(self, document: dict[str, Any], chat_id: Any, emit: Emit) -> None:
        section_id = document.get("section_id")
        if section_id and section_id != self._section_id:
            self._forget()  # the templates may stand for frames of another section
            self._section_id = told_id(section_id) or self._section_id
        if self._opened:
            return
        self._opened = True
        self.belongs_to(
            self.conversation_id or told_id(document.get("conversation_id")), self.chat_id or told_id(chat_id)
        )
        emit(Opened(self.conversation_id, self.chat_id))

    def belongs_to(self, conversation_id: str, chat_id: str) -> None:
        self.conversation_id, self.chat_id = conversation_id, chat_id
        if conversation_id:
            self.headers["x-conversation-id"] = conversation_id
        if chat_id:
            self.headers["x-chat-id"] = chat_id

    # What is said.

    def _forget(self) -> None:
        self.template.forget()
        if self._thinking is not None:
            self._thinking.forget()

    def _delta(self, payload: bytes, emit: Emit) -> None:
        self._forget()
        message = wirejson.loads(payload)
        self._open(message, message.get("chat_id"), emit)
        if message.get("type") != "answer" or message.get("content_type") not in _WORDS:
            return
        known = self._said.message(told_id(message.get("id")))
        thought, text = text_of(message.get("reasoning_content")), text_of(message.get("content"))
        if thought:
            self._said.thoughts(known, thought, emit)
        if text:
            self._said.words(known, text, emit)
        said = text + thought
        if not said.isascii() and _HALF.search(said):
            return
        if text and not thought:
            if self.template is _UNLIKE:
                self.template = Template(_WORD, DELTA)
            self.template.learn(payload, text)
            self._current = known
        elif thought and not text:
            if self._thinking is None:
                self._thinking = Template(_THOUGHT)
            self._thinking.learn(payload, thought)

    def _completed(self, payload: bytes, emit: Emit) -> None:
        text = self.template.match(payload)
        if text is not None:  # the message that was streamed, in full
            self._forget()
            self._said.complete(self._current, text, "", emit)
            return
        message = wirejson.loads(payload)
        self._open(message, message.get("chat_id"), emit)
        kind = message.get("type")
        read = self._completions.get(kind) if isinstance(kind, str) else None
        if read is not None:
            read(self, message, emit)

    def _answer(self, message: dict[str, Any], emit: Emit) -> None:
        self._forget()
        content, kind = text_of(message.get("content")), message.get("content_type")
        known = self._said.message(told_id(message.get("id")))
        if kind == "card":
            self._card = content if len(content) <= MAX_HELD else ""
        elif kind == "object_string":
            self._objects(known, content, emit)
        elif kind in _WORDS:
            self._said.complete(known, content, text_of(message.get("reasoning_content")), emit)

    def _objects(self, known: Message, content: str, emit: Emit) -> None:
        """An answer that shows something beside its words."""
        objects = loosely(content)
        shown = [one for one in objects if isinstance(one, dict)] if isinstance(objects, list) else []
        first = not known.completed
        words = "\n".join(text_of(one.get("text")) for one in shown if one.get("type") == "text")
        self._said.complete(known, words if isinstance(objects, list) else content, "", emit)
        for one in shown if first else ():
            url = address(one.get("file_url"))
            if url:
                emit(File(told_id(one.get("file_id")), url, "image/*" if one.get("type") == "image" else ""))

    def _follow_up(self, message: dict[str, Any], emit: Emit) -> None:
        question = text_of(message.get("content"))[:_LONGEST_FOLLOW_UP]
        if question and len(self._follow_ups) < _MAX_FOLLOW_UPS:
            self._follow_ups = (*self._follow_ups, question)
            emit(Suggestion(question))

    def _plugin(self, message: dict[str, Any], emit: Emit) -> None:
        """A call that the platform makes itself; what it says of it may be cut short."""
        content = text_of(message.get("content"))
        call = loosely(content)
        name = call.get("name") if isinstance(call, dict) else ""
        id = told_id(message.get("id"))
        emit(Activity("function_call", id, name if isinstance(name, str) else "", content))

    def _outcome(self, message: dict[str, Any], emit: Emit) -> None:
        id, content = told_id(message.get("id")), text_of(message.get("content"))
        emit(Activity(message["type"], id, output=content, state="completed"))

    # How a run ends.

    def _chat_completed(self, payload: bytes, emit: Emit) -> None:
        self._end_of(payload, emit)
        self._finish("stop", emit)

    def _requires_action(self, payload: bytes, emit: Emit) -> None:
        """The client has to call functions, or, where there are none, the user has to say something."""
        chat = self._end_of(payload, emit)
        action = chat.get("required_action") or {}
        asked = (action.get("submit_tool_outputs") or {}).get("tool_calls") or []
        calls = [call for call in asked[:_MAX_CALLS] if call.get("type") != "reply_message"]
        calls = [call for call in calls if call.get("function")]
        for index, call in enumerate(calls):
            function, arguments = call["function"], call["function"].get("arguments")
            if not isinstance(arguments, str):
                arguments = "" if arguments is None else wirejson.dumps(arguments).decode()
            id = ToolCallId(self.conversation_id, self.chat_id, text_of(call["id"])).encode()
            emit(ToolCall(index, id, text_of(function["name"]), arguments))
        self._finish("tool_calls" if calls else "stop", emit)

    def _end_of(self, payload: bytes, emit: Emit) -> dict[str, Any]:
        chat: dict[str, Any] = wirejson.loads(payload)
        self._open(chat, chat.get("id"), emit)
        self._usage = usage_of(chat.get("usage"))
        return chat

    def _cancelled(self, payload: bytes, emit: Emit) -> None:
        self._end_of(payload, emit)
        if self._said.spoke:
            self._finish("stop", emit)
        else:
            self._fail(Conflict("The chat was cancelled.", code="chat_canceled"), emit)

    def _expired(self, payload: bytes, emit: Emit) -> None:
        self._end_of(payload, emit)
        self._fail(UpstreamError("The chat expired before it was complete.", code="chat_expired"), emit)

    def _stream_done(self, payload: bytes, emit: Emit) -> None:
        document = loosely(payload)
        if isinstance(document, dict):
            self._note("debug_url", address(document.get("debug_url")))
        if self._said.spoke or self._said.thought or self._card:
            self._finish("stop", emit)
        else:
            self.done = True
            emit(Failed(UpstreamIncomplete("The upstream ended the stream without an answer.")))

    def _chat_failed(self, payload: bytes, emit: Emit) -> None:
        chat = wirejson.loads(payload)
        said = chat.get("last_error")
        if not isinstance(said, dict) or not (said.get("code") or said.get("msg")):
            said = chat
        self._refused(code_of(said.get("code")), said.get("msg"), logid_of(chat), emit)

    def _error(self, payload: bytes, emit: Emit) -> None:
        document = loosely(payload)
        if isinstance(document, dict):
            self._refused(code_of(document.get("code")), document.get("msg"), logid_of(document), emit)
        else:
            self._refused(0, clean_bytes(payload), "", emit)

    def _nameless(self, payload: bytes, emit: Emit) -> None:
        """A document, or a bare line of JSON, where events were expected."""
        document = loosely(payload)
        code = code_of(document.get("code")) if isinstance(document, dict) else 0
        if code:
            self._refused(code, document.get("msg"), logid_of(document), emit)

    def _refused(self, code: int, msg: Any, logid: str, emit: Emit) -> None:
        if code in FILTERED and (self._said.spoke or self._said.thought):
            self._note("logid", logid)
            self._finish("content_filter", emit)
        else:
            self._fail(coze_error(code, msg, logid=logid, passed=self.passed), emit)

    def _fail(self, error: GatewayError, emit: Emit) -> None:
        self.done = self.over = True
        emit(Failed(error))

    def _finish(self, reason: FinishReason, emit: Emit) -> None:
        self.done = self.over = True
        if self._card and not self._said.spoke:
            emit(Text(self._card))
        emit(self._usage)
        emit(Finish(reason, self._told() or None))

    def _note(self, name: str, value: str) -> None:
        self._platform = {**self._platform, name: value}

    def _told(self) -> dict[str, Any]:
        """What the platform says beyond the vocabulary."""
        told = {
            "conversation_id": self.conversation_id,
            "chat_id": self.chat_id,
            "section_id": self._section_id,
            **self._platform,
            "follow_ups": list(self._follow_ups),
        }
        return {name: value for name, value in told.items() if value}

    _completions: ClassVar[dict[str, Callable[[ChatAnswer, dict[str, Any], Emit], None]]] = {
        "answer": _answer,
        "follow_up": _follow_up,
        "function_call": _plugin,
        "tool_output": _outcome,
        "tool_response": _outcome,
        "knowledge": _outcome,
    }

    _on: ClassVar[dict[bytes, Callable[[ChatAnswer, bytes, Emit], None]]] = {
        DELTA: _delta,
        COMPLETED: _completed,
        b"conversation.chat.created": _chat,
        b"conversation.chat.in_progress": _chat,
        b"conversation.chat.completed": _chat_completed,
        b"conversation.chat.requires_action": _requires_action,
        b"conversation.chat.required_action": _requires_action,
        b"conversation.chat.failed": _chat_failed,
        b"conversation.chat.canceled": _cancelled,
        b"conversation.chat.cancelled": _cancelled,
        b"conversation.chat.expired": _expired,
        b"done": _stream_done,
        b"conversation.stream.done": _stream_done,
        b"error": _error,
        b"": _nameless,
    }
