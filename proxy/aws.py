"""The way to Amazon's services: an ``AwsIdentity`` carried out.

Each service has an address of its own, found on its first use, as are the region and, for all of them, the keys.
The requests themselves go out over the same wires as everybody's, signed here. The signature covers the path and
the host exactly as they are sent, so both are settled here: the wire joins the path to its address as this does,
and is told the host. A call that brings an authorization of its own is not signed, nor is any where the operator
configured one: runtimes of AgentCore may want a bearer token.

An agent is never run twice by accident: a question that went out on a connection which turned out to be dead may
have been heard, so that is not said to be safe to repeat. Amazon closes idle connections after some twenty seconds;
ours are given up well before, which keeps this rare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from attrs import define, field
from yarl import URL

from proxy.aws_credentials import NO_ADDRESS, PATIENCE, Aside, AwsTools, KeyRing
from proxy.flights import Flights
from proxy.wire.base import Answer, Wire
from proxy.wire.target import target
from translators.errors import Internal, UpstreamDisconnected, UpstreamNotReady, UpstreamStale
from translators.sigv4 import Keys, Scope, Stamp, signing_key
from translators.upstreams.plan import AwsIdentity, Call

KEEP = 12.0
"""Seconds that an idle connection is kept."""
FORBIDDEN = 403
REFUSED_KEYS = {"ExpiredTokenException", "UnrecognizedClientException"}


class MakeWire(Protocol):
    def __call__(self, address: str, keep: float = ...) -> Wire:
        """A wire to the address; it keeps idle connections for so many seconds, if somebody minds."""
        ...


@define(eq=False)
class AwsWire:
    identity: AwsIdentity
    base_url: str
    """Where all services are; empty where each is at its own address."""
    make: MakeWire
    shared: Mapping[str, str]
    """Headers that the wires send with every request."""
    clock: Callable[[], float] = time.time
    _tools: AwsTools = field(init=False)
    _aside: Aside = field(factory=Aside, init=False)
    _ring: KeyRing = field(init=False)
    _services: dict[str, Service] = field(factory=dict, init=False)
    _flights: Flights = field(factory=Flights, init=False)
    _authorized: bool = field(init=False)
    """Whether the shared headers bring an authorization."""

    @_tools.default
    def _own_tools(self) -> AwsTools:
        return AwsTools(self.identity)

    @_ring.default
    def _own_ring(self) -> KeyRing:
        return KeyRing(self._tools, self._aside, self.clock)

    @_authorized.default
    def _by_the_operator(self) -> bool:
        return _brings_authorization(self.shared)

    async def send(self, call: Call) -> Answer:
        name = call.service or self.identity.service
        service = self._services.get(name)
        if service is None:
            service = await self._flights.join(name, partial(self._find, name))
        keys = None
        if not (self._authorized or (call.headers and _brings_authorization(call.headers))):
            keys = await self._ring.keys(service.region)
            call = service.signed(call, keys, self.clock())
        try:
            answer = await service.wire.send(call)
        except UpstreamStale as error:
            raise UpstreamDisconnected(error.message, detail=error.detail) from error
        if answer.status == FORBIDDEN and keys is not None and _error_type(answer) in REFUSED_KEYS:
            self._ring.refused(keys)
        return answer

    async def close(self) -> None:
        self._aside.close()
        for service in self._services.values():
            await service.wire.close()

    async def _find(self, name: str) -> Service:
        service = self._services[name] = await self._aside.do(PATIENCE, self._open, name)
        return service

    def _open(self, name: str) -> Service:
        """In the thread, for making a wire loads certificates."""
        region = self._tools.region()
        address = self.base_url or self._tools.address(name, region)
        base = URL(f"{address.rstrip('/')}/")
        if base.scheme not in ("http", "https") or not base.raw_host:
            raise UpstreamNotReady(NO_ADDRESS)
        signing_name = self.identity.signing_names.get(name, name)
        return Service(self.make(address, KEEP), base, region, signing_name, self.shared)


@define(eq=False)
class Service:
    """One service: the wire to it, and what signs requests for it."""

    wire: Wire
    base: URL
    region: str
    signing_name: str
    shared: Mapping[str, str]
    _always: dict[str, str] = field(init=False)
    """Headers that are in every signature."""
    _day: tuple[str, str, bytes] = field(default=("", "", b""), init=False)
    """A day, a secret and the key that the two make."""
    _moment: tuple[int, Keys | None] = field(default=(0, None), init=False)
    _stamp: Stamp = field(init=False)
    """For calls without headers of their own, at that moment and with these keys."""

    @_always.default
    def _of_every_request(self) -> dict[str, str]:
        port = "" if self.base.is_default_port() else f":{self.base.port}"
        return {"host": f"{self.base.host_subcomponent}{port}", **_to_sign(self.shared)}

    def signed(self, call: Call, keys: Keys, now: float) -> Call:
        own, host, second = call.headers, self._always["host"], int(now)
        if own:
            headers = {**self._always, **_to_sign(own)}
            stamp, host = self._made(keys, second, headers), headers["host"]
        elif self._moment == (second, keys):
            stamp = self._stamp
        else:
            stamp = self._stamp = self._made(keys, second, self._always)
            self._moment = (second, keys)
        led = target(self.base, call.path)
        if led != self.base.raw_path + call.path:
            raise Internal("A path for the upstream leads elsewhere.")  # steps of it are dots
        all_headers = {**own, "Host": host, **stamp.sign(call.method, led, call.body)}
        return Call(call.method, call.path, call.body, all_headers, call.service, call.longest)

    def _made(self, keys: Keys, second: int, headers: Mapping[str, str]) -> Stamp:
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        date, secret, key = self._day
        scope = Scope(at[:8], self.region, self.signing_name)
        if (date, secret) != (scope.date, keys.secret_key):
            key = signing_key(keys.secret_key, scope)
            self._day = (scope.date, keys.secret_key, key)
        return Stamp.of(keys, key, scope, at, headers)


def _to_sign(headers: Mapping[str, str]) -> dict[str, str]:
    """By lower-case names, those that have to be in a signature if they are sent."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in lower.items()
        if name in ("content-type", "host") or name.startswith("x-amz")
    }


def _brings_authorization(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "authorization" for name in headers)


def _error_type(answer: Answer) -> str:
    """A URL may follow the name after a colon."""
    return answer.headers.get("x-amzn-ErrorType", "").partition(":")[0]
