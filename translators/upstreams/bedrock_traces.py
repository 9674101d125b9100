"""What the steps of an agent tell: its thoughts, what it did, what it used, and why something is missing.

A trace holds one step. Thoughts are told until the answer begins, each step once and with a blank line between two.
Usage is the sum over all calls of a model, collaborators' included; totals that other steps repeat are not added.
A guardrail that blocked, a step that failed and a final response are kept in mind for the end of the answer, where
they matter only if nothing better was said.

The biggest traces are echoes of prompts, and say nothing that is told. A trace has one step, so a look at its
beginning is enough: the key of the echo stands there and no other does. In a string its quotes would be escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import define, field

from translators import wirejson
from translators.errors import GatewayError
from translators.events import Activity, Emit, Reasoning, Usage
from translators.upstreams.bedrock_errors import run_failed

MAX_REQUESTS = 4096
"""Calls of a model that are told apart."""
_LONGEST = 4000
"""Characters of what a tool was given and gave."""
_HEAD = 2048
_ECHO = b'"modelInvocationInput":'
_TELLING = re.compile(
    rb'"(?:modelInvocationOutput|rationale|observation|invocationInput|guardrailTrace|failureTrace)":'
)
_BLOCKED = b'"action":"BLOCKED"'


def is_echo(payload: bytes) -> bool:
    if len(payload) <= _HEAD:
        return False  # read as fast as it is looked at
    head = payload[:_HEAD]
    return _ECHO in head and _TELLING.search(head) is None


@define(eq=False)
class Steps:
    thinks: bool
    """Whether thoughts are told."""
    custom: bool = False
    """Whether what a custom orchestration says is one."""

    intervened: bool = False
    """A guardrail said no, and nothing but no."""
    final: str | None = None
    """The answer as the last step repeats it."""
    failure: GatewayError | None = None

    _input: int = field(default=0, init=False)
    _output: int = field(default=0, init=False)
    _counted: bool = field(default=False, init=False)
    _requests: dict[str, None] = field(factory=dict, init=False)
    """Counted already. An empty dictionary takes a third of an empty set."""
    _thought: str = field(default="", init=False)
    """The last one."""

    @property
    def usage(self) -> Usage | None:
        return Usage(self._input, self._output) if self._counted else None

    def read(self, told: Mapping[str, Any], emit: Emit) -> None:
        """One trace. Parts of it that have not their shape say nothing: no answer is lost for a trace."""
        ours = not told.get("collaboratorName")
        for kind, step in _members(told.get("trace")).items():
            read = self._ON.get(kind)
            if read is not None:
                read(self, _members(step), ours, emit)

    def _orchestration(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        """Of these a step has one."""
        if "modelInvocationOutput" in step:
            self._model(step, ours, emit)
        if "rationale" in step:
            self._think(_text(_members(step["rationale"]).get("text")), emit)
        if "invocationInput" in step:
            self._acts(_members(step["invocationInput"]), emit)
        if "observation" in step:
            self._acted(_members(step["observation"]), ours, emit)

    def _model(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        output = _members(step.get("modelInvocationOutput"))
        self._count(_members(output.get("metadata")))
        thought = _members(_members(output.get("reasoningContent")).get("reasoningText"))
        self._think(_text(thought.get("text")), emit)

    def _before(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        self._model(step, ours, emit)
        parsed = _members(_members(step.get("modelInvocationOutput")).get("parsedResponse"))
        self._think(_text(parsed.get("rationale")), emit)

    def _custom(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        if self.custom:
            self._think(_text(_members(step.get("event")).get("text")), emit)

    def _guardrail(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        if not ours or step.get("action") != "INTERVENED":
            return
        assessments = [*_list(step.get("inputAssessments")), *_list(step.get("outputAssessments"))]
        blocks = _BLOCKED in wirejson.dumps(assessments)
        self.intervened = self.intervened or blocks or not assessments

    def _failed(self, step: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        code = step.get("failureCode")
        self.failure = run_failed(_text(step.get("failureReason")), code if type(code) is int else None)

    def _count(self, metadata: Mapping[str, Any]) -> None:
        usage, id = _members(metadata.get("usage")), _text(metadata.get("clientRequestId"))
        if not usage or id in self._requests:
            return
        if id and len(self._requests) < MAX_REQUESTS:
            self._requests[id[:200]] = None
        self._counted = True
        self._input += _number(usage.get("inputTokens"))
        self._output += _number(usage.get("outputTokens"))

    def _think(self, text: str, emit: Emit) -> None:
        if not self.thinks or not text or text == self._thought:
            return
        emit(Reasoning(f"\n\n{text}" if self._thought else text))
        self._thought = text

    def _acts(self, told: Mapping[str, Any], emit: Emit) -> None:
        """What the platform is about to do; what the client has to do is no such thing."""
        for member, (kind, name, input) in _ACTS.items():
            step = _members(told.get(member))
            if step and step.get("executionType") != "RETURN_CONTROL":
                title = next((_text(step.get(one)) for one in name if step.get(one)), "")
                emit(_activity(kind, told, title, input=_said(step, input), state="started"))

    def _acted(self, told: Mapping[str, Any], ours: bool, emit: Emit) -> None:
        final = _members(told.get("finalResponse"))
        if ours and isinstance(final.get("text"), str):
            self.final = final["text"]
        for member, (kind, name, output) in _ACTED.items():
            step = _members(told.get(member))
            if step:
                title = next((_text(step.get(one)) for one in name if step.get(one)), "")
                emit(_activity(kind, told, title, output=_said(step, output), state="completed"))

    _ON: ClassVar[dict[str, Callable[[Steps, Mapping[str, Any], bool, Emit], None]]] = {
        "orchestrationTrace": _orchestration,
        "preProcessingTrace": _before,
        "postProcessingTrace": _model,
        "routingClassifierTrace": _orchestration,
        "guardrailTrace": _guardrail,
        "failureTrace": _failed,
        "customOrchestrationTrace": _custom,
    }


_Act: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...]]

_ACTS: dict[str, _Act] = {
    "actionGroupInvocationInput": (
        "tool",
        ("function", "apiPath", "actionGroupName"),
        ("parameters", "requestBody"),
    ),
    "knowledgeBaseLookupInput": ("retrieval", ("knowledgeBaseId",), ("text",)),
    "codeInterpreterInvocationInput": ("code_interpreter", (), ("code",)),
    "agentCollaboratorInvocationInput": ("agent", ("agentCollaboratorName",), ("input",)),
}
"""What a step is going to do: its kind, the members that name it, and those that say with what."""
_ACTED: dict[str, _Act] = {
    "actionGroupInvocationOutput": ("tool", (), ("text",)),
    "knowledgeBaseLookupOutput": ("retrieval", (), ("retrievedReferences",)),
    "codeInterpreterInvocationOutput": ("code_interpreter", (), ("executionOutput", "executionError")),
    "agentCollaboratorInvocationOutput": ("agent", ("agentCollaboratorName",), ("output",)),
}


def _activity(
    kind: str, told: Mapping[str, Any], name: str, input: str = "", output: str = "", state: str = ""
) -> Activity:
    return Activity(kind, _text(told.get("traceId"))[:200], name[:200], input, output, state)


def _said(step: Mapping[str, Any], members: tuple[str, ...]) -> str:
    value = next((step[member] for member in members if step.get(member)), "")
    text = value if isinstance(value, str) else wirejson.dumps(value).decode()
    return text[:_LONGEST]


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0
