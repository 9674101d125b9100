"""A service's own identity: what is asserted, how long its token serves, and what a refusal means."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.signing import ASSERTION, EARLY, JwtSigner, SignedWire, wire_to
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Close, Hang, Step, Wait
from tests.proxy.wires_setup import BOTH, in_turn, lean, says
from translators.errors import (
    UpstreamAuthFailed,
    UpstreamDisconnected,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from translators.upstreams.plan import Call, JwtGrant

KEY = rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


PEM = pem(KEY)
GRANT = JwtGrant("kid-1", "app-1", "api.example", PEM, "api/permission/oauth2/token", 900)
ASK = Call("POST", "v3/chat", b"{}", {"X-Id": "a"})
NOW = 1_700_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def token(text: str, expires_in: Any = NOW + 900) -> list[Step]:
    return says(json.dumps({"access_token": text, "expires_in": expires_in, "token_type": "Bearer"}).encode())


def signer(wire: Any, clock: Clock | None = None, grant: JwtGrant = GRANT) -> JwtSigner:
    numbers = iter(range(1000))
    return JwtSigner(grant, wire, clock or Clock(), lambda: f"nonce-{next(numbers)}")


def parts(asked: Recorded) -> tuple[dict[str, Any], dict[str, Any], str, bytes]:
    scheme, _, jwt = asked.headers["Authorization"].partition(" ")
    assert scheme == "Bearer" and "=" not in jwt
    head, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in jwt.split("."))
    return json.loads(head), json.loads(claims), jwt.rpartition(".")[0], signature


async def test_an_assertion_says_who_for_whom_and_how_long_and_is_signed():
    async with lean(token("czs_1")) as (wire, server):
        await signer(wire).sign(ASK)
        [asked] = server.requests
    assert (asked.method, asked.path) == ("POST", "/api/permission/oauth2/token")
    assert asked.document == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "duration_seconds": 900,
    }
    assert asked.headers.getall("Authorization") == [asked.headers["Authorization"]]
    head, claims, text, signature = parts(asked)
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert claims == {
        "iss": "app-1",
        "aud": "api.example",
        "iat": NOW,
        "exp": NOW + ASSERTION,
        "jti": "nonce-0",
    }
    KEY.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


async def test_a_session_is_named_where_there_is_one():
    async with lean(token("czs_1")) as (wire, server):
        grant = JwtGrant("k", "i", "a", PEM, "token", 60, session="tenant 7")
        await signer(wire, grant=grant).sign(ASK)
        assert parts(server.requests[0])[1]["session_name"] == "tenant 7"


async def test_by_default_no_two_assertions_are_alike():
    async with lean(token("t", NOW)) as (wire, server):
        one = JwtSigner(GRANT, wire, Clock())
        await one.sign(ASK)
        await one.sign(ASK)
        first, second = (parts(asked)[1]["jti"] for asked in server.requests)
    assert first != second and min(len(first), len(second)) >= 32


async def test_a_signed_call_carries_the_token_and_everything_it_had():
    async with lean(token("czs_1")) as (wire, _):
        call = await signer(wire).sign(ASK)
    assert call == Call("POST", "v3/chat", b"{}", {"X-Id": "a", "Authorization": "Bearer czs_1"})


async def test_a_token_serves_until_a_minute_before_its_end():
    clock = Clock()
    async with lean(in_turn(token("one"), token("two", NOW + 5000))) as (wire, server):
        one = signer(wire, clock)

        async def bearer() -> str:
            return (await one.sign(ASK)).headers["Authorization"]

        assert await bearer() == "Bearer one"
        clock.now = NOW + 900 - EARLY - 1
        assert (await bearer(), len(server.requests)) == ("Bearer one", 1)
        clock.now += 1
        assert (await bearer(), len(server.requests)) == ("Bearer two", 2)


async def test_a_duration_is_read_as_one_too():
    clock = Clock()
    async with lean(token("one", 900)) as (wire, server):
        one = signer(wire, clock)
        await one.sign(ASK)
        clock.now += 900 - EARLY - 1
        await one.sign(ASK)
        assert len(server.requests) == 1
        clock.now += 1
        await one.sign(ASK)
        assert len(server.requests) == 2


async def test_many_calls_at_once_cause_one_exchange():
    async with lean([Wait(0.05), *token("one")]) as (wire, server):
        one = signer(wire)
        calls = await asyncio.gather(*(one.sign(ASK) for _ in range(20)))
        assert {call.headers["Authorization"] for call in calls} == {"Bearer one"}
        assert len(server.requests) == 1


async def test_a_renewal_that_fails_hurts_nobody_while_the_token_still_serves():
    clock = Clock()
    async with lean(in_turn(token("one"), says(b"", 500), token("two", NOW + 9000))) as (wire, _):
        one = signer(wire, clock)
        await one.sign(ASK)
        clock.now = NOW + 880
        assert (await one.sign(ASK)).headers["Authorization"] == "Bearer one"
        clock.now = NOW + 900
        assert (await one.sign(ASK)).headers["Authorization"] == "Bearer two"


async def test_but_not_after_that():
    clock = Clock()
    async with lean(in_turn(token("one"), says(b"", 500))) as (wire, _):
        one = signer(wire, clock)
        await one.sign(ASK)
        clock.now = NOW + 900
        with pytest.raises(UpstreamOverloaded):
            await one.sign(ASK)


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_a_call_that_brings_its_own_authorization_keeps_it(name):
    call = Call("POST", "x", b"", {name: "Bearer theirs"})
    assert await signer(None).sign(call) is call


REFUSED = {
    "401": says(b'{"error_code":"access_denied","error_message":"no such app"}', 401),
    "400": says(b"bad jwt", 400),
    "302": says(b"", 302),
    "no token": says(b'{"code":4100,"msg":"authentication is invalid"}'),
    "no JSON": says(b"<html>"),
    "a list": says(b"[]"),
    "a token that is no text": says(b'{"access_token":7,"expires_in":9}'),
    "a token with a line end": says(b'{"access_token":"a\\r\\nX: y","expires_in":9}'),
    "an end that is no number": says(b'{"access_token":"a","expires_in":"soon"}'),
    "an end in the past": says(b'{"access_token":"a","expires_in":-1}'),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_for_the_operator_to_mend(name):
    async with lean(REFUSED[name]) as (wire, server):
        with pytest.raises(UpstreamAuthFailed) as caught:
            await signer(wire).sign(ASK)
        assert len(server.requests) == 1
    told = caught.value
    assert (told.status, told.code, told.should_retry) == (502, "upstream_auth_failed", False)
    assert "no such app" not in told.message and "HTTP" in told.message


async def test_the_log_learns_why_and_neither_learns_the_assertion():
    def echo(asked: Recorded) -> list[Step]:
        return says(b"refused: " + asked.headers["Authorization"].encode(), 400)

    async with lean(echo) as (wire, _):
        with pytest.raises(UpstreamAuthFailed) as caught:
            await signer(wire).sign(ASK)
    assert caught.value.detail == "refused: Bearer [secret]"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_token_endpoint_that_is_busy_is_not_a_refusal(status):
    async with lean(says(b"busy", status)) as (wire, _):
        with pytest.raises(UpstreamOverloaded):
            await signer(wire).sign(ASK)


async def test_an_exchange_is_bounded(monkeypatch):
    monkeypatch.setattr("proxy.signing.PATIENCE", 0.1)
    async with lean([Hang()]) as (wire, _):
        with pytest.raises(UpstreamTimeout):
            await signer(wire).sign(ASK)


async def test_a_broken_connection_stays_what_it_is():
    async with lean([Close()]) as (wire, _):
        with pytest.raises(UpstreamDisconnected):
            await signer(wire).sign(ASK)


@pytest.mark.parametrize("key", ["", "no key", PEM[:200], pem(ec.generate_private_key(ec.SECP256R1()))])
async def test_a_private_key_that_is_none_is_said_in_words_without_it(key):
    with pytest.raises(UpstreamAuthFailed, match="not an RSA key in PEM form") as caught:
        await signer(None, grant=JwtGrant("k", "i", "a", key, "token", 60)).sign(ASK)
    assert not key or key not in repr(caught.value.__cause__) + caught.value.message


async def test_a_key_in_one_line_reads_like_one_in_many():
    async with lean(token("czs_1")) as (wire, _):
        grant = JwtGrant("k", "i", "a", PEM.replace("\n", "\\n"), "token", 60)
        assert (await signer(wire, grant=grant).sign(ASK)).headers["Authorization"] == "Bearer czs_1"


def test_a_grant_does_not_print_its_key():
    assert "PRIVATE" not in repr(GRANT) and "kid-1" in repr(GRANT)


@pytest.mark.parametrize("wired", BOTH.values(), ids=BOTH)
async def test_what_is_sent_over_a_signed_wire_is_signed(wired):
    def script(asked: Recorded) -> list[Step]:
        return token("czs_1", NOW + 900) if asked.path.endswith("/token") else says(b"answer")

    async with wired(script) as (wire, server):
        over = wire_to(server.url, {}, GRANT, lambda address, keep=0.0: wire, Clock())
        assert isinstance(over, SignedWire)
        for _ in range(2):
            answer = await over.send(ASK)
            assert await answer.body.read() == b"answer"
            answer.body.close()
        assert [asked.headers.getall("Authorization") for asked in server.requests[1:]] == [
            ["Bearer czs_1"]
        ] * 2
        assert [asked.path for asked in server.requests][1:] == ["/v3/chat"] * 2
        await over.close()


def test_where_no_credential_is_wanted_the_wire_stays_what_it_is():
    wire: Any = object()
    assert wire_to("http://up", {}, None, lambda address, keep=0.0: wire, Clock()) is wire


@pytest.mark.parametrize("credential", [None, GRANT])
def test_what_has_no_address_needs_no_way(credential):
    assert wire_to("", {}, credential, lambda address, keep=0.0: pytest.fail(address), Clock()) is None
