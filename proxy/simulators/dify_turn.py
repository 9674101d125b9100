"""One run of an app: who asked what, the words of the answer, and the documents every script tells them with.

A ``Turn`` is the same for all modes; dify_easy.py and dify_graph.py put its words into events. The order of the
members of an event is the platform's, ``event`` first: clients look at the beginning of a line to choose a road.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from attrs import Factory, define

from proxy.simulators.dify_apps import App, Knobs, RunFailure
from proxy.simulators.dify_files import described
from proxy.simulators.dify_store import Message
from proxy.simulators.dify_versions import GRAPHS, Version
from translators import prose
from translators.generator import answer

Event: TypeAlias = dict[str, Any]

_CHARACTER_PACE = 0.01  # seconds for each character of an annotation
_HISTORY = 20


class Broken(Exception):
    """The run goes wrong here."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Script(Protocol):
    """What a mode does with a turn."""

    def events(self) -> Iterator[Event]:
        """The run as it goes when nobody stops it."""

    def stopped(self, foreign: bool) -> Iterator[Event]:
        """How it ends when somebody does; ``foreign`` when it was not its own user."""


@define(eq=False)
class Turn:
    """One question on its way to an answer."""

    app: App
    knobs: Knobs
    version: Version
    user: str
    task_id: str
    message_id: str
    conversation_id: str
    run_id: str
    workflow_id: str
    created_at: int
    query: str
    inputs: dict[str, Any]
    files: list[dict[str, Any]]
    new_id: Callable[[], str]
    turn_number: int = 1
    thoughts: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    prompt_tokens: int = 0
    said: list[str] = Factory(list)
    """What was told of the answer so far."""
    error: str | None = None
    agent_thoughts: dict[str, dict[str, Any]] = Factory(dict)
    finished: dict[str, Any] | None = None
    """The data of ``workflow_finished``."""

    def think(self, earlier: list[Message]) -> None:
        """Decide everything that will be said."""
        messages: list[dict[str, Any]] = []
        for message in earlier[-_HISTORY:]:
            messages.append({"role": "user", "content": message.query})
            messages.append({"role": "assistant", "content": message.answer})
        parts: list[dict[str, Any]] = [{"type": "text", "text": self.question}]
        seen = {"image": "image_url", "audio": "input_audio"}
        parts += [{"type": seen.get(one["type"], "file")} for one in self.files]
        messages.append({"role": "user", "content": parts})
        effort = "low" if self.knobs.reasoning != "none" else "none"
        reply = answer({"messages": messages, "reasoning_effort": effort})
        self.thoughts = reply.choices[0].reasoning
        self.pieces = reply.choices[0].content or reply.choices[0].refusal
        self.prompt_tokens = reply.usage["prompt_tokens"]

    @property
    def question(self) -> str:
        if self.query:
            return self.query
        return " ".join(value for value in self.inputs.values() if isinstance(value, str))

    @property
    def pace(self) -> float:
        """The least time between two events."""
        slow = bool(self.knobs.annotation) and self.app.mode not in GRAPHS
        return max(self.knobs.delay, _CHARACTER_PACE if slow else 0.0)

    @property
    def answer(self) -> str:
        return "".join(self.said)

    # Words.

    @property
    def separates(self) -> bool:
        graph = self.app.mode in GRAPHS
        return graph and self.knobs.reasoning == "separated" and self.version.reasoning_chunks

    def words(self) -> Iterator[str]:
        """The answer in pieces, reasoning between tags in front.

        A piece counts as said when the next one is asked for: a run that is stopped never told its last one.
        """
        failure = self.knobs.failure
        for place, piece in enumerate(self._pieces()):
            if failure is not None and place == failure.after:
                break
            yield piece
            self.said.append(piece)
        if failure is not None:
            raise Broken(failure)

    def _pieces(self) -> tuple[str, ...]:
        if not self.thoughts or self.separates:
            return self.pieces
        # A model's plugin opens and closes the tags within pieces of text.
        first, *others = self.thoughts
        opening, *rest = self.pieces
        return f"<think>\n{first}", *others, f"\n</think>{opening}", *rest

    # Documents.

    def told(self, event: str, **fields: Any) -> Event:
        """One event of this turn."""
        if self.app.mode == "workflow":
            return {"event": event, "workflow_run_id": self.run_id, "task_id": self.task_id, **fields}
        return {**self._head(event), "task_id": self.task_id, **fields}

    def _head(self, event: str) -> Event:
        head: Event = {"event": event}
        if self.app.mode == "workflow":
            return {**head, "workflow_run_id": self.run_id}
        if self.app.mode != "completion":
            head["conversation_id"] = self.conversation_id
        return {**head, "message_id": self.message_id, "created_at": self.created_at}

    def wrong(self, code: str, status: int, message: str) -> Event:
        self.error = message
        return {**self._head("error"), "code": code, "status": status, "message": message}

    def message(self, answer: str, selector: list[str] | None = None, name: str = "message") -> Event:
        fields: Event = {"id": self.message_id, "answer": answer}
        if self.version.selectors:
            fields["from_variable_selector"] = selector
        return self.told(name, **fields)

    def ended(self) -> Event:
        files = self.answer_files()
        return self.told("message_end", id=self.message_id, metadata=self.metadata(), files=files)

    def replaced(self, reason: str) -> Event:
        self.said[:] = [self.knobs.moderation]
        return self.told("message_replace", answer=self.knobs.moderation, reason=reason)

    def speech(self) -> Iterator[Event]:
        for _ in range(self.knobs.speech):
            yield self.told("tts_message", audio="SUQzBAAAAAAAI1RTU0UAAAA=")
        if self.knobs.speech:
            yield self.told("tts_message_end", audio="")

    def metadata(self) -> dict[str, Any]:
        if self.knobs.usage == "none":
            return {}
        note = None
        if self.knobs.annotation:
            account = {"id": "00000000-0000-4000-8000-00000000c001", "name": "Editor"}
            note = {"id": "00000000-0000-4000-8000-00000000b001", "account": account}
        usage = self.usage() if self.knobs.usage == "full" else None
        return {"annotation_reply": note, "retriever_resources": self.resources(), "usage": usage}

    @property
    def completion_tokens(self) -> int:
        return 0 if self.knobs.annotation else prose.count(self.answer)

    def usage(self) -> dict[str, Any]:
        asked = 0 if self.knobs.annotation else self.prompt_tokens
        told = self.completion_tokens
        usage: dict[str, Any] = {
            "prompt_tokens": asked,
            "prompt_unit_price": "0.1",
            "prompt_price_unit": "0.001",
            "prompt_price": f"{asked / 10_000:.7f}",
            "completion_tokens": told,
            "completion_unit_price": "0.2",
            "completion_price_unit": "0.001",
            "completion_price": f"{told / 5_000:.7f}",
            "total_tokens": asked + told,
            "total_price": f"{asked / 10_000 + told / 5_000:.7f}",
            "currency": "USD",
            "latency": 0.91,
        }
        if self.version.usage_times:
            usage |= {"time_to_first_token": 0.31, "time_to_generate": 0.6}
        return usage

    def resources(self) -> list[dict[str, Any]]:
        return [self._resource(position) for position in range(1, self.knobs.citations + 1)]

    def _resource(self, position: int) -> dict[str, Any]:
        return {
            "position": position,
            "dataset_id": "00000000-0000-4000-8000-00000000d001",
            "dataset_name": "Handbook",
            "document_id": f"00000000-0000-4000-8000-0000000d{position:04d}",
            "document_name": f"chapter-{position}.pdf",
            "data_source_type": "upload_file",
            "segment_id": f"00000000-0000-4000-8000-0000000e{position:04d}",
            "retriever_from": "api",
            "score": round(0.9 - position / 100, 2),
            "hit_count": position,
            "word_count": 120,
            "segment_position": position,
            "index_node_hash": None,
            "content": f"What chapter {position} says.",
            "page": None,
            "doc_metadata": {"url": f"https://handbook.example/{position}"} if position % 2 else None,
            "title": None,
            "files": None,
            "summary": None,
        }

    def answer_files(self) -> list[dict[str, Any]]:
        told = []
        for number in range(1, self.knobs.answer_files + 1):
            url = f"/files/tools/f{number}.png?timestamp=1760000000&nonce=0f&sign=x"
            id = f"00000000-0000-4000-8000-0000000f{number:04d}"
            told.append(described(f"f{number}.png", "image/png", 68, "tool_file", url=url, related_id=id))
        return told
