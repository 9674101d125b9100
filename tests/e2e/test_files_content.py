"""What a client gets of a file: all of it, a stretch, only the head, or nothing that could be taken for all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.files_setup import END, LARGEST, Client, ServeConfig, connected, field, keeping, refused
from tests.support.gateway import GatewayThread
from tests.support.waiting import nothing_left


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(serve_config: ServeConfig, data: Path) -> GatewayThread:
    return serve_config(keeping(data, max_file=LARGEST, limits={"body_timeout": 0.6}))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway, "sk-one") as client:
        yield client


def test_content_is_told_to_be_saved_and_never_to_be_shown(client: Client):
    page = b"<script>alert(1)</script>"
    body = field("purpose", "user_data") + field("file", page, "a.html", "Content-Type: text/html") + END
    kept = client.upload(body).json
    reply = client.get(f"/v1/files/{kept['id']}/content", accept="application/binary")
    assert reply.body == page
    headers = reply.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment; filename=\"a.html\"; filename*=UTF-8''a.html"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["content-length"] == str(len(page))


RANGES = [
    *(("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=50-", 50, 100), ("bytes=-1", 99, 100)),
    *(("bytes=-1000", 0, 100), ("bytes=99-2000", 99, 100), ("bytes= 5-6", 5, 7)),
]


@pytest.mark.parametrize(("range", "start", "stop"), RANGES)
def test_a_stretch_of_content(client: Client, range: str, start: int, stop: int):
    content = bytes(i % 251 for i in b"%100d" % 7) + os.urandom(0)
    kept = client.keep(content)
    reply = client.get(f"/v1/files/{kept['id']}/content", range=range)
    assert (reply.status, reply.body) == (206, content[start:stop])
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/100"


def test_a_stretch_that_is_none_of_it(client: Client):
    kept, empty = client.keep(b"x" * 100), client.keep(b"")
    for id, range, size in (
        (kept["id"], "bytes=100-", 100),
        (kept["id"], "bytes=-0", 100),
        (empty["id"], "bytes=0-0", 0),
    ):
        reply = client.get(f"/v1/files/{id}/content", range=range)
        refused(reply, 416, "Range")
        assert reply.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "range", ["bytes=", "bytes=-", "bytes=5-1", "bytes=0-1,3-4", "lines=1-2", "x", "bytes=a-b"]
)
def test_a_stretch_that_cannot_be_read_is_everything(client: Client, range: str):
    kept = client.keep(b"x" * 100)
    reply = client.get(f"/v1/files/{kept['id']}/content", range=range)
    assert (reply.status, reply.body) == (200, b"x" * 100)


def test_what_has_not_changed_is_not_sent_again(client: Client):
    kept = client.keep(b"x" * 100)
    path = f"/v1/files/{kept['id']}/content"
    first = client.get(path)
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        client.raw.request("GET", path, headers={**client.headers, "If-None-Match": known})
        head = client.raw.until(b"\r\n\r\n").decode().lower()
        assert head.startswith("http/1.1 304") and f"etag: {tag}" in head
    assert client.get(path, if_none_match='"other"').status == 200
    assert client.get(path, range="bytes=0-4", if_range=tag).status == 206
    assert client.get(path, range="bytes=0-4", if_range='"other"').status == 200


def test_a_look_at_the_head(client: Client):
    kept = client.keep(b"x" * 100)
    client.raw.request("HEAD", f"/v1/files/{kept['id']}/content", headers=client.headers)
    head = client.raw.until(b"\r\n\r\n").decode().lower()
    assert head.startswith("http/1.1 200") and "content-length: 100" in head and "etag:" in head
    assert client.content(kept["id"]) == b"x" * 100  # nothing came behind the head


def test_a_reader_who_does_not_read_is_left(serve_config: ServeConfig, data: Path):
    gateway = serve_config(keeping(data, limits={"write_timeout": 0.3}))
    with connected(gateway) as client:
        kept = client.keep(bytes(20 << 20))
    with nothing_left(gateway), connected(gateway) as client:
        client.raw.request("GET", f"/v1/files/{kept['id']}/content")
        client.raw.until(b"\r\n\r\n")
        time.sleep(0.8)
        got = 0
        while piece := client.raw.receive():
            got += len(piece)
        assert got < 20 << 20


def test_a_read_that_breaks_is_seen_to_break(client: Client, data: Path):
    kept = client.keep(b"x" * LARGEST)
    [path] = list((data / "files").rglob(kept["id"]))
    os.truncate(path, 200_000)
    reply = client.get(f"/v1/files/{kept['id']}/content")
    assert reply.status == 200 and not reply.complete and len(reply.body) <= 200_000


def test_a_file_whose_bytes_are_lost_is_lost(client: Client, data: Path):
    kept = client.keep()
    [path] = list((data / "files").rglob(kept["id"]))
    path.unlink()
    assert client.get(f"/v1/files/{kept['id']}/content").status == 404
