"""Nodes of a graph as events tell them: started, retried, finished, and the rounds of loops and iterations.

Every event of a graph carries its story in ``data``. A node has one id for its place in the graph (``node_id``) and
one for this execution (``id``); times are fixed, because a stand-in that says the same twice is easier to test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from proxy.simulators.dify_turn import Event, Turn

_ELAPSED = 0.25
_BRANCH_KEYS = (
    "parallel_id",
    "parallel_start_node_id",
    "parent_parallel_id",
    "parent_parallel_start_node_id",
    "parallel_run_id",
    "parallel_mode_run_id",
)


@frozen
class Node:
    """One node in one run."""

    turn: Turn
    node_id: str
    node_type: str
    title: str
    index: int
    id: str

    def event(self, name: str, data: dict[str, Any]) -> Event:
        return graph_event(self.turn, name, data)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "node_id": self.node_id,
            "node_type": self.node_type,
            "title": self.title,
            "index": self.index,
            "predecessor_node_id": None,
        }

    def _tail(self) -> dict[str, Any]:
        tail: dict[str, Any] = {"created_at": self.turn.created_at, "extras": {}}
        if self.turn.version.parallel_keys:
            tail |= dict.fromkeys(_BRANCH_KEYS)
        return {**tail, "iteration_id": None, "loop_id": None}

    def started(self) -> Event:
        told = {
            **self._head(),
            "inputs": None,
            "inputs_truncated": False,
            **self._tail(),
            "agent_strategy": None,
        }
        return self.event("node_started", told)

    def finished(
        self,
        outputs: dict[str, Any] | None,
        *,
        status: str = "succeeded",
        error: str | None = None,
        inputs: dict[str, Any] | None = None,
        process_data: dict[str, Any] | None = None,
        tokens: int | None = None,
    ) -> Event:
        return self.event(
            "node_finished", self._outcome(outputs, status, error, inputs, process_data, tokens)
        )

    def retried(self, number: int, error: str) -> Event:
        told = self._outcome({}, "retry", error, {}, {}, None)
        return self.event("node_retry", {**told, "retry_index": number})

    def _outcome(
        self,
        outputs: dict[str, Any] | None,
        status: str,
        error: str | None,
        inputs: dict[str, Any] | None,
        process_data: dict[str, Any] | None,
        tokens: int | None,
    ) -> dict[str, Any]:
        metadata = None
        if tokens is not None:
            metadata = {"total_tokens": tokens, "total_price": f"{tokens / 10_000:.7f}", "currency": "USD"}
        return {
            **self._head(),
            "inputs": inputs,
            "inputs_truncated": False,
            "process_data": process_data,
            "process_data_truncated": False,
            "outputs": outputs,
            "outputs_truncated": False,
            "status": status,
            "error": error,
            "elapsed_time": _ELAPSED,
            "execution_metadata": metadata,
            **self._tail(),
            "finished_at": self.turn.created_at,
            "files": [],
        }


def graph_event(turn: Turn, name: str, data: dict[str, Any]) -> Event:
    if turn.app.mode == "workflow":
        return turn.told(name, data=data)
    return turn.told(name, workflow_run_id=turn.run_id, data=data)


def rounds(turn: Turn, kind: str, index: int) -> Iterator[Event]:
    """An iteration or a loop of two rounds; such nodes do not start and finish like others."""
    head = {
        "id": turn.new_id(),
        "node_id": f"{kind}1",
        "node_type": kind,
        "title": kind.capitalize(),
        "created_at": turn.created_at,
        "extras": {},
    }
    yield graph_event(turn, f"{kind}_started", {**head, "metadata": {}, "inputs": {}})
    for number in (1, 2):
        before = {"pre_loop_output": {"round": number - 1}} if kind == "loop" else {}
        yield graph_event(turn, f"{kind}_next", {**head, "index": number, **before})
    told = {
        "outputs": {"output": ["a", "b"]},
        "inputs": {},
        "status": "succeeded",
        "error": None,
        "elapsed_time": _ELAPSED,
        "total_tokens": 0,
        "execution_metadata": {},
        "finished_at": turn.created_at,
        "steps": 2,
    }
    yield graph_event(turn, f"{kind}_completed", {**head, **told})


def branches(turn: Turn) -> Iterator[Event]:
    """Two branches that started together, as versions before 1.9 tell it."""
    for number in (1, 2):
        told = {
            "parallel_id": "p1",
            "parallel_branch_id": f"b{number}",
            "parent_parallel_id": None,
            "parent_parallel_start_node_id": None,
            "iteration_id": None,
            "created_at": turn.created_at,
        }
        yield graph_event(turn, "parallel_branch_started", told)
        yield graph_event(turn, "parallel_branch_finished", {**told, "status": "succeeded", "error": None})


def agent_log(turn: Turn) -> Event:
    """A chatflow tells it without the id of the run."""
    data = {
        "node_execution_id": turn.new_id(),
        "id": turn.new_id(),
        "label": "ROUND 1",
        "parent_id": None,
        "error": None,
        "status": "success",
        "data": {"answer": "not for you"},
        "metadata": {},
        "node_id": "agent1",
    }
    return turn.told("agent_log", data=data)
