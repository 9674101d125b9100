"""Ask every upstream whether it is there, and the storage, too: ``deltawire check --online``.

Each kind says what to ask (``Upstream.check``); most are asked for their models. All are asked at once, over a wire
like that of questions, so with the upstream's own key, headers and credential, and within a short time. What comes
back is a ``Probe`` and never an exception; its words hold neither key nor address. An upstream without an address
is answered for here, by the gateway itself.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import aiohttp
from attrs import frozen

from proxy.background import Background
from proxy.config import Config, Upstream
from proxy.dial import request_headers
from proxy.errands import Errands
from proxy.memory import LocalMemory
from proxy.signing import wire_to
from proxy.storage import Storage
from proxy.wire.base import Wire
from proxy.wire.reference import ReferenceWire, client_session
from translators.errors import GatewayError, UpstreamTimeout
from translators.upstreams import UPSTREAMS

_TIME_LIMIT = 5.0


@frozen
class Probe:
    upstream: str
    ok: bool
    detail: str
    seconds: float = 0.0

    def __str__(self) -> str:
        state = "ok" if self.ok else "FAILED"
        return f"{self.upstream}: {state}: {self.detail} ({self.seconds * 1000:.0f} ms)"


async def probe(
    config: Config, *, time_limit: float = _TIME_LIMIT, clock: Callable[[], float] = time.monotonic
) -> list[Probe]:
    async with client_session() as session:
        return await asyncio.gather(
            *(_ask(session, upstream, time_limit, clock) for upstream in config.upstreams.values())
        )


async def probe_storage(config: Config, *, clock: Callable[[], float] = time.monotonic) -> Probe:
    storage, started = Storage(config.storage), clock()
    try:
        said = await storage.probe()
    except GatewayError as error:
        return Probe("storage", False, error.message, clock() - started)
    finally:
        await storage.close()
    return Probe("storage", True, said, clock() - started)


async def _ask(
    session: aiohttp.ClientSession, upstream: Upstream, time_limit: float, clock: Callable[[], float]
) -> Probe:
    wire = _wire(session, upstream)
    if wire is None:
        return Probe(upstream.name, True, "no address to ask")
    started = clock()
    try:
        async with asyncio.timeout(time_limit):
            said = await _check(wire, upstream, time_limit)
    except (GatewayError, TimeoutError) as error:
        return Probe(upstream.name, False, _reason(error), clock() - started)
    finally:
        await wire.close()
    return Probe(upstream.name, True, said, clock() - started)


def _wire(session: aiohttp.ClientSession, upstream: Upstream) -> Wire | None:
    headers = request_headers(upstream)

    def make(address: str, keep: float = 0.0) -> Wire:
        return ReferenceWire(address, headers, upstream.connect_timeout, session)

    credential = UPSTREAMS[upstream.kind].credential(upstream.options, upstream.base_url)
    return wire_to(upstream.base_url, headers, credential, make, time.time)


async def _check(wire: Wire, upstream: Upstream, seconds: float) -> str:
    kind = UPSTREAMS[upstream.kind]
    errands = Errands(upstream.name, wire, seconds, _never_again, LocalMemory(), Background())
    return await errands.carry_out(kind.check(upstream.options), "")


def _never_again(error: GatewayError, attempt: int) -> float | None:
    return None


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "no answer in time"),
    (UpstreamTimeout, "no answer in time"),
    (aiohttp.ClientConnectorDNSError, "the host name is not known"),
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate is not trusted"),
    (aiohttp.ClientSSLError, "no TLS connection"),
    (ssl.SSLError, "no TLS connection"),
    (aiohttp.ClientConnectorError, "cannot be reached"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientResponseError, "answered with something that is not HTTP"),
    (aiohttp.ClientPayloadError, "broke off its answer"),
    (aiohttp.InvalidURL, "has an address that cannot be used"),
    (ConnectionError, "broke off the connection"),
)


def _reason(error: GatewayError | TimeoutError) -> str:
    """In an operator's words where it is about the way there, else in the platform's."""
    for fault in (error, error.__cause__):
        for kind, words in _REASONS:
            if isinstance(fault, kind):
                return words
    return str(error)
