"""Files of a client's own in a chat: their content goes the way of any file, to any platform."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.simulators.coze import CozeStandIn
from proxy.simulators.script import Send, chunk, event_stream_head
from proxy.stores.base import Store
from tests.e2e.coze_scene import coze_upstream
from tests.e2e.dify_scene import COUNT, dify_upstream, open_app, stand_in_of
from tests.e2e.files_setup import END, Client, ServeConfig, connected, field, keeping, refused
from tests.e2e.sdk_setup import hosted
from tests.support.gateway import GatewayThread, builtin_upstream, openai_upstream
from tests.support.raw import Reply
from tests.support.upstream import ScriptThread, answer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9
NEVER = "file-" + "0" * 32
THEIRS = "file-abc123XYZ"


@pytest.fixture
def upstream() -> Iterator[ScriptThread]:
    frames = b"".join(chunk(frame) for frame in answer())
    with ScriptThread([Send(event_stream_head() + frames + chunk(b""))]) as running:
        yield running


@pytest.fixture
def gateway(serve_config: ServeConfig, tmp_path: Path, upstream: ScriptThread) -> GatewayThread:
    own = openai_upstream(upstream.url)
    return serve_config(keeping(tmp_path / "data", own, builtin_upstream(), limits={"max_body": 20_000}))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway, "sk-one") as client:
        yield client


def say(client: Client, *parts: dict[str, Any], model: str = "m", text: str = "hi") -> Reply:
    content = [{"type": "text", "text": text}, *parts]
    return client.post(
        "/v1/chat/completions",
        {"model": model, "stream": True, "messages": [{"role": "user", "content": content}]},
    )


def by_id(id: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": id, **more}}


def address(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def picture(client: Client, data: bytes = PNG, name: str = "p.png", mime: str = "image/png") -> str:
    body = field("purpose", "vision") + field("file", data, name, f"Content-Type: {mime}") + END
    reply = client.upload(body)
    assert reply.status == 200
    id: str = reply.json["id"]
    return id


def test_a_part_that_names_a_file_brings_it(client: Client, upstream: ScriptThread):
    id = picture(client)
    shown = address(PNG, "image/png")
    for part, expected in (
        (by_id(id), {"type": "file", "file": {"filename": "p.png", "file_data": shown}}),
        (by_id(id, filename="mine"), {"type": "file", "file": {"filename": "mine", "file_data": shown}}),
        (
            {"type": "file", "file_id": id},
            {"type": "file", "file": {"filename": "p.png", "file_data": shown}},
        ),
        ({"type": "image_url", "image_url": id}, {"type": "image_url", "image_url": {"url": shown}}),
        (
            {"type": "image_url", "image_url": {"url": id, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": shown, "detail": "low"}},
        ),
        ({"type": "image", "file_id": id}, {"type": "image_url", "image_url": {"url": shown}}),
    ):
        assert say(client, part).complete
        [message] = upstream.requests[-1].document["messages"]
        assert message["content"] == [{"type": "text", "text": "hi"}, expected]


@pytest.mark.parametrize(
    ("name", "mime", "told"),
    [
        ("a.pdf", "application/octet-stream", "application/pdf"),
        ("a.txt", "", "text/plain"),
        ("a.bin", "", "application/octet-stream"),
        ("a", "nonsense", "application/octet-stream"),
        ("a.txt", "Text/CSV; charset=utf-8", "text/csv"),
        ("data:,x", "text/html,x", "application/octet-stream"),
    ],
)
def test_its_type_is_what_was_told_or_what_its_name_says(
    client: Client, upstream: ScriptThread, name: str, mime: str, told: str
):
    say(client, by_id(picture(client, b"x", name, mime)))
    [message] = upstream.requests[-1].document["messages"]
    assert message["content"][1]["file"]["file_data"] == address(b"x", told)


@pytest.mark.parametrize("size", [1, 2, 3, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 600_000])
def test_content_of_any_size_is_whole(
    serve_config: ServeConfig, tmp_path: Path, upstream: ScriptThread, size: int
):
    data = bytes(number % 251 for number in range(size))
    gateway = serve_config(keeping(tmp_path / "data", openai_upstream(upstream.url)))
    with connected(gateway) as client:
        say(client, by_id(picture(client, data)))
    [message] = upstream.requests[-1].document["messages"]
    assert message["content"][1]["file"]["file_data"] == address(data, "image/png")


def test_an_id_that_nobody_knows_here_is_left_to_an_upstream_with_files_of_its_own(
    client: Client, upstream: ScriptThread
):
    parts = [by_id(THEIRS), by_id(NEVER), {"type": "image_url", "image_url": {"url": THEIRS}}, by_id("x")]
    assert say(client, *parts).complete
    [message] = upstream.requests[-1].document["messages"]
    assert message["content"][1:] == parts


@pytest.mark.parametrize("id", [THEIRS, NEVER, "file-"])
def test_an_id_that_nobody_knows_is_refused_for_everybody_else(client: Client, id: str):
    message = refused(say(client, by_id(id), model="demo"), 404, "messages[0].content[1].file.file_id")
    assert message == f"No such File object: {id}"
    refused(
        say(client, {"type": "image_url", "image_url": {"url": id}}, model="demo"),
        404,
        "messages[0].content[1].image_url.url",
    )


def test_a_file_of_somebody_else_is_one_that_nobody_knows(
    client: Client, gateway: GatewayThread, upstream: ScriptThread
):
    id = picture(client)
    with connected(gateway, "sk-two") as other:
        foreign, never = (say(other, by_id(one), model="demo") for one in (id, NEVER))
        assert foreign.status == 404
        assert foreign.body.replace(id.encode(), NEVER.encode()) == never.body
        say(other, by_id(id))
    [message] = upstream.requests[-1].document["messages"]
    assert message["content"][1] == by_id(id)


def test_files_are_together_no_larger_than_a_request_may_be(client: Client, upstream: ScriptThread):
    fits, half, over = (picture(client, bytes(size)) for size in (14_900, 8_000, 15_100))
    assert say(client, by_id(fits)).status == 200
    assert say(client, by_id(half)).status == 200
    heard = len(upstream.requests)
    message = refused(say(client, by_id(over)), 400, "messages[0].content[1].file.file_id", "file_too_large")
    assert over in message and "15000 bytes" in message
    for second in (half, fits):
        refused(
            say(client, by_id(half), by_id(second)),
            400,
            "messages[0].content[2].file.file_id",
            "file_too_large",
        )
    assert len(upstream.requests) == heard


def test_a_request_names_no_more_than_so_many_files(client: Client):
    parts = [by_id(f"file-{number:032x}") for number in range(101)]
    assert say(client, *parts[:100]).status == 200
    refused(say(client, *parts), 400, "messages[0].content[101].file.file_id", "too_many_files")


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._store, name)


@contextmanager
def counted(gateway: GatewayThread) -> Iterator[Counting]:
    storage = gateway.serving.gateway.storage
    counting, real = Counting(storage.store), storage.store
    storage.store = counting  # type: ignore[assignment]
    yield counting
    storage.store = real


def test_nothing_is_asked_of_the_storage_where_no_part_names_a_file(
    client: Client, gateway: GatewayThread, tmp_path: Path
):
    with counted(gateway) as store:
        assert say(client).status == 200
        assert say(client, {"type": "image_url", "image_url": {"url": "https://a/file-1"}}).status == 200
        assert say(client, text='"file-1", he said').status == 200
        assert say(client, by_id("x")).status == 200
        assert say(client, by_id(THEIRS)).status == 200
        assert store.asked == 0
        assert not (tmp_path / "data").exists()
        say(client, by_id(NEVER), by_id(NEVER))
        assert store.asked == 1


def test_what_makes_no_sense_is_refused_as_ever(client: Client):
    refused(say(client, {"type": "file", "file": "file-1"}), 400, "messages[0].content[1].file")
    refused(client.post("/v1/chat/completions", {"messages": ["file-1"]}), 400, "model")
    body = {"model": "m", "messages": [{"role": "user", "content": "file-1"}], "file": "file-2"}
    assert client.post("/v1/chat/completions", body).status == 200


def test_a_dify_app_gets_it_handed_in(serve_config: ServeConfig, tmp_path: Path):
    with hosted(stand_in_of) as dify:
        key = open_app(dify, "chat")
        own = dify_upstream(dify.url, key=key, models=("m",))
        with connected(serve_config(keeping(tmp_path / "data", own)), "sk-one") as client:
            assert say(client, by_id(picture(client)), text=COUNT).status == 200
        [kept] = dify.store.uploads.values()
        assert (kept.data, kept.mime_type, kept.name) == (PNG, "image/png", "p.png")


def test_a_coze_bot_gets_it_handed_in(serve_config: ServeConfig, tmp_path: Path):
    with hosted(CozeStandIn) as coze:
        own = coze_upstream(coze.url, models=("m",))
        with connected(serve_config(keeping(tmp_path / "data", own)), "sk-one") as client:
            assert say(client, by_id(picture(client))).status == 200
        [upload] = coze.heard("/v1/files/upload")
        assert PNG in upload.body and b'filename="p.png"' in upload.body
