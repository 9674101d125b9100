"""Where the bytes of one stream are, counted layer by layer while nothing moves.

Upstream side: what the upstream's kernel has accepted less what the gateway has read is in kernel buffers between
the two, whose size the kernel chooses. Inside: what aiohttp has parsed and nobody has taken, and what waits in
the client's transport. Client side: the kernel's send queue. The last three are what the gateway answers for.
"""

from __future__ import annotations

import fcntl
import struct
import termios

from attrs import frozen

from proxy.outlet import HttpOutlet
from proxy.relay import Relay
from proxy.wire.connection import Incoming
from proxy.wire.reference import ReferenceBody
from tests.support.gateway import GatewayThread


@frozen
class Held:
    """Bytes held for one stream."""

    parsed: int
    outgoing: int
    sending: int
    received: int
    """Bytes of the upstream's body that were understood."""

    @property
    def gateway(self) -> int:
        return self.parsed + self.outgoing + self.sending


def held(gateway: GatewayThread) -> list[Held]:
    """For each answer that has begun and whose upstream has not ended it."""

    async def count() -> list[Held]:
        relays = gateway.serving.gateway._sweep.all()
        return [_of(relay) for relay in relays if isinstance(relay, Relay) and relay._pumping and relay._body]

    return gateway.call(count)


def _of(relay: Relay) -> Held:
    outlet, body = relay._outlet, relay._body
    assert isinstance(outlet, HttpOutlet) and isinstance(body, (Incoming, ReferenceBody))
    assert outlet._transport is not None
    unread = (
        body._waiting
        if isinstance(body, Incoming)
        else body.response.content.total_bytes - relay.stream.received
    )
    number = outlet._transport.get_extra_info("socket").fileno()
    sending = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, b"\0" * 4))[0]
    return Held(unread, outlet.waiting, sending, relay.stream.received)
