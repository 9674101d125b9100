"""How Coze says no: a number in ``code``, whatever the HTTP status, and words in ``msg``.

Most refusals are a 200 with a code; some front servers answer with a status and a page. The code decides where
it is known, else the status does. Codes 7xxxxxxxx come from workflows and plugins, 103xxxxxx from Coze Studio.

A refused credential is the operator's to mend, unless the client brought it along. The platform's words are
quoted with the code and its log id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

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
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from translators.excerpt import clean, clean_bytes
from translators.upstreams.plan import Reply

_MESSAGE = 1000  # a client's mistake may take more words to explain than an upstream's
_SOON = 1.0  # Coze never says when to come back
_LOGID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TOKEN = re.compile(r"\btoken\b", re.IGNORECASE)
_ACCESS = re.compile(r"\b(?:permission|access)", re.IGNORECASE)

FILTERED = {4014, 4102}
"""The platform found the content unsafe."""


@frozen
class Refusal:
    """What was said and by whom the credential was brought."""

    code: int
    msg: str
    logid: str
    passed: bool
    """Whether the credential is the client's own, passed through."""
    retry_after: float | None = None

    @property
    def words(self) -> str:
        return (clean(self.msg, _MESSAGE) or "The upstream gave no reason.") + self.marks

    @property
    def marks(self) -> str:
        """What Coze's support asks for."""
        marks = [f"coze code {self.code}"] if self.code else []
        marks += [f"logid {self.logid}"] if self.logid else []
        return f" ({', '.join(marks)})" if marks else ""


_Make = Callable[[Refusal], GatewayError]


def _as(kind: type[GatewayError], code: str | None = None) -> _Make:
    return lambda refusal: kind(refusal.words, code=code)


def _limited(refusal: Refusal) -> GatewayError:
    return RateLimited(refusal.words, retry_after=refusal.retry_after or _SOON)


def _unauthorised(refusal: Refusal) -> GatewayError:
    if refusal.passed:
        return Unauthenticated(refusal.words)
    return UpstreamAuthFailed(
        "The upstream refused the gateway's credential. The gateway's operator must mend its configuration."
        + refusal.marks,
        detail=refusal.words,
    )


def _no_permission(refusal: Refusal) -> GatewayError:
    """4101 is also what a token gets that is none."""
    if _TOKEN.search(refusal.msg) and not _ACCESS.search(refusal.msg):
        return _unauthorised(refusal)
    return Forbidden(refusal.words, code="permission_denied")


_PARAMETER = _as(UpstreamRejected, "invalid_parameter")
_FILTER = _as(UpstreamRejected, "content_filter")
_NOT_FOUND = _as(NotFound, "not_found")
_NO_MODEL = _as(NotFound, "model_not_found")
_FAILED = _as(UpstreamError)
_RUN_FAILED = _as(UpstreamFailed)
_TIMED_OUT = _as(UpstreamTimeout)
_OVER = _as(Conflict, "chat_not_cancellable")

_BY_CODE: dict[int, _Make] = {
    400: _PARAMETER,
    500: _FAILED,
    4000: _PARAMETER,
    **dict.fromkeys((4008, 4009, 4011, 4019, 4020, 4027, 4028, 4033), _as(QuotaExceeded)),
    4013: _limited,
    **dict.fromkeys(FILTERED, _FILTER),
    4015: _NO_MODEL,
    4016: _as(Conflict, "conversation_busy"),
    4100: _unauthorised,
    4101: _no_permission,
    4104: _OVER,
    4200: _NOT_FOUND,
    5000: _FAILED,
    6003: _as(Forbidden, "plan_required"),
    6023: _TIMED_OUT,
    6031: _NOT_FOUND,
    6039: _as(UpstreamRejected, "interrupt_unsupported"),
    103000000: _PARAMETER,
    103000001: _as(Forbidden, "permission_denied"),
    103000002: _NOT_FOUND,
    103100001: _FAILED,
    103100002: _NO_MODEL,
    103200002: _FAILED,
    103200003: _NOT_FOUND,
    103200005: _OVER,
    700012006: _unauthorised,
    720701013: _RUN_FAILED,
    720702001: _PARAMETER,
    720702002: _PARAMETER,
    720702004: _NOT_FOUND,
    720702011: _NOT_FOUND,
    720702085: _TIMED_OUT,
}

_BY_STATUS: dict[int, _Make] = {
    401: _unauthorised,
    403: _unauthorised,
    404: lambda refusal: UpstreamError(
        f"The upstream has no such service at the configured address: {refusal.words}"
    ),
    408: _TIMED_OUT,
    413: _as(TooLarge),
    429: _limited,
    503: lambda refusal: UpstreamOverloaded(refusal.words, retry_after=refusal.retry_after),
    504: _TIMED_OUT,
}


def code_of(value: Any) -> int:
    """A code, which some events carry as text; 0 where there is none."""
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    return 0


def logid_of(document: Mapping[str, Any]) -> str:
    for name in ("detail", "error"):
        inner = document.get(name)
        logid = inner.get("logid") if isinstance(inner, dict) else None
        if isinstance(logid, str) and _LOGID.fullmatch(logid):
            return logid
    return ""


def coze_error(code: int, msg: Any, *, logid: str = "", passed: bool = False) -> GatewayError:
    """What a code means that came without an HTTP status of its own."""
    make = _maker(code) or _as(UpstreamError, f"coze_{code}" if code else None)
    return make(Refusal(code, msg if isinstance(msg, str) else "", logid, passed))


def envelope_error(document: Mapping[str, Any], passed: bool) -> GatewayError | None:
    """The error that a JSON document is, if it is one; a missing code is a good one."""
    code = code_of(document.get("code"))
    return coze_error(code, document.get("msg"), logid=logid_of(document), passed=passed) if code else None


def refusal_error(status: int, body: bytes, retry_after: float | None, passed: bool) -> GatewayError:
    """What an HTTP status of 300 or more means."""
    if status < 400:
        return UpstreamMalformed(
            f"The upstream answered with status {status}, a redirect, instead of an answer."
        )
    try:
        document = wirejson.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return _by_status(status, Refusal(0, clean_bytes(body), "", passed, retry_after))
    code, msg = code_of(document.get("code")), document.get("msg") or document.get("error_message")
    refusal = Refusal(code, msg if isinstance(msg, str) else "", logid_of(document), passed, retry_after)
    make = _maker(code)
    return make(refusal) if make is not None else _by_status(status, refusal)


def _maker(code: int) -> _Make | None:
    """What the table says of a code, if it says anything."""
    make = _BY_CODE.get(code)
    if make is None and 4000 <= code < 5000:
        return _as(UpstreamRejected, f"coze_{code}")
    if make is None and 700_000_000 <= code < 800_000_000:
        return _RUN_FAILED
    return make


def _by_status(status: int, refusal: Refusal) -> GatewayError:
    make = _BY_STATUS.get(status)
    if make is not None:
        return make(refusal)
    code = f"coze_{refusal.code}" if refusal.code else None
    if status < 500:
        return UpstreamRejected(refusal.words, code=code)
    return UpstreamError(refusal.words, code=code)


def answered(reply: Reply, passed: bool) -> dict[str, Any]:
    """The document that a call brought, or the error that it is."""
    if reply.status != 200:
        raise refusal_error(reply.status, reply.body, None, passed)
    try:
        document = wirejson.loads(reply.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UpstreamMalformed("The upstream answered with something else than a JSON object.")
    error = envelope_error(document, passed)
    if error is not None:
        raise error
    return document


def data_of(reply: Reply, passed: bool) -> dict[str, Any]:
    """The ``data`` of an answer that has to have some."""
    data = answered(reply, passed).get("data")
    if not isinstance(data, dict):
        raise UpstreamMalformed("The upstream answered without data.")
    return data
