"""What users show to Coze: named where Coze can get it, handed in where it comes along, with words beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.coze_asking import image, messages_of, refused
from tests.upstreams.coze_setup import USER, Errands, asked, coze, good
from translators.errors import BadRequest, UpstreamMalformed


def test_what_is_only_shown_gets_words_beside_it() -> None:
    shown = {"role": "user", "content": [image()]}
    answer = {"role": "assistant", "content": "Nice."}
    assert [one["content"] for one in messages_of(answer, shown)][1:] == [
        "(see attachment)",
        '[{"type":"image","file_url":"https://img.example.org/b.png"}]',
    ]
    assert [one["content_type"] for one in messages_of(USER, shown)] == ["text", "object_string"]
    assert [one["content_type"] for one in messages_of(shown, USER)] == ["object_string", "text"]
    assert [one["content_type"] for one in messages_of(shown, shown)] == ["text", "object_string"] * 2
    told = messages_of({"role": "system", "content": "Be short."}, shown)
    assert json.loads(told[0]["content"])[0] == {"type": "text", "text": "Be short."}


def test_words_beside_what_is_shown_count_among_the_hundred() -> None:
    shown = {"role": "user", "content": [image()]}
    told = messages_of(*[shown] * 120)
    assert len(told) == 100
    assert [one["content_type"] for one in told] == ["text", "object_string"] * 50
    turns = [shown, {"role": "assistant", "content": "Nice."}] * 60
    odd = messages_of(*turns, USER, {"role": "user", "content": "?"})
    assert (len(odd), odd[0]["content"], odd[-1]["content"]) == (98, "(see attachment)", "?")


@pytest.mark.parametrize(
    ("part", "element"),
    [
        (image(), {"type": "image", "file_url": "https://img.example.org/b.png"}),
        ({"type": "image_url", "image_url": "HTTP://h/a"}, {"type": "image", "file_url": "HTTP://h/a"}),
        ({"type": "image", "file_url": "https://h/a"}, {"type": "image", "file_url": "https://h/a"}),
        ({"type": "image", "file_id": "77"}, {"type": "image", "file_id": "77"}),
        ({"type": "audio", "file_id": 77}, {"type": "audio", "file_id": "77"}),
        ({"type": "file", "file_url": "https://h/a"}, {"type": "file", "file_url": "https://h/a"}),
        ({"type": "file", "file_id": "77"}, {"type": "file", "file_id": "77"}),
        ({"type": "file", "file": {"file_id": "77"}}, {"type": "file", "file_id": "77"}),
    ],
)
def test_what_coze_can_fetch_or_has_is_named(part: dict[str, Any], element: dict[str, Any]) -> None:
    told = messages_of({"role": "user", "content": [{"type": "text", "text": "Look:"}, part]})
    assert json.loads(told[0]["content"]) == [{"type": "text", "text": "Look:"}, element]


@pytest.mark.parametrize(
    ("part", "type", "file_name", "mime", "content"),
    [
        (image("data:image/jpeg;base64,aGk="), "image", "image.jpg", "image/jpeg", b"hi"),
        (image("DATA:image/svg+xml;charset=x;BASE64,aGk="), "image", "image.svg", "image/svg+xml", b"hi"),
        (image('data:x"\r\n;base64,aGk='), "image", "image.bin", "application/octet-stream", b"hi"),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            "audio",
            "audio.wav",
            "audio/wav",
            b"hi",
        ),
        (
            {"type": "file", "file": {"file_data": "aGk=", "filename": 'a/"b"\r\n.pdf'}},
            "file",
            "a_b_.pdf",
            "application/octet-stream",
            b"hi",
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "…"}},
            "file",
            "file.txt",
            "text/plain",
            b"hi",
        ),
        ({"type": "file", "file": {"file_data": "aGk="}}, "file", "file", "application/octet-stream", b"hi"),
    ],
)
def test_what_comes_along_is_handed_in(
    part: Any, type: str, file_name: str, mime: str, content: bytes
) -> None:
    errands = Errands([good({"id": "7700"})])
    upstream = coze({"messages": [{"role": "user", "content": [part]}]}, pass_through=True, key="pat_a")
    told = asked(errands.ask(upstream))["additional_messages"]
    assert json.loads(told[-1]["content"]) == [{"type": type, "file_id": "7700"}]
    [upload] = errands.calls
    assert upload.headers["Authorization"] == "Bearer pat_a"
    head, _, rest = upload.body.partition(b"\r\n\r\n")
    assert f'name="file"; filename="{file_name}"\r\n'.encode() in head
    assert head.endswith(f"Content-Type: {mime}".encode())
    assert rest.startswith(content + b"\r\n--")


@pytest.mark.parametrize(
    "part",
    [
        image("data:image/png;base64,a"),
        image("data:image/png;base64,"),
        image("data:image/png;base64,aGk=ü"),
        image("data:image/png,hello"),
        image("file:///etc/passwd"),
        image(""),
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "image_url", "image_url": 7},
        {"type": "image", "file_url": 7},
        {"type": "image"},
        {"type": "file", "file_id": "../x"},
        {"type": "file", "file": {}},
        {"type": "file", "file": {"file_data": 7}},
        {"type": "file"},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "w/v"}},
        {"type": "input_audio", "input_audio": {"data": "aGk="}},
        {"type": "input_audio", "input_audio": {"data": 7, "format": "wav"}},
        {"type": "input_audio"},
        {"type": "video_url", "video_url": {}},
    ],
)
def test_what_cannot_be_shown_is_refused(part: dict[str, Any]) -> None:
    error = refused(coze({"messages": [{"role": "user", "content": [part]}]}))
    assert error.param is not None
    assert error.param.startswith("messages[0].content[0]")
    assert error.code in ("invalid_value", "invalid_base64", "unsupported_content")


def test_so_many_files_and_no_more() -> None:
    parts = [image(f"data:image/png;base64,{letter}{other}==") for letter in "ABCDEFG" for other in "AQgw"]
    errands = Errands([good({"id": "1"})] * 28)
    errands.ask(coze({"messages": [{"role": "user", "content": parts}]}))
    assert len(errands.calls) == 28
    parts += [image(f"data:image/png;base64,{letter}{other}==") for letter in "HI" for other in "AQgw"]
    with pytest.raises(BadRequest) as caught:
        Errands().ask(coze({"messages": [{"role": "user", "content": parts}]}))
    assert caught.value.code == "too_many_files"


def test_an_upload_must_have_an_id() -> None:
    with pytest.raises(UpstreamMalformed):
        Errands([good({})]).ask(
            coze({"messages": [{"role": "user", "content": [image("data:;base64,aGk=")]}]})
        )
