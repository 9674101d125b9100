"""Documents in one SQLite file: the storage of a single machine, which needs nothing installed.

One thread writes. While it waits for the disk, commits gather, and all that have come by then share the next
transaction and its one sync, each behind a savepoint of its own, so that one that is refused leaves the others
alone. Nobody is told of success before the transaction is. A few threads read, each with its own connection, and
see what was committed, for a WAL lets readers and the writer be.

Several processes may share the file. A failure that a new connection might mend is noted in ``broken``; who holds
the store opens another then.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from attrs import define, field

from proxy.stores import sqlite_steps as steps
from proxy.stores.base import Document, Documents, Drop, Listed, Page, Step
from proxy.stores.faults import missing, not_in_list, patience, unavailable
from proxy.stores.names import is_name, write
from proxy.stores.sqlite_file import Connect, connect, open_reader, open_writer, passes, retell
from proxy.stores.sqlite_steps import Wanted
from translators.errors import GatewayError

READERS = 4
MOST_TOGETHER = 500
"""Commits in one transaction."""
MOST_WAITING = 5000
"""Commits, or reads, that may wait: a disk that hangs must not gather requests without end."""
MOVED = "its database file was moved away"

P = ParamSpec("P")
T = TypeVar("T")
Outcome: TypeAlias = Documents | GatewayError


@define(eq=False)
class _Job:
    """Some steps that go together. Nobody waits any more when ``done`` is cancelled."""

    wanted: Sequence[Wanted]
    now: int
    done: asyncio.Future[Documents]


@define(eq=False)
class SqliteStore:
    path: Path
    clock: Callable[[], float] = time.time
    connect: Connect = connect
    broken: str = field(default="", init=False)
    """Why another connection should be made; empty as long as this one will do."""
    _writer: sqlite3.Connection = field(init=False)
    _file: os.stat_result = field(init=False)
    _waiting: list[_Job] = field(factory=list, init=False)
    _writing: asyncio.Task[None] | None = field(default=None, init=False)
    _reading: int = field(default=0, init=False)
    _opened: list[sqlite3.Connection] = field(factory=list, init=False)
    _own: threading.local = field(factory=threading.local, init=False)
    _write_thread: ThreadPoolExecutor = field(init=False)
    _read_threads: ThreadPoolExecutor = field(init=False)

    @classmethod
    async def open(
        cls, path: Path, clock: Callable[[], float] = time.time, connect: Connect = connect
    ) -> SqliteStore:
        """Raises StorageUnavailable."""
        store = cls(path, clock, connect)
        store._write_thread = ThreadPoolExecutor(1, "sqlite-writer")
        store._read_threads = ThreadPoolExecutor(READERS, "sqlite-reader")
        with ExitStack() as otherwise:
            otherwise.callback(store._write_thread.shutdown, wait=False)
            await asyncio.get_running_loop().run_in_executor(store._write_thread, store._open)
            otherwise.pop_all()
        return store

    async def get(self, kind: str, id: str, owner: str) -> Document:
        if not is_name(kind, id, owner):
            raise missing(kind, id)
        return await self._read(steps.get, kind, id, owner, self._now())

    async def list(self, kind: str, owner: str, page: Page, *, parent: str = "", label: str = "") -> Listed:
        for name, id in (("after", page.after), ("before", page.before)):
            if not is_name(id):
                raise not_in_list(name, id)
        if not is_name(kind, owner, parent, label):
            return Listed((), False)
        return await self._read(steps.page_of, kind, owner, page, parent, label, self._now())

    async def total(self, kind: str, owner: str) -> int:
        return await self._read(steps.total, kind, owner, self._now())

    async def expired(self, now: int, limit: int) -> Documents:
        return await self._read(steps.expired, now, limit)

    async def commit(self, *steps: Step) -> Documents:
        return await self._commit([_wanted(step) for step in steps])

    async def ping(self) -> None:
        """Writes, for nothing else would show that it is possible."""
        await self._commit([])

    async def close(self) -> None:
        """What was begun is brought to its end."""
        while self._writing is not None:
            await asyncio.wait({self._writing})
        await asyncio.get_running_loop().run_in_executor(self._write_thread, self._close)
        self._write_thread.shutdown(wait=False)

    def _now(self) -> int:
        return int(self.clock())

    # Writing.

    async def _commit(self, wanted: Sequence[Wanted]) -> Documents:
        if len(self._waiting) >= MOST_WAITING:
            raise unavailable("too much waits to be kept")
        async with patience():
            done: asyncio.Future[Documents] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Job(wanted, self._now(), done))
            if self._writing is None:
                self._writing = asyncio.create_task(self._write_all())
            return await done

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                jobs = [job for job in self._waiting[:MOST_TOGETHER] if not job.done.done()]
                del self._waiting[:MOST_TOGETHER]
                written = loop.run_in_executor(self._write_thread, self._write, jobs)
                await asyncio.wait({written})
                mistake = written.exception()  # of ours: who waits is told of it, for nobody else would be
                _settle(jobs, written.result() if mistake is None else [mistake] * len(jobs))
                if mistake is not None:
                    raise mistake
        finally:
            self._writing = None

    def _write(self, jobs: Sequence[_Job]) -> Sequence[Outcome]:
        """In the writer's thread: all jobs in one transaction."""
        writer = self._writer
        try:
            self._check_place()
            writer.execute("BEGIN IMMEDIATE")
            outcomes = [self._savepoint(writer, job) for job in jobs]
            writer.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            failure = self._failed(error)
        except GatewayError as error:
            failure = error
        else:
            return outcomes
        self._roll_back(writer)
        return [failure] * len(jobs)

    def _savepoint(self, writer: sqlite3.Connection, job: _Job) -> Outcome:
        writer.execute("SAVEPOINT job")
        outcome: Outcome
        try:
            left = [steps.carry_out(writer, wanted, job.now) for wanted in job.wanted]
            if not job.wanted:
                writer.execute(steps.PULSE)
            outcome = [document for document in left if document is not None]
        except GatewayError as refusal:
            writer.execute("ROLLBACK TO job")
            outcome = refusal
        writer.execute("RELEASE job")
        return outcome

    def _roll_back(self, writer: sqlite3.Connection) -> None:
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._failed(error)

    # Reading.

    async def _read(
        self, ask: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._reading >= MOST_WAITING:
            raise unavailable("too much is asked at once")
        self._reading += 1
        try:
            async with patience():
                loop = asyncio.get_running_loop()
                question = partial(self._ask, lambda reader: ask(reader, *args, **kwargs))
                return await loop.run_in_executor(self._read_threads, question)
        finally:
            self._reading -= 1

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """In a reader's thread."""
        try:
            if not hasattr(self._own, "reader"):
                self._own.reader = open_reader(self.path, self.connect)
                self._opened.append(self._own.reader)
            return question(self._own.reader)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    # Its life.

    def _open(self) -> None:
        try:
            self._writer = open_writer(self.path, self.connect)
            self._file = self.path.stat()
        except (sqlite3.Error, OSError) as error:
            raise retell(error) from error

    def _check_place(self) -> None:
        """What is written into a file that has lost its name is gone when it is closed."""
        try:
            same = os.path.samestat(self.path.stat(), self._file)
        except OSError:
            same = False
        if not same:
            self.broken = MOVED
            raise unavailable(MOVED)

    def _failed(self, error: sqlite3.Error | OSError) -> GatewayError:
        told = retell(error)
        told.__cause__ = error
        if not passes(error):
            self.broken = told.message
        return told

    def _close(self) -> None:
        self._read_threads.shutdown()
        for connection in (*self._opened, self._writer):
            try:
                connection.close()
            except sqlite3.Error as error:
                self._failed(error)


def _wanted(step: Step) -> Wanted:
    if not isinstance(step, Drop):
        return Wanted(step, write(step.document))
    if not is_name(step.kind, step.id, step.owner):
        raise missing(step.kind, step.id)
    return Wanted(step)


def _settle(jobs: Sequence[_Job], outcomes: Sequence[Outcome | BaseException]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.done.done():
            continue  # nobody waits any more
        if isinstance(outcome, BaseException):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)
