"""Speech to text and text to speech by a Dify app, where its maker has switched them on.

Dify judges a recording by the media type that its part of the form says, and knows few: the usual names of the same
formats are put into its own words.
"""

from __future__ import annotations

import re
from functools import partial

from translators import wirejson
from translators.errors import GatewayError, UpstreamMalformed
from translators.upstreams.audio import Recording, Speech, Spoken
from translators.upstreams.dify_ask import authorization, user_of
from translators.upstreams.dify_errors import refusal
from translators.upstreams.dify_files import Upload, mime_of, safe_name
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.plan import Call, Caller, Plan, Reply

_KNOWN = {
    **dict.fromkeys(("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/x-mpeg"), "audio/mp3"),
    **dict.fromkeys(("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), "audio/wav"),
    **dict.fromkeys(("audio/mp4", "audio/m4a", "audio/x-m4a", "video/mp4"), "audio/m4a"),
    **{name: name for name in ("audio/amr", "audio/mpga")},
}
_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}", re.ASCII)


def transcription(settings: DifySettings, caller: Caller, recording: Recording) -> Plan[str]:
    told = recording.mime.partition(";")[0].strip().lower()
    mime = _KNOWN.get(told) or _KNOWN.get(mime_of(recording.name, "")) or told
    if not _TYPE.fullmatch(mime):
        mime = "application/octet-stream"
    upload = Upload("audio", safe_name(recording.name, mime, "recording"), mime, recording.data)
    user = user_of({"user": recording.user}, settings, caller)
    reply: Reply = yield upload.call(user, authorization(caller), "audio-to-text")
    if reply.status != 200:
        raise _refused(caller, reply.status, reply.body, None)
    text = wirejson.loads(reply.body).get("text")
    if not isinstance(text, str):
        raise UpstreamMalformed("Dify took a recording and did not say what it heard.")
    return text


def speech(settings: DifySettings, caller: Caller, spoken: Spoken) -> Speech:
    body = {"text": spoken.text, "user": user_of({"user": spoken.user}, settings, caller)}
    if spoken.voice:
        body["voice"] = spoken.voice
    call = Call("POST", "text-to-audio", wirejson.dumps(body), authorization(caller))
    return Speech(call, partial(_refused, caller))


def _refused(caller: Caller, status: int, body: bytes, retry_after: float | None) -> GatewayError:
    return refusal(status, body, retry_after, not caller.key)[0]
