"""Requests that are wrong in every way, as bytes on a socket: a fitting status, the error object, a quiet log.

Nothing a client sends is repeated where it could do harm: not in an answer, not in the log.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from proxy.simulators.script import stream
from tests.support.gateway import GatewayThread, openai_upstream
from tests.support.raw import RawClient, Reply, ask, question
from tests.support.upstream import ScriptThread, answer, text_of
from tests.support.waiting import until

pytestmark = pytest.mark.two_ways

CANARY = "sk-canary0123456789abcdef"
LIMITS = {"max_body": 20_000, "body_timeout": 0.4, "connection_timeout": 0.5}


@pytest.fixture
def upstream() -> Iterator[ScriptThread]:
    with ScriptThread(stream(answer(3))) as running:
        yield running


@pytest.fixture
def gateway(serve, upstream: ScriptThread) -> GatewayThread:
    return serve(openai_upstream(upstream.url), limits=LIMITS)


def send(gateway: GatewayThread, raw: bytes) -> Reply:
    with RawClient(gateway.port) as client:
        client.send(raw)
        return client.reply()


def error_of(reply: Reply) -> dict[str, object]:
    """The error object, seen to be one."""
    assert reply.complete
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert set(reply.json) == {"error"}
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    return reply.json["error"]


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode("latin-1")


CHAT = "/v1/chat/completions"
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "half a document": b'{"model": "m", "messages": [',
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "NaN": b'{"model": NaN}',
    "a lone surrogate": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
    "no UTF-8": b'{"model": "\xff\xfe"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "deep": b"[" * 9000 + b"]" * 9000,
    "wide": b'{"model":"m","messages":[' + b"{}," * 6000 + b"{}]}",
    "no model": b'{"messages": [{"role": "user", "content": "x"}]}',
    "no messages": b'{"model": "m"}',
    "empty messages": b'{"model": "m", "messages": []}',
    "unknown role": b'{"model": "m", "messages": [{"role": "wizard", "content": "x"}]}',
    "messages of strings": b'{"model": "m", "messages": ["x"]}',
    "stream is a word": b'{"model": "m", "stream": "yes", "messages": [{"role": "user", "content": "x"}]}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_question_is_refused(gateway, upstream, log, name):
    with RawClient(gateway.port) as client:
        client.post(BODIES[name])
        reply = client.reply()
        assert reply.status in (400, 413)
        assert error_of(reply)["type"] == "invalid_request_error"
        client.post(question())
        assert client.reply().text == text_of(3), "the connection can be used again"
    until(lambda: len(log.requests) == 2, "both lines")
    assert len(upstream.requests) == 1
    assert (log.tracebacks, len(log.events)) == ([], 2)


def test_a_body_over_the_limit_is_refused_before_it_is_sent(gateway):
    reply = send(gateway, head("POST", CHAT, "Content-Length: 20001"))
    assert (reply.status, error_of(reply)["code"]) == (413, "request_too_large")


def test_a_body_at_the_limit_is_taken(gateway):
    document = json.dumps(question()).encode()
    assert ask(gateway.port, document + b" " * (20_000 - len(document))).status == 200
    assert ask(gateway.port, document + b" " * (20_001 - len(document))).status == 413


def test_chunks_over_the_limit_are_refused_when_they_pass_it(gateway):
    with RawClient(gateway.port) as client:
        client.send(head("POST", CHAT, "Transfer-Encoding: chunked"))
        for _ in range(21):
            client.send(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        reply = client.reply()
    assert (reply.status, error_of(reply)["code"]) == (413, "request_too_large")


def test_a_slow_body_is_given_up(gateway, log):
    with RawClient(gateway.port) as client:
        client.send(head("POST", CHAT, "Content-Length: 1000"))
        began = time.monotonic()
        client.send(b'{"model"')
        reply = client.reply()
        assert 0.3 < time.monotonic() - began < 3.0
    assert (reply.status, error_of(reply)["code"]) == (408, "request_timeout")
    until(lambda: bool(log.requests), "the line")
    assert (len(log.events), log.tracebacks) == (1, [])


def test_a_body_that_breaks_off_is_nobodys_error(gateway, log):
    with RawClient(gateway.port) as client:
        client.send(head("POST", CHAT, "Content-Length: 1000"))
        client.send(b'{"model"')
        time.sleep(0.05)
        client.reset()
    until(lambda: bool(log.requests), "the line")
    assert (log.requests[0]["status"], len(log.events), log.tracebacks) == (499, 1, [])


def test_malformed_chunks_in_a_body_are_refused(gateway, log):
    reply = send(gateway, head("POST", CHAT, "Transfer-Encoding: chunked") + b"zz\r\n")
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid_request_error"
    assert log.tracebacks == []


def test_malformed_chunks_that_come_later_end_the_wait_for_the_body(gateway, log):
    """aiohttp does not tell a handler that already reads, so it is the limit of time that ends it."""
    with RawClient(gateway.port) as client:
        client.send(head("POST", CHAT, "Transfer-Encoding: chunked") + b"1\r\n{\r\n")
        time.sleep(0.1)
        client.send(b"zz\r\n")
        reply = client.reply()
        assert (reply.status, error_of(reply)["code"]) == (408, "request_timeout")
    assert log.tracebacks == []


def test_a_slow_head_is_closed_without_a_word(gateway, log):
    with RawClient(gateway.port) as client:
        began = time.monotonic()
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
        time.sleep(0.2)
        client.send(b"st: te")
        assert client.receive() == b""
        assert 0.3 < time.monotonic() - began < 3.0
    assert (log.events, log.tracebacks) == ([], [])


def test_an_idle_connection_is_closed(gateway):
    with RawClient(gateway.port) as client:
        client.request("GET", "/livez")
        assert client.reply().status == 200
        assert client.receive() == b""


NO_HTTP: dict[str, bytes] = {
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n",
    "bad method": b"GE T / HTTP/1.1\r\nHost: test\r\n\r\n",
    "bare LF": f"GET /livez HTTP/1.1\nHost: test\nAuthorization: Bearer {CANARY}\n\n".encode(),
    "NUL in a header": f"GET /livez HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {CANARY}\0\r\n\r\n".encode(),
    "space before colon": f"GET /livez HTTP/1.1\r\nHost: test\r\nAuthorization : {CANARY}\r\n\r\n".encode(),
    "two lengths": b"POST /livez HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": head("POST", CHAT, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "long header": head("GET", "/livez", f"X: {CANARY * 400}"),
    "long line": head("GET", "/" + "a" * 9000),
    "many headers": head("GET", "/livez", *(f"X-{number}: {CANARY}" for number in range(200))),
    "HTTP/9": b"GET /livez HTTP/9.9\r\nHost: test\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_answered_in_the_same_shape_and_repeated_nowhere(gateway, log, name):
    reply = send(gateway, NO_HTTP[name])
    assert reply.status in (400, 413)
    assert error_of(reply)["type"] == "invalid_request_error"
    assert CANARY not in str(reply.headers) + reply.body.decode()
    assert CANARY not in log.text
    assert (log.tracebacks, len(log.events) <= 2) == ([], True)


@pytest.mark.parametrize("name", ["long header", "long line"])
def test_what_is_too_long_is_said_to_be(gateway, name):
    reply = send(gateway, NO_HTTP[name])
    assert "too long" in error_of(reply)["message"]


ROUTES = [
    ("GET", "/", 404, "unknown_url"),
    ("GET", "/v1/nothing", 404, "unknown_url"),
    ("POST", "/v1/chat/completions/", 404, "unknown_url"),
    ("GET", "/v1/../health", 404, "unknown_url"),
    ("GET", "//health", 404, "unknown_url"),
    ("GET", CHAT, 405, "method_not_supported"),
    ("DELETE", "/v1/models", 405, "method_not_supported"),
    ("POST", "/health", 405, "method_not_supported"),
    ("PATCH", "/health", 405, "method_not_supported"),
    ("GET", "/v1/models/none", 404, "model_not_found"),
    ("GET", "/v1/models/%00", 404, "model_not_found"),
    ("GET", "/%ff%fe", 404, "unknown_url"),
    ("GET", "/<script>alert(1)</script>", 404, "unknown_url"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), ROUTES)
def test_unknown_paths_and_methods(gateway, log, method, path, status, code):
    with RawClient(gateway.port) as client:
        client.request(method, path)
        reply = client.reply()
    assert reply.status == status
    assert error_of(reply)["code"] == code
    if status == 405:
        assert "GET" in reply.headers["allow"] or "POST" in reply.headers["allow"]
    assert (log.tracebacks, len(log.events)) == ([], 1)


def test_head_is_answered_without_a_body(gateway):
    with RawClient(gateway.port) as client:
        client.request("HEAD", "/health")
        head = client.until(b"\r\n\r\n")
        client.request("GET", "/livez")
        assert client.reply().json == {"status": "ok"}
    assert head.startswith(b"HTTP/1.1 200 OK")


IDS = {
    "abc-123": True,
    "a" * 128: True,
    "req_1.2": True,
    "a" * 129: False,
    "a b": False,
    "a;b": False,
    "ünsafe": False,
    "<b>": False,
    "": False,
}


@pytest.mark.parametrize("given", IDS, ids=[f"{len(name)}-{name[:8]}" for name in IDS])
def test_a_request_id_is_taken_over_only_if_it_is_harmless(gateway, log, given):
    with RawClient(gateway.port) as client:
        client.send(head("GET", "/livez", f"X-Request-ID: {given}"))
        told = client.reply().headers["x-request-id"]
    if IDS[given]:
        assert told == given
    else:
        assert told.startswith("req_") and len(told) == 28
    until(lambda: bool(log.requests), "the line")
    assert log.requests[0]["id"] == told


def test_requests_behind_one_another_are_answered_in_order(gateway):
    with RawClient(gateway.port) as client:
        body = json.dumps(question()).encode()
        one = head("POST", CHAT, f"Content-Length: {len(body)}") + body
        client.send(one + head("GET", "/nothing") + one)
        assert client.reply().text == text_of(3)
        assert client.reply().status == 404
        assert client.reply().text == text_of(3)


def test_an_old_client_gets_an_answer_without_chunks(gateway):
    with RawClient(gateway.port) as client:
        body = json.dumps(question()).encode()
        client.send(f"POST {CHAT} HTTP/1.0\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        reply = client.reply()
    assert "transfer-encoding" not in reply.headers
    assert (reply.text, reply.frames[-1]) == (text_of(3), "[DONE]")


def test_a_client_that_waits_to_be_told_to_go_on_is_told(gateway):
    body = json.dumps(question()).encode()
    with RawClient(gateway.port) as client:
        client.send(head("POST", CHAT, "Expect: 100-continue", f"Content-Length: {len(body)}"))
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.reply().text == text_of(3)


@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/health"), ("GET", "/nowhere")])
def test_an_unknown_expectation_is_refused_in_the_same_shape(gateway, upstream, log, method, path):
    body = json.dumps(question()).encode()
    with RawClient(gateway.port) as client:
        client.send(head(method, path, f"Expect: {CANARY}", f"Content-Length: {len(body)}") + body)
        reply = client.reply()
        assert (reply.status, error_of(reply)["type"]) == (400, "invalid_request_error")
        client.post(question())
        assert client.reply().text == text_of(3), "the connection can be used again"
    until(lambda: len(log.requests) == 2, "both lines")
    assert reply.headers["x-request-id"] == log.requests[0]["id"]
    assert CANARY not in str(reply.headers) + reply.body.decode() + log.text
    assert len(upstream.requests) == 1


def test_hundreds_of_broken_clients_leave_the_gateway_as_it_was(gateway, log):
    for number in range(120):
        client = socket.create_connection(("127.0.0.1", gateway.port))
        client.sendall((b"\0" * 10, b"POST ", head("POST", CHAT, "Content-Length: 9") + b"{")[number % 3])
        client.close()
    assert ask(gateway.port, question()).text == text_of(3)
    gateway.until_idle()
    assert log.tracebacks == []
    assert len(log.events) <= 2 * 121
