"""Who asks, as far as a platform is told.

Most kinds of upstream want to know nothing, and for these nothing is read. A kind that hears certain headers gets
these and no others; the client's key goes only to an upstream that is configured to pass it on, and everybody
else gets a digest of it, which is the same for the same key. What is handed on can stand in a header or in a
path's query: anything but printable ASCII is refused at the door.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from attrs import frozen

from proxy.config import Upstream as UpstreamConfig
from translators.errors import BadRequest, Unauthenticated
from translators.upstreams.base import Upstream
from translators.upstreams.plan import Caller

_PRINTABLE = re.compile(r"[ -~]{1,1024}", re.ASCII)
_KEY = re.compile(r"[!-~]{1,4096}", re.ASCII)
_NOTHING: Mapping[str, str] = {}
_DIGEST = 16  # bytes: nobody finds two keys with the same


def key_of(headers: Mapping[str, str]) -> str:
    """The bearer token that a request carries; empty without one."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def owner_of(headers: Mapping[str, str]) -> str:
    key = key_of(headers)
    if not key:
        return ""
    return hashlib.blake2b(
        key.encode("utf-8", "surrogateescape"), digest_size=_DIGEST, person=b"deltawire owner"
    ).hexdigest()


def has_key(upstream: UpstreamConfig) -> bool:
    """Whether the gateway has a credential of its own for it, wherever it is configured."""
    return upstream.api_key is not None or any(name.lower() == "authorization" for name in upstream.headers)


@frozen
class Ears:
    """What of a request one kind of upstream, with these settings, wants to know."""

    names: frozenset[str]
    passes_on: bool

    @classmethod
    def of(cls, kind: type[Upstream], options: object, has_key: bool) -> Ears | None:
        """None for a kind to which all callers are alike. A setting that is left open passes the client's key on
        where the gateway ``has no key of its own."""
        chosen = getattr(options, "pass_through", False)
        passes_on = not has_key if chosen is None else bool(chosen)
        plans = kind.prepare is not Upstream.prepare or kind.settle is not Upstream.settle
        return cls(kind.hears, passes_on) if passes_on or plans or kind.hears else None

    def caller(self, headers: Mapping[str, str]) -> Caller:
        heard = {name: value for name in self.names if (value := headers.get(name, "").strip())} or _NOTHING
        for name, value in heard.items():
            if not _PRINTABLE.fullmatch(value):
                raise BadRequest(f"The header {name} must be at most 1024 printable ASCII characters.")
        key = self._key(headers) if self.passes_on else ""
        return Caller(owner_of(headers), heard, key, self.passes_on)

    def _key(self, headers: Mapping[str, str]) -> str:
        key = key_of(headers)
        if key and not _KEY.fullmatch(key):
            raise Unauthenticated("Incorrect API key provided.")
        return key
