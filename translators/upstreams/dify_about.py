"""What a Dify app says about itself (``GET /info``): its name, for the list of models, and what the key opens.

An operator who checks a configuration hears what kind of app it is, in our words. A gateway without a key of its
own is refused for having sent none, and that is how it should be.
"""

from __future__ import annotations

from typing import Any

from translators import wirejson
from translators.errors import UpstreamAuthFailed, UpstreamError, UpstreamMalformed
from translators.upstreams.plan import Call, Listed, Plan, Reply

_LONGEST_NAME = 128
_KINDS = {
    "chat": "a chat app",
    "agent-chat": "an agent",
    "agent": "an agent of the new kind",
    "advanced-chat": "a chatflow",
    "completion": "a completion app",
    "workflow": "a workflow",
}
_NO_KEY = "Authorization header must be provided"


def name_of_app() -> Plan[list[Listed]]:
    """The one model that there is behind a key."""
    reply: Reply = yield Call("GET", "info")
    name = wirejson.loads(reply.body).get("name") if reply.status == 200 else None
    if isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME:
        return [Listed(name)]
    return []


def kind_of_app() -> Plan[str]:
    """What the key opens, in words. Raises GatewayError."""
    reply: Reply = yield Call("GET", "info", headers={"Accept": "application/json"})
    told = _told(reply.body)
    if reply.status == 401 and str(told.get("message")).startswith(_NO_KEY):
        return "there, and clients bring their own keys"
    if reply.status in (401, 403):
        raise UpstreamAuthFailed(f"refused the key (HTTP {reply.status})")
    if reply.status == 404:
        raise UpstreamError("is not Dify's API at this address (HTTP 404)")
    if reply.status != 200:
        raise UpstreamError(f"answered (HTTP {reply.status})")
    if not isinstance(told.get("name"), str):
        raise UpstreamMalformed("answered with something that does not describe an app")
    return _KINDS.get(str(told.get("mode")), "an app that does not say what kind it is of")


def _told(body: bytes) -> dict[str, Any]:
    try:
        document = wirejson.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
