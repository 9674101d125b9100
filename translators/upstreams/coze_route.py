"""Which of Coze's three models a request is for, and which bot, workflow and conversation.

What the request says in headers wins over the model's name, and that over the settings. Names of models that
mean nothing here are fine: clients say ``gpt-4o`` to whatever they are connected to, and get the default bot.

A conversation id counts in the chat model, too: a client that sends one wants that conversation. For a workflow
it is the name of a session, which is the client's to choose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from translators.errors import BadRequest
from translators.record import record
from translators.upstreams.coze_ids import is_id
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Caller

HEARS = frozenset({"x-model-type", "x-bot-id", "x-workflow-id", "x-conversation-id"})

_TYPES = ("chat", "conversation", "workflow")
_NAMED = re.compile(r"(bot|workflow)/(.*)", re.DOTALL)
_LONG = re.compile(r"[0-9]{15,25}", re.ASCII)
_SESSION = re.compile(r"[\x21-\x7e]{1,128}")


@record
class Route:
    model_type: Literal["chat", "conversation", "workflow"]
    bot_id: str = ""
    workflow_id: str = ""
    conversation_id: str = ""
    session: str = ""
    """What a client calls the workflow runs that belong together."""


def route(model: str, settings: CozeSettings, caller: Caller, body: Mapping[str, Any]) -> Route:
    asked = _header(caller, "x-model-type").lower() if caller.headers else ""
    if asked and asked not in _TYPES:
        raise BadRequest(
            f"The model type must be one of {', '.join(_TYPES)}.",
            param="x-model-type",
            code="invalid_model_type",
        )
    model_type = asked or settings.model_type
    named = _named(model, model_type)
    if not asked and named is not None:
        what, _ = named
        model_type = "workflow" if what == "workflow" else "chat" if model_type == "workflow" else model_type
    ids = {"bot": settings.bot_id, "workflow": settings.workflow_id}
    if named is not None:
        ids[named[0]] = named[1]
    for what in ids if caller.headers else ():
        ids[what] = _checked(_header(caller, f"x-{what}-id"), f"x-{what}-id", what) or ids[what]
    if model_type == "workflow":
        return _workflow_route(ids, settings, caller, body)
    if not ids["bot"]:
        raise BadRequest("Bot ID is required for chat completion", code="missing_bot_id")
    is_named = caller.headers or "metadata" in body
    conversation_id = _conversation_id(caller, body) if is_named else ""
    return Route("conversation" if model_type == "conversation" else "chat", ids["bot"], "", conversation_id)


def _workflow_route(
    ids: Mapping[str, str], settings: CozeSettings, caller: Caller, body: Mapping[str, Any]
) -> Route:
    if not ids["workflow"]:
        raise BadRequest("Workflow ID is required for workflow execution", code="missing_workflow_id")
    if settings.chatflow:
        return Route("workflow", ids["bot"], ids["workflow"], _conversation_id(caller, body))
    session = (
        _header(caller, "x-conversation-id") or _own(body, "session_id") or _own(body, "conversation_id")
    )
    if session and not _SESSION.fullmatch(session):
        raise BadRequest(
            "The name of a session is 1 to 128 visible ASCII characters.", code="invalid_conversation_id"
        )
    return Route("workflow", ids["bot"], ids["workflow"], "", session)


def named_bot(settings: CozeSettings, caller: Caller) -> str:
    """The bot that a request without a model is about."""
    bot_id = _checked(_header(caller, "x-bot-id"), "x-bot-id", "bot") or settings.bot_id
    if not bot_id:
        raise BadRequest("Bot ID is required to list or create conversations", code="missing_bot_id")
    return bot_id


def checked_conversation(id: str) -> str:
    if not is_id(id):
        raise BadRequest("A conversation id is 1 to 25 digits.", code="invalid_conversation_id")
    return id


def _header(caller: Caller, name: str) -> str:
    return caller.headers.get(name, "").strip()


def _own(body: Mapping[str, Any], name: str) -> str:
    """A member of the request's metadata that is ours."""
    value = body["metadata"].get(name) if "metadata" in body else None
    return value.strip() if isinstance(value, str) else ""


def _conversation_id(caller: Caller, body: Mapping[str, Any]) -> str:
    id = _header(caller, "x-conversation-id") or _own(body, "conversation_id")
    return checked_conversation(id) if id else ""


def _named(model: str, model_type: str) -> tuple[str, str] | None:
    """What a model's name names, and its id."""
    match = _NAMED.fullmatch(model) if "/" in model else None
    if match is not None:
        return match[1], _checked(match[2], "model", match[1]) or _refuse("model", match[1])
    if model.startswith("bot-") and is_id(model[4:]):
        return "bot", model[4:]
    if model.isdecimal() and _LONG.fullmatch(model):
        return "workflow" if model_type == "workflow" else "bot", model
    return None


def _checked(id: str, param: str, what: str) -> str:
    return id if not id or is_id(id) else _refuse(param, what)


def _refuse(param: str, what: str) -> str:
    raise BadRequest(f"A {what} id is 1 to 25 digits.", param=param, code=f"invalid_{what}_id")
