"""Documents in PostgreSQL: the storage of several machines.

A list is paged by ``seq``, and PostgreSQL gives numbers out before a transaction commits: one that takes its time
would appear behind a page that somebody has read already, and be missed. So who puts something into a list first
takes a lock that belongs to that list, and holds it until the commit. Then numbers come in the order of commits;
other lists wait for nothing. Documents that change are locked in the order of their ids, so that two commits wait
for each other in no circle.

A body is ``text`` and not ``jsonb``, which sorts keys, rounds numbers and refuses U+0000. ``seq`` has no index of
its own, for the planner would walk it through everybody's documents. A connection is held for one call, never
longer, and one on which a call was given up is closed, so that nobody is handed what another asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from attrs import define, evolve, field

from proxy.stores.base import PATIENCE, Change, Document, Documents, Drop, Listed, Page, Put, Step
from proxy.stores.faults import TOO_SLOW, changed, missing, not_in_list, taken, unavailable
from proxy.stores.lists import Stretch
from proxy.stores.names import is_name, read, write
from proxy.stores.postgres_schema import migrate, passes, retell

CONNECTIONS = 8
LIFE = 300.0
"""Seconds that a connection without work is kept."""
SETTINGS = {
    "application_name": "deltawire",
    "statement_timeout": str(int(PATIENCE * 1000)),
    "idle_in_transaction_session_timeout": "5000",
    **dict.fromkeys(
        (f"enable_{way}" for way in ["bitmapscan", "hashjoin", "mergejoin", "seqscan", "sort"]), "off"
    ),
}
"""Every query has an index in its order. A planner that knows no statistics yet would do without, and look through
whole lists for a page."""

COLUMNS = "kind, id, owner, created, body, parent, label, size, expires, seq, revision"


def _query(text: str) -> str:
    """``OWNER`` is one that no index helps with, so that the one by id does, whatever the planner believes."""
    text = text.replace("COLUMNS", COLUMNS).replace("DOCUMENTS", "deltawire_documents")
    text = text.replace("OWNER", "owner || ''")
    return text.replace("THERE(", "(expires IS NULL OR expires > ")


INSERT = _query(
    "INSERT INTO DOCUMENTS (kind, id, owner, created, body, parent, label, size, expires, revision) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1) ON CONFLICT (kind, id) DO NOTHING RETURNING seq"
)
FIND = _query("SELECT COLUMNS FROM DOCUMENTS WHERE kind = $1 AND id = $2 AND OWNER = $3 AND THERE($4)")
LOCK_LISTS = "SELECT pg_advisory_xact_lock(list) FROM unnest($1::bigint[]) AS list"
LOCK_DOCUMENTS = _query(
    "SELECT 1 FROM DOCUMENTS WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[])) "
    "ORDER BY kind, id FOR UPDATE"
)
UPDATE = _query(
    "UPDATE DOCUMENTS SET body = $5, label = $6, size = $7, expires = $8, revision = revision + 1 "
    "WHERE kind = $1 AND id = $2 AND OWNER = $3 AND THERE($4) AND ($9::bigint IS NULL OR revision = $9) "
    "RETURNING created, parent, seq, revision"
)
DROP = _query(
    "WITH RECURSIVE below AS (SELECT kind, id, owner FROM DOCUMENTS WHERE kind = $1 AND id = $2 AND {whose} "
    "UNION SELECT d.kind, d.id, d.owner FROM DOCUMENTS d JOIN below b ON d.parent = b.id AND d.owner = b.owner "
    "WHERE d.parent <> '') "
    "DELETE FROM DOCUMENTS WHERE (kind, id) IN (SELECT kind, id FROM below)"
)
DROP_THERE = DROP.replace("{whose}", _query("OWNER = $3 AND THERE($4)"))
DROP_ENDED = DROP.replace("{whose}", _query("OWNER = $3 AND expires <= $4"))
DROP_ANYBODYS = DROP.replace("{whose}", "expires <= $3")
LIST = _query(
    "SELECT COLUMNS FROM DOCUMENTS WHERE kind = $1 AND owner = $2 AND parent = $3 {label} "
    "AND seq > $4 AND seq < $5 AND THERE($6) ORDER BY seq {way} LIMIT $7"
)
PLACE = _query(
    "SELECT seq FROM DOCUMENTS WHERE kind = $1 AND id = $2 AND OWNER = $3 AND parent = $4 AND THERE($5)"
)
TOTAL = _query(
    "SELECT sum(size)::bigint FROM DOCUMENTS WHERE kind = $1 AND owner = $2 AND size > 0 AND THERE($3)"
)
EXPIRED = _query("SELECT COLUMNS FROM DOCUMENTS WHERE expires <= $1 ORDER BY expires LIMIT $2")
MAY_WRITE = "SELECT current_setting('transaction_read_only') = 'off'"

Connection: TypeAlias = Any  # asyncpg has annotations but does not offer them
FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@define(eq=False)
class PostgresStore:
    clock: Callable[[], float]
    broken: str = field(default="", init=False)
    """Why another pool should be made; empty as long as this one will do."""
    _pool: Any = field(init=False)
    _places: asyncio.Semaphore = field(init=False)

    @classmethod
    async def open(
        cls, url: str, clock: Callable[[], float] = time.time, connections: int = CONNECTIONS
    ) -> PostgresStore:
        """Raises StorageUnavailable."""
        store = cls(clock)
        store._places = asyncio.Semaphore(connections)
        pool, opened = None, False
        try:
            store._pool = pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=connections,
                max_inactive_connection_lifetime=LIFE,
                reset=_as_it_is,
                server_settings=SETTINGS,
            )
            async with store._pool.acquire() as connection:
                await migrate(connection)
            opened = True
        except (*FOREIGN, ValueError) as error:
            raise retell(error) from error
        finally:
            if not opened and pool is not None:
                pool.terminate()
        return store

    async def get(self, kind: str, id: str, owner: str) -> Document:
        if not is_name(kind, id, owner):
            raise missing(kind, id)
        async with self._connection() as connection:
            row = await connection.fetchrow(FIND, kind, id, owner, self._now())
        if row is None:
            raise missing(kind, id)
        return _document(row)

    async def list(self, kind: str, owner: str, page: Page, *, parent: str = "", label: str = "") -> Listed:
        for name, id in (("after", page.after), ("before", page.before)):
            if not is_name(id):
                raise not_in_list(name, id)
        if not is_name(kind, owner, parent, label):
            return Listed((), False)
        now = self._now()
        async with self._connection() as connection:

            async def place(name: str, id: str) -> int | None:
                if not id:
                    return None
                seq: int | None = await connection.fetchval(PLACE, kind, id, owner, parent, now)
                if seq is None:
                    raise not_in_list(name, id)
                return seq

            stretch = Stretch.of(page, await place("after", page.after), await place("before", page.before))
            way = "ASC" if stretch.upward else "DESC"
            query = LIST.replace("{label}", "AND label = $8" if label else "").replace("{way}", way)
            among = (kind, owner, parent, stretch.low, stretch.high, now, page.limit + 1)
            rows = await connection.fetch(query, *among, *((label,) if label else ()))
        return stretch.listed([_document(row) for row in rows], page.limit)

    async def total(self, kind: str, owner: str) -> int:
        async with self._connection() as connection:
            return await connection.fetchval(TOTAL, kind, owner, self._now()) or 0

    async def expired(self, now: int, limit: int) -> Documents:
        async with self._connection() as connection:
            return [_document(row) for row in await connection.fetch(EXPIRED, now, limit)]

    async def commit(self, *steps: Step) -> Documents:
        texts = [_checked(step) for step in steps]
        now, left = self._now(), []
        async with self._connection() as connection, connection.transaction():
            await _lock(connection, steps)
            for step, text in zip(steps, texts, strict=True):
                match step:
                    case Put(document):
                        left.append(await _put(connection, document, text, now))
                    case Change(document, expect):
                        left.append(await _change(connection, document, text, expect, now))
                    case Drop(kind, id, owner, ended):
                        query = DROP_ENDED if ended else DROP_THERE
                        if not _count(await connection.execute(query, kind, id, owner, now)):
                            raise missing(kind, id)
        return left

    async def ping(self) -> None:
        async with self._connection() as connection:
            if not await connection.fetchval(MAY_WRITE):
                raise unavailable("its database is read-only")

    async def close(self) -> None:
        """What was begun is given a moment."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._pool.close()
        except (TimeoutError, *FOREIGN):
            self._pool.terminate()

    def _now(self) -> int:
        return int(self.clock())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One for this call, within what a call may take. Raises StorageUnavailable."""
        late = "all its connections are in use"
        try:
            async with asyncio.timeout(PATIENCE), self._places:
                late = TOO_SLOW
                connection = await self._pool.acquire()
                try:
                    yield connection
                except (TimeoutError, asyncio.CancelledError):
                    connection.terminate()
                    raise
                finally:
                    await self._pool.release(connection)
        except TimeoutError:
            if late is TOO_SLOW:
                self.broken = late
            raise unavailable(late) from None
        except FOREIGN as error:
            told = retell(error)
            if not passes(error):
                self.broken = told.message
            raise told from error


async def _as_it_is(connection: Connection) -> None:
    """No call leaves anything behind on a connection that would have to be cleared away."""


async def _lock(connection: Connection, steps: Iterable[Step]) -> None:
    lists = sorted({_list_key(step.document) for step in steps if isinstance(step, Put)})
    if lists:
        await connection.execute(LOCK_LISTS, lists)
    names = sorted({_name(step) for step in steps if not isinstance(step, Put)})
    if len(names) > 1:
        await connection.execute(LOCK_DOCUMENTS, [kind for kind, _ in names], [id for _, id in names])


def _list_key(document: Document) -> int:
    name = "\0".join((document.kind, document.owner, document.parent)).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)


def _name(step: Change | Drop) -> tuple[str, str]:
    return (step.kind, step.id) if isinstance(step, Drop) else (step.document.kind, step.document.id)


async def _put(connection: Connection, new: Document, text: str, now: int) -> Document:
    row = (
        *(new.kind, new.id, new.owner, new.created, text),
        *(new.parent, new.label, new.size, new.expires),
    )
    seq = await connection.fetchval(INSERT, *row)
    if seq is None and _count(await connection.execute(DROP_ANYBODYS, new.kind, new.id, now)):
        seq = await connection.fetchval(INSERT, *row)
    if seq is None:
        raise taken(new)
    return evolve(new, seq=seq, revision=1)


async def _change(connection: Connection, new: Document, text: str, expect: int | None, now: int) -> Document:
    whose = (new.kind, new.id, new.owner, now)
    row = await connection.fetchrow(UPDATE, *whose, text, new.label, new.size, new.expires, expect)
    if row is not None:
        created, parent, seq, revision = row
        return evolve(new, created=created, parent=parent, seq=seq, revision=revision)
    raise missing(new.kind, new.id) if await connection.fetchrow(FIND, *whose) is None else changed(new)


def _checked(step: Step) -> str:
    if not isinstance(step, Drop):
        return write(step.document)
    if not is_name(step.kind, step.id, step.owner):
        raise missing(step.kind, step.id)
    return ""


def _count(told: str) -> int:
    """Of what a statement did: ``DELETE 3``."""
    return int(told.rpartition(" ")[2])


def _document(row: Any) -> Document:
    kind, id, owner, created, body, *rest = row
    return Document(kind, id, owner, created, read(body), *rest)
