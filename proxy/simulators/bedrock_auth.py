"""Is a request signed by somebody we know? Signature Version 4, worked out again from the bytes that came.

Nothing here is shared with what signs: target, headers and body are taken as they were received, and the signature
is computed from them alone. The path is percent-encoded once more, as every service but S3 does it, after empty and
dot segments are gone. AWS says no to all of it with 403; which no is a name from bedrock_faults.py.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

from proxy.simulators.bedrock_faults import Fault

SKEW = 300.0
"""Seconds a clock may be wrong."""
_ALGORITHM = "AWS4-HMAC-SHA256"
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@frozen
class Keys:
    """What one caller signs with."""

    access_key: str
    secret_key: str
    session_token: str = ""
    """Temporary keys have one."""
    expires_at: float | None = None


@frozen
class Received:
    """A request as it came."""

    method: str
    target: str
    """Path and query, percent signs included."""
    headers: Sequence[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name]

    def one(self, name: str) -> str:
        """The only header of that name; two of them would be two opinions."""
        found = self.all(name)
        return found[0] if len(found) == 1 else ""


@frozen
class _Claim:
    """What an Authorization header says."""

    access_key: str
    scope: tuple[str, ...]
    signed: tuple[str, ...]
    signature: str


def verify(
    request: Received, keys: Mapping[str, Keys], *, region: str, service: str, now: float, skew: float = SKEW
) -> Keys:
    """Whose signature it is; a ``Fault`` if nobody's."""
    claim = _claim(request)
    known = keys.get(claim.access_key)
    if known is None or not _same(request.one("x-amz-security-token"), known.session_token):
        raise Fault("unrecognizedClientException", "The security token included in the request is invalid.")
    if known.expires_at is not None and now >= known.expires_at:
        raise Fault("expiredTokenException", "The security token included in the request is expired")
    stamp = request.one("x-amz-date")
    _check_stamp(stamp, now, skew)
    _check_scope(claim.scope, (stamp[:8], region, service))
    if not _same(claim.signature, signature(request, claim.signed, claim.scope, stamp, known.secret_key)):
        raise _wrong(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method."
        )
    return known


def _wrong(message: str) -> Fault:
    return Fault("invalidSignatureException", message)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _claim(request: Received) -> _Claim:
    given = request.all("authorization")
    if len(given) != 1 or not given[0]:
        raise Fault("missingAuthenticationTokenException", "Missing Authentication Token")
    algorithm, _, rest = given[0].partition(" ")
    if algorithm != _ALGORITHM:
        raise Fault(
            "incompleteSignatureException", f"Unsupported algorithm in the Authorization header: {algorithm}"
        )
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise Fault("incompleteSignatureException", f"Authorization header requires '{name}' parameter.")
    access_key, *scope = parts["Credential"].split("/")
    if len(scope) != 4:
        raise Fault(
            "incompleteSignatureException", "Credential must have exactly 5 slash-delimited elements."
        )
    signed = tuple(parts["SignedHeaders"].split(";"))
    _check_signed(request, signed)
    return _Claim(access_key, tuple(scope), signed, parts["Signature"])


def _check_signed(request: Received, signed: tuple[str, ...]) -> None:
    if list(signed) != sorted(set(signed)) or any(name != name.lower() for name in signed):
        raise Fault(
            "incompleteSignatureException",
            "SignedHeaders must be sorted, in lower case and without repetition.",
        )
    must = {"host", "x-amz-date"} | {
        name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")
    }
    if unsigned := sorted(must - set(signed)):
        raise _wrong(f"'{unsigned[0]}' must be a 'SignedHeader' in the AWS Authorization.")
    for name in signed:
        if not request.all(name):
            raise _wrong(f"The signed header '{name}' is not in the request.")


def _check_stamp(stamp: str, now: float, skew: float) -> None:
    if _STAMP.fullmatch(stamp) is None:
        raise Fault("incompleteSignatureException", "Date must be in ISO-8601 'basic format'.")
    try:
        then = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Fault("incompleteSignatureException", "Date must be in ISO-8601 'basic format'.") from None
    if abs(now - then) > skew:
        current = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        word = "expired" if then < now else "not yet current"
        raise _wrong(f"Signature {word}: {stamp} is too far from {current}")


def _check_scope(scope: tuple[str, ...], wanted: tuple[str, str, str]) -> None:
    for given, right, noun in zip(
        scope, (*wanted, "aws4_request"), ("date", "region", "service", "end"), strict=True
    ):
        if given != right:
            raise _wrong(f"Credential should be scoped to a valid {noun}: '{given}' is not '{right}'.")


# The signature.


def signature(
    request: Received, signed: Sequence[str], scope: Sequence[str], stamp: str, secret_key: str
) -> str:
    canonical = canonical_request(request, signed).encode("utf-8", "surrogateescape")
    said = "\n".join((_ALGORITHM, stamp, "/".join(scope), hashlib.sha256(canonical).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for part in scope:
        key = _hmac(key, part)
    return _hmac(key, said).hex()


def canonical_request(request: Received, signed: Sequence[str]) -> str:
    path, _, query = request.target.partition("?")
    headers = [f"{name}:{','.join(_trimmed(value) for value in request.all(name))}\n" for name in signed]
    return "\n".join(
        (
            request.method,
            canonical_path(path),
            canonical_query(query),
            "".join(headers),
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def canonical_path(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(quote(segment, safe=""))
    end = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + end


def canonical_query(query: str) -> str:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    return "&".join(f"{name}={value}" for name, value in sorted((_again(n), _again(v)) for n, v in pairs))


def _again(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="")


def _trimmed(value: str) -> str:
    return " ".join(value.split())


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def received(method: str, target: str, raw_headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Received:
    """From what aiohttp read of the wire."""
    headers = [
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in raw_headers
    ]
    return Received(method, target, headers, body)


def bearer_of(headers: Mapping[str, Any]) -> str | None:
    """The token of a caller who does not sign."""
    scheme, _, token = str(headers.get("Authorization", "")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
