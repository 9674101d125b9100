"""What a Dify app is asked for words of a recording and for sound of words, and what its answers mean."""

from __future__ import annotations

import json
from email import message_from_bytes
from typing import Any

import pytest

from tests.upstreams.dify_setup import Platform, reply
from translators.errors import (
    GatewayError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
)
from translators.upstreams.audio import Recording, Speech, Spoken
from translators.upstreams.dify import Dify
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.plan import ANYBODY, Call, Caller, Reply

SOUND = b"RIFF" + bytes(range(256)) + b"\r\n--x--\r\n"
ANN = Caller("o1", {}, "app-ann", True)
GATEWAY = Caller("o1")
KEYLESS = Caller("", {}, "", True)


def hear(
    name: str = "a.wav", mime: str = "", user: str = "", caller: Caller = GATEWAY, answer: Any = None
) -> tuple[str | None, Call]:
    """The words, and the call that brought them."""
    brought = reply({"text": "Blue."}) if answer is None else answer
    platform = Platform({"audio-to-text": brought})
    recording = Recording(SOUND, name, mime, user)
    words = platform.carry_out(Dify.transcription(DifySettings(), caller, recording))
    [call] = platform.calls
    return words, call


def form(call: Call) -> list[tuple[str | None, str | None, str, bytes]]:
    """Name, file name, type and content of each part, as somebody else's parser reads them."""
    head = f"Content-Type: {call.headers['Content-Type']}\r\n\r\n".encode()
    parts: Any = message_from_bytes(head + call.body).get_payload()
    read = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        read.append((name, part.get_filename(), part.get_content_type(), part.get_payload(decode=True)))
    return read


def test_a_recording_is_sent_as_a_form_and_its_words_are_read() -> None:
    words, call = hear(user="ann", caller=ANN)
    assert words == "Blue."
    assert (call.method, call.path) == ("POST", "audio-to-text")
    assert call.headers["Authorization"] == "Bearer app-ann"
    boundary = call.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert call.body.startswith(b"--" + boundary.encode()) and SOUND in call.body
    assert call.body.endswith(f"\r\n--{boundary}--\r\n".encode())
    user, file = form(call)
    assert user == ("user", None, "text/plain", b"ann")
    assert file[:3] == ("file", "a.wav", "audio/wav")


def test_the_gateways_own_key_and_its_name_for_a_user() -> None:
    _, call = hear()
    assert "Authorization" not in call.headers
    assert form(call)[0][3].startswith(b"gw-")
    _, other = hear(caller=Caller("o2"))
    assert form(other)[0][3] != form(call)[0][3]
    assert form(hear(caller=ANYBODY)[1])[0][3] == b"gw-anonymous"


@pytest.mark.parametrize(
    ("name", "told", "sent"),
    [
        ("a.wav", "", "audio/wav"),
        ("a.mp3", "", "audio/mp3"),
        ("a.m4a", "", "audio/m4a"),
        ("a.amr", "", "audio/amr"),
        ("A.MPGA", "", "audio/mpga"),
        ("recording", "audio/x-wav", "audio/wav"),
        ("recording", "Audio/MPEG", "audio/mp3"),
        ("recording", "audio/mp4; codecs=x", "audio/m4a"),
        ("a.mp3", "audio/x-wav", "audio/wav"),
        ("a.wav", "application/octet-stream", "audio/wav"),
        ("a.flac", "audio/flac", "audio/flac"),
        ("a.flac", "", "application/octet-stream"),
        ("a.flac", "text/evil\x01\x0b", "application/octet-stream"),
        ("a.flac", "audio/flac\r\nx: y", "application/octet-stream"),
    ],
)
def test_types_are_told_in_difys_own_words(name: str, told: str, sent: str) -> None:
    _, call = hear(name, told)
    assert f"Content-Type: {sent}\r\n\r\n".encode() in call.body
    assert b"evil" not in call.body and b"x: y" not in call.body


def test_names_cannot_write_into_the_form() -> None:
    _, call = hear('a\x0b"; x\r\n.wav', user="ann\r\n--evil\x00")
    user, file = form(call)
    assert user[3] == b"ann --evil"
    assert file[1:3] == ("a_; x_.wav", "audio/wav")
    _, call = hear("", "audio/mpeg")
    assert b'filename="recording.mp3"' in call.body


REFUSED: list[tuple[Reply, type[GatewayError], str | None]] = [
    (reply({"code": "audio_too_large", "message": "Audio size larger."}, 413), TooLarge, "file_too_large"),
    (reply({"code": "unsupported_audio_type", "message": "No."}, 415), UpstreamRejected, "unsupported_file"),
    (reply({"code": "x", "message": "Speech to text is not enabled"}, 400), UpstreamRejected, "x"),
    (Reply(502, b"<html>"), UpstreamError, "bad_upstream_response"),
    (Reply(204, b""), UpstreamMalformed, "bad_upstream_response"),
    (reply({"said": 1}), UpstreamMalformed, "bad_upstream_response"),
    (reply({"text": 7}), UpstreamMalformed, "bad_upstream_response"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), REFUSED)
def test_recordings_that_become_no_words(answer: Reply, kind: type[GatewayError], code: str | None) -> None:
    with pytest.raises(kind) as caught:
        hear(answer=answer)
    assert caught.value.code == code


def test_an_answer_that_is_no_document_cannot_be_read() -> None:
    for body in (b"<html>", b"null", b"[]"):
        with pytest.raises((ValueError, AttributeError)):
            hear(answer=Reply(200, body))


def test_whose_key_was_refused() -> None:
    refused = reply({"code": "unauthorized", "message": "Access token is invalid"}, 401)
    with pytest.raises(UpstreamAuthFailed):
        hear(answer=refused)
    with pytest.raises(Unauthenticated):
        hear(answer=refused, caller=ANN)


def test_without_a_key_that_the_client_has_to_bring_nothing_is_asked() -> None:
    platform = Platform()
    with pytest.raises(Unauthenticated):
        platform.carry_out(Dify.transcription(DifySettings(), KEYLESS, Recording(SOUND, "a.wav", "")))
    assert platform.calls == []
    with pytest.raises(Unauthenticated):
        Dify.speech(DifySettings(), KEYLESS, Spoken("One."))


# Speaking.


def speak(spoken: Spoken, caller: Caller = GATEWAY, **settings: Any) -> Speech:
    return Dify.speech(DifySettings(**settings), caller, spoken)


def test_words_are_sent_to_become_sound() -> None:
    call = speak(Spoken("One two. Grüße.", "alloy", "ann"), ANN).call
    assert (call.method, call.path) == ("POST", "text-to-audio")
    assert call.headers == {"Authorization": "Bearer app-ann"}
    assert json.loads(call.body) == {"text": "One two. Grüße.", "user": "ann", "voice": "alloy"}


def test_a_voice_that_was_not_named_is_the_apps_own() -> None:
    call = speak(Spoken("One."), user="desk").call
    assert json.loads(call.body) == {"text": "One.", "user": "desk"}
    assert call.headers == {}


def test_why_there_is_no_sound() -> None:
    off = json.dumps({"code": "invalid_param", "message": "TTS is not enabled"}).encode()
    error = speak(Spoken("One.")).refusal(400, off, None)
    assert type(error) is UpstreamRejected and "TTS is not enabled" in error.message
    crowd = json.dumps({"code": "rate_limit_error", "message": "slow"}).encode()
    error = speak(Spoken("One.")).refusal(429, crowd, 7.0)
    assert type(error) is RateLimited and error.retry_after == 7.0
    wrong = json.dumps({"code": "unauthorized", "message": "no"}).encode()
    assert type(speak(Spoken("One.")).refusal(401, wrong, None)) is UpstreamAuthFailed
    assert type(speak(Spoken("One."), ANN).refusal(401, wrong, None)) is Unauthenticated


# What an app says about itself.


def test_a_check_says_what_the_key_opens() -> None:
    platform = Platform({"info": reply({"name": "Birds", "mode": "advanced-chat"})})
    assert platform.carry_out(Dify.check(DifySettings())) == "a chatflow"
    assert [(call.method, call.path) for call in platform.calls] == [("GET", "info")]
    with pytest.raises(UpstreamAuthFailed, match="refused the key"):
        Platform({"info": reply({"message": "no"}, 401)}).carry_out(Dify.check(DifySettings()))
