"""A flow of Bedrock (InvokeFlow): one value in, the documents of its output nodes out.

A document is any JSON: a string is told as it is, everything else as JSON text, and a blank line stands between
two. Here there is an event that ends the answer, ``flowCompletionEvent``; a body that ends without it is
incomplete.

An agent inside a flow may need to ask back. Then its question is the answer, the execution waits, and the next
message goes to the node that asked and not to the flow's beginning; so what is remembered is the execution together
with that node. Only then anything is: an execution that ran to its end cannot be gone on with, and each question
begins another. What was said before is not told to it, unless the settings say so: conditions inside a flow
compare its input, and a transcript is never equal to anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import define, field, frozen

from translators import wirejson
from translators.errors import BadRequest, Conflict, GatewayError, RateLimited, UpstreamOverloaded
from translators.events import Activity, Emit, Opened
from translators.framing.aws import AwsEvents
from translators.framing.base import Framing
from translators.upstreams.bedrock_ask import HEARS
from translators.upstreams.bedrock_errors import ERROR, EXCEPTION, exception, unmodelled
from translators.upstreams.bedrock_names import Flow, read_flow
from translators.upstreams.bedrock_question import Question, Takes
from translators.upstreams.bedrock_sister import Sister
from translators.upstreams.bedrock_traces import Steps
from translators.upstreams.plan import Call, Plan, Remember

_EXECUTION = re.compile(r"[0-9a-zA-Z._:-]{2,100}")
_NODE = re.compile(r"[a-zA-Z](?:_?[0-9a-zA-Z]){0,99}")
_FIRST_NODE = "FlowInputNode"
_BETWEEN = "\n\n"
_LONGEST_TRACE = 1000
_HEADER = "x-amz-bedrock-flow-execution-id"


@frozen
class Waiting:
    """An execution that needs an answer, and which of its nodes."""

    execution: str
    node: str

    @classmethod
    def read(cls, found: Any) -> Waiting | None:
        known = found if isinstance(found, dict) else {}
        execution, node = (known.get(name) for name in ("execution", "node"))
        if not isinstance(execution, str) or not isinstance(node, str):
            return None
        return cls(execution, node) if _EXECUTION.fullmatch(execution) and _NODE.fullmatch(node) else None

    def document(self) -> dict[str, str]:
        return {"execution": self.execution, "node": self.node}


Read: TypeAlias = Callable[[Any, Mapping[str, Any], Emit], None]


@define(eq=False)
class BedrockFlow(Sister):
    takes: ClassVar[Takes] = Takes(
        frozenset(("document", "enableTrace", "executionId", "nodeName")), "document", 100
    )

    _flow: Flow | None = field(default=None, init=False)
    _goes_on: Waiting | None = field(default=None, init=False)
    """Where the question goes, if it is an answer itself."""
    _execution: str = field(default="", init=False)
    """The platform's name for this run."""
    _asked_by: str = field(default="", init=False)
    """The node that wants to know more."""
    _waits: Waiting | None = field(default=None, init=False)
    """Where this run stopped for an answer."""
    _opened: bool = field(default=False, init=False)
    _steps: Steps | None = field(default=None, init=False)
    """What an agent within the flow does; made when there is one."""

    # The question.

    def _place(self) -> str:
        flow = self._asked_flow()
        return f"flow/{flow.flow_id}/{flow.alias_id}"

    def _asked_flow(self) -> Flow:
        if self._flow is None:
            self._flow = read_flow(self.model, self.settings)
        return self._flow

    def _named(self, session: str) -> str:
        return f"waiting:{self._place()}/{session}"

    def _take(self, found: Any) -> bool:
        self._goes_on = Waiting.read(found)
        return self._goes_on is not None

    def _leave(self) -> None:
        self._goes_on = None

    def call(self) -> Call:
        question, flow = self._read(), self._asked_flow()
        going_on = _given(question.own, self._input_node) or self._goes_on
        traces = question.own.get("enableTrace", self.settings.trace)
        if type(traces) is not bool:
            raise BadRequest(
                "Invalid type for 'bedrock.enableTrace': expected a boolean.",
                param="bedrock.enableTrace",
                code="invalid_type",
            )
        body: dict[str, Any] = {"inputs": [self._input(question, going_on)], "enableTrace": traces}
        if going_on is not None:
            body["executionId"] = going_on.execution
        if self.settings.latency:
            body["modelPerformanceConfiguration"] = {"performanceConfig": {"latency": self.settings.latency}}
        return Call("POST", f"flows/{flow.flow_id}/aliases/{flow.alias_id}", wirejson.dumps(body))

    @property
    def _input_node(self) -> str:
        return self.settings.flow_node or _FIRST_NODE

    def _input(self, question: Question, going_on: Waiting | None) -> dict[str, Any]:
        document = question.own.get("document", self._words(question, going_on))
        if going_on is not None:
            asking = {"nodeName": going_on.node, "nodeInputName": "agentInputText"}
            return {**asking, "content": {"document": document}}
        return {
            "nodeName": self._input_node,
            "nodeOutputName": "document",
            "content": {"document": document},
        }

    def _words(self, question: Question, going_on: Waiting | None) -> str:
        if going_on is not None and question.text:
            return question.text
        tells = self.settings.history in ("replay", "flatten")
        text = question.text if question.text and not tells else question.transcript
        prefix = question.system if self.settings.system == "prepend" else ""
        return f"{prefix}\n\n{text}" if prefix else text

    # The answer.

    def framing(self) -> Framing:
        return AwsEvents()

    def answered(self, headers: Mapping[str, str]) -> None:
        super().answered(headers)
        execution = headers.get(_HEADER, "")
        if _EXECUTION.fullmatch(execution):
            self._execution = execution
            self.headers = dict.fromkeys(HEARS, self._client_session or execution)

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        read = self._ON.get(name)
        if read is not None:
            if not self._opened:
                self._opened = True
                emit(Opened(conversation=self._execution))
            read(self, wirejson.loads(payload), emit)
        elif name.startswith(EXCEPTION):
            self._give_up(exception(name, payload), emit)
        elif name.startswith(ERROR):
            self._give_up(unmodelled(name, payload), emit)

    def _output(self, event: Mapping[str, Any], emit: Emit) -> None:
        document = event["content"]["document"]
        text = document if isinstance(document, str) else wirejson.dumps(document).decode()
        if text:
            self._say(f"{_BETWEEN}{text}" if self._spoke else text, emit)

    def _input_request(self, event: Mapping[str, Any], emit: Emit) -> None:
        node = event.get("nodeName")
        self._asked_by = node if isinstance(node, str) else ""
        self._output(event, emit)

    def _completion(self, event: Mapping[str, Any], emit: Emit) -> None:
        reason = event["completionReason"]
        platform = {"completion_reason": reason, "execution_id": self._execution, "node": self._asked_by}
        if reason == "INPUT_REQUIRED":
            self._waits = Waiting.read({"execution": self._execution, "node": self._asked_by})
        self._complete("stop", None, {name: value for name, value in platform.items() if value}, emit)

    def _trace(self, event: Mapping[str, Any], emit: Emit) -> None:
        """What a node did, in a few words. What an agent among them thought is told as everywhere."""
        for kind, step in _members(event.get("trace")).items():
            tell = _STEPS.get(kind)
            if tell is not None:
                emit(tell(_members(step)))
            elif kind == "nodeDependencyTrace":
                self._agent_traces(
                    _list(_members(_members(step).get("traceElements")).get("agentTraces")), emit
                )

    def _agent_traces(self, traces: list[Any], emit: Emit) -> None:
        steps = self._steps = self._steps or Steps(self.settings.reasoning, self.settings.custom_traces)
        steps.thinks = steps.thinks and not self._spoke  # thoughts come before an answer, not within it
        for trace in traces:
            steps.read(_members(trace), emit)

    _ON: ClassVar[dict[bytes, Read]] = {
        b"flowOutputEvent": _output,
        b"flowMultiTurnInputRequestEvent": _input_request,
        b"flowCompletionEvent": _completion,
        b"flowTraceEvent": _trace,
    }

    # After it.

    def _kept(self) -> Plan[None]:
        if self._waits is None:
            return
        seconds, waits = self._seconds, self._waits.document()
        yield Remember(self._named(self._client_session or self._execution), waits, seconds)
        if key := self._after():
            yield Remember(key, waits, seconds)

    def _may_come_back(self, error: GatewayError | None) -> bool:
        """An execution that has failed does not wait any more."""
        return isinstance(error, (RateLimited, UpstreamOverloaded, Conflict))


def _given(own: Mapping[str, Any], input_node: str) -> Waiting | None:
    """The execution that a client wants to go on with, where it says so itself."""
    for name, pattern in (("executionId", _EXECUTION), ("nodeName", _NODE)):
        value = own.get(name)
        if name in own and not (isinstance(value, str) and pattern.fullmatch(value)):
            raise BadRequest(
                f"Invalid 'bedrock.{name}': expected what the last answer told.",
                param=f"bedrock.{name}",
                code="invalid_value",
            )
    if ("executionId" in own) != ("nodeName" in own):
        raise BadRequest(
            "'bedrock.executionId' and 'bedrock.nodeName' belong together: the node is the one that asked.",
            param="bedrock",
            code="invalid_value",
        )
    return Waiting(own["executionId"], own["nodeName"]) if "executionId" in own else None


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _word(value: Any) -> str:
    return value[:_LONGEST_TRACE] if isinstance(value, str) else ""


def _entered(step: Mapping[str, Any]) -> Activity:
    return Activity("node", name=_word(step.get("nodeName")), state="started")


def _left(step: Mapping[str, Any]) -> Activity:
    return Activity("node", name=_word(step.get("nodeName")), state="finished")


def _decided(step: Mapping[str, Any]) -> Activity:
    names = (_word(_members(one).get("conditionName")) for one in _list(step.get("satisfiedConditions")))
    return Activity("condition", name=_word(step.get("nodeName")), output=", ".join(filter(None, names)))


def _acted(step: Mapping[str, Any]) -> Activity:
    done = ".".join(filter(None, (_word(step.get(name)) for name in ("serviceName", "operationName"))))
    return Activity("action", name=_word(step.get("nodeName")), input=done)


_STEPS: dict[str, Callable[[Mapping[str, Any]], Activity]] = {
    "nodeInputTrace": _entered,
    "nodeOutputTrace": _left,
    "conditionNodeResultTrace": _decided,
    "nodeActionTrace": _acted,
}
