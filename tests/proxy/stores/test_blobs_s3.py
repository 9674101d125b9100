"""Blobs in a bucket: what the other side can do wrong, and how an address is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from proxy.stores import blobs_s3
from proxy.stores.blobs import blobs_at
from proxy.stores.blobs_directory import DirectoryBlobs
from proxy.stores.blobs_s3 import S3Blobs
from tests.support.buckets import account
from translators.errors import NotFound, StorageFull, StorageUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with account():
        yield


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[S3Blobs]:
    """A bucket whose server does as ``handler`` says."""
    app = web.Application(client_max_size=64 * 1024 * 1024)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    blobs = S3Blobs("bucket", "", f"http://127.0.0.1:{runner.addresses[0][1]}", "us-east-1")
    try:
        yield blobs
    finally:
        await blobs.close()
        await runner.cleanup()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(blobs: S3Blobs, name: str = "x", start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in blobs.read(name, start, stop)])


def refusal(status: int, code: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        text = f"<Error><Code>{code}</Code><Message>arn:aws:secret 10.1.2.3</Message></Error>"
        return web.Response(status=status, text="" if request.method == "HEAD" else text)

    return answer


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", StorageUnavailable),
        (403, "InvalidAccessKeyId", StorageUnavailable),
        (404, "NoSuchBucket", StorageUnavailable),
        (400, "EntityTooLarge", StorageFull),
        (507, "XMinioStorageFull", StorageFull),
        (500, "InternalError", StorageUnavailable),
        (503, "SlowDown", StorageUnavailable),
    ],
)
async def test_a_refusal_is_told_without_its_words(status: int, code: str, kind: type[StorageUnavailable]):
    async with served(refusal(status, code)) as blobs:
        tries = (blobs.delete, lambda name: whole(blobs, name), lambda name: blobs.write(name, pieces(b"y")))
        for attempt in tries if status < 500 else tries[:1]:  # those are tried twice, after a pause
            with pytest.raises(StorageUnavailable) as told:
                await attempt("x")
            assert type(told.value) is kind
            assert told.value.detail == code
            assert "arn" not in told.value.message + told.value.detail
        with pytest.raises(StorageUnavailable):
            await blobs.ping()


async def test_a_server_that_is_not_there_is_unavailable_soon():
    blobs = S3Blobs("bucket", "", "http://127.0.0.1:1", "us-east-1")
    await blobs._connect()
    for attempt in (blobs.write("x", pieces(b"y")), whole(blobs), blobs.delete("x")):
        began = asyncio.get_running_loop().time()
        with pytest.raises(StorageUnavailable) as told:
            await attempt
        assert asyncio.get_running_loop().time() - began < 3
        assert told.value.retry_after == 1.0
        assert "127.0.0.1" not in told.value.message + told.value.detail
    with pytest.raises(StorageUnavailable):
        await blobs.ping()
    await blobs.close()


async def test_a_server_that_says_nothing_is_not_waited_for_by_ping(monkeypatch: pytest.MonkeyPatch):
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    monkeypatch.setattr(blobs_s3, "PATIENCE", 0.2)
    async with served(silent) as blobs:
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await blobs.ping()


@pytest.mark.parametrize("after", [0, 1, 1000, 300_000])
@pytest.mark.parametrize("end", ["cut", "short"])
async def test_a_read_that_breaks_says_so(after: int, end: str):
    async def breaking(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "400000"})
        await response.prepare(request)
        await response.write(bytes(after))
        assert request.transport is not None
        request.transport.abort() if end == "cut" else request.transport.close()
        return response

    async with served(breaking) as blobs:
        got = 0
        with pytest.raises(StorageUnavailable):
            async for piece in blobs.read("x"):
                got += len(piece)
        assert got <= after


async def test_ranges_are_asked_for_as_such():
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range", ""))
        return web.Response(body=b"abc")

    async with served(answer) as blobs:
        assert await whole(blobs) == b"abc"
        await whole(blobs, start=3)
        await whole(blobs, start=3, stop=9)
        assert await whole(blobs, start=3, stop=3) == b""
    assert asked == ["", "bytes=3-", "bytes=3-8", "bytes=0-0"]


class Recording:
    """Takes everything, but for the request that has ``failing`` in it, and keeps what it was asked."""

    def __init__(self, failing: str = "nothing") -> None:
        self.failing = failing
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(f"{request.method} {request.query_string or '-'} {len(body)}")
        if self.failing in self.asked[-1]:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        if request.query_string == "uploads":
            return web.Response(text="<R><UploadId>u1</UploadId></R>")
        return web.Response(text="<R/>", headers={"ETag": '"e"'})

    def deeds(self) -> list[str]:
        return [asked.partition(" ")[0] + " " + asked.split(" ")[1] for asked in self.asked]


async def test_a_large_blob_goes_in_parts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blobs_s3, "PART", 1000)
    seen = Recording()
    async with served(seen) as blobs:
        assert await blobs.write("x", pieces(*[bytes(300)] * 9)) == 2700
        assert await blobs.write("y", pieces(bytes(999))) == 999
        assert await blobs.write("z", pieces(bytes(1000))) == 1000
    first, part_1, part_2, part_3, complete, small, *exact = seen.asked
    assert first == "POST uploads 0"
    for number, (part, size) in enumerate(zip((part_1, part_2, part_3), (1200, 1200, 300), strict=True), 1):
        method, query, sent = part.split()
        assert (method, set(query.split("&")), sent) == (
            "PUT",
            {f"partNumber={number}", "uploadId=u1"},
            str(size),
        )
    assert complete.startswith("POST uploadId=u1 ")
    assert small == "PUT - 999"
    assert [deed.partition(" ")[0] for deed in exact] == ["POST", "PUT", "POST"]


@pytest.mark.parametrize(
    ("failing", "undone"),
    [
        ("POST uploads", ["DELETE -"]),
        ("artNumber=2", ["DELETE uploadId=u1", "DELETE -"]),
        ("POST uploadId", ["DELETE uploadId=u1", "DELETE -"]),
        ("PUT - ", ["DELETE -"]),
    ],
)
async def test_what_came_of_a_failed_write_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, failing: str, undone: list[str]
):
    monkeypatch.setattr(blobs_s3, "PART", 1000)
    seen = Recording(failing)
    async with served(seen) as blobs:
        with pytest.raises(StorageUnavailable):
            await blobs.write("x", pieces(*[bytes(900)] * (1 if failing == "PUT - " else 5)))
    assert [deed for deed in seen.deeds() if deed.startswith("DELETE")] == undone


async def test_taking_back_may_fail_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blobs_s3, "PART", 1000)
    seen = Recording("uploadId")
    async with served(seen) as blobs:
        with pytest.raises(StorageUnavailable):
            await blobs.write("x", pieces(*[bytes(900)] * 5))
    assert seen.deeds()[-2:] == ["DELETE uploadId=u1", "DELETE -"]


async def test_the_absent_are_told_apart_from_the_unreachable():
    async with served(refusal(404, "NoSuchKey")) as blobs:
        with pytest.raises(NotFound):
            await whole(blobs)
    async with served(refusal(416, "InvalidRange")) as blobs:
        assert await whole(blobs, start=10) == b""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", ("bucket", "", "", "")),
        ("s3://bucket/", ("bucket", "", "", "")),
        ("s3://my.bucket-1/some/where/", ("my.bucket-1", "some/where", "", "")),
        ("s3://bucket/p?region=eu-west-1", ("bucket", "p", "", "eu-west-1")),
        ("s3://bucket?endpoint=http://minio:9000", ("bucket", "", "http://minio:9000", "")),
        (
            "s3://bucket?endpoint=https%3A%2F%2Fr2.example%2Fx&region=auto",
            ("bucket", "", "https://r2.example/x", "auto"),
        ),
    ],
)
def test_an_address_names_a_bucket(url: str, expected: tuple[str, ...]):
    blobs = blobs_at(url, Path("unused"))
    assert isinstance(blobs, S3Blobs)
    assert (blobs.bucket, blobs.prefix, blobs.endpoint, blobs.region) == expected


def test_an_address_names_a_directory():
    for url, root in (
        ("", "given"),
        ("file:///srv/my%20files", "/srv/my files"),
        ("file://localhost/x", "/x"),
    ):
        blobs = blobs_at(url, Path("given"))
        assert isinstance(blobs, DirectoryBlobs)
        assert blobs.root == Path(root)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:bucket",
        "s3://b",
        "s3://bucket/../x?",
        "s3://bucket/a//b",
        "s3://bucket/a b",
        "s3://user:password@bucket/x",
        "s3://bucket?end=x",
        "s3://bucket?endpoint=minio:9000",
        "s3://bucket?endpoint",
        "https://bucket.s3.amazonaws.com",
        "/srv/files",
        "file://host/srv",
        "file:",
        "file:///x?y=z",
        "ftp://x/y",
    ],
)
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(ValueError, match=r"[a-z]"):
        blobs_at(url, Path("unused"))
