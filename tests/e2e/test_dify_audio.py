"""/v1/audio by the official SDK: recordings that a Dify app hears, and words that it speaks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.config import Alias
from proxy.simulators.dify_apps import Failure
from proxy.simulators.script import Abort, Hang, Send, Wait, chunk
from tests.e2e.dify_scene import Scene, dify_upstream, open_app, scene
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from tests.support.raw import RawClient, Reply
from tests.support.upstream import ScriptThread

pytestmark = pytest.mark.two_ways

TO_TEXT, TO_AUDIO = "/v1/audio-to-text", "/v1/text-to-audio"
WAV = b"RIFF" + bytes(range(256)) + b"\r\n--x--\r\n"
FRAME = b"\xff\xfb\x90\x00"


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_UPSTREAM_DIFY_RETRIES="0") as running:
        yield running


def hear(here: Scene, key: str, name: str = "a.wav", data: bytes = WAV, **more: Any) -> Any:
    create = here.of(key).audio.transcriptions.create
    return create(**{"model": "whisper-1", "file": (name, data), **more})


def speak(here: Scene, key: str, words: str = "One two three.", **more: Any) -> Any:
    return here.of(key).audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": words, **more})


# Hearing.


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("a.wav", "audio/wav"),
        ("a.mp3", "audio/mp3"),
        ("a.m4a", "audio/m4a"),
        ("A.MPGA", "audio/mp3"),
        ("a.amr", "audio/amr"),
    ],
)
def test_a_recording_becomes_words(here: Scene, name: str, mime: str):
    key = here.app("chat")
    assert hear(here, key, name).text == f"I hear {len(WAV)} bytes of {mime}."
    (heard,) = here.asked(key, TO_TEXT)
    assert WAV in heard.body and b'name="user"\r\n\r\ngw-' in heard.body


def test_the_type_that_the_client_says_counts(here: Scene):
    key = here.app("chat")
    for mime, known in (("audio/x-wav", "wav"), ("audio/mpeg", "mp3"), ("audio/mp4; codecs=x", "m4a")):
        told = hear(here, key, file=("recording", WAV, mime)).text
        assert told == f"I hear {len(WAV)} bytes of audio/{known}."


def test_the_words_alone(here: Scene):
    key = here.app("chat")
    told = hear(here, key, response_format="text", language="en", prompt="x", temperature=0)
    assert told == f"I hear {len(WAV)} bytes of audio/wav.\n"


def test_an_app_that_does_not_hear(here: Scene):
    key = here.app("chat", speech_to_text=False)
    with pytest.raises(openai.BadRequestError, match="Speech to text is not enabled") as caught:
        hear(here, key)
    assert caught.value.code == "speech_to_text_disabled"


def test_recordings_that_are_refused(here: Scene):
    key = here.app("chat", upload_limit=100)
    with pytest.raises(openai.APIStatusError) as large:
        hear(here, key)
    assert (large.value.status_code, large.value.code) == (413, "file_too_large")
    with pytest.raises(openai.BadRequestError) as other:
        hear(here, here.app("chat"), "a.flac")
    assert other.value.code == "unsupported_file"
    for shape in ("srt", "verbose_json", "vtt"):
        with pytest.raises(openai.BadRequestError) as refused:
            hear(here, key, response_format=shape)
        assert refused.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as streamed:
        hear(here, key, stream=True)
    assert streamed.value.param == "stream"
    assert len(here.asked(key)) == 1


def test_names_and_types_cannot_write_into_the_form_for_dify(here: Scene):
    key = here.app("chat")
    boundary = "b0"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\nann\x00\r\n--evil\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a\x0b\\"; x.wav"\r\n'
    ).encode() + b"Content-Type: text/evil\x01\x0b\r\n\r\nRIFF\r\n--b0--\r\n"
    told = post(here.gateway, body, f"multipart/form-data; boundary={boundary}", key)
    assert told.json == {"text": "I hear 4 bytes of audio/wav."}
    (heard,) = here.asked(key, TO_TEXT)
    _, _, rest = heard.body.partition(b'name="user"\r\n\r\n')
    assert rest.startswith(b"ann --evil\r\n--deltawire-")
    assert b"evil\x01" not in heard.body and b"\x0b" not in heard.body
    told = post(here.gateway, body.replace(b"x.wav", b"x"), f"multipart/form-data; boundary={boundary}", key)
    assert (told.status, told.json["error"]["code"]) == (400, "unsupported_file")
    assert b"Content-Type: application/octet-stream\r\n" in here.asked(key, TO_TEXT)[-1].body


def post(
    gateway: GatewayThread, body: bytes, content_type: str, key: str = "app-x", path: str = "transcriptions"
) -> Reply:
    with RawClient(gateway.port) as client:
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {key}"}
        client.request("POST", f"/v1/audio/{path}", body, headers)
        return client.reply()


PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FORMS = [
    ("application/json", b"{}", None),
    ("multipart/form-data", b"--b--", None),
    ("multipart/form-data; boundary=b", b"", None),
    ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--", None),
    ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--", None),
    ("multipart/form-data; boundary=b", PART % (b"model", b"m"), None),
    ("multipart/form-data; boundary=b", PART % (b"a", b"") * 70 + b"--b--", None),
    ("multipart/form-data; boundary=b", PART % (b"a", b"x" * 70_000) + b"--b--", None),
    ("multipart/form-data; boundary=b", PART % (b"x", b"m") + b"--b--", "model"),
    ("multipart/form-data; boundary=b", PART % (b"model", b"m") + b"--b--", "file"),
    ("multipart/form-data; boundary=b", PART % (b"model", b"m") + PART % (b"file", b"x") + b"--b--", "file"),
]


@pytest.mark.parametrize(("content_type", "body", "param"), FORMS)
def test_what_is_no_form_with_a_recording(here: Scene, content_type: str, body: bytes, param: str | None):
    before = len(here.stand_in.requests)
    told = post(here.gateway, body, content_type)
    assert (told.status, told.json["error"]["param"]) == (400, param)
    assert len(here.stand_in.requests) == before


# Speaking.


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
def test_words_become_sound(here: Scene, mode: str):
    key = here.app(mode)
    sound = speak(here, key)
    assert sound.response.headers["content-type"] == "audio/mpeg"
    assert sound.content.count(FRAME) == 3
    assert speak(here, key, extra_body={"voice": {"id": "alloy"}}).content == sound.content
    heard, again = here.asked(key)
    assert heard.document == again.document
    assert (heard.path, heard.document["text"]) == (TO_AUDIO, "One two three.")
    assert heard.document["voice"] == "alloy" and heard.document["user"].startswith("gw-")


def test_sound_can_be_streamed(here: Scene):
    key = here.app("chat")
    create = here.of(key).audio.speech.with_streaming_response.create
    with create(model="m", voice="alloy", input="One two three.", response_format="mp3") as sound:
        assert b"".join(sound.iter_bytes()).count(FRAME) == 3


def test_what_cannot_be_spoken(here: Scene):
    silent = here.app("chat", text_to_speech=False)
    with pytest.raises(openai.BadRequestError, match="TTS is not enabled"):
        speak(here, silent)
    wrong = [
        ({"words": " "}, "input"),
        ({"words": "x" * 70_000}, "input"),
        ({"response_format": "opus"}, "response_format"),
        ({"extra_body": {"stream_format": "sse"}}, "stream_format"),
        ({"extra_body": {"voice": 7}}, "voice"),
    ]
    for changes, param in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            speak(here, silent, **changes)
        assert caught.value.param == param
    assert len(here.asked(silent)) == 1
    with pytest.raises(openai.AuthenticationError):
        speak(here, "app-wrong")
    with pytest.raises(openai.AuthenticationError):
        hear(here, "app-wrong")


def test_an_answer_that_is_no_sound(here: Scene):
    for status, body, code in (
        (200, b"null", "bad_upstream_response"),
        (204, b"", "bad_upstream_response"),
        (500, None, "upstream_error"),
    ):
        key = here.app("chat")
        here.stand_in.apps[key].knobs.failures.append(Failure(status, body=body))
        with pytest.raises(openai.InternalServerError) as caught:
            speak(here, key)
        assert (caught.value.status_code, caught.value.code) == (502, code)
    key = here.app("chat")
    here.stand_in.apps[key].knobs.failures.append(Failure(200, body=b'{"said": 1}'))
    with pytest.raises(openai.InternalServerError):
        hear(here, key)


def test_the_gateways_own_key_and_its_refusal(serve_config, here: Scene):
    app = open_app(here.stand_in, "chat")
    ups = [dify_upstream(here.stand_in.url, key=app), dify_upstream(here.stand_in.url, "bad", key="app-no")]
    models = {"voice": Alias("dify", None, ups[0].options)}
    gateway = serve_config(config_of(*ups, builtin_upstream(), models=models))

    def told(model: str) -> Reply:
        body = json.dumps({"model": model, "input": "One two."}).encode()
        return post(gateway, body, "application/json", path="speech")

    assert told("voice").body.count(FRAME) == told("dify/x").body.count(FRAME) == 2
    refused = told("bad/x")
    assert (refused.status, refused.json["error"]["code"]) == (502, "upstream_auth_failed")
    other = told("demo")
    assert (other.status, other.json["error"]["code"]) == (400, "model_not_supported_endpoint")
    form = PART % (b"model", b"demo")
    form += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--'
    deaf = post(gateway, form, "multipart/form-data; boundary=b")
    assert (deaf.status, deaf.json["error"]["param"]) == (400, "model")


# Sound on real sockets.

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask_aloud(client: RawClient) -> None:
    client.post({"model": "m", "input": "Hello."}, path="/v1/audio/speech")


def test_sound_comes_as_it_is_made_and_breaks_off_visibly(serve, log):
    with ScriptThread(
        [Send(HEAD), Send(chunk(b"SOUND1")), Wait(0.2), Send(chunk(b"SOUND2")), Abort()]
    ) as upstream:
        gateway = serve(dify_upstream(upstream.url, key="app-x", max_concurrency=1))
        with RawClient(gateway.port) as client:
            began = time.monotonic()
            ask_aloud(client)
            client.until(b"SOUND1")
            assert time.monotonic() - began < 0.19
            assert client.until(b"\r\n0\r\n\r\n") == b"\r\n6\r\nSOUND2\r\n"
        gateway.until_idle()
    assert log.requests[-1]["error"] == "upstream_incomplete"
    assert log.tracebacks == []


def test_who_stops_listening_frees_the_place_at_once(serve, log):
    for script in ([Send(HEAD), Send(chunk(b"SOUND1")), Hang()], [Hang()]):
        with ScriptThread(script) as upstream:
            gateway = serve(dify_upstream(upstream.url, key="app-x", max_concurrency=1))
            with RawClient(gateway.port) as client:
                ask_aloud(client)
                upstream.received()
                if len(script) > 1:
                    client.until(b"SOUND1")
                left = time.monotonic()
                client.reset()
                assert upstream.closed_by_peer() - left < 0.5
            gateway.until_idle()
    assert log.tracebacks == []


@pytest.mark.parametrize("way", [("tap", "uvloop")], indirect=True, ids=["tap-uvloop"])
def test_sound_that_does_not_come_in_time(serve):
    with ScriptThread([Hang()]) as upstream:
        up = dify_upstream(upstream.url, key="app-x", max_concurrency=1, first_byte_timeout=0.2)
        gateway = serve(up)
        with RawClient(gateway.port) as client:
            ask_aloud(client)
            told = client.reply()
            assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
        gateway.until_idle()
        upstream.play([Send(HEAD), Send(chunk(b"SOUND1")), Hang()])
        with RawClient(gateway.port) as speaking, RawClient(gateway.port) as waiting:
            ask_aloud(speaking)
            speaking.until(b"SOUND1")
            ask_aloud(waiting)
            assert waiting.reply().status == 504
        assert len(upstream.requests) == 2
        gateway.until_idle()
        upstream.play([Send(HEAD), Hang()])
        gateway = serve(dify_upstream(upstream.url, key="app-x", idle_timeout=0.2))
        with RawClient(gateway.port) as client:
            ask_aloud(client)
            assert client.reply().status == 504
        gateway.until_idle()
