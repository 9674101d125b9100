"""Bytes on their way in, and what is found of them after each way in which that can end."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from proxy import intake as intakes_module
from proxy.background import Background
from proxy.config import Storage as StorageConfig
from proxy.files import About, Files
from proxy.intake import ANNOUNCED, Intakes
from proxy.storage import Storage
from proxy.stores import blobs_directory
from proxy.stores.base import Change, Document, Page
from proxy.stores.blobs import FILE, PENDING
from proxy.stores.expiry import Expiry
from translators.errors import Conflict, NotFound, RequestTimeout, StorageFull, StorageUnavailable

ABOUT = About("a.txt", "user_data")


class Keeping:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.later = 0.0
        self.storage = Storage(StorageConfig(data=str(data)), self.clock)
        self.background = Background()
        self.files = Files(Intakes(self.storage, self.background, self.clock))

    def clock(self) -> float:
        return time.time() + self.later

    async def blobs(self) -> list[str]:
        await self.background.close(2.0)
        return sorted(path.name for path in (self.data / "files").rglob("*") if path.is_file())

    async def announced(self) -> list[str]:
        await self.background.close(2.0)
        listed = await self.storage.store.list(PENDING, "me", Page(100))
        return [document.id for document in listed.documents]

    async def listed(self) -> list[str]:
        return [document.id for document in (await self.files.list("me", Page(100), "")).documents]

    async def sweep(self, later: float) -> None:
        self.later = later
        await Expiry(self.storage.store, self.storage.blobs, self.clock).sweep()


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Keeping]:
    made = Keeping(tmp_path / "data")
    yield made
    await made.storage.close()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def keep(keeping: Keeping, data: bytes = b"x") -> Document:
    async with keeping.files.receive("me") as intake:
        await intake.write(pieces(data))
        return await keeping.files.keep(intake, ABOUT)


async def read(keeping: Keeping, document: Document) -> bytes:
    return b"".join([piece async for piece in keeping.files.read(document)])


async def test_what_is_kept_is_announced_no_more(keeping: Keeping):
    document = await keep(keeping)
    assert await keeping.announced() == []
    assert await keeping.blobs() == [document.id] == await keeping.listed()
    assert await read(keeping, document) == b"x"


async def test_what_is_not_kept_is_forgotten(keeping: Keeping):
    async with keeping.files.receive("me") as intake:
        await intake.write(pieces(b"x"))
        assert (await keeping.storage.store.get(PENDING, intake.id, "me")).expires is not None
    assert await keeping.announced() == await keeping.blobs() == await keeping.listed() == []
    async with keeping.files.receive("me"):
        pass  # not a byte came
    assert await keeping.announced() == []


class Lost(Exception):
    pass


async def test_what_breaks_is_forgotten(keeping: Keeping):
    with pytest.raises(Lost):
        async with keeping.files.receive("me") as intake:
            await intake.write(pieces(b"x"))
            raise Lost
    assert await keeping.announced() == await keeping.blobs() == []


async def test_what_comes_too_slowly_is_given_up(keeping: Keeping, monkeypatch: pytest.MonkeyPatch):
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    monkeypatch.setattr(intakes_module, "LONGEST", 0.05)
    with pytest.raises(RequestTimeout):
        async with keeping.files.receive("me") as intake:
            await intake.write(slow())
    assert await keeping.announced() == await keeping.blobs() == []


async def test_a_crash_before_it_was_kept_leaves_it_to_the_sweep(keeping: Keeping):
    """As if nobody had lived to forget it."""
    async with keeping.files.receive("me") as intake:
        await intake.write(pieces(b"x"))
        intake.open = False
    assert await keeping.blobs() == [intake.id]
    assert await keeping.listed() == []
    await keeping.sweep(ANNOUNCED - 60)
    assert await keeping.blobs() == [intake.id]
    await keeping.sweep(ANNOUNCED + 60)
    assert await keeping.blobs() == await keeping.announced() == []


class Lossy:
    """A store whose answers get lost: ``made`` says whether what was asked was done."""

    def __init__(self, keeping: Keeping, made: bool) -> None:
        self.store, self.made, self.working = keeping.storage.store, made, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, *steps: Any) -> Any:
        if self.working:
            return await self.store.commit(*steps)
        if self.made:
            await self.store.commit(*steps)
        raise StorageUnavailable("lost")


@pytest.mark.parametrize("made", [True, False])
async def test_where_nobody_knows_whether_it_was_kept_one_document_speaks_of_it(keeping: Keeping, made: bool):
    real = keeping.storage.store
    lossy = Lossy(keeping, made)
    keeping.storage.store = lossy  # type: ignore[assignment]
    with pytest.raises(StorageUnavailable):
        async with keeping.files.receive("me") as intake:
            await intake.write(pieces(b"x"))
            lossy.working = False
            await keeping.files.keep(intake, ABOUT)
    keeping.storage.store = real
    assert await keeping.blobs() == [intake.id]
    assert (await keeping.listed(), await keeping.announced()) == (
        ([intake.id], []) if made else ([], [intake.id])
    )
    await keeping.sweep(ANNOUNCED + 60)
    assert await keeping.blobs() == await keeping.listed() == ([intake.id] if made else [])


async def test_what_was_refused_is_forgotten(keeping: Keeping):
    other = await keep(keeping)
    with pytest.raises(Conflict):
        async with keeping.files.receive("me") as intake:
            await intake.write(pieces(b"x"))
            document = ABOUT.document(intake.id, "me", 0, 1)
            await intake.keep(document, Change(evolve(other, body={}), expect=other.revision + 5))
    assert await keeping.announced() == []
    assert await keeping.blobs() == [other.id] == await keeping.listed()


async def test_what_was_deleted_is_gone_and_its_bytes_soon(keeping: Keeping):
    document = await keep(keeping)
    await keeping.files.delete("me", document.id)
    assert await keeping.listed() == []
    with pytest.raises(NotFound):
        await keeping.files.delete("me", document.id)
    assert await keeping.blobs() == []
    assert await keeping.storage.store.expired(int(time.time()), 10) == []


async def test_of_two_who_delete_one_finds_it(keeping: Keeping):
    document = await keep(keeping)
    outcomes = await asyncio.gather(
        *(keeping.files.delete("me", document.id) for _ in range(4)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(NotFound) == 3


async def test_bytes_that_cannot_be_taken_away_now_are_left_to_the_sweep(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
):
    document = await keep(keeping)
    caplog.set_level(logging.INFO, "deltawire")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", broken)
        await keeping.files.delete("me", document.id)
        await keeping.background.close(2.0)
    assert "taking away what was deleted failed" in caplog.text
    assert await keeping.blobs() == [document.id]
    with pytest.raises(NotFound):
        await keeping.files.get("me", document.id)
    await keeping.sweep(0)
    assert await keeping.blobs() == []


def broken(*args: Any, **named: Any) -> None:
    raise OSError(errno.EIO, "broken")


async def test_the_sweep_may_be_faster(keeping: Keeping):
    document = await keep(keeping)
    await keeping.storage.store.commit(intakes_module.ended(document))
    await keeping.sweep(0)
    keeping.files.intakes.tidy(document)
    assert await keeping.blobs() == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageUnavailable)])
async def test_a_disk_that_refuses_is_told_and_leaves_nothing(
    keeping: Keeping, number: int, kind: type[StorageUnavailable]
):
    kept = await keep(keeping)

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(number, "no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs_directory.os, "write", refuse)
        with pytest.raises(StorageUnavailable) as told:
            await keep(keeping)
    assert type(told.value) is kind
    assert await keeping.blobs() == [kept.id] == await keeping.listed()
    assert await keeping.announced() == []


async def test_a_file_deleted_while_it_is_read_is_missing_or_whole(keeping: Keeping):
    document = await keep(keeping, bytes(1_000_000))
    reading = keeping.files.read(document)
    first = await anext(reading)
    await keeping.files.delete("me", document.id)
    await keeping.background.close(2.0)
    assert len(first) + sum([len(piece) async for piece in reading]) == 1_000_000
    with pytest.raises(NotFound, match="No such File"):
        await read(keeping, document)


async def test_the_label_is_the_purpose(keeping: Keeping):
    document = await keep(keeping)
    assert (document.kind, document.label, document.owner) == (FILE, "user_data", "me")
