"""The description against the gateway as it runs: real answers fit their schemas, and the page is complete."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import proxy
from proxy.config import Auth, Cors, Secret, Upstream
from proxy.config.model import Storage
from proxy.simulators.coze import DEMO_BOT, DEMO_TOKEN, CozeStandIn
from tests.e2e.sdk_setup import WEATHER, hosted
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from tests.support.raw import RawClient, Reply
from translators.upstreams.coze_settings import CozeSettings

STATIC = Path(proxy.__file__).parent / "static"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayThread]:
    storage = Storage(data=str(tmp_path_factory.mktemp("data")))
    with hosted(CozeStandIn) as coze:
        bot = CozeSettings(bot_id=DEMO_BOT)
        kept = Upstream("coze", "coze", coze.url, Secret(DEMO_TOKEN), ("bot",), options=bot)
        with GatewayThread(config_of(builtin_upstream(), kept, storage=storage), "uvloop") as running:
            yield running


def call(gateway: GatewayThread, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    with RawClient(gateway.port) as client:
        raw = b"" if body is None else json.dumps(body).encode()
        client.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        return client.reply()


class Description:
    """What the gateway says of itself, and whether an answer fits it."""

    def __init__(self, gateway: GatewayThread) -> None:
        self.document = json.loads(call(gateway, "GET", "/openapi.json").body)

    def judge(self, method: str, path: str, reply: Reply) -> str:
        """The media type; AssertionError where the answer is none of those that are described."""
        answers = self.document["paths"][path][method.lower()]["responses"]
        answer = answers.get(str(reply.status)) or answers[f"{reply.status // 100}XX"]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        media = reply.headers["content-type"].partition(";")[0]
        schema = answer["content"][media]["schema"]
        if media == "application/json":
            whole = {**schema, "components": self.document["components"]}
            jsonschema_rs.Draft202012Validator(whole).validate(json.loads(reply.body))
        return media


HI = [{"role": "user", "content": "hi"}]
CHAT, KEPT = "/v1/chat/completions", "/v1/conversations"
ASKED: list[tuple[str, str, str, Any, int]] = [
    ("POST", CHAT, "", {"model": "demo", "messages": HI}, 200),
    ("POST", CHAT, "", {"model": "demo", "messages": HI, "n": 2, "logprobs": True, "top_logprobs": 2}, 200),
    ("POST", CHAT, "", {"model": "demo", "messages": HI, "tools": [WEATHER]}, 200),
    ("POST", CHAT, "", {"model": "demo", "messages": HI, "functions": [WEATHER["function"]]}, 200),
    ("POST", CHAT, "", {"model": "demo", "messages": HI, "reasoning_effort": "high"}, 200),
    ("POST", CHAT, "", {"model": "bot", "messages": HI}, 200),
    ("POST", CHAT, "", {"model": "demo"}, 400),
    ("POST", "/v1/embeddings", "", {"model": "demo", "input": ["a", "b"]}, 200),
    ("POST", "/v1/embeddings", "", {"model": "demo", "input": [1], "encoding_format": "base64"}, 200),
    ("POST", "/v1/embeddings", "", {"model": "bot", "input": "a"}, 400),
    ("GET", "/v1/models", "", None, 200),
    ("GET", "/v1/models/{id}", "/v1/models/demo", None, 200),
    ("GET", "/v1/models/{id}", "/v1/models/a%2Fb", None, 404),
    ("POST", "/v1/audio/speech", "", {"model": "demo", "input": "a"}, 400),
    ("POST", "/v1/audio/transcriptions", "", {}, 400),
    ("POST", KEPT, "", {"messages": HI, "metadata": {"a": "b"}}, 200),
    ("GET", KEPT, KEPT + "?limit=2", None, 200),
    ("GET", KEPT, KEPT + "?limit=0", None, 400),
    ("GET", "/v1/workflows/sessions", "", None, 200),
    ("GET", "/v1/workflows/sessions/{id}", "/v1/workflows/sessions/x", None, 404),
    ("GET", "/health", "", None, 200),
    ("GET", "/livez", "", None, 200),
    ("GET", "/readyz", "", None, 200),
    ("GET", "/openapi.json", "", None, 200),
    ("GET", "/docs", "", None, 200),
    ("GET", "/docs/rapidoc-min.js", "", None, 200),
    ("GET", "/docs/rapidoc-min.js.LICENSE.txt", "", None, 200),
]


@pytest.mark.parametrize(("method", "path", "asked", "body", "status"), ASKED)
def test_an_answer_fits_its_schema(gateway, method: str, path: str, asked: str, body: Any, status: int):
    reply = call(gateway, method, asked or path, body)
    assert reply.status == status
    Description(gateway).judge(method, path, reply)


def test_the_answers_about_one_conversation(gateway: GatewayThread):
    described = Description(gateway)
    made = call(gateway, "POST", KEPT, {"messages": HI})
    one = f"{KEPT}/{json.loads(made.body)['id']}"
    asked: list[tuple[str, str, str, Any]] = [
        ("GET", "/{id}", "", None),
        ("POST", "/{id}/messages", "/messages", HI[0]),
        ("GET", "/{id}/history", "/history", None),
        ("DELETE", "/{id}", "?mode=clear", None),
        ("DELETE", "/{id}", "", None),
    ]
    for method, path, more, body in asked:
        reply = call(gateway, method, one + more, body)
        assert reply.status == 200, reply.body
        described.judge(method, KEPT + path, reply)


def test_an_answer_that_does_not_fit_is_seen(gateway: GatewayThread):
    reply = call(gateway, "GET", "/livez")
    with pytest.raises(jsonschema_rs.ValidationError):
        Description(gateway).judge("GET", "/v1/models", reply)


def test_every_chunk_of_a_stream_is_one(gateway: GatewayThread):
    described = Description(gateway)
    asked = {"model": "demo", "messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    reply = call(gateway, "POST", CHAT, asked)
    assert described.judge("POST", CHAT, reply) == "text/event-stream"
    *chunks, last = re.findall(rb"^data: (.+)$", reply.body, re.MULTILINE)
    assert last == b"[DONE]" and len(chunks) > 3
    schema = {"$ref": "#/components/schemas/ChatChunk", "components": described.document["components"]}
    for chunk in chunks:
        jsonschema_rs.Draft202012Validator(schema).validate(json.loads(chunk))


# The page.


def test_the_page_needs_no_key_and_no_cors():
    config = config_of(builtin_upstream(), auth=Auth(api_keys=(Secret("k"),)), cors=Cors(enabled=False))
    with GatewayThread(config) as gateway:
        for path in ("/docs", "/openapi.json", "/docs/rapidoc-min.js", "/docs/rapidoc-min.js.LICENSE.txt"):
            assert call(gateway, "GET", path).status == 200
        assert call(gateway, "GET", "/docs/../docs/docs.html").status == 401
        assert call(gateway, "GET", "/v1/models").status == 401


def test_the_page_loads_what_the_gateway_serves_and_nothing_else(gateway: GatewayThread):
    page = call(gateway, "GET", "/docs")
    text = page.body.decode()
    assert page.headers["content-type"].startswith("text/html")
    wanted = re.findall(r'(?:src|href|spec-url)="([^"]+)"', text)
    assert sorted(wanted) == ["/docs/rapidoc-min.js", "/openapi.json", "data:,"]
    for path in wanted:
        assert path == "data:," or call(gateway, "GET", path).status == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style", text)


def test_its_policy_is_strict_and_its_own(gateway: GatewayThread):
    policy = call(gateway, "GET", "/docs").headers["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert "unsafe-eval" not in policy and "http" not in policy
    elsewhere = call(gateway, "GET", "/health").headers["content-security-policy"]
    assert elsewhere == "default-src 'none'; frame-ancestors 'none'"


def test_the_script_is_served_as_it_was_published(gateway: GatewayThread):
    reply = call(gateway, "GET", "/docs/rapidoc-min.js")
    assert reply.body == (STATIC / "rapidoc-min.js").read_bytes()
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
    connection.request("GET", "/docs/rapidoc-min.js", headers={"If-None-Match": reply.headers["etag"]})
    assert connection.getresponse().status == 304
    connection.close()
    licences = call(gateway, "GET", "/docs/rapidoc-min.js.LICENSE.txt").body.decode()
    assert "Mrinmoy Majumdar" in licences and "THE SOFTWARE IS PROVIDED" in licences
