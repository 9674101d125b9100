"""Files to and from a Dify app by the official SDK: handed in once, under the user who asks."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.simulators.dify_apps import Variable
from tests.e2e.dify_scene import CHAT, COUNT, COUNTED, UPLOAD, Scene, dify_upstream, open_app, scene, text_of
from tests.e2e.sdk_setup import asking, sdk
from tests.support.gateway import config_of
from tests.support.raw import RawClient

pytestmark = pytest.mark.two_ways

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
FILE_ID = "00000000-0000-4000-8000-00000000000a"


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as running:
        yield running


def data_uri(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def showing(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return asking([{"type": "text", "text": COUNT}, *parts])


# To the app.


@pytest.mark.parametrize("version", ["1.0", "1.9", "1.12", "1.16"])
@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat", "completion"])
def test_a_picture_is_handed_in_and_named(version: str, mode: str):
    with scene(version) as there:
        key = there.app(mode)
        assert there.say(key, showing(image(data_uri(PNG)))).endswith(COUNTED)
        (upload,) = there.asked(key, UPLOAD)
        *_, question = there.questions(key)  # an old server does not say what kind of app it is
        (id,) = there.stand_in.store.uploads
        assert question["files"] == [{"type": "image", "transfer_method": "local_file", "upload_file_id": id}]
        kept = there.stand_in.store.uploads[id]
        assert (kept.data, kept.mime_type, kept.name) == (PNG, "image/png", "image.png")
        assert kept.user == (key, question["user"])
        assert upload.headers["Content-Type"].startswith("multipart/form-data")


def test_the_same_picture_is_handed_in_once_and_given_once(here: Scene):
    """Clients send it with every turn; the app got it with the first."""
    key = here.app("chat")
    messages = showing(image(data_uri(PNG)))
    for number in range(4, 7):
        messages += [
            {"role": "assistant", "content": here.say(key, messages)},
            *asking(f"count to {number}"),
        ]
    assert len(here.asked(key, UPLOAD)) == 1
    assert [len(body.get("files", ())) for body in here.questions(key)] == [1, 0, 0]
    assert len({body.get("conversation_id") for body in here.questions(key)[1:]}) == 1
    here.say(key, showing(image(data_uri(PNG))))
    assert len(here.asked(key, UPLOAD)) == 1 and len(here.questions(key)[-1]["files"]) == 1
    here.say(key, showing(image(data_uri(PNG))), user="bob")
    here.say(key, showing(image(data_uri(PNG + b"x"))))
    assert len(here.asked(key, UPLOAD)) == 3
    assert {upload.user for upload in here.stand_in.store.uploads.values() if upload.user[0] == key} == {
        (key, body["user"]) for body in here.questions(key)
    }


def test_another_edited_picture_is_another_history(here: Scene):
    key = here.app("chat")
    said = {"role": "assistant", "content": here.say(key, showing(image(data_uri(PNG))))}
    here.say(key, [*showing(image(data_uri(b"other"))), said, *asking("count to 4")])
    assert "conversation_id" not in here.questions(key)[-1]


def test_addresses_sounds_and_documents(here: Scene):
    key = here.app("advanced-chat")
    url = "https://img.example.org/b.png?size=1"
    sound = base64.b64encode(b"RIFF....WAVE").decode()
    notes = base64.b64encode(b"notes").decode()
    parts = [
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        image(url),
        {"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}},
        {"type": "file", "file": {"filename": 'no"t\r\nes.txt', "file_data": notes}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data_uri(b"%PDF", "application/pdf")}},
    ]
    here.say(key, showing(*parts))
    (question,) = here.questions(key)
    assert [one["type"] for one in question["files"]] == ["audio", "image", "audio", "document", "document"]
    assert question["files"][1] == {"type": "image", "transfer_method": "remote_url", "url": url}
    uploads = [one for one in here.stand_in.store.uploads.values() if one.user[0] == key]
    assert [(one.name, one.mime_type) for one in uploads] == [
        ("audio.wav", "audio/wav"),
        ("audio.mp3", "audio/mp3"),
        ("no_t_es.txt", "text/plain"),
        ("a.pdf", "application/pdf"),
    ]


def test_a_file_that_is_there_already(here: Scene):
    key = here.app("chat")
    here.say(key, showing(image(data_uri(PNG))))
    id = here.questions(key)[0]["files"][0]["upload_file_id"]
    here.say(key, showing({"type": "file", "file": {"file_id": id, "filename": "x.png"}}))
    files = [{"type": "image", "transfer_method": "local_file", "upload_file_id": id}]
    here.say(key, COUNT, extra_body={"files": files})
    assert [body["files"] for body in here.questions(key)] == [files] * 3
    assert len(here.asked(key, UPLOAD)) == 1
    with pytest.raises(openai.BadRequestError, match="Invalid upload file"):
        here.say(key, showing({"type": "file", "file": {"file_id": FILE_ID}}))


def test_a_workflow_gets_files_in_its_form(here: Scene):
    for kind in ("file", "file-list"):
        key = here.app("workflow", form=(Variable("topic"), Variable("picture", kind)))
        here.say(key, showing(image(data_uri(PNG))))
        (question,) = here.questions(key)
        id = next(id for id, one in here.stand_in.store.uploads.items() if one.user[0] == key)
        file = {"type": "image", "transfer_method": "local_file", "upload_file_id": id}
        assert question["inputs"] == {"topic": COUNT, "picture": file if kind == "file" else [file]}


# What is refused.


def refused(here: Scene, key: str, *parts: dict[str, Any]) -> openai.APIStatusError:
    for ask in (here.say, here.stream):
        with pytest.raises(openai.APIStatusError) as caught:
            ask(key, showing(*parts))
    return caught.value


def test_a_file_that_is_too_large(here: Scene):
    error = refused(here, key := here.app("chat", upload_limit=100), image(data_uri(PNG)))
    assert (error.status_code, error.code) == (413, "file_too_large")
    assert error.message.endswith("The file is larger than the Dify server accepts.")
    assert here.questions(key) == []


def test_a_kind_of_file_that_the_app_does_not_take(here: Scene):
    key = here.app("chat", file_types=("document",))
    error = refused(here, key, image(data_uri(PNG)))
    assert (error.status_code, error.code) == (400, "invalid_param")
    assert error.message.endswith("File validation failed for file: image.png")


def test_too_many_pictures(here: Scene):
    key = here.app("chat", max_images=2)
    error = refused(here, key, *(image(f"https://img.example.org/{number}.png") for number in range(3)))
    assert error.message.endswith("Number of image files exceeds the maximum limit 2")
    many = [image(f"https://img.example.org/{number}.png") for number in range(21)]
    before = len(here.questions(key))
    assert refused(here, key, *many).code == "too_many_files"
    assert len(here.questions(key)) == before


WRONG = [
    (image("data:image/png;base64,%%%"), "not valid base64"),
    (image("data:image/png;base64,"), "empty"),
    (image("ftp://x/y.png"), "https:// or data:"),
    (image("data:image/png,abc"), "https:// or data:"),
    ({"type": "file", "file": {"file_id": "../../info"}}, "not the id of a file"),
    ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "flac"}}, "wav"),
]


@pytest.mark.parametrize(("part", "words"), WRONG)
def test_what_cannot_be_a_file_is_refused_before_dify_hears_of_it(here: Scene, part: Any, words: str):
    key = here.app("chat")
    error = refused(here, key, part)
    assert error.status_code == 400 and words in error.message
    assert error.param.startswith("messages[0]")
    assert here.asked(key) == []


# From the app.


def links(text: str) -> list[str]:
    return re.findall(r"\]\((.*?)\)", text)


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat", "workflow"])
def test_produced_files_are_links_that_lead_somewhere(here: Scene, mode: str):
    key = here.app(mode, answer_files=2)
    whole = here.say(key, COUNT)
    assert text_of(here.stream(key, COUNT)) == whole
    origin = here.stand_in.url.removesuffix("/v1")
    assert [link.partition("?")[0] for link in links(whole)] == [
        f"{origin}/files/tools/f{number}.png" for number in (1, 2)
    ]
    for link in links(whole):
        with RawClient(int(origin.rpartition(":")[2])) as client:
            client.request("GET", link.removeprefix(origin))
            assert client.reply().body.startswith(b"\x89PNG")


def test_links_can_lead_elsewhere(serve_config, here: Scene):
    key = open_app(here.stand_in, "chat", answer_files=1)
    up = dify_upstream(here.stand_in.url, key=key, files_url="https://files.example.org/")
    with sdk(serve_config(config_of(up)).url + "/v1") as client:
        answer = client.chat.completions.create(model="m", messages=asking(COUNT))
    (link,) = links(answer.choices[0].message.content or "")
    assert link.startswith("https://files.example.org/files/tools/f1.png?")


def test_a_conversation_with_pictures_in_its_answers_goes_on(here: Scene):
    key = here.app("agent-chat", answer_files=1)
    messages = asking("count to 2")
    messages += [{"role": "assistant", "content": here.say(key, messages)}, *asking("count to 3")]
    here.stream(key, messages)
    assert "conversation_id" in here.questions(key)[1]
    assert len(here.asked(key, CHAT)) == 2
