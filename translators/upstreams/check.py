"""What an upstream's list of models says about it: that it is there, takes the key, and speaks the dialect.

The words are for the operator who checks a configuration, so they hold a status and never what the upstream said.
"""

from __future__ import annotations

from translators import wirejson
from translators.errors import UpstreamAuthFailed, UpstreamError, UpstreamMalformed
from translators.upstreams.plan import Call, Plan, Reply

_REFUSALS = {
    401: (UpstreamAuthFailed, "refused the key"),
    403: (UpstreamAuthFailed, "refused the key"),
    404: (UpstreamError, "has no list of models at this address"),
}


def listed_at(path: str) -> Plan[str]:
    """How many models there are, in words. Raises GatewayError."""
    reply: Reply = yield Call("GET", path, headers={"Accept": "application/json"})
    if reply.status != 200:
        kind, said = _REFUSALS.get(reply.status, (UpstreamError, "answered"))
        raise kind(f"{said} (HTTP {reply.status})")
    try:
        document = wirejson.loads(reply.body)
    except ValueError:
        raise UpstreamMalformed("answered with something that is not JSON") from None
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise UpstreamMalformed("answered with JSON that is not a list of models")
    return f"{len(models)} models"
