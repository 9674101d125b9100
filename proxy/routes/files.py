"""/v1/files: files that clients keep here.

A file streams to where it is kept while it comes, whatever stands before or behind it in the form, and is only
kept if the whole form is right. Content is always told to be bytes to be saved, never something to be shown: a
browser that is led here runs nothing. As a file never changes, its id is its entity tag.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web
from attrs import frozen

from proxy.callers import owner_of
from proxy.files import MOST_LISTED, About, checked_name, is_expiry, is_purpose, too_large
from proxy.files import told as shown
from proxy.keys import GATEWAY, RECORD
from proxy.replies import json_response
from proxy.routes.multipart import Head
from proxy.routes.paging import LONGEST_ID
from proxy.routes.streamed import Form
from proxy.stores.base import Listed, Page
from translators import wirejson
from translators.checks import missing
from translators.errors import BadRequest, GatewayError, StorageUnavailable

UNNAMED = "upload"
MANY = 500
"""Files in a list that takes longer to write down than streams should wait."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_UNSAVED = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")
_PLAIN = re.compile(r"[^ !#$&+,.0-9A-Za-z^_`{}~()@=;'-]")


async def create(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    files = gateway.files
    form = Form(request, gateway.config.limits, files.max_file, too_large(files.max_file))
    fields: dict[str, str] = {}
    head: Head | None = None
    async with files.receive(owner_of(request.headers)) as intake:
        async for part in form.parts():
            if part.head.name != "file":
                fields[part.head.name] = await part.text()
            elif head is None:
                head = part.head
                await intake.write(part.pieces())
            else:
                raise BadRequest("A form may bring one file.", param="file", code="invalid_form")
        if head is None:
            raise missing("file")
        document = await files.keep(intake, _about(fields, head))
    return json_response(shown(document))


async def index(request: web.Request) -> web.Response:
    query = request.query
    listed = await request.app[GATEWAY].files.list(
        owner_of(request.headers), _page(query), query.get("purpose", "")
    )
    render = partial(_rendered, listed)
    body = await asyncio.to_thread(render) if len(listed.documents) > MANY else render()
    return web.Response(body=body, content_type="application/json")


def _rendered(listed: Listed) -> bytes:
    data = [shown(document) for document in listed.documents]
    return wirejson.dumps(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": listed.more,
        }
    )


async def show(request: web.Request) -> web.Response:
    document = await request.app[GATEWAY].files.get(owner_of(request.headers), request.match_info["id"])
    return json_response(shown(document))


async def delete(request: web.Request) -> web.Response:
    id = request.match_info["id"]
    await request.app[GATEWAY].files.delete(owner_of(request.headers), id)
    return json_response({"id": id, "object": "file", "deleted": True})


async def content(request: web.Request) -> web.StreamResponse:
    files = request.app[GATEWAY].files
    document = await files.get(owner_of(request.headers), request.match_info["id"])
    size, tag = document.size, f'"{document.id}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(document.body["filename"]),
    }
    if _named(request.headers.get(hdrs.IF_NONE_MATCH, ""), tag):
        return web.Response(status=304, headers=headers)
    wanted = _range(request, tag, size)
    if wanted is None:
        refusal = BadRequest(
            f"The file has {size} bytes, and none of those that were asked for.", param="Range"
        )
        headers = {**headers, "Content-Range": f"bytes */{size}"}
        return json_response(refusal.document(), 416, headers)
    if wanted.partial:
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    response = web.StreamResponse(status=206 if wanted.partial else 200, headers=headers)
    response.content_type = "application/octet-stream"
    response.content_length = length = wanted.stop - wanted.start
    if request.method == hdrs.METH_HEAD or not length:
        await response.prepare(request)
        return response
    async with aclosing(files.read(document, wanted.start, wanted.stop)) as pieces:
        return await _sent(request, response, pieces, length)


async def _sent(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes], length: int
) -> web.StreamResponse:
    patience = request.app[GATEWAY].config.limits.write_timeout
    piece = await anext(pieces, b"")
    await response.prepare(request)
    try:
        while piece:
            length -= len(piece)
            async with asyncio.timeout(patience):
                await response.write(piece)
            piece = await anext(pieces, b"")
        if length:
            raise StorageUnavailable("The file is not complete.", retry_after=1.0)
        await response.write_eof()
    except (GatewayError, TimeoutError) as error:
        if isinstance(error, GatewayError):
            request[RECORD].error = error
        if request.transport is not None:
            request.transport.abort()  # what has begun must not look finished
    return response


@frozen
class _Stretch:
    start: int
    stop: int
    partial: bool = True


def _range(request: web.Request, tag: str, size: int) -> _Stretch | None:
    """What is wanted; None if there is nothing of it. What cannot be read, or is several, is everything."""
    whole = _Stretch(0, size, partial=False)
    match = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, "").replace(" ", ""))
    if match is None or not (match[1] or match[2]) or request.headers.get(hdrs.IF_RANGE, tag) != tag:
        return whole
    if not match[1]:
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), int(match[2]) + 1 if match[2] else size
        if match[2] and stop <= start:
            return whole
    return _Stretch(start, min(stop, size)) if start < min(stop, size) else None


def _named(header: str, tag: str) -> bool:
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return tag in tags or tags == ["*"]


def disposition(filename: str) -> str:
    """To be saved, under its name: in ASCII for the old, in full for everybody else, and never as a path."""
    name = _UNSAVED.sub("_", filename).lstrip(".") or "file"
    plain, full = _PLAIN.sub("_", name), quote(name, safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"


def _about(fields: Mapping[str, str], head: Head) -> About:
    if not fields.get("purpose"):
        raise missing("purpose")
    is_purpose(fields["purpose"], "purpose")
    return About(
        checked_name(head.filename or UNNAMED, "file"), fields["purpose"], _seconds(fields), head.mime
    )


def _seconds(fields: Mapping[str, str]) -> int | None:
    told: dict[str, Any] = {
        name: fields[f"expires_after[{name}]"]
        for name in ("anchor", "seconds")
        if f"expires_after[{name}]" in fields
    }
    if not told:
        return None
    if re.fullmatch(r"\d{1,15}", told.get("seconds", ""), re.ASCII):
        told["seconds"] = int(told["seconds"])
    is_expiry(told, "expires_after")
    seconds: int = told["seconds"]
    return seconds


def _page(query: Mapping[str, str]) -> Page:
    limit = query.get("limit", str(MOST_LISTED))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 1 <= int(limit) <= MOST_LISTED):
        raise BadRequest(f"Invalid 'limit': expected an integer from 1 to {MOST_LISTED}.", param="limit")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("Invalid 'order': expected 'asc' or 'desc'.", param="order")
    after = query.get("after", "")
    if len(after) > LONGEST_ID:
        raise BadRequest(f"Invalid 'after': expected at most {LONGEST_ID} characters.", param="after")
    return Page(int(limit), order == "asc", after)
