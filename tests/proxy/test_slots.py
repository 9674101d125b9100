"""Places at an upstream: never more than the limit, in order, refused when the queue is full, never lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.slots import Slots
from translators.errors import RateLimited


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_up_to_the_limit_are_taken_at_once():
    slots = Slots(2, 10)
    await slots.acquire()
    await slots.acquire()
    assert (slots.taken, slots.waiting) == (2, 0)
    slots.release()
    slots.release()
    assert slots.taken == 0


async def test_who_waits_is_served_in_order():
    slots = Slots(1, 10)
    await slots.acquire()
    served: list[int] = []

    async def take(number: int) -> None:
        await slots.acquire()
        served.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(4)]
    await settle()
    assert (served, slots.waiting) == ([], 4)
    for expected in range(4):
        slots.release()
        await settle()
        assert served == list(range(expected + 1))
        assert slots.taken == 1
    await asyncio.gather(*tasks)


async def test_a_newcomer_does_not_overtake():
    slots = Slots(1, 10)
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await settle()
    slots.release()
    newcomer = asyncio.create_task(slots.acquire())
    await settle()
    assert (waiter.done(), newcomer.done()) == (True, False)
    slots.release()
    await newcomer
    slots.release()
    assert slots.taken == 0


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    slots = Slots(1, 1)
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await settle()
    with pytest.raises(RateLimited) as refusal:
        await slots.acquire()
    assert (refusal.value.code, refusal.value.retry_after) == ("upstream_queue_full", 1.0)
    assert (slots.taken, slots.waiting) == (1, 1)
    slots.release()
    await waiter


async def test_a_queue_of_none_refuses_whoever_would_wait():
    slots = Slots(1, 0)
    await slots.acquire()
    with pytest.raises(RateLimited):
        await slots.acquire()


async def test_a_cancelled_waiter_leaves_the_queue():
    slots = Slots(1, 1)
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await settle()
    waiter.cancel()
    await settle()
    assert slots.waiting == 0
    slots.release()
    assert slots.taken == 0


async def test_a_place_given_to_a_waiter_that_leaves_in_the_same_moment_goes_on():
    slots = Slots(1, 10)
    await slots.acquire()
    leaving = asyncio.create_task(slots.acquire())
    staying = asyncio.create_task(slots.acquire())
    await settle()
    slots.release()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    assert staying.done() and slots.taken == 1


async def test_a_waiter_cancelled_just_before_a_release_is_passed_over():
    slots = Slots(1, 10)
    await slots.acquire()
    leaving = asyncio.create_task(slots.acquire())
    staying = asyncio.create_task(slots.acquire())
    await settle()
    leaving.cancel()
    slots.release()
    await settle()
    assert leaving.cancelled()
    assert staying.done() and (slots.taken, slots.waiting) == (1, 0)


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_leaks_in_a_storm_of_cancels(seed):
    chance = random.Random(seed)
    slots = Slots(3, 1000)
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        await slots.acquire()
        inside += 1
        most = max(most, inside)
        try:
            await asyncio.sleep(chance.random() * 0.002)
        finally:
            inside -= 1
            slots.release()

    tasks = [asyncio.create_task(visit()) for _ in range(300)]
    for task in chance.sample(tasks, 200):
        await asyncio.sleep(chance.choice((0, 0, 0.0005)))
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [o for o in outcomes if o is not None and not isinstance(o, asyncio.CancelledError)]
    assert failures == []
    assert (slots.taken, slots.waiting, inside) == (0, 0, 0)
    assert most == 3
