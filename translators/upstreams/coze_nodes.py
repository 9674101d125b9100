"""The events of one workflow run, as events of ours.

Nodes that speak do so in ``Message`` events, each node under a key of its own; the first words of each but the
first come after the separator. The End node often repeats what was said as the JSON of the workflow's outputs:
that is said only if nothing else was, and without its wrapping where there is a single text inside.

``Interrupt`` hands the turn to the user: the question has usually been said by then, else it is made of what the
workflow says it needs. The stream ends there without ``Done``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson
from translators.errors import GatewayError
from translators.events import Emit, Failed, Finish, FinishReason, Opened, Ping, Text, Usage
from translators.excerpt import clean_bytes
from translators.upstreams.coze_answer import address, loosely, text_of, usage_of
from translators.upstreams.coze_errors import FILTERED, code_of, coze_error, logid_of

_MAX_NODES = 64
_LONGEST_EVENT_ID = 200
_MAX_NEEDS = 16
_BARE = {b"Done", b"done", b"PING", b"error"}
"""Events that mean something without data."""
_END_TITLES = {"", "End", "结束"}
_END_ID = "900001"
_EXECUTE_ID = re.compile(r"[?&]execute_id=([0-9]{1,25})(?![0-9])", re.ASCII)
_EXECUTION = re.compile(r"[0-9]{1,25}", re.ASCII)


@define(eq=False)
class WorkflowAnswer:
    separator: str
    passed: bool
    session: str
    done: bool = False
    over: bool = False
    interrupt: dict[str, Any] | None = None
    """What the workflow waits for: the event's id and its type."""
    execute_id: str = ""
    debug_url: str = ""
    failed: bool = True
    """Until the run says otherwise."""
    headers: dict[str, str] = field(factory=dict)

    _opened: bool = False
    _spoke: bool = False
    _nodes: dict[str, bool] = field(factory=dict)
    """Nodes that have spoken, and whether they said that they were through."""
    _usage: Usage = field(factory=lambda: Usage(0, 0))

    def __attrs_post_init__(self) -> None:
        self.headers["x-conversation-id"] = self.session

    def read(self, name: bytes, payload: bytes, emit: Emit) -> None:
        handler = self._on.get(name)
        if handler is None or not (payload or name in _BARE):
            return
        if not self._opened:
            self._opened = True
            emit(Opened(self.session))
        handler(self, payload, emit)

    def _message(self, payload: bytes, emit: Emit) -> None:
        message = wirejson.loads(payload)
        if message.get("usage") or message.get("token"):
            self._usage = usage_of(message.get("usage"), message.get("token"))
        content = text_of(message.get("content"))
        key = _key(message)
        if str(message.get("node_seq_id")) == "0" and self._nodes.get(key):
            del self._nodes[key]
        if content and message.get("content_type") in (None, "", "text"):
            outputs = _outputs(message, content) if key not in self._nodes else None
            if outputs is None:
                self._say(key, content, emit)
            elif outputs and not self._spoke:
                self._say(key, outputs, emit)
        if message.get("node_is_finish") and key in self._nodes:
            self._nodes[key] = True

    def _say(self, key: str, text: str, emit: Emit) -> None:
        before = self.separator if self._spoke and key not in self._nodes else ""
        if key not in self._nodes:
            if len(self._nodes) >= _MAX_NODES:
                del self._nodes[next(iter(self._nodes))]
            self._nodes[key] = False
        self._spoke = True
        emit(Text(before + text))

    def _interrupted(self, payload: bytes, emit: Emit) -> None:
        event = wirejson.loads(payload)
        data = event["interrupt_data"]
        event_id, kind = text_of(data["event_id"]), int(data["type"])
        self._debug(event)
        self.interrupt = {"event_id": event_id[:_LONGEST_EVENT_ID], "type": kind}
        execution = _EXECUTION.match(event_id)
        self.execute_id = self.execute_id or (execution[0] if execution is not None else "")
        if not self._spoke and (question := _question(data)):
            emit(Text(question))
        self._finish("stop", emit)

    def _error(self, payload: bytes, emit: Emit) -> None:
        document = loosely(payload)
        if not isinstance(document, dict):
            self._refused(0, clean_bytes(payload), "", emit)
            return
        self._debug(document)
        code = code_of(document.get("error_code")) or code_of(document.get("code"))
        self._refused(code, document.get("error_message") or document.get("msg"), logid_of(document), emit)

    def _nameless(self, payload: bytes, emit: Emit) -> None:
        document = loosely(payload)
        code = code_of(document.get("code")) if isinstance(document, dict) else 0
        if code:
            self._refused(code, document.get("msg"), logid_of(document), emit)

    def _refused(self, code: int, msg: Any, logid: str, emit: Emit) -> None:
        if code in FILTERED and self._spoke:
            self._finish("content_filter", emit)
            return
        error: GatewayError = coze_error(code, msg, logid=logid, passed=self.passed)
        self.done = self.over = True
        emit(Failed(error))

    def _run_done(self, payload: bytes, emit: Emit) -> None:
        document = loosely(payload)
        self._debug(document if isinstance(document, dict) else {})
        self._finish("stop", emit)

    def _ping(self, payload: bytes, emit: Emit) -> None:
        emit(Ping())

    def _debug(self, document: dict[str, Any]) -> None:
        self.debug_url = address(document.get("debug_url")) or self.debug_url
        execution = _EXECUTE_ID.search(self.debug_url)
        self.execute_id = self.execute_id or (execution[1] if execution is not None else "")

    def _finish(self, reason: FinishReason, emit: Emit) -> None:
        self.done = self.over = True
        self.failed = False
        emit(self._usage)
        told = {
            "conversation_id": self.session,
            "execute_id": self.execute_id,
            "debug_url": self.debug_url,
            "interrupt": self.interrupt,
        }
        emit(Finish(reason, {name: value for name, value in told.items() if value}))

    _on: ClassVar[dict[bytes, Callable[[WorkflowAnswer, bytes, Emit], None]]] = {
        b"Message": _message,
        b"Interrupt": _interrupted,
        b"Error": _error,
        b"error": _error,
        b"Done": _run_done,
        b"done": _run_done,
        b"PING": _ping,
        b"": _nameless,
    }


def _key(message: dict[str, Any]) -> str:
    names = ("node_execute_uuid", "node_id", "node_title")
    return next((value[:200] for name in names if isinstance(value := message.get(name), str) and value), "")


def _outputs(message: dict[str, Any], content: str) -> str | None:
    """What the End node's outputs say; None for a node that simply speaks."""
    kind, title = message.get("node_type"), message.get("node_title") or ""
    is_end = kind in ("End", "end") or message.get("node_id") == _END_ID or title in _END_TITLES
    outputs = loosely(content) if is_end and content.lstrip()[:1] == "{" else None
    if not isinstance(outputs, dict):
        return None
    [*values] = outputs.values()
    return values[0] if len(values) == 1 and isinstance(values[0], str) else content


def _question(data: dict[str, Any]) -> str:
    """What to ask where the workflow has not asked in words."""
    words = data.get("data")
    if isinstance(words, str) and words.strip():
        return words
    needs = data.get("required_parameters")
    names = [str(name) for name in needs][:_MAX_NEEDS] if isinstance(needs, dict) else []
    return f"Please give: {', '.join(names)}" if names else ""
