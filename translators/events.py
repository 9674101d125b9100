"""What an assistant can do in a stream, in fourteen words.

Every upstream emits these values and nothing else; every surface renders them and nothing else. Exactly one
``Finish`` or ``Failed`` ends a stream, and nothing follows it.

``ToolCall`` means that the *client* must act; ``Activity`` means that the platform already acted. Never
render the second as the first: a client would try to execute it.

``Verbatim`` is a wrapper, not a fifteenth word: a piece of the OpenAI dialect that says more than the
vocabulary can (several choices, logprobs, fields not invented yet), together with what it means in the
vocabulary. A surface of the same dialect passes the piece on; any other reads ``meaning``.

The classes are slotted and mutable at run time because a frozen one costs twice as much to make; the type
checker sees them frozen, and nothing assigns to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

if TYPE_CHECKING:
    from attrs import frozen as event
else:
    from attrs import define as event

from translators.errors import GatewayError

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


@final
@event
class Opened:
    """The upstream has begun; its own names for what it began, and what holds for all of it."""

    conversation: str = ""
    message: str = ""
    model: str = ""
    constants: dict[str, Any] | None = None
    """Members every frame of this answer repeats, such as ``system_fingerprint``."""


@final
@event
class Text:
    """Words the assistant says to the user."""

    text: str


@final
@event
class Reasoning:
    """Words the assistant says to itself."""

    text: str


@final
@event
class Refusal:
    """Words in which the assistant declines."""

    text: str


@final
@event
class ToolCall:
    """A fragment of a call the client must make; ``id`` and ``name`` come with the first fragment only."""

    index: int
    id: str
    name: str
    arguments: str


@final
@event
class Activity:
    """Something the platform did by itself: a plugin, a node, a retrieval."""

    kind: str
    id: str = ""
    name: str = ""
    input: str = ""
    output: str = ""
    state: str = ""


@final
@event
class Citation:
    """Where a stretch of the answer comes from."""

    start: int | None
    end: int | None
    source: str
    title: str = ""
    quote: str = ""


@final
@event
class File:
    """A file the assistant produced."""

    id: str
    url: str
    mime: str = ""
    name: str = ""


@final
@event
class Replace:
    """The platform takes back what was said and says this instead."""

    text: str
    said: str = ""
    """What it takes back, for surfaces that cannot."""


@final
@event
class Suggestion:
    """What the user might ask next."""

    text: str


@final
@event
class Usage:
    """Tokens counted by the upstream; the last one of a stream holds."""

    input: int
    output: int
    cached: int | None = None
    reasoning: int | None = None
    native: dict[str, Any] | None = None
    """The whole object as an OpenAI-shaped upstream sent it."""


@final
@event
class Finish:
    """The upstream said that the answer is complete."""

    reason: FinishReason
    platform: dict[str, Any] | None = None
    """What the platform tells beyond the vocabulary; clients see it where extensions are switched on."""


@final
@event
class Failed:
    """The answer ends here and is not complete."""

    error: GatewayError


@final
@event
class Ping:
    """The upstream says that it is still there."""


@final
@event
class Verbatim:
    """One choice's piece of an OpenAI chunk, and what it means to those who do not speak that dialect."""

    index: int
    delta: dict[str, Any]
    choice: dict[str, Any]
    """Members of the choice beside ``index``, ``delta`` and ``finish_reason``."""
    chunk: dict[str, Any]
    """Members of the chunk beside those that the surface writes itself."""
    finish_reason: str | None
    meaning: tuple[Text | Reasoning | Refusal | ToolCall, ...]


Event: TypeAlias = (
    Opened
    | Text
    | Reasoning
    | Refusal
    | ToolCall
    | Activity
    | Citation
    | File
    | Replace
    | Suggestion
    | Usage
    | Finish
    | Failed
    | Ping
    | Verbatim
)

Emit: TypeAlias = Callable[[Event], None]
