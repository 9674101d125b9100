"""What keeping things costs: a page of a list, short and long, and commits, alone and many at once.

A page must take the same time wherever in the list it is and however long the list. ``python -m bench.lists`` takes
SQLite in a temporary directory; with ``DATABASE_URL`` set, that database too, in which it leaves its documents.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from proxy.stores.base import Document, Page, Put, Store
from proxy.stores.sqlite import SqliteStore

LENGTHS = (1_000, 10_000, 100_000)
PAGES = 200
COMMITS = 2_000
OWNER = f"bench-{os.getpid()}"


def document(number: int, parent: str) -> Document:
    return Document(
        "message", f"{parent}-{number}", OWNER, 0, {"text": "a few words " * 20}, parent, str(number % 2)
    )


async def timed(ask: Callable[[int], Awaitable[Any]], times: int) -> float:
    """Milliseconds, in the middle."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        await ask(number)
        took.append(time.perf_counter() - began)
    return median(took) * 1000


async def pages(store: Store, length: int) -> list[float]:
    parent = f"{OWNER}-{length}"
    for first in range(0, length, 500):
        await store.commit(*(Put(document(number, parent)) for number in range(first, first + 500)))

    def page(after: str, label: str = "") -> Callable[[int], Awaitable[Any]]:
        return lambda _: store.list("message", OWNER, Page(20, after=after), parent=parent, label=label)

    middle, end = (f"{parent}-{number}" for number in (length // 2, 30))
    return [await timed(ask, PAGES) for ask in (page(""), page(middle), page(end), page(middle, "1"))]


async def commits(store: Store, tasks: int) -> float:
    """How many a second."""
    numbers = iter(range(COMMITS))
    parent = f"{OWNER}-commits-{tasks}"

    async def work() -> None:
        for number in numbers:
            await store.commit(Put(document(number, parent)))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return COMMITS / (time.perf_counter() - began)


async def measure(name: str, store: Store) -> None:
    write = sys.stdout.write
    for length in LENGTHS:
        first, middle, last, labelled = await pages(store, length)
        write(
            f"{name}: list of {length:6d}: first page {first:.2f} ms, middle {middle:.2f} ms, "
            f"end {last:.2f} ms, by label {labelled:.2f} ms\n"
        )
    for tasks in (1, 10, 50, 200):
        write(f"{name}: {await commits(store, tasks):6.0f} commits/s by {tasks} at once\n")
    await store.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await measure("sqlite", await SqliteStore.open(Path(folder) / "bench.db"))
    if url := os.environ.get("DATABASE_URL"):
        from proxy.stores.postgres import PostgresStore

        await measure("postgres", await PostgresStore.open(url))


if __name__ == "__main__":
    asyncio.run(main())
