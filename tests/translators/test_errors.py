"""The error tree: each class knows its status, its type and its code, and says them in one shape."""

from __future__ import annotations

import json

import pytest

from translators import errors
from translators.errors import GatewayError
from translators.ids import Envelope

#               status, type, code, x-should-retry
TREE: dict[str, tuple[int, str, str | None, bool | None]] = {
    "BadRequest": (400, "invalid_request_error", None, None),
    "UpstreamRejected": (400, "invalid_request_error", None, None),
    "Unauthenticated": (401, "authentication_error", "invalid_api_key", None),
    "Forbidden": (403, "permission_error", None, None),
    "NotFound": (404, "invalid_request_error", None, None),
    "MethodNotAllowed": (405, "invalid_request_error", "method_not_supported", None),
    "RequestTimeout": (408, "invalid_request_error", "request_timeout", None),
    "Conflict": (409, "invalid_request_error", None, None),
    "TooLarge": (413, "invalid_request_error", "request_too_large", None),
    "RateLimited": (429, "rate_limit_error", "rate_limit_exceeded", None),
    "QuotaExceeded": (429, "insufficient_quota", "insufficient_quota", False),
    "UpstreamError": (502, "server_error", "upstream_error", None),
    "UpstreamAuthFailed": (502, "server_error", "upstream_auth_failed", False),
    "UpstreamMalformed": (502, "server_error", "bad_upstream_response", False),
    "UpstreamIncomplete": (502, "server_error", "upstream_incomplete", False),
    "UpstreamDisconnected": (502, "server_error", "upstream_disconnected", False),
    "UpstreamFailed": (502, "server_error", "upstream_error", False),
    "UpstreamBroken": (500, "server_error", "upstream_error", False),
    "UpstreamDependencyFailed": (424, "server_error", "dependency_failed", False),
    "UpstreamNotReady": (503, "server_error", "upstream_not_configured", False),
    "UpstreamStale": (502, "server_error", "upstream_disconnected", False),
    "UpstreamUnreachable": (503, "server_error", "upstream_unreachable", None),
    "UpstreamOverloaded": (503, "server_error", "upstream_overloaded", None),
    "UpstreamTimeout": (504, "server_error", "upstream_timeout", False),
    "ShuttingDown": (503, "server_error", "shutting_down", None),
    "StorageUnavailable": (503, "server_error", "storage_unavailable", None),
    "StorageFull": (507, "server_error", "storage_full", False),
    "Internal": (500, "server_error", "internal_error", None),
}


def descendants(kind: type[GatewayError]) -> set[str]:
    return {found for child in kind.__subclasses__() for found in {child.__name__} | descendants(child)}


def test_the_table_is_the_whole_tree() -> None:
    assert {name for name in descendants(GatewayError) if hasattr(errors, name)} == set(TREE)


@pytest.mark.parametrize("name", TREE)
def test_what_a_class_says(name: str) -> None:
    status, type_, code, should_retry = TREE[name]
    kind: type[GatewayError] = getattr(errors, name)
    error = kind("Why.", detail="for the log")
    assert (error.status, error.type, error.code, error.should_retry) == (status, type_, code, should_retry)
    assert json.loads(error.body()) == {
        "error": {"message": "Why.", "type": type_, "param": None, "code": code}
    }
    assert list(error.document()["error"]) == ["message", "type", "param", "code"]
    assert str(error) == "Why." == error.args[0]
    assert "for the log" not in repr(error)
    given = kind("Why.", param="messages[0]", code="own", retry_after=1.5)
    assert (given.param, given.code, given.retry_after) == ("messages[0]", "own", 1.5)


def test_a_body_is_one_line_whatever_the_message() -> None:
    body = errors.UpstreamError("a\r\nb\u2028\ud83d", code="\n").body()
    assert len(body.decode().splitlines()) == 1


def test_an_error_can_be_raised_chained_and_compared_by_identity() -> None:
    one, other = errors.BadRequest("x"), errors.BadRequest("x")
    assert one != other
    with pytest.raises(errors.BadRequest) as caught:
        raise one from other
    assert caught.value.__cause__ is other


@pytest.mark.parametrize(
    ("id", "choice", "index", "expected"),
    [
        ("chatcmpl-abc", 0, 2, "call_abc_2"),
        ("chatcmpl-abc", 3, 0, "call_abc_3_0"),
        ("bare", 0, 0, "call_bare_0"),
    ],
)
def test_an_envelope_names_tool_calls(id: str, choice: int, index: int, expected: str) -> None:
    assert Envelope(id, 1, "m").tool_call_id(choice, index) == expected
