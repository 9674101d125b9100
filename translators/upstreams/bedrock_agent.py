"""One turn with an agent: in which session, with what, and what is kept in mind of it.

The session is the client's if it names one. Else the results of calls go to the session that waits for them, and a
question to the session that its history comes from (``affinity``), which serves once; a new session is told the
history. An agent forgets an idle session after a while and begins a new one under the same name, so a session is
only gone on with while that cannot have happened.

A session gives one answer at a time: the ``turn`` is taken under the name that is known before anything is looked
up. A session that is found by its history needs none, because nobody else finds it.

Two refusals are worth another question: credentials that have run out, and an agent that may not stream, which is
kept in mind. Nothing has been done for either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import define, field

from translators import affinity, wirejson
from translators.errors import Forbidden, GatewayError
from translators.request import FORGOTTEN
from translators.upstreams.bedrock_answer import BedrockAnswer
from translators.upstreams.bedrock_ask import HEARS, SESSION_ID, Question
from translators.upstreams.bedrock_errors import NO_STREAMING, STALE_IDENTITY, refusal, refused_as
from translators.upstreams.bedrock_extras import MEMORY_ID
from translators.upstreams.bedrock_files import content
from translators.upstreams.bedrock_names import Agent, quoted, read
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.bedrock_tools import Results, memory_key, unknown, uuid_shaped
from translators.upstreams.plan import Call, Keep, Plan, Recall, Remember, Turn

WHOLE_SECONDS = 3600.0
"""How long an agent that may not stream is not asked to."""
_NO_HEADERS: Mapping[str, str] = {}
_MARGIN = 0.9
"""The part of its time after which a session may be forgotten, for all that clocks know."""


@define(eq=False)
class BedrockAgent(BedrockAnswer):
    name: ClassVar[str] = "bedrock"
    Settings: ClassVar[type[Any]] = BedrockSettings
    hears: ClassVar[frozenset[str]] = frozenset(HEARS)
    inline: ClassVar[bool] = False
    state: ClassVar[str] = "sessionState"
    """The member that holds what is said beside the words."""

    _question: Question | None = field(default=None, init=False)
    """Until it has been taken."""
    _agent: Agent = field(default=Agent("", ""), init=False)
    _streams: bool = field(default=False, init=False)
    """Whether the agent is asked to stream."""
    _history: affinity.History = field(default=affinity.NOTHING, init=False)
    _key: str = field(default="", init=False)
    """Under which the session was found, if it was."""
    _brought: str = field(default="", init=False)
    """The digits of the invocation that the request has results for."""
    _invocation: str = field(default="", init=False)
    _outcomes: Sequence[dict[str, Any]] = field(default=(), init=False)
    """Results for the invocation."""
    _head: Mapping[str, str] = field(default=_NO_HEADERS, init=False)
    _stale: bool = field(default=False, init=False)
    """Whether the credential was refused in a way that another one may mend."""
    _renewed: bool = field(default=False, init=False)

    # Before the question.

    def prepare(self) -> Plan[None] | None:
        self._agent = self._named()
        question = self._read()
        results, mode = question.results, self.settings.history
        self._session = question.session or uuid4_of(self.envelope.id)
        self._ends = question.extras.get("endSession", False)
        self._streams = question.extras.get("streamFinalResponse", self.prompt.stream)
        if not question.session and mode in ("auto", "session"):
            self._history = self._said_before()
        self._brought = results.invocation if results is not None else ""
        held = self._session if question.session else self._brought or self._session
        place = f"{self._agent.agent_id}/{self._agent.alias_id}/{held}"
        self.turn = Turn(place, self.settings.session_wait, question.session_param)
        looks = results is not None or self._history.key or self._streams
        return self._prepare(question) if looks else None

    def _named(self) -> Agent:
        """Who answers. Raises GatewayError."""
        return read(self.model, self.settings)

    def _read(self) -> Question:
        """Raises GatewayError for what cannot be asked."""
        if self._question is None:
            self._question = Question.read(self.prompt, self.settings, self.caller, self.inline)
        return self._question

    def _said_before(self) -> affinity.History:
        """Results of calls count as words of the user's, so that what follows them is found as well."""
        told = [{**one, "role": "user"} if one["role"] == "tool" else one for one in self.prompt.messages]
        user = self.prompt.body.get("user") or ""
        return affinity.History.of(told, user, self._agent.agent_id, self._agent.alias_id)

    def _prepare(self, question: Question) -> Plan[None]:
        if self._streams and (yield Recall(self._whole_key)) is True:
            self._streams = False
        if question.results is not None:
            found = yield Recall(memory_key(question.results.invocation))
            self._bring(question, question.results, found)
        elif self._history.key:
            found = yield Recall(self._history.key)
            if isinstance(found, str) and SESSION_ID.fullmatch(found):
                yield Remember(self._history.key, None, 0.0)
                self._session, self._key = found, self._history.key

    def _bring(self, question: Question, results: Results, found: Any) -> None:
        """Find who waits for the results. Raises BadRequest if nobody does."""
        if found is None and question.session and (self.inline or self.settings.qualify_tool_names):
            self._invocation = uuid_shaped(results.invocation)
            self._outcomes = results.by_name(self._own_group)
            return
        ours = [self._agent.agent_id, self._agent.alias_id]
        if not isinstance(found, dict) or found["agent"] != ours:
            raise unknown(results.outcomes[0].id)
        if question.session not in ("", found["session"]):
            raise unknown(results.outcomes[0].id)
        self._session, self._invocation = found["session"], found["invocation"]
        self._outcomes = results.to(found["inputs"])

    @property
    def _own_group(self) -> str:
        """The action group of all tools, where there is but one."""
        return ""

    @property
    def _whole_key(self) -> str:
        return f"bedrock-whole:{self._agent.agent_id}/{self._agent.alias_id}"

    # The question.

    def call(self) -> Call:
        question = self._read()
        self.headers = dict.fromkeys(HEARS, self._session)
        body = self._body(question)
        source = question.extras.get("sourceArn") or self.settings.source_arn
        headers = {"x-amz-source-arn": source} if source and not self.inline else {}
        return Call("POST", self._path(), wirejson.dumps(body), headers)

    def _path(self) -> str:
        agent = f"agents/{self._agent.agent_id}/agentAliases/{self._agent.alias_id}"
        return f"{agent}/sessions/{quoted(self._session)}/text"

    def _body(self, question: Question) -> dict[str, Any]:
        own, settings = question.extras, self.settings
        body: dict[str, Any] = {"enableTrace": own.get("enableTrace", settings.trace)}
        if not self._outcomes and (text := self._text(question)):
            body["inputText"] = text
        streaming: dict[str, Any] = {"streamFinalResponse": self._streams}
        if interval := own.get("applyGuardrailInterval", settings.guardrail_interval):
            streaming["applyGuardrailInterval"] = interval
        body["streamingConfigurations"] = streaming
        if latency := own.get("latency", settings.latency):
            body["bedrockModelConfigurations"] = {"performanceConfig": {"latency": latency}}
        for name in ("endSession", "memoryId", "promptCreationConfigurations"):
            if name in own:
                body[name] = own[name]
        if state := self._state(question):
            body[self.state] = state
        return body

    def _text(self, question: Question) -> str:
        text = question.text
        if self.settings.history == "flatten" and not question.session:
            text = question.written_out
        if text and self.settings.system == "prepend" and question.system:
            text = f"{question.system}\n\n{text}"
        return text

    def _state(self, question: Question) -> dict[str, Any]:
        own, settings = question.extras, self.settings
        system = {"system_prompt": question.system} if self._prompts(question) else {}
        found = {
            "sessionAttributes": {**question.attributes, **own.get("sessionAttributes", {})},
            "promptSessionAttributes": {**system, **own.get("promptSessionAttributes", {})},
            "invocationId": self._invocation,
            "returnControlInvocationResults": self._outcomes,
            "files": [one.document(settings.code_interpreter) for one in question.attachments],
            "conversationHistory": question.history() if self._tells(question) else None,
            "knowledgeBaseConfigurations": self._knowledge(question),
        }
        return {name: value for name, value in found.items() if value}

    def _prompts(self, question: Question) -> bool:
        return bool(self.settings.system == "prompt" and question.system)

    def _tells(self, question: Question) -> bool:
        """Whether the session is new and gets the history."""
        new = not question.session and not self._key
        return bool(new and question.turns and self.settings.history in ("auto", "replay"))

    def _knowledge(self, question: Question) -> list[dict[str, Any]]:
        given: list[dict[str, Any]] = question.extras.get("knowledgeBaseConfigurations", [])
        if given or not self.settings.knowledge_bases:
            return given
        usual: dict[str, Any] = {"vectorSearchConfiguration": {}}
        return [
            {"knowledgeBaseId": id, "retrievalConfiguration": usual} for id in self.settings.knowledge_bases
        ]

    def answered(self, headers: Mapping[str, str]) -> None:
        self._head = headers
        session = headers.get("x-amz-bedrock-agent-session-id", "")
        memory = headers.get("x-amz-bedrock-agent-memory-id", "")
        if session != self._session and SESSION_ID.fullmatch(session):
            self._session = session
            self.headers = dict.fromkeys(HEARS, session)
        if MEMORY_ID.fullmatch(memory):
            self._memory = memory

    def asked(self) -> None:
        """What was said may be megabytes, and the answer may take minutes: only digests of it are still needed."""
        self._question = None
        self._outcomes = ()
        self._head = _NO_HEADERS
        self.prompt = FORGOTTEN[self.prompt.stream]

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        self._refused = True
        error = refusal(status, self._head, body, retry_after)
        self._stale = refused_as(self._head, body) in STALE_IDENTITY
        return error

    def reconsider(self, error: GatewayError) -> bool:
        """Whether ``call`` now asks something else, or for somebody else."""
        if self._stale and not self._renewed:
            self._renewed, self._stale = True, False
        elif isinstance(error, Forbidden) and NO_STREAMING in error.detail.lower() and self._streams:
            self._streams, self._cannot_stream = False, True
        else:
            return False
        self._refused = False
        return True

    # After the answer.

    def settle(self) -> Plan[None] | None:
        return None if self.turn is None else self._settle()

    def _settle(self) -> Plan[None]:
        if self._cannot_stream:
            yield Remember(self._whole_key, True, WHOLE_SECONDS)
        if self._brought and self._completed:
            yield Remember(memory_key(self._brought), None, 0.0)
        agent = [self._agent.agent_id, self._agent.alias_id]
        for digits, waiting in self._calls.waiting.items():
            entry = {**waiting, "session": self._session, "agent": agent}
            yield Remember(memory_key(digits), entry, self._seconds)
        told = self._told.all
        if told is not None and (self._completed or (told and not self._refused)):
            key = self._history.after(told)
            if key and not self._ends and not self._calls.waiting:
                yield Remember(key, self._session, self._seconds)
        elif self._key and not told and self._refused:
            # Nothing was said, so whoever asks again may go on where this question stood.
            yield Remember(self._key, self._session, self._seconds)
        for file in self._made if self.settings.keep_files else ():
            yield Keep(file.name, file.mime, content(file))  # last, because it takes time

    @property
    def _ttl(self) -> float:
        """Seconds for which the agent keeps a session in which nothing happens."""
        return float(self.settings.session_ttl)

    @property
    def _seconds(self) -> float:
        return self._ttl * _MARGIN


def uuid4_of(name: str) -> str:
    """A UUID of the kind that chance makes, made of a name that chance has made."""
    plain = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    variant = "89ab"[int(plain[16], 16) % 4]
    return f"{plain[:8]}-{plain[8:12]}-4{plain[13:16]}-{variant}{plain[17:20]}-{plain[20:32]}"
