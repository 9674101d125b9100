"""The tables in PostgreSQL, brought up to date by whoever comes first, and its failures in words.

``deltawire_migrations`` holds a row for each migration that was carried out. One worker at a time migrates, behind
an advisory lock; a database that is up to date is only looked at, so that a role that may not make tables will do.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from proxy.stores.faults import full, unavailable
from translators.errors import StorageUnavailable
from translators.excerpt import clean

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE deltawire_documents (
        seq bigint GENERATED ALWAYS AS IDENTITY,
        kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL,
        parent text COLLATE "C" NOT NULL, label text COLLATE "C" NOT NULL,
        created bigint NOT NULL, size bigint NOT NULL, expires bigint,
        revision bigint NOT NULL, body text NOT NULL,
        PRIMARY KEY (kind, id)
    );
    CREATE INDEX deltawire_by_list ON deltawire_documents (kind, owner, parent, seq);
    CREATE INDEX deltawire_by_label ON deltawire_documents (kind, owner, parent, label, seq);
    CREATE INDEX deltawire_by_parent ON deltawire_documents (parent, owner) WHERE parent <> '';
    CREATE INDEX deltawire_by_size ON deltawire_documents (kind, owner, size, expires) WHERE size > 0;
    CREATE INDEX deltawire_by_end ON deltawire_documents (expires) WHERE expires IS NOT NULL;
    """,
)
TABLE = """
    CREATE TABLE IF NOT EXISTS deltawire_migrations (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())
"""
VERSION = "SELECT coalesce(max(version), 0) FROM deltawire_migrations"
LOCK = 0x64656C746177  # any number, as long as it is always the same
PATIENCE = "60s"

_WORDS = {
    "25006": "its database is read-only",
    "28000": "its server refuses the user",
    "28P01": "its server refuses the password",
    "3D000": "its server has no such database",
    "42501": "its role may not do that",
    "42P01": "its tables are gone",
    "53200": "its server has no memory left",
    "53300": "its server has no connection left",
    "57014": "it did not answer in time",
    "57P01": "its server is shutting down",
    "57P02": "its server has crashed",
    "57P03": "its server is starting or shutting down",
    "40P01": "two changes waited for each other",
    "40001": "two changes came at once",
    "55P03": "somebody else holds what should change",
}
_FULL = ("53100", "54000")
_PASSING = frozenset({"25006", "40001", "40P01", "42501", "53100", "53200", "55P03", "57014"})
"""Failures that other connections would not mend."""


async def migrate(connection: Any) -> None:
    """Raises StorageUnavailable, or what asyncpg raises."""
    known = await connection.fetchval("SELECT to_regclass('deltawire_migrations')") is not None
    if known and _is_current(await connection.fetchval(VERSION)):
        return
    async with connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
        await connection.execute("SELECT pg_advisory_xact_lock($1::bigint)", LOCK)
        if not known:  # somebody else may have been at it, which to_regclass would not notice
            await connection.execute(TABLE)
        version = await connection.fetchval(VERSION)
        if _is_current(version):
            return
        for number in range(version, len(MIGRATIONS)):
            await connection.execute(MIGRATIONS[number])
            await connection.execute("INSERT INTO deltawire_migrations (version) VALUES ($1)", number + 1)


def _is_current(version: int) -> bool:
    if version > len(MIGRATIONS):
        raise unavailable("its database was made by a newer version of deltawire")
    return version == len(MIGRATIONS)


def retell(error: BaseException) -> StorageUnavailable:
    detail = f"{type(error).__name__}: {clean(str(error))}"
    if isinstance(error, asyncpg.PostgresError):
        if error.sqlstate in _FULL:
            return full(detail)
        return unavailable(_WORDS.get(error.sqlstate, "its database failed"), detail)
    if isinstance(error, ValueError):
        return unavailable("DATABASE_URL cannot be understood", type(error).__name__)
    return unavailable("its server cannot be reached", detail)


def passes(error: BaseException) -> bool:
    """Whether the pool is as good as before."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _PASSING
