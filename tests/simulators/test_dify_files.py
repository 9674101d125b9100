"""Files and sound: what may be uploaded, attached, looked at and heard, and by whom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from proxy.simulators.dify_apps import App, Variable
from proxy.simulators.dify_store import Shelf, Store, Upload
from tests.simulators.dify_setup import KEYS, NOWHERE, Client, Reply, dify, named, text

PNG = b"\x89PNG\r\n\x1a\n\0\xff"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


def form(
    data: bytes = PNG,
    filename: str | None = "a.png",
    content_type: str | None = "image/png",
    user: str | None = "ann",
    name: str = "file",
) -> aiohttp.FormData:
    made = aiohttp.FormData(default_to_multipart=True)
    if user is not None:
        made.add_field("user", user)
    made.add_field(name, io.BytesIO(data), filename=filename, content_type=content_type)
    return made


async def upload(client: Client, mode: str = "chat", **more: Any) -> Reply:
    return await client.send("POST", "files/upload", mode, data=form(**more))


async def test_an_upload_and_its_way_into_a_question() -> None:
    async with dify() as client:
        got = await upload(client)
        told = got.json
        assert got.status == 201
        assert (told["name"], told["size"], told["extension"]) == ("a.png", len(PNG), "png")
        assert len(told) == 14
        path = f"files/{told['id']}/preview"
        # Nobody may see what no message has.
        assert (await client.send("GET", path)).error[:2] == (404, "file_not_found")
        file = {"type": "image", "transfer_method": "local_file", "upload_file_id": told["id"]}
        answer = await client.ask("chat", query="what?", files=[file])
        assert "an image" in text(answer.events)
        seen = await client.send("GET", path)
        assert (seen.body, seen.headers["Content-Type"]) == (PNG, "image/png")
        seen = await client.send("GET", f"{path}?as_attachment=true")
        assert seen.headers["Content-Disposition"].startswith("attachment")
        assert (await client.send("GET", path, "completion")).error[:2] == (403, "file_access_denied")
        origin = client.server.url.removesuffix("/v1")
        assert (await client.send("GET", f"{origin}/files/{told['id']}/file-preview?sign=x")).body == PNG
        assert (await client.send("GET", f"{origin}/files/{NOWHERE}/file-preview")).status == 404


async def test_an_upload_to_the_oldest_version_says_less() -> None:
    async with dify("1.0") as client:
        told = (await upload(client)).json
    assert list(told) == ["id", "name", "size", "extension", "mime_type", "created_by", "created_at"]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"name": "image"}, 400, "no_file_uploaded"),
        ({"filename": ""}, 400, "filename_not_exists_error"),
    ],
)
async def test_uploads_that_are_refused(more: dict[str, Any], status: int, code: str) -> None:
    async with dify() as client:
        got = await upload(client, **more)
        assert got.error[:2] == (status, code)


def raw(*parts: str) -> tuple[bytes, dict[str, str]]:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    return body.encode(), {"Content-Type": "multipart/form-data; boundary=b"}


FILE = 'Content-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nx'
UNTYPED = 'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nx'
SECOND = FILE.replace('name="file"', 'name="other"')


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([UNTYPED], 415, "unsupported_file_type"),
        ([FILE, FILE], 400, "too_many_files"),
        ([FILE, SECOND], 400, "too_many_files"),
        (["Content-Disposition: form-data\r\n\r\nx"], 400, "no_file_uploaded"),
        ([], 400, "no_file_uploaded"),
    ],
)
async def test_forms_that_are_refused(parts: list[str], status: int, code: str) -> None:
    async with dify() as client:
        body, headers = raw(*parts)
        got = await client.send("POST", "files/upload", data=body, headers=headers)
        assert got.error[:2] == (status, code)


async def test_bodies_that_are_no_forms() -> None:
    async with dify() as client:
        got = await client.send("POST", "files/upload", json={"user": "ann"})
        assert got.error[:2] == (400, "no_file_uploaded")
        broken = {"Content-Type": "multipart/form-data; boundary=b"}
        got = await client.send("POST", "files/upload", data=b"no boundary here", headers=broken)
        assert got.error[:2] == (400, "bad_request")


async def test_an_upload_that_is_too_large() -> None:
    async with dify() as client:
        got = await upload(client, data=bytes((10 << 20) + 1))
        assert got.error == (413, "file_too_large", "")
        # A document may be larger than an image.
        got = await upload(
            client, data=bytes((10 << 20) + 1), filename="a.pdf", content_type="application/pdf"
        )
        assert got.status == 201
        client.server.knobs.upload_limit = 3
        assert (await upload(client)).status == 413


LOCAL = {"type": "image", "transfer_method": "local_file", "upload_file_id": NOWHERE}
REMOTE = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example/a.png"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([LOCAL], "Invalid upload file"),
        ([{**REMOTE, "url": ""}], "Invalid file url"),
        ([{**REMOTE, "url": 4}], "Invalid file url"),
        (
            [{**REMOTE, "url": "data:image/png;base64,eA=="}],
            "Reached maximum retries (3) for URL data:image/png;base64,eA==",
        ),
        ([{**REMOTE, "url": "x.png"}], "Reached maximum retries (3) for URL x.png"),
        ([{**REMOTE, "transfer_method": "url"}], "Invalid file transfer method: url"),
        ([{**REMOTE, "type": "picture"}], "'picture' is not a valid FileType"),
        ([{**REMOTE, "type": "video"}], "File validation failed for file: a.png"),
        ([REMOTE] * 4, "Number of image files exceeds the maximum limit 3"),
        (
            [{**REMOTE, "type": "custom", "url": "https://x.example/b"}] * 11,
            "Number of files exceeds the maximum limit 10",
        ),
    ],
)
async def test_files_that_are_refused(files: list[Any], message: str) -> None:
    app = App("chat", file_types=("image", "document"))
    async with dify(apps={KEYS["chat"]: app}) as client:
        assert (await client.ask("chat", files=files)).error == (400, "invalid_param", message)


async def test_files_of_somebody_else() -> None:
    async with dify() as client:
        id = (await upload(client)).json["id"]
        file = {**LOCAL, "upload_file_id": id}
        assert (await client.ask("chat", files=[file], user="eve")).error[2] == "Invalid upload file"
        assert (await client.ask("completion", files=[file])).error[2] == "Invalid upload file"


async def test_an_app_that_takes_no_files_does_not_look_at_them() -> None:
    async with dify(apps={KEYS["chat"]: App("chat", file_types=())}) as client:
        got = await client.ask("chat", files=[LOCAL], query="what?")
        assert "an image" not in text(got.events)


async def test_files_in_the_inputs_of_a_workflow() -> None:
    form = (Variable("page", "file"), Variable("pages", "file-list"))
    async with dify(apps={KEYS["workflow"]: App("workflow", form=form)}) as client:
        inputs = {"page": REMOTE, "pages": [{**REMOTE, "type": "custom", "url": "https://x.example/b.pdf"}]}
        events = (await client.ask("workflow", inputs=inputs)).events
        told = named(events, "workflow_started")[0]["data"]["inputs"]
        assert (told["page"]["filename"], told["pages"][0]["type"]) == ("a.png", "document")
        refused = await client.ask("workflow", inputs={"page": LOCAL})
        assert refused.error[2] == "Invalid upload file"


def test_only_so_much_is_kept() -> None:
    shelf: Shelf[int] = Shelf(2)
    for number in range(4):
        shelf.add(str(number), number)
    assert shelf == {"2": 2, "3": 3}
    store = Store()
    for number in range(4):
        store.keep(Upload(str(number), ("k", "u"), "a", "image/png", bytes(100 << 20), 0))
    assert list(store.uploads) == ["2", "3"]
    assert store.uploads["2"].extension == ""


# Audio.


async def hear(client: Client, key: str | None = None, **more: Any) -> Reply:
    given = {"filename": "a.mp3", "content_type": "audio/mp3", **more}
    return await client.send("POST", "audio-to-text", key=key, data=form(**given))


async def test_audio_to_text() -> None:
    async with dify(apps={"app-deaf": App("chat", speech_to_text=False)}) as client:
        assert (await hear(client)).json == {"text": f"I hear {len(PNG)} bytes of audio/mp3."}
        assert (await hear(client, content_type="audio/mpeg")).error[:2] == (415, "unsupported_audio_type")
        assert (await hear(client, name="audio")).error[:2] == (400, "no_audio_uploaded")
        assert (await hear(client, key="app-deaf")).error[:2] == (400, "speech_to_text_disabled")
        assert (await hear(client, data=bytes((30 << 20) + 1))).error[:2] == (413, "audio_too_large")


async def test_text_to_audio() -> None:
    async with dify(apps={"app-mute": App("chat", text_to_speech=False)}) as client:
        asked = {"text": "two words", "user": "ann"}
        got = await client.send("POST", "text-to-audio", json=asked)
        assert (got.status, got.headers["Content-Type"]) == (200, "audio/mpeg")
        assert got.body.count(b"\xff\xfb\x90\x00") == 2
        id = (await client.ask("chat", query="say just three words")).events[0]["message_id"]
        got = await client.send("POST", "text-to-audio", json={"message_id": id, "user": "ann"})
        assert got.body.count(b"\xff\xfb\x90\x00") == 3
        for message_id, user in ((NOWHERE, "ann"), (id, "eve")):
            got = await client.send("POST", "text-to-audio", json={"message_id": message_id, "user": user})
            assert (got.status, got.json) == (200, None)
        got = await client.send("POST", "text-to-audio", json={"user": "ann"})
        assert got.error == (400, "invalid_param", "Text is required")
        got = await client.send("POST", "text-to-audio", key="app-mute", json=asked)
        assert got.error == (400, "invalid_param", "TTS is not enabled")
