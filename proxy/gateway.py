"""The core that every route, and the in-process client, calls.

A model's name is resolved to a target: which upstream, asked for which model, with which options. An exchange is
one question to it: the translator, the surface and the relay put together, nothing sent yet. The gateway owns
what all exchanges share, the client session, the places at each upstream, the sweep, what is kept in mind, and
closes it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import aiohttp
from attrs import define, field, frozen

from proxy.attachments import Attachments
from proxy.background import Background
from proxy.callers import Ears, has_key, owner_of
from proxy.catalog import Catalog
from proxy.config import Config, Upstream
from proxy.dial import Dialer, request_headers
from proxy.exchange import Exchange, Target
from proxy.files import Files
from proxy.intake import Intakes
from proxy.keepers import Keepers, find_upstream
from proxy.memory import LocalMemory, Memory
from proxy.memory_stored import StoredMemory
from proxy.outlet import NO_HEADERS
from proxy.relay import Patience, Relay
from proxy.signing import wire_to
from proxy.storage import Storage
from proxy.sweep import Sweep
from proxy.uploads import Uploads
from proxy.voices import Voices
from proxy.wire.base import Wire
from proxy.wire.lean import LeanWire
from proxy.wire.pool import KEEP
from proxy.wire.reference import ReferenceWire, client_session
from translators.errors import NotFound, ShuttingDown
from translators.ids import Envelope
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.upstreams import UPSTREAMS
from translators.upstreams.plan import ANYBODY, SESSION, Keep, Listed

SHORTEST_TURN = 0.02
"""Seconds between two looks at the clock, however short a limit is."""
LAST_WORDS = 1.0
"""Seconds that clients get to take the frame which ends their answer at a shutdown."""
LAST_ERRANDS = 5.0
"""Seconds that platforms get at a shutdown to take the last calls."""


@frozen
class Model:
    """One entry of the models list."""

    id: str
    owner: str
    created: int = 0
    """Zero where nobody says."""


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
    _patience: dict[str, Patience] = field(factory=dict)
    _plain: dict[str, Ears | None] = field(factory=dict)
    """What each upstream wants to know where no alias changes its settings."""
    _aliases: dict[str, Target] = field(factory=dict)
    _known: dict[str, Target] = field(factory=dict)
    """Every name of the configuration; what else clients ask for has no end."""
    _catalogs: dict[str, Catalog] = field(factory=dict)
    conversations: Keepers = field(init=False)
    voices: Voices = field(init=False)
    storage: Storage = field(init=False)
    files: Files = field(init=False)
    uploads: Uploads = field(init=False)
    _memory: Memory = field(init=False)
    _background: Background = field(factory=Background)
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
        self.storage = Storage(self.config.storage, self.clock, self._now)
        self.files = Files(Intakes(self.storage, self._background, self.clock))
        self.uploads = Uploads(self.files)
        self._memory = self._own_memory()
        for name, upstream in self.config.upstreams.items():
            self._add(name, upstream, self._wire(upstream, self._session))
        for name, alias in self.config.models.items():
            dialer = self._dialers[alias.upstream]
            ears = self._ears(dialer.config, alias.options)
            self._aliases[name] = self._target(dialer, alias.model or name, alias.options, ears)
        self._known = {name: self._find(name) for name in self.models()}
        self.conversations = Keepers(self._dialers, self._plain, self.config.default_upstream)
        self.voices = Voices(self.resolve)
        self.began = int(self.clock())
        self.storage.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._sweep.close()
        for catalog in self._catalogs.values():
            catalog.close()
        await self._background.close(LAST_ERRANDS)
        for dialer in self._dialers.values():
            if dialer.wire is not None:
                await dialer.wire.close()
        if self._session is not None:
            await self._session.close()
        await self.storage.close()

    def _own_memory(self) -> Memory:
        if self.config.storage.affinity:
            return StoredMemory(self.storage.store, self._background, self.clock, self._now)
        return LocalMemory(self._now)

    def _wire(self, upstream: Upstream, session: aiohttp.ClientSession) -> Wire | None:
        """The way to an upstream; one that answers in this process needs none."""
        headers, patience = request_headers(upstream), upstream.connect_timeout

        def make(address: str, keep: float = KEEP) -> Wire:
            if self.config.limits.relay == "loop":
                return ReferenceWire(address, headers, patience, session)
            return LeanWire(address, headers, patience, keep)

        credential = UPSTREAMS[upstream.kind].credential(upstream.options, upstream.base_url)
        return wire_to(upstream.base_url, headers, credential, make, self.clock)

    def _add(self, name: str, upstream: Upstream, wire: Wire | None) -> None:
        kind, options = UPSTREAMS[upstream.kind], upstream.options
        dialer = Dialer(upstream, wire, self.chance, self._memory, self._background, self._keep)
        limits = self.config.limits
        self._dialers[name] = dialer
        self._patience[name] = Patience.of(limits, upstream.first_byte_timeout, upstream.idle_timeout)
        self._plain[name] = self._ears(upstream, options)
        if kind.catalog(options) is not None:
            ask = partial(_list_models, dialer)
            self._catalogs[name] = Catalog(name, ask, self._now, self._background)

    def resolve(self, model: str) -> Target:
        return self._known.get(model) or self._find(model)

    def _find(self, model: str) -> Target:
        """Alias, then ``upstream/model``, then listed models, then the default upstream."""
        alias = self._aliases.get(model)
        if alias is not None:
            return alias
        prefix, slash, rest = model.partition("/")
        if slash and rest and prefix in self._dialers:
            return self._plainly(self._dialers[prefix], rest)
        for dialer in self._dialers.values():
            if model in dialer.config.models:
                return self._plainly(dialer, model)
        if self.config.default_upstream is not None:
            return self._plainly(self._dialers[self.config.default_upstream], model)
        raise unknown_model(model)

    def models(self) -> Mapping[str, Model]:
        """What can be asked for by name because the configuration says so."""
        listed = {
            name: Model(name, dialer.config.name)
            for dialer in self._dialers.values()
            for name in dialer.config.models
        }
        return {**listed, **{name: Model(name, alias.upstream) for name, alias in self.config.models.items()}}

    async def listed(self) -> Mapping[str, Model]:
        """The same, and what the platforms say they have."""
        known = self.models()
        if not self._catalogs:
            return known
        lists = await asyncio.gather(*(catalog.models() for catalog in self._catalogs.values()))
        asked = {
            one.id: Model(one.id, name, one.created)
            for name, models in zip(self._catalogs, lists, strict=True)
            for one in models
        }
        return {**known, **{id: model for id, model in asked.items() if id not in known}}

    def exchange(
        self,
        prompt: Prompt,
        make_surface: Callable[[Envelope], Surface],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Exchange:
        """``headers`` are those of the request: what of them the upstream hears is for its kind to say."""
        target = self.resolve(prompt.model)
        settings = target.dialer.config
        caller = ANYBODY if target.ears is None else target.ears.caller(headers)
        envelope = Envelope(self.new_id("chatcmpl"), int(self.clock()), prompt.model)
        upstream = target.kind(prompt, target.options, envelope, target.model, caller, settings.base_url)
        surface = make_surface(envelope)
        stream = Stream(upstream.framing(), upstream, surface)
        use_tap = self.config.limits.relay == "tap"
        relay = Relay(stream, self._patience[settings.name], self._sweep, use_tap, self._now)
        return Exchange(target, envelope, stream, relay, surface)

    async def _keep(self, owner: str, file: Keep) -> None:
        await self.files.made(owner, file.name, file.mime, file.data)

    def attachments(self, model: str, headers: Mapping[str, str]) -> Attachments:
        """What puts files that are kept here into a question to ``model``."""
        kind = self.resolve(model).dialer.config.kind
        return Attachments(self.files, owner_of(headers), kind, self.config.limits.max_body)

    async def sessions(self, upstream: str | None, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """The workflow sessions that this caller began, the oldest first."""
        owner = owner_of(headers)
        names = list(self._dialers)
        if upstream is not None:
            names = [find_upstream(self._dialers, upstream).config.name]
        found = [
            {**value, "id": key.removeprefix(SESSION), "object": "workflow.session", "upstream": name}
            for name in names
            for key, value in await self._memory.items(name, owner, SESSION)
            if isinstance(value, dict)
        ]
        return sorted(found, key=lambda session: (session.get("created_at") or 0, session["id"]))

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

    def _plainly(self, dialer: Dialer, model: str) -> Target:
        return self._target(dialer, model, dialer.config.options, self._plain[dialer.config.name])

    def _target(self, dialer: Dialer, model: str, options: Any, ears: Ears | None) -> Target:
        return Target(dialer, UPSTREAMS[dialer.config.kind].variant(options), model, options, ears)

    def _ears(self, upstream: Upstream, options: object) -> Ears | None:
        """Where clients have keys of the gateway's own, what they bring is such a key and no platform's."""
        own = has_key(upstream) or bool(self.config.auth.api_keys)
        return Ears.of(UPSTREAMS[upstream.kind].variant(options), options, own)


async def _list_models(dialer: Dialer) -> Iterable[Listed]:
    plan = UPSTREAMS[dialer.config.kind].catalog(dialer.config.options)
    return () if plan is None else await dialer.errands.carry_out(plan, "")


def unknown_model(model: str) -> NotFound:
    return NotFound(
        f"The model `{model[:100]}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )
