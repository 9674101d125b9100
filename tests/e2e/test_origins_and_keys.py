"""Browsers on other origins, and who may call at all: told by headers that every answer carries."""

from __future__ import annotations

import pytest

from proxy.config import Auth, Cors, Secret
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from tests.support.raw import RawClient, Reply

pytestmark = pytest.mark.two_ways

ORIGIN = "https://app.example"
CHAT = "/v1/chat/completions"
EXPOSED = {
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-poll-after-ms",
    "x-conversation-id",
    "x-session-id",
    "x-chat-id",
    "x-task-id",
    "content-disposition",
    "content-range",
    "etag",
}
QUESTION = b'{"model":"demo","messages":[{"role":"user","content":"hi"}]}'


def call(gateway: GatewayThread, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    with RawClient(gateway.port) as client:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return client.reply()


def preflight(
    gateway: GatewayThread,
    path: str = CHAT,
    method: str = "POST",
    origin: str = ORIGIN,
    asked: str = "authorization, content-type, x-stainless-lang",
) -> Reply:
    headers = {
        "Origin": origin,
        "Access_Control_Request_Method": method,
        "Access_Control_Request_Headers": asked,
    }
    return call(gateway, "OPTIONS", path, **headers)


def exposed(reply: Reply) -> set[str]:
    return {name.strip().lower() for name in reply.headers["access-control-expose-headers"].split(",")}


def test_a_preflight_is_answered_with_what_was_asked_for(serve):
    reply = preflight(serve(builtin_upstream()))
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert reply.headers["access-control-allow-methods"] == "POST"
    allowed = {name.strip().lower() for name in reply.headers["access-control-allow-headers"].split(",")}
    assert allowed == {"authorization", "content-type", "x-stainless-lang"}
    assert reply.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in reply.headers


def test_headers_that_only_platforms_know_may_be_sent(serve):
    asked = {"x-model-type", "x-bot-id", "x-workflow-id", "x-conversation-id"}
    reply = preflight(serve(builtin_upstream()), asked=", ".join(sorted(asked)))
    allowed = {name.strip().lower() for name in reply.headers["access-control-allow-headers"].split(",")}
    assert (reply.status, allowed) == (200, asked)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/conversations", "GET"),
        ("/v1/conversations", "POST"),
        ("/v1/conversations/7", "GET"),
        ("/v1/conversations/7", "DELETE"),
        ("/v1/conversations/7/history", "GET"),
        ("/v1/conversations/7/messages", "POST"),
        ("/v1/workflows/sessions", "GET"),
        ("/v1/workflows/sessions/7", "GET"),
    ],
)
def test_the_routes_of_conversations_answer_preflights(serve_config, path, method):
    reply = preflight(serve_config(config_of(builtin_upstream())), path, method)
    assert (reply.status, reply.headers["access-control-allow-methods"]) == (200, method)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/health", b"", 200),
        ("GET", "/v1/models", b"", 200),
        ("POST", CHAT, QUESTION, 200),
        ("POST", CHAT, QUESTION[:-1] + b',"stream":true}', 200),
        ("POST", CHAT, b"oops", 400),
        ("POST", CHAT, QUESTION.replace(b"hi", b"hi" * 20_000), 413),
        ("GET", "/nowhere", b"", 404),
        ("GET", CHAT, b"", 405),
    ],
)
def test_answers_and_errors_may_be_read_from_other_origins(serve, method, path, body, status):
    gateway = serve(builtin_upstream(), limits={"max_body": 30_000})
    reply = call(gateway, method, path, body, Origin=ORIGIN)
    assert reply.status == status
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert exposed(reply) == EXPOSED
    assert "origin" in reply.headers["vary"].lower()
    assert reply.headers["x-request-id"]


def test_without_an_origin_there_is_nothing_to_allow(serve):
    reply = call(serve(builtin_upstream()), "GET", "/health")
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_only_listed_origins_are_let_in(serve):
    gateway = serve(builtin_upstream(), cors=Cors(origins=(ORIGIN,)))
    assert preflight(gateway).headers["access-control-allow-origin"] == ORIGIN
    stranger = preflight(gateway, origin="https://evil.example")
    assert stranger.status == 403
    assert stranger.json["error"]["type"] == "permission_error"
    for path in ("/health", "/nowhere"):
        reply = call(gateway, "GET", path, Origin="https://evil.example")
        assert "access-control-allow-origin" not in reply.headers
        assert "origin" in reply.headers["vary"].lower()


def test_only_listed_methods_are_let_in(serve):
    gateway = serve(builtin_upstream(), cors=Cors(methods=("GET",)))
    for reply in (preflight(gateway, method="POST"), call(gateway, "POST", CHAT, QUESTION, Origin=ORIGIN)):
        assert "access-control-allow-origin" not in reply.headers
    assert preflight(gateway, method="POST").status == 405
    assert preflight(gateway, "/v1/models", method="GET").status == 200
    assert call(gateway, "GET", "/v1/models", Origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN


def test_switched_off_it_says_nothing(serve):
    gateway = serve(builtin_upstream(), cors=Cors(enabled=False))
    refused = preflight(gateway)
    assert (refused.status, refused.json["error"]["code"]) == (405, "method_not_supported")
    reply = call(gateway, "GET", "/health", Origin=ORIGIN)
    assert not [name for name in reply.headers if name.startswith("access-control")]


# Keys.

KEYS = Auth(api_keys=(Secret("first-key-0123456789"), Secret("second-key-987654321")))
CLOSED = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/demo"),
    ("POST", CHAT),
    ("GET", "/nowhere"),
    ("PUT", CHAT),
]
OPEN = ["/health", "/livez", "/readyz"]

WRONG = {
    "none": {},
    "wrong": {"Authorization": "Bearer wrong-key"},
    "almost": {"Authorization": "Bearer first-key-012345678"},
    "longer": {"Authorization": "Bearer first-key-01234567890"},
    "other case": {"Authorization": "Bearer FIRST-KEY-0123456789"},
    "no scheme": {"Authorization": "first-key-0123456789"},
    "other scheme": {"Authorization": "Basic first-key-0123456789"},
    "nothing after it": {"Authorization": "Bearer "},
    "both keys": {"Authorization": "Bearer first-key-0123456789,second-key-987654321"},
    "no ASCII": {"Authorization": "Bearer schlüssel"},
    "other header": {"X-Api-Key": "first-key-0123456789"},
}


@pytest.mark.parametrize("name", WRONG)
def test_without_a_known_key_everything_is_closed(serve, log, name):
    gateway = serve(builtin_upstream(), auth=KEYS)
    bodies = set()
    for method, path in CLOSED:
        reply = call(gateway, method, path, QUESTION, **WRONG[name])
        assert reply.status == 401
        assert reply.json["error"]["code"] == "invalid_api_key"
        assert reply.json["error"]["type"] == "authentication_error"
        bodies.add(reply.body)
    assert len(bodies) == 1, "the same words whatever the path"
    given = WRONG[name].get("Authorization", "").partition(" ")[2]
    assert not given or (given.encode() not in bodies.pop() and given not in log.text)
    assert log.tracebacks == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("key", ["first-key-0123456789", "second-key-987654321"])
def test_any_known_key_opens(serve, scheme, key):
    gateway = serve(builtin_upstream(), auth=KEYS)
    assert call(gateway, "POST", CHAT, QUESTION, Authorization=f"{scheme} {key}").status == 200
    assert call(gateway, "GET", "/nowhere", Authorization=f"{scheme} {key}").status == 404


@pytest.mark.parametrize("path", OPEN)
def test_health_needs_no_key(serve, path):
    gateway = serve(builtin_upstream(), auth=KEYS)
    assert call(gateway, "GET", path).status == 200
    assert call(gateway, "GET", path + "/").status == 401
    assert call(gateway, "GET", path, Host="a/#x").status in (200, 400)


def test_a_preflight_needs_no_key_and_a_refusal_may_be_read(serve):
    gateway = serve(builtin_upstream(), auth=KEYS)
    assert preflight(gateway).status == 200
    reply = call(gateway, "POST", CHAT, QUESTION, Origin=ORIGIN)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_a_key_is_asked_for_before_the_body_is_read(serve):
    gateway = serve(builtin_upstream(), auth=KEYS)
    with RawClient(gateway.port) as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n".encode())
        assert client.reply().status == 401
