"""Everything an upstream can do wrong, and what the client is to see of it.

``status`` and ``code`` are what a client sees as long as nothing has been sent; a whole answer never is sent
before it is complete, so for it they always hold. ``said`` is the text that a stream has delivered before the
fault: then the fault is one error frame with the same code. Upstreams quote secrets in their errors; ``PLANTED``
lists those that must not come through.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    Script,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    head,
    last_chunk,
    reply,
)
from tests.support.upstream import DONE, delta, text_of, words

KEY = "sk-planted0123456789abcdef"
HEADER = "planted-header-0123456789"
INTERNAL = "http://planted.internal:8080/v1"
PLANTED = (KEY, HEADER, "planted.internal")

PAGE = f"<html><body><h1>Oops</h1><p>at {INTERNAL} with Bearer {KEY}</p></body></html>".encode()
PAUSE = 0.2
"""Long enough for what was sent before it to be relayed by itself."""


@frozen
class Fault:
    script: Script
    status: int
    code: str | None
    said: str | None = None
    upstream: str = "up"
    retry_after: str | None = None


def said(status: int, code: str | None, *, type: str = "some_error", **headers: str) -> list[Step]:
    """A refusal as a JSON document, in which the upstream quotes what it should not."""
    message = f"No: key {KEY} for {INTERNAL}"
    document = {"error": {"message": message, "type": type, "param": None, "code": code}}
    return [Send(reply(status, json.dumps(document).encode(), headers=headers))]


def page(status: int, content: bytes = PAGE) -> list[Step]:
    return [Send(reply(status, content, content_type="text/html"))]


def begun(*then: Step, frames: int = 3) -> list[Step]:
    """A stream that has said three words, each of them relayed, before it goes wrong."""
    return [Send(event_stream_head()), *(Send(chunk(word)) for word in words(frames)), Wait(PAUSE), *then]


def flood(piece: bytes, times: int) -> Iterator[Step]:
    return (Send(piece) for _ in range(times))


def endless(opening: bytes) -> Script:
    """64 MiB without the end of a line, told as one chunk after another."""
    filler = chunk(b"x" * 1024 * 1024)

    def play(request: Recorded) -> Iterator[Step]:
        yield from begun(Send(chunk(opening)))
        yield from flood(filler, 64)

    return play


def in_band(code: str, type: str) -> bytes:
    error = {"error": {"message": f"No: {KEY}", "type": type, "code": code}}
    return b"data: %b\n\n" % json.dumps(error).encode()


OPEN = Send(event_stream_head())
SAID = text_of(3)
FINISH = Send(chunk(delta(finish="stop")))
INCOMPLETE = {"status": 502, "code": "upstream_incomplete", "said": SAID}

NEVER_REACHED = {
    "connection refused": Fault((), 503, "upstream_unreachable", upstream="refused"),
    "no such host": Fault((), 503, "upstream_unreachable", upstream="nameless"),
    "not TLS at all": Fault((), 503, "upstream_unreachable", upstream="tls"),
}

REFUSALS = {
    "400": Fault(said(400, "theirs"), 400, "theirs"),
    "401": Fault(said(401, "invalid_api_key"), 502, "upstream_auth_failed"),
    "403": Fault(said(403, None), 502, "upstream_auth_failed"),
    "404": Fault(said(404, "model_not_found"), 404, "model_not_found"),
    "408": Fault(said(408, None), 504, "upstream_timeout"),
    "413": Fault(said(413, None), 413, "request_too_large"),
    "422": Fault(said(422, "theirs"), 400, "theirs"),
    "429": Fault(said(429, None, **{"Retry-After": "17"}), 429, "rate_limit_exceeded", retry_after="17"),
    "429 quota": Fault(said(429, "insufficient_quota"), 429, "insufficient_quota"),
    "429 for ever": Fault(
        said(429, None, **{"Retry-After": "9" * 400}), 429, "rate_limit_exceeded", retry_after="86400"
    ),
    "500": Fault(said(500, None), 502, "upstream_error"),
    "502": Fault(said(502, None), 502, "upstream_error"),
    "503": Fault(said(503, None, **{"Retry-After": "9"}), 503, "upstream_overloaded", retry_after="9"),
    "504": Fault(said(504, None), 504, "upstream_timeout"),
    "529": Fault(said(529, None), 503, "upstream_overloaded"),
}

PAGES = {
    "400 page": Fault(page(400), 400, None),
    "401 page": Fault(page(401), 502, "upstream_auth_failed"),
    "403 page": Fault(page(403), 502, "upstream_auth_failed"),
    "404 page": Fault(page(404), 502, "upstream_error"),
    "408 page": Fault(page(408), 504, "upstream_timeout"),
    "413 page": Fault(page(413), 413, "request_too_large"),
    "422 page": Fault(page(422), 400, None),
    "429 page": Fault(page(429), 429, "rate_limit_exceeded"),
    "500 page": Fault(page(500), 502, "upstream_error"),
    "502 page": Fault(page(502), 502, "upstream_error"),
    "503 page": Fault(page(503), 503, "upstream_overloaded"),
    "529 page": Fault(page(529), 503, "upstream_overloaded"),
    "500 without a word": Fault(page(500, b""), 502, "upstream_error"),
    "429 that breaks off": Fault(
        [Send(head(429, {"Content-Length": "500"}) + b'{"err'), Wait(PAUSE), Abort()],
        429,
        "rate_limit_exceeded",
    ),
    "401 compressed": Fault(
        [Send(reply(401, gzip.compress(PAGE), headers={"Content-Encoding": "gzip"}))],
        502,
        "upstream_auth_failed",
    ),
    "500 without end": Fault(
        lambda request: [
            Send(head(500, {"Transfer-Encoding": "chunked"})),
            *(Send(chunk(b"y" * 65536)) for _ in range(64)),
        ],
        502,
        "upstream_error",
    ),
}

NO_ANSWERS = {
    "301": Fault([Send(reply(301, b"", headers={"Location": INTERNAL}))], 502, "bad_upstream_response"),
    "307": Fault([Send(reply(307, PAGE, headers={"Location": INTERNAL}))], 502, "bad_upstream_response"),
    "204": Fault([Send(head(204))], 502, "bad_upstream_response"),
    "202": Fault([Send(reply(202, b"{}"))], 502, "bad_upstream_response"),
    "200 page": Fault(page(200), 502, "bad_upstream_response"),
    "200 page as a stream": Fault(
        [OPEN, Send(chunk(PAGE)), Send(last_chunk())], 502, "bad_upstream_response"
    ),
    "200 empty": Fault([Send(reply(200, b""))], 502, "upstream_incomplete"),
    "200 empty stream": Fault([OPEN, Send(last_chunk())], 502, "upstream_incomplete"),
    "200 foreign JSON": Fault([Send(reply(200, b'{"hello": 1}'))], 502, "upstream_incomplete"),
    "200 broken JSON": Fault([Send(reply(200, b'{"choices": ['))], 502, "upstream_incomplete"),
    "compressed": Fault(
        [Send(reply(200, gzip.compress(b"".join(words(3))), headers={"Content-Encoding": "gzip"}))],
        502,
        "bad_upstream_response",
    ),
    "no HTTP": Fault(
        [Send(f"220 echo Authorization: Bearer {KEY}\r\n".encode())], 502, "bad_upstream_response"
    ),
    "head too long": Fault(
        [Send(head(200, {f"X-{number}": "v" * 8000 for number in range(3)} | {"Y": "v" * 9000}))],
        502,
        "bad_upstream_response",
    ),
    "FIN before the head": Fault([Close()], 502, "upstream_disconnected"),
    "RST before the head": Fault([Abort()], 502, "upstream_disconnected"),
    "RST in the head": Fault(
        [Send(b"HTTP/1.1 200 OK\r\nX"), Wait(PAUSE), Abort()], 502, "upstream_disconnected"
    ),
    "RST after the head": Fault([OPEN, Wait(PAUSE), Abort()], 502, "upstream_incomplete"),
    "silence before the head": Fault([Hang()], 504, "upstream_timeout", upstream="impatient"),
    "silence after the head": Fault([OPEN, Hang()], 504, "upstream_timeout", upstream="impatient"),
    "silence in the first frame": Fault(
        [OPEN, Send(chunk(words(1)[0][:20])), Hang()], 504, "upstream_timeout", upstream="impatient"
    ),
    "error as the first event": Fault(
        [OPEN, Send(chunk(in_band("context_length_exceeded", "invalid_request_error"))), Send(last_chunk())],
        400,
        "context_length_exceeded",
    ),
    "busy as the first event": Fault(
        [OPEN, Send(chunk(in_band("rate_limit_exceeded", "requests"))), Send(last_chunk())],
        429,
        "rate_limit_exceeded",
    ),
    "malformed from the first chunk": Fault([OPEN, Send(b"zz\r\n"), Hang()], 502, "bad_upstream_response"),
    "malformed after the head": Fault(
        [OPEN, Wait(PAUSE), Send(b"zz\r\n"), Hang()], 502, "bad_upstream_response"
    ),
    "500 that never ends": Fault(
        [Send(head(500, {"Content-Length": "9"}) + b"oh"), Hang()], 502, "upstream_error"
    ),
    "error document": Fault([Send(reply(200, b'{"error": "model is loading"}'))], 502, "upstream_error"),
}

BREAKS = {
    "silence": Fault(begun(Hang()), 504, "upstream_timeout", SAID, upstream="impatient"),
    "RST": Fault(begun(Abort()), **INCOMPLETE),
    "RST in a frame": Fault(begun(Send(chunk(delta("lost")[:30])), Wait(PAUSE), Abort()), **INCOMPLETE),
    "RST after finish_reason": Fault(begun(FINISH, Wait(PAUSE), Abort()), **INCOMPLETE),
    "end without an end": Fault(begun(Send(last_chunk())), **INCOMPLETE),
    "end in a frame": Fault(begun(Send(chunk(delta("lost")[:30])), Send(last_chunk())), **INCOMPLETE),
    "[DONE] before anything": Fault(
        [OPEN, Send(chunk(DONE)), Send(last_chunk())], 502, "upstream_incomplete"
    ),
    "no terminator": Fault(begun(Close()), **INCOMPLETE),
    "no terminator after finish_reason": Fault(begun(FINISH, Wait(PAUSE), Close()), **INCOMPLETE),
    "malformed chunk size": Fault(
        begun(Send(b"zz\r\nhello\r\n"), Hang()), 502, "bad_upstream_response", SAID
    ),
    "malformed chunk size at once": Fault(
        begun(Send(chunk(words(1, 3)[0]) + b"zz\r\nhello\r\n"), Hang()),
        502,
        "bad_upstream_response",
        text_of(4),
    ),
    "endless line": Fault(endless(b"data: "), 502, "bad_upstream_response", SAID),
    "event of 64 MiB": Fault(
        endless(b'data: {"choices":[{"delta":{"content":"'), 502, "bad_upstream_response", SAID
    ),
    "no JSON": Fault(begun(Send(chunk(b"data: {oops\n\n")), Hang()), 502, "bad_upstream_response", SAID),
    "page": Fault(begun(Send(chunk(b"data: " + PAGE + b"\n\n")), Hang()), 502, "bad_upstream_response", SAID),
    "wrong shape": Fault(
        begun(Send(chunk(b'data: {"choices": [{"delta": 7}]}\n\n')), Hang()),
        502,
        "bad_upstream_response",
        SAID,
    ),
    "error event": Fault(begun(Send(chunk(in_band("boom", "server_error"))), Hang()), 502, "boom", SAID),
}

FAULTS: dict[str, Fault] = {**NEVER_REACHED, **REFUSALS, **PAGES, **NO_ANSWERS, **BREAKS}

CLEAN: dict[str, Any] = {
    "HTTP/1.0 until the connection closes": [
        Send(head(200, {"Content-Type": "text/event-stream"}, version="1.0")),
        *(Send(word) for word in words(3)),
        Send(delta(finish="stop") + DONE),
        Close(),
    ],
    "RST after [DONE]": begun(FINISH, Send(chunk(DONE)), Wait(PAUSE), Abort()),
    "no terminator after [DONE]": begun(FINISH, Send(chunk(DONE)), Hang()),
    "no [DONE]": begun(FINISH, Send(last_chunk())),
    "words after [DONE]": begun(FINISH, Send(chunk(DONE + delta("late"))), Send(last_chunk())),
    "a stream under another name": [
        Send(head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})),
        *(Send(chunk(word)) for word in [*words(3), delta(finish="stop"), DONE]),
        Send(last_chunk()),
    ],
    "an interim answer first": [
        Send(head(103, {"Link": "<x>"})),
        *begun(FINISH, Send(chunk(DONE) + last_chunk())),
    ],
}
"""Odd, but complete: three words and a stop."""
