"""Ask every upstream whether it is there: ``deltawire check --online``.

One GET of ``{base_url}/models`` each, all at once, with the upstream's own key and headers and a short time
limit. What comes back is a ``Probe`` and never an exception; its words hold neither key nor address. An
upstream without an address is answered for here, by the gateway itself.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import aiohttp
import orjson
from attrs import frozen

from proxy.config import Config, Upstream

_TIME_LIMIT = 5.0
_LARGEST_ANSWER = 4 * 1024 * 1024
_REFUSALS = {401: "refused the key", 403: "refused the key", 404: "has no list of models at this address"}


@frozen
class Probe:
    upstream: str
    ok: bool
    detail: str
    seconds: float = 0.0
    models: int | None = None

    def __str__(self) -> str:
        state = "ok" if self.ok else "FAILED"
        return f"{self.upstream}: {state}: {self.detail} ({self.seconds * 1000:.0f} ms)"


class _NotAsExpected(Exception):
    """The upstream answered, but not with a list of models."""


async def probe(
    config: Config, *, time_limit: float = _TIME_LIMIT, clock: Callable[[], float] = time.monotonic
) -> list[Probe]:
    timeout = aiohttp.ClientTimeout(total=time_limit)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await asyncio.gather(
            *(_ask(session, upstream, clock) for upstream in config.upstreams.values())
        )


async def _ask(session: aiohttp.ClientSession, upstream: Upstream, clock: Callable[[], float]) -> Probe:
    if not upstream.base_url:
        return Probe(upstream.name, True, "no address to ask")
    started = clock()
    try:
        models = await _count_models(session, upstream)
    except _NotAsExpected as error:
        return Probe(upstream.name, False, str(error), clock() - started)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Probe(upstream.name, False, _reason(error), clock() - started)
    return Probe(upstream.name, True, f"{models} models", clock() - started, models)


async def _count_models(session: aiohttp.ClientSession, upstream: Upstream) -> int:
    headers = {"Accept": "application/json", **upstream.headers}
    if upstream.api_key is not None:
        headers["Authorization"] = f"Bearer {upstream.api_key.reveal()}"
    url = f"{upstream.base_url}/models"
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            said = _REFUSALS.get(response.status, "answered")
            raise _NotAsExpected(f"{said} (HTTP {response.status})")
        body = await response.content.read(_LARGEST_ANSWER)
        while len(body) < _LARGEST_ANSWER and (more := await response.content.read(_LARGEST_ANSWER)):
            body += more
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _NotAsExpected("answered with something that is not JSON") from error
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise _NotAsExpected("answered with JSON that is not a list of models")
    return len(models)


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no answer in time"),
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


def _reason(error: Exception) -> str:
    return next((words for kind, words in _REASONS if isinstance(error, kind)), "cannot be asked")
