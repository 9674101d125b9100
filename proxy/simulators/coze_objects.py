"""The Chat object of the Coze wire, and the shapes that its counts come in.

Old and new recordings, vendor examples and Studio disagree about ``usage`` and about what is there when nothing is
to be said; which of them a bot follows is in its knobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from proxy.simulators.coze_state import Chat

Document: TypeAlias = dict[str, Any]

DEBUG_URL = "https://www.coze.com/work_flow?execute_id={id}"


def document(chat: Chat, *, studio: bool, status: str = "") -> Document:
    """The Chat object; what an event says of the status need not be what the platform knows by now."""
    status = status or chat.status
    found: Document = {"id": chat.id, "conversation_id": chat.conversation.id}
    if chat.bot_id:
        found["bot_id"] = chat.bot_id
    found["created_at"] = chat.created_at
    if status not in ("created", "in_progress"):
        found["failed_at" if status == "failed" else "completed_at"] = chat.ended_at
    found |= {"last_error": {"code": chat.code, "msg": chat.msg}, "status": status}
    if status == "requires_action":
        found["required_action"] = chat.action
    elif chat.knobs.empty_action:
        found["required_action"] = {"type": "", "submit_tool_outputs": {"tool_calls": []}}
    found |= _usage(chat, studio and chat.flow, over="completed_at" in found)
    found["section_id"] = chat.section_id
    if chat.meta_data:
        found["meta_data"] = chat.meta_data
    if chat.knobs.inserted:
        found["inserted_additional_messages"] = [{"id": message_id} for message_id in chat.inserted]
    if studio and chat.flow:
        found["execute_id"] = chat.id
    return found


def _usage(chat: Chat, counts_twice: bool, *, over: bool) -> Document:
    given, said = chat.usage if over else (0, 0)
    total = given + said * (2 if counts_twice else 1)
    form = chat.knobs.usage if over else "full"
    return {name: value(total, given, said) for name, value in USAGES[form].items()}


def counts(total: int, given: int, said: int) -> Document:
    return {"token_count": total, "output_count": said, "input_count": given}


USAGES: Mapping[str, Mapping[str, Callable[[int, int, int], Document | None]]] = {
    "full": {"usage": counts},
    "null": {"usage": lambda total, given, said: None},
    "missing": {},
    "zeros": {"usage": lambda total, given, said: counts(0, 0, 0)},
    "other_names": {
        "usage": lambda total, given, said: {
            "token_count": total,
            "input_tokens": given,
            "output_tokens": said,
        }
    },
    "total_only": {"usage": lambda total, given, said: {"token_count": total}},
}
