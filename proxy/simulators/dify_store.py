"""What Dify remembers: conversations and messages of each user, and uploaded files.

A user is an app's key and the ``user`` string together, and sees nothing of anybody else's. Everything is bounded,
the oldest leaving first, because a demo may run for weeks.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias, TypeVar

from attrs import Factory, define

User: TypeAlias = tuple[str, str]
"""The key of an app and what its client calls the user."""

_MOST = 10_000  # rows of a kind
_MOST_UPLOADED = 256 << 20

Row = TypeVar("Row")


class Shelf(dict[str, Row]):
    """Rows by id; a new one pushes the oldest out."""

    def __init__(self, most: int = _MOST) -> None:
        super().__init__()
        self._most = most

    def add(self, id: str, row: Row) -> Row:
        self[id] = row
        while len(self) > self._most:
            del self[next(iter(self))]
        return row


@define(eq=False)
class Message:
    """One question and its answer."""

    id: str
    conversation_id: str
    user: User
    inputs: dict[str, Any]
    query: str
    created_at: int
    files: list[dict[str, Any]] = Factory(list)
    answer: str = ""
    status: str = "normal"
    error: str | None = None
    feedback: dict[str, Any] | None = None
    resources: list[dict[str, Any]] = Factory(list)
    thoughts: list[dict[str, Any]] = Factory(list)


@define(eq=False)
class Conversation:
    id: str
    user: User
    inputs: dict[str, Any]
    created_at: int
    updated_at: int
    name: str = "New conversation"
    messages: deque[Message] = Factory(lambda: deque(maxlen=_MOST))
    variables: dict[str, dict[str, Any]] = Factory(dict)
    completed: bool = False

    def document(self, introduction: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "inputs": self.inputs,
            "status": "normal",
            "introduction": introduction,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@define(eq=False)
class Upload:
    id: str
    user: User
    name: str
    mime_type: str
    data: bytes
    created_at: int
    used: bool = False
    """Whether a message has it; nobody may look at it before."""

    @property
    def extension(self) -> str:
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""


@define(eq=False)
class Store:
    conversations: Shelf[Conversation] = Factory(Shelf)
    messages: Shelf[Message] = Factory(Shelf)
    uploads: Shelf[Upload] = Factory(Shelf)

    def conversation(self, id: str, user: User) -> Conversation | None:
        found = self.conversations.get(id)
        return found if found is not None and found.user == user else None

    def conversations_of(self, user: User) -> list[Conversation]:
        return [one for one in self.conversations.values() if one.user == user]

    def message(self, id: str, user: User) -> Message | None:
        found = self.messages.get(id)
        return found if found is not None and found.user == user else None

    def upload(self, id: str, user: User) -> Upload | None:
        found = self.uploads.get(id)
        return found if found is not None and found.user == user else None

    def keep(self, upload: Upload) -> Upload:
        self.uploads.add(upload.id, upload)
        while len(self.uploads) > 1 and sum(len(one.data) for one in self.uploads.values()) > _MOST_UPLOADED:
            del self.uploads[next(iter(self.uploads))]
        return upload

    def forget(self, conversation: Conversation) -> None:
        del self.conversations[conversation.id]
        for message in conversation.messages:
            self.messages.pop(message.id, None)
