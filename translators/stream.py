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
from translators.events import Event, Failed, Text
from translators.framing.base import MAX_BODY, Frame, Framing, Reader
from translators.surfaces.base import Surface
from translators.upstreams.base import Upstream

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)

MANY = 8
"""Events before a shortcut is asked for: to make one costs what it saves in five, and many answers are brief."""
ROUNDS = 16
"""How often words are looked for in one read."""
LONG = 4096
"""Bytes of a read in which it pays to meet words again, after what made them forgotten."""
SHORT = 1024
"""Bytes of it in which they can be met."""


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
    _told: int = field(default=0, init=False)
    """Events, until there is a shortcut."""

    def feed(self, data: bytes) -> bytes:
        shortcut, received = self._shortcut, self.received + len(data)
        if shortcut is None or (received > MAX_BODY and not self.surface.streams):
            return self._feed(data)
        texts, end = shortcut.read(data)
        if texts is None or end < len(data):
            return self._feed_mixed(data, texts, end)
        self.received = received
        self.upstream.heard(texts)
        return self.surface.words(texts)

    def _feed_mixed(self, data: bytes, texts: list[bytes] | None, end: int) -> bytes:
        """What has something else before, between or after the words, or no words."""
        received = self.received + len(data)
        out: list[bytes] = []
        rounds = ROUNDS
        while True:
            if texts is None:
                out.append(self._feed(data[:end]))
            else:
                self.received += end
                self.upstream.heard(texts)
                out.append(self.surface.words(texts))
            data = data[end:]
            if not data:
                break
            rounds -= 1
            if rounds and self._shortcut is not None:
                texts, end = self._shortcut.read(data)
            else:  # words may have to be met again before they can be read
                texts, end = None, SHORT if rounds and len(data) > LONG else len(data)
        self.received = received  # even if the answer ended before
        return b"".join(out)

    def _feed(self, data: bytes) -> bytes:
        if self.done:
            return b""
        self.received += len(data)
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
        elif self.received > MAX_BODY and not self.surface.streams:
            self._settle(UpstreamMalformed(f"The upstream sent an answer of over {MAX_BODY} bytes."), events)
        else:
            self._told += len(events)
            if self._shortcut or (self._told >= MANY and events and type(events[-1]) is Text):
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
