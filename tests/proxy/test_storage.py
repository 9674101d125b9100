"""The storage of a gateway: there when it is needed, and nothing before."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Secret
from proxy.config import Storage as StorageConfig
from proxy.storage import FILES, Storage
from proxy.stores import expiry
from proxy.stores.base import Document, Put
from proxy.stores.blobs import FILE
from proxy.stores.sqlite_file import NAME
from tests.e2e.files_setup import ServeConfig, connected, keeping
from translators.errors import StorageUnavailable

Make = Callable[..., Storage]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Storage] = []

    def storage(data: Path = tmp_path / "data", **settings: Any) -> Storage:
        made.append(Storage(StorageConfig(data=str(data), **settings), lambda: 1_800_000_000.0))
        return made[-1]

    yield storage
    for one in made:
        await one.close()


def note(id: str, **fields: Any) -> Put:
    return Put(Document(**{"kind": "note", "id": id, "owner": "ann", "created": 7, "body": {}, **fields}))


async def one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def test_chats_touch_nothing(serve_config: ServeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gateway = serve_config(keeping(tmp_path / "data"))
    with connected(gateway) as client:
        for stream in (True, False):
            body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
            assert client.post("/v1/chat/completions", body).status == 200
        assert client.get("/readyz").json == {"status": "ok"}
    storage = gateway.serving.gateway.storage
    assert not (tmp_path / "data").exists()
    assert (storage.store.used, storage.blobs.used, storage._sweeping) == (False, False, None)


async def test_the_first_use_makes_the_directory_and_begins_to_sweep(make, tmp_path):
    storage = make()
    storage.start()
    assert storage._sweeping is None and await storage.reasons() == []
    await storage.store.commit(note("a"))
    assert (tmp_path / "data" / NAME).exists() and not (tmp_path / "data" / FILES).exists()
    assert storage._sweeping is not None and storage.counts


@pytest.mark.parametrize("there", [True, False])
async def test_what_an_earlier_run_left_is_swept(make, monkeypatch, there):
    monkeypatch.setattr(expiry, "FIRST", 0.0)
    before = make()
    if there:
        await before.blobs.write("f", one(b"bytes"))
        await before.store.commit(note("f", kind=FILE, expires=1_799_999_999))
    storage = make()
    storage.start()
    assert (storage._sweeping is not None) == there
    async with asyncio.timeout(5):
        while there and await before.store.expired(1_800_000_000, 1):
            await asyncio.sleep(0.005)
    assert not there or not [path for path in (storage.folder / FILES).rglob("f") if path.is_file()]


REASONS: list[tuple[dict[str, Any], int]] = [
    ({}, 0),
    ({"affinity": True}, 1),
    ({"database_url": Secret("postgresql://u:canary@/d?host=/nowhere")}, 1),
    ({"blobs_url": "file:///dev/null/files"}, 2),
]


@pytest.mark.parametrize(("settings", "count"), REASONS)
async def test_who_counts_on_it_is_told(make, tmp_path, settings, count):
    (tmp_path / "data").write_text("no directory")
    storage = make(**settings)
    reasons = await storage.reasons()
    assert len(reasons) == count
    assert all(reason.startswith("storage: ") for reason in reasons)
    assert not [word for word in ("canary", "/", str(tmp_path)) if word in str(reasons)]


async def test_files_that_were_never_used_are_nobody_s_reason(make, tmp_path):
    """A database may keep documents where the directory for files cannot be written."""
    (tmp_path / "data").mkdir()
    storage = make()
    await storage.store.commit(note("a"))
    (tmp_path / "data" / FILES).write_text("no directory")
    assert await storage.reasons() == []
    with pytest.raises(StorageUnavailable):
        await storage.blobs.write("f", one(b"bytes"))
    storage._asked = float("-inf")
    assert len(await storage.reasons()) == 1


async def test_whoever_asks_often_is_told_the_same(make, tmp_path, monkeypatch):
    storage = make(affinity=True)
    asked = 0
    ask = Storage._ask

    async def count(self: Storage) -> list[str]:
        nonlocal asked
        asked += 1
        return await ask(self)

    monkeypatch.setattr(Storage, "_ask", count)
    assert await asyncio.gather(*(storage.reasons() for _ in range(20))) == [[]] * 20
    assert asked == 1


async def test_a_database_needs_its_library(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "proxy.stores.postgres", None)
    storage = make(database_url=Secret("postgresql://h/d"))
    with pytest.raises(StorageUnavailable, match=r"pip install 'deltawire\[postgres\]'"):
        await storage.store.ping()


async def test_starting_looks_no_closer_than_it_may(make, tmp_path):
    """A path that cannot even be asked about is for later."""
    make(tmp_path / ("x" * 300)).start()
    make(Path("/dev/null/data")).start()


async def test_a_probe_makes_nothing(make, tmp_path):
    storage = make()
    assert "can be made" in await storage.probe()
    assert list(tmp_path.iterdir()) == []
    await storage.store.commit(note("a"))
    assert await make().probe() == "can keep things"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable):
        await make(tmp_path / "file" / "data").probe()
    with pytest.raises(StorageUnavailable):
        await make(tmp_path / "elsewhere", blobs_url="file:///dev/null/files").probe()
