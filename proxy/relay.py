"""Two phases: await until there is something worth saying, then pump.

Before the first frame nothing has been sent, so an upstream that fails, even inside a 200, is still an honest
HTTP status: ``GatewayError`` is raised to the route. With the first frame the answer is committed, and from
then on an error can only be a frame, after which the body ends. A client whose patience may be shorter than
the upstream's silence gets its head, and the role, when ``commit_after`` has passed.

There are two ways to pump. The loop awaits each read: the obvious way, and the reference. The tap is called
by the transport in the callback in which the bytes arrived, and the coroutine only supervises. Neither is
seen by the translators, and the end-to-end tests run over both.

The sweep looks after the rest: silence, keep-alive and readers that take nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from attrs import define

from proxy.body import Body
from proxy.config import Limits
from proxy.outlet import Outlet
from proxy.sweep import Sweep
from proxy.tap import Tap
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

    _outlet: Outlet | None = None
    _body: Body | None = None
    _tap: Tap | None = None
    _deadline: asyncio.Timeout | None = None
    _stop: GatewayError | None = None
    """Why the answer has to end, when that is not in the upstream's bytes."""
    _ended: bool = False
    _full: bool = False
    _wake: asyncio.Future[None] | None = None

    _committed: bool = False
    _committing: asyncio.Task[None] | None = None
    _pumping: bool = False

    _began: float = 0.0
    _heard: bool = True
    _last_heard: float = 0.0
    _spoke: bool = True
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
            if self._committing is not None:
                await self._committing
                self._say(first)
            elif self.stream.failure is not None:
                raise self.stream.failure
            else:
                self._committed = True
                await outlet.open(first)
            await self._pump()
            last = self.stream.close() if self._stop is None else self.stream.fail(self._stop)
            self._full = True
            self._let_go()
            await outlet.close(last)
        finally:
            self._finish()

    def stop(self, error: GatewayError) -> None:
        """End the answer from outside, wherever it is."""
        self._stop = self._stop or error
        if self._tap is not None:
            self.end(error)
        elif self._pumping and self._body is not None:
            self._body.fail(error)
        elif self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(self.now())

    def cut(self) -> None:
        """Hang up on a reader that does not even take the last words."""
        if self._outlet is not None:
            self._outlet.abort()

    # Before the first frame.

    async def _prologue(self, dial: Dial) -> bytes:
        """Await until there is something worth saying, a failure included."""
        try:
            async with asyncio.timeout(self.patience.first_byte) as self._deadline:
                self._body = await dial()
                while True:
                    data = await self._body.read()
                    self._heard_something()
                    out = self.stream.feed(data) if data else self.stream.close()
                    if out or self.stream.done:
                        return out
                    if self.stream.received > MAX_UNSAID:
                        raise UpstreamMalformed(f"The upstream sent an answer of over {MAX_UNSAID} bytes.")
        except TimeoutError:
            return self.stream.fail(self._stop or UpstreamTimeout("The upstream did not answer in time."))
        except GatewayError as error:
            return self.stream.fail(error)
        finally:
            self._deadline = None

    def _heard_something(self) -> None:
        now = self.now()
        if self.first_byte_after is None:
            self.first_byte_after = now - self._began
        if self._deadline is not None:
            self._deadline.reschedule(now + self.patience.idle)

    def _commit_early(self, outlet: Outlet) -> None:
        self._committed = True
        self._committing = asyncio.create_task(outlet.open(self.stream.begin()))
        self._committing.add_done_callback(_retrieve)

    # After it.

    async def _pump(self) -> None:
        if self.stream.done or self._body is None or self._stop is not None:
            return
        self._last_heard = self._last_spoke = self.now()
        self._pumping = True
        self._tap = self._body.tap(self) if self.use_tap else None
        if self._tap is None:
            await self._loop(self._body)
        else:
            await self._supervise(self._tap)

    async def _loop(self, body: Body) -> None:
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
        if out:
            self._spoke = True
            outlet.write(out)
        if stream.done:
            self.end(None)
            return False
        if outlet.full:
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
        if out and self._outlet is not None:
            self._spoke = True
            self._outlet.write(out)

    # What the sweep looks after.

    def tick(self, now: float) -> None:
        broken = None if self._body is None or self._full else self._body.broken()
        if broken is not None:
            self.stop(broken)
        elif self._outlet is not None:
            self._watch(self._outlet, now)

    def _watch(self, outlet: Outlet, now: float) -> None:
        if self._heard:
            self._heard, self._last_heard = False, now
        if self._spoke:
            self._spoke, self._last_spoke = False, now
        if not self._committed:
            if now - self._began >= self.patience.commit_after:
                self._commit_early(outlet)
        elif self._full:
            self._watch_reader(outlet, now)
        elif self._pumping and now - self._last_heard >= self.patience.idle:
            self.stop(UpstreamTimeout("The upstream fell silent in the middle of its answer."))
        elif outlet.sent and now - self._last_spoke >= self.patience.keepalive:
            self._say(self.stream.surface.keep_alive)

    def _watch_reader(self, outlet: Outlet, now: float) -> None:
        waiting, since = self._taken
        if outlet.waiting != waiting:
            self._taken = (outlet.waiting, now)
        elif waiting and now - since >= self.patience.write:
            outlet.abort()

    def _begin(self) -> None:
        self._began = self.now()
        self.sweep.add(self)

    def _finish(self) -> None:
        self.sweep.discard(self)
        if self._committing is not None:
            self._committing.cancel()
        self._let_go()

    def _let_go(self) -> None:
        """The upstream's part is over, even if its reader is still busy."""
        body, self._body = self._body, None
        if self._tap is not None:
            self._tap.detach()
        if body is not None:
            complete = self.stream.done and self.stream.failure is None
            (body.finish if complete else body.close)()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Whoever awaits the task sees how it ended; if nobody does, that is no news."""
    if not task.cancelled():
        task.exception()
