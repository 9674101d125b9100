"""One SQLite file: made, opened, brought up to date, and what it says when it fails.

The file is ours alone: it and its directory are made so that nobody else can read them, and a file that another
program or a newer version of this one made is left as it is. ``PRAGMA user_version`` counts the migrations that a
file has had. After one is made, its directory is synced, for a file whose name is lost is lost.

Nothing here needs an SQLite newer than 3.24, whatever newer ones could say in fewer words.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from proxy.stores.base import PATIENCE
from proxy.stores.faults import full, unavailable
from translators.errors import StorageUnavailable

NAME = "deltawire.db"
Connect: TypeAlias = Callable[[str], sqlite3.Connection]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE documents (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, parent TEXT NOT NULL, label TEXT NOT NULL,
            created INTEGER NOT NULL, size INTEGER NOT NULL, expires INTEGER,
            revision INTEGER NOT NULL, body TEXT NOT NULL
        )""",
        "CREATE UNIQUE INDEX by_id ON documents (kind, id)",
        "CREATE INDEX by_list ON documents (kind, owner, parent, seq)",
        "CREATE INDEX by_label ON documents (kind, owner, parent, label, seq)",
        "CREATE INDEX by_parent ON documents (parent, owner) WHERE parent <> ''",
        "CREATE INDEX by_size ON documents (kind, owner, size, expires) WHERE size > 0",
        "CREATE INDEX by_end ON documents (expires) WHERE expires IS NOT NULL",
        "CREATE TABLE pulse (beats INTEGER NOT NULL)",
        "INSERT INTO pulse VALUES (0)",
    ),
)

DAMAGED = "its database file is damaged"
_WORDS = {
    sqlite3.SQLITE_READONLY: "its database is read-only",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CANTOPEN: "its database file cannot be opened",
    sqlite3.SQLITE_PERM: "its database file may not be used",
    sqlite3.SQLITE_IOERR: "its disk fails",
    sqlite3.SQLITE_BUSY: "its database is held by somebody else",
    sqlite3.SQLITE_LOCKED: "its database is held by somebody else",
}
_PASSING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""Failures that a new connection would not mend."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def connect(path: str) -> sqlite3.Connection:
    """Waits for other processes, but not as long as somebody waits for us."""
    return sqlite3.connect(path, timeout=PATIENCE / 2, isolation_level=None, check_same_thread=False)


def open_writer(path: Path, connect: Connect) -> sqlite3.Connection:
    """Raises StorageUnavailable, sqlite3.Error or OSError."""
    _make(path)
    writer = connect(str(path))
    with ExitStack() as otherwise:
        otherwise.callback(writer.close)
        _refuse_foreign(writer)  # before anything is changed, be it the way of its journal
        # The database is what a commit means to be there, so each one waits for the disk: FULL, and on Apple's
        # systems the command that really reaches it.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            writer.execute(f"PRAGMA {pragma}").fetchall()
        _migrate(writer)
        _try_to_write(writer)
        _begin_log_anew(writer)
        otherwise.pop_all()
    return writer


def _try_to_write(writer: sqlite3.Connection) -> None:
    """Whatever forbids it is told of best by a change; nothing of it reaches the disk."""
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE pulse SET beats = beats")
    writer.execute("ROLLBACK")


def _begin_log_anew(writer: sqlite3.Connection) -> None:
    """After a sync that failed nobody knows which pages of the log are on the disk.

    What came behind a lost page would be lost with it. So a log that was left behind is written out, and not gone
    on with. On a full disk that may have to wait: what is there can still be read.
    """
    try:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        if not passes(error):
            raise


def open_reader(path: Path, connect: Connect) -> sqlite3.Connection:
    reader = connect(str(path))
    reader.execute("PRAGMA query_only = ON")
    return reader


def _make(path: Path) -> None:
    if path.exists():
        return
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for folder in (path.parent, *(folder.parent for folder in missing)):
        _sync(folder)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _migrate(writer: sqlite3.Connection) -> None:
    if _version(writer) == len(MIGRATIONS):
        return
    writer.execute("BEGIN IMMEDIATE")
    try:
        _refuse_foreign(writer)
        for number in range(_version(writer), len(MIGRATIONS)):  # somebody else may have been at it
            for statement in MIGRATIONS[number]:
                writer.execute(statement)
        writer.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        writer.execute("COMMIT")
    finally:
        if writer.in_transaction:
            writer.execute("ROLLBACK")


def _refuse_foreign(writer: sqlite3.Connection) -> None:
    tables = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = _version(writer)  # asked last: whoever makes our tables at this moment gives both at once
    if version > len(MIGRATIONS):
        raise unavailable("its database was made by a newer version of deltawire")
    if version == 0 and tables:
        raise unavailable("its database belongs to another program")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def retell(error: sqlite3.Error | OSError) -> StorageUnavailable:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        words = f"its directory cannot be used ({error.strerror or 'input/output error'})"
        return full(detail) if error.errno in _FULL else unavailable(words, detail)
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return full(detail)
    return unavailable(_WORDS.get(code, "its database failed"), detail)


def passes(error: sqlite3.Error | OSError) -> bool:
    """Whether the connection is as good as before."""
    return isinstance(error, sqlite3.Error) and _code(error) in _PASSING


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
