"""Waiting for something that will come soon, and seeing that nothing stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.gateway import GatewayThread, open_sockets


def until(condition: Callable[[], bool], what: str, seconds: float = 5.0) -> float:
    """Wait for ``condition`` and say how long that took; AssertionError if it does not come true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"after {seconds} s still not: {what}"
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def nothing_left(gateway: GatewayThread) -> Iterator[None]:
    """What the gateway holds, its tasks and the sockets of this process are afterwards as they were before."""
    tasks, sockets = gateway.tasks(), open_sockets()
    yield
    gateway.until_idle(5.0)
    until(lambda: gateway.tasks() <= tasks, f"no more than {tasks} tasks")
    until(lambda: open_sockets() <= sockets, f"no more than {sockets} sockets")
