"""Both stores, made anew for each test; PostgreSQL is one real server for all of them.

A store that is handed out is open; ``reopen`` makes another on the same place, as a second worker has.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.stores.postgres import PostgresStore
from proxy.stores.sqlite import SqliteStore
from tests.support.postgres import Postgres

KINDS = ("sqlite", "postgres")
_numbers = itertools.count()


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The address of a database of the test's own."""
    name = f"test_{next(_numbers)}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.database(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=KINDS)
async def reopen(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    url = request.getfixturevalue("database") if request.param == "postgres" else ""
    async with AsyncExitStack() as opened:

        async def open_another() -> Any:
            store: Any
            if url:
                store = await PostgresStore.open(url, clock)
            else:
                store = await SqliteStore.open(tmp_path / "data" / "deltawire.db", clock)
            opened.push_async_callback(store.close)
            return store

        yield open_another


@pytest.fixture
async def store(reopen: Callable[[], Awaitable[Any]]) -> Any:
    return await reopen()
