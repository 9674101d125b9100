"""Credentials that are more than a header which never changes.

A kind of upstream says with which ``Credential`` it wants its calls signed, as data; ``wire_to`` makes the way to
it that this takes. ``SignedWire`` is a wire whose calls a ``Signer`` signs before they go out, on whatever errand,
so nobody who sends one has to think of it. A call that brings an authorization of its own, a client's key passed
on, keeps it.

``JwtSigner`` follows RFC 7523: a short assertion signed with the private key is exchanged for a token, which serves
until a minute before it ends. Each assertion is good for one exchange, so each is new, and many calls at once
cause one exchange.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Protocol

from attrs import define, evolve, field

from proxy.aws import AwsWire, MakeWire
from proxy.errands import fetch
from proxy.flights import Flights
from proxy.wire.base import Answer, Wire
from translators import wirejson
from translators.errors import GatewayError, UpstreamAuthFailed, UpstreamOverloaded
from translators.excerpt import clean_bytes
from translators.upstreams.plan import AwsIdentity, Call, Credential, JwtGrant, Reply

EARLY = 60.0
"""Seconds before its end that a token is renewed."""
ASSERTION = 300
"""Seconds that an assertion is good for."""
PATIENCE = 30.0
"""Seconds that an exchange may take."""
BUSY = 429
_LONGEST_DURATION = 10 * 365 * 86400
"""A larger ``expires_in`` is a point in time: some servers answer with one where the standard wants a duration."""
_TOKEN = re.compile(r"[!-~]{1,8192}", re.ASCII)


class Signer(Protocol):
    async def sign(self, call: Call) -> Call:
        """Raises GatewayError."""
        ...


@define(eq=False)
class SignedWire:
    wire: Wire
    signer: Signer

    async def send(self, call: Call) -> Answer:
        return await self.wire.send(await self.signer.sign(call))

    async def close(self) -> None:
        await self.wire.close()


def wire_to(
    base_url: str,
    shared: Mapping[str, str],
    credential: Credential | None,
    make: MakeWire,
    clock: Callable[[], float],
) -> Wire | None:
    """The way to an upstream, over wires that ``make`` makes and that send the ``shared`` headers.

    None for one that has neither an address nor a credential that finds it: it answers in this process.
    """
    return _WIRES[type(credential)](base_url, shared, credential, make, clock)


@define(eq=False)
class JwtSigner:
    grant: JwtGrant
    wire: Wire
    clock: Callable[[], float] = time.time
    nonce: Callable[[], str] = field(default=lambda: os.urandom(32).hex())
    _token: str = field(default="", init=False)
    _ends: float = field(default=0.0, init=False)
    _flights: Flights = field(factory=Flights, init=False)

    async def sign(self, call: Call) -> Call:
        if any(name.lower() == "authorization" for name in call.headers):
            return call
        return evolve(call, headers={**call.headers, "Authorization": f"Bearer {await self._current()}"})

    async def _current(self) -> str:
        if self.clock() >= self._ends - EARLY:
            try:
                await self._flights.join("token", self._renew)
            except GatewayError:
                if self.clock() >= self._ends:
                    raise
        return self._token

    async def _renew(self) -> None:
        grant = self.grant
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "duration_seconds": grant.seconds,
        }
        bearer = {"Authorization": f"Bearer {self._assertion()}"}
        reply = await fetch(
            self.wire, Call("POST", grant.token_path, wirejson.dumps(wanted), bearer), PATIENCE
        )
        self._token, self._ends = self._read(reply)

    def _assertion(self) -> str:
        grant, now = self.grant, int(self.clock())
        head = {"alg": "RS256", "typ": "JWT", "kid": grant.key_id}
        claims: dict[str, Any] = {
            "iss": grant.issuer,
            "aud": grant.audience,
            "iat": now,
            "exp": now + ASSERTION,
            "jti": self.nonce(),
        }
        if grant.session:
            claims["session_name"] = grant.session
        text = f"{_base64url(wirejson.dumps(head))}.{_base64url(wirejson.dumps(claims))}"
        return f"{text}.{_base64url(_rs256(grant.private_key, text.encode()))}"

    def _read(self, reply: Reply) -> tuple[str, float]:
        if reply.status == BUSY or reply.status >= 500:
            raise UpstreamOverloaded(
                f"The upstream gives out no token now (HTTP {reply.status}).", detail=clean_bytes(reply.body)
            )
        try:
            document = wirejson.loads(reply.body)
            token, expires_in = (
                document["access_token"],
                float(document.get("expires_in", self.grant.seconds)),
            )
            readable = bool(_TOKEN.fullmatch(token)) and expires_in > 0
        except (ValueError, LookupError, TypeError, AttributeError):
            readable = False
        if reply.status != 200 or not readable:
            raise UpstreamAuthFailed(
                f"The upstream refused to give the gateway a token (HTTP {reply.status}).",
                detail=clean_bytes(reply.body),
            )
        return token, expires_in if expires_in > _LONGEST_DURATION else self.clock() + expires_in


def _rs256(private_key: str, text: bytes) -> bytes:
    # Imported where it is needed: it takes longer to load than the rest of the gateway.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # what cannot be read may still be a secret, so nothing of the reason is repeated
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UpstreamAuthFailed("The gateway's private key for this upstream is not an RSA key in PEM form.")
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _plain(base_url: str, shared: object, credential: object, make: MakeWire, clock: object) -> Wire | None:
    return make(base_url) if base_url else None


def _with_token(
    base_url: str, shared: object, grant: JwtGrant, make: MakeWire, clock: Callable[[], float]
) -> Wire | None:
    if not base_url:
        return None
    wire = make(base_url)
    return SignedWire(wire, JwtSigner(grant, wire, clock))


def _to_amazon(
    base_url: str,
    shared: Mapping[str, str],
    identity: AwsIdentity,
    make: MakeWire,
    clock: Callable[[], float],
) -> Wire:
    return AwsWire(identity, base_url, make, shared, clock)


_WIRES: dict[type[Credential | None], Callable[..., Wire | None]] = {
    NoneType: _plain,
    JwtGrant: _with_token,
    AwsIdentity: _to_amazon,
}
"""What each kind of credential makes of the way."""
