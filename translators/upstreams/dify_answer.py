"""An answer of a Dify app, event by event: the half of the upstream that listens.

All kinds of apps are read by one table. Words come as ``message`` (chat, completion, chatflow), ``agent_message``
(agents) or ``text_chunk`` (workflows). Which event ends an answer depends on the app and the version:

- ``message_end`` ends every kind of chat and completion: no words follow it. A chatflow also says
  ``workflow_finished``, before or after, and some versions lose one of the two; so that alone is not the end of a
  chatflow, but it is enough when the body ends.
- ``workflow_finished`` ends a workflow. One that failed says so here and nowhere else; a chatflow that failed says
  it a second time, better, in an ``error`` event.
- A run that waits for a person ends with its question as the answer.

An end of the body without any of these is a failure. So is ``error``, after which nothing counts.

Words are read by template where a frame is like the last one; of everything else only the name is looked at unless
it says something (``dify_peek``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import define, field

from translators import wirejson
from translators.errors import GatewayError
from translators.events import Activity, Emit, Finish, FinishReason, Opened, Reasoning, Text, Usage
from translators.shortcut import spoken
from translators.template import Template
from translators.upstreams import dify_parts as parts
from translators.upstreams.base import Upstream
from translators.upstreams.dify_ask import ID
from translators.upstreams.dify_errors import in_band, is_error, run_failed
from translators.upstreams.dify_peek import data_head, event_of
from translators.upstreams.dify_seen import Seen
from translators.upstreams.dify_words import Words, visible

LARGE = 8 * 1024
"""A node's end that is longer is read only if its node counts tokens."""
MAX_KNOWN = 256
"""Nodes, thoughts, files and forms of one run that are kept in mind."""
_LONGEST_TRACE = 2000

_COUNTING = ("llm", "agent", "question-classifier", "parameter-extractor")
"""Types of nodes that ask a model."""
_ENDS_OF_NODES = (b"node_finished", b"iteration_completed", b"loop_completed")

_ANSWER = b'"answer"'
_UNLIKE = Template(_ANSWER)
"""What no frame is like, before one was learned from."""
_CHUNK = b'"data":{"text"'  # "text" alone also stands in the selector
_CHUNK_TEXT = re.compile(rb'"text"\s*:')

Read: TypeAlias = Callable[[Any, Mapping[str, Any], bytes, Emit], None]


@define(eq=False)
class DifyAnswer(Upstream):
    _template: Template = field(default=_UNLIKE, init=False)
    _words: Words = field(init=False)
    _source: Any = field(default=None, init=False)
    """The node whose words are being said, and the variable they come from."""

    _opened: bool = field(default=False, init=False)
    _ids: dict[str, str] = field(factory=dict, init=False)

    _usage: Usage | None = field(default=None, init=False)
    _counted: tuple[int, int] | None = field(default=None, init=False)
    """Tokens of all nodes, in and out."""
    _total: int | None = field(default=None, init=False)
    """Tokens of the whole run."""

    _filtered: bool = field(default=False, init=False)

    _by_agent: bool = field(default=False, init=False)
    _chunked: bool = field(default=False, init=False)
    _finished: bool = field(default=False, init=False)
    """Everything has come but the last word."""
    _over: bool = field(default=False, init=False)
    """The platform has nothing more to do for this answer."""
    _completed: bool = field(default=False, init=False)
    _failure: GatewayError | None = field(default=None, init=False)
    """Why the run failed, until the platform says it better."""

    _spoke: tuple[str, ...] = field(default=(), init=False)
    """Nodes whose words were said; mostly there is one."""
    _seen: Seen | None = field(default=None, init=False)

    @_words.default
    def _own_words(self) -> Words:
        return Words(self.settings.reasoning)

    @property
    def _kept(self) -> Seen:
        if self._seen is None:
            self._seen = Seen()
        return self._seen

    @property
    def own_key(self) -> bool:
        """Whether the gateway's key is used, not the client's."""
        return not self.caller.key

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        text = self._template.match(payload)
        if text:
            self._words.told.say(text)
            emit(Text(text))
            return
        event = event_of(payload)
        stoppable = "task_id" in self._ids  # until then every event is read for it
        read = self._ON.get(event) if event is not None else None
        if event is not None and stoppable and (read is None or self._skims(event, payload, emit)):
            return
        if not payload:
            return
        document = wirejson.loads(payload)
        if not stoppable:
            self._open(document, emit)
        if event is None:
            read = self._ON.get(str(document.get("event") or "").encode("utf-8", "replace"))
        if read is not None:
            read(self, document, payload, emit)

    @property
    def template(self) -> Template:
        return self._template

    def heard(self, texts: list[bytes]) -> None:
        self._words.told.say(spoken(texts))

    def eof(self, emit: Emit) -> None:
        if self._failure is not None:
            self._give_up(self._failure, emit)
        elif self._finished:
            self._complete(emit)
        else:
            Upstream.eof(self, emit)

    # Beginning.

    def _open(self, document: Mapping[str, Any], emit: Emit) -> None:
        """Learn the ids, which stand in every event but those that say nothing."""
        ids = self._ids
        if len(ids) == len(_IDS):
            return
        for name in _IDS:
            value = document.get(name)
            if name not in ids and isinstance(value, str) and ID.fullmatch(value):
                ids[name] = value
        if self._opened or not ids:
            return
        self._opened = True
        told = {header: ids[name] for name, header in _HEADERS.items() if name in ids}
        self.headers = {**self.headers, **told}
        message = ids.get("message_id") or ids.get("workflow_run_id", "")
        emit(Opened(conversation=ids.get("conversation_id", ""), message=message))

    def _workflow_started(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._open(document, emit)

    # Words.

    def _message(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        text = document["answer"]
        if self._by_agent:
            self._closing_copy(text, emit)
            return
        self._retell(text, document.get("from_variable_selector"), _ANSWER, payload, emit)
        if isinstance(document.get("mode"), str):  # an answer in one piece, although a stream was asked for
            self._message_end(document, payload, emit)

    def _agent_message(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._by_agent = True
        self._retell(document["answer"], None, _ANSWER, payload, emit)

    def _message_file(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        """A file, or in some versions words under the wrong name."""
        if isinstance(document.get("answer"), str):
            self._message(document, payload, emit)
        else:
            self._file(document, emit)

    def _text_chunk(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        data = document["data"]
        text = data["text"]
        self._chunked = self._chunked or bool(text)
        self._retell(text, data.get("from_variable_selector"), _CHUNK, payload, emit)
        if payload.count(b'"data"') != 1 or len(_CHUNK_TEXT.findall(payload)) != 1:
            self._template = _UNLIKE

    def _retell(self, text: Any, source: Any, key: bytes, payload: bytes, emit: Emit) -> None:
        """Say the words of a frame, and learn how to read the next like it."""
        self._template = _UNLIKE
        if self._say(text, source, emit):
            self._template = Template(key)
            self._template.learn(payload, text)

    def _say(self, text: Any, source: Any, emit: Emit) -> bool:
        """Say it; whether the next frame of this kind may be read by template."""
        if source != self._source:
            self._source = source
            self._words.part(emit)
            node = source[0] if isinstance(source, list) and source else None
            if isinstance(node, str) and len(self._spoke) < MAX_KNOWN and node not in self._spoke:
                self._spoke = (*self._spoke, node)
        if not text:
            return False
        if not isinstance(text, str):
            raise TypeError("the answer is no text")
        self._words.say(text, emit)
        return self._words.plain and (text.isascii() or text.encode("utf-8", "replace").decode() == text)

    def _closing_copy(self, text: str, emit: Emit) -> None:
        """Agents of the new kind repeat their whole answer at the end; only what was not said before is said."""
        self._template.forget()  # what is said next is the beginning of something
        self._words.part(emit)
        said = self._words.told.text.strip()
        copy = visible(text, self.settings.reasoning).strip()
        if copy.startswith(said):
            self._words.say(copy[len(said) :], emit)
        elif copy not in said:
            self._words.say(copy, emit)

    def _message_replace(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._take_back(document["answer"], document.get("reason"), emit)

    def _text_replace(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._chunked = True
        self._take_back(document["data"]["text"], None, emit)

    def _take_back(self, text: str, reason: Any, emit: Emit) -> None:
        self._template.forget()
        goes_on = self._words.replace(text, self.prompt.stream, emit)
        self._filtered = self._filtered or not goes_on or reason == "output_moderation"

    def _reasoning_chunk(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        thought = document["data"].get("reasoning")
        if isinstance(thought, str) and thought and self.settings.reasoning != "drop":
            emit(Reasoning(thought))

    # What the platform does by itself.

    def _agent_thought(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        """A snapshot, sent again whenever it grows; its thought repeats what was said already."""
        id, tool = parts.words(document.get("id")), parts.words(document.get("tool"))
        input, output = (parts.words(document.get(name), 1 << 14) for name in ("tool_input", "observation"))
        tools = self._kept.tools
        known = tools.get(id)
        if not tool or known == (input, output) or (known is None and len(tools) >= MAX_KNOWN):
            return
        tools[id] = (input, output)
        emit(Activity("tool", id, tool, input, output, "completed" if output else "started"))
        if self.settings.tool_trace:
            before = known or ("", "")
            if known is None or input != before[0]:
                emit(Reasoning(f"{tool}({input[:_LONGEST_TRACE]})\n"))
            if output != before[1]:
                emit(Reasoning(f"-> {output[:_LONGEST_TRACE]}\n"))

    def _node_started(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._activity(parts.members(document["data"]), "started", emit)

    def _node_finished(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        data = parts.members(document["data"])
        self._activity(data, parts.words(data.get("status")) or "finished", emit)
        if data.get("node_type") not in _COUNTING:
            return
        outputs, process = parts.members(data.get("outputs")), parts.members(data.get("process_data"))
        usage = parts.usage(outputs.get("usage")) or parts.usage(process.get("usage"))
        if usage is not None:
            before = self._counted or (0, 0)
            self._counted = (before[0] + usage.input, before[1] + usage.output)
        reason = outputs.get("finish_reason") or process.get("finish_reason")
        if reason == "length" and len(self._kept.cut) < MAX_KNOWN:
            self._kept.cut.add(parts.words(data.get("node_id")))

    def _skims(self, event: bytes, payload: bytes, emit: Emit) -> bool:
        """Whether this is the end of a node and a look at its beginning was enough."""
        if len(payload) <= LARGE or event not in _ENDS_OF_NODES:
            return False
        head = data_head(payload)
        kind = head.get("node_type")
        if kind is None or kind in _COUNTING:
            return False
        self._activity(head, "finished", emit)
        return True

    def _activity(self, data: Mapping[str, Any], state: str, emit: Emit) -> None:
        kind, id, title = (parts.words(data.get(name)) for name in ("node_type", "id", "title"))
        emit(Activity(kind or "node", id, title, state=state))

    # Files and forms.

    def _file(self, told: Mapping[str, Any], emit: Emit) -> None:
        file = parts.file(told, self.settings.files_url.rstrip("/") or parts.origin(self.base_url))
        shown = self._kept.shown
        if file is None or len(shown) >= MAX_KNOWN or file.url in shown:
            return
        shown.add(file.url)
        self._words.told.show(file.url)
        emit(file)

    def _rest_of_files(self, files: Any, emit: Emit) -> None:
        """Those that the answer does not show already, under another signature perhaps."""
        for told in files[: parts.MAX_SOURCES] if isinstance(files, list) else ():
            id, url = parts.words(parts.members(told).get("related_id")), parts.members(told).get("url")
            path = url.partition("?")[0] if isinstance(url, str) else ""
            said = self._words.told.text
            if not (id and id in said) and not (path and path in said):
                self._file(parts.members(told), emit)

    def _human_input_required(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._ask_back(parts.members(document["data"]), emit)

    def _workflow_paused(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        reasons = parts.members(document["data"]).get("reasons")
        for reason in reasons[:MAX_KNOWN] if isinstance(reasons, list) else ():
            self._ask_back(parts.members(reason), emit)
        self._complete(emit)

    def _ask_back(self, form: Mapping[str, Any], emit: Emit) -> None:
        self._finished = True
        id = parts.words(form.get("form_id"))
        text = parts.form_text(form)
        forms = self._kept.forms
        if not text or id in forms or len(forms) >= MAX_KNOWN:
            return
        token = {"form_id": id, "form_token": parts.words(form.get("form_token"), 1024)}
        forms[id] = {name: value for name, value in token.items() if value}
        self._template.forget()
        self._words.part(emit)
        self._words.say(f"\n\n{text}" if self._words.told.text else text, emit)

    # Ends.

    def _message_end(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        if self._failure is not None:
            self.eof(emit)
            return
        metadata = parts.members(document.get("metadata"))
        self._usage = parts.usage(metadata.get("usage"))
        self._words.close(emit)
        resources = metadata.get("retriever_resources")
        if isinstance(resources, list) and resources:
            for citation in parts.citations(resources):
                emit(citation)
            self._kept.extras["retriever_resources"] = resources[: parts.MAX_SOURCES]
        if metadata.get("annotation_reply"):
            self._kept.extras["annotation_reply"] = metadata["annotation_reply"]
        self._rest_of_files(document.get("files"), emit)
        self._complete(emit)

    def _workflow_finished(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        data = document["data"]
        status, error = data.get("status"), data.get("error")
        self._open(document, emit)
        if type(data.get("total_tokens")) is int:
            self._total = parts.number(data["total_tokens"])
        if status == "stopped" and "output moderation" in parts.words(error, 1000).lower():
            self._filtered = True
        chats = "message_id" in document or "conversation_id" in document
        if status == "failed":
            self._failure = run_failed(error, self.own_key)
            if not chats:
                self.eof(emit)
            return
        self._finished = True
        if chats:
            return
        if not self._chunked:
            self._say(parts.output_text(data.get("outputs"), self.settings.output_variable), None, emit)
        self._words.close(emit)
        self._rest_of_files(data.get("files"), emit)
        self._complete(emit)

    def _error(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        self._give_up(in_band(document, self.own_key), emit)

    def _give_up(self, error: GatewayError, emit: Emit) -> None:
        """The platform said that it failed."""
        self._words.close(emit)
        self._over = True
        self.fail(error, emit)

    def _document(self, document: Mapping[str, Any], payload: bytes, emit: Emit) -> None:
        """Something without a name: an answer in one piece, or an error under a good status."""
        if is_error(document):
            self._error(document, payload, emit)
        elif isinstance(document.get("answer"), str):
            self._message({**document, "mode": "chat"}, payload, emit)
        elif "status" in parts.members(document.get("data")):
            self._workflow_finished(document, payload, emit)

    def _complete(self, emit: Emit) -> None:
        self._words.close(emit)
        usage = self._usage
        if usage is None and self._counted is not None:
            usage = Usage(*self._counted)
        elif usage is None and self._total is not None:
            usage = Usage(0, self._total)
        if usage is not None:
            emit(usage)
        platform: dict[str, Any] = {**self._ids}
        if self._seen is not None:
            platform |= self._seen.extras
            if self._seen.forms:
                platform["human_input"] = list(self._seen.forms.values())
        self.done = self._over = self._completed = True
        emit(Finish(self._reason(), platform or None))

    def _reason(self) -> FinishReason:
        if self._filtered:
            return "content_filter"
        cut = self._seen is not None and not self._seen.cut.isdisjoint(self._spoke)
        return "length" if cut else "stop"

    _ON: ClassVar[dict[bytes, Read]] = {
        b"message": _message,
        b"agent_message": _agent_message,
        b"text_chunk": _text_chunk,
        b"message_file": _message_file,
        b"message_replace": _message_replace,
        b"text_replace": _text_replace,
        b"reasoning_chunk": _reasoning_chunk,
        b"agent_thought": _agent_thought,
        b"node_started": _node_started,
        b"iteration_started": _node_started,
        b"loop_started": _node_started,
        **dict.fromkeys(_ENDS_OF_NODES, _node_finished),
        b"human_input_required": _human_input_required,
        b"workflow_started": _workflow_started,
        b"workflow_paused": _workflow_paused,
        b"workflow_finished": _workflow_finished,
        b"message_end": _message_end,
        b"error": _error,
        b"": _document,
    }


_IDS = ("conversation_id", "message_id", "task_id", "workflow_run_id")
_HEADERS = {"conversation_id": "x-conversation-id", "task_id": "x-task-id"}
