"""What all tests share: the four ways in which the gateway can relay, and no test that a slow machine fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from proxy.config import Config, Upstream
from tests.support.gateway import GatewayThread, config_of

WAYS = [(relay, loop) for relay in ("loop", "tap") for loop in ("asyncio", "uvloop")]
TWO_WAYS = [("loop", "asyncio"), ("tap", "uvloop")]
"""Enough where it matters that both relays and both loops are met, but not which of them together."""

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of how bytes are relayed run over all four ways, those marked ``two_ways`` over two."""
    definition = metafunc.definition
    chosen = any("way" in mark.args[0] for mark in definition.iter_markers("parametrize"))
    if "way" in metafunc.fixturenames and not chosen:
        marked = definition.get_closest_marker("two_ways") is not None
        ways = TWO_WAYS if marked else WAYS
        metafunc.parametrize("way", ways, indirect=True, ids=["-".join(way) for way in ways])


@pytest.fixture
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """``(relay, loop)``: how a gateway of the end-to-end suite relays."""
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
