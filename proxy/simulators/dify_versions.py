"""What changed on Dify's wire from 1.0 to 1.16: one value for each line of releases.

A difference is a member of ``Version`` and nothing else asks for a version's name, so what two releases share is
written once and a new release is a row of ``VERSIONS``. The members follow wire/dify.md, which says for each
whether it was seen, read in source or documented.
"""

from __future__ import annotations

from attrs import evolve, frozen

GRAPHS = ("advanced-chat", "workflow")
"""The modes that run a graph of nodes."""
CHATS = ("chat", "agent-chat", "agent", "advanced-chat")
"""The modes behind /chat-messages."""
MODES = (*CHATS, "completion", "workflow")


@frozen
class Version:
    """One line of releases."""

    name: str
    """What X-Version says."""
    spaced: bool = False
    """Events in the style of Python's json: a space after each colon, everything beyond ASCII escaped."""
    field_errors: str = "sentence"
    """How a wrong field is told: one ``sentence``, a ``map`` of fields, or the report of ``pydantic``."""
    list_inputs: bool = False
    """Whether ``[]`` passes for ``inputs``."""
    mode_in_info: bool = True
    short_uploads: bool = False
    """An upload is answered with the seven oldest members only."""
    selectors: bool = True
    """Text says which variable it comes from."""
    sequence_number: bool = False
    parallel_keys: bool = False
    """Nodes say which parallel branch they are in."""
    branch_events: bool = False
    """Parallel branches start and finish with events of their own."""
    empty_error: bool = False
    """A run that went well has the error "" rather than null."""
    start_reason: bool = False
    """``workflow_started`` says why."""
    usage_times: bool = True
    """Usage tells the times to the first and the last token."""
    mislabels: bool = False
    """Answers to a message with a file come as ``message_file``."""
    name_pause: float = 0.0
    """Seconds that a new conversation waits for its name, before the first byte."""
    engine_stops: bool = True
    """A chatflow hears a stop whoever asks for it, and fails when it was not its own user."""
    first_ping: bool = False
    """The stream of a graph begins with a ping."""
    end_first: bool = False
    """``message_end`` comes before ``workflow_finished``."""
    pauses: bool = False
    """Graphs can wait for a person."""
    reasoning_chunks: bool = False
    """Separated reasoning has an event of its own; where not, it stays in the answer, in tags."""
    new_agents: bool = False
    """The mode ``agent`` exists."""
    deletes_with_body: bool = False
    """A conversation's deletion is answered 200 with a body, not 204 without."""
    path_hints: bool = True
    """A 404 goes on to say what other path may have been meant."""
    run_outputs_text: bool = True
    """The outputs of a finished run are told as JSON text, not as an object."""
    modes: tuple[str, ...] = MODES


_V1_12 = Version(
    "1.12.0",
    field_errors="pydantic",
    mislabels=True,
    name_pause=1.0,
    modes=tuple(mode for mode in MODES if mode != "agent"),
)
_V1_9 = evolve(
    _V1_12,
    name="1.9.2",
    field_errors="map",
    list_inputs=True,
    parallel_keys=True,
    empty_error=True,
    usage_times=False,
    mislabels=False,
    name_pause=0.0,
    engine_stops=False,
)
_V1_0 = evolve(
    _V1_9,
    name="1.0.0",
    spaced=True,
    field_errors="sentence",
    mode_in_info=False,
    short_uploads=True,
    selectors=False,
    sequence_number=True,
    branch_events=True,
    empty_error=False,
    deletes_with_body=True,
    path_hints=False,
)
_V1_13 = evolve(_V1_12, name="1.13.0", mislabels=False, name_pause=0.0, start_reason=True, pauses=True)
_V1_16 = evolve(
    _V1_13,
    name="1.16.0",
    first_ping=True,
    end_first=True,
    reasoning_chunks=True,
    new_agents=True,
    run_outputs_text=False,
    modes=MODES,
)

VERSIONS: dict[str, Version] = {
    "1.0": _V1_0,
    "1.9": _V1_9,
    "1.12": _V1_12,
    "1.13": _V1_13,
    "1.16": _V1_16,
}
