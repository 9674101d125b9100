"""Blobs as files of a directory.

A blob is written under a name of its own in ``partial/``, synced, and then renamed to where it belongs, whose
directory is synced, too: it is there as a whole or not at all. Who writes holds a lock on the file. The lock ends
with the process, so what lies in ``partial/`` without one was left behind by a crash, and whoever opens the
directory next removes it; several processes may share one directory.

Everything that can block is done by threads of this directory's own, so that a disk that hangs stops nothing else.
A thread cannot be interrupted: a file is closed under a lock, after whatever is still being done to it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from proxy.stores.base import PATIENCE
from proxy.stores.blobs_names import checked, gathered, missing
from translators.errors import GatewayError, StorageFull, StorageUnavailable

PIECE = 256 * 1024
"""Bytes that go to a thread at once."""
SYNC_EVERY = 16 * 1024 * 1024
"""Bytes after which a long blob is synced on its way, so that its end does not take long."""
STEP = 20.0
"""Seconds that one step of a disk may take."""
THREADS = 8
PARTIAL = "partial"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")
F = TypeVar("F", "_Partial", "_Reading")


@define(eq=False)
class DirectoryBlobs:
    root: Path
    _threads: ThreadPoolExecutor = field(init=False)
    _opened: bool = field(default=False, init=False)
    _overdue: set[Future[Any]] = field(factory=set, init=False)

    @_threads.default
    def _own_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    async def write(self, name: str, parts: AsyncIterator[bytes]) -> int:
        place = self._place(name)
        await self._open()
        file = await self._take(partial(_Partial.create, self.root / PARTIAL, name))
        try:
            size = 0
            async for piece in gathered(parts, PIECE):
                await self._do(partial(file.write, piece))
                size += len(piece)
            await self._do(partial(file.keep, place))
            return size
        finally:
            self._later(file.close)

    async def read(self, name: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        file = await self._take(partial(_Reading.open, self._place(name), start, stop))
        try:
            while piece := await self._do(file.read):
                yield piece
        finally:
            self._later(file.close)

    async def delete(self, name: str) -> None:
        await self._do(partial(self._place(name).unlink, missing_ok=True))

    async def ping(self) -> None:
        await self._wait(self._begin(self._try_out), PATIENCE)

    async def close(self) -> None:
        """What is being written to a disk that hangs is not waited for."""
        self._threads.shutdown(wait=False)

    def _place(self, name: str) -> Path:
        """Names begin alike, so a digest spreads them."""
        spread = hashlib.blake2b(checked(name).encode(), digest_size=1).hexdigest()
        return self.root / spread / name

    async def _open(self) -> None:
        if not self._opened:
            await self._do(self._prepare)
            self._opened = True

    def _prepare(self) -> None:
        place = self.root / PARTIAL
        _make(place)
        for left in place.iterdir():
            _remove_if_left(left)

    def _try_out(self) -> None:
        """Whether something can be written, which neither modes nor free space tell for sure."""
        _make(self.root / PARTIAL)
        file = _Partial.create(self.root / PARTIAL, "ping")
        try:
            file.write(bytes(4096))
            file.sync()
        finally:
            file.close()

    async def _do(self, step: Callable[[], T]) -> T:
        return await self._wait(self._begin(step), STEP)

    async def _take(self, step: Callable[[], F]) -> F:
        """``_do`` for what has to be closed: it is, if it comes when nobody waits for it any more."""
        begun = self._begin(step)
        with ExitStack() as otherwise:
            otherwise.callback(begun.add_done_callback, _close_if_made)
            taken = await self._wait(begun, STEP)
            otherwise.pop_all()
        return taken

    def _begin(self, step: Callable[[], T]) -> Future[T]:
        if self._overdue:
            raise _unavailable("The disk does not answer.")
        return self._threads.submit(step)

    async def _wait(self, begun: Future[T], patience: float) -> T:
        try:
            async with asyncio.timeout(patience):
                return await asyncio.wrap_future(begun)
        except TimeoutError:
            if patience >= STEP and not begun.done():
                self._overdue.add(begun)  # until it is done, nobody else has to find out by waiting
                begun.add_done_callback(self._overdue.discard)
            raise _unavailable("The disk does not answer.") from None
        except OSError as error:
            self._opened = False  # somebody may have removed the directory: the next writer looks for it
            raise _told(error) from error

    def _later(self, step: Callable[[], None]) -> None:
        try:
            self._threads.submit(step)
        except RuntimeError:  # closed meanwhile
            step()


@define(eq=False)
class _Partial:
    """A blob while it is being written."""

    path: Path
    descriptor: int
    _unsynced: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def create(cls, directory: Path, name: str) -> _Partial:
        while True:
            path = directory / f"{name}.{os.urandom(8).hex()}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return cls(path, descriptor)
            os.close(descriptor)  # somebody took it for left behind before it was locked

    def write(self, piece: bytes) -> None:
        with self._lock:
            left = memoryview(piece)
            while left:
                left = left[os.write(self.descriptor, left) :]
            self._unsynced += len(piece)
        if self._unsynced >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        with self._lock:
            os.fsync(self.descriptor)
            self._unsynced = 0

    def keep(self, place: Path) -> None:
        self.sync()
        _make(place.parent)
        with self._lock:
            self.path.rename(place)
            try:
                _sync_directory(place.parent)
            except OSError:
                place.unlink(missing_ok=True)  # a sync that failed cannot be made up for
                raise

    def close(self) -> None:
        """Whatever has not been kept is gone."""
        with self._lock:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            os.close(self.descriptor)


@define(eq=False)
class _Reading:
    descriptor: int
    place: int
    stop: int
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def open(cls, path: Path, start: int, stop: int | None) -> _Reading:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise missing() from None
        size = os.fstat(descriptor).st_size
        return cls(descriptor, start, size if stop is None else min(stop, size))

    def read(self) -> bytes:
        wanted = min(PIECE, self.stop - self.place)
        if wanted <= 0:
            return b""
        with self._lock:
            piece = os.pread(self.descriptor, wanted, self.place)
        if not piece:
            raise _unavailable("The content ends too early.")
        self.place += len(piece)
        return piece

    def close(self) -> None:
        with self._lock:
            os.close(self.descriptor)


def _close_if_made(begun: Future[F]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().close()


def _make(directory: Path) -> None:
    """``directory`` with all above it, for nobody else to look into."""
    if directory.is_dir():
        return
    _make(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    _sync_directory(directory.parent)


def _remove_if_left(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(message: str) -> StorageUnavailable:
    return StorageUnavailable(message, retry_after=1.0)


def _told(error: OSError) -> GatewayError:
    """In words of ours: the system's would name the path."""
    reason = f"{type(error).__name__}: {os.strerror(error.errno) if error.errno else 'no reason given'}"
    if error.errno in _FULL:
        return StorageFull("There is no room left to keep files.", detail=reason)
    return StorageUnavailable("Files cannot be kept or found now.", detail=reason, retry_after=1.0)
