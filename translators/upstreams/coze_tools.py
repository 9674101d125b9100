"""Tool results on their way back to the run that waits for them.

A request that ends with tool messages goes on with a run if their ids were made here: they say which one. All
results of a round are needed at once, because Coze goes on with what it gets. Ids that were made elsewhere are
history, and so is the whole round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from attrs import frozen

from translators.errors import BadRequest
from translators.upstreams.coze_ids import ToolCallId
from translators.upstreams.coze_parts import words_of


@frozen
class ToolOutputs:
    """What one run waits for."""

    conversation_id: str
    chat_id: str
    outputs: tuple[tuple[str, str], ...]
    """Coze's id of a call, and what came of it."""

    @property
    def path(self) -> str:
        query = f"conversation_id={self.conversation_id}&chat_id={self.chat_id}"
        return f"v3/chat/submit_tool_outputs?{query}"

    def document(self, stream: bool) -> dict[str, Any]:
        outputs = [{"tool_call_id": id, "output": output} for id, output in self.outputs]
        return {"tool_outputs": outputs, "stream": stream}


def tool_outputs(messages: Sequence[Mapping[str, Any]]) -> ToolOutputs | None:
    """The results that the request ends with, or None if it does not go on with a run."""
    results = list(takewhile(lambda message: message["role"] == "tool", reversed(messages)))[::-1]
    ids = [ToolCallId.decode(message["tool_call_id"]) for message in results]
    known = [id for id in ids if id is not None]
    if not known:
        return None
    runs = {(id.conversation_id, id.chat_id) for id in known}
    if len(known) < len(ids) or len(runs) > 1:
        raise BadRequest("The tool messages at the end must all belong to one run.", param="messages")
    outputs = {
        id.tool_call_id: words_of(message.get("content")) for id, message in zip(known, results, strict=True)
    }
    before = messages[-len(results) - 1] if len(messages) > len(results) else {}
    for call in before.get("tool_calls") or ():
        asked = ToolCallId.decode(call["id"])
        if asked is not None and asked.tool_call_id not in outputs:
            raise BadRequest(
                f"The tool call {call['id'][:200]} of the last round has no tool message.", param="messages"
            )
    [(conversation_id, chat_id)] = runs
    return ToolOutputs(conversation_id, chat_id, tuple(outputs.items()))
