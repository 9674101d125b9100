"""What all tests share: the four ways in which the gateway can relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.config import Config, Upstream
from tests.support.gateway import GatewayThread, config_of

WAYS = [(relay, loop) for relay in ("loop", "tap") for loop in ("asyncio", "uvloop")]


@pytest.fixture(params=WAYS, ids=["-".join(way) for way in WAYS])
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """``(relay, loop)``: the end-to-end suite runs over all four."""
    return request.param


@pytest.fixture
def serve(way: tuple[str, str]) -> Iterator[Callable[..., GatewayThread]]:
    """``serve(upstream, …, limits={…})`` starts a gateway the current way; it ends with the test."""
    relay, loop = way
    with ExitStack() as running:

        def start(
            *upstreams: Upstream, limits: dict[str, Any] | None = None, **sections: Any
        ) -> GatewayThread:
            config = config_of(*upstreams, limits={"relay": relay, **(limits or {})}, **sections)
            return running.enter_context(GatewayThread(config, loop))

        yield start


@pytest.fixture
def serve_config() -> Iterator[Callable[..., GatewayThread]]:
    """``serve_config(config, loop)`` where only one way matters."""
    with ExitStack() as running:

        def start(config: Config, loop: str = "uvloop") -> GatewayThread:
            return running.enter_context(GatewayThread(config, loop))

        yield start
