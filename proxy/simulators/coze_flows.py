"""What a workflow sends while it runs: messages of its nodes, interrupts, and the end.

Output nodes stream their pieces, the End node says what the workflow returns, and by default that is the text of
the nodes once more, as the real thing does it. An interrupt asks something and ends the stream without any Done;
the run waits for its reply. Like a chat's turn, a flow is an iterator, and running it is what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from attrs import define

from proxy.simulators.coze_events import Event, Line, Steps, dropped, ended
from proxy.simulators.coze_knobs import Break, Interrupt, Node, WorkflowKnobs
from proxy.simulators.coze_objects import DEBUG_URL, USAGES, Document
from proxy.simulators.coze_state import Run, World
from translators import wirejson
from translators.generator import answer

_END = "900001"
_OUTPUT_NODE = "150001"
_QUESTION_NODE = "170001"
_MOST_ATTEMPTS = 3


@define(eq=False)
class Flow:
    world: World
    run: Run

    @property
    def _knobs(self) -> WorkflowKnobs:
        return self.run.knobs

    @property
    def debug_url(self) -> str:
        return DEBUG_URL.format(id=self.run.id)

    def steps(self) -> Steps:
        """The events from here on, gone wrong where the knobs say so."""
        found = self._events()
        if (fault := self._knobs.fault) is None:
            return found
        return chain(islice(found, fault.after), _BREAKS[fault.how](self, fault, found))

    def _events(self) -> Iterator[Event]:
        if self.run.lacks:
            yield self.fail(4000, f"Missing required parameters: {', '.join(self.run.lacks)}")
        elif self.run.attempts >= _MOST_ATTEMPTS:
            yield self.fail(720701013, "The question was not answered.")
        elif self.run.asked < len(self._knobs.interrupts):
            yield from self._with_pings(self._asking(self._knobs.interrupts[self.run.asked]))
        else:
            yield from self._with_pings(self._nodes())
            yield from self._done()

    def _with_pings(self, messages: Iterator[Event]) -> Iterator[Event]:
        for place, message in enumerate(messages):
            if self._knobs.pings and place % self._knobs.pings == 0:
                yield Event("PING", None if place % 2 else {})
            yield message

    def _asking(self, interrupt: Interrupt) -> Iterator[Event]:
        node = Node(interrupt.title, (interrupt.question,), _QUESTION_NODE, "Question")
        yield from self._node(node)
        data: Document = {
            "event_id": f"{self.run.id}/{self.world.new_id()}",
            "type": interrupt.type,
            "data": "",
        }
        if interrupt.required:
            data["required_parameters"] = dict(interrupt.required)
        self.run.waiting = data
        self.run.updated_at = self.world.now()
        yield Event(
            "Interrupt",
            {"interrupt_data": data, "node_title": interrupt.title, "debug_url": self.debug_url},
        )

    def _nodes(self) -> Iterator[Event]:
        said = self._words()
        nodes = self._knobs.nodes
        if nodes is None:
            nodes = (Node("Message", said, _OUTPUT_NODE),)
        text = "".join(chain.from_iterable(node.pieces for node in nodes)) or "".join(said)
        self.run.output = self._output(text)
        if self._knobs.end:
            title = "End" if self._knobs.modern else ""
            nodes = (*nodes, Node(title, (self.run.output,), _END, "End"))
        for node in nodes:
            yield from self._node(node, counted=node is nodes[-1])
        self._ends("Success")

    def _output(self, text: str) -> str:
        outputs = self._knobs.outputs
        if isinstance(outputs, str):
            return outputs
        return wirejson.dumps({"output": text} if outputs is None else dict(outputs)).decode()

    def _words(self) -> tuple[str, ...]:
        generated = answer({"messages": [{"role": "user", "content": "\n".join(self.run.said)}]})
        self.run.usage = (generated.usage["prompt_tokens"], generated.usage["completion_tokens"])
        return generated.choices[0].content or generated.choices[0].refusal

    def _node(self, node: Node, *, counted: bool = False) -> Iterator[Event]:
        uuid = self.world.new_id()
        for place, piece in enumerate(node.pieces):
            final = place == len(node.pieces) - 1
            data: Document = {
                "content": piece,
                "content_type": "text",
                "node_title": node.title,
                "node_seq_id": str(place),
                "node_is_finish": final,
            }
            if self._knobs.modern:
                data |= {
                    "node_id": node.id or _OUTPUT_NODE,
                    "node_type": node.type,
                    "node_execute_uuid": uuid,
                }
            if counted and final:
                data |= self._counts()
            yield Event("Message", data)
        self.run.nodes[uuid] = (node.id or _OUTPUT_NODE, "".join(node.pieces))

    def _counts(self) -> Document:
        return {**counts(self.run), **({} if self._knobs.token is None else {"token": self._knobs.token})}

    def _done(self) -> Iterator[Event]:
        form = self._knobs.done
        if form == "debug_url":
            yield Event("Done", {"debug_url": self.debug_url})
        elif form != "missing":
            yield Event("Done", _DONES.get(form or "", {}))

    # The state of the run.

    def _ends(self, status: str) -> None:
        self.run.status, self.run.updated_at = status, self.world.now()

    def fail(self, code: int | str, msg: str) -> Event:
        self.run.code, self.run.msg = int(code), msg
        self._ends("Fail")
        return Event("Error", {"error_code": int(code), "error_message": msg, "debug_url": self.debug_url})


_DONES: Mapping[str, Document | str | None] = {"empty": "", "no_data": None}


def counts(run: Run) -> dict[str, Any]:
    """``usage`` of a finished run, in the form that the knobs ask for."""
    given, said = run.usage
    return {name: of(given + said, given, said) for name, of in USAGES[run.knobs.usage].items()}


# How a flow goes wrong.


def _failed(flow: Flow, fault: Break, rest: Steps) -> Steps:
    yield flow.fail(fault.code, fault.msg)


def _failed_bare(flow: Flow, fault: Break, rest: Steps) -> Steps:
    flow.fail(fault.code, fault.msg)
    yield Event("Error", {})


def _error(flow: Flow, fault: Break, rest: Steps) -> Steps:
    flow.fail(fault.code, fault.msg)
    yield Event("error", fault.msg)


def _json(flow: Flow, fault: Break, rest: Steps) -> Steps:
    flow.fail(fault.code, fault.msg)
    yield Line(wirejson.dumps({"code": fault.code, "msg": fault.msg}))


_BREAKS: Mapping[str, Callable[[Flow, Break, Steps], Steps]] = {
    "error": _error,
    "error_empty": _error,
    "error_text": _error,
    "failed": _failed,
    "failed_bare": _failed_bare,
    "json": _json,
    "drop": dropped,
    "end": ended,
}
