"""InvokeAgent and InvokeInlineAgent: what is checked before a turn begins, and the session that it begins in.

Everything the service model says of a request is checked by its table; what only the service can know (does the
agent exist, is the session free, do results fit what was asked) comes after it. The body is read without its nulls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from proxy.simulators import bedrock_bodies as bodies
from proxy.simulators.bedrock_actions import Group, Pending, groups_of
from proxy.simulators.bedrock_faults import Fault, invalid, missing
from proxy.simulators.bedrock_knobs import Agent, Alias, Event, Step, failure
from proxy.simulators.bedrock_reading import document_of
from proxy.simulators.bedrock_sessions import Session
from proxy.simulators.bedrock_stream import broken, one, refuse_if_scripted, send
from proxy.simulators.bedrock_traces import Traces
from proxy.simulators.bedrock_turn import Turn
from proxy.simulators.bedrock_world import DRAFT_ALIAS, WORLD, World

_MOST_FILES = 5
_MOST_FILE_BYTES = 10_485_760
_ORDERED = re.compile(r"\[(?:(http|event|late) )?([a-z][A-Za-z]+(?:Exception|Error))\]", re.ASCII)
"""What a question says to have an exception for an answer: a status, the only event, or after a few others."""
_LATE = 4
SESSION_HEADER = "x-amz-bedrock-agent-session-id"
MEMORY_HEADER = "x-amz-bedrock-agent-memory-id"
CONTENT_TYPE_HEADER = "x-amzn-bedrock-agent-content-type"


async def invoke_agent(
    request: web.Request, agent_id: str, alias_id: str, session_id: str
) -> web.StreamResponse:
    world = request.app[WORLD]
    bodies.AGENT_ID.check(agent_id, "agentId")
    bodies.AGENT_ID.check(alias_id, "agentAliasId")
    bodies.SESSION_ID.check(session_id, "sessionId")
    if (source := request.headers.get("x-amz-source-arn")) is not None:
        bodies.SOURCE_ARN.check(source, "sourceArn")
    body = await document_of(request, bodies.INVOKE_AGENT)
    agent, alias = _found(world, agent_id, alias_id)
    session = world.sessions.open((agent_id, alias_id, session_id), agent.ttl)
    where = {
        "agentId": agent_id,
        "agentAliasId": alias_id,
        "agentVersion": alias.version,
        "sessionId": session_id,
        "callerChain": [{"agentAliasArn": world.arn(f"agent-alias/{agent_id}/{alias_id}")}],
    }
    state = body.get("sessionState", {})
    headers = {}
    if (memory_id := body.get("memoryId")) is not None and agent.memory:
        session.memory_id = headers[MEMORY_HEADER] = memory_id
    return await _turn(request, agent, agent.groups, session, where, body, state, headers)


async def invoke_inline_agent(request: web.Request, session_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    bodies.SESSION_ID.check(session_id, "sessionId")
    body = await document_of(request, bodies.INVOKE_INLINE_AGENT)
    agent = world.inline
    session = world.sessions.open(("", "", session_id), body.get("idleSessionTTLInSeconds", agent.ttl))
    where = {"sessionId": session_id, "callerChain": []}
    groups = (*agent.groups, *groups_of(body.get("actionGroups")))
    state = body.get("inlineSessionState", {})
    return await _turn(request, agent, groups, session, where, body, state, {})


def _found(world: World, agent_id: str, alias_id: str) -> tuple[Agent, Alias]:
    agent = world.agents.get(agent_id)
    alias = Alias("draft", version="DRAFT") if alias_id == DRAFT_ALIAS else None
    if agent is None or (alias := agent.aliases.get(alias_id, alias)) is None:
        raise missing()
    if agent.status != "PREPARED" or alias.status != "PREPARED":
        raise invalid(f"Agent {agent_id} is not in a prepared state. Prepare the agent and try again.")
    if not alias.accepts:
        raise invalid(f"The alias {alias_id} of agent {agent_id} does not accept invocations.")
    return agent, alias


async def _turn(
    request: web.Request,
    agent: Agent,
    groups: tuple[Group, ...],
    session: Session,
    where: Mapping[str, Any],
    body: dict[str, Any],
    state: Mapping[str, Any],
    headers: dict[str, str],
) -> web.StreamResponse:
    world = request.app[WORLD]
    wire = agent.wire or world.knobs.wire
    headers |= {SESSION_HEADER: session.id, CONTENT_TYPE_HEADER: "application/json"}
    _check_state(body, state, session, world)
    if session.busy:
        fault = Fault("conflictException")
        if world.knobs.conflict == "http":
            raise fault
        return await send(request, world, wire, one(fault.trouble), headers)
    question = body.get("inputText", "")
    try:
        results = _results(session.pending, state, world)
    except Fault as fault:
        if world.knobs.results == "http":
            raise
        return await send(request, world, wire, one(fault.trouble), headers)
    script = agent.scripts.get("") if results is not None else agent.scripted(question)
    refuse_if_scripted(script)
    ordered = _ORDERED.search(question) if results is None else None
    if ordered is not None and ordered[1] in (None, "http"):
        raise Fault(ordered[2])
    session.pending = None
    session.busy = True
    traces = Traces(agent, where, world.clock, world.new_id)
    turn = Turn(world, agent, groups, session, traces, body, state, results)
    steps = turn.steps() if script is None else _scripted(script, turn)
    if ordered is not None:
        after = _LATE if ordered[1] == "late" else 0
        steps = broken(steps, failure(ordered[2], how="event", after=after))
    return await send(request, world, wire, steps, headers, partial(world.sessions.release, session))


def _scripted(script: tuple[Step, ...], turn: Turn) -> Iterator[Step]:
    """A script, and what it means for the session; traces stay away where nobody asked for them."""
    for step in script:
        if isinstance(step, Event) and step.type == "returnControl":
            turn.session.pending = Pending.of(step.document)
        if turn.traced or not (isinstance(step, Event) and step.type == "trace"):
            yield step


def _check_state(body: Mapping[str, Any], state: Mapping[str, Any], session: Session, world: World) -> None:
    results = "returnControlInvocationResults" in state
    if not (body.get("inputText") or results or body.get("endSession")):
        raise invalid("The inputText of the request is null or empty. Provide an inputText and retry.")
    if "invocationId" in state and not results:
        raise invalid("An invocationId needs returnControlInvocationResults.")
    _check_history(state.get("conversationHistory", {}).get("messages", []))
    if "conversationHistory" in state and session.turns and not world.knobs.seeds_used_sessions:
        raise invalid("The conversationHistory can only be given for a new session.")
    _check_files(state.get("files", []))


def _check_history(messages: list[dict[str, Any]]) -> None:
    role = "user"
    for place, message in enumerate(messages):
        if message["role"] != role:
            raise invalid(
                f"The conversationHistory must alternate, and begin with user: see message {place}."
            )
        if not message["content"] or not all(block["text"] for block in message["content"]):
            raise invalid("The conversationHistory is incorrectly formatted: a text cannot be null or empty.")
        role = "assistant" if role == "user" else "user"


def _check_files(files: list[dict[str, Any]]) -> None:
    if len(files) > _MOST_FILES:
        raise invalid(f"A request may have {_MOST_FILES} files at most.")
    total = 0
    for file in files:
        source = file["source"]
        wanted = "s3Location" if source["sourceType"] == "S3" else "byteContent"
        if set(source) != {"sourceType", wanted}:
            raise invalid(f"The source of file {file['name']!r} must have {wanted} and nothing else.")
        total += len(source.get("byteContent", {}).get("data", "")) * 3 // 4
    if total > _MOST_FILE_BYTES:
        raise invalid("The files of a request may have 10 MB at most.")


def _results(pending: Pending | None, state: Mapping[str, Any], world: World) -> list[str] | None:
    """What the client's tools gave, if it is that what it came for."""
    if "returnControlInvocationResults" not in state:
        return None
    if pending is None:
        raise invalid("There is no pending invocation in this session.")
    return pending.results(state, partial=world.knobs.partial_results)
