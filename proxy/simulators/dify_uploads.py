"""Files on their way in and out: uploads, previews, recordings to text and text to recordings.

A form is read from the recorded body, because the record wants the bytes too.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from attrs import Factory, define

from proxy.simulators.dify_apps import MEGABYTE
from proxy.simulators.dify_checks import user_of
from proxy.simulators.dify_errors import Refused, invalid
from proxy.simulators.dify_files import limit_of
from proxy.simulators.dify_platform import CALLER, PLATFORM, body_of, not_there, reply
from proxy.simulators.dify_store import Upload

_HEARD = ("audio/mp3", "audio/m4a", "audio/wav", "audio/amr", "audio/mpga")
_LONGEST_RECORDING = 30 * MEGABYTE
_OLDEST = ("id", "name", "size", "extension", "mime_type", "created_by", "created_at")
_SPOKEN = b"\xff\xfb\x90\x00" + bytes(412)  # one frame of silence
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63f8cfc0f0"
    "1f0005000180a5c7ab0f0000000049454e44ae426082"
)


@define
class _Part:
    filename: str
    content_type: str
    data: bytes


@define
class _Form:
    fields: dict[str, str] = Factory(dict)
    files: list[tuple[str, _Part]] = Factory(list)

    @classmethod
    async def of(cls, request: web.Request) -> _Form:
        """The form in a body; an empty one where there is none, as the platform reads it."""
        form = cls()
        if request.content_type != "multipart/form-data":
            return form
        body = await request.read()
        stream = StreamReader(request.protocol, len(body) + 1)
        stream.feed_data(body)
        stream.feed_eof()
        try:
            async for part in MultipartReader(request.headers, stream):
                await form._add(part)
        except ValueError:
            raise Refused("bad_request") from None
        return form

    async def _add(self, part: object) -> None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            return
        if part.filename is None:
            self.fields[part.name] = await part.text()
        else:
            given = part.headers.get("Content-Type", "").partition(";")[0].strip()
            self.files.append((part.name, _Part(part.filename, given, bytes(await part.read()))))

    def file(self, missing: str) -> _Part:
        named = [part for name, part in self.files if name == "file"]
        if not named:
            raise Refused(missing)
        if len(self.files) > 1:
            raise Refused("too_many_files")
        return named[0]


async def upload(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    form = await _Form.of(request)
    user = caller.user(user_of(form.fields.get("user"), required=False))
    part = form.file("no_file_uploaded")
    if not part.content_type:
        raise Refused("unsupported_file_type")
    if not part.filename:
        raise Refused("filename_not_exists_error")
    limit = caller.knobs.upload_limit
    if len(part.data) > (limit_of(part.filename) if limit is None else limit):
        raise Refused("file_too_large")
    now = platform.now()
    kept = platform.store.keep(
        Upload(platform.new_id(), user, part.filename, part.content_type, part.data, now)
    )
    told = {
        "id": kept.id,
        "name": kept.name,
        "size": len(kept.data),
        "extension": kept.extension,
        "mime_type": kept.mime_type,
        "created_by": "00000000-0000-4000-8000-00000000c002",
        "created_at": now,
        "preview_url": None,
        "source_url": f"/files/{kept.id}/file-preview",
        "original_url": None,
        "user_id": None,
        "tenant_id": None,
        "conversation_id": None,
        "file_key": None,
    }
    if platform.version.short_uploads:
        told = {member: told[member] for member in _OLDEST}
    return reply(told, 201)


async def preview(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    found = platform.store.uploads.get(request.match_info["file_id"])
    if found is None or not found.used:
        raise Refused("file_not_found")
    if found.user[0] != caller.key:
        raise Refused("file_access_denied")
    return _bytes_of(found, attached=request.query.get("as_attachment") == "true")


async def signed(request: web.Request) -> web.StreamResponse:
    """What the URL of an uploaded file leads to, without a key."""
    found = request.app[PLATFORM].store.uploads.get(request.match_info["file_id"])
    return not_there() if found is None else _bytes_of(found, attached=False)


async def tool_file(request: web.Request) -> web.StreamResponse:
    return web.Response(body=_PNG, content_type="image/png")


def _bytes_of(found: Upload, *, attached: bool) -> web.Response:
    headers: Mapping[str, str] = (
        {"Content-Disposition": f"attachment; filename*=UTF-8''{found.id}"} if attached else {}
    )
    return web.Response(body=found.data, content_type=found.mime_type, headers=headers)


# Audio.


async def audio_to_text(request: web.Request) -> web.StreamResponse:
    caller = request[CALLER]
    form = await _Form.of(request)
    if not caller.app.speech_to_text:
        raise Refused("speech_to_text_disabled")
    part = form.file("no_audio_uploaded")
    if part.content_type not in _HEARD:
        raise Refused("unsupported_audio_type")
    limit = caller.knobs.upload_limit
    if len(part.data) > (_LONGEST_RECORDING if limit is None else limit):
        raise Refused("audio_too_large")
    return reply({"text": f"I hear {len(part.data)} bytes of {part.content_type}."})


async def text_to_audio(request: web.Request) -> web.StreamResponse:
    platform, caller = request.app[PLATFORM], request[CALLER]
    body, name = await body_of(request, required=False)
    if not caller.app.text_to_speech:
        raise invalid("TTS is not enabled")
    text = body.get("text")
    if message_id := body.get("message_id"):
        message = platform.store.message(str(message_id), caller.user(name))
        if message is None or not message.answer:
            return reply(None)
        text = message.answer
    if not text or not isinstance(text, str):
        raise invalid("Text is required")
    response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
    await response.prepare(request)
    for _ in text.split():
        await response.write(_SPOKEN)
    await response.write_eof()
    return response
