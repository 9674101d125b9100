"""Two phases: await until there is something worth saying, then pump.

Before the first frame nothing has been sent, so an upstream that fails, even inside a 200, is still an honest
HTTP status: ``GatewayError`` is raised to the route. With the first frame the answer is committed, and from
then on an error can only be a frame, after which the body ends. A client whose patience may be shorter than
the upstream's silence gets its head, and the role, when ``commit_after`` has passed.

There are two ways. The loop awaits each read: the obvious way, and the reference. The tap is called by the
transport in the callback in which the bytes arrived, from the first on, and the coroutine only supervises. Neither
is seen by the translators, and the end-to-end tests run over both.

The sweep looks after the rest: silence, keep-alive and readers that take nothing.

No two objects of an answer hold each other when it is over, so nothing of it waits for the garbage collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from attrs import define

from proxy.config import Limits
from proxy.outlet import Outlet
from proxy.sweep import Sweep
from proxy.wire.base import Body, Tap
from translators.errors import GatewayError, UpstreamMalformed, UpstreamTimeout
from translators.stream import Stream


@define(eq=False)
class Patience:
    """How long one answer may make everybody wait, in seconds."""

    first_byte: float
    idle: float
    write: float
    keepalive: float
    commit_after: float

    @classmethod
    def of(cls, limits: Limits, first_byte: float, idle: float) -> Patience:
        return cls(first_byte, idle, limits.write_timeout, limits.keepalive, limits.commit_after)


MAX_UNSAID = 64 * 1024 * 1024
"""What an upstream may send before anything can be said: a whole answer is kept until it has ended."""


class Owner(Protocol):
    """Whoever has something to do when an answer is over."""

    def part(self) -> None:
        """The upstream's part is over, even if the reader is still busy."""
        ...

    def keeps(self, body: Body) -> bool:
        """Whether it takes the unfinished body, because it wants to hear more of it."""
        ...

    def settle(self) -> None:
        """Everything is over."""
        ...


Dial: TypeAlias = Callable[[], Awaitable[Body]]


@define(eq=False)
class Relay:
    stream: Stream
    patience: Patience
    sweep: Sweep
    use_tap: bool
    now: Callable[[], float]

    first_byte_after: float | None = None
    """Seconds from the beginning until the upstream's first byte."""
    pauses: int = 0
    """How often the upstream had to wait for the reader."""
    owner: Owner | None = None
    """Let go of at the end: two that hold each other would stay until the garbage collector comes."""

    _outlet: Outlet | None = None
    _body: Body | None = None
    _tap: Tap | None = None
    _stop: GatewayError | None = None
    """Why the answer has to end, when that is not in the upstream's bytes."""
    _ended: bool = False
    _parted: bool = False
    _full: bool = False
    _wake: asyncio.Future[None] | None = None

    _waiting: asyncio.Task[Any] | None = None
    """Who waits for the first frame."""
    _committed: bool = False
    _pumping: bool = False

    _began: float = 0.0
    _heard: bool = False
    _last_heard: float = 0.0
    _spoke: bool = False
    _last_spoke: float = 0.0
    _taken: tuple[int, float] = (0, 0.0)
    """What waited for the reader when it last took something, and when that was."""

    async def whole(self, dial: Dial) -> bytes:
        """The answer as one piece."""
        self._begin()
        try:
            out = await self._prologue(dial)
            if self.stream.failure is not None:
                raise self.stream.failure
            return out
        finally:
            self._finish()

    async def run(self, dial: Dial, outlet: Outlet) -> None:
        """The answer as it comes. Raises GatewayError as long as nothing has been sent."""
        self._outlet = outlet
        self._begin()
        try:
            first = await self._prologue(dial)
            if self._tap is not None:
                await self._supervise(self._tap)
            else:
                self._start(outlet, first)
                if self._pumps():
                    await self._loop(self._body)
            last = self.stream.close() if self._stop is None else self.stream.fail(self._stop)
            self._let_go()
            if not self._committed:
                self._start(outlet, last)
            elif not outlet.ended:
                outlet.end(last)
            if outlet.waiting:
                self._full = True
                await outlet.taken()
        finally:
            self._finish()

    def stop(self, error: GatewayError) -> None:
        """End the answer from outside, wherever it is."""
        if self._stop is not None:
            return
        self._stop = error
        self._part()  # a reader that is behind may keep the rest of this waiting
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._tap is not None:
            self.end(error)
        elif self._pumping and self._body is not None:
            self._body.fail(error)

    def hear(self) -> None:
        """A sign of life from what has to be done before the question."""
        self._heard = True

    def cut(self) -> None:
        """Hang up on a reader that does not even take the last words."""
        if self._outlet is not None:
            self._outlet.abort()

    # Before the first frame.

    async def _prologue(self, dial: Dial) -> bytes:
        """Await until there is something worth saying, a failure included, or a tap that will say it."""
        task = self._waiting = asyncio.current_task()
        try:
            self._body = body = await dial()
            if self.use_tap and self._outlet is not None:
                self._tap = body.tap(_Opening(self))
            while self._tap is None:
                data = await body.read()
                self._hear_first()
                out = self.stream.feed(data) if data else self.stream.close()
                if out or self.stream.done:
                    return out
                if self.stream.received > MAX_UNSAID:
                    raise _too_much()
            return b""
        except asyncio.CancelledError:
            if self._stop is None or task is None or task.uncancel():
                raise  # it is the client who left
            return self.stream.fail(self._stop)
        except GatewayError as error:
            return self.stream.fail(error)
        finally:
            self._waiting = None

    def take_first(self, data: bytes) -> bool:
        """The tap's bytes until something is said, in the callback in which they arrived."""
        outlet, body, tap, stream = self._outlet, self._body, self._tap, self.stream
        assert outlet is not None
        assert body is not None
        assert tap is not None
        if self._stop is not None:
            return False
        self._hear_first()
        out = stream.feed(data)
        if not out and stream.received > MAX_UNSAID:
            self.end(_too_much())
            return False
        if stream.failure is not None and not self._committed:
            self.end(None)  # it can still be told by a status
            return False
        if not out and not stream.done:
            return True
        if not stream.done and tap.over:
            out += stream.close()  # so that all of a brief answer leaves in one write
        if self._committed:
            self._say(out)
        else:
            self._commit(outlet, out)
        self._pump()
        body.tap(self)
        if stream.done:
            self.end(None)
        elif outlet.full:
            self._hold()
        return not (stream.done or self._full)

    def _hear_first(self) -> None:
        self._heard = True
        if self.first_byte_after is None:
            self.first_byte_after = self.now() - self._began

    def _start(self, outlet: Outlet, first: bytes) -> None:
        if self._committed:
            self._say(first)
        elif self.stream.failure is not None:
            raise self.stream.failure
        else:
            self._commit(outlet, first)

    def _commit(self, outlet: Outlet, first: bytes) -> None:
        self._committed = True
        outlet.open(first, self.stream.upstream.headers, self.stream.done)
        self._spoke = True

    # After it.

    def _pumps(self) -> bool:
        """Whether more can come; if so it is from now on looked after by the sweep."""
        if self.stream.done or self._body is None or self._stop is not None:
            return False
        self._pump()
        return True

    def _pump(self) -> None:
        self._last_heard = self._last_spoke = self.now()
        self._pumping = True

    async def _loop(self, body: Body | None) -> None:
        assert body is not None
        assert self._outlet is not None
        while not self.stream.done:
            try:
                data = await body.read()
            except GatewayError as error:
                self._stop = self._stop or error
                return
            self._heard = True
            self._say(self.stream.feed(data) if data else self.stream.close())
            if self._outlet.full:
                await self._drained(self._outlet)

    async def _supervise(self, tap: Tap) -> None:
        assert self._outlet is not None
        tap.pull()
        while not self._ended:
            if self._full:
                await self._drained(self._outlet)
                tap.go_on()
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    def take(self, data: bytes) -> bool:
        """The tap's bytes: the whole per-token path."""
        outlet, stream = self._outlet, self.stream
        assert outlet is not None
        self._heard = True
        out = stream.feed(data)
        if stream.done:
            outlet.end(out)
            self.end(None)
            return False
        if out:
            self._spoke = True
            if not outlet.write(out):
                self._hold()
                return False
        return True

    def end(self, error: GatewayError | None) -> None:
        """The tap's end of the body."""
        self._stop = self._stop or error
        self._ended = True
        self._rouse()

    def _hold(self) -> None:
        assert self._tap is not None
        self._tap.stop()
        self._full = True
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _drained(self, outlet: Outlet) -> None:
        self.pauses += 1
        self._full = True
        await outlet.drain()
        self._full = False
        self._taken = (0, 0.0)
        self._last_heard = self.now()

    def _say(self, out: bytes) -> None:
        outlet = self._outlet
        assert outlet is not None
        self._spoke = True
        if self.stream.done:
            outlet.end(out)
        elif out:
            outlet.write(out)

    # What the sweep looks after.

    def tick(self, now: float) -> None:
        broken = None if self._body is None or self._full else self._body.broken()
        if self._heard:
            self._heard, self._last_heard = False, now
        if self._spoke:
            self._spoke, self._last_spoke = False, now
        if broken is not None:
            self.stop(broken)
        elif self._full and self._outlet is not None:
            self._watch_reader(self._outlet, now)
        elif not self._pumping:
            self._watch_upstream(now)
        elif now - self._last_heard >= self.patience.idle:
            self.stop(UpstreamTimeout("The upstream fell silent in the middle of its answer."))
        if self._outlet is not None and not self._full:
            self._keep_alive(self._outlet, now)

    def _watch_upstream(self, now: float) -> None:
        """Nothing has been said yet."""
        limit = self.patience.first_byte if self.first_byte_after is None else self.patience.idle
        if now - self._last_heard >= limit:
            self.stop(UpstreamTimeout("The upstream did not answer in time."))

    def _keep_alive(self, outlet: Outlet, now: float) -> None:
        if not self._committed:
            if now - self._began >= self.patience.commit_after and self._stop is None:
                self._commit(outlet, self.stream.begin())
        elif not outlet.ended and now - self._last_spoke >= self.patience.keepalive:
            self._say(self.stream.surface.keep_alive)

    def _watch_reader(self, outlet: Outlet, now: float) -> None:
        waiting, since = self._taken
        if outlet.waiting != waiting:
            self._taken = (outlet.waiting, now)
        elif waiting and now - since >= self.patience.write:
            outlet.abort()

    def _begin(self) -> None:
        self._began = self._last_heard = self._last_spoke = self.now()
        self.sweep.add(self)

    def _finish(self) -> None:
        self.sweep.discard(self)
        self._let_go()
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.settle()

    def _let_go(self) -> None:
        """The upstream's part is over, even if its reader is still busy."""
        body, self._body = self._body, None
        if self._tap is not None:
            self._tap.detach()
        if body is not None:
            complete = self.stream.done and self.stream.failure is None
            if complete:
                body.finish()
            elif self.owner is None or not self.owner.keeps(body):
                body.close()
        self._part()

    def _part(self) -> None:
        if self.owner is not None and not self._parted:
            self._parted = True
            self.owner.part()


@define(eq=False)
class _Opening:
    """The sink until something is said."""

    relay: Relay

    def take(self, data: bytes) -> bool:
        return self.relay.take_first(data)

    def end(self, error: GatewayError | None) -> None:
        self.relay.end(error)


def _too_much() -> UpstreamMalformed:
    return UpstreamMalformed(f"The upstream sent an answer of over {MAX_UNSAID} bytes.")
