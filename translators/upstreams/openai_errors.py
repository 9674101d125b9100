"""How OpenAI-shaped servers say no, and whose fault that is.

Shapes met in the wild: ``{"error": {message, type, param, code}}``, Ollama's ``{"error": "words"}``, vLLM's
``{"object": "error", "message", "type", "code"}``, FastAPI's ``{"detail": …}``, and pages. A status of 400 or
more comes with any of them; inside a stream there is no status, so the code or type has to say what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from translators import wirejson
from translators.errors import (
    GatewayError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TooLarge,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from translators.excerpt import clean, clean_bytes

_MESSAGE = 1000  # a client's mistake may take more words to explain than an upstream's

_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}

_STATUS_OF_WORD = {
    "invalid_request_error": 400,
    "bad_request": 400,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "overloaded_error": 503,
}


def refusal_error(status: int, body: bytes, retry_after: float | None) -> GatewayError:
    """The error that an HTTP status of 300 or more means."""
    try:
        said = _said(wirejson.loads(body))
    except (ValueError, AttributeError):
        said = None
    if said is None:
        return _unexplained(status, body, retry_after)
    return _error(status, said, retry_after)


def in_band_error(chunk: Mapping[str, Any]) -> GatewayError:
    """The error that a chunk inside a 200 is, if it has an ``error`` or is an object of that name."""
    said = _said(chunk) or {}
    for word in (said.get("status_code"), said.get("code"), said.get("type")):
        if type(word) is int or (isinstance(word, str) and word.isdecimal()):
            if 400 <= int(word) < 600:
                return _error(int(word), said, None)
        elif isinstance(word, str) and word.lower() in _STATUS_OF_WORD:
            return _error(_STATUS_OF_WORD[word.lower()], said, None)
    return _error(500, said, None)


def _said(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The members of an error in whichever of the known shapes it came, or None if it came in none."""
    error = document.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {**document, "message": document.get("message") or error}
    if document.get("object") == "error" or isinstance(document.get("message"), str):
        return dict(document)
    detail = document.get("detail")
    if isinstance(detail, str):
        return {"message": detail}
    if detail:
        return {"message": wirejson.dumps(detail).decode()}
    return None


def _error(status: int, said: Mapping[str, Any], retry_after: float | None) -> GatewayError:
    message = said.get("message")
    words = clean(message if isinstance(message, str) else "", _MESSAGE) or "The upstream gave no reason."
    code, kind, param = (_word(said.get(name)) for name in ("code", "type", "param"))
    if code in _QUOTA or kind in _QUOTA:
        return QuotaExceeded(words)
    make = _BY_STATUS.get(status)
    if make is not None:
        return make(words, _name(code), _name(param), retry_after)
    if 400 <= status < 500:
        return UpstreamRejected(words, code=_name(code), param=_name(param))
    return UpstreamError(f"The upstream failed: {words}", code=_name(code), retry_after=retry_after)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _name(word: str | None) -> str | None:
    return clean(word, 120) if word else None


_Make = Callable[[str, str | None, str | None, float | None], GatewayError]

_BY_STATUS: dict[int, _Make] = {
    401: lambda words, code, param, wait: _auth_failed(words),
    402: lambda words, code, param, wait: QuotaExceeded(words),
    403: lambda words, code, param, wait: _auth_failed(words),
    404: lambda words, code, param, wait: NotFound(words, code=code, param=param),
    408: lambda words, code, param, wait: UpstreamTimeout(f"The upstream timed out: {words}"),
    413: lambda words, code, param, wait: TooLarge(words, param=param),
    429: lambda words, code, param, wait: RateLimited(words, code=code, retry_after=wait),
    503: lambda words, code, param, wait: UpstreamOverloaded(
        f"The upstream is busy: {words}", retry_after=wait
    ),
    504: lambda words, code, param, wait: UpstreamTimeout(f"The upstream timed out: {words}"),
    529: lambda words, code, param, wait: UpstreamOverloaded(
        f"The upstream is busy: {words}", retry_after=wait
    ),
}


def _auth_failed(words: str) -> UpstreamAuthFailed:
    return UpstreamAuthFailed(
        "The upstream refused the gateway's credential. The gateway's operator must mend its configuration.",
        detail=words,
    )


def _unexplained(status: int, body: bytes, retry_after: float | None) -> GatewayError:
    """A status without a readable error: a page, an empty body, somebody else's JSON."""
    if status < 400:
        return UpstreamMalformed(
            f"The upstream answered with status {status}, a redirect, instead of an answer."
        )
    words = clean_bytes(body) or "no explanation"
    if status in (401, 403, 408, 413, 429, 503, 504, 529):
        return _BY_STATUS[status](words, None, None, retry_after)
    if status in (404, 405):
        return UpstreamError(f"The upstream has no chat completions at the configured address: {words}")
    if status < 500:
        return UpstreamRejected(f"The upstream refused the request with status {status}: {words}")
    return UpstreamError(f"The upstream failed with status {status}: {words}", retry_after=retry_after)
