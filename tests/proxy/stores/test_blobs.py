"""What every way of keeping blobs promises, over a directory and over a bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from proxy.stores import blobs_directory, blobs_s3
from proxy.stores.base import Blobs
from proxy.stores.blobs import blobs_at
from tests.support.buckets import BUCKET, account, bucket_server, keys_in, unfinished_in
from translators.errors import NotFound

NAME = "file-0123456789abcdef0123456789abcdef"
SIZES = (0, 1, 5, blobs_directory.PIECE - 1, blobs_directory.PIECE, blobs_directory.PIECE + 1, 700_001)

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with account(), bucket_server() as address:
        yield address


class Directory:
    def __init__(self, path: Path) -> None:
        self.root = path / "files"
        self.blobs: Blobs = blobs_at("", self.root)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.rglob("*") if path.is_file())


class Bucket:
    def __init__(self, address: str, prefix: str) -> None:
        self.address, self.prefix = address, prefix
        self.blobs: Blobs = blobs_at(f"s3://{BUCKET}/{prefix}?endpoint={address}&region=us-east-1", Path("-"))

    def names(self) -> list[str]:
        found = [key for key in keys_in(self.address) if key.startswith(f"{self.prefix}/")]
        return [key.rpartition("/")[2] for key in found] + ["unfinished"] * unfinished_in(self.address)


@pytest.fixture(params=["directory", "bucket"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Directory | Bucket]:
    if request.param == "directory":
        one: Directory | Bucket = Directory(tmp_path)
    else:
        one = Bucket(request.getfixturevalue("server"), f"test-{os.urandom(4).hex()}")
    yield one
    await one.blobs.close()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(blobs: Blobs, name: str = NAME, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in blobs.read(name, start, stop)])


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_written_can_be_read(kept: Directory | Bucket, size: int):
    data = os.urandom(size)
    cut = [data[at : at + 99_999] for at in range(0, size, 99_999)]
    assert await kept.blobs.write(NAME, pieces(*cut, b"")) == size
    assert await whole(kept.blobs) == data
    assert kept.names() == [NAME]


async def test_parts_of_it_can_be_read(kept: Directory | Bucket):
    data = bytes(range(256)) * 4
    await kept.blobs.write(NAME, pieces(data))
    for start, stop in (
        (0, 1),
        (0, 1024),
        (1, None),
        (1023, None),
        (1023, 5000),
        (500, 501),
        (0, 0),
        (7, 7),
        (9, 3),
    ):
        assert await whole(kept.blobs, start=start, stop=stop) == data[start:stop], (start, stop)
    assert await whole(kept.blobs, start=1024) == b""
    assert await whole(kept.blobs, start=5000, stop=6000) == b""


async def test_nothing_can_be_read_where_nothing_is(kept: Directory | Bucket):
    for stop in (None, 10, 0):
        with pytest.raises(NotFound):
            await whole(kept.blobs, stop=stop)
    await kept.blobs.write("other", pieces(b"x"))
    with pytest.raises(NotFound):
        await whole(kept.blobs)


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(kept: Directory | Bucket):
    await kept.blobs.delete(NAME)
    await kept.blobs.write(NAME, pieces(b"x"))
    await kept.blobs.write("other", pieces(b"y"))
    await kept.blobs.delete(NAME)
    await kept.blobs.delete(NAME)
    with pytest.raises(NotFound):
        await whole(kept.blobs)
    assert await whole(kept.blobs, "other") == b"y"
    assert kept.names() == ["other"]


class Broken(Exception):
    pass


def parts_that_break(size: int) -> AsyncIterator[bytes]:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(size // 100_000 + 1):
            yield bytes(100_000)
        raise Broken

    return broken()


async def settled(kept: Directory | Bucket) -> list[str]:
    """What is there when what goes on in the background is over."""
    for _ in range(200):
        if not kept.names():
            break
        await asyncio.sleep(0.01)
    return kept.names()


@pytest.mark.parametrize("size", [0, 600_000, 12_000_000])
async def test_nothing_is_left_of_a_write_that_breaks(kept: Directory | Bucket, size: int):
    with pytest.raises(Broken):
        await kept.blobs.write(NAME, parts_that_break(size))
    assert await settled(kept) == []
    with pytest.raises(NotFound):
        await whole(kept.blobs)


@pytest.mark.parametrize("size", [1, 600_000, 12_000_000])
async def test_nothing_is_left_of_a_write_that_was_cancelled(kept: Directory | Bucket, size: int):
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(size)
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(kept.blobs.write(NAME, endless()))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await settled(kept) == []


async def test_a_write_is_not_visible_before_its_end(kept: Directory | Bucket):
    async def watched() -> AsyncIterator[bytes]:
        yield bytes(9 * 1024 * 1024)
        with pytest.raises(NotFound):
            await whole(kept.blobs)
        yield b"end"

    assert await kept.blobs.write(NAME, watched()) == 9 * 1024 * 1024 + 3
    assert (await whole(kept.blobs))[-4:] == b"\0end"


async def test_many_can_be_written_and_read_at_once(kept: Directory | Bucket):
    data = {f"n{number}": os.urandom(300_000 + number) for number in range(12)}
    await asyncio.gather(*(kept.blobs.write(name, pieces(value)) for name, value in data.items()))
    read = await asyncio.gather(*(whole(kept.blobs, name) for name in data))
    assert read == list(data.values())


async def test_a_reader_may_leave_early(kept: Directory | Bucket):
    await kept.blobs.write(NAME, pieces(bytes(2_000_000)))
    for _ in range(60):  # more than there are threads or connections
        async with aclosing(kept.blobs.read(NAME)) as reading:
            async for piece in reading:
                assert piece
                break
    assert len(await whole(kept.blobs)) == 2_000_000


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a\0", "é", "-x", "x" * 129, "a.b"]
)
async def test_a_name_that_nobody_would_make_up_is_refused(kept: Directory | Bucket, name: str):
    with pytest.raises(ValueError):
        await kept.blobs.write(name, pieces(b"x"))
    with pytest.raises(ValueError):
        await whole(kept.blobs, name)
    with pytest.raises(ValueError):
        await kept.blobs.delete(name)


async def test_it_can_be_asked_whether_it_is_well(kept: Directory | Bucket):
    await kept.blobs.ping()
    assert await settled(kept) == []


async def test_memory_holds_no_more_than_a_part(kept: Directory | Bucket, monkeypatch: pytest.MonkeyPatch):
    """A writer that takes everything before it writes would have asked for all of it."""
    monkeypatch.setattr(blobs_s3, "PART", 5 * 1024 * 1024)
    longest: list[int] = []
    waiting = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal waiting
        for _ in range(120):
            waiting += 100_000
            longest.append(waiting)
            yield bytes(100_000)

    def seen(original: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal waiting
            waiting = 0
            return original(*args, **named)

        return call

    if isinstance(kept, Directory):
        monkeypatch.setattr(blobs_directory._Partial, "write", seen(blobs_directory._Partial.write))
    else:
        assert isinstance(kept.blobs, blobs_s3.S3Blobs)
        client = await kept.blobs._connect()
        monkeypatch.setattr(client, "upload_part", seen(client.upload_part))
    await kept.blobs.write(NAME, counted())
    assert max(longest) <= 5 * 1024 * 1024 + 200_000
