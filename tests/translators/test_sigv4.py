"""Signature Version 4: the vector of the wire page, Amazon's own published one, and botocore on odd requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from translators.sigv4 import Keys, Scope, Stamp, canonical_path, canonical_query, signing_key

TIME = "20260102T030405Z"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCOPE = Scope("20260102", "us-east-1", "bedrock")
KEYS = Keys("AKIDTEST", "sekret")
USUAL = {"content-type": "application/json", "host": "127.0.0.1:9000"}
TARGET = "/agents/AGENT12345/agentAliases/TSTALIASID/sessions/s%3A1/text"


def signed(
    target: str, body: bytes, headers: dict[str, str], keys: Keys, method: str = "POST"
) -> dict[str, str]:
    stamp = Stamp.of(keys, signing_key(keys.secret_key, SCOPE), SCOPE, TIME, headers)
    return stamp.sign(method, target, body)


def test_the_vector_of_the_wire_page() -> None:
    assert signed(TARGET, b'{"inputText":"hi"}', USUAL, KEYS) == {
        "X-Amz-Date": TIME,
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260102/us-east-1/bedrock/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=bf1b30964fe0f65ae06dd846d9279837342ffe065b44da28a95ac98620b1f3ea"
        ),
    }


def test_the_vector_that_amazon_publishes() -> None:
    """``get-vanilla`` of the test suite that comes with Signature Version 4."""
    secret, scope = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Scope("20150830", "us-east-1", "service")
    stamp = Stamp.of(
        Keys("AKIDEXAMPLE", secret),
        signing_key(secret, scope),
        scope,
        "20150830T123600Z",
        {"host": "example.amazonaws.com"},
    )
    assert stamp.sign("GET", "/", b"")["Authorization"].endswith(
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_a_session_token_is_sent_and_signed() -> None:
    headers = signed(TARGET, b"", USUAL, Keys("A", "b", "token=="))
    assert headers["X-Amz-Security-Token"] == "token=="
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in headers["Authorization"]


@pytest.mark.parametrize("part", ["method", "path", "query", "header", "body", "secret", "token", "name"])
def test_every_part_is_signed(part: str) -> None:
    """Nothing can be changed on the way without the signature being another."""
    headers, keys = {**USUAL, "x-amz-source-arn": "a"}, Keys("A", "b", "t")
    usual = signed(TARGET + "?a=1", b"x", headers, keys)["Authorization"]
    changed = {
        "method": lambda: signed(TARGET + "?a=1", b"x", headers, keys, "PUT"),
        "path": lambda: signed(TARGET + "s?a=1", b"x", headers, keys),
        "query": lambda: signed(TARGET + "?a=2", b"x", headers, keys),
        "header": lambda: signed(TARGET + "?a=1", b"x", {**headers, "x-amz-source-arn": "b"}, keys),
        "body": lambda: signed(TARGET + "?a=1", b"y", headers, keys),
        "secret": lambda: signed(TARGET + "?a=1", b"x", headers, Keys("A", "c", "t")),
        "token": lambda: signed(TARGET + "?a=1", b"x", headers, Keys("A", "b", "u")),
        "name": lambda: signed(TARGET + "?a=1", b"x", USUAL, keys),
    }
    assert changed[part]()["Authorization"].rpartition("=")[2] != usual.rpartition("=")[2]


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a/s%3A1/text", "/a/s%253A1/text"),
        ("/~a-b_c.d", "/~a-b_c.d"),
        ("/a:b", "/a%3Ab"),
        ("/é", "/%C3%A9"),
        ("//a///b//", "/a/b/"),
        ("/a/./b/../c", "/a/c"),
        ("/../..", "/"),
        ("/a/..", "/"),
        ("/.a/..b", "/.a/..b"),
    ],
)
def test_a_path_is_straight_and_quoted_once_more(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("qualifier=DEFAULT", "qualifier=DEFAULT"),
        ("b=1&a=2&a=1", "a=1&a=2&b=1"),
        ("a", "a="),
        ("a=%2F&a=+", "a=%2F&a=+"),
        ("a=b=c&", "=&a=b=c"),
    ],
)
def test_a_query_is_in_order(query: str, canonical: str) -> None:
    assert canonical_query(query) == canonical


def test_keys_do_not_print_their_secrets() -> None:
    assert repr(Keys("AKID", "sekret", "tok")) == "Keys(access_key='AKID')"
    said = repr(Stamp.of(Keys("AKID", "sekret", "tok"), b"derived", SCOPE, TIME, USUAL))
    assert not any(secret in said for secret in ("sekret", "derived", "tok"))


def test_one_stamp_signs_many_requests_and_keeps_nothing_of_them() -> None:
    stamp = Stamp.of(KEYS, signing_key(KEYS.secret_key, SCOPE), SCOPE, TIME, USUAL)
    first = stamp.sign("POST", TARGET, b"1")
    other = stamp.sign("GET", "/b?a=1", b"2")
    assert stamp.sign("POST", TARGET, b"1") == first == signed(TARGET, b"1", USUAL, KEYS)
    assert other == signed("/b?a=1", b"2", USUAL, KEYS, "GET") != first


@pytest.fixture(scope="module", autouse=True)
def their_clock() -> Iterator[None]:
    with mock.patch("botocore.auth.get_current_datetime", lambda: NOW):
        yield


def theirs(method: str, target: str, body: bytes, headers: dict[str, str], keys: Keys) -> dict[str, str]:
    request = AWSRequest(method, f"http://{headers['host']}{target}", headers=dict(headers), data=body)
    credentials = Credentials(keys.access_key, keys.secret_key, keys.session_token or None)
    SigV4Auth(credentials, SCOPE.service, SCOPE.region).add_auth(request)
    return {name: value for name, value in request.headers.items() if name not in headers}


PATHS = st.lists(
    st.one_of(
        st.sampled_from(
            ["/", "//", "/.", "/..", "/a", "/s%3A1", "%2F", "~", ".", ":", "=", "é", " ", "+", "%", "/x/"]
        ),
        st.text("abcXYZ019-_.~%:@!$'()*,;&", max_size=6),
    ),
    max_size=8,
).map(lambda parts: "/" + "".join(parts))
QUERIES = st.lists(st.text("ab12%=&+._~/-", max_size=8), max_size=3).map("&".join)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
SPACED = st.lists(WORDS, min_size=1, max_size=3).map("  ".join)


@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    PATHS,
    QUERIES,
    st.binary(max_size=40),
    st.fixed_dictionaries(
        {"host": st.sampled_from(["h", "127.0.0.1:9000", "[::1]:80", "bedrock.us-east-1.amazonaws.com"])},
        optional={"content-type": SPACED, "x-amz-source-arn": SPACED, "x-amzn-a": SPACED},
    ),
    st.builds(Keys, WORDS, WORDS, st.one_of(st.just(""), WORDS)),
)
@example("POST", TARGET, "", b'{"inputText":"hi"}', USUAL, Keys("AKIDTEST", "sekret"))
def test_whatever_is_asked_is_signed_like_botocore_signs_it(
    method: str, path: str, query: str, body: bytes, headers: dict[str, str], keys: Keys
) -> None:
    target = f"{path}?{query}" if query else path
    if path.startswith("//"):
        target = "/" + target.lstrip("/")  # botocore reads addresses and would take this for a host
    assert signed(target, body, headers, keys, method) == theirs(method, target, body, headers, keys)
