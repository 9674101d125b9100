"""Questions and answers: the endpoints that start a run, the reply in one piece, and the endpoints that stop one.

The order of the checks is the platform's: user, kind of app, shape of the body, the app's limit, whether this app
can do what is asked, the conversation, the form, the files. A place of the app's limit is held until the response
ends, which for a client that left is the next write, not the moment it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from proxy.simulators.dify_checks import Ask, check, fill, is_uuid
from proxy.simulators.dify_errors import Refused, invalid
from proxy.simulators.dify_files import attach
from proxy.simulators.dify_platform import CALLER, PLATFORM, Caller, Platform, body_of, reply
from proxy.simulators.dify_runs import Run
from proxy.simulators.dify_store import Conversation, Message, User
from proxy.simulators.dify_stream import EventStream
from proxy.simulators.dify_turn import Event, Turn
from proxy.simulators.dify_versions import CHATS
from translators import prose

_FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {
    "chat-messages": (CHATS, "not_chat_app"),
    "completion-messages": (("completion",), "app_unavailable"),
    "workflows": (("workflow",), "not_workflow_app"),
}
"""The modes behind each family of endpoints, and what is said to a key of another."""

_PLURAL = {"file-list", "file"}


def _family(request: web.Request) -> str:
    return request.path.split("/")[2]


def belongs(caller: Caller, family: str) -> None:
    modes, code = _FAMILIES[family]
    if caller.app.mode not in modes:
        raise Refused(code)


async def generate(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    body, name = await body_of(request, required=True)
    belongs(caller, _family(request))
    ask = check(body, caller.app.mode, platform.version)
    _take_place(platform, caller)
    try:
        _able(caller, ask)
        workflow_id = _workflow(caller, request.match_info.get("workflow_id") or ask.workflow_id)
        run, message = await _started(platform, caller, ask, name, workflow_id)
        if ask.streaming and not caller.knobs.blocking:
            return await _streamed(request, platform, run, message)
        return await _in_one_piece(run, message)
    finally:
        platform.active[caller.key] -= 1


def _take_place(platform: Platform, caller: Caller) -> None:
    most = caller.knobs.max_active
    if most and platform.active[caller.key] >= most:
        words = (
            "Too many requests. Please try again later. "
            f"The current maximum concurrent requests allowed for {caller.app.id} is {most}."
        )
        raise Refused("too_many_requests", words) if caller.knobs.limit_as_429 else invalid(words)
    platform.active[caller.key] += 1


def _able(caller: Caller, ask: Ask) -> None:
    if caller.app.mode == "agent" and not caller.app.published:
        raise Refused("agent_not_published")
    if not ask.streaming and caller.app.mode == "agent-chat":
        raise invalid("Agent Chat App does not support blocking mode")
    if not ask.streaming and caller.app.mode == "agent":
        raise Refused("bad_request", "Agent App does not support blocking mode")


def _workflow(caller: Caller, pinned: str) -> str:
    """The version of the graph to run."""
    if pinned and not is_uuid(pinned):
        raise Refused("bad_request", f"Invalid workflow_id format: '{pinned}'.")
    if pinned == caller.app.draft_id:
        raise Refused("bad_request", f"Cannot use draft workflow version. Workflow ID: {pinned}.")
    if pinned and pinned != caller.app.workflow_id:
        raise Refused("not_found", f"Workflow not found with id: {pinned}")
    return caller.app.workflow_id


async def _started(
    platform: Platform, caller: Caller, ask: Ask, name: str, workflow_id: str
) -> tuple[Run, Message]:
    app, store, user = caller.app, platform.store, caller.user(name)
    found = _continued(platform, user, ask)
    continues = found is not None and app.mode != "advanced-chat"
    inputs = found.inputs if continues and found is not None else _inputs(platform, caller, user, ask)
    files = attach(ask.files, app, store, user)
    now = platform.now()
    conversation = found if found is not None else _opened(platform, caller, user, inputs, now)
    message = Message(platform.new_id(), conversation.id, user, inputs, ask.query, now, files)
    platform.started[caller.key] += 1
    turn = Turn(
        app=app,
        knobs=caller.knobs,
        version=platform.version,
        user=name,
        task_id=platform.new_id(),
        message_id=message.id,
        conversation_id=conversation.id,
        run_id=platform.new_id(),
        workflow_id=workflow_id,
        created_at=now,
        query=ask.query,
        inputs=inputs,
        files=files,
        new_id=platform.new_id,
        turn_number=platform.started[caller.key],
    )
    turn.think(list(conversation.messages))
    if found is None and ask.names:
        conversation.name = prose.quoted(ask.query)[:40]
        pause = caller.knobs.name_pause
        await asyncio.sleep(platform.version.name_pause if pause is None else pause)
    if app.mode != "workflow":
        store.messages.add(message.id, message)
        conversation.messages.append(message)
        conversation.updated_at = now
    run = Run(turn, user)
    platform.runs.start(run)
    return run, message


def _continued(platform: Platform, user: User, ask: Ask) -> Conversation | None:
    if not ask.conversation_id:
        return None
    found = platform.store.conversation(ask.conversation_id.lower(), user)
    if found is None:
        raise Refused("not_found", "Conversation Not Exists.")
    if found.completed:
        raise Refused("conversation_completed")
    return found


def _opened(platform: Platform, caller: Caller, user: User, inputs: dict[str, Any], now: int) -> Conversation:
    conversation = Conversation(platform.new_id(), user, inputs, now, now)
    if caller.app.mode == "advanced-chat":
        id = platform.new_id()
        conversation.variables[id] = {
            "id": id,
            "name": "memory",
            "value_type": "string",
            "value": "",
            "description": "What to remember",
            "created_at": now,
            "updated_at": now,
        }
    if caller.app.mode in CHATS:
        platform.store.conversations.add(conversation.id, conversation)
    return conversation


def _inputs(platform: Platform, caller: Caller, user: User, ask: Ask) -> dict[str, Any]:
    inputs = fill(caller.app.form, ask.inputs)
    for variable in caller.app.form:
        given = inputs[variable.variable]
        if variable.type in _PLURAL and given:
            several = given if isinstance(given, list) else [given]
            attached = attach(several, caller.app, platform.store, user)
            inputs[variable.variable] = attached if variable.type == "file-list" else attached[0]
    return inputs


# Replies.


async def _streamed(
    request: web.Request, platform: Platform, run: Run, message: Message
) -> web.StreamResponse:
    stream = EventStream(request, platform.version, run.turn.knobs)
    try:
        if await stream.tell(run):
            _saved(message, run.turn)
    except ConnectionError:
        # The client is gone. What it did not hear is not stored either.
        if not run.turn.knobs.run_on:
            platform.runs.abandon(run)
    return stream.response


def _saved(message: Message, turn: Turn) -> None:
    message.answer = turn.answer
    message.resources = turn.resources()
    message.thoughts = list(turn.agent_thoughts.values())
    if turn.error is not None:
        message.status, message.error = "error", turn.error


async def _in_one_piece(run: Run, message: Message) -> web.Response:
    ends: dict[str, Event] = {}
    while (event := await run.events.get()) is not None:
        ends[event["event"]] = event
    _saved(message, run.turn)
    if (error := ends.get("error")) is not None:
        raise Refused(error["code"], error["message"], error["status"])
    turn = run.turn
    if turn.app.mode == "workflow":
        return reply({"task_id": turn.task_id, "workflow_run_id": turn.run_id, "data": _outcome(turn)})
    told = {
        "event": "message",
        "task_id": turn.task_id,
        "id": turn.message_id,
        "message_id": turn.message_id,
        "conversation_id": turn.conversation_id,
        "mode": turn.app.mode,
        "answer": turn.answer,
        "metadata": turn.metadata(),
        "created_at": turn.created_at,
    }
    if turn.app.mode == "completion":
        del told["conversation_id"]
    return reply(told)


def _outcome(turn: Turn) -> Mapping[str, Any]:
    members = (
        "id",
        "workflow_id",
        "status",
        "outputs",
        "error",
        "elapsed_time",
        "total_tokens",
        "total_steps",
        "created_at",
        "finished_at",
    )
    finished = {"workflow_id": turn.workflow_id, "finished_at": None, **(turn.finished or {})}
    return {member: finished[member] for member in members}


async def stop(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    _, name = await body_of(request, required=True)
    belongs(caller, _family(request))
    platform.runs.stop(request.match_info["task_id"], caller.user(name), caller.app.mode)
    return reply({"result": "success"})
