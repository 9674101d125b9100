"""How Dify says no: codes, shapes and statuses, whose fault each is, and the same codes inside a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upstreams.dify_setup import CHAT, dify, frames, streamed
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
from translators.upstreams.dify_errors import in_band, refusal, run_failed


def refused(
    status: int, document: Any, own_key: bool = True, retry_after: float | None = None
) -> GatewayError:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return refusal(status, body, retry_after, own_key)[0]


CODES: list[tuple[int, str, str, type[GatewayError], str | None]] = [
    (401, "unauthorized", "Access token is invalid", UpstreamAuthFailed, "upstream_auth_failed"),
    (403, "forbidden", "The app's API service has been disabled.", Forbidden, "forbidden"),
    (
        403,
        "workflow_version_execution_not_allowed",
        "No.",
        Forbidden,
        "workflow_version_execution_not_allowed",
    ),
    (403, "file_access_denied", "No.", Forbidden, "file_access_denied"),
    (400, "invalid_param", "query is required", UpstreamRejected, "invalid_param"),
    (400, "bad_request", "Invalid workflow id", UpstreamRejected, "bad_request"),
    (400, "invalid_param", "Too many requests. Please try again later. ", RateLimited, "rate_limit_exceeded"),
    (429, "too_many_requests", "Too many requests.", RateLimited, "rate_limit_exceeded"),
    (429, "rate_limit_error", "Rate Limit Error", RateLimited, "rate_limit_exceeded"),
    (429, "rate_limit_error", "Sorry, your quota is used up", QuotaExceeded, "insufficient_quota"),
    (400, "not_chat_app", "x", UpstreamRejected, "model_not_supported_endpoint"),
    (400, "not_workflow_app", "x", UpstreamRejected, "model_not_supported_endpoint"),
    (400, "not_completion_app", "x", UpstreamRejected, "model_not_supported_endpoint"),
    (400, "app_unavailable", "x", UpstreamRejected, "model_not_supported_endpoint"),
    (400, "agent_not_published", "x", NotFound, "model_not_found"),
    (400, "provider_not_initialize", "x", UpstreamNotReady, "upstream_not_configured"),
    (400, "provider_quota_exceeded", "x", QuotaExceeded, "insufficient_quota"),
    (400, "model_currently_not_support", "x", NotFound, "model_not_found"),
    (400, "completion_request_error", "[openai] Server Unavailable", UpstreamError, "upstream_error"),
    (400, "completion_request_error", "[openai] Error code: 429", RateLimited, "rate_limit_exceeded"),
    (400, "completion_request_error", "[openai] Rate limit reached", RateLimited, "rate_limit_exceeded"),
    (
        400,
        "completion_request_error",
        "maximum context length is 4096",
        UpstreamRejected,
        "context_length_exceeded",
    ),
    (400, "invalid_param", "Run failed: node broke", UpstreamFailed, "workflow_failed"),
    (400, "invalid_param", "Run failed: 429 Too Many Requests", RateLimited, "rate_limit_exceeded"),
    (400, "conversation_completed", "x", Conflict, "conversation_completed"),
    (404, "not_found", "Conversation Not Exists.", NotFound, "conversation_not_found"),
    (404, "not_found", "Workflow not found with id: 7", NotFound, "not_found"),
    (400, "no_file_uploaded", "x", UpstreamRejected, "no_file_uploaded"),
    (400, "file_extension_blocked", "x", UpstreamRejected, "file_extension_blocked"),
    (404, "file_not_found", "x", NotFound, "file_not_found"),
    (413, "file_too_large", "", TooLarge, "file_too_large"),
    (413, "request_entity_too_large", "x", TooLarge, "file_too_large"),
    (415, "unsupported_file_type", "x", UpstreamRejected, "unsupported_file"),
    (415, "unsupported_media_type", "x", UpstreamRejected, "unsupported_media_type"),
    (412, "human_input_form_submitted", "x", Conflict, "human_input_form_submitted"),
    (500, "internal_server_error", "x", UpstreamError, "upstream_error"),
    (500, "unknown", "x", UpstreamError, "upstream_error"),
    (400, "bad_request_key_error", "x", UpstreamRejected, "bad_request_key_error"),
    (404, "message_lost", "x", NotFound, "message_lost"),
    (409, "busy", "x", Conflict, "busy"),
    (503, "down", "x", UpstreamOverloaded, "upstream_overloaded"),
    (504, "slow", "x", UpstreamTimeout, "upstream_timeout"),
    (400, "", "x", UpstreamRejected, None),
    (500, "", "x", UpstreamError, "upstream_error"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "ours"), CODES)
def test_every_code(status: int, code: str, message: str, kind: type[GatewayError], ours: str | None) -> None:
    document = {"code": code, "message": message, "status": status}
    error = refused(status, document)
    assert (type(error), error.code) == (kind, ours)
    assert error.message
    assert type(in_band({"event": "error", **document}, own_key=True)) is kind


def test_whose_key_it_is() -> None:
    said = {"code": "unauthorized", "message": "Access token is invalid", "status": 401}
    assert type(refused(401, said, own_key=True)) is UpstreamAuthFailed
    error = refused(401, said, own_key=False)
    assert (type(error), error.status, error.code) == (Unauthenticated, 401, "invalid_api_key")
    assert error.detail == "Access token is invalid"


def test_a_crowd_is_asked_to_wait() -> None:
    crowded = {
        "code": "invalid_param",
        "message": "Too many requests. Please try again later.",
        "status": 400,
    }
    assert refused(400, crowded).retry_after == 1.0
    assert refused(400, crowded, retry_after=7.0).retry_after == 7.0
    assert refused(503, crowded | {"code": "x"}, retry_after=7.0).retry_after == 7.0


VALIDATOR = (
    "2 validation errors for ChatRequestPayload\n"
    "conversation_id\n"
    "  Value error, conversation_id must be a valid UUID [type=value_error, input_value='x', input_type=str]\n"
    "    For further information visit https://errors.pydantic.dev/2.12/v/value_error\n"
    "inputs\n"
    "  Field required [type=missing, input_value={'query': 'my secret'}, input_type=dict]"
)


@pytest.mark.parametrize(
    ("document", "message", "param"),
    [
        (
            {"code": "invalid_param", "message": VALIDATOR, "status": 400},
            "conversation_id: Value error, conversation_id must be a valid UUID; inputs: Field required",
            "conversation_id",
        ),
        (
            {"errors": {"query": "Missing required parameter"}, "message": "Input payload validation failed"},
            "query: Missing required parameter",
            "query",
        ),
        ({"code": "invalid_param", "message": "No.", "params": "files", "status": 400}, "No.", "files"),
        (
            {"code": "invalid_param", "message": "topic is required in input form", "status": 400},
            "topic is required in input form",
            "inputs.topic",
        ),
        (
            {"code": "invalid_param", "message": "1 validation error for X\n", "status": 400},
            "Dify gave no reason.",
            None,
        ),
        ({"errors": [], "message": "No."}, "No.", None),
        ({"code": 7, "message": "No.", "params": 7}, "No.", None),
    ],
)
def test_fields_and_reasons(document: Any, message: str, param: str | None) -> None:
    error = refused(400, document)
    assert type(error) is UpstreamRejected
    assert (error.message, error.param) == (message, param)


def test_the_guess_of_another_address_is_cut_off() -> None:
    message = "The requested URL was not found. You have requested this URI [/v1/x] but did you mean /v1/y ?"
    assert (
        refused(404, {"code": "not_found", "message": message}).message == "The requested URL was not found."
    )


PAGE = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"


@pytest.mark.parametrize(
    "body",
    [PAGE, b"", b"[]", b"null", b'{"hello":1}', b'{"message":7}', b'{"answer":"a","message":"b"}', b"\xff"],
)
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (302, UpstreamMalformed, "bad_upstream_response"),
        (400, UpstreamMalformed, "bad_upstream_response"),
        (401, UpstreamAuthFailed, "upstream_auth_failed"),
        (403, UpstreamMalformed, "bad_upstream_response"),
        (404, UpstreamMalformed, "bad_upstream_response"),
        (413, TooLarge, "file_too_large"),
        (429, RateLimited, "rate_limit_exceeded"),
        (500, UpstreamError, "bad_upstream_response"),
        (502, UpstreamError, "bad_upstream_response"),
        (503, UpstreamOverloaded, "upstream_overloaded"),
        (504, UpstreamTimeout, "upstream_timeout"),
    ],
)
def test_case_34_what_did_not_come_from_the_application(
    body: bytes, status: int, kind: type, code: str
) -> None:
    error = refused(status, body)
    assert (type(error), error.code) == (kind, code)
    assert "<" not in error.message
    if body == PAGE and status == 404:
        assert (error.status, "404 Not Found" in error.message) == (502, True)


def test_a_run_that_failed_without_a_reason() -> None:
    for reason in (None, "", 7, " "):
        error = run_failed(reason, True)
        assert (error.code, error.message) == (
            "workflow_failed",
            "The run failed at Dify: no reason was given",
        )


def test_an_error_event_without_a_status() -> None:
    for status in (None, 200, 700, True, "400"):
        assert (
            type(in_band({"event": "error", "code": "new", "message": "x", "status": status}, True))
            is UpstreamError
        )
    assert type(in_band({"event": "error"}, True)) is UpstreamError


def test_nothing_secret_is_quoted() -> None:
    message = "Key app-0123456789abcdef0123 was refused by https://10.0.0.7:5001/internal"
    for document in ({"code": "invalid_param", "message": message}, {"code": "unknown", "message": message}):
        assert "0123456789" not in refused(400, document).message
        assert "10.0.0.7" not in refused(400, document).message
    stream = streamed(dify())
    stream.feed(frames({"event": "error", **CHAT, "code": "x", "message": message}))
    assert stream.failure is not None
    assert "0123456789" not in stream.failure.message


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "message", "status", "params", "errors", "x"]), inner, max_size=5
        )
    ),
)


@given(st.integers(300, 599), SHAPES | st.binary(max_size=40), st.booleans())
def test_any_refusal_is_an_error_of_ours(status: int, document: Any, own_key: bool) -> None:
    error = refused(status, document, own_key)
    assert isinstance(error, GatewayError)
    assert error.body()
    assert len(error.message) < 1200


@given(
    st.dictionaries(st.sampled_from(["code", "message", "status", "params", "errors"]), SHAPES, max_size=5)
)
def test_any_error_event_is_an_error_of_ours(event: dict[str, Any]) -> None:
    assert isinstance(in_band(event, True), GatewayError)
