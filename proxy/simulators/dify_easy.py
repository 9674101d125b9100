"""The apps without a graph: chat and completion, the agent, and the new agent of 1.16.

Chat is text and an end. An agent goes round: an empty thought announces itself, text streams, the same thought
comes again with that text and a tool, and once more with what the tool said. The new agent ends by repeating its
whole answer in one ``message``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from proxy.simulators.dify_turn import Broken, Event, Turn
from translators import prose

_PREFACE = "Let me look that up. "


@frozen
class Easy:
    """What all of them share: how they end, well or not."""

    turn: Turn

    def events(self) -> Iterator[Event]:
        turn = self.turn
        try:
            if turn.knobs.annotation:
                yield from self._annotated()
            else:
                yield from self._answer()
        except Broken as broken:
            yield turn.wrong(broken.failure.code, broken.failure.status, broken.failure.message)
            return
        if turn.knobs.moderation:
            yield turn.replaced("")
        yield turn.ended()
        yield from turn.speech()

    def stopped(self, foreign: bool) -> Iterator[Event]:
        yield self.turn.ended()

    def _annotated(self) -> Iterator[Event]:
        for character in self.turn.knobs.annotation:
            yield self.turn.message(character)
            self.turn.said.append(character)

    def _answer(self) -> Iterator[Event]:
        turn = self.turn
        name = "message_file" if turn.version.mislabels and turn.files else "message"
        for place, piece in enumerate(turn.words()):
            if turn.knobs.noise and place == 1:
                yield turn.message("", name=name)
                yield turn.told("brand_new", answer="not for you", chunk_type="text")
            yield turn.message(piece, name=name)


@frozen
class Agent(Easy):
    """Rounds with a tool, then one without."""

    def _answer(self) -> Iterator[Event]:
        turn = self.turn
        for position in range(1, turn.knobs.tools + 1):
            yield from self._round(position)
        yield self._thought(position := turn.knobs.tools + 1)
        if turn.knobs.react:
            whole = "".join(turn.words())
            yield self._thought(position, thought=whole)
            yield self._said("")
            yield self._said(whole)
            return
        start = len(turn.said)
        for piece in turn.words():
            yield self._said(piece)
        yield self._thought(position, thought="".join(turn.said[start:]))

    def _round(self, position: int) -> Iterator[Event]:
        turn = self.turn
        yield self._thought(position)
        if not turn.knobs.react:
            for piece in prose.pieces(_PREFACE):
                yield self._said(piece)
                turn.said.append(piece)
        tool = {
            "thought": _PREFACE,
            "tool": "search",
            "tool_labels": {"search": {"en_US": "Search", "zh_Hans": "搜索"}},
            "tool_input": json.dumps({"search": {"q": prose.quoted(turn.question)}}, ensure_ascii=False),
        }
        yield self._thought(position, **tool)
        shown = []
        if position == 1:
            for one in turn.answer_files():
                shown.append(one["related_id"])
                file = {
                    "id": one["related_id"],
                    "type": one["type"],
                    "belongs_to": "assistant",
                    "url": one["url"],
                }
                yield turn.told("message_file", **file)
        found = json.dumps({"search": f"{position} result"})
        yield self._thought(position, **tool, observation=found, message_files=shown)

    def _said(self, piece: str) -> Event:
        return self.turn.told("agent_message", id=self.turn.message_id, answer=piece)

    def _thought(self, position: int, **fields: Any) -> Event:
        turn = self.turn
        known = turn.agent_thoughts
        number = f"{position}"
        if number not in known:
            known[number] = {
                "id": turn.new_id(),
                "position": position,
                "thought": "",
                "observation": "",
                "tool": "",
                "tool_labels": {},
                "tool_input": "",
                "message_files": [],
            }
        known[number] |= fields
        return turn.told("agent_thought", **known[number])


@frozen
class NewAgent(Agent):
    """As the agent, and the whole answer again before the end."""

    def _answer(self) -> Iterator[Event]:
        yield from super()._answer()
        yield self.turn.message(self.turn.answer)
