"""Something to compare where nothing is configured: the OpenAI stand-in, and a gateway in front of it.

Both are real servers on free ports of this machine. The stand-in alone is also the reference for a gateway of the
user's own, where there is no key for OpenAI.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.config import Config, Server, Upstream
from proxy.server import Serving
from proxy.simulators.openai import Knobs, OpenAIStandIn
from translators.upstreams.openai import OpenAISettings

MODEL = "gpt-4o-mini"
_PACE = 0.005


@asynccontextmanager
async def stand_in() -> AsyncIterator[str]:
    """The base URL of a stand-in that runs meanwhile."""
    async with OpenAIStandIn(knobs=Knobs(delay=_PACE)) as server:
        yield server.url


@asynccontextmanager
async def gateway(upstream: str) -> AsyncIterator[str]:
    """The base URL of a gateway that runs meanwhile, in front of the server at ``upstream``."""
    behind = Upstream("stand-in", "openai", base_url=upstream, models=(MODEL,), options=OpenAISettings())
    config = Config(server=Server(host="127.0.0.1", port=0), upstreams={behind.name: behind})
    async with Serving(config) as serving:
        yield f"{serving.url}/v1"
