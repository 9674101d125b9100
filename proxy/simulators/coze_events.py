"""What a bot sends in one turn of a chat: named events with documents, in the order of the real thing.

A ``Turn`` is an iterator, and running it is what happens on the platform: each step changes the chat and its
conversation and then says so. Who streams reads the events; who polls runs the turn when its time has come and
throws the events away, so both see the same chat. A cancelled chat stays cancelled, and its turn goes on.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any, TypeAlias

from attrs import define, frozen

from proxy.simulators.coze_knobs import Ask, Break, DoneForm, Knobs, Question
from proxy.simulators.coze_objects import DEBUG_URL, Document, document
from proxy.simulators.coze_state import Chat, Message, World
from translators import wirejson
from translators.generator import answer


@frozen
class Event:
    """``data`` is a document, or text as it is; None is an event without any data line."""

    name: str
    data: Document | str | None = None


@frozen
class Line:
    """Bytes among the events that are none."""

    text: bytes


@frozen
class Drop:
    """The connection ends here."""


@frozen
class End:
    """The body ends here."""


Step: TypeAlias = Event | Line | Drop | End
Steps: TypeAlias = Iterator[Step]

_STUDIO_DONE = "conversation.stream.done"
_DONES: Mapping[DoneForm, str | None] = {
    "quoted": '"[DONE]"',
    "bare": "[DONE]",
    "empty": "",
    "no_data": None,
}
_SOUND = base64.b64encode(bytes(range(0, 240, 5)) * 20).decode()


def _text(document: Any) -> str:
    return wirejson.dumps(document).decode()


# What stands beside the answers.


def _marker(kind: str, data: Any) -> str:
    return _text({"msg_type": kind, "data": data, "from_module": None, "from_unit": None})


def finish_marker(reason: int = 0) -> str:
    return _marker("generate_answer_finish", _text({"finish_reason": reason, "FinData": ""}))


_CALL = _text(
    {
        "name": "almanac-search",
        "arguments": {"query": "birds & bees"},
        "plugin_id": 7_400_000_000_000_000_001,
        "api_id": 7_400_000_000_000_000_002,
        "plugin_type": 1,
    }
)
_NOISE: Mapping[str, tuple[str, str]] = {
    "knowledge": (
        "knowledge",
        _text({"msg_type": "knowledge_recall", "data": _text({"chunks": [{"slice": "An old page."}]})}),
    ),
    "function_call": ("function_call", _CALL),
    "broken_call": ("function_call", _CALL[: len(_CALL) // 2]),
    "tool_output": ("tool_output", "two pages found"),
    "tool_response": (
        "tool_response",
        _text({"pages": [{"title": "A page", "url": "https://example.org/"}]}),
    ),
    "verbose": ("verbose", _marker("empty result", "")),
    "unknown_type": ("ack", "heard"),
}
"""Completed messages: their type and their content."""
_STRANGE: Mapping[str, Event] = {
    "unknown_event": Event("conversation.foo.bar", {"content": "not for the user", "n": 1}),
    "ping": Event("ping", {}),
}


# The turn.


@define(eq=False)
class Turn:
    world: World
    chat: Chat
    opening: bool = True
    """It begins with created and in_progress."""

    @property
    def _knobs(self) -> Knobs:
        return self.chat.knobs

    @property
    def _studio(self) -> bool:
        return self.world.platform.studio

    def steps(self) -> Steps:
        """The events, gone wrong where the knobs say so."""
        events = self._events()
        if (fault := self._knobs.fault) is None:
            return events
        return chain(islice(events, fault.after), _BREAKS[fault.how](self, fault, events))

    def _events(self) -> Iterator[Event]:
        if self.opening:
            yield self._chat_event("created")
        self._becomes("in_progress")
        if self.opening:
            yield self._chat_event("in_progress")
        yield from self._noise()
        rounds = self._knobs.rounds[self.chat.round :]
        if rounds:
            self.chat.round += 1
            yield from self._asking(rounds[0])
        else:
            yield from self._answering()
        yield from self.done()

    def _noise(self) -> Iterator[Event]:
        for name in self._knobs.noise:
            if (strange := _STRANGE.get(name)) is not None:
                yield strange
            else:
                kind, content = _NOISE[name]
                yield self._completed(self._message(kind, content))

    def _asking(self, wanted: tuple[Ask, ...] | Question) -> Iterator[Event]:
        if isinstance(wanted, Question):
            self.chat.conversation.asked = self.chat.round
            yield from self._say([wanted.text], "text")
            yield self._completed(self._message("verbose", _marker("interrupt", "")))
            yield self._completed(self._message("verbose", finish_marker(1)))
            calls: list[Document] = [{"id": self._call_id(), "type": "reply_message", "function": None}]
        else:
            calls = [
                {
                    "id": self._call_id(),
                    "type": "function",
                    "function": {"name": ask.name, "arguments": ask.arguments},
                }
                for ask in wanted
            ]
            self.chat.calls = {call["id"]: call for call in calls}
        self.chat.action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        self._ends("requires_action")
        yield self._chat_event("requires_action")

    def _answering(self) -> Iterator[Event]:
        replies, thoughts = self._words()
        content_type = "card" if self._knobs.card else "text"
        answers = [
            self._say(pieces, content_type, thoughts if place == 0 else (), self._instead(place))
            for place, pieces in enumerate(replies)
        ]
        yield from _in_turn(answers) if self._knobs.interleaved else chain.from_iterable(answers)
        if self._knobs.verbose:
            yield self._completed(self._message("verbose", finish_marker()))
        for question in self._knobs.follow_ups:
            yield self._completed(self._message("follow_up", question))
        yield from self._ending()
        for _ in range(self._knobs.audio or 2 * self.chat.sound):
            sound = self._message("answer", _SOUND, "audio", kept=False)
            yield Event("conversation.audio.delta", self._document(sound))

    def _ending(self) -> Iterator[Event]:
        self.chat.conversation.asked = 0
        if self._knobs.end == "completed":
            self._ends("completed")
            yield self._chat_event("completed", self._knobs.status)
        elif self._knobs.end == "none":
            self._ends("completed")
        else:
            status = "canceled" if self._knobs.end == "cancelled" else "expired"
            self._ends(status)
            yield self._chat_event(self._knobs.end, status)

    def done(self) -> Iterator[Event]:
        form = self._knobs.done or ("debug_url" if self.chat.flow else "quoted")
        if form == "missing":
            return
        if self._studio and not self.chat.flow:
            yield Event(_STUDIO_DONE, "")
        elif form == "debug_url":
            yield Event("done", {"debug_url": DEBUG_URL.format(id=self.chat.id)})
        else:
            yield Event("done", _DONES[form])

    # Words.

    def _words(self) -> tuple[list[Sequence[str]], Sequence[str]]:
        """The pieces of every answer, and the thoughts before the first."""
        knobs = self._knobs
        effort = "low" if knobs.reasoning is True else "none"
        asked = {"messages": self.chat.context, "n": knobs.answers, "reasoning_effort": effort}
        generated = answer(asked)
        counts = generated.usage
        self.chat.usage = (counts["prompt_tokens"], counts["completion_tokens"])
        choices = [choice.content or choice.refusal for choice in generated.choices]
        thoughts = generated.choices[0].reasoning if isinstance(knobs.reasoning, bool) else knobs.reasoning
        replies: list[Sequence[str]] = [*(knobs.said or choices)]
        if knobs.card:
            replies = [[_text({"card": {"text": "".join(pieces)}})] for pieces in replies]
        return replies, thoughts

    def _say(
        self,
        pieces: Sequence[str],
        content_type: str,
        thoughts: Sequence[str] = (),
        instead: str | None = None,
    ) -> Iterator[Event]:
        """One answer: its pieces, and then all of it again."""
        message = self._message("answer", "", content_type, kept=False)
        said = self._document(message)
        if not (self._knobs.whole or content_type == "card"):
            for thought in thoughts:
                yield Event("conversation.message.delta", {**said, "reasoning_content": thought})
            for piece in pieces:
                yield Event("conversation.message.delta", {**said, "content": piece})
        message.content = "".join(pieces) if instead is None else instead
        message.reasoning_content = "".join(thoughts)
        self._keep(message)
        yield self._completed(message)
        if self._knobs.completed_twice:
            yield self._completed(message)

    def _instead(self, place: int) -> str | None:
        return self._knobs.completed[place] if place < len(self._knobs.completed) else None

    # Documents.

    def _message(self, kind: str, content: str, content_type: str = "text", *, kept: bool = True) -> Message:
        chat = self.chat
        made = Message(
            self.world.new_id(),
            chat.conversation.id,
            chat.section_id,
            "assistant",
            kind,
            content,
            content_type,
            self.world.now(),
            chat.id,
            chat.bot_id,
        )
        if kept:
            self._keep(made)
        return made

    def _keep(self, message: Message) -> None:
        self.chat.messages.append(message)
        if self.chat.saved:
            self.chat.conversation.add(message)

    def _document(self, message: Message) -> Document:
        return message.document(studio=self._studio)

    def _completed(self, message: Message) -> Event:
        return Event("conversation.message.completed", self._document(message))

    def _chat_event(self, name: str, status: str = "") -> Event:
        found = document(self.chat, studio=self._studio, status=status or name)
        return Event(f"conversation.chat.{name}", found)

    def _call_id(self) -> str:
        """Opaque, and with the characters of base64 that paths and queries do not like."""
        return base64.b64encode(b"\xfb\xff" + self.world.new_id().encode()).decode()

    # The state of the chat.

    def _becomes(self, status: str) -> None:
        if self.chat.status != "canceled":
            self.chat.status = status

    def _ends(self, status: str) -> None:
        self._becomes(status)
        self.chat.ended_at = self.world.now()
        if status != "requires_action":
            self.chat.context = []

    def fail(self, code: int | str, msg: str) -> Document:
        self.chat.code, self.chat.msg = code, msg
        self._ends("failed")
        return document(self.chat, studio=self._studio, status="failed")


def _in_turn(answers: Sequence[Iterator[Event]]) -> Iterator[Event]:
    for events in zip_longest(*answers):
        yield from (event for event in events if event is not None)


# How a turn goes wrong. Every way gets the rest of the events, for where only the stream ends and not the run.


def _error(turn: Turn, fault: Break, rest: Steps) -> Steps:
    turn.fail(fault.code, fault.msg)
    yield Event("error", {"code": fault.code, "msg": fault.msg})
    if not turn.world.platform.studio:
        yield from turn.done()


def _error_empty(turn: Turn, fault: Break, rest: Steps) -> Steps:
    turn.fail(fault.code, fault.msg)
    yield Event("error", {})


def _error_text(turn: Turn, fault: Break, rest: Steps) -> Steps:
    turn.fail(fault.code, fault.msg)
    yield Event("error", fault.msg)


def _failed(turn: Turn, fault: Break, rest: Steps) -> Steps:
    yield Event("conversation.chat.failed", turn.fail(fault.code, fault.msg))
    yield from turn.done()


def _failed_bare(turn: Turn, fault: Break, rest: Steps) -> Steps:
    turn.fail(fault.code, fault.msg)
    yield Event("conversation.chat.failed", {"code": fault.code, "msg": fault.msg})
    yield from turn.done()


def _json(turn: Turn, fault: Break, rest: Steps) -> Steps:
    turn.fail(fault.code, fault.msg)
    yield Line(wirejson.dumps({"code": fault.code, "msg": fault.msg}))


def dropped(turn: object, fault: Break, rest: Steps) -> Steps:
    yield Drop()
    yield from rest


def ended(turn: object, fault: Break, rest: Steps) -> Steps:
    yield End()
    yield from rest


_BREAKS: Mapping[str, Callable[[Turn, Break, Steps], Steps]] = {
    "error": _error,
    "error_empty": _error_empty,
    "error_text": _error_text,
    "failed": _failed,
    "failed_bare": _failed_bare,
    "json": _json,
    "drop": dropped,
    "end": ended,
}
