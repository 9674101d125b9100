"""Who is compared with whom: from flags and environment to two endpoints.

The left side is the one to be like: what the flags say, or OpenAI as the official clients find it in the
environment, or the stand-in that is built in. The right side is a gateway: what the flags say, or the one on this
machine, or one that is built in, where the left side is as well. The key in OPENAI_API_KEY goes to the address that
the environment names, or to OpenAI, and never to an address from a flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from attrs import frozen

from proxy.compare.result import Endpoint

OPENAI = "https://api.openai.com/v1"
GATEWAY = "http://127.0.0.1:3000/v1"
MODEL = "gpt-4o-mini"
_CHAT = "/chat/completions"


class Mistake(ValueError):
    """The flags or the environment do not say whom to ask."""


@frozen
class Wanted:
    """One side as the flags name it."""

    url: str | None = None
    model: str | None = None
    key: str | None = None


def endpoints(
    left: Wanted, right: Wanted, model: str | None, environ: Mapping[str, str]
) -> tuple[Endpoint, Endpoint]:
    """The two sides; one that is built in has no URL yet."""
    one = _left(left, model, environ)
    return one, _right(right, model, one)


def _left(wanted: Wanted, model: str | None, environ: Mapping[str, str]) -> Endpoint:
    name = wanted.model or model
    if wanted.url is not None:
        if not name:
            raise Mistake("--left needs --left-model or --model")
        return Endpoint("left", address(wanted.url), name, _key(wanted.key))
    key, base = wanted.key or environ.get("OPENAI_API_KEY"), environ.get("OPENAI_BASE_URL")
    if key or base:
        return Endpoint("left", address(base) if base else OPENAI, name or MODEL, _key(key))
    if wanted.model:
        raise Mistake("--left-model needs --left, OPENAI_API_KEY or OPENAI_BASE_URL")
    return Endpoint("left", "", MODEL, about="the built-in stand-in")


def _right(wanted: Wanted, model: str | None, left: Endpoint) -> Endpoint:
    name = wanted.model or model
    if wanted.url is None and not left.url and not name:
        return Endpoint("right", "", MODEL, about="a gateway in front of it")
    url = GATEWAY if wanted.url is None else address(wanted.url)
    return Endpoint("right", url, name or left.model, _key(wanted.key))


def address(value: str) -> str:
    """A base URL without the route; a host alone gets /v1."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise Mistake("expected a URL such as http://127.0.0.1:3000/v1")
    if parts.username or parts.password:
        raise Mistake("a password does not belong into a URL; give a key")
    if parts.query or parts.fragment:
        raise Mistake("expected a URL without ? and #")
    return parts._replace(path=parts.path.rstrip("/").removesuffix(_CHAT) or "/v1").geturl()


def _key(value: str | None) -> str:
    if value and not all("!" <= character <= "~" for character in value):
        raise Mistake("a key must be printable ASCII without spaces")
    return value or ""
