"""The apps with a graph: the chatflow (start, model, answer) and the workflow (start, model, end).

A chatflow closes with two events whose order is the version's, a workflow with one. Literal text of the answer node
leaves before the start node has finished, as it does on the platform. A failing node fails the run: a chatflow says
so three times, a workflow twice and never in an ``error`` event, unless what failed was outside of the graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from attrs import define, field

from proxy.simulators.dify_nodes import Node, agent_log, branches, graph_event, rounds
from proxy.simulators.dify_turn import Broken, Event, Turn

_MODEL = {"model_mode": "chat", "prompts": [], "model_provider": "stand-in", "model_name": "builtin"}
_STOPPED = "Stopped by user."
_ABORTED = "Aborted: User requested stop"


@define(eq=False)
class Graph(ABC):
    """What chatflow and workflow share: how a run starts, works and is judged."""

    turn: Turn
    _steps: int = field(default=0, init=False)

    # What differs.

    @abstractmethod
    def _text(self, piece: str, selector: list[str]) -> Event: ...

    @abstractmethod
    def _finish(self) -> Iterator[Event]: ...

    @abstractmethod
    def _failed(self, reason: str) -> Iterator[Event]: ...

    @abstractmethod
    def _last_node(self) -> Iterator[Event]: ...

    # The run.

    def events(self) -> Iterator[Event]:
        turn = self.turn
        yield self._started()
        start = self._node("start", "start", "Start")
        yield start.started()
        if turn.app.prefix:
            yield self._text(turn.app.prefix, ["answer", "answer"])
            turn.said.append(turn.app.prefix)
        yield start.finished({"sys.query": turn.query, **turn.inputs}, inputs={"sys.query": turn.query})
        yield from self._detours()
        if turn.knobs.pause and turn.version.pauses:
            yield from self._paused()
            return
        model = self._node("llm", "llm", "LLM")
        yield model.started()
        try:
            yield from self._model(model)
        except Broken as broken:
            yield from self._broken(model, broken)
            return
        yield from self._last_node()
        yield from self._finish()

    def _node(self, node_id: str, node_type: str, title: str) -> Node:
        self._steps += 1
        return Node(self.turn, node_id, node_type, title, self._steps, self.turn.new_id())

    def _started(self) -> Event:
        turn = self.turn
        system = {
            "sys.files": turn.files,
            "sys.user_id": turn.user,
            "sys.app_id": turn.app.id,
            "sys.workflow_id": turn.workflow_id,
            "sys.workflow_run_id": turn.run_id,
        }
        if turn.app.mode != "workflow":
            system |= {"sys.query": turn.query, "sys.conversation_id": turn.conversation_id}
        data: dict[str, Any] = {"id": turn.run_id, "workflow_id": turn.workflow_id}
        if turn.version.sequence_number:
            data["sequence_number"] = turn.turn_number
        data |= {"inputs": {**turn.inputs, **system}, "created_at": turn.created_at}
        if turn.version.start_reason:
            data["reason"] = "initial"
        return graph_event(turn, "workflow_started", data)

    def _detours(self) -> Iterator[Event]:
        """Nodes that have no part in the answer."""
        turn, knobs = self.turn, self.turn.knobs
        if knobs.noise:
            yield from rounds(turn, "iteration", 2)
            yield from rounds(turn, "loop", 3)
            yield agent_log(turn)
            yield turn.told("brand_new", answer="not for you", data={"text": "not for you"})
            if turn.version.branch_events:
                yield from branches(turn)
        for number in range(knobs.exceptions):
            tool = self._node(f"tool{number + 1}", "tool", "Tool")
            yield tool.started()
            yield tool.finished({}, status="exception", error="the tool gave up")
        if knobs.huge_node:
            code = self._node("code", "code", "Code")
            yield code.started()
            yield code.finished({"result": "x" * knobs.huge_node})

    def _model(self, model: Node) -> Iterator[Event]:
        turn = self.turn
        for number in range(1, turn.knobs.retries + 1):
            for piece in turn.pieces[: len(turn.pieces) // 2]:
                yield self._text(piece, ["llm", "text"])
                turn.said.append(piece)
            yield model.retried(number, "the model hung up")
        if turn.separates:
            yield from self._reasoning()
        said_before = len(turn.said)
        for place, piece in enumerate(turn.words()):
            if turn.knobs.noise and place == 1:
                yield self._text("", ["llm", "text"])
            if turn.knobs.outputs is None:
                yield self._text(piece, ["llm", "text"])
        text = "".join(turn.said[said_before:])
        usage = turn.usage()
        outputs = {
            "text": text,
            "reasoning_content": "".join(turn.thoughts) if turn.separates else "",
            "usage": usage,
            "finish_reason": turn.knobs.finish_reason,
        }
        process = {**_MODEL, "usage": usage, "finish_reason": turn.knobs.finish_reason}
        yield model.finished(outputs, inputs={}, process_data=process, tokens=usage["total_tokens"])

    def _reasoning(self) -> Iterator[Event]:
        message_id = None if self.turn.app.mode == "workflow" else self.turn.message_id
        for piece in (*self.turn.thoughts, ""):
            data = {"message_id": message_id, "reasoning": piece, "node_id": "llm", "is_final": not piece}
            yield self.turn.told("reasoning_chunk", data=data)

    def _broken(self, model: Node, broken: Broken) -> Iterator[Event]:
        failure = broken.failure
        if failure.outside:
            yield self.turn.wrong(failure.code, failure.status, failure.message)
            return
        yield model.finished(None, status="failed", error=failure.message, inputs={}, process_data={})
        yield from self._failed(failure.message)

    def _paused(self) -> Iterator[Event]:
        turn = self.turn
        form: dict[str, Any] = {
            "form_id": turn.new_id(),
            "node_id": "human",
            "node_title": "Ask a person",
            "form_content": "Shall I go on?",
            "inputs": [],
            "actions": [
                {"id": "yes", "title": "Go on", "button_style": "primary"},
                {"id": "no", "title": "Stop", "button_style": "default"},
            ],
            "display_in_ui": True,
            "form_token": "token-1",
            "resolved_default_values": {},
            "expiration_time": turn.created_at + 3600,
        }
        yield graph_event(turn, "human_input_required", form)
        data = {
            "workflow_run_id": turn.run_id,
            "paused_nodes": ["human"],
            "outputs": {},
            "reasons": [{"TYPE": "human_input_required", **form}],
            "status": "paused",
            "created_at": turn.created_at,
            "elapsed_time": 0.25,
            "total_tokens": 0,
            "total_steps": self._steps,
        }
        turn.finished = {"id": turn.run_id, "status": "paused", "error": None, **data}
        yield graph_event(turn, "workflow_paused", data)

    def _finished(self, status: str, outputs: dict[str, Any] | None, error: str | None = None) -> Event:
        turn = self.turn
        if status == "succeeded" and turn.knobs.exceptions:
            status = "partial-succeeded"
        if error is None and turn.version.empty_error:
            error = ""
        data: dict[str, Any] = {"id": turn.run_id, "workflow_id": turn.workflow_id}
        if turn.version.sequence_number:
            data["sequence_number"] = turn.turn_number
        turn.finished = {
            **data,
            "status": status,
            "outputs": outputs,
            "error": error,
            "elapsed_time": 1.25,
            "total_tokens": turn.usage()["total_tokens"],
            "total_steps": self._steps,
            "created_by": {"id": "00000000-0000-4000-8000-00000000c002", "user": turn.user},
            "created_at": turn.created_at,
            "finished_at": turn.created_at + 1,
            "exceptions_count": turn.knobs.exceptions,
            "files": turn.answer_files() if status != "failed" else [],
        }
        return graph_event(turn, "workflow_finished", turn.finished)


@define(eq=False)
class Chatflow(Graph):
    def events(self) -> Iterator[Event]:
        turn = self.turn
        if not turn.knobs.annotation:
            yield from super().events()
            return
        # An annotation answers before the graph is asked.
        yield turn.message(turn.knobs.annotation)
        turn.said.append(turn.knobs.annotation)
        yield turn.ended()

    def stopped(self, foreign: bool) -> Iterator[Event]:
        if foreign:
            yield from self._failed(_ABORTED)
        else:
            yield from self._close(self._finished("stopped", {}, _STOPPED))

    def _text(self, piece: str, selector: list[str]) -> Event:
        return self.turn.message(piece, selector)

    def _last_node(self) -> Iterator[Event]:
        last = self._node("answer", "answer", "Answer")
        yield last.started()
        yield last.finished({"answer": self.turn.answer, "files": []})

    def _finish(self) -> Iterator[Event]:
        yield from self._close(self._finished("succeeded", {"answer": self.turn.answer}))
        yield from self.turn.speech()

    def _close(self, finished: Event) -> Iterator[Event]:
        turn = self.turn
        if not turn.version.end_first:
            yield finished
        if turn.knobs.moderation:
            yield turn.replaced("output_moderation")
        yield turn.ended()
        if turn.version.end_first:
            yield finished

    def _failed(self, reason: str) -> Iterator[Event]:
        yield self._finished("failed", {}, reason)
        yield self.turn.wrong("invalid_param", 400, f"Run failed: {reason}")


@define(eq=False)
class Workflow(Graph):
    def stopped(self, foreign: bool) -> Iterator[Event]:
        yield self._finished("stopped", {}, _STOPPED)

    def _text(self, piece: str, selector: list[str]) -> Event:
        data: dict[str, Any] = {"text": piece}
        if self.turn.version.selectors:
            data["from_variable_selector"] = selector
        return self.turn.told("text_chunk", data=data)

    def _last_node(self) -> Iterator[Event]:
        """The model's text streamed as the first output; the others follow, each on a line of its own."""
        turn = self.turn
        last = self._node("end", "end", "End")
        yield last.started()
        if turn.knobs.outputs is None:
            for _ in turn.app.outputs[1:]:
                yield self._text("\n", ["end", "answer"])
                yield self._text(turn.answer, ["llm", "text"])
        yield last.finished(self._outputs())

    def _outputs(self) -> dict[str, Any]:
        if self.turn.knobs.outputs is not None:
            return dict(self.turn.knobs.outputs)
        return dict.fromkeys(self.turn.app.outputs, self.turn.answer)

    def _finish(self) -> Iterator[Event]:
        yield self._finished("succeeded", self._outputs())
        yield from self.turn.speech()

    def _failed(self, reason: str) -> Iterator[Event]:
        yield self._finished("failed", {}, reason)
