"""POST /v1/audio/transcriptions and /v1/audio/speech: a recording becomes words, words become sound.

What is refused here is what would come out differently from what was asked for: formats that nobody can make of a
platform's answer. Once sound has begun to flow, a failure can only cut the connection.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.keys import GATEWAY, RECORD
from proxy.replies import json_response
from proxy.routes.forms import Form
from proxy.routes.reading import read_body
from proxy.voices import Recording, Sound, Spoken
from translators.decode import decode
from translators.errors import BadRequest, GatewayError

LONGEST_TEXT = 64 * 1024


async def transcriptions(request: web.Request) -> web.Response:
    gateway = request.app[GATEWAY]
    body = await read_body(request, gateway.config.limits)
    form = Form.read(request.headers.get("Content-Type", ""), body)
    shape = form.fields.get("response_format", "json")
    file = form.files.get("file")
    if not form.fields.get("model"):
        raise _missing("model")
    if file is None or not file.data:
        raise _missing("file")
    if shape not in ("json", "text"):
        raise _unsupported("response_format", "'json' or 'text'")
    if form.fields.get("stream", "false").lower() not in ("false", "0", ""):
        raise _unsupported("stream", "false")
    recording = Recording(file.data, file.name, file.mime, form.fields.get("user", ""))
    text = await gateway.voices.hear(form.fields["model"], recording, request.headers)
    return json_response({"text": text}) if shape == "json" else web.Response(text=f"{text}\n")


async def speech(request: web.Request) -> web.StreamResponse:
    gateway = request.app[GATEWAY]
    body = decode(await read_body(request, gateway.config.limits))
    model, text = _text(body, "model"), _text(body, "input")
    if not model or not text.strip():
        raise _missing("input" if model else "model")
    if len(text) > LONGEST_TEXT:
        raise BadRequest(f"'input' may have at most {LONGEST_TEXT} characters.", param="input")
    if _text(body, "response_format") not in ("", "mp3"):
        raise _unsupported("response_format", "'mp3'")
    if _text(body, "stream_format") not in ("", "audio"):
        raise _unsupported("stream_format", "'audio'")
    spoken = Spoken(text, _text(body, "voice"), _text(body, "user"))
    async with gateway.voices.speak(model, spoken, request.headers) as sound:
        return await _played(request, sound)


async def _played(request: web.Request, sound: Sound) -> web.StreamResponse:
    pieces = sound.pieces()
    first = await anext(pieces, b"")
    response = web.StreamResponse(headers={"Content-Type": sound.mime, "Cache-Control": "no-cache"})
    await response.prepare(request)
    try:
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    except GatewayError as error:
        request[RECORD].error = error
        if request.transport is not None:
            request.transport.abort()  # sound that has begun must not look finished
    return response


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if isinstance(value, dict) and name == "voice":  # a voice of one's own is named by an object
        value = value.get("id")
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"Invalid type for '{name}': expected a string.", param=name, code="invalid_type")
    return value or ""


def _missing(name: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _unsupported(name: str, known: str) -> BadRequest:
    return BadRequest(
        f"Unsupported value: '{name}' can only be {known} here.", param=name, code="unsupported_value"
    )
