"""How Amazon's agents say no, and whose fault that is.

The same ten names come in three places: as the status of a refusal (in a header, or in its body), and as events in
a stream that began with a 200; beside them there are names of the layer that checks signatures. The name decides,
wherever it stands; a status alone only where there is no name.

Nothing here is sent again by itself but a throttled request, which nobody has worked on. Messages name resources,
roles and accounts: ``sanitized`` leaves these out, and the log gets the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from translators import wirejson
from translators.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    UpstreamAuthFailed,
    UpstreamBroken,
    UpstreamDependencyFailed,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamRejected,
)
from translators.excerpt import clean, clean_bytes

EXCEPTION = b"exception:"
ERROR = b"error:"
NO_STREAMING = "invokemodelwithresponsestream"
"""The permission without which an agent cannot stream, in lower case."""
STALE_IDENTITY = frozenset(("expiredtoken", "unrecognizedclient"))
"""Names of refusals after which other credentials may do."""

_LONGEST = 300
_LONGEST_DETAIL = 1000
_SOON = 5.0
"""Seconds after which a service that is not there may be: more than anybody waits by himself."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\[])")
_NOT_FOR_CLIENTS = (
    (re.compile(r"\barn:[^\s\"'<>,;()\[\]{}]{1,2048}(?<!\.)", re.IGNORECASE), "[resource]"),
    (re.compile(r"\(Service: [^()]{0,500}\)"), " "),
    (re.compile(r"(?i)\b(?:request[ -]?id|trace[ -]?id)\s*[:=]\s*[\w-]{1,80}"), " "),
    (re.compile(r"\b(?:assumed-role|role|user)/[\w+=,.@/-]{1,300}"), "[identity]"),
    (re.compile(r"(?i)\b((?:account|role|session)(?: id| name| session name)?)\s*[:=]\s*[^\s,;]{1,200}"), r"\1"),
    (re.compile(r"(?<![\w-])\d{12}(?![\w-])"), "[account]"),
)  # fmt: skip


def sanitized(text: str) -> str:
    """The first sentence of ``text``, without anything that only its account is concerned with."""
    text = text[: 16 * _LONGEST_DETAIL]
    for pattern, replacement in _NOT_FOR_CLIENTS:
        text = pattern.sub(replacement, text)
    return clean(_SENTENCE.split(text.strip(), maxsplit=1)[0], _LONGEST)


@frozen
class Said:
    """One refusal, as far as it could be read."""

    kind: str
    """Its name, in lower case and without what every name ends with."""
    message: str
    reason: str = ""
    retry_after: float | None = None

    @property
    def words(self) -> str:
        return sanitized(self.message) or "no reason was given"

    @property
    def detail(self) -> str:
        return clean(self.message.partition("The Canonical String")[0], _LONGEST_DETAIL)


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, retry_after: float | None = None
) -> GatewayError:
    """The error that a status of 300 or more means."""
    kind, document = _kind_of(headers, body)
    make = _BY_KIND.get(kind) or _BY_KIND.get(_BY_STATUS.get(status, ""))
    if document is None and not kind:
        return _unexplained(status, body, retry_after, make)
    said = _read(kind, document or {}, retry_after)
    if make is not None:
        return make(said)
    if status < 500:
        return UpstreamRejected(said.words, code=clean(kind, 120) or None, detail=said.detail)
    return _failed(said)


def refused_as(headers: Mapping[str, str], body: bytes) -> str:
    """The name of a refusal, in lower case and without its ending; empty where it has none."""
    return _kind_of(headers, body)[0]


def exception(name: bytes, payload: bytes) -> GatewayError:
    """What an exception in a stream means. ``name`` may have the framing's prefix."""
    kind = _stem(name.removeprefix(EXCEPTION).decode("utf-8", "replace"))
    try:
        document = wirejson.loads(payload) if payload else {}
    except ValueError:
        document = {}
    said = _read(kind, document if isinstance(document, dict) else {}, None)
    return _BY_KIND.get(kind, _failed)(said)


def unmodelled(code: bytes, message: bytes) -> GatewayError:
    """What an error in a stream means that the service has no name for."""
    kind = _stem(code.removeprefix(ERROR).decode("utf-8", "replace"))
    return _failed(Said(kind, message.decode("utf-8", "replace")))


def run_failed(reason: str, code: int | None) -> GatewayError:
    """What a step that failed means, where nothing else tells how the run ended."""
    kind = _BY_STATUS.get(code or 0, "dependencyfailed")
    return _BY_KIND[kind](Said(kind, reason))


def _kind_of(headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any] | None]:
    told = next((value for name, value in headers.items() if name.lower() == "x-amzn-errortype"), "")
    try:
        document = wirejson.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return _stem(told), None
    type = document.get("__type") or document.get("code")
    return _stem(told or (type if isinstance(type, str) else "")), document


def _stem(name: str) -> str:
    name = name.partition(":")[0].rpartition("#")[2].strip()[:200]
    return name.removesuffix("Exception").lower()


def _read(kind: str, document: Mapping[str, Any], retry_after: float | None) -> Said:
    message = next(
        (document[name] for name in ("message", "Message") if isinstance(document.get(name), str)), ""
    )
    reason = document.get("reason")
    return Said(kind, message, reason if isinstance(reason, str) else "", retry_after)


_Make: TypeAlias = Callable[[Said], GatewayError]


def _rejected(said: Said) -> GatewayError:
    return UpstreamRejected(said.words, code="validation_error", detail=said.detail)


def _denied(said: Said) -> GatewayError:
    return Forbidden(
        f"The agent may not do this: {said.words}", code="upstream_access_denied", detail=said.detail
    )


def _missing(said: Said) -> GatewayError:
    return NotFound(said.words, param="model", code="model_not_found", detail=said.detail)


def _busy(said: Said) -> GatewayError:
    return Conflict(said.words, code="session_busy", detail=said.detail)


def _dependency(said: Said) -> GatewayError:
    return UpstreamDependencyFailed(
        f"Something that the agent works with failed: {said.words}", detail=said.detail
    )


def _throttled(said: Said) -> GatewayError:
    return RateLimited(said.words, retry_after=said.retry_after or 1.0, detail=said.detail)


def _quota(said: Said) -> GatewayError:
    return QuotaExceeded(said.words, detail=said.detail)


def _not_ready(said: Said) -> GatewayError:
    return UpstreamOverloaded(
        f"The agent's model is not ready: {said.words}",
        code="model_not_ready",
        retry_after=_SOON,
        detail=said.detail,
    )


def _away(said: Said) -> GatewayError:
    wait = max(said.retry_after or _SOON, _SOON)
    return UpstreamOverloaded(f"Bedrock is busy: {said.words}", retry_after=wait, detail=said.detail)


def _broken(said: Said) -> GatewayError:
    if said.reason == "BEDROCK_MODEL_INVOCATION_SERVICE_UNAVAILABLE":
        return _away(said)
    return UpstreamBroken(f"The agent broke down: {said.words}", detail=said.detail)


def _failed(said: Said) -> GatewayError:
    return UpstreamFailed(f"The agent failed: {said.words}", detail=said.detail)


def _auth_failed(said: Said) -> GatewayError:
    return UpstreamAuthFailed(
        "Amazon refused the gateway's credential. The gateway's operator must mend its configuration.",
        detail=f"{said.kind}: {said.detail}",
    )


_BY_KIND: dict[str, _Make] = {
    "validation": _rejected,
    "servicequotaexceeded": _quota,
    "accessdenied": _denied,
    "resourcenotfound": _missing,
    "conflict": _busy,
    "retryableconflict": _busy,
    "dependencyfailed": _dependency,
    "runtimeclienterror": _dependency,
    "modelnotready": _not_ready,
    "throttling": _throttled,
    "internalserver": _broken,
    "badgateway": _failed,
    "serviceunavailable": _away,
    **dict.fromkeys(
        (
            *STALE_IDENTITY,
            "invalidsignature",
            "signaturedoesnotmatch",
            "incompletesignature",
            "missingauthenticationtoken",
            "invalidclienttokenid",
        ),
        _auth_failed,
    ),
}

_BY_STATUS = {
    400: "validation",
    401: "missingauthenticationtoken",
    403: "invalidsignature",
    404: "resourcenotfound",
    409: "conflict",
    424: "dependencyfailed",
    429: "throttling",
    500: "internalserver",
    503: "serviceunavailable",
}
"""What a status means that comes without a name; all modelled refusals have one."""


def _unexplained(status: int, body: bytes, retry_after: float | None, make: _Make | None) -> GatewayError:
    """A page, an empty body, somebody else's answer: it did not come from the service."""
    words = clean_bytes(body)
    if make is not None and status in (401, 403, 429, 503):
        return make(Said("", words, "", retry_after))
    words = words or "no explanation"
    if status < 500:
        return UpstreamMalformed(
            f"The server answered with status {status} and no answer of Bedrock's: {words}"
        )
    return UpstreamFailed(f"The server in front of Bedrock failed with status {status}: {words}")
