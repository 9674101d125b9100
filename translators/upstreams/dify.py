"""Dify apps: chat, agents, chatflows, completions and workflows, each behind a key of its own.

This half asks; ``dify_answer`` listens. Every question is asked as a stream, because a run that is not streamed
cannot be stopped. What kind of app a key belongs to is configured, or asked for once in a while (``/info``); where
an old server does not say, the kinds are tried in turn: a refusal for the wrong kind costs one short round trip,
``reconsider`` says that there is something else to ask, and the kind that answered is remembered.

Dify keeps the history of a conversation in one line. A chat client that sends its whole history goes on in the
conversation it comes from (``affinity``); if there is none, or it is gone, the turns are written out before the
question in a new one. Whoever asks is named: conversations, files and stop calls belong to that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define, field

from translators import affinity, wirejson
from translators.errors import GatewayError, UpstreamMalformed
from translators.request import FORGOTTEN
from translators.upstreams.audio import Recording, Speech, Spoken
from translators.upstreams.dify_about import kind_of_app, name_of_app
from translators.upstreams.dify_answer import DifyAnswer
from translators.upstreams.dify_ask import ID, Question, authorization
from translators.upstreams.dify_audio import speech, transcription
from translators.upstreams.dify_errors import CONVERSATION_GONE, WRONG_MODE, refusal
from translators.upstreams.dify_files import Given, Upload
from translators.upstreams.dify_form import Form
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.plan import Cached, Call, Caller, Listed, Plan, Recall, Remember, Reply

APP_SECONDS = 300.0
"""How long what an app says about itself may be believed."""
UPLOAD_SECONDS = 3600.0

_KIND = "dify-kind"
_NO_HEADERS: Mapping[str, str] = {}
_NO_FORM = Form()
_VERSION = re.compile(r"/v\d+(?:/|$)")
_IN_TURN = ("chat", "workflow", "completion")
"""Kinds of apps in the order in which they are tried; all that chat are one."""
_STOP = {
    "chat": "chat-messages/{}/stop",
    "completion": "completion-messages/{}/stop",
    "workflow": "workflows/tasks/{}/stop",
}


@define(eq=False)
class Dify(DifyAnswer):
    name: ClassVar[str] = "dify"
    default_name: ClassVar[str] = "dify"
    environment: ClassVar[dict[str, str]] = {"DIFY_API_URL": "base_url", "DIFY_API_KEY": "api_key"}
    defaults: ClassVar[dict[str, Any]] = {"base_url": "https://api.dify.ai/v1"}
    Settings: ClassVar[type[Any]] = DifySettings
    hears: ClassVar[frozenset[str]] = frozenset(("x-conversation-id",))
    stops_by_name: ClassVar[bool] = True

    _question: Question | None = field(default=None, init=False)
    _user: str = field(default="", init=False)
    """Who asked; empty until the question was read."""
    _named: bool = field(default=False, init=False)
    """Whether the client said which conversation goes on."""
    _authorization: Mapping[str, str] = field(default=_NO_HEADERS, init=False)
    _kind: str = field(default="chat", init=False)
    """The kind of app that is asked."""
    _others: tuple[str, ...] = field(default=(), init=False)
    """Kinds that are left to try."""
    _tried: bool = field(default=False, init=False)
    _form: Form = field(default=_NO_FORM, init=False)
    _attached: tuple[dict[str, Any], ...] = field(default=(), init=False)
    _conversation: str = field(default="", init=False)
    _history: affinity.History = field(default=affinity.NOTHING, init=False)
    _ephemeral: bool = field(default=False, init=False)
    _key: str = field(default="", init=False)
    """Under which the conversation was found, if it was."""
    _refusal: str | None = field(default=None, init=False)
    """Dify's own code for why it did not answer."""

    @classmethod
    def address(cls, base_url: str) -> str:
        """The base address that paths can be put after, from the forms in which people write it."""
        base_url = base_url.rstrip("/")
        _, slash, path = base_url.partition("://")[2].partition("/")
        return base_url if _VERSION.search(slash + path) else f"{base_url}/v1"

    @classmethod
    def catalog(cls, settings: Any) -> Plan[list[Listed]] | None:
        return name_of_app()

    @classmethod
    def check(cls, settings: Any) -> Plan[str]:
        return kind_of_app()

    @classmethod
    def transcription(cls, settings: Any, caller: Caller, recording: Recording) -> Plan[str]:
        return transcription(settings, caller, recording)

    @classmethod
    def speech(cls, settings: Any, caller: Caller, spoken: Spoken) -> Speech:
        return speech(settings, caller, spoken)

    # Before the question.

    def prepare(self) -> Plan[None] | None:
        question = self._read()
        self._conversation = question.conversation
        self._kind = _kind_of(self.settings.mode)
        found = question.attachments
        uploads = bool(found) and any(isinstance(one, Upload) for one in found)
        if found and not uploads:
            self._attached = tuple(one.document() for one in found if isinstance(one, Given))
        self._ephemeral = self._is_ephemeral(question)
        found_again = self._kind == "chat" and not question.conversation and not self._ephemeral
        if found_again and self.settings.history == "affinity":
            self._history = affinity.History.of(self.prompt.messages, question.user)
        quiet = self.settings.mode != "auto" and not uploads and not self._wants_form(question, False)
        return None if quiet and not self._history.key else self._prepare(question)

    def _read(self) -> Question:
        """Raises GatewayError for what cannot be asked, or not by this client."""
        if self._question is None:
            self._authorization = authorization(self.caller)
            self._question = Question.read(self.prompt, self.settings, self.caller)
            self._user, self._named = self._question.user, bool(self._question.conversation)
        return self._question

    def _prepare(self, question: Question) -> Plan[None]:
        blind = False
        if self.settings.mode == "auto":
            blind = yield from self._find_out()
        if self._wants_form(question, blind):
            reply: Reply = yield Cached(self._get("parameters"), "dify-parameters", APP_SECONDS)
            self._form = Form.read(reply.body) if reply.status == 200 else _NO_FORM
        if not self._attached:
            for one in question.attachments:
                there = (yield from self._upload(one, question.user)) if isinstance(one, Upload) else one
                self._attached = (*self._attached, there.document())
        key = self._history.key
        if key and self._kind == "chat":
            found = yield Recall(key)
            if isinstance(found, str) and ID.fullmatch(found):
                yield Remember(key, None, 0.0)
                self._conversation, self._key = found, key

    def _find_out(self) -> Plan[bool]:
        """What kind of app this is; True if it does not say."""
        known = yield Recall(_KIND)
        if known not in _IN_TURN:
            reply: Reply = yield Cached(self._get("info"), "dify-info", APP_SECONDS)
            if reply.status in (401, 403):
                raise self.reject(reply.status, reply.body, None)
            told = wirejson.loads(reply.body).get("mode") if reply.status == 200 else None
            known = _kind_of(told) if isinstance(told, str) else None
        self._kind = known or "chat"
        self._others = tuple(kind for kind in _IN_TURN if kind != self._kind)
        return known is None

    def _wants_form(self, question: Question, blind: bool) -> bool:
        if self.settings.system == "inputs" and question.system:
            return True
        if self._kind == "workflow" and (question.files or question.attachments):
            return True
        return (blind or self._kind != "chat") and not self.settings.input_variable

    def _upload(self, upload: Upload, user: str) -> Plan[Given]:
        call = upload.call(user, self._authorization)
        reply: Reply = yield Cached(call, upload.key(user), UPLOAD_SECONDS)
        if reply.status not in (200, 201):
            raise self.reject(reply.status, reply.body, None)
        id = wirejson.loads(reply.body).get("id")
        if not isinstance(id, str):
            raise UpstreamMalformed("Dify took a file and did not say under which id.")
        return Given(upload.kind, id=id)

    def _is_ephemeral(self, question: Question) -> bool:
        pattern = self.settings.ephemeral
        return bool(pattern and not question.conversation and re.search(pattern, question.text))

    # The question.

    def call(self) -> Call:
        question = self._read()
        body = {"inputs": {}, "response_mode": "streaming", "user": question.user}
        path = self._ASK[self._kind](self, question, body)
        return Call("POST", path, wirejson.dumps(body), self._authorization)

    def asked(self) -> None:
        """What was said may be megabytes, and the answer may take minutes: of it only the digests are needed."""
        self._question = None
        self._attached = ()
        self.prompt = FORGOTTEN[self.prompt.stream]

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        error, self._refusal = refusal(status, body, retry_after, self.own_key)
        return error

    def reconsider(self, error: GatewayError) -> bool:
        """Whether ``call`` now asks something else, which is worth asking after this refusal."""
        if self._refusal in WRONG_MODE and self._others:
            self._kind, *others = self._others
            self._others = tuple(others)
            self._tried = True
        elif error.code in CONVERSATION_GONE and self._key:
            self._conversation = self._key = ""
        else:
            return False
        self._refusal = None
        return True

    def _ask_chat(self, question: Question, body: dict[str, Any]) -> str:
        goes_on = bool(self._conversation and question.text)
        body["inputs"], prefix = self._system(question)
        body["query"] = question.text if goes_on else self._fresh(question, prefix)
        body["auto_generate_name"] = False  # it would keep the first word back while a name is thought up
        if self._conversation:
            body["conversation_id"] = self._conversation
        if question.workflow:
            body["workflow_id"] = question.workflow
        if files := self._all_files(question):
            body["files"] = files
        return "chat-messages"

    def _ask_completion(self, question: Question, body: dict[str, Any]) -> str:
        body["query"] = self._fill(question, body)
        if files := self._all_files(question):
            body["files"] = files
        return "completion-messages"

    def _ask_workflow(self, question: Question, body: dict[str, Any]) -> str:
        self._fill(question, body)
        if files := self._all_files(question):
            held = self._form.with_files(files)
            body["inputs"] = {**held, **body["inputs"]}
            if not held:
                body["files"] = files
        return f"workflows/{question.workflow}/run" if question.workflow else "workflows/run"

    _ASK: ClassVar[dict[str, Any]] = {
        "chat": _ask_chat,
        "completion": _ask_completion,
        "workflow": _ask_workflow,
    }

    def _fill(self, question: Question, body: dict[str, Any]) -> str:
        """Put the words where an app without conversations takes them."""
        inputs, prefix = self._system(question)
        text = self._fresh(question, prefix)
        variable = self.settings.input_variable or self._form.for_words(needed=not question.inputs)
        body["inputs"] = {variable: text, **inputs} if variable else inputs
        return text

    def _system(self, question: Question) -> tuple[Mapping[str, Any], bool]:
        """The inputs, and whether system messages are not among them and go before the question."""
        name = self.settings.system_variable
        if self.settings.system == "inputs" and question.system and self._form.has(name):
            return {name: question.system, **question.inputs}, False
        return question.inputs, self.settings.system != "drop"

    def _fresh(self, question: Question, prefix: bool) -> str:
        return question.fresh(self.settings.history != "last" and not self._ephemeral, prefix)

    def _all_files(self, question: Question) -> list[dict[str, Any]]:
        return [*self._attached, *question.files]

    def _get(self, path: str) -> Call:
        return Call("GET", path, headers=self._authorization)

    # After the answer.

    def farewell(self) -> Call | None:
        task = self._ids.get("task_id")
        return None if self._over or not task else self._by_user("POST", _STOP[self._kind].format(task))

    @property
    def will_be_named(self) -> bool:
        return self.asking and not self._over and not self._ids.get("task_id")

    def settle(self) -> Plan[None] | None:
        return self._settle() if self._user else None

    def _settle(self) -> Plan[None]:
        if self._tried and self._opened:
            yield Remember(_KIND, self._kind, APP_SECONDS)
        if self._kind != "chat" or self._named:
            return
        conversation, told = self._ids.get("conversation_id"), self._words.told.all
        if self._ephemeral:
            if conversation:
                yield self._by_user("DELETE", f"conversations/{conversation}")
        elif conversation and told is not None and (self._completed or (told and not self._over)):
            key = self._history.after(told)
            if key:
                yield Remember(key, conversation, affinity.KEEP)
        elif self._key and not told and (self._refusal is not None or self._over):
            # Nothing was said, so whoever asks again may go on where this question stood.
            yield Remember(self._key, self._conversation, affinity.KEEP)

    def _by_user(self, method: str, path: str) -> Call:
        return Call(method, path, wirejson.dumps({"user": self._user}), self._authorization)


def _kind_of(mode: str) -> str:
    return mode if mode in _IN_TURN else "chat"
