"""GET /v1/models and GET /v1/models/{id}; an id may hold slashes, raw or escaped."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.gateway import Model, unknown_model
from proxy.keys import GATEWAY
from proxy.replies import json_response


async def index(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    entries = [_entry(model, gateway.began) for model in (await gateway.listed()).values()]
    return json_response({"object": "list", "data": entries})


async def show(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    name = request.match_info["id"]
    model = gateway.models().get(name) or (await gateway.listed()).get(name)
    if model is None:
        raise unknown_model(name)
    return json_response(_entry(model, gateway.began))


def _entry(model: Model, created: int) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created or created, "owned_by": model.owner}
