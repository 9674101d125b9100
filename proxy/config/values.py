"""What a configured value may look like.

Each alias below (``Seconds``, ``Port``, ``Url`` …) is an ordinary type to the type checker; to the reader it
carries a ``Rule``: the raw type to expect and a function that accepts or refuses. A refusal is an
``Unreadable`` whose words end up in front of the operator, so it says what was expected. It repeats what it
got only where no secret can be: never an address, a header or a key.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, final
from urllib.parse import urlsplit

from attrs import frozen


class Unreadable(ValueError):
    """A value that is not what its setting wants; the message is one line and holds no secret."""


@final
class Secret:
    """A text that prints as ``***`` wherever it turns up; only ``reveal`` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere")


class Reference(str):
    """Names a way of reading: text as it is, or by ``{ env = "NAME" }`` or ``{ file = "path" }``."""


@frozen
class Rule:
    """Read the value as ``raw`` first, then let ``read`` accept, change or refuse it."""

    raw: Any
    read: Callable[[Any], Any]


# Words for messages.

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

_FEW = 24

_KINDS_OF_VALUE: dict[type, str] = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "an array",
    dict: "a table",
}


def printable(text: str) -> str:
    """The text on one line, without anything that moves the cursor or cannot be encoded."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def quoted(text: str, limit: int = 40) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return printable(json.dumps(shown, ensure_ascii=False))


def dotted(*keys: str) -> str:
    """A key as TOML writes it: ``models."gpt-4.1".upstream``."""
    return ".".join(key if _BARE.fullmatch(key) else quoted(key, 80) for key in keys)


def got(value: object) -> str:
    if isinstance(value, str):
        return f"got {quoted(value)}"
    return f"got {_KINDS_OF_VALUE.get(type(value), 'a date or time')}"


def hint(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or all of them where none is near and they are few."""
    names = sorted(known)
    near = get_close_matches(name, names, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(names)}" if 0 < len(names) <= _FEW else ""


# Numbers.

_SECONDS_PER = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_BYTES_PER = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)
_LONGEST = 7 * 86400.0
_LARGEST = 1024**4


def _quantity(value: Any, units: Mapping[str, float]) -> float | None:
    """A bare number, or a text such as ``5`` or ``5s``; None where it is neither."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) <= _LARGEST else math.inf
    if not isinstance(value, str):
        return None
    match = _QUANTITY.fullmatch(value.strip().lower())
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]]


def _duration_or_zero(value: Any) -> float:
    seconds = _quantity(value, _SECONDS_PER)
    if seconds is None:
        raise Unreadable(f'expected a time such as 5, "5s", "500ms" or "2m", {got(value)}')
    if not 0 <= seconds <= _LONGEST:
        raise Unreadable("expected a time between 0 and 7 days")
    return seconds


def _duration(value: Any) -> float:
    seconds = _duration_or_zero(value)
    if seconds < 0.001:
        raise Unreadable("expected a time above zero")
    return seconds


def _size(value: Any) -> int:
    unit = re.sub(r"(?<=[kmg])i?b$", "", value.strip().lower()) if isinstance(value, str) else value
    size = _quantity(unit, _BYTES_PER)
    if size is None:
        raise Unreadable(f'expected a size such as 10485760, "10MiB" or "512k", {got(value)}')
    if not 1 <= size <= _LARGEST or size != int(size):
        raise Unreadable("expected a whole number of bytes between 1 and 1 TiB")
    return int(size)


def _size_or_zero(value: Any) -> int:
    return 0 if _quantity(value, _BYTES_PER) == 0 else _size(value)


def between(low: int, high: int) -> Rule:
    def read(number: int) -> int:
        if not low <= number <= high:
            raise Unreadable(f"expected a whole number from {low} to {high}")
        return number

    return Rule(int, read)


# Texts.

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s]+)", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LEVELS = {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")} | {"WARN": "WARNING"}

FRAMING_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers that say how the bytes travel: whoever sets them by hand breaks the relay."""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(text: str) -> str:
    if _HOST.fullmatch(text) or _is_address(text):
        return text
    raise Unreadable('expected a host name or an address such as "127.0.0.1" or "::"')


def is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _host_and_port(authority: str) -> bool:
    try:
        parts = urlsplit(f"//{authority}")
        host, _ = parts.hostname, parts.port  # ``port`` raises where it is no number below 65536
    except ValueError:
        return False
    return host is not None and bool(_HOST.fullmatch(host) or _is_address(host))


def _url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme.lower() not in ("http", "https") or not authority:
        raise Unreadable('expected an address such as "http://127.0.0.1:11434/v1"')
    if "?" in rest or "#" in rest:
        raise Unreadable("expected an address without query and fragment")
    if "@" in authority:
        raise Unreadable("expected an address without user and password; a key belongs in api_key")
    if not re.fullmatch(r"[\x21-\x7e]+", rest) or not _host_and_port(authority):
        raise Unreadable("expected an address whose host, port and path are plain ASCII and legal")
    return f"{scheme.lower()}://{authority}{slash}{path}".rstrip("/")


def _folder(text: str) -> str:
    if not text.strip() or text != printable(text):
        raise Unreadable("expected the path of a directory")
    return text


def _blobs_url(text: str) -> str:
    from proxy.stores.blobs import blobs_at  # which loads more than the help of a command should

    try:
        blobs_at(text, Path())
    except ValueError as error:
        raise Unreadable(str(error)) from error
    return text


def database_url(secret: Secret) -> Secret:
    if not secret.reveal().startswith(("postgresql://", "postgres://")):
        raise Unreadable('expected an address such as "postgresql://user:password@host/database"')
    return secret


def _origin(text: str) -> str:
    origin = text.strip().lower()
    match = _ORIGIN.fullmatch(origin)
    if origin == "*" or (match is not None and _host_and_port(match[2])):
        return origin
    raise Unreadable('expected origins such as "https://chat.example.org", without a path, or "*"')


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_origin(text) for text in texts))


def _method(text: str) -> str:
    method = text.strip().upper()
    if method not in _METHODS:
        raise Unreadable(f"expected methods out of {', '.join(_METHODS)}, {got(text)}")
    return method


def _methods(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_method(text) for text in texts))


def _level(text: str) -> str:
    level = _LEVELS.get(text.strip().upper())
    if level is None:
        raise Unreadable(f"expected one of {', '.join(_LEVELS)}, {got(text)}")
    return level


def model_id(text: str) -> str:
    if not text.strip() or text != printable(text) or len(text) > 256:
        raise Unreadable("expected model ids of 1 to 256 printable characters")
    return text


def _model_ids(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model_id(text) for text in texts))


def _headers(texts: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in texts.items():
        if not _TOKEN.fullmatch(name):
            raise Unreadable(f"{quoted(name)} is not a legal header name")
        if name.lower() in FRAMING_HEADERS:
            raise Unreadable(f"header {name} is the gateway's own to set")
        if not _HEADER_VALUE.fullmatch(value):
            raise Unreadable(f"header {name} has a value that is not printable ASCII")
    if len({name.lower() for name in texts}) < len(texts):
        raise Unreadable("a header is given twice")
    return dict(texts)


def key(text: str) -> Secret:
    if not _KEY.fullmatch(text):
        raise Unreadable("expected a key of 1 to 4096 visible ASCII characters without spaces")
    return Secret(text)


Seconds: TypeAlias = Annotated[float, Rule(Any, _duration)]
SecondsOrZero: TypeAlias = Annotated[float, Rule(Any, _duration_or_zero)]
Bytes: TypeAlias = Annotated[int, Rule(Any, _size)]
BytesOrZero: TypeAlias = Annotated[int, Rule(Any, _size_or_zero)]
Port: TypeAlias = Annotated[int, between(0, 65535)]
Count: TypeAlias = Annotated[int, between(1, 1_000_000)]
CountOrZero: TypeAlias = Annotated[int, between(0, 1_000_000)]
Attempts: TypeAlias = Annotated[int, between(0, 10)]
Host: TypeAlias = Annotated[str, Rule(str, _host)]
Url: TypeAlias = Annotated[str, Rule(str, _url)]
Folder: TypeAlias = Annotated[str, Rule(str, _folder)]
BlobsUrl: TypeAlias = Annotated[str, Rule(str, _blobs_url)]
Level: TypeAlias = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], Rule(str, _level)]
Origins: TypeAlias = Annotated[tuple[str, ...], Rule(tuple[str, ...], _origins)]
Methods: TypeAlias = Annotated[tuple[str, ...], Rule(tuple[str, ...], _methods)]
ModelIds: TypeAlias = Annotated[tuple[str, ...], Rule(tuple[str, ...], _model_ids)]
Headers: TypeAlias = Annotated[Mapping[str, str], Rule(dict[str, Reference], _headers)]
