"""What is SQLite's own: the file, its versions, its plans, and that nobody is told of what is not on the disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from proxy.stores import sqlite_steps as steps
from proxy.stores.base import Change, Document, Drop, Page, Put
from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_file import MIGRATIONS, connect, open_writer
from translators.errors import Conflict, StorageUnavailable


def note(id: str, **fields: Any) -> Document:
    return Document(**{"kind": "note", "id": id, "owner": "ann", "created": 7, "body": {"id": id}, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on the way" / "deltawire.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_nobody_else_may_look(path):
    before = os.umask(0)
    try:
        store = await SqliteStore.open(path)
        await store.commit(Put(note("a")))
        assert {mode(file) for file in path.parent.iterdir()} == {0o600}
        assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)
        await store.close()
    finally:
        os.umask(before)


async def test_a_directory_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "ours").mkdir(mode=0o755)
    store = await SqliteStore.open(tmp_path / "ours" / "deltawire.db")
    await store.close()
    assert mode(tmp_path / "ours") == 0o755


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def make(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_file_knows_its_version(path):
    for _ in range(2):
        store = await SqliteStore.open(path)
        await store.close()
        assert version(path) == len(MIGRATIONS)


FOREIGN = [
    (f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "made by a newer version"),
    ("CREATE TABLE theirs (x)", "belongs to another program"),
]


@pytest.mark.parametrize(("statement", "why"), FOREIGN)
async def test_what_is_not_ours_stays_as_it_is(path, statement, why):
    make(path, statement)
    before = path.read_bytes()
    with pytest.raises(StorageUnavailable, match=why):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


async def test_a_migration_that_fails_leaves_the_version_before(path, monkeypatch):
    store = await SqliteStore.open(path)
    await store.commit(Put(note("a")))
    await store.close()
    monkeypatch.setattr(
        "proxy.stores.sqlite_file.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (x)", "nonsense"))
    )
    with pytest.raises(StorageUnavailable):
        await SqliteStore.open(path)
    monkeypatch.setattr("proxy.stores.sqlite_file.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (x)",)))
    store = await SqliteStore.open(path)
    assert (await store.get("note", "a", "ann")).body == {"id": "a"}
    await store.close()
    assert version(path) == len(MIGRATIONS) + 1


async def test_several_may_make_the_file_at_once(path):
    stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(6)))
    await asyncio.gather(*(store.commit(Put(note(f"n{n}"))) for n, store in enumerate(stores)))
    assert len((await stores[0].list("note", "ann", Page())).documents) == 6
    for store in stores:
        await store.close()


QUERIES = [
    (steps.FIND, 4, "by_id (kind=? AND id=?)"),
    (steps.PLACE, 5, "by_id (kind=? AND id=?)"),
    (
        steps.LIST.format(label="", way="DESC"),
        7,
        "by_list (kind=? AND owner=? AND parent=? AND seq>? AND seq<?)",
    ),
    (
        steps.LIST.format(label="", way="ASC"),
        7,
        "by_list (kind=? AND owner=? AND parent=? AND seq>? AND seq<?)",
    ),
    (
        steps.LIST.format(label="AND label = ?", way="DESC"),
        8,
        "by_label (kind=? AND owner=? AND parent=? AND label=? AND seq>? AND seq<?)",
    ),
    (steps.TOTAL, 3, "COVERING INDEX by_size (kind=? AND owner=? AND size>?)"),
    (steps.EXPIRED, 2, "by_end (expires<?)"),
    (steps.DROP_THERE, 4, "by_parent (parent=? AND owner=?)"),
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_every_query_walks_an_index_and_sorts_nothing(path, number):
    """Also where SQLite was told how many there are of what."""
    query, arguments, index = QUERIES[number]
    writer = open_writer(path, connect)
    rows = (
        (f"k{n % 3}", f"i{n}", f"o{n % 5}", f"p{n % 7}", f"l{n % 2}", n % 2, n % 3 or None)
        for n in range(3000)
    )
    writer.execute("BEGIN")
    writer.executemany(
        "INSERT INTO documents (kind, id, owner, parent, label, size, expires, created, revision, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1, '{}')",
        rows,
    )
    writer.execute("COMMIT")
    for _ in range(2):
        plan = [row[3] for row in writer.execute(f"EXPLAIN QUERY PLAN {query}", (1,) * arguments)]
        assert any(line.endswith(index) for line in plan), plan
        assert not [line for line in plan if "TEMP B-TREE" in line or line in ("SCAN documents", "SCAN d")], (
            plan
        )
        writer.execute("ANALYZE")
    writer.close()


class Watched(sqlite3.Connection):
    """Tells what is done with it, and when."""

    told: list[str]

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        self.told.append(statement)
        return super().execute(statement, *arguments)


async def test_commits_that_come_together_share_a_transaction(path):
    told: list[str] = []
    acknowledged: list[str] = []

    def watched(where: str) -> sqlite3.Connection:
        connection = sqlite3.connect(where, isolation_level=None, check_same_thread=False, factory=Watched)
        connection.told = told
        return connection

    store = await SqliteStore.open(path, connect=watched)
    await store.commit(Put(note("taken")))
    told.clear()

    async def keep(id: str) -> None:
        await store.commit(Put(note(id)))
        acknowledged.append(id)
        assert told[-1] == "COMMIT"

    wanted = [keep(f"n{n}") for n in range(100)]
    outcomes = await asyncio.gather(*wanted, keep("taken"), return_exceptions=True)
    assert told.count("COMMIT") <= 2
    assert acknowledged == [f"n{n}" for n in range(100)]
    assert [type(one) for one in outcomes if one is not None] == [Conflict]
    await store.close()


async def test_a_commit_that_nobody_waits_for_is_not_begun(path):
    store = await SqliteStore.open(path)
    first = asyncio.create_task(store.commit(Put(note("first"))))
    await asyncio.sleep(0)
    left = asyncio.create_task(store.commit(Put(note("left"))))
    await asyncio.sleep(0)
    left.cancel()
    await first
    await store.commit(Put(note("last")))
    assert [one.id for one in (await store.list("note", "ann", Page())).documents] == ["last", "first"]
    await store.close()


async def test_too_much_that_waits_is_refused(path, monkeypatch):
    monkeypatch.setattr("proxy.stores.sqlite.MOST_WAITING", 10)
    store = await SqliteStore.open(path)
    commits = [store.commit(Put(note(f"n{n}"))) for n in range(12)]
    told = await asyncio.gather(*commits, return_exceptions=True)
    assert [isinstance(one, StorageUnavailable) for one in told] == [False] * 10 + [True] * 2
    reads = [store.get("note", "n0", "ann") for _ in range(12)]
    told = await asyncio.gather(*reads, return_exceptions=True)
    assert [isinstance(one, StorageUnavailable) for one in told] == [False] * 10 + [True] * 2
    assert not store.broken
    await store.close()


async def test_what_was_begun_ends_before_the_store_does(path):
    store = await SqliteStore.open(path)
    tasks = [asyncio.create_task(store.commit(Put(note(f"n{n}")))) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert [len(left) for left in await asyncio.gather(*tasks)] == [1] * 20
    store = await SqliteStore.open(path)
    assert len((await store.list("note", "ann", Page(50))).documents) == 20
    await store.close()


async def test_a_place_is_never_given_twice(path):
    """Or a page would begin somewhere else than where the last one ended."""
    store = await SqliteStore.open(path)
    (first,) = await store.commit(Put(note("a")))
    await store.commit(Drop("note", "a", "ann"))
    (second,) = await store.commit(Put(note("a")))
    assert second.seq > first.seq
    await store.close()


async def test_the_writer_of_another_process_is_waited_for_but_not_long(path):
    store = await SqliteStore.open(path)
    await store.commit(Put(note("a")))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.1, other.execute, "COMMIT")
    await store.commit(Change(note("a")))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="held by somebody else"):
        await store.commit(Change(note("a")))
    assert (await store.get("note", "a", "ann")).revision == 2
    other.execute("ROLLBACK")
    await store.commit(Change(note("a")))
    assert not store.broken
    other.close()
    await store.close()


async def test_a_file_that_lost_its_name_is_not_written_to(path):
    store = await SqliteStore.open(path)
    await store.commit(Put(note("a")))
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StorageUnavailable, match="moved away"):
        await store.commit(Put(note("b")))
    assert store.broken
    await store.close()


async def test_a_log_that_was_left_behind_is_not_gone_on_with(path):
    left = await SqliteStore.open(path)
    await left.commit(Put(note("a")))
    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size > 0
    store = await SqliteStore.open(path)
    assert log.stat().st_size == 0
    for one in (store, left):
        assert (await one.get("note", "a", "ann")).body == {"id": "a"}
        await one.close()


class Failing(sqlite3.Connection):
    """Does not do what ``fails`` names."""

    fails: set[str]

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if statement in self.fails:
            error = sqlite3.OperationalError("as told")
            error.sqlite_errorcode = (
                sqlite3.SQLITE_FULL if "wal_checkpoint" in statement else sqlite3.SQLITE_IOERR
            )
            raise error
        return super().execute(statement, *arguments)

    def close(self) -> None:
        if "close" in self.fails:
            self.fails.discard("close")
            super().close()
            raise sqlite3.OperationalError("as told")
        super().close()


def failing(*fails: str) -> tuple[set[str], Any]:
    told = set(fails)

    def connect_badly(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Failing)
        connection.fails = told
        return connection

    return told, connect_badly


async def test_a_full_disk_can_still_be_read(path):
    _, badly = failing("PRAGMA wal_checkpoint(TRUNCATE)")
    store = await SqliteStore.open(path, connect=badly)
    await store.ping()
    await store.close()


async def test_a_commit_that_fails_is_nobody_s(path):
    """Not even where it cannot be undone."""
    told, badly = failing()
    store = await SqliteStore.open(path, connect=badly)
    for fails in ({"COMMIT"}, {"COMMIT", "ROLLBACK"}):
        told |= fails
        outcomes = await asyncio.gather(
            *(store.commit(Put(note(f"n{n}"))) for n in range(5)), return_exceptions=True
        )
        assert all(
            isinstance(one, StorageUnavailable) and "its disk fails" in one.message for one in outcomes
        )
        assert store.broken
        told.clear()
    told.add("close")
    await store.close()
    again = await SqliteStore.open(path)
    assert (await again.list("note", "ann", Page())).documents == ()
    await again.close()


async def test_a_mistake_of_ours_is_told_to_those_who_wait_and_to_nobody_else(path, monkeypatch):
    store = await SqliteStore.open(path)

    def mistaken(jobs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(SqliteStore, "_write", lambda self, jobs: mistaken(jobs))
    with pytest.raises(ZeroDivisionError):
        await store.commit(Put(note("a")))
    monkeypatch.undo()
    await store.commit(Put(note("b")))
    await store.close()
