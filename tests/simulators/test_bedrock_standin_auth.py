"""Signatures: the fixed vector of the wire page, botocore's own, and everything that is wrong with a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulators.bedrock_auth import (
    Keys,
    Received,
    bearer_of,
    canonical_path,
    canonical_query,
    canonical_request,
    signature,
    verify,
)
from proxy.simulators.bedrock_faults import Fault
from tests.simulators.bedrock_client import bedrock, where

STAMP = "20260102T030405Z"
NOW = 1_767_323_045.0
KEYS = Keys("AKIDTEST", "sekret")
SCOPE = ("20260102", "us-east-1", "bedrock", "aws4_request")
SIGNED = ("content-type", "host", "x-amz-date")
BODY = b'{"inputText":"hi"}'
TARGET = "/agents/AGENT12345/agentAliases/TSTALIASID/sessions/s%3A1/text"
SIGNATURE = "bf1b30964fe0f65ae06dd846d9279837342ffe065b44da28a95ac98620b1f3ea"
HEADERS = (
    ("Host", "127.0.0.1:9000"),
    ("Content-Type", "application/json"),
    ("X-Amz-Date", STAMP),
)


def authorization(
    text: str = SIGNATURE, signed: tuple[str, ...] = SIGNED, scope: tuple[str, ...] = SCOPE
) -> str:
    credential = "/".join(("AKIDTEST", *scope))
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(signed)}, Signature={text}"


VECTOR = Received("POST", TARGET, (*HEADERS, ("Authorization", authorization())), BODY)


def check(request: Received, keys: Keys = KEYS, now: float = NOW, **more: Any) -> Keys:
    settings = {"region": "us-east-1", "service": "bedrock", **more}
    return verify(request, {keys.access_key: keys}, now=now, **settings)


def refusal(request: Received, keys: Keys = KEYS, now: float = NOW, **more: Any) -> str:
    with pytest.raises(Fault) as caught:
        check(request, keys, now, **more)
    assert caught.value.trouble.status == 403
    assert keys.secret_key not in str(caught.value)
    return caught.value.trouble.name


def signed_by_hand(request: Received, signed: tuple[str, ...], keys: Keys = KEYS) -> Received:
    made = signature(request, signed, SCOPE, STAMP, keys.secret_key)
    return evolve(request, headers=(*request.headers, ("Authorization", authorization(made, signed))))


def test_the_fixed_vector() -> None:
    assert check(VECTOR) is KEYS
    canonical = canonical_request(VECTOR, SIGNED)
    assert canonical.split("\n")[1] == "/agents/AGENT12345/agentAliases/TSTALIASID/sessions/s%253A1/text"
    assert canonical.endswith("ee9ef87bd5a357cff93b1d83d1e8a1b47fb3fa2e94251711c6a30250119e6369")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": TARGET.replace("%3A", ":")},
        {"target": TARGET.replace("s%3A1", "s%3a1")},
        {"target": TARGET + "?a=b"},
        {"body": BODY + b" "},
        {"headers": tuple((name, value.replace("9000", "9001")) for name, value in VECTOR.headers)},
        {"headers": tuple((name, value.replace("json", "jsonl")) for name, value in VECTOR.headers)},
        {"headers": (*VECTOR.headers, ("Content-Type", "application/json"))},
    ],
    ids=["method", "path", "case", "query", "body", "host", "header", "repeated"],
)
def test_whatever_was_signed_must_be_what_came(change: dict[str, Any]) -> None:
    assert refusal(evolve(VECTOR, **change)) == "invalidSignatureException"


def test_what_was_not_signed_may_change() -> None:
    assert check(evolve(VECTOR, headers=(*VECTOR.headers, ("User-Agent", "me")))) is KEYS


HEADER: list[tuple[Callable[[str], str], str]] = [
    (lambda given: "", "missingAuthenticationTokenException"),
    (lambda given: "Bearer abc", "incompleteSignatureException"),
    (lambda given: given.replace("Credential=", "Credentials="), "incompleteSignatureException"),
    (lambda given: given.replace("/aws4_request", ""), "incompleteSignatureException"),
    (lambda given: given.replace("/aws4_request", "/aws4"), "invalidSignatureException"),
    (lambda given: given.replace("us-east-1", "us-west-2"), "invalidSignatureException"),
    (lambda given: given.replace("/bedrock/", "/bedrock-agentcore/"), "invalidSignatureException"),
    (lambda given: given.replace("20260102/", "20260103/"), "invalidSignatureException"),
    (lambda given: given.replace("AKIDTEST", "AKIDOTHER"), "unrecognizedClientException"),
    (lambda given: given.replace("host;x-amz-date", "x-amz-date;host"), "incompleteSignatureException"),
    (lambda given: given.replace(";host", ";Host"), "incompleteSignatureException"),
    (lambda given: given.replace(";host", ""), "invalidSignatureException"),
    (lambda given: given.replace(";x-amz-date", ""), "invalidSignatureException"),
    (lambda given: given.replace(";host", ";date;host"), "invalidSignatureException"),
    (lambda given: given[:-1] + "0", "invalidSignatureException"),
    (lambda given: given[:-1] + "ü", "invalidSignatureException"),
]


@pytest.mark.parametrize(("change", "name"), HEADER)
def test_a_header_that_is_wrong(change: Callable[[str], str], name: str) -> None:
    changed = [(key, change(value) if key == "Authorization" else value) for key, value in VECTOR.headers]
    assert refusal(evolve(VECTOR, headers=changed)) == name


def test_no_header_and_two_of_them() -> None:
    assert refusal(evolve(VECTOR, headers=HEADERS)) == "missingAuthenticationTokenException"
    twice = (*VECTOR.headers, VECTOR.headers[-1])
    assert refusal(evolve(VECTOR, headers=twice)) == "missingAuthenticationTokenException"


@pytest.mark.parametrize(("seconds", "passes"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_clock_may_be_five_minutes_wrong(seconds: float, passes: bool) -> None:
    if passes:
        assert check(VECTOR, now=NOW + seconds) is KEYS
    else:
        assert refusal(VECTOR, now=NOW + seconds) == "invalidSignatureException"


@pytest.mark.parametrize("stamp", ["2026-01-02T03:04:05Z", "20261302T030405Z", "20260102T030405", "now"])
def test_a_date_in_another_form(stamp: str) -> None:
    headers = [(name, stamp if name == "X-Amz-Date" else value) for name, value in VECTOR.headers]
    assert refusal(evolve(VECTOR, headers=headers)) == "incompleteSignatureException"


def test_temporary_keys_need_their_token_and_end() -> None:
    keys = Keys("AKIDTEST", "sekret", "tok/en", NOW + 10)
    headers = (*HEADERS, ("X-Amz-Security-Token", "tok/en"))
    request = signed_by_hand(Received("POST", TARGET, headers, BODY), (*SIGNED, "x-amz-security-token"), keys)
    assert check(request, keys) is keys
    assert refusal(request, keys, NOW + 10) == "expiredTokenException"
    assert refusal(VECTOR, keys) == "unrecognizedClientException"
    assert refusal(request) == "unrecognizedClientException"


def test_every_header_of_amazon_must_be_signed() -> None:
    with_arn = evolve(VECTOR, headers=(*VECTOR.headers, ("x-amz-source-arn", "arn:aws:x")))
    assert refusal(with_arn) == "invalidSignatureException"
    other = evolve(VECTOR, headers=(*VECTOR.headers, ("x-amzn-trace-id", "1")))
    assert check(other) is KEYS


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("", "/"),
        ("/agents/", "/agents/"),
        ("/a//b/./c", "/a/b/c"),
        ("/a/b/../c", "/a/c"),
        ("/../..", "/"),
        ("/a%2Fb/~x_y.z-", "/a%252Fb/~x_y.z-"),
    ],
)
def test_paths(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("", ""),
        ("b=2&a=1", "a=1&b=2"),
        ("qualifier", "qualifier="),
        ("a=%7E+x%20y&&a=%2f", "a=%2F&a=~%2Bx%20y"),
    ],
)
def test_queries(query: str, canonical: str) -> None:
    assert canonical_query(query) == canonical


NAMES = st.text("abcdefXYZ0189-_.~", min_size=1, max_size=8)
PATHS = st.lists(
    st.text("abz09:._- %/üñ+=&~", min_size=1, max_size=12).filter(lambda s: s not in (".", "..")), max_size=4
)
QUERIES = st.dictionaries(NAMES, st.text("ab :/+ü~", max_size=6), max_size=3)


@given(PATHS, QUERIES, st.binary(max_size=40), st.booleans(), st.sampled_from(["POST", "GET"]))
def test_what_botocore_signs_is_verified(
    segments: list[str], query: dict[str, str], body: bytes, temporary: bool, method: str
) -> None:
    from urllib.parse import quote, urlencode

    keys = Keys("AKIDTEST", "sekret", "tok/en+==" if temporary else "")
    target = "/" + "/".join(quote(segment, safe="~") for segment in segments)
    if query:
        target += "?" + urlencode(query, quote_via=quote)
    request = AWSRequest(method, f"http://127.0.0.1:9000{target}", {"Content-Type": "a/b"}, body)
    request.context["timestamp"] = STAMP
    auth = SigV4Auth(
        Credentials(keys.access_key, keys.secret_key, keys.session_token or None), "bedrock", "us-east-1"
    )
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    headers = [("Host", "127.0.0.1:9000"), *((name, str(value)) for name, value in request.headers.items())]
    assert check(Received(method, target, headers, body), keys) is keys


def test_a_token_instead_of_a_signature() -> None:
    assert bearer_of({"Authorization": "Bearer  abc "}) == "abc"
    assert bearer_of({"Authorization": "AWS4-HMAC-SHA256 x"}) is None
    assert bearer_of({}) is None


async def test_over_a_socket() -> None:
    async with bedrock() as aws:
        assert (await aws.ask()).status == 200
        unsigned = await aws.raw("POST", where(), BODY, {"Content-Type": "application/json"})
        aws.clock.now += 301
        headers = aws.signed("POST", where(), BODY, {"Content-Type": "application/json"}, "bedrock")
        aws.clock.now += 301
        late = await aws.raw("POST", where(), BODY, headers)
        scoped = await aws.send("POST", where(), {"inputText": "x"}, service="bedrock-agentcore")
        aws.server.knobs.signed = False
        free = await aws.raw("POST", where(), BODY, {"Content-Type": "application/json"})
    assert unsigned.error == (403, "MissingAuthenticationTokenException")
    assert late.error == (403, "InvalidSignatureException")
    assert "expired" in late.json["message"]
    assert scoped.error == (403, "InvalidSignatureException")
    assert free.status == 200
