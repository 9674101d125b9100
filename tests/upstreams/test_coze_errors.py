"""How Coze says no: every code of the table, wherever it stands, and what statuses mean without one."""

from __future__ import annotations

import json

import pytest

from tests.upstreams.coze_setup import coze, event, streamed
from tests.wires.reader import told
from translators.errors import (
    GatewayError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from translators.upstreams.coze import Coze
from translators.upstreams.coze_errors import answered, data_of, refusal_error
from translators.upstreams.plan import Reply

TABLE: dict[int, tuple[int, str, str]] = {
    4000: (400, "invalid_request_error", "invalid_parameter"),
    4008: (429, "insufficient_quota", "insufficient_quota"),
    4009: (429, "insufficient_quota", "insufficient_quota"),
    4011: (429, "insufficient_quota", "insufficient_quota"),
    4013: (429, "rate_limit_error", "rate_limit_exceeded"),
    4014: (400, "invalid_request_error", "content_filter"),
    4015: (404, "invalid_request_error", "model_not_found"),
    4016: (409, "invalid_request_error", "conversation_busy"),
    4019: (429, "insufficient_quota", "insufficient_quota"),
    4020: (429, "insufficient_quota", "insufficient_quota"),
    4027: (429, "insufficient_quota", "insufficient_quota"),
    4028: (429, "insufficient_quota", "insufficient_quota"),
    4033: (429, "insufficient_quota", "insufficient_quota"),
    4100: (502, "server_error", "upstream_auth_failed"),
    4101: (403, "permission_error", "permission_denied"),
    4102: (400, "invalid_request_error", "content_filter"),
    4104: (409, "invalid_request_error", "chat_not_cancellable"),
    4200: (404, "invalid_request_error", "not_found"),
    4999: (400, "invalid_request_error", "coze_4999"),
    5000: (502, "server_error", "upstream_error"),
    6003: (403, "permission_error", "plan_required"),
    6023: (504, "server_error", "upstream_timeout"),
    6031: (404, "invalid_request_error", "not_found"),
    6039: (400, "invalid_request_error", "interrupt_unsupported"),
    9999: (502, "server_error", "coze_9999"),
    103000000: (400, "invalid_request_error", "invalid_parameter"),
    103000001: (403, "permission_error", "permission_denied"),
    103000002: (404, "invalid_request_error", "not_found"),
    103100001: (502, "server_error", "upstream_error"),
    103100002: (404, "invalid_request_error", "model_not_found"),
    103200002: (502, "server_error", "upstream_error"),
    103200003: (404, "invalid_request_error", "not_found"),
    103200005: (409, "invalid_request_error", "chat_not_cancellable"),
    700012006: (502, "server_error", "upstream_auth_failed"),
    720701013: (502, "server_error", "upstream_error"),
    720702001: (400, "invalid_request_error", "invalid_parameter"),
    720702002: (400, "invalid_request_error", "invalid_parameter"),
    720702004: (404, "invalid_request_error", "not_found"),
    720702011: (404, "invalid_request_error", "not_found"),
    720702085: (504, "server_error", "upstream_timeout"),
    720702999: (502, "server_error", "upstream_error"),
    799999999: (502, "server_error", "upstream_error"),
    -1: (502, "server_error", "coze_-1"),
}


def envelope(code: object, msg: object = "It is so.", **members: object) -> bytes:
    return json.dumps({"code": code, "msg": msg, **members}).encode()


def failure_of(sent: bytes, upstream: Coze | None = None) -> GatewayError:
    stream = streamed(upstream or coze())
    told(stream, [sent])
    assert stream.failure is not None
    return stream.failure


def facts(error: GatewayError) -> tuple[int, str, str | None]:
    return error.status, error.type, error.code


@pytest.mark.parametrize("code", TABLE)
def test_a_code_means_the_same_everywhere(code: int) -> None:
    logid = {"logid": "20270101120000AB12CD34EF56"}
    body = envelope(code, detail=logid)
    inside = {"code": code, "msg": "It is so.", "error": logid}
    failed = {
        "id": "1",
        "status": "failed",
        "last_error": {"code": code, "msg": "It is so."},
        "detail": logid,
    }
    errors = [
        failure_of(body),
        failure_of(b": hello\n\n" + body + b"\n\n"),
        failure_of(event("error", inside)),
        failure_of(event("error", {**inside, "code": str(code)})) if code > 0 else failure_of(body),
        failure_of(event("conversation.chat.failed", inside)),
        failure_of(event("conversation.chat.failed", failed)),
        failure_of(
            event("Error", {"error_code": code, "error_message": "It is so.", "detail": logid}), workflow()
        ),
        failure_of(body, workflow()),
        *([refusal_error(400, body, None, False)] if code not in (9999, -1) else []),
    ]
    for error in errors:
        assert facts(error) == TABLE[code]
        assert f"(coze code {code}, logid 20270101120000AB12CD34EF56)" in error.message
        assert "It is so." in (error.detail if type(error) is UpstreamAuthFailed else error.message)
    with pytest.raises(GatewayError) as caught:
        answered(Reply(200, body), False)
    assert facts(caught.value) == TABLE[code]


def workflow() -> Coze:
    return coze(model_type="workflow")


@pytest.mark.parametrize("code", [4100, 700012006])
def test_a_passed_credential_is_the_clients_to_mend(code: int) -> None:
    mine = coze(pass_through=True, key="pat_abc")
    assert type(failure_of(envelope(code), mine)) is Unauthenticated
    theirs = coze(pass_through=True, key="sk-abc")
    assert type(failure_of(envelope(code), theirs)) is UpstreamAuthFailed
    assert type(mine.reject(401, b"", None)) is Unauthenticated
    assert type(theirs.reject(401, b"", None)) is UpstreamAuthFailed


@pytest.mark.parametrize(
    ("msg", "kind"),
    [
        ("The token you entered is incorrect. Please check your token and try again.", UpstreamAuthFailed),
        (
            "You do not have permission to access the resource. Please verify that the token has permission.",
            None,
        ),
        ("no permission", None),
    ],
)
def test_4101_may_be_about_the_token(msg: str, kind: type[GatewayError] | None) -> None:
    error = failure_of(envelope(4101, msg))
    assert type(error) is kind if kind else facts(error) == TABLE[4101]


STATUSES: dict[int, type[GatewayError]] = {
    302: UpstreamMalformed,
    400: UpstreamRejected,
    401: UpstreamAuthFailed,
    403: UpstreamAuthFailed,
    404: UpstreamError,
    408: UpstreamTimeout,
    413: TooLarge,
    429: RateLimited,
    500: UpstreamError,
    502: UpstreamError,
    503: UpstreamOverloaded,
    504: UpstreamTimeout,
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<h1>It is so.</h1>", b"[1]", b'{"msg":"It is so."}', b'{"code":12}'])
def test_a_status_without_a_known_code(status: int, body: bytes) -> None:
    error = coze().reject(status, body, 7.5)
    assert type(error) is STATUSES[status]
    if b"so" in body and status != 302:
        assert "It is so." in error.message + error.detail
    if status in (429, 503):
        assert error.retry_after == 7.5
    if body.startswith(b'{"code"') and type(error) in (UpstreamRejected, UpstreamError) and status != 404:
        assert error.code == "coze_12"


def test_codes_of_statuses_and_other_shapes() -> None:
    assert facts(refusal_error(400, envelope(400), None, False)) == TABLE[4000]
    assert facts(refusal_error(500, envelope(500), None, False)) == TABLE[5000]
    assert refusal_error(429, b"", None, False).retry_after == 1.0
    assert refusal_error(400, b'{"error_message":"slow down"}', None, False).message == "slow down"
    for code in ("x", None, True, 1.5, "9" * 30, [], {}):
        assert answered(Reply(200, envelope(code)), False)["msg"] == "It is so."
    assert failure_of(event("error", {"code": 5000, "msg": 7})).message == (
        "The upstream gave no reason. (coze code 5000)"
    )


def test_no_secret_is_quoted() -> None:
    said = envelope(4000, "key pat_abcdefghijklmnop at https://10.1.2.3/x", detail={"logid": "a b\nc"})
    message = failure_of(said).message
    assert message == "key [secret] at [address] (coze code 4000)"


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"<p>"])
def test_an_answer_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        answered(Reply(200, body), False)


def test_an_answer_with_another_status_or_without_data() -> None:
    with pytest.raises(UpstreamOverloaded):
        answered(Reply(503, b""), False)
    with pytest.raises(UpstreamMalformed):
        data_of(Reply(200, envelope(0)), False)
    assert data_of(Reply(200, envelope(0, data={"a": 1})), False) == {"a": 1}
    assert answered(Reply(200, b'{"data":{}}'), False) == {"data": {}}
