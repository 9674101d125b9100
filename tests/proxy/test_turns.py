"""One answer at a time: in order, for so long and no longer, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.turns import LONGEST_LINE, Turns
from translators.errors import Conflict
from translators.upstreams.plan import Turn

TURN = Turn("agent/session", 5.0, "session_id")
HASTY = Turn("agent/session", 0.02, "session_id")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_of_different_keys_do_not_know_each_other():
    turns = Turns()
    await turns.take(TURN)
    await turns.take(Turn("agent/other", 5.0))
    assert len(turns) == 2


async def test_who_waits_is_served_in_order_and_nothing_is_kept_afterwards():
    turns = Turns()
    await turns.take(TURN)
    served: list[int] = []

    async def go(number: int) -> None:
        await turns.take(TURN)
        served.append(number)

    tasks = [asyncio.create_task(go(number)) for number in range(3)]
    await settle()
    for expected in range(3):
        turns.hand_on(TURN)
        await settle()
        assert served == list(range(expected + 1))
    await asyncio.gather(*tasks)
    turns.hand_on(TURN)
    assert len(turns) == 0


async def test_who_has_waited_long_enough_is_told_and_loses_nobody_elses_turn():
    turns = Turns()
    await turns.take(TURN)
    patient = asyncio.create_task(turns.take(TURN))
    await settle()
    with pytest.raises(Conflict) as refusal:
        await turns.take(HASTY)
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (
        409,
        "session_busy",
        "session_id",
    )
    turns.hand_on(TURN)
    await patient
    turns.hand_on(TURN)
    assert len(turns) == 0


async def test_a_line_has_an_end():
    turns = Turns()
    await turns.take(TURN)
    waiting = [asyncio.create_task(turns.take(TURN)) for _ in range(LONGEST_LINE)]
    await settle()
    with pytest.raises(Conflict):
        await turns.take(TURN)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    turns.hand_on(TURN)
    assert len(turns) == 0


async def test_a_turn_that_comes_as_its_taker_leaves_goes_to_the_next():
    turns = Turns()
    await turns.take(TURN)
    leaves, stays = (asyncio.create_task(turns.take(TURN)) for _ in range(2))
    await settle()
    turns.hand_on(TURN)
    leaves.cancel()
    await asyncio.wait_for(stays, 1)
    turns.hand_on(TURN)
    assert len(turns) == 0


async def test_no_turn_is_taken_twice_or_lost_whoever_leaves_when():
    turns, chance = Turns(), random.Random(7)
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        await turns.take(Turn("key", chance.choice((0.001, 0.01, 5.0))))
        inside += 1
        most = max(most, inside)
        try:
            await asyncio.sleep(chance.random() * 0.004)
        finally:
            inside -= 1
            turns.hand_on(TURN_OF_KEY)

    tasks = [asyncio.create_task(visit()) for _ in range(60)]
    for task in tasks:
        await asyncio.sleep(chance.random() * 0.002)
        if chance.random() < 0.2:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (most, inside, len(turns)) == (1, 0, 0)


TURN_OF_KEY = Turn("key", 5.0)
