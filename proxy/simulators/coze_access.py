"""Who may ask the Coze stand-in, and for what: personal tokens, and tokens that an OAuth app gets for a signed JWT.

The token endpoint is strict: RS256 by a key it knows, the app as issuer, this host as audience, not expired, and
each JWT once. Its answer has no envelope, and ``expires_in`` is a time, not a duration. A token may be limited to
permission points and, by the scope of the request for it, to bots.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web
from attrs import Factory, define, field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from proxy.simulators import coze_checks as checks
from proxy.simulators import coze_replies as replies
from proxy.simulators.coze_state import keep
from translators import wirejson

TOKEN_PATH = "/api/permission/oauth2/token"  # noqa: S105
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DURATION = 900
_LEEWAY = 60


@frozen
class OAuthApp:
    """An app of the kind "service", and the public half of its key."""

    id: str
    key_id: str
    public_key: str
    """PEM."""


@frozen
class Access:
    """What a token opens."""

    owner: str
    """The account, or for an app's token the app and the end user."""
    permissions: frozenset[str] | None = None
    """Permission points; None is all."""
    bots: frozenset[str] | None = None
    expires: float = float("inf")

    def check(self, permission: str) -> None:
        if permission and self.permissions is not None and permission not in self.permissions:
            raise replies.forbidden(f"The token has no permission {permission}.")

    def check_bot(self, bot_id: str) -> None:
        if self.bots is not None and bot_id not in self.bots:
            raise replies.forbidden(f"The token has no permission for bot {bot_id}.")


ACCESS = web.RequestKey("access", Access)


class Refused(Exception):
    """The token endpoint says no."""

    def __init__(self, message: str, status: int = 401, code: str = "access_denied") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error_code": code, "error_message": message, "error": code}


@define(eq=False)
class Accesses:
    clock: Callable[[], float]
    apps: Mapping[str, OAuthApp]
    """By key id."""
    tokens: dict[str, Access]
    _used: dict[str, bool] = Factory(dict)
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))

    def of(self, authorization: str) -> Access:
        scheme, _, token = authorization.partition(" ")
        access = self.tokens.get(token) if scheme == "Bearer" else None
        if access is None:
            raise replies.unknown_token()
        if access.expires <= self.clock():
            raise replies.unknown_token("the access token has expired")
        return access

    def issue(self, authorization: str, host: str, given: Any) -> dict[str, Any]:
        """A token for the JWT in ``authorization``, as the body of the answer."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            raise Refused("the authorization header must be Bearer and a JWT")
        claims = self._claims(token, host)
        try:
            asked = checks.body(given, checks.TOKEN, "grant_type")
        except replies.Fault as fault:
            raise Refused(fault.msg, 400, "invalid_request") from None
        if asked["grant_type"] != GRANT:
            raise Refused("this grant type is not supported", 400, "unsupported_grant_type")
        expires = int(self.clock()) + asked.get("duration_seconds", _DURATION)
        issued = f"czs_standin{next(self._numbers):032d}"
        keep(self.tokens, issued, _scoped(claims, asked.get("scope") or {}, expires))
        return {"access_token": issued, "expires_in": expires, "token_type": "Bearer"}

    def _claims(self, token: str, host: str) -> Mapping[str, Any]:
        try:
            head, payload, signature = token.split(".")
            header, claims = wirejson.loads(_decoded(head)), wirejson.loads(_decoded(payload))
            signed = _decoded(signature)
        except ValueError:
            raise Refused("the JWT cannot be read") from None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise Refused("the JWT cannot be read")
        if header.get("alg") != "RS256" or header.get("typ") != "JWT":
            raise Refused("the JWT must be of type JWT and signed with RS256")
        app = self.apps.get(str(header.get("kid")))
        if app is None:
            raise Refused("the public key of the JWT is not known")
        _verify(app, f"{head}.{payload}".encode(), signed)
        self._accept(app, claims, host)
        return claims

    def _accept(self, app: OAuthApp, claims: Mapping[str, Any], host: str) -> None:
        now, jti = self.clock(), claims.get("jti")
        if claims.get("iss") != app.id:
            raise Refused("the issuer of the JWT is not the app of its key")
        if claims.get("aud") not in (host, host.partition(":")[0]):
            raise Refused("the audience of the JWT is not this host")
        if not _is_time(claims.get("exp")) or claims["exp"] <= now:
            raise Refused("the JWT has expired")
        if not _is_time(claims.get("iat")) or claims["iat"] > now + _LEEWAY:
            raise Refused("the JWT was not issued yet")
        if not isinstance(jti, str) or not jti:
            raise Refused("the JWT has no jti")
        if jti in self._used:
            raise Refused("the JWT was used before")
        keep(self._used, jti, True)


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _verify(app: OAuthApp, text: bytes, signature: bytes) -> None:
    key = load_pem_public_key(app.public_key.encode())
    assert isinstance(key, RSAPublicKey)
    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise Refused("the signature of the JWT is wrong") from None


def _scoped(claims: Mapping[str, Any], scope: Mapping[str, Any], expires: int) -> Access:
    session = claims.get("session_name")
    owner = f"{claims['iss']}/{session}" if session else str(claims["iss"])
    limits = scope.get("attribute_constraint") or {}
    bots = (limits.get("connector_bot_chat_attribute") or {}).get("bot_id_list")
    return Access(owner, None, None if bots is None else frozenset(bots), expires)


ACCESSES = web.AppKey("accesses", Accesses)


async def token(request: web.Request) -> web.StreamResponse:
    try:
        given = wirejson.loads(await request.read())
    except ValueError:
        given = None
    try:
        issued = request.app[ACCESSES].issue(request.headers.get("Authorization", ""), request.host, given)
    except Refused as refusal:
        return replies.plain(request, refusal.body, refusal.status)
    return replies.plain(request, issued)
