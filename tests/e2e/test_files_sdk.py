"""The official clients keep, list, read and delete files; over a directory and over a bucket."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.files_setup import ServeConfig, keeping
from tests.e2e.node import runtime
from tests.support.buckets import BUCKET, account, bucket_server
from tests.support.gateway import GatewayThread

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with account(), bucket_server() as address:
        yield f"s3://{BUCKET}/files?endpoint={address}&region=us-east-1"


@pytest.fixture(params=["directory", "bucket"])
def gateway(request: pytest.FixtureRequest, serve_config: ServeConfig, tmp_path: Path) -> GatewayThread:
    url = request.getfixturevalue("bucket") if request.param == "bucket" else ""
    return serve_config(keeping(tmp_path / "data", blobs_url=url))


def test_the_client_of_python(gateway: GatewayThread, tmp_path: Path):
    (tmp_path / "täglich.csv").write_bytes(b"a,b\n1,2\n")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-one", max_retries=0) as client:
        first = client.files.create(file=tmp_path / "täglich.csv", purpose="assistants")
        assert (first.filename, first.bytes, first.purpose) == ("täglich.csv", 8, "assistants")
        assert (first.status, first.expires_at, first.status_details) == ("processed", None, None)
        second = client.files.create(
            file=("b.bin", io.BytesIO(bytes(range(256)) * 40_000)),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert second.expires_at == second.created_at + 3600
        third = client.files.create(file=b"nameless", purpose="batch")

        assert client.files.retrieve(first.id) == first
        assert [file.id for file in client.files.list()] == [third.id, second.id, first.id]
        assert [file.id for file in client.files.list(order="asc", limit=1)] == [
            first.id,
            second.id,
            third.id,
        ]
        assert [file.id for file in client.files.list(purpose="batch")] == [third.id]

        assert client.files.content(first.id).text == "a,b\n1,2\n"
        client.files.content(second.id).write_to_file(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == bytes(range(256)) * 40_000
        with client.files.with_streaming_response.content(second.id) as streaming:
            assert sum(len(piece) for piece in streaming.iter_bytes(65_536)) == second.bytes

        assert client.files.wait_for_processing(first.id) == first
        assert client.files.delete(first.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(first.id)
        with pytest.raises(openai.BadRequestError) as refusal:
            client.files.create(file=b"x", purpose="fun")  # type: ignore[arg-type]
        assert refusal.value.param == "purpose"


async def test_the_asynchronous_client_of_python(gateway: GatewayThread):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-one", max_retries=0) as client:
        kept = await client.files.create(file=("n.txt", b"x" * 100_000), purpose="evals")
        assert await client.files.retrieve(kept.id) == kept
        assert [file async for file in client.files.list()] == [kept]
        assert (await client.files.content(kept.id)).content == b"x" * 100_000
        assert (await client.files.delete(kept.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.content(kept.id)


def test_a_large_file_goes_up_in_parts(gateway: GatewayThread, tmp_path: Path):
    data = bytes(range(256)) * 12_345
    (tmp_path / "large.bin").write_bytes(data)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-one", max_retries=0) as client:
        upload = client.uploads.upload_file_chunked(
            file=tmp_path / "large.bin",
            mime_type="application/octet-stream",
            purpose="user_data",
            part_size=1_000_000,
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        )
        assert upload.status == "completed" and upload.file is not None
        assert (upload.file.filename, upload.file.bytes) == ("large.bin", len(data))
        assert client.files.content(upload.file.id).content == data
        assert [file.id for file in client.files.list()] == [upload.file.id]


def test_the_client_of_node(serve_config: ServeConfig, tmp_path: Path):
    gateway = serve_config(keeping(tmp_path / "data"))
    done = runtime.run("files.mjs", BASE_URL=f"{gateway.url}/v1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout or "ℹ fail 0" in done.stdout, done.stdout
