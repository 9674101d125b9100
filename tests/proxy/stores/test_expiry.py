"""What has come to its end goes, bytes first, in turns that have an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.stores import expiry
from proxy.stores.base import Document, Page, Put
from proxy.stores.blobs import FILE, PART, PENDING
from proxy.stores.expiry import Expiry
from proxy.stores.faults import unavailable
from translators.errors import NotFound


class Bytes:
    """Tells which blobs went; those in ``stuck`` do not."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        self.stuck: set[str] = set()

    async def delete(self, name: str) -> None:
        await asyncio.sleep(0)
        if name in self.stuck:
            raise unavailable("the bucket is away")
        self.gone.append(name)


@pytest.fixture
def bytes_() -> Bytes:
    return Bytes()


@pytest.fixture
def sweep(store: Any, bytes_: Bytes, clock: Any) -> Any:
    return Expiry(store, bytes_, clock)  # type: ignore[arg-type]


async def put(store: Any, kind: str, id: str, expires: int | None = None, **fields: Any) -> None:
    await store.commit(Put(Document(kind, id, "ann", 7, {}, expires=expires, **fields)))


async def test_documents_go_with_their_bytes(store, sweep, bytes_, clock):
    ended = int(clock()) - 1
    await put(store, FILE, "f1", ended)
    await put(store, PENDING, "b1", ended)
    await put(store, "note", "n1", ended)
    await put(store, FILE, "later", ended + 2)
    await put(store, FILE, "never")
    assert await sweep.sweep() == 3
    assert sorted(bytes_.gone) == ["b1", "f1"]
    assert await store.expired(ended + 1, 9) == []
    assert len((await store.list(FILE, "ann", Page())).documents) == 2
    assert await sweep.sweep() == 0


async def test_an_upload_goes_with_its_parts(store, sweep, bytes_, clock, monkeypatch):
    monkeypatch.setattr(expiry, "AT_ONCE", 3)
    ended = int(clock()) - 1
    await put(store, "upload", "u1", ended)
    for n in range(8):
        await put(store, PART, f"p{n}", parent="u1")
    await put(store, PART, "foreign", parent="u2")
    assert await sweep.sweep() == 1
    assert sorted(bytes_.gone) == [f"p{n}" for n in range(8)]
    with pytest.raises(NotFound):
        await store.get(PART, "p0", "ann")
    await store.get(PART, "foreign", "ann")


async def test_what_keeps_its_bytes_keeps_its_document(store, sweep, bytes_, clock):
    ended = int(clock()) - 1
    await put(store, FILE, "f1", ended)
    await put(store, FILE, "f2", ended)
    bytes_.stuck = {"f1"}
    assert await sweep.sweep() == 1
    assert [document.id for document in await store.expired(ended + 1, 9)] == ["f1"]
    bytes_.stuck.clear()
    assert await sweep.sweep() == 1
    assert bytes_.gone == ["f2", "f1"]


async def test_a_turn_has_an_end(store, sweep, bytes_, clock, monkeypatch):
    monkeypatch.setattr(expiry, "AT_ONCE", 3)
    monkeypatch.setattr(expiry, "TURNS", 2)
    for n in range(8):
        await put(store, FILE, f"f{n}", int(clock()) - 1)
    assert [await sweep.sweep() for _ in range(3)] == [6, 2, 0]


async def test_those_that_are_stuck_do_not_keep_it_busy(store, sweep, bytes_, clock, monkeypatch):
    monkeypatch.setattr(expiry, "AT_ONCE", 2)
    for n in range(4):
        await put(store, FILE, f"f{n}", int(clock()) - 9 + n)
    bytes_.stuck = {"f0", "f1"}
    assert await sweep.sweep() == 0


async def test_several_may_sweep_at_once(store, bytes_, clock):
    for n in range(12):
        await put(store, FILE, f"f{n}", int(clock()) - 1)
    sweeps = [Expiry(store, bytes_, clock) for _ in range(3)]  # type: ignore[arg-type]
    await asyncio.gather(*(sweep.sweep() for sweep in sweeps))
    assert set(bytes_.gone) == {f"f{n}" for n in range(12)}
    assert await store.expired(int(clock()), 9) == []


async def test_it_goes_on_when_the_storage_fails(bytes_, clock, monkeypatch):
    monkeypatch.setattr(expiry, "FIRST", 0.0)
    monkeypatch.setattr(expiry, "EVERY", 0.0)
    asked = asyncio.Semaphore(0)

    class Away:
        async def expired(self, now: int, limit: int) -> list[Document]:
            asked.release()
            raise unavailable("it is away")

    running = asyncio.create_task(Expiry(Away(), bytes_, clock).run())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        for _ in range(3):
            await asked.acquire()
    assert not running.done()
    running.cancel()
