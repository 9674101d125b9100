"""The apps behind the keys: what each one is, and the knobs that make it slow, wrong or chatty while it runs.

A key selects one app, and with it mode, prompt and form; nothing else in a request does. An app with knobs of its
own listens to these, every other app to the stand-in's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define, field, frozen

MEGABYTE = 1 << 20


@frozen
class Variable:
    """One field of an app's input form."""

    variable: str
    type: str = "text-input"
    required: bool = False
    default: Any = None
    max_length: int | None = None
    options: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "label": self.variable.replace("_", " ").capitalize(),
            "variable": self.variable,
            "required": self.required,
            "default": self.default,
            "max_length": self.max_length,
            "options": list(self.options),
        }
        if self.type in ("file", "file-list"):
            told["allowed_file_types"] = ["image", "document", "audio", "video"]
            told["allowed_file_upload_methods"] = ["remote_url", "local_file"]
        return {self.type: told}


@frozen
class Failure:
    """One answer that is an error; ``body`` replaces the platform's own words.

    With a ``path`` it waits for a request whose path has this in it.
    """

    status: int
    code: str = "internal_server_error"
    message: str | None = None
    retry_after: str | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    path: str = ""


@frozen
class RunFailure:
    """A run that goes wrong after ``after`` pieces of its text.

    In a graph the reason is a node's, which ends the run as failed, unless it comes from ``outside`` the graph:
    then it is an ``error`` event with this code, as in the apps without one.
    """

    after: int
    message: str = "[stand-in] the model is overloaded"
    code: str = "completion_request_error"
    status: int = 400
    outside: bool = False


@define
class Knobs:
    """What may be turned while the stand-in runs."""

    # Time.
    delay: float = 0.0
    """Seconds before each event of a run."""
    first_delay: float = 0.0
    """Seconds before any answer begins."""
    ping_every: float = 10.0
    name_pause: float | None = None
    """Seconds a new conversation waits for its name, instead of the version's."""

    # Bytes.
    cuts: tuple[int, ...] = ()
    """Offsets in the body of a stream at which a write ends."""
    cut_every: int = 0
    """The most bytes that leave in one write."""
    newline: str = "\n"
    space: bool = True
    """A space after ``data:``."""
    ping_data: bool = False
    """Pings with a data line, as old code paths send them."""
    blocking: bool = False
    """Answer with one JSON body although a stream was asked for."""
    lost: frozenset[str] = frozenset()
    """Events by name that never leave."""
    closes_early: bool = False
    """The stream of a chatflow ends with ``workflow_finished``, as 1.13 did now and then; the rest is lost."""
    end_after: int | None = None
    """The body ends after so many events, whatever should follow."""

    # Limits.
    connections: int | None = 10
    """Connections served at once by the whole stand-in; the next waits unanswered. Read from its own knobs only."""
    max_active: int = 0
    """Runs an app has at once; 0 is no limit."""
    limit_as_429: bool = False
    """The limit as it is documented, not as it is sent."""
    upload_limit: int | None = None
    """Bytes an upload may have, instead of the limit of its kind."""
    run_on: bool = True
    """A run goes on when its client leaves, until somebody stops it."""

    # Words.
    reasoning: str = "none"
    """``tagged`` in the answer, or ``separated`` where the version can; else tagged."""
    citations: int = 0
    annotation: str = ""
    """The answer of an annotation, which is told a character at a time without asking the model."""
    moderation: str = ""
    """What output moderation puts in the answer's place at its end."""
    finish_reason: str = "stop"
    usage: str = "full"
    """In ``message_end``: ``full``, ``null``, or ``none`` for metadata without members."""
    speech: int = 0
    """Pieces of auto-played audio after the end."""
    answer_files: int = 0
    """Files that the answer brings."""

    # Runs.
    tools: int = 1
    """Rounds with a tool, of an agent."""
    react: bool = False
    """An agent that reasons in text: its answer comes in one piece."""
    noise: bool = False
    """Events a client must skip: loops, iterations, logs, empty answers, one that nobody has heard of."""
    huge_node: int = 0
    """Bytes of the outputs of one node."""
    retries: int = 0
    """Attempts of the model that fail after half its words."""
    exceptions: int = 0
    """Nodes that fail without failing the run."""
    pause: bool = False
    """The run waits for a person, where the version can."""
    outputs: Mapping[str, Any] | None = None
    """What a workflow returns, instead of its text; nothing is streamed then."""
    failure: RunFailure | None = None
    failures: deque[Failure] = Factory(deque)
    """Answers for the next requests, one each."""


@define(eq=False)
class App:
    """What one key opens."""

    mode: str = "advanced-chat"
    name: str = "Stand-in"
    description: str = "Answers with the built-in words."
    form: tuple[Variable, ...] = ()
    knobs: Knobs | None = None
    opening: str = ""
    prefix: str = ""
    """Literal text in front of the model's, in a chatflow's answer."""
    outputs: tuple[str, ...] = ("text",)
    """What a workflow returns; each output is the whole text."""
    file_types: tuple[str, ...] = ("image", "document", "audio", "video")
    """What may be attached; without any, what is attached is ignored."""
    max_images: int = 3
    max_files: int = 10
    speech_to_text: bool = True
    text_to_speech: bool = True
    suggestions: bool = True
    site: bool = True
    published: bool = True
    """Whether an agent has a version to run."""
    disabled: str = ""
    """Why the API is closed, if it is."""
    id: str = field(default="00000000-0000-4000-8000-00000000a001")
    workflow_id: str = "00000000-0000-4000-8000-00000000f001"
    draft_id: str = "00000000-0000-4000-8000-00000000f002"
