"""Blobs in a directory: what a crash leaves, what a disk can refuse, and in which order things get to it."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.stores import blobs_directory
from proxy.stores.blobs_directory import DirectoryBlobs
from translators.errors import NotFound, StorageFull, StorageUnavailable


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(blobs: DirectoryBlobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(name)])


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[DirectoryBlobs]:
    made = DirectoryBlobs(tmp_path / "data" / "files")
    yield made
    await made.close()


def still_open(blobs: DirectoryBlobs) -> int:
    """How many files of the directory this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += entry.readlink().is_relative_to(blobs.root)
    return count


def files_in(blobs: DirectoryBlobs) -> list[str]:
    return sorted(path.name for path in blobs.root.rglob("*") if path.is_file())


async def test_making_one_touches_nothing(tmp_path: Path):
    blobs = DirectoryBlobs(tmp_path / "data" / "files")
    with pytest.raises(NotFound):
        await whole(blobs, "x")
    await blobs.delete("x")
    await blobs.close()
    assert list(tmp_path.iterdir()) == []


async def test_nobody_else_may_look_into_it(blobs: DirectoryBlobs):
    await blobs.write("x", pieces(b"y"))
    made = [blobs.root.parent, *blobs.root.parent.rglob("*")]
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_dir()} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_file()} == {"0o600"}


LEAVER = """
import asyncio, os, sys
from pathlib import Path
from proxy.stores.blobs_directory import DirectoryBlobs

async def parts():
    yield bytes(300_000)
    print("written", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)

asyncio.run(DirectoryBlobs(Path(sys.argv[1])).write("left", parts()))
"""


async def test_what_a_crash_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path):
    root = tmp_path / "files"
    other = subprocess.Popen(
        [sys.executable, "-c", LEAVER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"written\n"
        [partial] = (root / "partial").iterdir()

        beside = DirectoryBlobs(root)
        await beside.write("mine", pieces(b"x"))
        await beside.close()
        assert partial.exists(), "another process writes to it"

        other.stdin.write(b"\n")
        other.stdin.close()
        assert other.wait(10) == -9
    assert partial.exists()
    after = DirectoryBlobs(root)
    await after.write("mine", pieces(b"y"))
    assert files_in(after) == ["mine"]
    assert await whole(after, "mine") == b"y"
    with pytest.raises(NotFound):
        await whole(after, "left")
    await after.close()


async def test_a_file_that_was_taken_for_left_behind_is_begun_again(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
):
    """Between making a file and locking it somebody who opens the directory may find it."""
    lock, stolen = blobs_directory.fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not stolen:
            [path] = (blobs.root / "partial").iterdir()
            stolen.append(path.unlink())
        lock(descriptor, operation)

    await blobs.write("first", pieces(b"x"))
    monkeypatch.setattr(blobs_directory.fcntl, "flock", late)
    await blobs.write("second", pieces(b"y"))
    assert stolen and await whole(blobs, "second") == b"y"
    assert files_in(blobs) == ["first", "second"]


async def test_it_is_synced_before_it_is_visible_and_its_directory_after(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
):
    await blobs.write("x", pieces(b"y"))
    [place] = blobs.root.rglob("x")
    done: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        sync(descriptor)
        done.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name.partition(".")[0]))

    def renamed(self: Path, target: Path) -> Path:
        done.append(("rename", target.name))
        return rename(self, target)

    monkeypatch.setattr(blobs_directory.os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    await blobs.write("x", pieces(b"z"))
    assert done == [("fsync", "x"), ("rename", "x"), ("fsync", place.parent.name)]
    assert await whole(blobs, "x") == b"z"


async def test_a_long_blob_is_synced_on_its_way(blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(blobs_directory, "SYNC_EVERY", 1_000_000)
    await blobs.write("x", pieces(b"y"))
    monkeypatch.setattr(blobs_directory.os, "fsync", synced.append)
    await blobs.write("x", pieces(*[bytes(blobs_directory.PIECE)] * 16))
    assert len(synced) == 4 + 2


def failing(number: int, *, after: int = 0) -> Any:
    calls = 0

    def fail(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(number, os.strerror(number), "/srv/very/secret/path")
        return len(args[1]) if len(args) > 1 else None

    return fail


@pytest.mark.parametrize(
    ("call", "number", "after", "kind"),
    [
        ("write", errno.ENOSPC, 0, StorageFull),
        ("write", errno.ENOSPC, 2, StorageFull),
        ("write", errno.EDQUOT, 0, StorageFull),
        ("write", errno.EFBIG, 0, StorageFull),
        ("write", errno.EIO, 1, StorageUnavailable),
        ("fsync", errno.EIO, 0, StorageUnavailable),
        ("fsync", errno.EIO, 1, StorageUnavailable),
        ("fsync", errno.ENOSPC, 0, StorageFull),
    ],
)
async def test_nothing_is_left_where_the_disk_refuses(
    blobs: DirectoryBlobs, call: str, number: int, after: int, kind: type[StorageUnavailable]
):
    await blobs.write("before", pieces(b"x"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs_directory.os, call, failing(number, after=after))
        with pytest.raises(StorageUnavailable) as refusal:
            await blobs.write("before-not", pieces(*[bytes(300_000)] * 4))
        with pytest.raises(StorageUnavailable):
            await blobs.ping()
    assert type(refusal.value) is kind
    assert "secret" not in f"{refusal.value.document()} {refusal.value.detail}"
    assert os.strerror(number) in refusal.value.detail
    for _ in range(100):
        if files_in(blobs) == ["before"]:
            break
        await asyncio.sleep(0.01)
    assert files_in(blobs) == ["before"]
    await blobs.ping()
    await blobs.write("after", pieces(b"z"))
    assert await whole(blobs, "after") == b"z"


async def test_what_was_renamed_but_not_synced_is_not_there(blobs: DirectoryBlobs):
    await blobs.write("x", pieces(b"y"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs_directory.os, "fsync", failing(errno.EIO, after=1))
        with pytest.raises(StorageUnavailable):
            await blobs.write("x", pieces(b"z"))
    with pytest.raises(NotFound):
        await whole(blobs, "x")


async def test_a_directory_that_cannot_be_one_is_unavailable_until_it_can(tmp_path: Path):
    (tmp_path / "data").write_text("a file")
    blobs = DirectoryBlobs(tmp_path / "data" / "files")
    for attempt in (blobs.write("x", pieces(b"y")), blobs.ping(), whole(blobs, "x"), blobs.delete("x")):
        with pytest.raises(StorageUnavailable):
            await attempt
    (tmp_path / "data").unlink()
    await blobs.ping()
    await blobs.write("x", pieces(b"y"))
    assert await whole(blobs, "x") == b"y"
    await blobs.close()


async def test_a_directory_that_was_removed_is_made_again(blobs: DirectoryBlobs):
    await blobs.write("x", pieces(b"y"))
    for path in sorted(blobs.root.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    blobs.root.rmdir()
    with pytest.raises(NotFound):
        await whole(blobs, "x")
    with pytest.raises(StorageUnavailable):
        await blobs.write("x", pieces(b"y"))
    await blobs.write("x", pieces(b"z"))
    assert await whole(blobs, "x") == b"z"


async def test_a_file_that_ends_too_early_is_told(blobs: DirectoryBlobs):
    await blobs.write("x", pieces(bytes(3 * blobs_directory.PIECE)))
    [path] = blobs.root.rglob("x")
    got = 0
    with pytest.raises(StorageUnavailable, match="ends too early"):
        async for piece in blobs.read("x"):
            got += len(piece)
            os.truncate(path, blobs_directory.PIECE + 5)
    assert got == blobs_directory.PIECE + 5


async def test_a_disk_that_hangs_is_found_out_once(blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch):
    await blobs.write("x", pieces(b"y"))
    stuck, real = threading.Event(), os.fsync

    def hang(descriptor: int) -> None:
        stuck.wait(10)
        real(descriptor)

    monkeypatch.setattr(blobs_directory, "STEP", 0.1)
    monkeypatch.setattr(blobs_directory, "PATIENCE", 0.05)
    monkeypatch.setattr(blobs_directory.os, "fsync", hang)
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await blobs.ping()
    assert await whole(blobs, "x") == b"y"  # what is only slow spoils nothing for others
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await blobs.write("late", pieces(b"z"))
    began = asyncio.get_running_loop().time()
    for attempt in (blobs.write("more", pieces(b"z")), whole(blobs, "x"), blobs.delete("x")):
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await attempt
    assert asyncio.get_running_loop().time() - began < 0.2
    stuck.set()
    for _ in range(200):
        if not blobs._overdue and files_in(blobs) == ["x"]:
            break
        await asyncio.sleep(0.01)
    assert files_in(blobs) == ["x"]
    assert await whole(blobs, "x") == b"y"


@pytest.mark.parametrize("fails", [False, True])
async def test_what_comes_when_nobody_waits_any_more_is_closed(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch, fails: bool
):
    await blobs.write("x", pieces(b"y"))
    begun, going, real = threading.Event(), threading.Event(), os.open

    def slow(path: Path, flags: int, mode: int = 0o777) -> int:
        begun.set()
        going.wait(10)
        if fails:
            raise OSError(errno.EMFILE, "too many")
        return real(path, flags, mode)

    monkeypatch.setattr(blobs_directory.os, "open", slow)
    writing = asyncio.create_task(blobs.write("z", pieces(b"z")))
    while not begun.is_set():
        await asyncio.sleep(0.005)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    going.set()
    for _ in range(200):
        if still_open(blobs) == 0 and files_in(blobs) == ["x"]:
            break
        await asyncio.sleep(0.01)
    assert files_in(blobs) == ["x"]
    assert still_open(blobs) == 0


async def test_a_reader_outlives_its_directory(blobs: DirectoryBlobs):
    await blobs.write("x", pieces(bytes(2 * blobs_directory.PIECE)))
    reading = blobs.read("x")
    assert await anext(reading)
    await blobs.close()
    assert still_open(blobs)
    await reading.aclose()  # type: ignore[attr-defined]
    for _ in range(100):
        if not still_open(blobs):
            break
        await asyncio.sleep(0.01)
    assert still_open(blobs) == 0
