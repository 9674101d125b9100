"""What a gateway weighs before and after: memory, objects, tasks, sockets, and what it holds for answers.

The first cycles warm everything up (caches, pools, free lists); from then on the weight must stay. Objects are
counted by type, so that a failure says what was kept.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.simulators.script import Script
from tests.support.gateway import GatewayThread, config_of, open_sockets, openai_upstream
from tests.support.upstream import ScriptThread

WARM_UP = 50
MEMORY = 4 * 1024 * 1024
"""Resident memory is the allocator's affair as well; a leak of one stream's buffers is more than this by far."""
OBJECTS = 120
"""Of any one type. asyncio keeps up to a hundred cancelled timers; a leak in each cycle is more than that."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def objects() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


@contextmanager
def gateway_in_front_of(
    script: Script, relay: str, loop: str
) -> Iterator[tuple[GatewayThread, ScriptThread]]:
    with ScriptThread(script) as upstream:
        config = config_of(
            openai_upstream(upstream.url, retries=0), limits={"relay": relay, "keepalive": 0.2}
        )
        with GatewayThread(config, loop) as gateway:
            yield gateway, upstream


class Watch:
    def __init__(self, gateway: GatewayThread, upstream: ScriptThread) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._turns = 0

    def turn(self) -> int:
        """One more cycle begins; after the warm-up the scales are read."""
        self._turns += 1
        if self._turns == WARM_UP:
            self._weigh()
        elif self._turns % 20 == 0:
            self._upstream.forget()  # what it remembers of each request would count as growth
        return self._turns

    def _weigh(self) -> None:
        self._settle()
        self._sockets, self._tasks = open_sockets(), self._gateway.tasks()
        objects()  # the first count makes objects of its own
        self._objects, self._memory = objects(), resident()

    def _settle(self) -> None:
        """Everything has ended."""
        self._gateway.until_idle(5.0)
        time.sleep(0.3)
        self._upstream.forget()

    def judge(self) -> None:
        assert self._turns > 2 * WARM_UP
        self._settle()
        cycles = self._turns - WARM_UP
        grown = {name: count for name, count in (objects() - self._objects).items() if count > OBJECTS}
        assert not grown, f"after {cycles} cycles there are more of {grown}"
        assert self._gateway.tasks() <= self._tasks, "tasks were left"
        assert open_sockets() <= self._sockets + 1, f"{open_sockets()} sockets, {self._sockets} before"
        more = resident() - self._memory
        assert more < MEMORY, f"after {cycles} cycles {more} bytes more"
        assert not self._gateway.errors
        print(f"{cycles} cycles, {more // 1024} KiB more, {open_sockets()} sockets")
