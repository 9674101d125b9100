"""Asking one upstream, and deciding whether to ask again.

A request is sent again only while not one byte of an answer has come and only where that is safe: nothing
reached the upstream, or it said itself that it is busy (429, 503), or a kept-alive connection turned out to be
dead. A place at the upstream is held from the first attempt, or from what has to be done before it, until the
body is closed; so is the turn, where the platform gives only one answer of a conversation at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVar

from attrs import define, field

from proxy import __version__
from proxy.background import Background
from proxy.config import Upstream as UpstreamConfig
from proxy.errands import Errands, Keeping, nowhere
from proxy.memory import LocalMemory, Memory
from proxy.slots import Slots
from proxy.turns import Turns
from proxy.wire.base import Answer, Body, ScriptBody, Wire, nothing
from translators.errors import (
    GatewayError,
    RateLimited,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamStale,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.upstreams.base import Upstream
from translators.upstreams.plan import Call, Plan, Script, Turn

MAX_REFUSAL = 64 * 1024
"""As much of an error body as is worth reading."""
PATIENCE = 3.0
"""The longest that we wait by ourselves before asking again, or for a refusal to be explained; a longer wait is
the client's to decide."""
MAX_QUESTIONS = 5
"""Different questions that one request may lead to before a refusal is final."""
LONGEST_WAIT = 86400.0
"""The longest wait that is passed on: nobody means more, and numbers have no end."""

T = TypeVar("T")


@define(eq=False)
class Dialer:
    config: UpstreamConfig
    wire: Wire | None
    chance: Callable[[], float]
    """A number between 0 and 1, so that many who were refused together do not come back together."""
    memory: Memory = field(factory=LocalMemory)
    background: Background = field(factory=Background)
    slots: Slots = field(init=False)
    keep: Keeping = nowhere
    turns: Turns = field(factory=Turns, init=False)
    errands: Errands = field(init=False)

    @slots.default
    def _own_slots(self) -> Slots:
        return Slots(self.config.max_concurrency, self.config.max_queue)

    @errands.default
    def _own_errands(self) -> Errands:
        return Errands(
            self.config.name,
            self.wire,
            self.config.first_byte_timeout,
            self._wait_before_retry,
            self.memory,
            self.background,
            self.keep,
        )

    async def open(self, upstream: Upstream, heard: Callable[[], None] = nothing) -> Body:
        """The answer to what ``upstream`` has to ask, or GatewayError for why there is none.

        ``heard`` is called for every sign of life from what has to be done before the question.
        """
        plan = upstream.prepare()
        call = upstream.call() if plan is None else None
        if upstream.turn is None and self.slots.take():
            give_back: Callable[[], None] = self.slots.release
        else:
            give_back = await self._place(upstream.turn)
        body: Body | None = None
        try:
            if plan is not None:
                await self.errands.carry_out(plan, upstream.caller.owner, heard)
            call = call or upstream.call()
            body = ScriptBody(call.steps) if isinstance(call, Script) else await self._ask(call, upstream)
            body.on_close = give_back
            return body
        finally:
            if body is None:
                give_back()

    async def _place(self, turn: Turn | None) -> Callable[[], None]:
        """A place at the upstream, and the turn if there has to be one; brings what gives both back."""
        if turn is None:
            await self.slots.acquire()
            return self.slots.release
        await self.turns.take(turn)
        if not self.slots.take():
            with ExitStack() as otherwise:
                otherwise.callback(self.turns.hand_on, turn)
                await self.slots.acquire()
                otherwise.pop_all()
        return partial(self._leave, turn)

    def _leave(self, turn: Turn) -> None:
        self.slots.release()
        self.turns.hand_on(turn)

    async def carry_out(self, plan: Plan[T], owner: str) -> T:
        """A plan that stands for itself, at a place of its own and within the time of a first byte."""
        limit = self.config.first_byte_timeout
        try:
            async with asyncio.timeout(limit):
                await self.slots.acquire()
                try:
                    return await self.errands.carry_out(plan, owner)
                finally:
                    self.slots.release()
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream did not answer within {limit:g} seconds.") from None

    async def _ask(self, call: Call, upstream: Upstream) -> Body:
        """The same question as long as that is safe; then, if the upstream has another one, that instead."""
        attempt, questions = 0, 1
        while True:
            try:
                return await self._attempt(call, upstream)
            except GatewayError as error:
                wait = self._wait_before_retry(error, attempt)
                if upstream.unwanted:
                    raise
                if wait is None and (questions == MAX_QUESTIONS or not upstream.reconsider(error)):
                    raise
            if wait is None:
                attempt, questions = 0, questions + 1
                again = upstream.call()
                assert isinstance(again, Call)
                call = again
            else:
                attempt += 1
                await asyncio.sleep(wait)

    def _wait_before_retry(self, error: GatewayError, attempt: int) -> float | None:
        if attempt >= self.config.retries:
            return None
        if isinstance(error, UpstreamStale):
            return 0.0
        if not isinstance(error, (UpstreamUnreachable, UpstreamOverloaded, RateLimited)):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= PATIENCE else None
        backoff: float = 0.1 * 2.0**attempt
        return backoff * (0.75 + 0.5 * self.chance())

    async def _attempt(self, call: Call, upstream: Upstream) -> Body:
        assert self.wire is not None
        upstream.asking = True
        try:
            answer = await self.wire.send(call)
        except GatewayError:
            upstream.asking = False
            raise
        upstream.answered(answer.headers)
        if answer.status == 200 and _is_plain(answer):
            return answer.body
        upstream.asking = False
        try:
            raise await refused(answer, upstream.reject)
        finally:
            answer.body.close()


async def refused(answer: Answer, read: Callable[[int, bytes, float | None], GatewayError]) -> GatewayError:
    """Why this is no answer; ``read`` knows what the upstream says with a status of 300 or more."""
    if answer.status == 200:
        return UpstreamMalformed("The upstream compressed its answer although it was asked not to.")
    if 200 < answer.status < 300:
        return UpstreamMalformed(f"The upstream answered with status {answer.status} and no answer.")
    return read(answer.status, await _explanation(answer), retry_after(answer.headers))


def request_headers(config: UpstreamConfig) -> dict[str, str]:
    """What every request to the upstream carries."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"deltawire/{__version__}",
    }
    if config.api_key is not None:
        headers["Authorization"] = f"Bearer {config.api_key.reveal()}"
    own = {name.lower() for name in config.headers}
    return {name: value for name, value in headers.items() if name.lower() not in own} | dict(config.headers)


async def _explanation(answer: Answer) -> bytes:
    """The body of a refusal, or as much of it as there is: the status counts with or without it."""
    body = b""
    if not _is_plain(answer):
        return body
    with suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(PATIENCE):
            while len(body) < MAX_REFUSAL and (more := await answer.body.read()):
                body += more
    return body[:MAX_REFUSAL]


def _is_plain(answer: Answer) -> bool:
    return answer.headers.get("Content-Encoding", "identity") == "identity"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the HTTP date form means a clock that need not agree with ours, so it is left to the client."""
    for name, scale in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "")
        if value.replace(".", "", 1).isascii() and value.replace(".", "", 1).isdigit():
            return min(float(value) * scale, LONGEST_WAIT)
    return None
