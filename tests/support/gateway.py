"""A gateway for tests, on a real port, in a thread with an event loop of its own.

Running it beside the test's loop lets the same test drive it over asyncio and uvloop, with the synchronous SDK,
a Node process or a raw socket, and ask it afterwards what it still holds.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from proxy.config import Auth, Config, Cors, Limits, Log, Server, Upstream
from proxy.server import Serving, loop_factory
from translators.upstreams.builtin import BuiltinSettings
from translators.upstreams.openai import OpenAISettings


def openai_upstream(base_url: str, name: str = "up", **changes: Any) -> Upstream:
    settings: dict[str, Any] = {"base_url": base_url, "models": ("m",), "options": OpenAISettings()}
    return Upstream(name, "openai", **{**settings, **changes})


def builtin_upstream(name: str = "demo", pace: float = 0.0) -> Upstream:
    return Upstream(name, "builtin", models=("demo",), options=BuiltinSettings(pace=pace))


def config_of(
    *upstreams: Upstream,
    limits: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **sections: Any,
) -> Config:
    """A configuration on a free port; the first upstream is the default one."""
    return Config(
        server=Server(**{"port": 0, "drain": 5.0, **(server or {})}),
        limits=Limits(**(limits or {})),
        upstreams={upstream.name: upstream for upstream in upstreams},
        **{"log": Log(requests=True), "default_upstream": upstreams[0].name, **sections},
    )


class GatewayThread:
    """``with GatewayThread(config, loop="uvloop") as gateway: … gateway.url …``"""

    def __init__(self, config: Config, loop: str = "asyncio") -> None:
        self._config = config
        self._factory = loop_factory(loop)
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self.errors: list[dict[str, Any]] = []
        """What reached the event loop's exception handler: always empty in a healthy gateway."""

    @property
    def url(self) -> str:
        return self.serving.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def call(self, action: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run a coroutine function in the gateway's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(action(*args), self.loop).result(15)

    def held(self) -> dict[str, int]:
        """What the gateway holds for answers right now: all zero when it is idle."""

        async def count() -> dict[str, int]:
            gateway = self.serving.gateway
            return {
                "answers": gateway.running,
                "places": sum(dialer.slots.taken for dialer in gateway._dialers.values()),
                "waiting": sum(dialer.slots.waiting for dialer in gateway._dialers.values()),
            }

        return self.call(count)

    def tasks(self) -> int:
        async def count() -> int:
            gc.collect()
            return len(asyncio.all_tasks())

        return self.call(count)

    def until_idle(self, seconds: float = 2.0) -> float:
        """Wait until nothing is held, and how long that took; AssertionError if it does not come."""
        began = time.monotonic()
        while any(self.held().values()):
            if time.monotonic() - began > seconds:
                raise AssertionError(f"still held after {seconds} s: {self.held()}")
            time.sleep(0.002)
        return time.monotonic() - began

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(15) or self._failure is not None:
            raise RuntimeError("the gateway did not start") from self._failure
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread.is_alive():  # a test may have stopped it already
            self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(15)
        assert not self._thread.is_alive(), "the gateway did not stop"
        assert not self.errors, self.errors

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                self._failure = error
                self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._stopping = asyncio.Event()
        async with Serving(self._config) as self.serving:
            self._ready.set()
            await self._stopping.wait()


def open_sockets() -> int:
    """Sockets of this process."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return count


__all__ = [
    "Auth",
    "Cors",
    "GatewayThread",
    "builtin_upstream",
    "config_of",
    "open_sockets",
    "openai_upstream",
]
