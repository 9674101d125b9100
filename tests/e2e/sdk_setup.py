"""What the SDK tests share: every kind of upstream, and an official client in front of a live gateway.

The same questions are put to the built-in model and to the stand-in server in each of its profiles, so a test
that passes for all of them shows that the gateway hides what is odd about an upstream. The upstream has a
thread and a loop of its own: then nothing in a test can help the gateway along.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import openai
import pytest
from attrs import frozen

from proxy.config import Secret
from proxy.simulators.openai import OpenAIStandIn
from tests.support.gateway import GatewayThread, builtin_upstream, openai_upstream

Running = TypeVar("Running")
Serve = Callable[..., GatewayThread]

TLS = ssl.create_default_context()
"""Nothing here is encrypted, but every client wants one, and loading the certificates is the slow part."""

COUNTING = [{"role": "user", "content": "Count to 20, please."}]
COUNTED = ", ".join(str(number) for number in range(1, 21)) + "."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}


@frozen
class Backend:
    """A kind of upstream and what it can do."""

    name: str
    model: str
    takes_n: bool = True
    details_usage: bool = True
    """Whether its counts are broken down."""


BACKENDS = (
    Backend("builtin", "demo"),
    Backend("openai", "gpt-4o-mini"),
    Backend("ollama", "llama3.2:3b", takes_n=False, details_usage=False),
    Backend("vllm", "meta-llama/Llama-3.1-8B-Instruct", details_usage=False),
    Backend("sloppy", "sloppy-1"),
)
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=[backend.name for backend in BACKENDS])


def asking(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@contextmanager
def hosted(make: Callable[[], AbstractAsyncContextManager[Running]]) -> Iterator[Running]:
    """An async context manager, entered and left in a loop of its own in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def enter() -> tuple[AbstractAsyncContextManager[Running], Running]:
        manager = make()
        return manager, await manager.__aenter__()

    try:
        manager, running = asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
        try:
            yield running
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def started(serve: Serve, backend: Backend, **settings: Any) -> Iterator[tuple[str, OpenAIStandIn | None]]:
    """A gateway in front of ``backend``: its address for SDKs, and the stand-in if there is one."""
    if backend.name == "builtin":
        yield serve(builtin_upstream()).url + "/v1", None
        return
    with hosted(lambda: OpenAIStandIn(backend.name, api_key="upstream-key")) as stand_in:
        key = Secret("upstream-key")
        upstream = openai_upstream(stand_in.url, models=(backend.model,), api_key=key, **settings)
        yield serve(upstream).url + "/v1", stand_in


def sdk(url: str, *, timeout: float = 10, **changes: Any) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(verify=TLS, timeout=timeout)
    return openai.OpenAI(
        **{"base_url": url, "api_key": "none", "max_retries": 0, "http_client": http, **changes}
    )


def async_sdk(url: str, *, timeout: float = 10, **changes: Any) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=TLS, timeout=timeout)
    return openai.AsyncOpenAI(
        **{"base_url": url, "api_key": "none", "max_retries": 0, "http_client": http, **changes}
    )


@contextmanager
def talking(serve: Serve, backend: Backend) -> Iterator[openai.OpenAI]:
    """The synchronous SDK, ready to ask ``backend`` through a gateway."""
    with started(serve, backend) as (url, _), sdk(url) as client:
        yield client


@asynccontextmanager
async def talking_async(serve: Serve, backend: Backend) -> AsyncIterator[openai.AsyncOpenAI]:
    with started(serve, backend) as (url, _):
        async with async_sdk(url) as client:
            yield client


@contextmanager
def scripted(
    serve: Serve, make: Callable[[], AbstractAsyncContextManager[Any]], **changes: Any
) -> Iterator[Any]:
    """A gateway before an upstream that plays a script: ``(gateway, upstream)``. It does not try again."""
    with hosted(make) as upstream:
        limits = changes.pop("limits", None)
        yield serve(openai_upstream(upstream.url, retries=0, **changes), limits=limits), upstream
