"""The way past the application against the application: nobody who asks may notice which way it was.

The same bytes are sent to the same gateway twice, once with a query, which only the application knows what to do
with. Status, headers, body, what becomes of the connection and the line in the log have to be the same, but for
ids and times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve, field, frozen

from proxy.config import Auth, Cors, Secret
from proxy.heads import CHAT
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Script,
    Send,
    Wait,
    chunk,
    event_stream_head,
    reply,
    stream,
)
from tests.support.gateway import GatewayThread, openai_upstream
from tests.support.loglines import LogLines
from tests.support.raw import RawClient, question
from tests.support.upstream import ScriptThread, answer, delta, told_by, words
from tests.support.waiting import until

ORIGIN = "Origin: https://app.example"
KEY = "first-key-0123456789"
KEYS = {"auth": Auth(api_keys=(Secret(KEY),))}
LIMITS = {"max_body": 20_000}
SOON: dict[str, dict[str, float]] = {
    "upstream: late": {"commit_after": 0.1},
    "upstream: silent": {"idle_timeout": 0.4},
    "too slow": {"body_timeout": 0.3},
}
"""What must run out in a case. In all others nothing may, however busy the machine is."""


def refusal(status: int, **headers: str) -> list[Send]:
    document = {"error": {"message": "no", "type": "some_error", "param": None, "code": "some_code"}}
    return [Send(reply(status, json.dumps(document).encode(), headers=headers))]


SCRIPTS: dict[str, Script] = {
    "hi": stream(answer(3)),
    "late": [Send(event_stream_head()), Wait(0.25), *stream(answer(2))[1:]],
    "silent": [Send(event_stream_head()), Send(chunk(delta("then"))), Hang()],
    "401": refusal(401),
    "404": refusal(404),
    "429": refusal(429, **{"Retry-After": "7"}),
    "500": refusal(500),
    "reset": [Abort()],
    "cut": [Send(event_stream_head()), *(Send(chunk(word)) for word in words(2)), Wait(0.05), Close()],
    "page": [Send(reply(200, b"<html>Oops</html>", content_type="text/html"))],
    "filtered": stream([delta("no", finish="content_filter"), b"data: [DONE]\n\n"]),
}


def asked(text: str = "hi", **more: Any) -> bytes:
    document = question(**more)
    document["messages"][0]["content"] = text
    return json.dumps(document).encode()


@frozen
class Case:
    body: bytes = asked()
    lines: tuple[str, ...] = ()
    version: str = "1.1"
    sections: dict[str, Any] = field(factory=dict)
    declared: int | None = None
    """The length that is announced, if it is another; the connection is of no use afterwards."""
    framed: bool = True

    def bytes_for(self, target: str) -> bytes:
        lines = [f"POST {target} HTTP/{self.version}", "Host: test", *self.lines]
        if self.framed:
            lines.append(f"Content-Length: {len(self.body) if self.declared is None else self.declared}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body


def whole(case: Case) -> Case:
    return evolve(case, body=case.body.replace(b'"stream": true', b'"stream": false'))


STREAMS: dict[str, Case] = {
    **{f"upstream: {name}": Case(asked(name)) for name in SCRIPTS},
    "usage": Case(asked(stream_options={"include_usage": True})),
    "two choices": Case(asked(n=2)),
    "unknown model": Case(asked(model="nobody's"), sections={"default_upstream": None}),
    "HTTP/1.0": Case(version="1.0"),
    "HTTP/1.0 that wants to stay": Case(lines=("Connection: keep-alive",), version="1.0"),
    "goes after it": Case(lines=("Connection: close",)),
    "error and goes": Case(asked("500"), lines=("Connection: close",)),
    "own id": Case(lines=("X-Request-ID: mine-1",)),
    "harmful id": Case(lines=("X-Request-ID: <b>",)),
    "origin": Case(lines=(ORIGIN,)),
    "origin and error": Case(asked("429"), lines=(ORIGIN,)),
    "origin that is no text": Case(lines=("Origin: \udcff\udcfe",)),
    "origin is listed": Case(lines=(ORIGIN,), sections={"cors": Cors(origins=("https://app.example",))}),
    "origin is not listed": Case(
        lines=(ORIGIN,), sections={"cors": Cors(origins=("https://other.example",))}
    ),
    "POST is not listed": Case(lines=(ORIGIN,), sections={"cors": Cors(methods=("GET",))}),
    "CORS is off": Case(lines=(ORIGIN,), sections={"cors": Cors(enabled=False)}),
    "the key": Case(lines=(f"Authorization: Bearer {KEY}",), sections=KEYS),
    "waits to be told": Case(lines=("Expect: 100-continue",)),
    "expects something else": Case(lines=("Expect: wonders", ORIGIN)),
    "expects something else with no key": Case(lines=("Expect: wonders",), sections=KEYS),
    "chunks": Case(
        b"5a\r\n" + asked().ljust(0x5A) + b"\r\n0\r\n\r\n", ("Transfer-Encoding: chunked",), framed=False
    ),
}
NO_STREAMS: dict[str, Case] = {
    "no key": Case(sections=KEYS),
    "wrong key": Case(lines=("Authorization: Bearer wrong", ORIGIN), sections=KEYS),
    "no body": Case(b""),
    "no body at all": Case(b"", framed=False),
    "no JSON": Case(b"oops", lines=(ORIGIN,)),
    "no messages": Case(b'{"model": "m"}'),
    "too large": Case(asked("x" * 20_000)),
    "too large by its own account": Case(b"", declared=20_001),
    "too slow": Case(b'{"mod', declared=100),
}
CASES = {
    **STREAMS,
    **{f"{name}, whole": whole(case) for name, case in STREAMS.items() if case.framed},
    **NO_STREAMS,
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptThread]:
    with ScriptThread(told_by(SCRIPTS)) as running:
        yield running


@frozen
class Answer:
    """What came back, made comparable."""

    status_line: str
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool
    kept: bool
    """Whether the connection carried another answer."""
    logged: dict[str, Any]


TIMES = {"date", "openai-processing-ms"}
OWN = {"id", "ms", "answer", "first_byte_ms"}


def fetch(gateway: GatewayThread, case: Case, target: str, log: LogLines) -> Answer:
    before = len(log.requests)
    with RawClient(gateway.port) as client:
        client.send(case.bytes_for(target))
        head = client.until(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head = client.until(b"\r\n\r\n")
        client._buffer[:0] = head
        got = client.reply()
        until(lambda: len(log.requests) > before, "the line")
        logged = log.requests[before]
        kept = case.declared is None and answers_again(client)
    status_line, *lines = head.decode("utf-8", "surrogateescape").strip().split("\r\n")
    headers = sorted(comparable(*line.split(": ", 1)) for line in lines)
    fields = {name: value for name, value in logged.items() if name not in OWN}
    body = re.sub(rb'chatcmpl-[0-9a-f]{24}|"created":\d+', b"*", got.body)
    return Answer(status_line, headers, body, got.complete, kept, fields)


def comparable(name: str, value: str) -> tuple[str, str]:
    name = name.lower()
    if name in TIMES or value.startswith("req_"):
        return name, "*"
    if name == "access-control-expose-headers":
        return name, ",".join(sorted(value.split(",")))
    return name, value


def answers_again(client: RawClient) -> bool:
    try:
        client.request("GET", "/livez")
        return client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    except OSError:
        return False


@pytest.mark.parametrize("name", CASES)
def test_both_ways_give_the_same_answer(serve, upstream, name):
    case = CASES[name]
    soon = dict(SOON.get(name.removesuffix(", whole"), {}))
    idle_timeout = soon.pop("idle_timeout", 20.0)
    gateway = serve(
        openai_upstream(upstream.url, retries=0, idle_timeout=idle_timeout),
        limits={**LIMITS, **soon},
        **case.sections,
    )
    with LogLines() as log:
        by_door, by_app = (fetch(gateway, case, target, log) for target in (CHAT, CHAT + "?by=app"))
        assert by_door == by_app
        assert log.tracebacks == []
    assert by_door.logged["path"] == CHAT
    assert dict(by_door.headers)["server"] == "deltawire"
