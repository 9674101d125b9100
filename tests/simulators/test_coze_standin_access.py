"""Who may ask: tokens, their permission points and scopes, and the endpoint that gives one for a signed JWT."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from proxy.simulators.coze import DEMO_BOT, DEMO_TOKEN
from proxy.simulators.coze_access import GRANT, TOKEN_PATH, Access, OAuthApp
from proxy.simulators.coze_knobs import Platform
from tests.simulators.coze_client import NOW, Client, chat, platform

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
APP = OAuthApp("1130", "kid-1", PUBLIC)
GOOD = {"grant_type": GRANT, "duration_seconds": 900}


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(host: str, head: Any = None, key: Any = KEY, **claims: Any) -> str:
    """A JWT as the platform wants it, or with other claims; None leaves one out."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "kid-1", **(head or {})}
    payload = {"iss": "1130", "aud": host, "iat": NOW, "exp": NOW + 60, "jti": "j1", **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(payload).encode())}"
    return f"{text}.{encoded(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def host_of(client: Client) -> str:
    return client.server.url.removeprefix("http://")


async def asked(client: Client, token: str, document: Any = GOOD) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    status, _, raw = await client.raw("POST", TOKEN_PATH, json=document, headers=headers)
    return status, json.loads(raw)


def apps() -> Any:
    return platform(apps=[APP])


@pytest.mark.parametrize("port", [True, False])
async def test_a_token_is_flat_and_its_expiry_a_time(port: bool) -> None:
    async with apps() as client:
        host = host_of(client) if port else "127.0.0.1"
        status, got = await asked(client, jwt(host))
        token = got.pop("access_token")
        client.token = token
        me = await client.get("/v1/users/me")
    assert (status, got) == (200, {"expires_in": NOW + 900, "token_type": "Bearer"})
    assert token.startswith("czs_")
    assert me["data"]["user_id"] == "1130"


async def test_tokens_expire() -> None:
    now = [float(NOW)]
    async with platform(apps=[APP], clock=lambda: now[0]) as client:
        _, got = await asked(client, jwt(host_of(client)), {"grant_type": GRANT, "duration_seconds": 10})
        client.token = got["access_token"]
        now[0] += 9
        assert (await client.get("/v1/users/me"))["code"] == 0
        now[0] += 1
        assert (await client.get("/v1/users/me"))["code"] == 4100


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"head": {"alg": "HS256"}}, "RS256"),
    ({"head": {"alg": "none"}}, "RS256"),
    ({"head": {"typ": None}}, "of type JWT"),
    ({"head": {"kid": "kid-2"}}, "not known"),
    ({"key": OTHER}, "signature"),
    ({"iss": "1131"}, "issuer"),
    ({"aud": "api.coze.com"}, "audience"),
    ({"aud": None}, "audience"),
    ({"exp": NOW}, "expired"),
    ({"exp": None}, "expired"),
    ({"exp": str(NOW + 60)}, "expired"),
    ({"iat": NOW + 100}, "not issued yet"),
    ({"iat": None}, "not issued yet"),
    ({"jti": None}, "no jti"),
    ({"jti": ""}, "no jti"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
async def test_wrong_jwts(change: dict[str, Any], words: str) -> None:
    async with apps() as client:
        status, got = await asked(client, jwt(host_of(client), **change))
    assert status == 401
    assert got["error_code"] == got["error"] == "access_denied"
    assert words in got["error_message"]


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "e30.e30.*", "W10.e30.e30", "e30.W10.e30"])
async def test_what_is_no_jwt(token: str) -> None:
    async with apps() as client:
        assert (await asked(client, token))[0] == 401


async def test_a_jwt_serves_once() -> None:
    async with apps() as client:
        token = jwt(host_of(client))
        assert (await asked(client, token))[0] == 200
        status, got = await asked(client, token)
        assert (status, got["error_message"]) == (401, "the JWT was used before")
        assert (await asked(client, jwt(host_of(client), jti="j2")))[0] == 200


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "invalid_request"),
        ({}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({**GOOD, "duration_seconds": 86_400}, "invalid_request"),
        ({**GOOD, "duration_seconds": "900"}, "invalid_request"),
        ({**GOOD, "scope": "chat"}, "invalid_request"),
    ],
)
async def test_wrong_requests_for_a_token(document: Any, code: str) -> None:
    async with apps() as client:
        status, got = await asked(client, jwt(host_of(client)), document)
    assert (status, got["error_code"]) == (400, code)


async def test_a_request_for_a_token_that_is_not_json_or_not_bearer() -> None:
    async with apps() as client:
        headers = {"Authorization": f"Bearer {jwt(host_of(client))}"}
        assert (await client.raw("POST", TOKEN_PATH, data=b"{", headers=headers))[0] == 400
        assert (await client.raw("POST", TOKEN_PATH, json=GOOD, headers={"Authorization": "Basic x"}))[
            0
        ] == 401


async def test_a_scope_limits_to_bots() -> None:
    scope = {"attribute_constraint": {"connector_bot_chat_attribute": {"bot_id_list": ["7"]}}}
    async with apps() as client:
        _, got = await asked(client, jwt(host_of(client), session_name="ann"), {**GOOD, "scope": scope})
        client.token = got["access_token"]
        refused = [
            await client.post("/v3/chat", chat()),
            await client.post("/v1/conversation/create", {"bot_id": DEMO_BOT}),
            await client.post("/v1/workflow/run", {"workflow_id": "7512000000000000002", "bot_id": DEMO_BOT}),
        ]
        me = await client.get("/v1/users/me")
    assert [answer["code"] for answer in refused] == [4101] * 3
    assert me["data"]["user_id"] == "1130/ann"


# Personal tokens.


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer other", "bearer " + DEMO_TOKEN, DEMO_TOKEN])
async def test_unknown_tokens(authorization: str) -> None:
    async with platform() as client:
        sent = {"headers": {"Authorization": authorization}}
        status, _, raw = await client.raw("POST", "/v3/chat", json=chat(), **sent)
        assert (status, json.loads(raw)["code"]) == (401, 4100)
        client.server.platform.auth_status = 200
        status, _, raw = await client.raw("POST", "/v3/chat", json=chat(), **sent)
        assert (status, json.loads(raw)["code"]) == (200, 4100)


PERMISSIONS = [
    ("POST", "/v3/chat", "chat"),
    ("GET", "/v3/chat/retrieve", "getChat"),
    ("POST", "/v3/chat/retrieve", "getChat"),
    ("GET", "/v3/chat/message/list", "listMessage"),
    ("POST", "/v1/conversation/message/list", "listMessage"),
    ("POST", "/v3/chat/submit_tool_outputs", "submitToolChat"),
    ("POST", "/v1/workflow/run", "run"),
    ("POST", "/v1/workflow/stream_run", "run"),
    ("POST", "/v1/workflow/stream_resume", "run"),
    ("POST", "/v1/workflows/chat", "run"),
    ("GET", "/v1/workflows/7/run_histories/8", "listRunHistory"),
    ("POST", "/v1/files/upload", "uploadFile"),
    ("PUT", "/v1/conversations/7", "editConversation"),
    ("DELETE", "/v1/conversations/7", "editConversation"),
]


@pytest.mark.parametrize(("method", "path", "permission"), PERMISSIONS)
async def test_permission_points(method: str, path: str, permission: str) -> None:
    every = {name for _, _, name in PERMISSIONS}
    tokens = {
        "pat_a": Access("1", frozenset(every - {permission})),
        "pat_b": Access("1", frozenset({permission})),
    }
    async with platform(tokens=tokens) as client:
        codes = []
        for client.token in tokens:
            _, _, raw = await client.raw(method, path)
            codes.append(json.loads(raw)["code"])
    assert codes[0] == 4101
    assert codes[1] in (4000, 4200)


async def test_what_one_account_made_is_not_the_others() -> None:
    tokens = {"pat_a": Access("1"), "pat_b": Access("2")}
    async with platform(tokens=tokens) as client:
        client.token = "pat_a"
        made = (await client.post("/v1/conversation/create", {"bot_id": DEMO_BOT}))["data"]["id"]
        client.token = "pat_b"
        listed = await client.get("/v1/conversations", bot_id=DEMO_BOT)
        _, _, raw = await client.raw("DELETE", f"/v1/conversations/{made}")
    assert listed["data"]["conversations"] == []
    assert json.loads(raw)["code"] == 4101


async def test_studio_says_it_with_another_code() -> None:
    async with platform(platform=Platform(studio=True)) as client:
        status, _, raw = await client.raw("GET", "/v1/users/me", headers={"Authorization": "Bearer x"})
    assert (status, json.loads(raw)["code"]) == (200, 700012006)
