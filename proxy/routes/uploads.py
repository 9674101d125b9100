"""/v1/uploads: files that come in parts."""

from __future__ import annotations

from aiohttp import web

from proxy.callers import owner_of
from proxy.keys import GATEWAY
from proxy.replies import json_response
from proxy.routes.reading import read_body
from proxy.routes.streamed import Form
from proxy.uploads import LARGEST_PART
from translators.checks import missing
from translators.decode import decode
from translators.errors import BadRequest, TooLarge


async def create(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    body = decode(await read_body(request, gateway.config.limits))
    return json_response(await gateway.uploads.create(owner_of(request.headers), body))


async def add(request: web.Request) -> web.Response:
    gateway, id = request.app[GATEWAY], request.match_info["id"]
    longest = TooLarge(f"A part may have at most {LARGEST_PART} bytes.", param="data")
    form = Form(request, gateway.config.limits, LARGEST_PART, longest)
    found = False
    async with await gateway.uploads.take(owner_of(request.headers), id) as intake:
        async for part in form.parts():
            if part.head.name == "data":
                if found:
                    raise BadRequest("A form may bring one part.", param="data", code="invalid_form")
                found = True
                await intake.write(part.pieces())
        if not found:
            raise missing("data")
        return json_response(await gateway.uploads.keep(intake, id))


async def complete(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    body = decode(await read_body(request, gateway.config.limits))
    id = request.match_info["id"]
    return json_response(await gateway.uploads.complete(owner_of(request.headers), id, body))


async def cancel(request: web.Request) -> web.Response:
    uploads, id = request.app[GATEWAY].uploads, request.match_info["id"]
    return json_response(await uploads.cancel(owner_of(request.headers), id))
