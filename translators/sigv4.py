"""Amazon's Signature Version 4: a request's parts to the headers that make it a signed one.

What is signed is a canonical form of the request: method, path, query, chosen headers and the hash of the body. The
path is the one on the wire, percent signs and all, and it is percent-encoded once more, for every service but S3:
``%3A`` is signed as ``%253A``, so whoever sends the request must send exactly this path. The time is text and comes
from outside, like the key that is derived from the secret: it is the same for a day, a region and a service, so
whoever keeps it saves four of the five HMACs of a signature. Nearly all the rest is the same for a second, and
can be kept as a ``Stamp``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256

from attrs import field, frozen

ALGORITHM = "AWS4-HMAC-SHA256"

_TO_QUOTE = re.compile(r"[^A-Za-z0-9\-._~/]")
_ODD = re.compile(r"//|/\.")
"""Where a path may have something in it that is no step from one segment to the next."""


@frozen
class Keys:
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    """Comes with temporary keys."""


@frozen
class Scope:
    """What a signing key is good for."""

    date: str
    """Eight digits."""
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def signing_key(secret_key: str, scope: Scope) -> bytes:
    key = b"AWS4" + secret_key.encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@frozen(repr=False)
class Stamp:
    """A signature but for the request: what all requests with the same headers share for a second.

    There is a secret in nearly everything of it.
    """

    own: Mapping[str, str]
    """What has to be sent beside the headers that are signed, and the signature."""
    _headers: str
    """Their part of the canonical request."""
    _before: str
    """What is signed before the digest of the request."""
    _authorization: str
    _key: bytes

    @classmethod
    def of(cls, keys: Keys, key: bytes, scope: Scope, time: str, headers: Mapping[str, str]) -> Stamp:
        """``headers`` are those to sign, under their lower-case names; ``time`` reads 20260102T030405Z."""
        own = {"X-Amz-Date": time}
        signed = {**headers, "x-amz-date": time}
        if keys.session_token:
            own["X-Amz-Security-Token"] = signed["x-amz-security-token"] = keys.session_token
        order = sorted(signed)
        lines, names = [f"{name}:{' '.join(signed[name].split())}" for name in order], ";".join(order)
        return cls(
            own,
            "\n".join((*lines, "", names)),
            f"{ALGORITHM}\n{time}\n{scope}\n",
            f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature=",
            key,
        )

    def sign(self, method: str, target: str, body: bytes) -> dict[str, str]:
        """What has to be sent beside the headers. ``target`` is the path and query as they will be sent."""
        path, _, query = target.partition("?")
        order = canonical_query(query) if query else ""
        request = f"{method}\n{canonical_path(path)}\n{order}\n{self._headers}\n{sha256(body).hexdigest()}"
        to_sign = self._before + sha256(request.encode()).hexdigest()
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        return {**self.own, "Authorization": self._authorization + signature}


def canonical_path(path: str) -> str:
    """Without empty segments, ``.`` and ``..``, and quoted once more than it is."""
    if _ODD.search(path):
        path = _straight(path)
    return _TO_QUOTE.sub(_quoted, path) or "/"


def canonical_query(query: str) -> str:
    """In the order of names and values; they are encoded already, and not once more."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _straight(path: str) -> str:
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return f"/{'/'.join(segments)}{'/' if segments and path.endswith('/') else ''}"


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode())
