"""From a loaded configuration to a served port, and back to a clean exit.

SIGTERM or SIGINT: not ready any more, no new connections, answers under way end by themselves within the
drain limit, the rest are told so in a frame, exit 0. A second signal does not wait.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp.http_parser
from aiohttp import web
from attrs import define, field

from proxy.app import build_app
from proxy.config import Config, Loaded
from proxy.gateway import Gateway
from proxy.listener import Runner
from proxy.logs import set_up

log = logging.getLogger("deltawire")

SECOND_SIGNAL = 143
OBJECTS = 20_000
"""That may be new before garbage is looked for: of a thousand short answers, or a few megabytes."""


@define(eq=False)
class Serving:
    """One gateway on one port."""

    config: Config
    gateway: Gateway = field()
    url: str = ""
    _runner: Runner | None = None
    _site: web.TCPSite | None = None

    @gateway.default
    def _own(self) -> Gateway:
        return Gateway(self.config)

    async def start(self) -> None:
        runner = self._runner = Runner(build_app(self.config, self.gateway), self.config)
        await runner.setup()
        server = self.config.server
        self._site = web.TCPSite(runner, server.host, server.port, backlog=server.backlog)
        await self._site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def listen(self) -> bool:
        """``start``, with a port that cannot be had told in words."""
        try:
            await self.start()
        except OSError as error:
            where = (self.config.server.host, self.config.server.port)
            log.error("cannot listen on %s port %d: %s", *where, error.strerror or error)
            await self.stop()
            return False
        return True

    async def drain(self) -> None:
        """No new connections; what is under way may end."""
        self.gateway.draining = True
        if self._site is not None and self._runner is not None and self._runner.server is not None:
            await self._site.stop()
            self._runner.server.pre_shutdown()
        await self.gateway.drain(self.config.server.drain)

    def cut(self) -> None:
        """Hang up on everybody."""
        if self._runner is not None:
            self._runner.cut()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Serving:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


def run(loaded: Loaded) -> int:
    """Serve until told to stop; the exit code."""
    config = loaded.config
    set_up(config.log)
    for warning in loaded.warnings:
        log.warning(warning)
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        log.warning("aiohttp runs without its C parser: it is slower and has a weaker record on bad input")
    return run_until_signal(config.server.loop, lambda: _serve(config))


def run_until_signal(loop: str, main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(main())


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed, unless told otherwise."""
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise
        return None
    return uvloop.new_event_loop


async def _serve(config: Config) -> int:
    signals, serving = catch_signals(), Serving(config)
    if not await serving.listen():
        return 1
    _spare_the_collector()
    log.info("serving on %s", serving.url)
    return await until_signal(serving, signals)


def _spare_the_collector() -> None:
    """Look for garbage seldom, and not among what is there for good.

    Answers leave none that has to be looked for, but some hundred under way hold more objects than Python allows
    before it looks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS)


def catch_signals() -> asyncio.Queue[int]:
    """To be called first: who is told to stop while it starts shall stop as cleanly."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


async def until_signal(serving: Serving, signals: asyncio.Queue[int]) -> int:
    """Serve, then drain; a second signal cuts the draining short."""
    await signals.get()
    log.info("draining: %d answers under way", serving.gateway.running)
    draining = asyncio.create_task(serving.drain())
    impatient = asyncio.create_task(signals.get())
    await asyncio.wait({draining, impatient}, return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if not draining.done():
        code = SECOND_SIGNAL
        serving.cut()
    for task in (draining, impatient):
        task.cancel()
    await asyncio.gather(draining, impatient, return_exceptions=True)
    await serving.stop()
    log.info("stopped")
    return code
