"""The routes of workflows: run one at once, streamed or for later, reply to what it asks, and the list of them.

A chatflow is a workflow that talks: it has its own route, where the conversation is named in the body and not in
the query, and from there on it is a chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from proxy.simulators import coze_checks as checks
from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_access import ACCESS
from proxy.simulators.coze_chats import begin, send_chat
from proxy.simulators.coze_events import Turn
from proxy.simulators.coze_flows import Flow, counts
from proxy.simulators.coze_knobs import WorkflowKnobs
from proxy.simulators.coze_objects import DEBUG_URL
from proxy.simulators.coze_reading import document_of
from proxy.simulators.coze_state import API_CHANNEL, WORLD, Conversation, Run, World, keep
from proxy.simulators.coze_stream import Writer, send

_AT_ONCE, _STREAMED, _LATER = 0, 1, 2
_PAGE = 30


def _workflow(world: World, workflow_id: str) -> WorkflowKnobs:
    found = world.workflows.get(workflow_id)
    if found is None or not found.published:
        raise replies.no_workflow(workflow_id)
    return found


def _check_owners(request: web.Request, asked: Mapping[str, Any]) -> None:
    world, bot_id = request.app[WORLD], asked.get("bot_id")
    if bot_id is not None and "app_id" in asked:
        raise replies.invalid("Give bot_id or app_id, not both.")
    if bot_id is not None and bot_id not in world.bots:
        raise replies.no_bot(bot_id)
    if bot_id is not None:
        request[ACCESS].check_bot(bot_id)


# Runs.


async def run(request: web.Request) -> web.StreamResponse:
    asked = checks.body(await document_of(request), checks.RUN, "workflow_id")
    later = asked.get("is_async", False)
    knobs = _workflow(request.app[WORLD], asked["workflow_id"])
    if later and not knobs.paid:
        raise replies.Fault(6003, "Asynchronous runs need a paid plan.")
    flow = _begin(request, asked, knobs, _LATER if later else _AT_ONCE)
    if not later:
        return _result(request, flow)
    flow.run.steps, flow.run.polls_left = flow.steps(), knobs.async_polls
    return replies.ok(request, "", execute_id=flow.run.id, debug_url=flow.debug_url)


async def stream_run(request: web.Request) -> web.StreamResponse:
    asked = checks.body(await document_of(request), checks.STREAM_RUN, "workflow_id")
    knobs = _workflow(request.app[WORLD], asked["workflow_id"])
    return await _send(request, _begin(request, asked, knobs, _STREAMED))


def _begin(request: web.Request, asked: Mapping[str, Any], knobs: WorkflowKnobs, mode: int) -> Flow:
    _check_owners(request, asked)
    world, parameters = request.app[WORLD], asked.get("parameters", {})
    owner = asked.get("ext", {}).get("user_id") or request[ACCESS].owner
    new = Run(
        world.new_id(),
        asked["workflow_id"],
        knobs,
        mode,
        [value for value in parameters.values() if isinstance(value, str)],
        owner,
        asked.get("bot_id", "0"),
        world.now(),
        [name for name in knobs.required_parameters if name not in parameters],
        world.now(),
    )
    keep(world.runs, new.id, new)
    return Flow(world, new)


async def _send(request: web.Request, flow: Flow) -> web.StreamResponse:
    world, knobs = request.app[WORLD], flow.run.knobs
    writer = Writer(knobs.framing, space=True, numbered=True, escapes=world.platform.studio)
    return await send(request, world, knobs, flow.steps(), writer, flow=True)


def _result(request: web.Request, flow: Flow) -> web.Response:
    """Run to the end, or to the next question; the answer has its members beside ``code``."""
    for _ in flow.steps():
        pass
    done = flow.run
    beside: dict[str, Any] = {"debug_url": flow.debug_url, "execute_id": done.id}
    if done.status == "Fail":
        raise replies.Fault(done.code, done.msg, **beside)
    if done.waiting:
        if request.app[WORLD].platform.studio:
            raise replies.Fault(6039, "A run that is not streamed cannot be interrupted.")
        return replies.ok(request, "", interrupt_data=done.waiting, **beside)
    more = {} if done.knobs.token is None else {"token": done.knobs.token}
    return replies.ok(request, done.output, cost="0", **beside, **counts(done), **more)


# Replies to what was asked.


async def stream_resume(request: web.Request) -> web.StreamResponse:
    return await _send(request, await _resumed(request))


async def resume(request: web.Request) -> web.StreamResponse:
    return _result(request, await _resumed(request))


async def _resumed(request: web.Request) -> Flow:
    world = request.app[WORLD]
    asked = checks.body(
        await document_of(request),
        checks.RESUME,
        "workflow_id",
        "event_id",
        "interrupt_type",
        "resume_data",
    )
    _workflow(world, asked["workflow_id"])
    waiting = world.runs.get(asked["event_id"].partition("/")[0])
    if waiting is None or waiting.waiting.get("event_id") != asked["event_id"]:
        raise replies.no_resource(f"Event {asked['event_id']}")
    if waiting.workflow_id != asked["workflow_id"] or waiting.waiting["type"] != asked["interrupt_type"]:
        raise replies.invalid("workflow_id and interrupt_type must be those of the interrupt.")
    waiting.waiting = {}
    if asked["resume_data"].strip():
        waiting.said.append(asked["resume_data"])
        waiting.asked, waiting.attempts = waiting.asked + 1, 0
    else:
        waiting.attempts += 1
    return Flow(world, waiting)


# What became of a run.


async def history(request: web.Request) -> web.StreamResponse:
    return replies.ok(request, [_history(request, _asked_for(request, **request.match_info))])


async def studio_history(request: web.Request) -> web.StreamResponse:
    query = request.query
    workflow_id, execute_id = (checks.query_id(query, name) for name in ("workflow_id", "execute_id"))
    return replies.ok(request, [_history(request, _asked_for(request, workflow_id, execute_id))])


def _asked_for(request: web.Request, workflow_id: str, execute_id: str) -> Run:
    found = request.app[WORLD].runs.get(execute_id)
    if found is None or found.workflow_id != workflow_id:
        raise replies.no_resource(f"Execution {execute_id}")
    if found.steps is not None and found.polls_left:
        found.polls_left -= 1
    elif found.steps is not None:
        for _ in found.steps:
            pass
        found.steps = None
    return found


def _history(request: web.Request, of: Run) -> dict[str, Any]:
    over = of.status == "Success"
    found: dict[str, Any] = {
        "execute_id": of.id,
        "execute_status": of.status,
        "bot_id": of.bot_id,
        "connector_id": API_CHANNEL,
        "connector_uid": of.owner,
        "run_mode": of.mode,
        "logid": request[replies.LOGID],
        "create_time": of.created_at,
        "update_time": of.updated_at,
        "output": of.output if over else "",
        "error_code": str(of.code) if of.code else "",
        "error_message": of.msg,
        "debug_url": DEBUG_URL.format(id=of.id),
        "is_output_trimmed": False,
        "node_execute_status": {
            node_id: {
                "node_id": node_id,
                "is_finish": True,
                "update_time": of.updated_at,
                "node_execute_uuid": uuid,
            }
            for uuid, (node_id, _) in of.nodes.items()
        },
    }
    found |= counts(of) if over else {}
    return {**found, "interrupt_data": of.waiting} if of.waiting else found


async def node_output(request: web.Request) -> web.StreamResponse:
    path = request.match_info
    found = _asked_for(request, path["workflow_id"], path["execute_id"])
    if path["uuid"] not in found.nodes:
        raise replies.no_resource(f"Node execution {path['uuid']}")
    return replies.ok(request, {"is_finish": True, "node_output": found.nodes[path["uuid"]][1]})


# Chatflows.


async def chat(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    if "conversation_id" in request.query:
        raise replies.invalid("The field conversation_id belongs in the body.")
    wanted = ("workflow_id", "additional_messages", "parameters")
    asked = checks.body(await document_of(request), checks.CHATFLOW, *wanted)
    _check_owners(request, asked)
    if "bot_id" not in asked and "app_id" not in asked:
        raise replies.invalid("Give bot_id or app_id.")
    knobs = _workflow(world, asked["workflow_id"])
    if knobs.mode != "chatflow":
        raise replies.invalid(f"Workflow {asked['workflow_id']} is not a chatflow.")
    messages = asked["additional_messages"]
    if messages and messages[-1]["role"] != "user":
        raise replies.invalid("The last of additional_messages must be of role user.")
    conversation = _conversation(request, asked)
    if conversation.busy:
        raise replies.busy()
    heard = begin(world, conversation, knobs.chat, {}, messages, flow=True)
    return await send_chat(request, world, heard, Turn(world, heard))


def _conversation(request: web.Request, asked: Mapping[str, Any]) -> Conversation:
    """By id, or else by the name that a parameter gives; a new one where there is neither."""
    world, owner = request.app[WORLD], request[ACCESS].owner
    if "conversation_id" in asked:
        return world.conversation(asked["conversation_id"])
    name = asked["parameters"].get("CONVERSATION_NAME")
    if not isinstance(name, str) or not name:
        return world.open_conversation(owner)
    for conversation in world.conversations.values():
        if (conversation.owner, conversation.name) == (owner, name):
            return conversation
    return world.open_conversation(owner, name=name)


# The list.


def _basic(workflow_id: str, knobs: WorkflowKnobs) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "workflow_name": knobs.name or f"workflow_{workflow_id[-4:]}",
        "description": "A workflow of the stand-in.",
        "icon_url": "",
        "app_id": "0",
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_000,
        "creator": {"id": "1", "name": "standin"},
    }


async def index(request: web.Request) -> web.StreamResponse:
    world, query = request.app[WORLD], request.query
    if checks.query_id(query, "workspace_id") != world.space_id:
        raise replies.forbidden("The token has no permission for this workspace.")
    size = checks.query_number(query, "page_size", 10, _PAGE)
    start = (checks.query_number(query, "page_num", 1) - 1) * size
    mode = query.get("workflow_mode") or None
    status = query.get("publish_status") or "published_online"
    checks.one_of("workflow", "chatflow")(mode or "workflow", "workflow_mode")
    checks.one_of("all", "published_online", "unpublished_draft")(status, "publish_status")
    found = [
        _basic(workflow_id, knobs)
        for workflow_id, knobs in world.workflows.items()
        if mode in (None, knobs.mode)
        and (status == "all" or knobs.published is (status == "published_online"))
    ]
    return replies.ok(request, {"items": found[start : start + size], "has_more": len(found) > start + size})


async def show(request: web.Request) -> web.StreamResponse:
    workflow_id = request.match_info["workflow_id"]
    knobs = request.app[WORLD].workflows.get(workflow_id)
    if knobs is None:
        raise replies.no_workflow(workflow_id)
    found: dict[str, Any] = {"workflow_detail": _basic(workflow_id, knobs)}
    if request.query.get("include_input_output") == "true":
        names = knobs.required_parameters or ("input",)
        required = bool(knobs.required_parameters)
        found["input"] = {"parameters": {name: {"type": "string", "required": required} for name in names}}
        found["output"] = {"terminate_plan": "return_variables"}
    return replies.ok(request, found)
