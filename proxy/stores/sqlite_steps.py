"""What a store is asked to do, said to one SQLite connection, in whatever transaction it is.

Everything blocks, and belongs into a thread. Each query names its owner, so that nothing can be found by anybody
else, and the time, so that nothing is found that has come to its end.
"""

from __future__ import annotations

import sqlite3
from typing import Any, TypeAlias

from attrs import evolve, frozen

from proxy.stores.base import Change, Document, Documents, Drop, Listed, Page, Put, Step
from proxy.stores.faults import changed, missing, not_in_list, taken
from proxy.stores.lists import Stretch
from proxy.stores.names import read

COLUMNS = "kind, id, owner, created, body, parent, label, size, expires, seq, revision"


def _query(text: str) -> str:
    return text.replace("COLUMNS", COLUMNS).replace("THERE", "(expires IS NULL OR expires > ?)")


INSERT = (
    "INSERT INTO documents (kind, id, owner, created, body, parent, label, size, expires, revision) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (kind, id) DO NOTHING"
)
FIND = _query("SELECT COLUMNS FROM documents WHERE kind = ? AND id = ? AND owner = ? AND THERE")
UPDATE = "UPDATE documents SET body = ?, label = ?, size = ?, expires = ?, revision = ? WHERE seq = ?"
DROP = """DELETE FROM documents WHERE seq IN (
    WITH RECURSIVE below (seq, id, owner) AS (
        SELECT seq, id, owner FROM documents WHERE kind = ?1 AND id = ?2 AND {whose}
        UNION SELECT d.seq, d.id, d.owner FROM documents d JOIN below b ON d.parent = b.id AND d.owner = b.owner
            WHERE d.parent <> ''
    ) SELECT seq FROM below
)"""
DROP_THERE = DROP.format(whose="owner = ?3 AND (expires IS NULL OR expires > ?4)")
DROP_ENDED = DROP.format(whose="owner = ?3 AND expires <= ?4")
DROP_ANYBODYS = DROP.format(whose="expires <= ?3")
LIST = _query(
    "SELECT COLUMNS FROM documents WHERE kind = ? AND owner = ? AND parent = ? {label} "
    "AND seq > ? AND seq < ? AND THERE ORDER BY seq {way} LIMIT ?"
)
PLACE = _query("SELECT seq FROM documents WHERE kind = ? AND id = ? AND owner = ? AND parent = ? AND THERE")
TOTAL = _query("SELECT sum(size) FROM documents WHERE kind = ? AND owner = ? AND size > 0 AND THERE")
EXPIRED = _query("SELECT COLUMNS FROM documents WHERE expires <= ? ORDER BY expires LIMIT ?")
PULSE = "UPDATE pulse SET beats = beats + 1"

Row: TypeAlias = tuple[Any, ...]


@frozen
class Wanted:
    """A step with its body written down already."""

    step: Step
    text: str = ""


def document(row: Row) -> Document:
    kind, id, owner, created, body, *rest = row
    return Document(kind, id, owner, created, read(body), *rest)


def carry_out(connection: sqlite3.Connection, wanted: Wanted, now: int) -> Document | None:
    """What a ``Put`` or ``Change`` left. Raises NotFound or Conflict."""
    match wanted.step:
        case Put(new):
            return _put(connection, new, wanted.text, now)
        case Change(new, expect):
            return _change(connection, new, wanted.text, expect, now)
        case Drop(kind, id, owner, ended):
            gone = connection.execute(DROP_ENDED if ended else DROP_THERE, (kind, id, owner, now))
            if not gone.rowcount:
                raise missing(kind, id)
    return None


def _put(connection: sqlite3.Connection, new: Document, text: str, now: int) -> Document:
    row = (
        *(new.kind, new.id, new.owner, new.created, text),
        *(new.parent, new.label, new.size, new.expires),
    )
    made = connection.execute(INSERT, row)
    if not made.rowcount and connection.execute(DROP_ANYBODYS, (new.kind, new.id, now)).rowcount:
        made = connection.execute(INSERT, row)
    if not made.rowcount:
        raise taken(new)
    return evolve(new, seq=made.lastrowid or 0, revision=1)


def _change(
    connection: sqlite3.Connection, new: Document, text: str, expect: int | None, now: int
) -> Document:
    row = connection.execute(FIND, (new.kind, new.id, new.owner, now)).fetchone()
    if row is None:
        raise missing(new.kind, new.id)
    old_created, old_parent, seq, revision = row[3], row[5], row[9], row[10]
    if expect is not None and expect != revision:
        raise changed(new)
    connection.execute(UPDATE, (text, new.label, new.size, new.expires, revision + 1, seq))
    return evolve(new, created=old_created, parent=old_parent, seq=seq, revision=revision + 1)


def get(connection: sqlite3.Connection, kind: str, id: str, owner: str, now: int) -> Document:
    row = connection.execute(FIND, (kind, id, owner, now)).fetchone()
    if row is None:
        raise missing(kind, id)
    return document(row)


def page_of(
    connection: sqlite3.Connection, kind: str, owner: str, page: Page, parent: str, label: str, now: int
) -> Listed:
    def place(name: str, id: str) -> int | None:
        if not id:
            return None
        found = connection.execute(PLACE, (kind, id, owner, parent, now)).fetchone()
        if found is None:
            raise not_in_list(name, id)
        seq: int = found[0]
        return seq

    stretch = Stretch.of(page, place("after", page.after), place("before", page.before))
    query = LIST.format(label="AND label = ?" if label else "", way="ASC" if stretch.upward else "DESC")
    labels = (label,) if label else ()
    among = (kind, owner, parent, *labels, stretch.low, stretch.high, now, page.limit + 1)
    return stretch.listed([document(row) for row in connection.execute(query, among)], page.limit)


def total(connection: sqlite3.Connection, kind: str, owner: str, now: int) -> int:
    return connection.execute(TOTAL, (kind, owner, now)).fetchone()[0] or 0


def expired(connection: sqlite3.Connection, now: int, limit: int) -> Documents:
    return [document(row) for row in connection.execute(EXPIRED, (now, limit))]
