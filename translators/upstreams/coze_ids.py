"""Coze's ids: 64-bit numbers in decimal, carried as text and never read as numbers.

An id that a client sends may end up in a path or a query, so it is digits or it is refused. An id that the
platform tells is only kept if it is harmless as a header.

The id of a tool call tells the next request, wherever that arrives, which run it belongs to: our ids are
``call_`` and the base64 of ``conversation|chat|tool call``, and nothing about a call needs to be remembered.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeGuard

from translators.record import record

_ID = re.compile(r"[0-9]{1,25}", re.ASCII)
_TOLD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HIDDEN = re.compile(r"call_([A-Za-z0-9_-]{4,2048})", re.ASCII)


def is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def told_id(value: Any) -> str:
    """An id out of the platform's JSON, which some endpoints send as a number; empty if it is none."""
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and _TOLD.fullmatch(text) else ""


@record
class ToolCallId:
    conversation_id: str
    chat_id: str
    tool_call_id: str

    def encode(self) -> str:
        plain = f"{self.conversation_id}|{self.chat_id}|{self.tool_call_id}".encode()
        return "call_" + urlsafe_b64encode(plain).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> ToolCallId | None:
        """None for an id that was made elsewhere."""
        hidden = _HIDDEN.fullmatch(text)
        if hidden is None:
            return None
        try:
            plain = urlsafe_b64decode(hidden[1] + "=" * (-len(hidden[1]) % 4)).decode()
        except ValueError:
            return None
        conversation_id, _, rest = plain.partition("|")
        chat_id, _, tool_call_id = rest.partition("|")
        if is_id(conversation_id) and is_id(chat_id) and tool_call_id and tool_call_id.isprintable():
            return cls(conversation_id, chat_id, tool_call_id)
        return None
