"""A request read as its service reads it: JSON of the right type, in the right shape, without its nulls."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.simulators.bedrock_faults import Fault
from proxy.simulators.bedrock_shapes import Structure, without_nulls
from translators import wirejson


async def document_of(request: web.Request, shape: Structure) -> dict[str, Any]:
    """The body, if it has this shape; no body at all is an empty one."""
    raw = await request.read()
    if raw and request.content_type != "application/json":
        raise Fault(
            "unsupportedMediaTypeException", f"The media type {request.content_type!r} is not supported."
        )
    try:
        given = wirejson.loads(raw) if raw else {}
    except ValueError:
        raise Fault("serializationException", "The body is not valid JSON.") from None
    shape.check(given, "")
    read: dict[str, Any] = without_nulls(given)
    return read
