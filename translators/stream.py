"""One upstream response, retold. Bytes in, bytes out.

``feed`` is the whole per-token path: frame, translate, render, with no await, lock, log or clock. A read that is
nothing but words like the last ones needs none of the three (``shortcut``). It never raises for what an upstream
sent: what was understood before a fault is still delivered, and the fault itself becomes the stream's last event.
A known event of an unreadable shape keeps its exception as the error's cause, because it may be our bug; anything
else that escapes is one.

After ``done`` nothing more is said, whatever comes. An answer that is told as one piece is held until it ends,
so it has a bound; one that streams has none.
"""

from __future__ import annotations

from attrs import define, field

from translators.errors import GatewayError, UpstreamIncomplete, UpstreamMalformed
from translators.events import Event, Failed
from translators.framing.base import MAX_BODY, Frame, Framing, Reader
from translators.surfaces.base import Surface
from translators.upstreams.base import Upstream

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)

MANY = 8
"""Events before a shortcut is asked for: making one costs what it saves in five, and many answers are short."""


def _unheard(event: Event) -> None:
    """What is said to nobody."""


@define(eq=False)
class Stream:
    framing: Framing
    upstream: Upstream
    surface: Surface
    failure: GatewayError | None = None
    done: bool = False
    received: int = 0
    """Bytes that the upstream has sent; kept here because the log line wants it and nothing else counts."""
    _shortcut: Reader | None = field(default=None, init=False)
    """Reads words, until anything else comes."""
    _waited: int = field(default=0, init=False)
    """Events since a shortcut was asked for."""

    def feed(self, data: bytes) -> bytes:
        received = self.received + len(data)
        if self._shortcut is not None:
            texts = self._shortcut.read(data)
            if texts is not None and (received <= MAX_BODY or self.surface.streams):
                self.received = received
                self.upstream.heard(texts)
                return self.surface.words(texts)
        if self.done:
            return b""
        self.received = received
        framing, upstream = self.framing, self.upstream
        events: list[Event] = []
        emit = events.append
        try:
            for name, payload in framing.feed(data):
                upstream.translate(name, payload, emit)
                if upstream.done:
                    break
        except GatewayError as error:
            upstream.fail(error, emit)
        except UNREADABLE as error:
            malformed = UpstreamMalformed("The upstream sent an event that cannot be read.")
            malformed.__cause__ = error
            upstream.fail(malformed, emit)
        if framing.fault is not None or upstream.done:
            self._settle(framing.fault, events)
        elif received > MAX_BODY and not self.surface.streams:
            self._settle(UpstreamMalformed(f"The upstream sent an answer of over {MAX_BODY} bytes."), events)
        else:
            self._shortcut = None
            self._waited += len(events)
            if self._waited >= MANY:
                self._waited = 0
                self._shortcut = framing.shortcut(data, upstream.template)
        return self.surface.render(events) if events else b""

    def close(self) -> bytes:
        """The body ended cleanly: the rest of it is read, and the answer is judged complete or not."""
        if self.done:
            return b""
        events: list[Event] = []
        try:
            self._rest(self.framing.close(), events)
        except GatewayError as error:
            self.upstream.fail(error, events.append)
        except UNREADABLE as error:
            cut = UpstreamIncomplete("The upstream stopped in the middle of an event.")
            cut.__cause__ = error
            self.upstream.fail(cut, events.append)
        self._settle(self.framing.fault, events)
        return self.surface.render(events)

    def fail(self, error: GatewayError) -> bytes:
        """Something outside the bytes ended the stream: a timeout, a reset, a shutdown."""
        if self.done:
            return b""
        events: list[Event] = [Failed(error)]
        self._settle(None, events)
        return self.surface.render(events)

    def overhear(self, data: bytes) -> bool:
        """The upstream learns from what comes after the end, nobody is told. Whether it could be read."""
        try:
            for name, payload in self.framing.feed(data):
                self.upstream.translate(name, payload, _unheard)
        except (GatewayError, *UNREADABLE):
            return False
        return self.framing.fault is None

    def begin(self) -> bytes:
        """What can be said before the upstream has said anything."""
        return self.surface.begin()

    def _rest(self, frames: list[Frame], events: list[Event]) -> None:
        for name, payload in frames:
            self.upstream.translate(name, payload, events.append)
            if self.upstream.done:
                return
        if self.framing.fault is None:
            self.upstream.eof(events.append)

    def _settle(self, fault: GatewayError | None, events: list[Event]) -> None:
        if fault is not None and not self.upstream.done:
            self.upstream.fail(fault, events.append)
        self.done = self.upstream.done = True
        self._shortcut = None
        last = events[-1]
        if type(last) is Failed:
            self.failure = last.error
