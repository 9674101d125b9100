"""What can happen to a file and its disk: chats go on, the rest says why, and all is well again by itself.

Every failure is a real one, made where it can be made without being root: by what lies in the file's place, by a
connection that may only read or has no room, by the kernel refusing to sync, by a process that may write no more.
"""

from __future__ import annotations

import resource
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_file import NAME, connect
from tests.e2e.files_setup import Client, ServeConfig, connected, form, keeping
from tests.proxy.stores.bad_setup import answering, chats, heals, keeps, refused, says_so
from tests.support.command import Command
from tests.support.gateway import GatewayThread, builtin_upstream
from tests.support.refusal import SYNC, refuse_syncs
from tests.support.waiting import until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(serve_config: ServeConfig, data: Path) -> GatewayThread:
    return serve_config(keeping(data, builtin_upstream(pace=0.002)))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


class Through:
    """The way to the file, which a test may change while the gateway runs."""

    def __init__(self) -> None:
        self.connect: Callable[[str], sqlite3.Connection] = connect

    def __call__(self, path: str) -> sqlite3.Connection:
        return self.connect(path)


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Through:
    way = Through()

    async def open_through(path: Path, clock: Any) -> SqliteStore:
        return await SqliteStore.open(path, clock, way)

    monkeypatch.setattr("proxy.storage.SqliteStore", type("Opener", (), {"open": staticmethod(open_through)}))
    return way


def the_store(gateway: GatewayThread) -> SqliteStore:
    """The store that is open."""
    store = gateway.serving.gateway.storage.store._store
    assert isinstance(store, SqliteStore)
    return store


def test_the_directory_cannot_be_made(gateway, client, data):
    data.write_text("something else")
    assert client.get("/readyz").status == 200  # nobody has asked for anything to be kept
    says_so(client, "its directory cannot be used")
    data.unlink()
    heals(client)


def test_the_file_is_no_database(gateway, client, data):
    data.mkdir()
    (data / NAME).write_bytes(b"this is not what it should be " * 400)
    says_so(client, "its database file is damaged")
    (data / NAME).unlink()
    heals(client)


def test_a_page_of_the_file_is_damaged(serve_config, data):
    with GatewayThread(keeping(data)) as before, connected(before) as client:
        ids = [keeps(client) for _ in range(40)]
    pages = bytearray((data / NAME).read_bytes())
    pages[4096:] = b"\xa5" * (len(pages) - 4096)
    (data / NAME).write_bytes(pages)
    gateway = serve_config(keeping(data))
    with connected(gateway) as client:
        refused(client.get(f"/v1/files/{ids[0]}"), "its database file is damaged")
        chats(client)
        for left in data.glob(f"{NAME}*"):
            left.unlink()
        heals(client)


def test_a_newer_version_made_the_file(gateway, client, data):
    data.mkdir()
    file = sqlite3.connect(data / NAME)
    file.execute("PRAGMA user_version = 99")
    says_so(client, "made by a newer version")
    file.execute("PRAGMA user_version = 0")
    file.close()
    heals(client)


def test_the_directory_is_moved_away_while_it_is_used(gateway, client, data):
    id = keeps(client)
    data.rename(data.with_name("backup"))
    refused(client.upload(form()), "was moved away")
    until(lambda: client.get("/v1/files").json.get("data") == [], "another file is made", 2.5)
    shutil.rmtree(data)
    data.with_name("backup").rename(data)
    client.upload(form())  # which notices
    until(lambda: client.get(f"/v1/files/{id}").status == 200, "the first file is found again", 2.5)


def test_the_file_may_only_be_read(through, gateway, client):
    id = keeps(client)
    through.connect = lambda path: sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    the_store(gateway).broken = "another connection is needed"
    until(lambda: client.get("/readyz").status == 503, "it is noticed", 2.5)
    says_so(client, "its database is read-only")
    through.connect = connect
    heals(client)
    assert client.content(id) == b"kept"


def test_there_is_no_room_left(through, gateway, client):
    def narrow(path: str) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 30")
        return connection

    through.connect = narrow
    kept = []
    while (reply := client.upload(form())).status == 200:
        kept.append(reply.json["id"])
        assert len(kept) < 500
    assert (reply.status, reply.json["error"]["code"]) == (507, "storage_full")
    assert client.content(kept[-1]) == b"hello"
    chats(client)
    for id in kept[::2]:
        assert client.ask("DELETE", f"/v1/files/{id}").status == 200
    until(lambda: client.upload(form()).status == 200, "there is room again", 2.5)
    assert client.content(kept[1]) == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters are Linux's")
def test_the_disk_does_not_sync(gateway, client):
    """The thread that writes is refused it, and with the thread the misery ends."""
    assert SYNC
    id = keeps(client)
    store = the_store(gateway)
    store._write_thread.submit(refuse_syncs).result(5)
    refused(client.upload(form()), "its disk fails")
    chats(client)
    assert store.broken
    kept = heals(client)
    assert the_store(gateway) is not store
    assert client.content(id) == client.content(kept) == b"kept"


def test_somebody_else_holds_the_file_in_the_middle_of_an_answer(serve_config, data):
    gateway = serve_config(keeping(data, builtin_upstream(pace=0.03)))
    with connected(gateway) as client:
        keeps(client)
        other = sqlite3.connect(data / NAME, isolation_level=None)
        with answering(gateway):
            other.execute("BEGIN EXCLUSIVE")
            refused(client.upload(form()), "held by somebody else")
            assert client.get("/v1/files").status == 200  # what is there can be read
            other.execute("ROLLBACK")
            keeps(client)
        other.close()


TOML = "[upstreams.demo]\nkind = 'builtin'\nmodels = ['demo']\n[storage]\ndata = '{}'\n"


def test_a_process_that_may_write_no_more(tmp_path, data):
    """A full disk, as the process sees it: a write fails in the middle."""
    with Command(tmp_path, TOML.format(data)) as gateway, connected(gateway) as client:
        id = keeps(client)
        limit = (data / f"{NAME}-wal").stat().st_size + 3000
        hard = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (limit, hard))
        until(lambda: client.upload(form()).status in (503, 507), "it fails", 3.0)
        assert client.content(id) == b"kept"
        chats(client)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        heals(client)
        assert client.content(id) == b"kept"
