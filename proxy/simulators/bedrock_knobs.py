"""What may be turned on the Bedrock stand-in while it runs: what agents do, how their bytes leave, what fails.

An ``Agent`` is what was built in the console, with aliases; a ``Flow`` and a ``Runtime`` likewise. ``Knobs`` are
the server's as a whole. A script replaces what an agent or a flow would say by steps, and a ``Failure`` waits for
the next request that fits. All of it is plain data; what it looks like on the wire is said elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import Factory, define, field, frozen

from proxy.simulators.bedrock_actions import Group
from proxy.simulators.bedrock_faults import Trouble
from proxy.simulators.bedrock_frames import Wire

# Steps of a script, and of every stream.


@frozen
class Event:
    type: str
    document: Any


@frozen
class Raw:
    """Bytes as they are."""

    data: bytes


@frozen
class Sleep:
    seconds: float


@frozen
class Exc:
    """An exception as an event."""

    trouble: Trouble


@frozen
class Err:
    """An error that the service model does not know."""

    code: str
    message: str


@frozen
class Abort:
    """The connection ends here."""


@frozen
class End:
    """The body ends here."""


@frozen
class Http:
    """Instead of a stream; only as the first step."""

    trouble: Trouble


Step: TypeAlias = Event | Raw | Sleep | Exc | Err | Abort | End | Http


def exc(name: str, message: str = "", **beside: Any) -> Exc:
    return Exc(Trouble(name, message, beside))


def http(name: str, message: str = "", **beside: Any) -> Http:
    return Http(Trouble(name, message, beside))


@frozen
class Failure:
    """One answer that goes wrong, for the next request whose path has ``path`` in it.

    As ``http`` it is a status; as ``event`` or ``error`` a frame after so many frames of the real answer. ``end``
    and ``abort`` let the body or the connection end there, and say nothing.
    """

    trouble: Trouble
    how: Literal["http", "event", "error", "end", "abort"] = "http"
    after: int = 0
    path: str = ""
    status: int | None = None
    """Instead of the exception's own."""
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | None = None
    named_in: Literal["header", "url", "body", "nowhere"] = "header"
    """Where the status says which exception it is; ``url`` is the header with an address behind the name."""


def failure(name: str, message: str = "", **more: Any) -> Failure:
    return Failure(Trouble(name, message), **more)


# Agents.


@frozen
class Alias:
    name: str = "live"
    status: str = "PREPARED"
    accepts: bool = True
    version: str = "1"
    description: str = ""


@frozen
class Produced:
    """A file of the code interpreter."""

    name: str
    type: str
    bytes: bytes


@frozen
class Guardrail:
    """Words in a question or an answer that it blocks, and words that it only masks."""

    blocked: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    message: str = "Sorry, the model cannot answer this question."


@frozen
class Collaborator:
    """An agent that this one asks for help at every question."""

    name: str = "helper"
    agent_id: str = "SUB1234567"
    alias_id: str = "SUBALIAS01"
    groups: tuple[Group, ...] = ()


@define
class Agent:
    name: str = "agent"
    aliases: dict[str, Alias] = Factory(dict)
    """By id. The alias TSTALIASID, of the draft, is always there."""
    status: str = "PREPARED"
    description: str = ""
    ttl: float = 600.0
    memory: bool = False
    placeholder: bool = True
    """The template has a place for promptSessionAttributes; where not, they reach nobody."""

    # What it can do.
    groups: tuple[Group, ...] = ()
    collaborator: Collaborator | None = None
    guardrail: Guardrail | None = None
    preprocessing: bool = False
    """A step before the others; with it an agent does not stream."""

    # What it says.
    said: tuple[str | bytes, ...] | None = None
    """The chunks of every answer, instead of the generator's words."""
    chunk_bytes: int = 0
    """Bytes of a chunk whatever the characters; 0 is a chunk for each word."""
    degrades: bool = False
    """One chunk although a stream was asked for."""
    citations: int = 0
    references: bool = True
    """Citations have something they refer to."""
    files: tuple[Produced, ...] = ()
    files_first: bool = False
    silent: bool = False
    """No chunk at all; the text is in the last trace only."""
    fails: tuple[int, str] | None = None
    """The code and the reason of a failureTrace, after which nothing comes."""

    # What it tells of itself.
    reasoning: Literal["rationale", "content", "both", "redacted", "none"] = "rationale"
    usage: Literal["full", "none", "repeated"] = "full"
    """Repeated: every trace with usage comes twice."""
    custom_trace: str = ""
    prompt_size: int = 0
    """Characters of the prompt that traces show."""
    noise: bool = False
    """Events, members and frames that nobody has heard of."""

    # Scripts.
    script: tuple[Step, ...] | None = None
    scripts: dict[str, tuple[Step, ...]] = Factory(dict)
    """By inputText; that for "" answers results of tools, for which ``script`` is not asked."""
    wire: Wire | None = None
    """Its own, instead of the server's."""

    def scripted(self, question: str) -> tuple[Step, ...] | None:
        return self.scripts.get(question, self.script)


# Flows and runtimes.


@define
class Flow:
    name: str = "flow"
    aliases: dict[str, str] = Factory(dict)
    """Names by id. The alias TSTALIASID is always there."""
    status: str = "Prepared"
    description: str = ""
    input_node: str = "FlowInputNode"
    input_output: str = "document"
    takes: Literal["any", "text", "object"] = "any"
    outputs: tuple[str, ...] = ("FlowOutputNode",)
    """The output nodes, each of which sends the same answer."""
    document: Any = None
    """What the output nodes send; None: the generator's words."""
    asks: tuple[Any, ...] = ()
    """What an agent node asks its user before the flow goes on."""
    asking_node: str = "AgentNode_1"
    completes: bool = True
    """There is a flowCompletionEvent."""
    ttl: float = 3600.0
    script: tuple[Step, ...] | None = None
    wire: Wire | None = None


Yield: TypeAlias = Literal["strands", "text", "strings", "chunks"]


@define
class Runtime:
    name: str = "runtime"
    endpoints: tuple[str, ...] = ("DEFAULT",)
    bearer: str | None = None
    """It takes this token and no signature."""
    streams: bool | None = None
    """None: as the Accept header wants."""
    yields: Yield = "strands"
    """What its events look like: nested objects, plain text, JSON strings, or objects with ``data``."""
    document: Any = None
    """What it answers as JSON; None: ``{"result": …}`` with the generator's words."""
    fails_after: int | None = None
    """An event with an error after so many events, and nothing more."""
    script: tuple[bytes, ...] | None = None
    """The writes of its stream, as they are."""
    delay: float = 0.0


# The server.


@define
class Knobs:
    wire: Wire = Factory(Wire)
    failures: deque[Failure] = Factory(deque)
    signed: bool = True
    """Signatures are verified."""
    skew: float = 300.0
    conflict: Literal["http", "event"] = "http"
    """How a second turn of a session is refused."""
    results: Literal["http", "event"] = "http"
    """How results that fit no invocation are refused."""
    partial_results: bool = False
    """Some results of several are enough."""
    seeds_used_sessions: bool = True
    """conversationHistory is taken for a session that already has one; else it is refused."""
    farewell: str = "Session is terminated as 'endSession' flag is set in request."
    """What the end of a session is answered with; nothing at all if empty."""
    ends_after_answer: bool = False
    """A question that also ends its session is answered first."""
    page: int = 10
    """The most rows of a list."""
    abandoned: Literal["runs", "stops"] = "runs"
    """What becomes of a turn whose client has left: nobody can cancel it, or it ends at once."""
