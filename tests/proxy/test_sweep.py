"""One timer for all: it turns while there is something to look after, and not otherwise."""

from __future__ import annotations

import asyncio

from proxy.sweep import Sweep
from translators.errors import GatewayError


class Swept:
    def __init__(self) -> None:
        self.ticks: list[float] = []

    def tick(self, now: float) -> None:
        self.ticks.append(now)

    def stop(self, error: GatewayError) -> None: ...

    def cut(self) -> None: ...


async def until(condition) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.002)


async def test_everybody_is_looked_at_in_every_turn():
    sweep = Sweep(0.01)
    one, two = Swept(), Swept()
    sweep.add(one)
    sweep.add(two)
    await until(lambda: len(one.ticks) >= 3)
    assert one.ticks == two.ticks
    assert one.ticks == sorted(one.ticks)
    sweep.close()


async def test_the_timer_rests_when_there_is_nothing_to_do_and_starts_again():
    sweep = Sweep(0.01)
    one = Swept()
    sweep.add(one)
    sweep.discard(one)
    await until(lambda: sweep._timer is None)
    seen = len(one.ticks)
    sweep.add(one)
    await until(lambda: len(one.ticks) > seen)
    sweep.close()


async def test_one_timer_serves_many():
    sweep = Sweep(10.0)
    many = [Swept() for _ in range(100)]
    for one in many:
        sweep.add(one)
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
    assert len(timers) == 1
    assert (len(sweep), len(sweep.all())) == (100, 100)
    sweep.close()


async def test_who_leaves_during_a_turn_upsets_nobody():
    sweep = Sweep(0.01)

    class Leaver(Swept):
        def tick(self, now: float) -> None:
            super().tick(now)
            for swept in others:
                sweep.discard(swept)

    others = [Leaver(), Leaver(), Leaver()]
    for one in others:
        sweep.add(one)
    await until(lambda: sweep._timer is None)
    assert sum(len(one.ticks) for one in others) == 3


async def test_closing_stops_the_timer():
    sweep = Sweep(0.01)
    one = Swept()
    sweep.add(one)
    sweep.close()
    sweep.close()
    await asyncio.sleep(0.05)
    assert one.ticks == []
