"""How the Coze stand-in says yes and no.

Everything but a token answer comes in one envelope: ``code`` (0 is success), ``msg`` and, from the hosted
platform, ``detail.logid``; the same logid is in the header ``x-tt-logid`` of every response. A ``Fault`` is the no:
hosted Coze says most of them with status 200, Studio has codes and statuses of its own for the same things.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from translators import wirejson

LOGID = web.RequestKey("logid", str)
LOGID_HEADER = "x-tt-logid"

STUDIO_INVALID = 400
STUDIO_INTERNAL = 500
STUDIO_UNKNOWN_TOKEN = 700012006


class Fault(Exception):
    """A refusal: the hosted platform's code, and Studio's for the same thing."""

    def __init__(self, code: int, msg: str, studio: int | None = None, **beside: Any) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.studio = code if studio is None else studio
        self.beside = beside
        """More members of the envelope."""


def invalid(msg: str) -> Fault:
    return Fault(4000, msg, STUDIO_INVALID)


def missing(name: str) -> Fault:
    return invalid(f"The field {name} is required.")


def unknown_token(msg: str = "authentication is invalid") -> Fault:
    return Fault(4100, msg, STUDIO_UNKNOWN_TOKEN)


def forbidden(msg: str) -> Fault:
    return Fault(4101, msg)


def unpublished(bot_id: str) -> Fault:
    return Fault(4015, f"The bot {bot_id} has not been published to the channel Agent As API.")


def busy() -> Fault:
    return Fault(
        4016, "Conversation occupied: another chat is in progress in this conversation.", STUDIO_INVALID
    )


def not_cancellable(status: str) -> Fault:
    return Fault(4104, f"A chat that is {status} cannot be cancelled.", 103200005)


def no_conversation(conversation_id: str) -> Fault:
    return Fault(4200, f"Conversation {conversation_id} does not exist.", 103000002)


def no_chat(chat_id: str) -> Fault:
    return Fault(4200, f"Chat {chat_id} does not exist.", 103200003)


def no_bot(bot_id: str) -> Fault:
    return Fault(4200, f"Bot {bot_id} does not exist.", 103100002)


def no_resource(what: str) -> Fault:
    return Fault(4200, f"{what} does not exist.", STUDIO_INVALID)


def no_workflow(workflow_id: str) -> Fault:
    return Fault(4200, f"Workflow {workflow_id} does not exist or was never published.", 720702011)


def not_saved() -> Fault:
    return Fault(5000, "internal error: the chat was not saved", STUDIO_INTERNAL)


def ok(request: web.Request, data: Any = None, **beside: Any) -> web.Response:
    """The envelope of a success; ``beside`` are members next to ``data``, which is left out when None."""
    envelope: dict[str, Any] = {"code": 0, "msg": "", **beside}
    if data is not None:
        envelope["data"] = data
    return plain(request, {**envelope, "detail": {"logid": request[LOGID]}})


def plain(request: web.Request, document: Any, status: int = 200) -> web.Response:
    return web.Response(body=wirejson.dumps(document), status=status, content_type="application/json")


def refused(request: web.Request, fault: Fault, auth_status: int) -> web.Response:
    """As the hosted platform says it."""
    document = {
        "code": fault.code,
        "msg": fault.msg,
        **fault.beside,
        "detail": {"logid": request[LOGID]},
    }
    return plain(request, document, auth_status if fault.code == 4100 else 200)


def refused_by_studio(request: web.Request, fault: Fault) -> web.Response:
    """Bad requests are 400, the unknown is 500, and what the domain refuses is 200."""
    if request.path == "/v3/chat/retrieve" and fault.studio != STUDIO_UNKNOWN_TOKEN:
        return web.Response(text=fault.msg, status=500)
    status = fault.studio if fault.studio in (STUDIO_INVALID, STUDIO_INTERNAL) else 200
    msg = "internal server error" if fault.studio == STUDIO_INTERNAL else fault.msg
    return plain(request, {"code": fault.studio, "msg": msg, **fault.beside}, status)
