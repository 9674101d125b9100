"""Where files cannot be kept or found: who asks for them is told so at once, and chats go on."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.files_setup import Client, ServeConfig, connected, form, keeping
from tests.support.buckets import BUCKET, account, bucket_server
from tests.support.raw import Reply, question

NEVER = "file-" + "0" * 32


@pytest.fixture(scope="module", autouse=True)
def identity() -> Iterator[None]:
    with account():
        yield


def unavailable(reply: Reply) -> None:
    assert reply.status == 503
    assert reply.json["error"]["code"] == "storage_unavailable"
    assert reply.json["error"]["type"] == "server_error"
    assert reply.headers["retry-after"] == "1"
    assert not re.search(r"/data|127\.0\.0\.1|Errno|sqlite|boto", reply.body.decode())


def chats(client: Client) -> None:
    assert client.post("/v1/chat/completions", {**question(stream=False), "model": "demo"}).status == 200


def test_a_directory_that_cannot_be_made(serve_config: ServeConfig, tmp_path: Path):
    (tmp_path / "data").write_text("a file")
    with connected(serve_config(keeping(tmp_path / "data" / "below"))) as client:
        for reply in (
            client.upload(form()),
            client.get("/v1/files"),
            client.get(f"/v1/files/{NEVER}"),
            client.get(f"/v1/files/{NEVER}/content"),
            client.ask("DELETE", f"/v1/files/{NEVER}"),
            client.post("/v1/uploads", {"filename": "a", "purpose": "evals", "bytes": 1, "mime_type": "a/b"}),
        ):
            unavailable(reply)
        chats(client)
        (tmp_path / "data").unlink()
        time.sleep(1.05)  # what failed is tried again after a second
        assert client.keep()["bytes"] == 5


def test_a_bucket_that_is_not_there(serve_config: ServeConfig, tmp_path: Path):
    url = f"s3://{BUCKET}?endpoint=http://127.0.0.1:1&region=us-east-1"
    with connected(serve_config(keeping(tmp_path / "data", blobs_url=url))) as client:
        unavailable(client.upload(form()))
        assert client.get("/v1/files").json["data"] == []
        chats(client)


@contextmanager
def cutting(address: str, after: int) -> Iterator[str]:
    """A way to a server on which a connection breaks as soon as so many bytes have come back."""
    port = int(address.rpartition(":")[2])

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ways = [
            asyncio.create_task(copied(reader, back, 1 << 40)),
            asyncio.create_task(copied(there, writer, after)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way, end in zip(ways, (back, writer), strict=True):
                way.cancel()
                end.transport.abort()

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        with suppress(ConnectionError):
            while most > 0 and (data := await reader.read(65_536)):
                most -= len(data)
                writer.write(data)
                await writer.drain()

    async def main() -> None:
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(ended.wait, 30)
        server.close()

    ports: queue.Queue[int] = queue.Queue()
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=10)}"
    finally:
        ended.set()
        thread.join(10)


def test_a_bucket_that_breaks_off_makes_no_short_file(serve_config: ServeConfig, tmp_path: Path):
    with bucket_server() as address, cutting(address, 1 << 20) as way:
        url = f"s3://{BUCKET}?endpoint={way}&region=us-east-1"
        with connected(serve_config(keeping(tmp_path / "data", blobs_url=url))) as client:
            small, large = client.keep(b"x" * 1000), client.keep(b"y" * (3 << 20))
            assert client.content(small["id"]) == b"x" * 1000
            reply = client.get(f"/v1/files/{large['id']}/content")
            assert reply.status == 200 and not reply.complete
            assert len(reply.body) < 3 << 20
        straight = keeping(tmp_path / "data", blobs_url=f"s3://{BUCKET}?endpoint={address}")
        with connected(serve_config(straight)) as client:
            assert client.content(large["id"]) == b"y" * (3 << 20)
