"""The core that every route, and the in-process client, calls.

A model's name is resolved to a target: which upstream, asked for which model, with which options. An exchange is
one question to it: the translator, the surface and the relay put together, nothing sent yet. The gateway owns
what all exchanges share, the client session, the places at each upstream and the sweep, and closes it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping

import aiohttp
from attrs import define, field, frozen

from proxy.config import Config, Upstream
from proxy.dial import Dialer, request_headers
from proxy.outlet import Outlet
from proxy.relay import Patience, Relay
from proxy.sweep import Sweep
from proxy.wire.base import Body, Wire
from proxy.wire.lean import LeanWire
from proxy.wire.reference import ReferenceWire, client_session
from translators.errors import NotFound, ShuttingDown
from translators.ids import Envelope
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.upstreams import UPSTREAMS

SHORTEST_TURN = 0.02
"""Seconds between two looks at the clock, however short a limit is."""
LAST_WORDS = 1.0
"""Seconds that clients get to take the frame which ends their answer at a shutdown."""


@frozen
class Target:
    """Whom to ask, for what, and how."""

    dialer: Dialer
    model: str
    options: object

    @property
    def upstream(self) -> str:
        return self.dialer.config.name


@define(eq=False)
class Exchange:
    """One question and its answer."""

    target: Target
    envelope: Envelope
    stream: Stream
    relay: Relay
    surface: Surface

    async def whole(self) -> bytes:
        return await self.relay.whole(self._dial)

    async def run(self, outlet: Outlet) -> None:
        await self.relay.run(self._dial, outlet)

    async def _dial(self) -> Body:
        return await self.target.dialer.open(self.stream.upstream)


@frozen
class Model:
    """One entry of the models list."""

    id: str
    owner: str


@define(eq=False)
class Gateway:
    config: Config
    clock: Callable[[], float] = time.time
    new_id: Callable[[str], str] = field(default=lambda prefix: f"{prefix}-{os.urandom(12).hex()}")
    chance: Callable[[], float] = random.random

    began: int = 0
    draining: bool = False
    _session: aiohttp.ClientSession | None = None
    _dialers: dict[str, Dialer] = field(factory=dict)
    _sweep: Sweep = field(init=False)
    _now: Callable[[], float] = field(init=False)

    async def __aenter__(self) -> Gateway:
        limits = self.config.limits
        patience = [limits.idle_timeout, limits.write_timeout, limits.keepalive, limits.commit_after]
        for upstream in self.config.upstreams.values():
            patience += [upstream.idle_timeout, upstream.first_byte_timeout]
        self._sweep = Sweep(min(1.0, max(SHORTEST_TURN, min(patience) / 4)))
        self._now = asyncio.get_running_loop().time
        self._session = client_session()
        self._dialers = {
            name: Dialer(upstream, self._wire(upstream, self._session), self.chance)
            for name, upstream in self.config.upstreams.items()
        }
        self.began = int(self.clock())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._sweep.close()
        for dialer in self._dialers.values():
            if dialer.wire is not None:
                await dialer.wire.close()
        if self._session is not None:
            await self._session.close()

    def _wire(self, upstream: Upstream, session: aiohttp.ClientSession) -> Wire | None:
        """The way to an upstream; one that answers in this process needs none."""
        if not upstream.base_url:
            return None
        headers = request_headers(upstream)
        if self.config.limits.relay == "loop":
            return ReferenceWire(upstream.base_url, headers, upstream.connect_timeout, session)
        return LeanWire(upstream.base_url, headers, upstream.connect_timeout)

    def resolve(self, model: str) -> Target:
        """Alias, then ``upstream/model``, then listed models, then the default upstream."""
        alias = self.config.models.get(model)
        if alias is not None:
            return Target(self._dialers[alias.upstream], alias.model or model, alias.options)
        prefix, slash, rest = model.partition("/")
        if slash and rest and prefix in self._dialers:
            return self._plain(self._dialers[prefix], rest)
        for dialer in self._dialers.values():
            if model in dialer.config.models:
                return self._plain(dialer, model)
        if self.config.default_upstream is not None:
            return self._plain(self._dialers[self.config.default_upstream], model)
        raise unknown_model(model)

    def models(self) -> Mapping[str, Model]:
        """What can be asked for by name."""
        listed = {
            name: Model(name, dialer.config.name)
            for dialer in self._dialers.values()
            for name in dialer.config.models
        }
        return {**listed, **{name: Model(name, alias.upstream) for name, alias in self.config.models.items()}}

    def exchange(self, prompt: Prompt, make_surface: Callable[[Envelope], Surface]) -> Exchange:
        target = self.resolve(prompt.model)
        settings = target.dialer.config
        envelope = Envelope(self.new_id("chatcmpl"), int(self.clock()), prompt.model)
        upstream = UPSTREAMS[settings.kind](prompt, target.options, envelope, target.model)
        surface = make_surface(envelope)
        stream = Stream(upstream.framing(), upstream, surface)
        limits = self.config.limits
        patience = Patience.of(limits, settings.first_byte_timeout, settings.idle_timeout)
        relay = Relay(stream, patience, self._sweep, limits.relay == "tap", self._now)
        return Exchange(target, envelope, stream, relay, surface)

    @property
    def running(self) -> int:
        """Answers under way."""
        return len(self._sweep)

    async def drain(self, patience: float) -> None:
        """Let answers end by themselves for so long; then tell those that have not and cut who does not listen."""
        self.draining = True
        await self._until_quiet(patience)
        for relay in self._sweep.all():
            relay.stop(
                ShuttingDown("The gateway is shutting down and could not wait for this answer to end.")
            )
        await self._until_quiet(LAST_WORDS)
        for relay in self._sweep.all():
            relay.cut()

    async def _until_quiet(self, patience: float) -> None:
        until = self._now() + patience
        while self.running and self._now() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    @staticmethod
    def _plain(dialer: Dialer, model: str) -> Target:
        return Target(dialer, model, dialer.config.options)


def unknown_model(model: str) -> NotFound:
    return NotFound(
        f"The model `{model[:100]}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )
