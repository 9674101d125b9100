"""Many who want the same at once cause one attempt, which nobody's leaving takes from the others."""

from __future__ import annotations

import asyncio

import pytest

from proxy.flights import Flights
from translators.errors import UpstreamError


class Attempts:
    """Counts its starts; each ends when ``landing`` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.landing = asyncio.Event()
        self.started = 0
        self.given_up = 0
        self.error = error

    async def __call__(self) -> int:
        self.started += 1
        number = self.started
        try:
            await self.landing.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.error is not None:
            raise self.error
        return number


async def joined(flights: Flights, attempts: Attempts, count: int, key: str = "k") -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flights.join(key, attempts)) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


async def test_all_get_what_one_attempt_brings():
    flights, attempts = Flights(), Attempts()
    tasks = await joined(flights, attempts, 5)
    attempts.landing.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert len(flights) == 0
    assert await flights.join("k", attempts) == 2


async def test_other_keys_are_other_attempts():
    flights, attempts = Flights(), Attempts()
    tasks = await joined(flights, attempts, 2) + await joined(flights, attempts, 2, "other")
    attempts.landing.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 1, 2, 2]


async def test_all_meet_the_error_of_one_attempt_and_the_next_tries_again():
    flights, attempts = Flights(), Attempts(UpstreamError("x"))
    tasks = await joined(flights, attempts, 3)
    attempts.landing.set()
    met = await asyncio.gather(*tasks, return_exceptions=True)
    assert met == [attempts.error] * 3
    with pytest.raises(UpstreamError):
        await flights.join("k", attempts)
    assert attempts.started == 2


async def test_who_leaves_takes_nothing_from_the_others():
    flights, attempts = Flights(), Attempts()
    tasks = await joined(flights, attempts, 3)
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    attempts.landing.set()
    assert await asyncio.gather(*tasks[1:]) == [1, 1]
    assert tasks[0].cancelled() and attempts.given_up == 0


async def test_when_the_last_one_leaves_it_is_given_up_and_the_next_starts_anew():
    flights, attempts = Flights(), Attempts()
    tasks = await joined(flights, attempts, 2)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    [anew] = await joined(flights, attempts, 1)
    assert (attempts.started, attempts.given_up, len(flights)) == (2, 1, 1)
    attempts.landing.set()
    assert await anew == 2
    assert len(flights) == 0
