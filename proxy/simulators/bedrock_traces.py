"""What an agent tells of its own work: the trace events, in the shapes and the order of the service.

``Traces`` knows whose work it is, so a collaborator's traces are the same with another name in them. A step has
one traceId, which all its events share. Times are ISO strings, and every call of a model has an id of its own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve

from proxy.simulators.bedrock_knobs import Agent, Event

FOUNDATION_MODEL = "anthropic.claude-3-5-sonnet-20241022-v2:0"
_FILLER = "The conversation so far, and all that the agent was told about its tools. "


@define
class Traces:
    """The traces of one agent's part in one turn."""

    agent: Agent
    where: Mapping[str, Any]
    """The members around every trace: ids, version, session and the chain of callers."""
    now: Callable[[], float]
    new_id: Callable[[], str]
    trace_id: str = ""

    def of(self, name: str, **where: Any) -> Traces:
        """Those of the collaborator ``name``."""
        return evolve(self, where={**self.where, **where, "collaboratorName": name})

    def step(self) -> None:
        """A new step begins."""
        self.trace_id = f"{self.new_id()}-0"

    def event(self, kind: str, document: Mapping[str, Any]) -> Event:
        told = {**self.where, "eventTime": self.stamp(), "trace": {kind: document}}
        return Event("trace", told)

    def stamp(self) -> str:
        now = datetime.fromtimestamp(self.now(), UTC)
        return now.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def metadata(self, usage: tuple[int, int] | None, *, total: bool = False) -> dict[str, Any]:
        stamp = self.stamp()
        told: dict[str, Any] = {
            "clientRequestId": self.new_id(),
            "startTime": stamp,
            "endTime": stamp,
            "totalTimeMs": 12,
        }
        if usage is not None and self.agent.usage != "none":
            told["usage"] = {"inputTokens": usage[0], "outputTokens": usage[1]}
        return {**told, "operationTotalTimeMs": 34} if total else told

    # Orchestration.

    def orchestration(self, member: str, document: Mapping[str, Any]) -> Event:
        return self.event("orchestrationTrace", {member: {"traceId": self.trace_id, **document}})

    def asked(self, prompt: str, kind: str = "ORCHESTRATION") -> Event:
        return self.orchestration("modelInvocationInput", self._prompt(prompt, kind))

    def _prompt(self, prompt: str, kind: str) -> dict[str, Any]:
        padding = max(0, self.agent.prompt_size - len(prompt))
        text = prompt + (_FILLER * (padding // len(_FILLER) + 1))[:padding]
        return {
            "text": text,
            "type": kind,
            "foundationModel": FOUNDATION_MODEL,
            "inferenceConfiguration": {
                "temperature": 0.0,
                "topP": 1.0,
                "topK": 250,
                "maximumLength": 2048,
                "stopSequences": ["</answer>"],
            },
        }

    def answered(self, text: str, usage: tuple[int, int], thought: str = "") -> Iterator[Event]:
        """What a model gave."""
        told: dict[str, Any] = {"rawResponse": {"content": text}, "metadata": self.metadata(usage)}
        reasoning = self.agent.reasoning
        if reasoning == "redacted":
            told["reasoningContent"] = {"redactedContent": base64.b64encode(b"redacted").decode()}
        elif thought and reasoning in ("content", "both"):
            told["reasoningContent"] = {"reasoningText": {"text": thought, "signature": "c2lnbmVk"}}
        found = self.orchestration("modelInvocationOutput", told)
        yield found
        if self.agent.usage == "repeated":
            yield found

    def thought(self, text: str) -> Iterator[Event]:
        if text and self.agent.reasoning in ("rationale", "both"):
            yield self.orchestration("rationale", {"text": text})

    def doing(self, kind: str, member: str, document: Mapping[str, Any]) -> Event:
        return self.orchestration("invocationInput", {"invocationType": kind, member: document})

    def saw(self, kind: str, member: str, document: Mapping[str, Any]) -> Event:
        return self.orchestration("observation", {"type": kind, member: document})

    def final(self, text: str, usage: tuple[int, int]) -> Event:
        """The end of an agent's work; its usage is the sum of what was told before."""
        told = {"text": text, "metadata": self.metadata(usage, total=True)}
        return self.saw("FINISH", "finalResponse", told)

    # Around it.

    def preprocessing(self, prompt: str, usage: tuple[int, int], rationale: str) -> Iterator[Event]:
        told = {"traceId": self.trace_id, **self._prompt(prompt, "PRE_PROCESSING")}
        yield self.event("preProcessingTrace", {"modelInvocationInput": told})
        parsed: dict[str, Any] = {"isValid": True, "rationale": rationale}
        output = {
            "traceId": self.trace_id,
            "parsedResponse": parsed,
            "rawResponse": {"content": rationale},
            "metadata": self.metadata(usage),
        }
        yield self.event("preProcessingTrace", {"modelInvocationOutput": output})

    def guarded(self, side: str, assessments: list[dict[str, Any]]) -> Event:
        action = "INTERVENED" if assessments else "NONE"
        told: dict[str, Any] = {"action": action, "traceId": f"{self.new_id()}-guardrail"}
        told[f"{side}Assessments"] = assessments or [{}]
        return self.event("guardrailTrace", told)

    def failed(self, code: int, reason: str) -> Event:
        told = {"traceId": self.trace_id, "failureCode": code, "failureReason": reason}
        return self.event("failureTrace", {**told, "metadata": self.metadata(None)})

    def custom(self, text: str) -> Event:
        return self.event("customOrchestrationTrace", {"traceId": self.trace_id, "event": {"text": text}})
