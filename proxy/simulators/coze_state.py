"""What the Coze stand-in remembers: conversations with their sections, messages and chats, files, and who may ask.

A conversation is the container, a section one stretch of context in it, a chat one run of a bot. Ids are 64-bit
numbers past 2^53, as strings, always increasing, whatever they name. All that grows is bounded: the oldest goes
first, because a demo may run for weeks.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from aiohttp import web
from attrs import Factory, define, field

from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_knobs import Knobs, Platform, WorkflowKnobs

_FIRST_ID = 7_519_000_000_000_000_000
_MOST_KEPT = 10_000
API_CHANNEL = "1024"
RUNNING = ("created", "in_progress")
_MIDDLE = ("function_call", "tool_output", "tool_response", "knowledge", "verbose", "follow_up")

_T = TypeVar("_T")


def keep(among: dict[str, _T], key: str, value: _T) -> None:
    among[key] = value
    if len(among) > _MOST_KEPT:
        del among[next(iter(among))]


@define(eq=False)
class Message:
    id: str
    conversation_id: str
    section_id: str
    role: str
    type: str
    content: str
    content_type: str
    created_at: int
    chat_id: str = ""
    bot_id: str = ""
    meta_data: dict[str, str] = Factory(dict)
    reasoning_content: str = ""
    updated_at: int = 0

    def document(self, *, studio: bool = False) -> dict[str, Any]:
        """The Message object of events; rows of a list have their times, too."""
        found: dict[str, Any] = {"id": self.id, "conversation_id": self.conversation_id}
        if self.bot_id:
            found["bot_id"] = self.bot_id
        found |= {"role": self.role, "type": self.type, "content": self.content}
        found |= {"content_type": self.content_type, "chat_id": self.chat_id, "section_id": self.section_id}
        if self.reasoning_content or studio:
            found["reasoning_content"] = self.reasoning_content
        if self.meta_data:
            found["meta_data"] = self.meta_data
        return found

    def row(self, *, studio: bool = False) -> dict[str, Any]:
        times = {"created_at": self.created_at, "updated_at": self.updated_at or self.created_at}
        return {**self.document(studio=studio), "bot_id": self.bot_id, "meta_data": self.meta_data, **times}

    @property
    def middle(self) -> bool:
        """It came about on the way to an answer."""
        return self.type in _MIDDLE


@define(eq=False)
class Chat:
    """One run; ``turn`` is what an answer that nobody streams has still to do."""

    id: str
    conversation: Conversation
    section_id: str
    bot_id: str
    knobs: Knobs
    created_at: int
    saved: bool
    context: list[dict[str, Any]]
    """What the bot hears, in the generator's words: OpenAI messages, tool results included."""
    meta_data: dict[str, str] = Factory(dict)
    inserted: list[str] = Factory(list)
    status: str = "created"
    code: int | str = 0
    msg: str = ""
    ended_at: int = 0
    usage: tuple[int, int] = (0, 0)
    round: int = 0
    calls: dict[str, Any] = Factory(dict)
    """The tool calls that wait for an output, by id."""
    action: dict[str, Any] = Factory(dict)
    """What the client must do, as it was last told."""
    messages: list[Message] = Factory(list)
    turn: Iterator[Any] | None = None
    polls_left: int = 0
    flow: bool = False
    """It is a run of a chatflow."""
    sound: bool = False
    """The question had sound in it."""


@define(eq=False)
class Conversation:
    id: str
    section_id: str
    created_at: int
    owner: str
    bot_id: str = ""
    listed: bool = False
    name: str = ""
    meta_data: dict[str, str] = Factory(dict)
    connector_id: str = API_CHANNEL
    updated_at: int = 0
    messages: list[Message] = Factory(list)
    chats: dict[str, Chat] = Factory(dict)
    asked: int = 0
    """How many question nodes have been asked in a row."""

    def document(self, *, studio: bool = False) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": self.created_at,
            "meta_data": self.meta_data,
            "last_section_id": self.section_id,
            "name": self.name,
            "updated_at": self.updated_at or self.created_at,
            "creator_d" if studio else "creator_id": self.owner,
            "connector_id": self.connector_id,
        }

    def add(self, message: Message) -> None:
        self.messages.append(message)
        if len(self.messages) > _MOST_KEPT:
            del self.messages[0]

    def heard(self) -> list[Message]:
        """The context: questions and answers of this section, without turns that were cancelled."""
        return [
            message
            for message in self.messages
            if message.section_id == self.section_id and not message.middle and not self._cancelled(message)
        ]

    def _cancelled(self, message: Message) -> bool:
        chat = self.chats.get(message.chat_id)
        return chat is not None and chat.status == "canceled"

    @property
    def busy(self) -> bool:
        return any(chat.status in RUNNING for chat in self.chats.values())

    def message(self, message_id: str) -> Message:
        for message in self.messages:
            if message.id == message_id:
                return message
        raise replies.no_resource(f"Message {message_id}")


@define(eq=False)
class Run:
    """One execution of a workflow, streamed or not."""

    id: str
    workflow_id: str
    knobs: WorkflowKnobs
    mode: int
    """0 answers at once, 1 streams, 2 is asked for later."""
    said: list[str]
    """The words of the input and of every reply to a question."""
    owner: str
    bot_id: str
    created_at: int
    lacks: list[str] = Factory(list)
    """Required parameters that were not given."""
    updated_at: int = 0
    status: str = "Running"
    output: str = ""
    code: int = 0
    msg: str = ""
    usage: tuple[int, int] = (0, 0)
    nodes: dict[str, tuple[str, str]] = Factory(dict)
    """What each execution of a node gave, by its uuid: the id of the node and its output."""
    asked: int = 0
    """How many interrupts are over."""
    attempts: int = 0
    waiting: dict[str, Any] = Factory(dict)
    """``interrupt_data`` of the interrupt that waits for a reply."""
    steps: Iterator[Any] | None = None
    polls_left: int = 0


@define(eq=False)
class File:
    id: str
    bytes: int
    file_name: str
    created_at: int
    owner: str

    def document(self, *, studio: bool = False) -> dict[str, Any]:
        found = {
            "id": self.id,
            "bytes": self.bytes,
            "created_at": self.created_at,
            "file_name": self.file_name,
        }
        return {**found, "uri": f"upload/{self.id}", "url": ""} if studio else found


@define(eq=False)
class World:
    clock: Callable[[], float]
    platform: Platform
    bots: dict[str, Knobs]
    workflows: dict[str, WorkflowKnobs]
    space_id: str
    conversations: dict[str, Conversation] = Factory(dict)
    files: dict[str, File] = Factory(dict)
    runs: dict[str, Run] = Factory(dict)
    closing: bool = False
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(_FIRST_ID + 1))
    _behind: set[asyncio.Task[None]] = Factory(set)

    def new_id(self) -> str:
        return str(next(self._numbers))

    def now(self) -> int:
        return int(self.clock())

    # What is asked for by id.

    def conversation(self, conversation_id: str) -> Conversation:
        if (found := self.conversations.get(conversation_id)) is None:
            raise replies.no_conversation(conversation_id)
        return found

    def chat(self, conversation_id: str, chat_id: str) -> Chat:
        found = self.conversation(conversation_id).chats.get(chat_id)
        if found is None:
            raise replies.no_chat(chat_id)
        return found

    def saved_chat(self, conversation_id: str, chat_id: str) -> Chat:
        """A chat whose history was not saved cannot be asked for."""
        chat = self.chat(conversation_id, chat_id)
        if not chat.saved:
            raise replies.no_chat(chat_id)
        return chat

    # What comes to be.

    def open_conversation(self, owner: str, **more: Any) -> Conversation:
        new = Conversation(self.new_id(), "", self.now(), owner, **more)
        new.section_id = new.id
        keep(self.conversations, new.id, new)
        return new

    def insert(self, conversation: Conversation, given: dict[str, Any], chat_id: str = "") -> Message:
        """A message that somebody sent, kept in the conversation."""
        message = Message(
            self.new_id(),
            conversation.id,
            conversation.section_id,
            given["role"],
            given.get("type") or ("question" if given["role"] == "user" else "answer"),
            given["content"],
            given["content_type"],
            self.now(),
            chat_id,
            meta_data=given.get("meta_data") or {},
        )
        conversation.add(message)
        return message

    # What goes on without anybody listening.

    def go_on(self, events: Iterator[Any], delay: float) -> None:
        """The rest of a run whose reader has left, at its own pace."""
        if self.closing:
            return
        task = asyncio.get_running_loop().create_task(_run_out(events, delay))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def close(self) -> None:
        for task in self._behind:
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)


async def _run_out(events: Iterator[Any], delay: float) -> None:
    for _ in events:
        await asyncio.sleep(delay)


WORLD = web.AppKey("world", World)
