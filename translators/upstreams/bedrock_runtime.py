"""A runtime of AgentCore (InvokeAgentRuntime): a container in which somebody's agent runs.

The platform defines the address, the session and nothing of what is said: a payload goes in as it is, and what the
agent yields comes out. We send ``{"prompt": …}``, which is what the templates for agents read, or what the client
hands in as ``bedrock: {"payload": …}``; ``bedrock_runtime_answer`` listens.

A session is a machine of its own that lives as long as it is used, and whose name has to be long. A client's own
name for it is made longer where need be, together with whose it is: short names are easily the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson
from translators.errors import GatewayError
from translators.framing.base import Framing
from translators.upstreams.bedrock_agent import uuid4_of
from translators.upstreams.bedrock_ask import HEARS
from translators.upstreams.bedrock_names import quoted, read_runtime
from translators.upstreams.bedrock_question import Question, Takes
from translators.upstreams.bedrock_runtime_answer import RuntimeAnswer
from translators.upstreams.plan import Call, Plan, Remember

_SHORTEST, _LONGEST = 33, 256
_SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
_ANSWERS = "text/event-stream, application/json"


@define(eq=False)
class AgentRuntime(RuntimeAnswer):
    takes: ClassVar[Takes] = Takes(frozenset(("payload",)), "payload", _LONGEST)

    _runtime: str = field(default="", init=False)
    _session: str = field(default="", init=False)
    """The session to go on with, by the platform's name for it."""
    _used: str = field(default="", init=False)
    """The session that was asked."""

    def _place(self) -> str:
        return f"runtime/{self._asked_runtime()}"

    def _asked_runtime(self) -> str:
        if not self._runtime:
            self._runtime = read_runtime(self.model, self.settings)
        return self._runtime

    def _named(self, session: str) -> str:
        self._session = self._long(session)
        return ""

    def _take(self, found: Any) -> bool:
        taken = isinstance(found, str) and _SHORTEST <= len(found) <= _LONGEST and found.isascii()
        self._session = found if taken else ""
        return taken

    def _leave(self) -> None:
        self._session = ""

    def call(self) -> Call:
        question = self._read()
        self._used = self._session or uuid4_of(self.envelope.id)
        self.headers = dict.fromkeys(HEARS, question.session or self._used)
        payload = question.own.get("payload", self._payload(question))
        endpoint = quoted(self.settings.qualifier or "DEFAULT")
        return Call(
            "POST",
            f"runtimes/{quoted(self._asked_runtime())}/invocations?qualifier={endpoint}",
            wirejson.dumps(payload),
            {_SESSION: self._used, "Accept": _ANSWERS},
            "bedrock-agentcore",
        )

    def _payload(self, question: Question) -> dict[str, Any]:
        """A session that is gone on with has heard what was said before."""
        settings, new = self.settings, not self._session
        tells = settings.history == "flatten" or (settings.history == "auto" and new)
        prompt = question.text if question.text and not tells else question.transcript
        payload: dict[str, Any] = {"prompt": prompt}
        if question.system and settings.system == "prepend" and (tells or new):
            payload["prompt"] = f"{question.system}\n\n{prompt}"
        elif question.system and settings.system == "prompt":
            payload["system_prompt"] = question.system
        if settings.history == "replay":
            payload["messages"] = list(question.messages)
        return payload

    def _long(self, session: str) -> str:
        if len(session) >= _SHORTEST:
            return session
        whose = f"{self.caller.owner}\n{session}".encode()
        return f"{session}-{hashlib.sha256(whose).hexdigest()[:40]}"

    def framing(self) -> Framing:
        return self._framed

    def answered(self, headers: Mapping[str, str]) -> None:
        super().answered(headers)
        self._framed.content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def _kept(self) -> Plan[None]:
        if key := self._after():
            yield Remember(key, self._used, self._seconds)

    def _may_come_back(self, error: GatewayError | None) -> bool:
        """A session does not mind a question that failed."""
        return True
