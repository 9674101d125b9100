"""What was said before: conversations, their messages, feedback, and what became of a graph's runs.

Every list is one user's and comes in pages. The messages of a page are in the order they were said, although the
page begins at the end of the conversation.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from proxy.simulators.dify_checks import is_uuid
from proxy.simulators.dify_errors import FieldsRefused, Refused, Wrong, invalid
from proxy.simulators.dify_files import kind_of
from proxy.simulators.dify_nodes import graph_event
from proxy.simulators.dify_platform import (
    CALLER,
    PLATFORM,
    Caller,
    body_of,
    not_there,
    reply,
    user_in_query,
)
from proxy.simulators.dify_runs import Run
from proxy.simulators.dify_store import Conversation, Message
from proxy.simulators.dify_versions import CHATS

_SORTS = ("created_at", "-created_at", "updated_at", "-updated_at")
_RATINGS = ("like", "dislike", None)


def _chats_only(caller: Caller) -> None:
    if caller.app.mode not in CHATS:
        raise Refused("not_chat_app")


def _limit(request: web.Request, model: str) -> int:
    given = request.query.get("limit", "20")
    if not given.isdecimal() or not 1 <= int(given) <= 100:
        raise FieldsRefused(model, (Wrong("limit", "Input should be from 1 to 100", "int_parsing", given),))
    return int(given)


def _id_in_query(request: web.Request, name: str, model: str) -> str:
    given = request.query.get(name, "")
    if given and not is_uuid(given):
        raise FieldsRefused(model, (Wrong(name, "Input should be a valid UUID", "uuid_parsing", given),))
    return given


def _conversation(request: web.Request, id: str, name: str) -> Conversation:
    platform, caller = request.app[PLATFORM], request[CALLER]
    found = platform.store.conversation(id, caller.user(name))
    if found is None:
        raise Refused("not_found", "Conversation Not Exists.")
    return found


# Conversations.


async def conversations(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    name = user_in_query(request)
    _chats_only(caller)
    model = "ConversationListQuery"
    limit, last_id = _limit(request, model), _id_in_query(request, "last_id", model)
    sort = request.query.get("sort_by", "-updated_at")
    if sort not in _SORTS:
        raise FieldsRefused(
            model, (Wrong("sort_by", "Input should be a known order", "literal_error", sort),)
        )
    # Of those that tell the same time the newest counts as later.
    found = list(platform.store.conversations_of(caller.user(name)))
    found.sort(key=lambda one: getattr(one, sort.lstrip("-")))
    if sort.startswith("-"):
        found.reverse()
    start = 0
    if last_id:
        places = [place for place, one in enumerate(found) if one.id == last_id]
        if not places:
            raise Refused("not_found", "Last Conversation Not Exists.")
        start = places[0] + 1
    page = found[start : start + limit]
    told = [one.document(caller.app.opening) for one in page]
    return reply({"limit": limit, "has_more": len(found) > start + limit, "data": told})


async def delete(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    _, name = await body_of(request, required=False)
    _chats_only(caller)
    platform.store.forget(_conversation(request, request.match_info["id"], name))
    if platform.version.deletes_with_body:
        return reply({"result": "success"})
    return web.Response(status=204)


async def rename(request: web.Request) -> web.StreamResponse:
    caller = request[CALLER]
    body, name = await body_of(request, required=False)
    _chats_only(caller)
    wanted, automatic = body.get("name"), body.get("auto_generate") is True
    if not automatic and (not isinstance(wanted, str) or not wanted.strip()):
        raise invalid("name is required when auto_generate is false")
    conversation = _conversation(request, request.match_info["id"], name)
    asked = conversation.messages[0].query if conversation.messages else "New conversation"
    conversation.name = asked[:40] if automatic else str(wanted)
    return reply(conversation.document(caller.app.opening))


async def variables(request: web.Request) -> web.StreamResponse:
    _chats_only(request[CALLER])
    limit = _limit(request, "ConversationVariablesQuery")
    conversation = _conversation(request, request.match_info["id"], user_in_query(request))
    told = list(conversation.variables.values())
    return reply({"limit": limit, "has_more": len(told) > limit, "data": told[:limit]})


async def set_variable(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    body, name = await body_of(request, required=False)
    _chats_only(caller)
    conversation = _conversation(request, request.match_info["id"], name)
    variable = conversation.variables.get(request.match_info["variable_id"])
    if variable is None:
        raise Refused("not_found", "Conversation Variable Not Exists.")
    if not isinstance(body.get("value"), str):
        raise Refused("bad_request", "Type mismatch: variable expects string.")
    variable |= {"value": body["value"], "updated_at": platform.now()}
    return reply(variable)


# Messages.


async def messages(request: web.Request) -> web.StreamResponse:
    caller = request[CALLER]
    _chats_only(caller)
    model = "MessageListQuery"
    if not request.query.get("conversation_id"):
        raise FieldsRefused(
            model, (Wrong("conversation_id", "Field required", "missing", dict(request.query)),)
        )
    id, first_id = _id_in_query(request, "conversation_id", model), _id_in_query(request, "first_id", model)
    limit = _limit(request, model)
    said = list(_conversation(request, id, user_in_query(request)).messages)
    if first_id:
        places = [place for place, one in enumerate(said) if one.id == first_id]
        if not places:
            raise Refused("not_found", "First Message Not Exists.")
        said = said[: places[0]]
    page = said[-limit:]
    return reply({"limit": limit, "has_more": len(said) > limit, "data": [_told(one) for one in page]})


def _told(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "parent_message_id": "00000000-0000-0000-0000-000000000000",
        "inputs": message.inputs,
        "query": message.query,
        "answer": message.answer,
        "feedback": message.feedback and {"rating": message.feedback["rating"]},
        "retriever_resources": message.resources,
        "created_at": message.created_at,
        "agent_thoughts": [
            {
                "id": thought["id"],
                "chain_id": None,
                "message_id": message.id,
                "position": thought["position"],
                "thought": thought["thought"],
                "tool": thought["tool"],
                "tool_labels": thought["tool_labels"],
                "tool_input": thought["tool_input"],
                "observation": thought["observation"],
                "files": thought["message_files"],
                "created_at": message.created_at,
            }
            for thought in message.thoughts
        ],
        "message_files": [
            {
                "id": f"{message.id[:-4]}{place:04d}",
                "filename": file["filename"],
                "type": kind_of(file["extension"][1:]),
                "url": file["url"],
                "mime_type": file["mime_type"],
                "size": file["size"],
                "transfer_method": file["transfer_method"],
                "belongs_to": "user",
                "upload_file_id": file["related_id"],
            }
            for place, file in enumerate(message.files)
        ],
        "status": message.status,
        "error": message.error,
    }


def _message(request: web.Request, name: str) -> Message:
    platform, caller = request.app[PLATFORM], request[CALLER]
    found = platform.store.message(request.match_info["id"], caller.user(name))
    if found is None:
        raise Refused("not_found", "Message Not Exists.")
    return found


async def suggested(request: web.Request) -> web.StreamResponse:
    caller = request[CALLER]
    name = user_in_query(request, required=True)
    _chats_only(caller)
    message = _message(request, name)
    if not caller.app.suggestions:
        raise Refused("bad_request", "Suggested Questions Is Disabled.")
    told = [f"What else about {message.query[:40]}?", "Why?", "How so?"]
    return reply({"result": "success", "data": told})


async def give_feedback(request: web.Request) -> web.StreamResponse:
    body, name = await body_of(request, required=True)
    rating = body.get("rating")
    if rating not in _RATINGS:
        reason = "Input should be 'like' or 'dislike'"
        raise FieldsRefused("MessageFeedbackPayload", (Wrong("rating", reason, "literal_error", rating),))
    message = _message(request, name)
    message.feedback = None if rating is None else {"rating": rating, "content": body.get("content")}
    return reply({"result": "success"})


async def feedbacks(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    told = [
        {
            "id": message.id,
            "app_id": caller.app.id,
            "conversation_id": message.conversation_id,
            "message_id": message.id,
            "rating": message.feedback["rating"],
            "content": message.feedback["content"],
            "from_source": "user",
        }
        for message in platform.store.messages.values()
        if message.feedback is not None and message.user[0] == caller.key
    ]
    return reply({"data": told})


# Runs of graphs.


def _run(request: web.Request) -> Run | None:
    return request.app[PLATFORM].runs.of_graph(request.match_info["run_id"], request[CALLER].key)


async def workflow_run(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    if caller.app.mode not in ("workflow", "advanced-chat"):
        raise Refused("not_workflow_app")
    run = _run(request)
    if run is None:
        raise Refused("not_found", "Workflow run not found")
    turn, done = run.turn, run.turn.finished or {}
    outputs = done.get("outputs")
    return reply(
        {
            "id": turn.run_id,
            "workflow_id": turn.workflow_id,
            "status": run.status,
            "inputs": json.dumps(turn.inputs),
            "outputs": json.dumps(outputs) if platform.version.run_outputs_text else outputs,
            "error": done.get("error"),
            "total_steps": done.get("total_steps", 0),
            "total_tokens": done.get("total_tokens", 0),
            "created_at": turn.created_at,
            "finished_at": done.get("finished_at"),
            "elapsed_time": done.get("elapsed_time", 0.0),
        }
    )


async def workflow_events(request: web.Request) -> web.StreamResponse:
    """A run heard again: one that is over says so in one event, one under way when it is over."""
    platform, caller = request.app[PLATFORM], request[CALLER]
    if not platform.version.pauses:
        return not_there()
    name = user_in_query(request, required=True)
    run = _run(request)
    if run is None or run.user != caller.user(name):
        raise Refused("not_found", "Workflow run not found")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    await run.done.wait()
    kind = "workflow_paused" if run.status == "paused" else "workflow_finished"
    told = graph_event(run.turn, kind, run.turn.finished or {})
    await response.write(f"data: {json.dumps(told)}\n\n".encode())
    await response.write_eof()
    return response
