"""How Bedrock says no, wherever it stands, and what of its words reaches a client."""

from __future__ import annotations

import json

import pytest

from tests.upstreams.bedrock_setup import exception as exception_frame
from tests.upstreams.bedrock_setup import failure, say
from translators.errors import UpstreamFailed, UpstreamMalformed, UpstreamRejected
from translators.upstreams.bedrock_errors import (
    exception,
    refusal,
    refused_as,
    run_failed,
    sanitized,
    unmodelled,
)

#        name, status upstream, our status, type, code, retry_after, should_retry
TABLE = [
    ("Validation", 400, 400, "invalid_request_error", "validation_error", None, None),
    ("ServiceQuotaExceeded", 400, 429, "insufficient_quota", "insufficient_quota", None, False),
    ("AccessDenied", 403, 403, "permission_error", "upstream_access_denied", None, None),
    ("ResourceNotFound", 404, 404, "invalid_request_error", "model_not_found", None, None),
    ("Conflict", 409, 409, "invalid_request_error", "session_busy", None, None),
    ("RetryableConflict", 409, 409, "invalid_request_error", "session_busy", None, None),
    ("DependencyFailed", 424, 424, "server_error", "dependency_failed", None, False),
    ("ModelNotReady", 424, 503, "server_error", "model_not_ready", 5.0, None),
    ("Throttling", 429, 429, "rate_limit_error", "rate_limit_exceeded", 1.0, None),
    ("InternalServer", 500, 500, "server_error", "upstream_error", None, False),
    ("BadGateway", 502, 502, "server_error", "upstream_error", None, False),
]
AUTH = ["UnrecognizedClient", "InvalidSignature", "ExpiredToken", "MissingAuthenticationToken"]


@pytest.mark.parametrize(("name", "status", "ours", "type", "code", "wait", "again"), TABLE)
def test_a_name_means_the_same_in_every_place(
    name: str, status: int, ours: int, type: str, code: str, wait: float | None, again: bool | None
) -> None:
    message = {"message": "So it is."}
    head = {"X-Amzn-Errortype": f"{name}Exception:http://internal.amazon.com/coral/x/"}
    lower = (name[0].lower() + name[1:] + "Exception").encode()
    errors = [
        refusal(status, head, json.dumps(message).encode()),
        refusal(status, {}, json.dumps({**message, "__type": f"com.amazon#{name}Exception"}).encode()),
        exception(b"exception:" + lower, json.dumps(message).encode()),
        exception(lower, json.dumps(message).encode()),
        failure(say("x"), exception_frame(lower.decode(), "So it is.")),
    ]
    for error in errors:
        assert (error.status, error.type, error.code) == (ours, type, code)
        assert (error.retry_after, error.should_retry) == (wait, again)
        assert error.message.endswith("So it is.")


@pytest.mark.parametrize("name", AUTH)
def test_a_refused_credential_is_the_operators(name: str) -> None:
    head = {"x-amzn-errortype": f"{name}Exception"}
    canonical = "The Canonical String for this request should have been 'POST x-amz-security-token:AQoDYXdz'"
    error = refusal(403, head, json.dumps({"message": f"It does not match. {canonical}"}).encode())
    assert (error.status, error.code, error.should_retry) == (502, "upstream_auth_failed", False)
    assert "match" not in error.message
    assert "AQoD" not in error.detail
    assert error.detail.startswith(name.lower())
    assert refused_as(head, b"") == name.lower()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, b'{"message":"Missing Authentication Token"}', (502, "upstream_auth_failed")),
        (403, b"", (502, "upstream_auth_failed")),
        (401, b"<html>no</html>", (502, "upstream_auth_failed")),
        (404, b'{"message":"no"}', (404, "model_not_found")),
        (404, b"<html>nothing here</html>", (502, "bad_upstream_response")),
        (400, b"[]", (502, "bad_upstream_response")),
        (302, b"", (502, "bad_upstream_response")),
        (424, b'{"message":"no"}', (424, "dependency_failed")),
        (429, b"", (429, "rate_limit_exceeded")),
        (500, b'{"message":"no"}', (500, "upstream_error")),
        (500, b"", (502, "upstream_error")),
        (502, b"<html>Bad Gateway</html>", (502, "upstream_error")),
        (502, b'{"message":"no"}', (502, "upstream_error")),
        (503, b"Slow down", (503, "upstream_overloaded")),
        (418, b'{"__type":"SparkleException","message":"no"}', (400, "sparkle")),
        (418, b'{"message":"no"}', (400, None)),
        (599, b'{"__type":"SparkleException"}', (502, "upstream_error")),
    ],
)
def test_a_status_counts_where_there_is_no_name(status: int, body: bytes, expected: tuple[int, str]) -> None:
    error = refusal(status, {}, body)
    assert (error.status, error.code) == expected


def test_waiting_is_told_as_long_as_it_is() -> None:
    assert refusal(429, {}, b"{}", 7.0).retry_after == 7.0
    assert refusal(503, {}, b"{}", 1.0).retry_after == 5.0
    assert refusal(503, {}, b"{}", 60.0).retry_after == 60.0


def test_a_model_that_is_away_is_not_a_break_down() -> None:
    reason = {"message": "m", "reason": "BEDROCK_MODEL_INVOCATION_SERVICE_UNAVAILABLE"}
    error = exception(b"internalServerException", json.dumps(reason).encode())
    assert (error.status, error.retry_after) == (503, 5.0)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"message":7}'])
def test_an_exception_without_words_is_one_all_the_same(payload: bytes) -> None:
    error = exception(b"exception:dependencyFailedException", payload)
    assert error.message == "Something that the agent works with failed: no reason was given"


def test_an_exception_that_nobody_knows_is_a_failure() -> None:
    assert isinstance(exception(b"exception:sparkleException", b"{}"), UpstreamFailed)
    assert isinstance(exception(b"exception:\xff", b"{}"), UpstreamFailed)
    assert unmodelled(b"error:InternalError", b"bo\xffom").message == "The agent failed: bo\ufffdom"


@pytest.mark.parametrize(
    ("code", "status"), [(400, 400), (429, 429), (424, 424), (500, 500), (None, 424), (7, 424)]
)
def test_a_failed_step_means_what_its_number_says(code: int | None, status: int) -> None:
    assert run_failed("So it is.", code).status == status


def test_kinds_of_the_other_errors() -> None:
    assert isinstance(refusal(418, {}, b'{"message":"x"}'), UpstreamRejected)
    assert isinstance(refusal(302, {}, b""), UpstreamMalformed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "User: arn:aws:sts::123456789012:assumed-role/Admin/ann@x.org is not authorized to perform: "
            "bedrock:InvokeAgent on resource: arn:aws:bedrock:us-east-1:123456789012:agent-alias/A/B today.",
            "User: [resource] is not authorized to perform: bedrock:InvokeAgent on resource: [resource] today.",
        ),
        ("First it failed. Then arn:aws:x again.", "First it failed."),
        ("Account ID: 123456789012, please", "Account ID, please"),
        ("in 123456789012 now", "in [account] now"),
        ("no 1234567890123 account", "no 1234567890123 account"),
        ("assumed-role/My_Role/my-session may not", "[identity] may not"),
        ("role: Admin; session name=ann, stop", "role; session name, stop"),
        ("GET https://bedrock-agent.us-east-1.amazonaws.com/agents/A failed", "GET [address] failed"),
        ("Bad (Service: BedrockAgentRuntime, Status Code: 400, Request ID: 1-2)", "Bad"),
        ("Bad. Request ID: 0a-1b", "Bad."),
        ("<b>Bad</b>\r\nnews", "Bad news"),
        ("", ""),
    ],
)
def test_what_only_the_account_is_concerned_with_is_left_out(text: str, expected: str) -> None:
    assert sanitized(text) == expected


def test_words_are_bounded() -> None:
    assert len(sanitized("x" * 1_000_000)) <= 300
    assert len(sanitized("arn:" * 100_000)) <= 300
    error = exception(b"validationException", json.dumps({"message": "One. " + "Two " * 10_000}).encode())
    assert error.message == "One."
    assert len(error.detail) <= 1000
