"""Reading what a client sends, within limits of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from proxy.config import Limits
from translators.errors import BadRequest, RequestTimeout, TooLarge


async def read_body(request: web.Request, limits: Limits) -> bytes:
    """The whole body, refused as early as it can be."""
    if request.content_length is not None and request.content_length > limits.max_body:
        raise _too_large(limits.max_body)
    if request.content.is_eof() and request.content.exception() is None:
        whole = request.content.read_nowait()  # most bodies come with their head
        if len(whole) > limits.max_body:
            raise _too_large(limits.max_body)
        return whole
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout):
            while data := await request.content.readany():
                body += data
                if len(body) > limits.max_body:
                    raise _too_large(limits.max_body)
    except TimeoutError:
        raise RequestTimeout(f"The request did not arrive within {limits.body_timeout:g} seconds.") from None
    except web.RequestPayloadError:
        raise BadRequest("The body of the request is not valid HTTP.") from None
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request is larger than the {limit} bytes that this gateway accepts.")
