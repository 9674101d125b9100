"""What the sisters of Bedrock's agents have in common: flows and runtimes.

Each answers one question and may have to be asked the next one in the same place: an execution that waits for
input, or a session. A client that names its session says which; to all others the place is found by the history
that they send (``affinity``). What is found is forgotten, so that it serves once; when nothing came of the
question, it is put back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define, field

from translators import affinity
from translators.errors import GatewayError
from translators.events import Emit, Finish, FinishReason, Text, Usage
from translators.request import FORGOTTEN
from translators.upstreams.base import Upstream
from translators.upstreams.bedrock_answer import in_words
from translators.upstreams.bedrock_ask import HEARS
from translators.upstreams.bedrock_errors import STALE_IDENTITY, refusal, refused_as
from translators.upstreams.bedrock_question import Question, Takes
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.plan import Plan, Recall, Remember, Turn

_NO_HEADERS: Mapping[str, str] = {}
_UNKNOWN_COUNTS = {"-1": -1, "0": 0}
_MARGIN = 0.9
"""The part of its time after which a session may be gone, for all that clocks know."""


@define(eq=False)
class Sister(Upstream):
    name: ClassVar[str] = "bedrock"
    Settings: ClassVar[type[Any]] = BedrockSettings
    hears: ClassVar[frozenset[str]] = frozenset(HEARS)
    takes: ClassVar[Takes]

    _question: Question | None = field(default=None, init=False)
    """Until it has been taken."""
    _was_asked: bool = field(default=False, init=False)
    _client_session: str = field(default="", init=False)
    """How the client names the session, if it does."""
    _history: affinity.History = field(default=affinity.NOTHING, init=False)
    _key: str = field(default="", init=False)
    """Under which the place was found, if it was."""
    _found: Any = field(default=None, init=False)
    _head: Mapping[str, str] = field(default=_NO_HEADERS, init=False)
    _stale: bool = field(default=False, init=False)
    """Whether the credential was refused in a way that another one may mend."""
    _renewed: bool = field(default=False, init=False)

    _told: affinity.Told = field(factory=affinity.Told, init=False)
    _spoke: bool = field(default=False, init=False)
    _longest: float = field(init=False)
    """Characters that are told as they come."""
    _completed: bool = field(default=False, init=False)
    _failure: GatewayError | None = field(default=None, init=False)
    """What the platform said instead of an answer, or after a part of it."""

    @_longest.default
    def _own_longest(self) -> float:
        splits = self.settings.split == "words" and self.prompt.stream
        return self.settings.split_threshold if splits else float("inf")

    # What each of them knows.

    @abstractmethod
    def _place(self) -> str:
        """What is asked, as a part of a key. Raises GatewayError if there is no such thing."""

    @abstractmethod
    def _named(self, session: str) -> str:
        """The key under which a session's place is remembered; empty if its name is enough."""

    @abstractmethod
    def _take(self, found: Any) -> bool:
        """Go on there; whether it is a place at all."""

    @abstractmethod
    def _leave(self) -> None:
        """Begin anew: the place that was found is none any more."""

    @abstractmethod
    def _kept(self) -> Plan[None]:
        """Remember where this answer ended."""

    @abstractmethod
    def _may_come_back(self, error: GatewayError | None) -> bool:
        """Whether the place still is what it was, after this error and not one word."""

    # Before the question.

    def prepare(self) -> Plan[None] | None:
        question, place = self._read(), self._place()
        key = ""
        if question.session:
            self.turn = Turn(f"{place}/{question.session}", self.settings.session_wait, question.param)
            key = self._named(question.session)
        elif self.settings.history in ("auto", "session"):
            user = self.prompt.body.get("user") or ""
            self._history = affinity.History.of(self.prompt.messages, place, user)
            key = self._history.key
        return self._search(key) if key else None

    def _read(self) -> Question:
        if self._question is None:
            self._question = Question.read(self.prompt, self.settings, self.caller, self.takes)
            self._client_session = self._question.session
        return self._question

    def _search(self, key: str) -> Plan[None]:
        found = yield Recall(key)
        if found is not None and self._take(found):
            yield Remember(key, None, 0.0)
            self._key, self._found = key, found

    def asked(self) -> None:
        """What was said may be megabytes, and the answer may take minutes."""
        self._question = None
        self._was_asked = True
        self.prompt = FORGOTTEN[self.prompt.stream]
        self._head = _NO_HEADERS

    def answered(self, headers: Mapping[str, str]) -> None:
        self._head = headers

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        self._failure = refusal(status, self._head, body, retry_after)
        self._stale = refused_as(self._head, body) in STALE_IDENTITY
        return self._failure

    def reconsider(self, error: GatewayError) -> bool:
        """Whether ``call`` now asks something else, or for somebody else."""
        if self._stale and not self._renewed:
            self._renewed = True
        elif error.status in (400, 404) and self._key:
            self._key = ""
            self._leave()
        else:
            return False
        self._failure = None
        return True

    # The answer.

    def _say(self, text: str, emit: Emit) -> None:
        self._spoke = True
        self._told.say(text)
        if len(text) <= self._longest:
            emit(Text(text))
            return
        for word in in_words(text):
            emit(Text(word))

    def _complete(
        self, reason: FinishReason, usage: Usage | None, platform: dict[str, Any], emit: Emit
    ) -> None:
        if usage is None and self.settings.usage_unknown != "omit":
            count = _UNKNOWN_COUNTS[self.settings.usage_unknown]
            counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), count)
            usage = Usage(count, count, native=counts)
        if usage is not None:
            emit(usage)
        self.done = self._completed = True
        emit(Finish(reason, platform or None))

    def _give_up(self, error: GatewayError, emit: Emit) -> None:
        self._failure = error
        self.fail(error, emit)

    # After it.

    def settle(self) -> Plan[None] | None:
        return self._settle() if self._was_asked or self._question is not None else None

    def _settle(self) -> Plan[None]:
        failed = self._failure is not None
        if self._completed or (self._spoke and not failed):
            yield from self._kept()
        elif self._key and failed and not self._spoke and self._may_come_back(self._failure):
            yield Remember(self._key, self._found, self._seconds)

    @property
    def _seconds(self) -> float:
        return float(self.settings.session_ttl) * _MARGIN

    def _after(self) -> str:
        """The key under which whoever was told this answer will look; empty if nobody will."""
        told = self._told.all
        return "" if told is None else self._history.after(told)
