"""Files that go with a question: case 25 of wire/dify.md, and every other way in which one may come."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.upstreams.dify_setup import (
    FILE,
    PNG,
    UPLOADED,
    Platform,
    asked,
    assistant,
    dify,
    image,
    parts,
    refused,
    reply,
    user,
)
from translators.errors import (
    TooLarge,
    UpstreamMalformed,
)
from translators.upstreams.plan import Cached, Reply


def test_case_25_an_image_inside_the_message() -> None:
    platform = Platform({"files/upload": UPLOADED})
    body = platform.ask(dify({**parts(image(f"data:image/png;base64,{PNG}")), "user": "alice"}))
    assert body["files"] == [{"type": "image", "transfer_method": "local_file", "upload_file_id": FILE}]
    [call] = platform.calls
    boundary = re.fullmatch(
        r"multipart/form-data; boundary=(deltawire-[0-9a-f]{48})", call.headers["Content-Type"]
    )
    assert boundary is not None
    assert (
        call.body
        == (
            f"--{boundary[1]}\r\n"
            'Content-Disposition: form-data; name="user"\r\n\r\nalice\r\n'
            f"--{boundary[1]}\r\n"
            'Content-Disposition: form-data; name="file"; filename="image.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        ).encode()
        + b"\x89PNG not really"
        + f"\r\n--{boundary[1]}--\r\n".encode()
    )


def test_case_25_the_same_file_of_the_same_user_is_uploaded_once() -> None:
    def key(data: str, name: str) -> str:
        plan = dify({**parts(image(f"data:image/png;base64,{data}")), "user": name}).prepare()
        assert plan is not None
        step = next(plan)
        assert isinstance(step, Cached)
        return step.key

    assert key(PNG, "alice") == key(PNG, "alice")
    assert len({key(PNG, "alice"), key(PNG, "bob"), key("AAAA", "alice")}) == 3


@pytest.mark.parametrize(
    "refusal", [Reply(413, b'{"code":"file_too_large","message":"","status":413}'), Reply(413, b"")]
)
def test_case_25_a_file_that_is_too_large(refusal: Reply) -> None:
    with pytest.raises(TooLarge) as caught:
        Platform({"files/upload": refusal}).ask(dify(parts(image(f"data:image/png;base64,{PNG}"))))
    assert caught.value.code == "file_too_large"
    assert caught.value.message == "The file is larger than the Dify server accepts."


def test_case_25_a_file_whose_id_is_not_told() -> None:
    with pytest.raises(UpstreamMalformed):
        Platform({"files/upload": reply({"id": None})}).ask(
            dify(parts(image(f"data:image/png;base64,{PNG}")))
        )


def sound(format: str, data: str = PNG) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": format}}


def file(**members: Any) -> dict[str, Any]:
    return {"type": "file", "file": members}


BAD_FILES: list[tuple[dict[str, Any], str]] = [
    (image("data:image/png;base64,%%%"), "image_url.url"),
    (image("data:image/png;base64,"), "image_url.url"),
    (image("data:image/png,plain"), "image_url.url"),
    (image("ftp://x.example.org/a.png"), "image_url.url"),
    (image("http://"), "image_url.url"),
    (image("https://x.example.org/a b"), "image_url.url"),
    ({"type": "image", "file_url": "/etc/passwd"}, "file_url"),
    (sound("ogg"), "input_audio.format"),
    (sound("wav", "%"), "input_audio.data"),
    (file(), "file"),
    (file(filename="a.pdf"), "file"),
    (file(file_id="file-123"), "file.file_id"),
    (file(file_data="file:///etc/passwd"), "file.file_data"),
    (file(file_data="not base64!"), "file.file_data"),
]


@pytest.mark.parametrize(("part", "where"), BAD_FILES)
def test_case_25_a_bad_file_is_refused_before_anything_is_sent(part: dict[str, Any], where: str) -> None:
    error = refused(parts(part))
    assert error.param == f"messages[0].content[1].{where}"


GIVEN: list[tuple[dict[str, Any], dict[str, str]]] = [
    (image("https://x.example.org/a.png"), {"type": "image", "url": "https://x.example.org/a.png"}),
    (
        {"type": "image_url", "image_url": "HTTPS://x.example.org"},
        {"type": "image", "url": "HTTPS://x.example.org"},
    ),
    (
        {"type": "image", "file_url": "http://x.example.org/a"},
        {"type": "image", "url": "http://x.example.org/a"},
    ),
    (
        file(file_data="https://x.example.org/a.mp4?b=1"),
        {"type": "video", "url": "https://x.example.org/a.mp4?b=1"},
    ),
    (
        file(file_data="https://x.example.org/a", filename="b.mp3"),
        {"type": "audio", "url": "https://x.example.org/a"},
    ),
]


@pytest.mark.parametrize(("part", "told"), GIVEN)
def test_a_file_on_the_web_is_left_to_dify(part: dict[str, Any], told: dict[str, str]) -> None:
    assert asked(parts(part))["files"] == [
        {"type": told["type"], "transfer_method": "remote_url", "url": told["url"]}
    ]


def test_a_file_that_dify_has() -> None:
    local = {"type": "image", "transfer_method": "local_file", "upload_file_id": FILE}
    assert asked(parts(file(file_id=FILE, filename="a.png")))["files"] == [local]
    assert asked(parts(file(file_id=FILE)))["files"] == [{**local, "type": "document"}]


UPLOADS: list[tuple[dict[str, Any], str, str, str]] = [
    (image(f"data:image/svg+xml;charset=utf-8;base64,{PNG}"), "image", "image.svg", "image/svg+xml"),
    (image(f"data:;base64,{PNG}"), "image", "image.octet", "application/octet-stream"),
    (sound("wav"), "audio", "audio.wav", "audio/wav"),
    (sound("mp3"), "audio", "audio.mp3", "audio/mp3"),
    (file(file_data=f"data:application/pdf;base64,{PNG}"), "document", "file.pdf", "application/pdf"),
    (
        file(file_data=f"data:application/pdf;base64,{PNG}", filename='a"\r\n/b.pdf'),
        "document",
        "a_b.pdf",
        "application/pdf",
    ),
    (
        file(file_data=f"data:text/plain;base64,{PNG}", filename="notes"),
        "document",
        "notes.txt",
        "text/plain",
    ),
    (file(file_data=f"data:text/plain;base64,{PNG}", filename="..."), "document", "....txt", "text/plain"),
    (
        file(file_data=PNG, filename="a.docx"),
        "document",
        "a.docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (file(file_data=f"data:video/mp4;base64,{PNG}", filename=7), "video", "file.mp4", "video/mp4"),
    (file(file_data=f"data:x/---;base64,{PNG}"), "document", "file.bin", "x/---"),
]


@pytest.mark.parametrize(("part", "kind", "name", "mime"), UPLOADS)
def test_an_upload_has_a_name_with_an_ending(part: dict[str, Any], kind: str, name: str, mime: str) -> None:
    platform = Platform({"files/upload": UPLOADED})
    body = platform.ask(dify(parts(part)))
    assert body["files"] == [{"type": kind, "transfer_method": "local_file", "upload_file_id": FILE}]
    [call] = platform.calls
    assert f'filename="{name}"\r\nContent-Type: {mime}\r\n\r\n'.encode() in call.body


def test_files_of_earlier_messages_were_given_already() -> None:
    messages = [
        *parts(image("https://x.example.org/a.png"))["messages"],
        assistant("Nice."),
        user("And now?"),
    ]
    assert "files" not in asked({"messages": messages})


def test_files_are_bounded() -> None:
    many = parts(*[image("https://x.example.org/a.png")] * 21)
    assert refused(many).code == "too_many_files"
    assert refused({"files": [{}] * 21}).code == "too_many_files"
    assert refused({"files": {}}).param == refused({"files": ["a"]}).param == "files"
    given = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example.org/b.png"}
    assert len(asked({**parts(image("https://x.example.org/a.png")), "files": [given]})["files"]) == 2
