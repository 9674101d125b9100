"""What may be turned on the Coze stand-in while it runs: the bytes, what a bot says, what a workflow does.

``Knobs`` belong to one bot and ``WorkflowKnobs`` to one workflow, so that one server can behave in several ways at
once; ``Platform`` is about the server as a whole. A ``Break`` is where and how a stream goes wrong. Everything is
plain data: what it looks like on the wire is said in coze_events.py, coze_flows.py and coze_stream.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import Factory, define, frozen

How: TypeAlias = Literal["error", "error_empty", "error_text", "failed", "failed_bare", "json", "drop", "end"]
DoneForm: TypeAlias = Literal["quoted", "bare", "debug_url", "empty", "no_data", "missing"]
UsageForm: TypeAlias = Literal["full", "null", "missing", "zeros", "other_names", "total_only"]
Noise: TypeAlias = Literal[
    "knowledge",
    "function_call",
    "broken_call",
    "tool_output",
    "tool_response",
    "verbose",
    "unknown_type",
    "unknown_event",
    "ping",
]


@frozen
class Failure:
    """One answer that is an error, for the next request that ``path`` fits; ``body`` replaces the envelope."""

    code: int = 5000
    msg: str = "internal error"
    status: int = 200
    path: str = "/"
    """What the path of the request begins with."""
    body: bytes | None = None
    content_type: str = "application/json"


@frozen
class Break:
    """Where a stream goes wrong: after so many events, and how.

    ``error`` is an event of that name (``error_empty`` without members, ``error_text`` with plain text), ``failed``
    an event with a whole object and ``failed_bare`` one with a code only, ``json`` an envelope among the lines,
    ``drop`` the end of the connection and ``end`` that of the body. After a drop or an end the run itself goes on.
    A workflow has only two kinds of its own: ``failed`` is its Error (``failed_bare`` without members), and the
    others are the lower-case ``error`` with plain text that Studio sends.
    """

    after: int
    how: How
    code: int | str = 5000
    """Some events carry it as a string."""
    msg: str = "event interval error"


@frozen
class Framing:
    """What the bytes around an event look like."""

    space: bool | None = None
    """After the colon; None: as the endpoint does by itself, without on /v3/chat and with one elsewhere."""
    newline: bytes = b"\n"
    prelude: bytes = b""
    """Before the first event."""
    comment_every: int = 0
    """A comment after every so many events."""
    comment: bytes = b":keep-alive"
    comment_blank: bool = True
    """An empty line after each comment."""
    final_blank: bool = True
    """The empty line after the last event."""
    mixed_order: bool = False
    """Members in another order in every other event."""
    html_escapes: bool = False
    """&, < and > as ``\\u0026`` and so on; Studio always does it."""


@define
class Pace:
    """What bots and workflows have in common."""

    first_delay: float = 0.0
    """Seconds before the answer to a question begins."""
    delay: float = 0.0
    """Seconds before each write of a stream."""
    per_write: int = 0
    """Bytes that leave in one write, whatever the events; 0 is an event for each write."""
    framing: Framing = Framing()
    fault: Break | None = None
    done: DoneForm | None = None
    """None: as the endpoint does by itself, quoted on /v3/chat, with a debug_url or empty elsewhere."""
    usage: UsageForm = "full"
    published: bool = True
    name: str = ""
    abandoned: Literal["runs", "stays"] = "runs"
    """What becomes of a run whose reader has left: it runs to its end, or stays in progress until cancelled."""


@frozen
class Ask:
    """A call of a local plugin that the client must make."""

    name: str
    arguments: str = "{}"


@frozen
class Question:
    """A question node: the text is an answer, and the next message of the conversation replies to it."""

    text: str


Round: TypeAlias = tuple[Ask, ...] | Question


@define
class Knobs(Pace):
    """What one bot does."""

    said: tuple[tuple[str, ...], ...] = ()
    """The pieces of each answer; empty: the built-in generator's words."""
    answers: int = 1
    """How many answers the generator gives."""
    interleaved: bool = False
    """Pieces of several answers in turn."""
    completed: tuple[str | None, ...] = ()
    """What the completed event of each answer says instead of its pieces together."""
    completed_twice: bool = False
    whole: bool = False
    """Answers come completed only, without deltas."""
    card: bool = False
    """The answers are cards, which come completed only."""
    reasoning: tuple[str, ...] | bool = False
    """Thoughts before the first answer: these pieces, or the generator's."""
    noise: tuple[Noise, ...] = ()
    """What comes before the answers and is none."""
    verbose: bool = True
    """The marker that all answers are given."""
    follow_ups: tuple[str, ...] = ()
    audio: int = 0
    """Pieces of sound after the end; a question with sound gets two in any case."""
    rounds: tuple[Round, ...] = ()
    """What the client must do before there is an answer, one round after the other."""
    repeats_created: bool = True
    """A stream of submit_tool_outputs begins with created and in_progress again."""
    empty_action: bool = False
    """Chats that need no action say so with an empty ``required_action``."""
    inserted: bool = False
    """Chats name the additional messages that were saved."""
    end: Literal["completed", "cancelled", "expired", "none"] = "completed"
    """Which event ends the chat."""
    status: str = "completed"
    """How that is spelt in the object."""
    polls: int = 2
    """How often a chat that is not streamed is still in progress when asked for."""


@frozen
class Node:
    """An output node of a workflow."""

    title: str
    pieces: tuple[str, ...]
    id: str = ""
    type: str = "Message"


@frozen
class Interrupt:
    """A node that waits for the user; an empty reply is asked again, three times at most."""

    question: str
    type: int = 2
    title: str = "Question"
    required: Mapping[str, Any] = {}
    """What must be given, as ``required_parameters`` of the event."""


@define
class WorkflowKnobs(Pace):
    """What one workflow does."""

    nodes: tuple[Node, ...] | None = None
    """The output nodes; None: one that streams the generator's words about the input."""
    outputs: Mapping[str, Any] | str | None = None
    """What the End node returns; None: ``{"output": …}`` with the text of the nodes."""
    end: bool = True
    """The End node sends its message."""
    modern: bool = True
    """Messages name their node by id and type, not by title alone."""
    pings: int = 0
    """A PING before every so many messages."""
    interrupts: tuple[Interrupt, ...] = ()
    required_parameters: tuple[str, ...] = ()
    token: int | None = None
    """The older ``token`` member beside or instead of ``usage``."""
    paid: bool = True
    """The account may run it asynchronously."""
    async_polls: int = 2
    """How often an asynchronous run is still running when asked for."""
    mode: Literal["workflow", "chatflow"] = "workflow"
    chat: Knobs = Factory(Knobs)
    """How it behaves as a chatflow."""


@define
class Platform:
    """What concerns the server as a whole."""

    studio: bool = False
    """Coze Studio's dialect and rules instead of the hosted platform's."""
    auth_status: int = 401
    """The status of an unknown token; 200 where only the code tells."""
    noisy_rows: bool = False
    """Listed messages with empty types and with times that are strings in every other row."""
    first_delay: float = 0.0
    """Seconds before any answer begins."""
    failures: deque[Failure] = Factory(deque)
