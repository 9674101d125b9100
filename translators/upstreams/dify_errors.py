"""How Dify says no, and whose fault that is.

The usual shape is ``{code, message, status}``; one line of versions answers wrong fields with a table of them,
and what fails before the application is a page or nothing. The code decides, where it is known, because the same
status means many things: a limit of parallel runs, a missing model and a wrong field are all a 400. Inside a stream
there is no status but the code is the same.

Messages may be many lines of a validator that quotes the whole request; what is kept of them is the field and the
reason.
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
    TooLarge,
    Unauthenticated,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamNotReady,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from translators.excerpt import clean, clean_bytes

WRONG_MODE = frozenset(("not_chat_app", "not_workflow_app", "not_completion_app"))
"""Codes that say: this key belongs to another kind of app."""
CONVERSATION_GONE = frozenset(("conversation_not_found", "conversation_completed"))
"""Our codes for a conversation that cannot go on."""

_LONGEST = 1000
_LONGEST_READ = 16 * 1024
_CROWDED = "too many requests"
_FORM = re.compile(r"(\w{1,64}) is required in input form")
_VALIDATOR = re.compile(r"\d+ validation errors? for \S+\n")


@frozen
class Said:
    """One refusal, as far as it could be read."""

    status: int
    code: str
    message: str
    field: str
    retry_after: float | None
    own_key: bool
    """Whether the key that was used is the gateway's."""

    @property
    def words(self) -> str:
        text = self.message.partition(" You have requested this URI")[0]
        return clean(text, _LONGEST) or "Dify gave no reason."

    def mentions(self, *phrases: str) -> bool:
        text = self.message.lower()
        return any(phrase in text for phrase in phrases)


def refusal(status: int, body: bytes, retry_after: float | None, own_key: bool) -> tuple[GatewayError, str]:
    """The error that a status of 300 or more means, and Dify's own code for it."""
    try:
        document = wirejson.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not _is_error(document):
        return _unexplained(status, body, retry_after, own_key), ""
    said = _read(document, status, retry_after, own_key)
    return _error(said), said.code


def in_band(event: Mapping[str, Any], own_key: bool) -> GatewayError:
    """The error that an event or a document inside a 200 means."""
    status = event.get("status")
    if type(status) is not int or not 400 <= status < 600:
        status = 500
    return _error(_read(event, status, None, own_key))


def run_failed(reason: Any, own_key: bool) -> GatewayError:
    """What a run that ended as failed means."""
    return _run_failed(Said(500, "", reason if isinstance(reason, str) else "", "", None, own_key))


def is_error(document: Mapping[str, Any]) -> bool:
    return "event" not in document and _is_error(document)


def _is_error(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("message"), str) and "answer" not in document


def _read(document: Mapping[str, Any], status: int, retry_after: float | None, own_key: bool) -> Said:
    code, field = document.get("code"), document.get("params")
    message = str(document.get("message") or "")[:_LONGEST_READ]
    field = field if isinstance(field, str) else ""
    fields = document.get("errors")
    if isinstance(fields, dict) and fields:
        field = str(next(iter(fields)))
        message = "; ".join(f"{name}: {reason}" for name, reason in list(fields.items())[:8])
    elif header := _VALIDATOR.match(message):
        field, message = _validation(message[header.end() :])
    elif missing := _FORM.match(message):
        field = f"inputs.{missing[1]}"
    code = code if isinstance(code, str) else ""
    return Said(status, code, message[:_LONGEST_READ], clean(field, 120), retry_after, own_key)


def _validation(report: str) -> tuple[str, str]:
    """Field and reason from a validator's report; links and quoted input are left out."""
    pairs: list[tuple[str, str]] = []
    field = ""
    for line in report.split("\n"):
        if line and not line.startswith(" "):
            field = line
        elif line.startswith("  ") and not line.startswith("    "):
            pairs.append((field, line.strip().partition(" [type=")[0]))
    first = pairs[0][0] if pairs else ""
    return first, "; ".join(f"{field}: {reason}" for field, reason in pairs[:8])


def _error(said: Said) -> GatewayError:
    make = _BY_CODE.get(said.code) or _BY_STATUS.get(said.status)
    if make is not None:
        return make(said)
    if said.status < 500:
        return _rejected(said)
    return UpstreamError(f"Dify failed: {said.words}", retry_after=said.retry_after)


_Make: TypeAlias = Callable[[Said], GatewayError]


def _rejected(said: Said) -> GatewayError:
    return UpstreamRejected(said.words, code=clean(said.code, 120) or None, param=said.field or None)


def _coded(code: str) -> _Make:
    return lambda said: UpstreamRejected(said.words, code=code, param=said.field or None)


def _missing(code: str) -> _Make:
    return lambda said: NotFound(said.words, code=code)


def _forbidden(said: Said) -> GatewayError:
    return Forbidden(said.words, code=clean(said.code, 120) or "forbidden")


def _unauthorized(said: Said) -> GatewayError:
    if not said.own_key:
        return Unauthenticated("Dify refused this key. Use the API key of a Dify app.", detail=said.words)
    return UpstreamAuthFailed(
        "Dify refused the gateway's app key. The gateway's operator must mend its configuration.",
        detail=said.words,
    )


def _crowded(said: Said) -> GatewayError:
    return RateLimited(said.words, retry_after=said.retry_after or 1.0)


def _invalid(said: Said) -> GatewayError:
    """Dify's word for a wrong field, for too many runs at once and for any run that failed."""
    if said.message.lower().startswith(_CROWDED):
        return _crowded(said)
    if said.message.startswith("Run failed:"):
        return _run_failed(said)
    return _rejected(said)


def _limited(said: Said) -> GatewayError:
    if said.mentions("quota"):
        return QuotaExceeded(said.words)
    return RateLimited(said.words, retry_after=said.retry_after)


def _provider(said: Said) -> GatewayError | None:
    """What a model's provider said, where its words show it."""
    if said.mentions("429", "rate limit", "ratelimit", _CROWDED):
        return RateLimited(said.words, retry_after=said.retry_after)
    if said.mentions("context length", "context_length", "maximum context", "context window"):
        return UpstreamRejected(said.words, code="context_length_exceeded")
    return None


def _completion(said: Said) -> GatewayError:
    return _provider(said) or UpstreamError(f"The model behind Dify failed: {said.words}")


def _run_failed(said: Said) -> GatewayError:
    reason = clean(said.message.removeprefix("Run failed:"), _LONGEST) or "no reason was given"
    return _provider(said) or UpstreamFailed(f"The run failed at Dify: {reason}", code="workflow_failed")


def _not_configured(said: Said) -> GatewayError:
    return UpstreamNotReady(f"The app's model is not set up at Dify: {said.words}")


def _not_found(said: Said) -> GatewayError:
    gone = said.mentions("conversation")
    return NotFound(said.words, code="conversation_not_found" if gone else "not_found")


def _too_large(said: Said) -> GatewayError:
    words = said.words if said.message else "The file is larger than the Dify server accepts."
    return TooLarge(words, code="file_too_large")


_WRONG_APP = _coded("model_not_supported_endpoint")

_BY_CODE: dict[str, _Make] = {
    "unauthorized": _unauthorized,
    "forbidden": _forbidden,
    "invalid_param": _invalid,
    "bad_request": _rejected,
    "too_many_requests": _crowded,
    "rate_limit_error": _limited,
    "app_unavailable": _WRONG_APP,
    "agent_not_published": _missing("model_not_found"),
    "provider_not_initialize": _not_configured,
    "provider_quota_exceeded": lambda said: QuotaExceeded(said.words),
    "model_currently_not_support": _missing("model_not_found"),
    "completion_request_error": _completion,
    "conversation_completed": lambda said: Conflict(said.words, code="conversation_completed"),
    "not_found": _not_found,
    "file_not_found": _missing("file_not_found"),
    "file_too_large": _too_large,
    "audio_too_large": _too_large,
    "request_entity_too_large": _too_large,
    "unsupported_file_type": _coded("unsupported_file"),
    "unsupported_audio_type": _coded("unsupported_file"),
    "human_input_form_submitted": lambda said: Conflict(said.words, code="human_input_form_submitted"),
    **dict.fromkeys(WRONG_MODE, _WRONG_APP),
}

_BY_STATUS: dict[int, _Make] = {
    401: _unauthorized,
    403: _forbidden,
    404: lambda said: NotFound(said.words, code=clean(said.code, 120) or "not_found"),
    409: lambda said: Conflict(said.words, code=clean(said.code, 120) or None),
    413: _too_large,
    429: _limited,
    503: lambda said: UpstreamOverloaded(f"Dify is busy: {said.words}", retry_after=said.retry_after),
    504: lambda said: UpstreamTimeout(f"Dify timed out: {said.words}"),
}


def _unexplained(status: int, body: bytes, retry_after: float | None, own_key: bool) -> GatewayError:
    """A page, an empty body, somebody else's JSON: it did not come from the application."""
    words = clean_bytes(body)
    if status in (401, 413, 429, 503, 504):
        return _BY_STATUS[status](Said(status, "", words, "", retry_after, own_key))
    words = words or "no explanation"
    if status < 500:
        return UpstreamMalformed(f"The server answered with status {status} and no answer of Dify's: {words}")
    return UpstreamError(
        f"The server in front of Dify failed with status {status}: {words}",
        code="bad_upstream_response",
        retry_after=retry_after,
    )
