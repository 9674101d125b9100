"""Who is at fault, on one screen.

Every failure this project can report is one of these classes. The class says whose fault it is and
carries the HTTP status, the OpenAI error type and whether the same request may be sent again; the
instance adds what a person needs to read. One object serves the HTTP answer, the frame in a stream
that has begun and the exception of the in-process client.

``type`` is what the client can act on: its own mistakes keep their name, everything that is ours or the
upstream's is ``server_error``, and ``code`` says whose and what.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define, field

from translators import wirejson


@define(eq=False, slots=False, str=False)
class GatewayError(Exception):
    """Abstract: raise one of the classes below."""

    status: ClassVar[int]
    type: ClassVar[str]
    default_code: ClassVar[str | None] = None
    """Given to errors that are made without a code of their own."""
    should_retry: ClassVar[bool | None] = None
    """What the SDKs are told in ``x-should-retry``; None leaves the decision to their own status rule."""

    message: str
    param: str | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    retry_after: float | None = field(default=None, kw_only=True)
    detail: str = field(default="", kw_only=True, repr=False)
    """For the log only: never shown to a client."""

    def __attrs_post_init__(self) -> None:
        super().__init__(self.message)
        if self.code is None:
            self.code = self.default_code

    def __str__(self) -> str:
        return self.message

    def document(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def body(self) -> bytes:
        """The JSON an OpenAI client expects, as an HTTP body or as the payload of a frame."""
        return wirejson.dumps(self.document())


# The client's fault.


class BadRequest(GatewayError):
    status, type = 400, "invalid_request_error"


class UpstreamRejected(BadRequest):
    """The upstream refused the request for a reason the client can mend; it keeps the upstream's code."""


class Unauthenticated(GatewayError):
    status, type, default_code = 401, "authentication_error", "invalid_api_key"


class Forbidden(GatewayError):
    status, type = 403, "permission_error"


class NotFound(GatewayError):
    status, type = 404, "invalid_request_error"


class MethodNotAllowed(GatewayError):
    status, type, default_code = 405, "invalid_request_error", "method_not_supported"


class RequestTimeout(GatewayError):
    """The client did not finish sending its request."""

    status, type, default_code = 408, "invalid_request_error", "request_timeout"


class Conflict(GatewayError):
    status, type = 409, "invalid_request_error"


class TooLarge(GatewayError):
    status, type, default_code = 413, "invalid_request_error", "request_too_large"


class RateLimited(GatewayError):
    """Too much at once, for us or for the upstream."""

    status, type, default_code = 429, "rate_limit_error", "rate_limit_exceeded"


class QuotaExceeded(GatewayError):
    """The upstream account has nothing left: waiting does not help."""

    status, type, default_code = 429, "insufficient_quota", "insufficient_quota"
    should_retry = False


# The upstream's fault.


class UpstreamError(GatewayError):
    """The upstream failed, and said so."""

    status, type, default_code = 502, "server_error", "upstream_error"


class UpstreamAuthFailed(UpstreamError):
    """The upstream refused the gateway's own credential: only the operator can help."""

    default_code = "upstream_auth_failed"
    should_retry = False


class UpstreamMalformed(UpstreamError):
    """Bytes that cannot be read as the dialect they should be."""

    default_code = "bad_upstream_response"
    should_retry = False


class UpstreamIncomplete(UpstreamError):
    """The stream stopped before the answer did."""

    default_code = "upstream_incomplete"
    should_retry = False


class UpstreamDisconnected(UpstreamError):
    """The connection broke before any answer came; the upstream may have done the work all the same."""

    default_code = "upstream_disconnected"
    should_retry = False


class UpstreamStale(UpstreamDisconnected):
    """The same on a connection that was kept from an earlier answer: the upstream had closed it meanwhile."""


class UpstreamUnreachable(UpstreamError):
    """No request reached the upstream, so it is safe to send it again."""

    status, default_code = 503, "upstream_unreachable"


class UpstreamFailed(UpstreamError):
    """The upstream did the work and failed at it: asking again would do it again."""

    should_retry = False


class UpstreamBroken(UpstreamError):
    """The upstream broke down at the work. How much of it was done nobody knows, so it is not done again."""

    status = 500
    should_retry = False


class UpstreamDependencyFailed(UpstreamError):
    """What the upstream works with failed: a function, a source, a model. Asking again would do the rest again."""

    status, default_code = 424, "dependency_failed"
    should_retry = False


class UpstreamNotReady(UpstreamError):
    """The upstream lacks something that only its operator can give it."""

    status, default_code = 503, "upstream_not_configured"
    should_retry = False


class UpstreamOverloaded(UpstreamError):
    """The upstream says that it is busy."""

    status, default_code = 503, "upstream_overloaded"


class UpstreamTimeout(UpstreamError):
    """Silence past a limit; the upstream may still be working on the request."""

    status, default_code = 504, "upstream_timeout"
    should_retry = False


# Ours.


class ShuttingDown(GatewayError):
    status, type, default_code = 503, "server_error", "shutting_down"


class StorageUnavailable(GatewayError):
    """What has to be kept cannot be kept or found now; what needs no storage goes on."""

    status, type, default_code = 503, "server_error", "storage_unavailable"


class StorageFull(StorageUnavailable):
    """There is no room: only the operator or the client's own deletions help."""

    status, default_code = 507, "storage_full"
    should_retry = False


class Internal(GatewayError):
    """A bug in the gateway. The message names the request and nothing else."""

    status, type, default_code = 500, "server_error", "internal_error"
