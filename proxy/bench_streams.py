"""The streams of ``deltawire bench``: so many at the same time, each read to its end and checked.

Workers share a count of what is left to ask; no stream is retried, because a failure is a result. What the target
sends is bounded like an upstream's: size of an event, size of an answer, time of a stream; of error messages one
clean line is kept. A stream is complete if it was answered with 200, told a finish reason and ended with
``[DONE]``. A frame came when the read that completed it returned; frames of one read have no gap between them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from attrs import define, field

from translators.errors import GatewayError
from translators.excerpt import clean
from translators.framing.sse import SSE

_LARGEST_ANSWER = 32 * 1024 * 1024
_LARGEST_REFUSAL = 16 * 1024
_READ = 64 * 1024
_MOST_GAPS = 2_000_000
"""Beyond these, gaps are no longer kept: percentiles do not change any more, memory would."""
_SAYING = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal")


@define
class Result:
    requests: int
    seconds: float = 0.0
    complete: int = 0
    frames: int = 0
    """Those that said something."""
    tokens: int = 0
    first_tokens: list[float] = field(factory=list)
    gaps: list[float] = field(factory=list)
    durations: list[float] = field(factory=list)
    """Of complete streams."""
    failures: Counter[str] = field(factory=Counter)


class _Failed(Exception):
    """The stream is not what an OpenAI client expects."""


def run(
    *,
    target: str,
    model: str,
    key: str | None,
    streams: int,
    requests: int,
    max_tokens: int,
    timeout: float,
    prompt: str,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    question = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": prompt}],
    }
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    asker = _Asker(target, headers, orjson.dumps(question), timeout, clock, Result(requests), requests)
    return asyncio.run(asker.ask(streams))


@define(eq=False)
class _Asker:
    target: str
    headers: dict[str, str]
    body: bytes
    timeout: float
    clock: Callable[[], float]
    result: Result
    left: int

    async def ask(self, streams: int) -> Result:
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        connector = aiohttp.TCPConnector(limit=streams)
        began = self.clock()
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(streams):
                workers.create_task(self._work(session))
        self.result.seconds = max(self.clock() - began, 1e-9)
        return self.result

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while self.left:
            self.left -= 1
            began = self.clock()
            try:
                await self._stream(session, began)
            except _Failed as failure:
                self.result.failures[str(failure)] += 1
            except GatewayError as error:
                self.result.failures[error.message] += 1
            except TimeoutError:
                self.result.failures[f"not over after {self.timeout:g} s"] += 1
            except (aiohttp.ClientError, OSError) as error:
                self.result.failures[
                    f"the connection failed: {clean(str(error)) or type(error).__name__}"
                ] += 1
            else:
                self.result.complete += 1
                self.result.durations.append(self.clock() - began)

    async def _stream(self, session: aiohttp.ClientSession, began: float) -> None:
        async with session.post(
            self.target, data=self.body, headers=self.headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                said = await response.content.read(_LARGEST_REFUSAL)
                raise _Failed(f"HTTP {response.status}: {clean(said.decode(errors='replace'))}")
            answer = _Answer(self.result, began)
            while data := await response.content.read(_READ):
                answer.take(data, self.clock())
            answer.end()


def _reason(error: BaseException) -> str:
    """The cause underneath, where there is one: around it aiohttp only says which host it was."""
    cause = getattr(error, "os_error", None) or error
    return clean(str(cause)) or type(cause).__name__


@define(eq=False)
class _Answer:
    """One stream as it is told."""

    result: Result
    last: float
    framing: SSE = field(factory=SSE)
    size: int = 0
    spoke: bool = False
    finished: bool = False
    done: bool = False

    def take(self, data: bytes, now: float) -> None:
        self.size += len(data)
        if self.size > _LARGEST_ANSWER:
            raise _Failed("an answer too large")
        for _, payload in self.framing.feed(data):
            self._frame(payload, now)
        if self.framing.fault is not None:
            raise self.framing.fault

    def end(self) -> None:
        if not self.done:
            raise _Failed("the stream ended without [DONE]")
        if not self.finished:
            raise _Failed("the stream told no finish reason")

    def _frame(self, payload: bytes, now: float) -> None:
        if self.done:
            raise _Failed("something came after [DONE]")
        if payload.strip() == b"[DONE]":
            self.done = True
            return
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise _Failed("a frame is not JSON") from None
        if not isinstance(chunk, dict):
            raise _Failed("a frame is no object")
        if "error" in chunk:
            raise _Failed(f"an error in the stream: {clean(orjson.dumps(chunk['error']).decode())}")
        self._usage(chunk.get("usage"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice, now)

    def _usage(self, usage: Any) -> None:
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        if isinstance(tokens, int) and 0 < tokens < 1 << 31:
            self.result.tokens += tokens

    def _choice(self, choice: dict[str, Any], now: float) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(delta.get(name) for name in _SAYING):
            self._spoken(now)
        self.finished = self.finished or isinstance(choice.get("finish_reason"), str)

    def _spoken(self, now: float) -> None:
        self.result.frames += 1
        if not self.spoke:
            self.spoke = True
            self.result.first_tokens.append(now - self.last)
        elif len(self.result.gaps) < _MOST_GAPS:
            self.result.gaps.append(now - self.last)
        self.last = now
