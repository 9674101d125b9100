"""A store that comes and goes: opened when needed, once a second at most, found again without a restart."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from proxy.stores.base import Page, Put
from proxy.stores.faults import patience, unavailable
from proxy.stores.steady import TELL_EVERY, Steady
from translators.errors import StorageUnavailable


class Inner:
    """Answers with its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.broken = ""
        self.closed = False

    async def get(self, kind: str, id: str, owner: str) -> Any:
        return self.number

    commit = list = total = expired = get

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


class Place:
    """Where stores are opened, if ``well``."""

    def __init__(self) -> None:
        self.time, self.well, self.opened, self.tries = 100.0, True, [], 0
        self.gate: asyncio.Event | None = None
        self.first = 0
        self.steady = Steady(self.open, lambda: self.time, self.used)

    def used(self) -> None:
        self.first += 1

    async def open(self) -> Any:
        self.tries += 1
        if self.gate is not None:
            await self.gate.wait()
        if not self.well:
            raise unavailable("it is broken", "a path")
        self.opened.append(Inner(len(self.opened)))
        return self.opened[-1]

    async def ask(self) -> Any:
        return await self.steady.get("note", "a", "ann")


@pytest.fixture
def place() -> Place:
    return Place()


async def test_nothing_is_opened_before_it_is_needed_and_then_once(place):
    await asyncio.sleep(0)
    assert (place.tries, place.steady.used, place.first) == (0, False, 0)
    assert await asyncio.gather(*(place.ask() for _ in range(20))) == [0] * 20
    assert (place.tries, place.steady.used, place.first) == (1, True, 1)
    await place.steady.close()
    assert place.opened[0].closed


async def test_every_question_goes_to_the_store(place):
    inner, steady = Inner(7), place.steady
    asked: list[Any] = []

    def hear(name: str) -> Any:
        async def ask(*arguments: Any, **named: Any) -> str:
            asked.append((name, arguments, named))
            return name

        return ask

    for name in ("get", "commit", "list", "total", "expired", "ping"):
        setattr(inner, name, hear(name))
    place.steady.open = lambda: asyncio.sleep(0, inner)  # type: ignore[assignment]
    page = Page()
    assert await steady.get("k", "i", "o") == "get"
    assert await steady.commit(Put, Put) == "commit"
    assert await steady.list("k", "o", page, parent="p", label="l") == "list"
    assert await steady.total("k", "o") == "total"
    assert await steady.expired(5, 6) == "expired"
    await steady.ping()
    assert asked == [
        ("get", ("k", "i", "o"), {}),
        ("commit", (Put, Put), {}),
        ("list", ("k", "o", page), {"parent": "p", "label": "l"}),
        ("total", ("k", "o"), {}),
        ("expired", (5, 6), {}),
        ("ping", (), {}),
    ]


async def test_one_attempt_a_second_and_everybody_is_told_why(place, caplog):
    caplog.set_level(logging.INFO, "deltawire")
    place.well = False
    for _ in range(30):
        with pytest.raises(StorageUnavailable, match="it is broken") as told:
            await place.ask()
        assert told.value.retry_after == 1.0 and "path" not in told.value.message
    assert place.tries == 1
    place.time += 0.99
    with pytest.raises(StorageUnavailable):
        await place.ask()
    assert place.tries == 1
    place.time += 0.01
    with pytest.raises(StorageUnavailable):
        await place.ask()
    assert place.tries == 2
    place.well = True
    place.time += 1.0
    assert await place.ask() == 0
    said = [record.message for record in caplog.records]
    assert said == [
        "the storage fails: Nothing can be kept or found now: it is broken. (a path)",
        "the storage is back",
    ]
    await place.steady.close()


async def test_a_long_misery_is_told_of_once_a_minute(place, caplog):
    place.well = False
    for _ in range(int(TELL_EVERY) * 2):
        with pytest.raises(StorageUnavailable):
            await place.ask()
        place.time += 1.0
    assert place.tries == 120
    assert len(caplog.records) == 2


async def test_a_broken_store_is_replaced(place):
    assert await place.ask() == 0
    place.time += 5.0
    place.opened[0].broken = "it lost its file"
    assert await place.ask() == 1
    await asyncio.sleep(0)
    assert place.opened[0].closed
    await place.steady.close()


async def test_a_store_that_breaks_at_once_serves_until_another_may_be_opened(place):
    assert await place.ask() == 0
    place.opened[0].broken = "it fails"
    assert [await place.ask() for _ in range(5)] == [0] * 5
    place.time += 1.0
    assert await place.ask() == 1
    await place.steady.close()


async def test_a_slow_opening_goes_on_beside_who_waits_for_it(place, monkeypatch):
    monkeypatch.setattr("proxy.stores.steady.patience", lambda seconds=0.05: patience(seconds))
    place.gate = asyncio.Event()
    with pytest.raises(StorageUnavailable, match="did not answer in time"):
        await place.ask()
    waiting = asyncio.create_task(place.ask())
    await asyncio.sleep(0.01)
    waiting.cancel()
    place.gate.set()
    assert await place.ask() == 0
    assert place.tries == 1
    await place.steady.close()


async def test_closing_ends_what_is_being_opened(place):
    place.gate = asyncio.Event()
    waiting = asyncio.create_task(place.ask())
    await asyncio.sleep(0.01)
    await place.steady.close()
    assert not place.opened
    with pytest.raises(asyncio.CancelledError):
        await waiting
