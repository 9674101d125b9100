"""What is PostgreSQL's own: the order of commits, its versions, its plans, and servers that do not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from proxy.stores import postgres as queries
from proxy.stores.base import Change, Document, Page, Put
from proxy.stores.postgres import PostgresStore
from proxy.stores.postgres_schema import MIGRATIONS
from translators.errors import StorageUnavailable

PASSWORD = "canary-0123456789"


def note(id: str, **fields: Any) -> Document:
    return Document(**{"kind": "note", "id": id, "owner": "ann", "created": 7, "body": {"id": id}, **fields})


@pytest.fixture
async def store(database: str, clock: Any) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(database, clock, connections=3)
    yield store
    await store.close()


@pytest.fixture
async def beside(database: str) -> AsyncIterator[Any]:
    """A connection of somebody else's, who is slower."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def put_slowly(beside: Any, document: Document) -> Any:
    """As the store does it, but for the commit."""
    slow = beside.transaction()
    await slow.start()
    await queries._lock(beside, [Put(document)])
    await queries._put(beside, document, "{}", 0)
    return slow


async def names(store: PostgresStore, parent: str) -> list[str]:
    listed = await store.list("note", "ann", Page(ascending=True), parent=parent)
    return [document.id for document in listed.documents]


async def test_nothing_appears_before_what_could_be_read(store, beside):
    slow = await put_slowly(beside, note("slow", parent="p"))
    quick = asyncio.create_task(store.commit(Put(note("quick", parent="p"))))
    await asyncio.sleep(0.15)
    assert await names(store, "p") == []
    await slow.commit()
    await quick
    assert await names(store, "p") == ["slow", "quick"]


async def test_other_lists_do_not_wait(store, beside):
    slow = await put_slowly(beside, note("slow", parent="p"))
    others = [note("a", parent="q"), note("b", parent="p", owner="bob"), note("c", parent="p", kind="other")]
    for document in others:
        await store.commit(Put(document))
    await slow.rollback()
    assert await names(store, "q") == ["a"]


async def test_who_waits_too_long_is_told_and_leaves_nothing(store, beside):
    """Half of them have no connection; afterwards all is well again."""
    await store.commit(Put(note("a")))
    slow = beside.transaction()
    await slow.start()
    await beside.execute("SELECT 1 FROM deltawire_documents FOR UPDATE")
    began = time.monotonic()
    stuck = [asyncio.create_task(store.commit(Change(note("a", body={"n": n})))) for n in range(6)]
    told = await asyncio.gather(*stuck, return_exceptions=True)
    assert time.monotonic() - began < 1.6
    assert all(isinstance(one, StorageUnavailable) and one.retry_after for one in told)
    assert sum("did not answer in time" in one.message for one in told) >= 3
    await slow.rollback()
    assert (await store.get("note", "a", "ann")).revision == 1
    await asyncio.gather(*(store.commit(Change(note("a"))) for _ in range(6)))
    assert (await store.get("note", "a", "ann")).revision == 7


async def test_who_finds_no_connection_is_told(store, monkeypatch):
    monkeypatch.setattr("proxy.stores.postgres.PATIENCE", 0.1)
    async with store._places, store._places, store._places:
        with pytest.raises(StorageUnavailable, match="all its connections are in use"):
            await store.get("note", "a", "ann")
    assert not store.broken
    await store.ping()


async def test_a_connection_is_held_for_a_call_and_no_longer(store, postgres):
    await asyncio.gather(*(store.commit(Put(note(f"n{n}"))) for n in range(30)))
    assert store._pool.get_size() <= 3
    assert store._pool.get_idle_size() == store._pool.get_size()
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deltawire' AND state <> 'idle'"
    assert postgres.execute(busy) == "0"


async def test_several_may_make_the_tables_at_once(database):
    stores = await asyncio.gather(*(PostgresStore.open(database) for _ in range(5)))
    await asyncio.gather(*(store.commit(Put(note(f"n{n}"))) for n, store in enumerate(stores)))
    assert len(await names(stores[0], "")) == 5
    for store in stores:
        await store.close()


async def test_a_migration_that_fails_leaves_the_version_before(database, monkeypatch):
    store = await PostgresStore.open(database)
    await store.commit(Put(note("a")))
    await store.close()
    more = "CREATE TABLE deltawire_more (x int)"
    monkeypatch.setattr("proxy.stores.postgres_schema.MIGRATIONS", (*MIGRATIONS, f"{more}; nonsense"))
    with pytest.raises(StorageUnavailable):
        await PostgresStore.open(database)
    monkeypatch.setattr("proxy.stores.postgres_schema.MIGRATIONS", (*MIGRATIONS, more))
    store = await PostgresStore.open(database)
    assert await names(store, "") == ["a"]
    await store.close()
    monkeypatch.undo()
    with pytest.raises(StorageUnavailable, match="made by a newer version"):
        await PostgresStore.open(database)


async def test_a_role_that_may_make_no_tables_will_do(store, beside, database):
    await beside.execute(
        "DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN; GRANT SELECT ON deltawire_migrations TO modest; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON deltawire_documents TO modest"
    )
    modest = await PostgresStore.open(database.replace("postgres@", "modest@"))
    await modest.commit(Put(note("a")))
    assert await names(store, "") == ["a"]
    await modest.close()
    await beside.execute("DROP OWNED BY modest; DROP ROLE modest")


async def test_a_database_that_is_read_only_is_not_well(store, beside, database):
    await store.ping()
    await beside.execute(
        f"ALTER DATABASE {database.split('/')[3].split('?')[0]} SET default_transaction_read_only = on"
    )
    modest = await PostgresStore.open(database)
    with pytest.raises(StorageUnavailable, match="read-only"):
        await modest.ping()
    with pytest.raises(StorageUnavailable, match="read-only"):
        await modest.commit(Put(note("a")))
    await modest.close()


ADDRESSES = [
    ("postgresql://u:{}@127.0.0.1:9/d", "cannot be reached"),
    ("postgresql://u:{}@/d?host=/nowhere", "cannot be reached"),
    ("postgresql://u:{}@127.0.0.1:port/d", "cannot be understood"),
    ("postgresql://u:{}@h/d?sslmode=nonsense", r"cannot be (understood|reached)"),
]


@pytest.mark.parametrize(("address", "why"), ADDRESSES)
async def test_an_address_where_nobody_answers(address, why):
    with pytest.raises(StorageUnavailable, match=why) as told:
        await PostgresStore.open(address.format(PASSWORD))
    assert "canary" not in told.value.message + told.value.detail


async def test_a_database_that_is_not_there(postgres):
    with pytest.raises(StorageUnavailable, match="no such database"):
        await PostgresStore.open(postgres.database("nowhere"))


INSERT_MANY = """
    INSERT INTO deltawire_documents (kind, id, owner, parent, label, size, expires, created, revision, body)
    SELECT 'k' || n % 3, 'i' || n, 'o' || n % 5, 'p' || n % 7, 'l' || n % 2, n % 2,
        nullif(n % 5000, 0) + 10, 0, 1, '{}'
    FROM generate_series(1, 20000) AS n
"""
LISTED = ("k1", "o1", "p1", 5, 15000, 1, 21)
PLANS = [
    (queries.FIND, ("k1", "i1", "o1", 1), "deltawire_documents_pkey"),
    (queries.PLACE, ("k1", "i1", "o1", "p1", 1), "deltawire_documents_pkey"),
    (queries.LIST.replace("{label}", "").replace("{way}", "DESC"), LISTED, "deltawire_by_list"),
    (queries.LIST.replace("{label}", "").replace("{way}", "ASC"), LISTED, "deltawire_by_list"),
    (
        queries.LIST.replace("{label}", "AND label = $8").replace("{way}", "DESC"),
        (*LISTED, "l1"),
        "deltawire_by_label",
    ),
    (queries.UPDATE, ("k1", "i1", "o1", 1, "", "", 1, None, None), "deltawire_documents_pkey"),
    (queries.DROP_THERE, ("k1", "i1", "o1", 1), "deltawire_by_parent"),
    (queries.DROP_ENDED, ("k1", "i1", "o1", 1), "deltawire_documents_pkey"),
    (queries.LOCK_DOCUMENTS, (["k1"], ["i1"]), "deltawire_documents_pkey"),
    (queries.EXPIRED, (4000, 50), "deltawire_by_end"),
]


async def test_every_query_walks_an_index_and_sorts_nothing_in_postgres(store, beside):
    """With the statistics of a table that was empty, too, which nobody may have looked at since."""
    await beside.execute("ANALYZE deltawire_documents")
    await beside.execute(INSERT_MANY)
    async with store._connection() as ours:
        for query, arguments, index in PLANS:
            for kind in ("force_generic_plan", "force_custom_plan"):
                await ours.execute(f"SET plan_cache_mode = {kind}")
                plan = "\n".join(row[0] for row in await ours.fetch(f"EXPLAIN {query}", *arguments))
                assert index in plan, plan
                assert "Seq Scan" not in plan and "Sort" not in plan, plan
