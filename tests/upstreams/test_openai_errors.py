"""How OpenAI-shaped servers say no: statuses and shapes, crossed, and the same shapes inside a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wires.reader import openai
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
from translators.events import Event, Failed
from translators.upstreams.openai_errors import in_band_error, refusal_error

SHAPES: dict[str, Any] = {
    "openai": {"error": {"message": "It is so.", "type": "t", "param": "p", "code": "c"}},
    "openai, little": {"error": {"message": "It is so."}},
    "ollama": {"error": "It is so."},
    "ollama with message": {"error": "no", "message": "It is so."},
    "vllm": {"object": "error", "message": "It is so.", "type": "t", "param": None, "code": 400},
    "message": {"message": "It is so."},
    "fastapi": {"detail": "It is so."},
    "fastapi, list": {"detail": [{"loc": ["body"], "msg": "It is so."}]},
}
BY_STATUS: dict[int, type[GatewayError]] = {
    400: UpstreamRejected,
    401: UpstreamAuthFailed,
    402: QuotaExceeded,
    403: UpstreamAuthFailed,
    404: NotFound,
    405: UpstreamRejected,
    408: UpstreamTimeout,
    409: UpstreamRejected,
    413: TooLarge,
    422: UpstreamRejected,
    429: RateLimited,
    500: UpstreamError,
    502: UpstreamError,
    503: UpstreamOverloaded,
    504: UpstreamTimeout,
    529: UpstreamOverloaded,
    599: UpstreamError,
}


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_status_with_every_shape(status: int, shape: str) -> None:
    error = refusal_error(status, json.dumps(SHAPES[shape]).encode(), 7.5)
    assert type(error) is BY_STATUS[status]
    if type(error) is UpstreamAuthFailed:
        assert "It is so." not in error.message
        assert "It is so." in error.detail
    else:
        assert "It is so." in error.message
    waits = type(error) in (RateLimited, UpstreamOverloaded, UpstreamError)
    assert error.retry_after == (7.5 if waits else None)


def test_code_and_param_are_kept() -> None:
    error = refusal_error(400, json.dumps(SHAPES["openai"]).encode(), None)
    assert (error.code, error.param, error.message) == ("c", "p", "It is so.")
    missing = refusal_error(404, json.dumps(SHAPES["openai"]).encode(), None)
    assert (missing.code, missing.param) == ("c", "p")


@pytest.mark.parametrize("word", ["insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"])
@pytest.mark.parametrize("member", ["type", "code"])
def test_an_empty_purse_is_no_rate_limit(member: str, word: str) -> None:
    error = refusal_error(429, json.dumps({"error": {"message": "m", member: word}}).encode(), 3.0)
    assert type(error) is QuotaExceeded


@pytest.mark.parametrize("status", [*BY_STATUS, 300, 302, 307])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html><h1>Sorry</h1></html>", b"{", b"[1]", b'"x"', b"{}", b'{"error":{}}', b'{"a":1}', b"\xff"],
)
def test_a_status_without_readable_error(status: int, body: bytes) -> None:
    error = refusal_error(status, body, None)
    if status < 400:
        assert type(error) is UpstreamMalformed
        assert f"status {status}" in error.message
    elif status in (404, 405):
        assert type(error) is UpstreamError
        assert "configured address" in error.message
    elif status == 402:
        assert type(error) is UpstreamRejected
    else:
        assert type(error) is BY_STATUS[status]
    assert "<" not in error.message


ODD = [None, 0, 7, 1.5, True, "", "x", [], [1], {}, {"a": 1}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("member", ["message", "type", "code", "param", "status_code"])
def test_members_of_any_type(member: str, odd: Any) -> None:
    document = {"error": {"message": "m", member: odd}}
    assert refusal_error(400, json.dumps(document).encode(), None).status == 400
    assert isinstance(in_band_error(document), GatewayError)
    flat = {"object": "error", member: odd}
    assert refusal_error(500, json.dumps(flat).encode(), None).status == 502
    assert isinstance(in_band_error(flat), GatewayError)


IN_BAND: list[tuple[dict[str, Any], type[GatewayError] | None]] = [
    ({"choices": []}, None),
    ({"error": None}, None),
    ({"error": {}}, None),
    ({"error": ""}, None),
    ({"message": "not an error by itself"}, None),
    ({"error": "words"}, UpstreamError),
    ({"error": ["words"]}, UpstreamError),
    ({"error": True}, UpstreamError),
    ({"error": {"code": 429}}, RateLimited),
    ({"error": {"code": "429"}}, RateLimited),
    ({"error": {"code": 502}}, UpstreamError),
    ({"error": {"code": 200}}, UpstreamError),
    ({"error": {"code": 0, "type": "rate_limit_error"}}, RateLimited),
    ({"error": {"code": "rate_limit_exceeded"}}, RateLimited),
    ({"error": {"type": "Overloaded_Error"}}, UpstreamOverloaded),
    ({"error": {"type": "invalid_request_error"}}, UpstreamRejected),
    ({"error": {"code": "context_length_exceeded"}}, UpstreamRejected),
    ({"error": {"code": "content_filter", "type": "server_error"}}, UpstreamRejected),
    ({"error": {"type": "authentication_error"}}, UpstreamAuthFailed),
    ({"error": {"type": "not_found_error"}}, NotFound),
    ({"error": {"code": "insufficient_quota"}}, QuotaExceeded),
    ({"error": {"code": "whatever", "type": "server_error"}}, UpstreamError),
    ({"error": {"status_code": 503, "code": "x"}}, UpstreamOverloaded),
    ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, UpstreamRejected),
    ({"object": "error", "message": "m", "type": "BadRequestError"}, UpstreamRejected),
    ({"object": "error"}, UpstreamError),
    ({"error": "words", "code": 429}, RateLimited),
]


@pytest.mark.parametrize(("chunk", "kind"), IN_BAND, ids=repr)
def test_errors_inside_a_stream(chunk: dict[str, Any], kind: type[GatewayError] | None) -> None:
    events: list[Event] = []
    openai().translate(b"", json.dumps(chunk).encode(), events.append)
    errors = [event.error for event in events if type(event) is Failed]
    assert [type(error) for error in errors] == ([] if kind is None else [kind])
    assert all(error.message for error in errors)


def test_what_is_quoted_is_cleaned_and_short() -> None:
    said = "Bad key sk-abcdefghijklmnop at http://10.1.2.3/v1 " + "x " * 2000
    error = refusal_error(400, json.dumps({"error": {"message": said, "code": "c" * 500}}).encode(), None)
    assert "sk-abc" not in error.message
    assert "10.1.2.3" not in error.message
    assert len(error.message) <= 1000
    assert error.code is not None
    assert len(error.code) <= 120


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "type", "code", "object", "x"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(
    st.integers(300, 599),
    st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())),
)
def test_any_body_gives_an_error_and_raises_none(status: int, body: bytes) -> None:
    error = refusal_error(status, body, None)
    assert isinstance(error, GatewayError)
    assert error.status >= 400
    assert error.message
