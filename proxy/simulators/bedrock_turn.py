"""One turn of an agent: what it does about a question, told as steps in the order of the service.

Running the steps is what happens: each changes the session and then says so. Where the final answer is streamed,
its chunks come while the model writes, so the traces with the usage of that call and with the final response follow
the last chunk; else they precede the only one. The words are the generator's.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from attrs import define

from proxy.simulators import bedrock_frames as frames
from proxy.simulators.bedrock_actions import Group, Input, Pending, asked_for
from proxy.simulators.bedrock_citations import attribution, references
from proxy.simulators.bedrock_guardrails import assessments, blocks, masked
from proxy.simulators.bedrock_knobs import Agent, Event, Raw, Step
from proxy.simulators.bedrock_sessions import Session
from proxy.simulators.bedrock_traces import Traces
from proxy.simulators.bedrock_world import World
from translators import prose
from translators.generator import answer

_INTERVAL = 50
"""Characters of a chunk that a guardrail looks at, where nobody says how many."""


def chunk(text: str | bytes, **more: Any) -> Event:
    data = text.encode() if isinstance(text, str) else text
    return Event("chunk", {"bytes": base64.b64encode(data).decode(), **more})


@define(eq=False)
class Turn:
    world: World
    agent: Agent
    groups: tuple[Group, ...]
    session: Session
    traces: Traces
    body: Mapping[str, Any]
    """The request, without nulls."""
    state: Mapping[str, Any]
    """Its session state."""
    results: list[str] | None = None
    """What tools gave, where this turn answers with that."""
    usage: tuple[int, int] = (0, 0)

    @property
    def streamed(self) -> bool:
        wanted = self.body.get("streamingConfigurations", {}).get("streamFinalResponse", False)
        return bool(wanted) and not (self.agent.degrades or self.agent.preprocessing)

    @property
    def question(self) -> str:
        return str(self.body.get("inputText", ""))

    def steps(self) -> Iterator[Step]:
        steps = self._ending() if self._ends else self._turn()
        return (
            step for step in steps if self.traced or not (isinstance(step, Event) and step.type == "trace")
        )

    @property
    def traced(self) -> bool:
        return bool(self.body.get("enableTrace", False))

    @property
    def _ends(self) -> bool:
        if not self.body.get("endSession"):
            return False
        return not (self.world.knobs.ends_after_answer and (self.question or self.results))

    def _ending(self) -> Iterator[Step]:
        """The end of a session: its question is not heard any more."""
        self.session.ended = True
        if self.world.knobs.farewell:
            yield chunk(self.world.knobs.farewell)

    def _turn(self) -> Iterator[Step]:
        context = self._context()
        self.traces.step()
        if self.agent.noise:
            yield from _noise()
        if (yield from self._guarded("input", self.question)):
            return
        prompt = "\n\n".join(prose.words_of(message.get("content")) for message in context)
        thought = f"The user wants to know about “{prose.quoted(self.question or 'the result')}”."
        if self.agent.preprocessing:
            counts = self._count(prompt, thought)
            yield from self.traces.preprocessing(prompt, counts, thought)
            self.traces.step()
        if self.agent.custom_trace:
            yield self.traces.custom(self.agent.custom_trace)
        if self.agent.fails is not None:
            yield self.traces.asked(prompt)
            yield self.traces.failed(*self.agent.fails)
            return
        if calls := self._calls():
            yield self.traces.asked(prompt)
            yield from self._return_control(calls, prompt, thought)
            return
        yield from self._help(prompt, thought)
        yield from self._look_up(prompt, thought)
        yield self.traces.asked(prompt)
        yield from self._answer(context, prompt, thought)

    # What is heard.

    def _context(self) -> list[dict[str, Any]]:
        """The conversation as the model sees it, this turn's part kept in the session."""
        session = self.session
        session.turns += 1
        history = self.state.get("conversationHistory", {}).get("messages", [])
        session.say(*({"role": one["role"], "content": _text_of(one["content"])} for one in history))
        session.attributes.update(self.state.get("sessionAttributes", {}))
        if self.results is None:
            session.say({"role": "user", "content": self._parts()})
        else:
            session.say(*({"role": "tool", "content": result} for result in self.results))
        attributes = self.state.get("promptSessionAttributes", {}) if self.agent.placeholder else {}
        system = [{"role": "system", "content": text} for text in attributes.values()]
        return [*system, *session.messages]

    def _parts(self) -> str | list[dict[str, Any]]:
        files = self.state.get("files", [])
        if not files:
            return self.question
        seen = [{"type": "image_url" if _is_picture(file) else "file"} for file in files]
        return [{"type": "text", "text": self.question}, *seen]

    def _calls(self) -> list[Input]:
        if self.results is not None:
            return []
        question = self.question
        calls = [Input(group, action, question) for group, action in asked_for(self.groups, question)]
        if not calls and (helper := self.agent.collaborator) is not None:
            named = asked_for(helper.groups, question)
            calls = [Input(group, action, question, helper.agent_id, helper.name) for group, action in named]
        return calls

    # What is done.

    def _return_control(self, calls: list[Input], prompt: str, thought: str) -> Iterator[Step]:
        traces = self._helper() if calls[0].agent_id else self.traces
        yield from traces.answered(thought, self._count(prompt, thought), thought)
        yield from traces.thought(thought)
        invocation = self.world.new_id()
        for call in calls:
            told = {**call.traced, "invocationId": invocation}
            yield traces.doing("ACTION_GROUP", "actionGroupInvocationInput", told)
        self.session.pending = Pending(invocation, calls)
        inputs = [call.document for call in calls]
        yield Event("returnControl", {"invocationId": invocation, "invocationInputs": inputs})

    def _helper(self) -> Traces:
        helper = self.agent.collaborator
        assert helper is not None
        caller = {"agentAliasArn": self._alias_arn(self.traces.where)}
        where = {"agentId": helper.agent_id, "agentAliasId": helper.alias_id, "callerChain": [caller]}
        return self.traces.of(helper.name, **where)

    def _alias_arn(self, where: Mapping[str, Any]) -> str:
        return self.world.arn(f"agent-alias/{where.get('agentId')}/{where.get('agentAliasId')}")

    def _help(self, prompt: str, thought: str) -> Iterator[Step]:
        """The supervisor asks its collaborator, who has a final response of its own."""
        if self.agent.collaborator is None or self.results is not None:
            return
        traces, helper = self.traces, self._helper()
        named = {
            "agentCollaboratorName": helper.where["collaboratorName"],
            "agentCollaboratorAliasArn": self._alias_arn(helper.where),
        }
        yield traces.asked(prompt)
        yield from traces.answered("I ask a colleague.", self._count(prompt, "I ask a colleague."), thought)
        told = {**named, "input": {"type": "TEXT", "text": self.question}}
        yield traces.doing("AGENT_COLLABORATOR", "agentCollaboratorInvocationInput", told)
        text = f"My part of it is “{prose.quoted(self.question)}”."
        counts = self._count(self.question, text)
        yield helper.asked(self.question)
        yield from helper.answered(text, counts, "I am only a helper.")
        yield from helper.thought("I am only a helper.")
        yield helper.final(text, counts)
        output = {
            **named,
            "output": {"type": "TEXT", "text": text},
            "metadata": traces.metadata(counts, total=True),
        }
        yield traces.saw("AGENT_COLLABORATOR", "agentCollaboratorInvocationOutput", output)
        traces.step()

    def _look_up(self, prompt: str, thought: str) -> Iterator[Step]:
        if not self.agent.citations:
            return
        traces = self.traces
        yield traces.asked(prompt)
        yield from traces.answered("I look it up.", self._count(prompt, "I look it up."), thought)
        yield from traces.thought(thought)
        asked = {"knowledgeBaseId": "STANDINKB1", "text": self.question}
        yield traces.doing("KNOWLEDGE_BASE", "knowledgeBaseLookupInput", asked)
        found = {"retrievedReferences": references(self.agent.citations), "metadata": traces.metadata(None)}
        yield traces.saw("KNOWLEDGE_BASE", "knowledgeBaseLookupOutput", found)
        traces.step()

    # What is said.

    def _answer(self, context: list[dict[str, Any]], prompt: str, thought: str) -> Iterator[Step]:
        choice = answer({"messages": context, "reasoning_effort": "none"}).choices[0]
        text = "".join(choice.content or choice.refusal)
        pieces: Sequence[str | bytes] = choice.content or choice.refusal
        if (said := self.agent.said) is not None:
            pieces, text = said, b"".join(_bytes(piece) for piece in said).decode("utf-8", "replace")
        if (yield from self._guarded("output", text)):
            return
        if (guardrail := self.agent.guardrail) is not None and masked(guardrail, text) != text:
            text = masked(guardrail, text)
            pieces = prose.pieces(text)
        self.session.say({"role": "assistant", "content": text})
        counts = self._count(prompt, text)
        after = [
            *self.traces.answered(text, counts, thought),
            self.traces.final(text, self.usage),
        ]
        yield from self.traces.thought(thought)
        if not self.streamed:
            yield from after
        yield from self._files(first=True)
        if not self.agent.silent:
            yield from self._chunks(pieces, text)
        yield from self._files(first=False)
        if self.streamed:
            yield from after
        if self.body.get("endSession"):
            self.session.ended = True

    def _chunks(self, pieces: Sequence[str | bytes], text: str) -> Iterator[Step]:
        data = [_bytes(piece) for piece in pieces]
        if not self.streamed:
            data = [b"".join(data)]
        elif self.agent.guardrail is not None:
            configured = self.body.get("streamingConfigurations", {}).get("applyGuardrailInterval", _INTERVAL)
            data = list(_in_intervals(data, configured))
        elif size := self.agent.chunk_bytes:
            whole = b"".join(data)
            data = [whole[start : start + size] for start in range(0, len(whole), size)]
        cited = {"attribution": attribution(text, self.agent)} if self.agent.citations else {}
        for place, piece in enumerate(data, 1):
            yield chunk(
                piece, **(cited if place == len(data) else {}), **(_UNHEARD if self.agent.noise else {})
            )
            if self.agent.noise and place == 1:
                yield Event("sparkle", {"bytes": "bm90IGZvciB0aGUgdXNlcg=="})

    def _files(self, *, first: bool) -> Iterator[Step]:
        if self.agent.files and self.agent.files_first is first:
            made = [
                {"name": file.name, "type": file.type, "bytes": base64.b64encode(file.bytes).decode()}
                for file in self.agent.files
            ]
            yield Event("files", {"files": made})

    def _guarded(self, side: str, text: str) -> Generator[Step, None, bool]:
        """What the guardrail says of ``text``, and whether that is the end of the turn."""
        guardrail = self.agent.guardrail
        if guardrail is None:
            return False
        found = assessments(guardrail, text)
        yield self.traces.guarded(side, found)
        if not blocks(guardrail, text):
            return False
        self.session.say({"role": "assistant", "content": guardrail.message})
        yield chunk(guardrail.message)
        return True

    def _count(self, prompt: str, said: str) -> tuple[int, int]:
        """The usage of one call, kept in the sum of the turn."""
        counts = prose.count(prompt), prose.count(said)
        self.usage = self.usage[0] + counts[0], self.usage[1] + counts[1]
        return counts


# Pieces.

_UNHEARD = {"mood": "calm", "parts": [1, {"two": None}]}


def _noise() -> Iterator[Step]:
    """Frames that a client must skip."""
    yield Event("ponder", {"depth": 3})
    yield Raw(frames.message(((":content-type", "application/json"),), b'{"bytes":"bm8="}'))
    yield Raw(frames.message(((":message-type", "weather"), (":event-type", "storm")), b'{"bytes":"bm8="}'))
    yield Event("trace", {"trace": {"dreamTrace": {"text": "not for the user"}}})


def _bytes(piece: str | bytes) -> bytes:
    return piece.encode() if isinstance(piece, str) else piece


def _in_intervals(data: Sequence[bytes], least: int) -> Iterator[bytes]:
    """Chunks of at least so many characters, but the last."""
    held = ""
    for piece in data:
        held += piece.decode("utf-8", "replace")
        if len(held) >= least:
            yield held.encode()
            held = ""
    if held:
        yield held.encode()


def _text_of(content: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(block["text"] for block in content)


def _is_picture(file: Mapping[str, Any]) -> bool:
    source = file["source"]
    if (inside := source.get("byteContent")) is not None:
        return str(inside["mediaType"]).startswith("image/")
    return str(source["s3Location"]["uri"]).lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))
