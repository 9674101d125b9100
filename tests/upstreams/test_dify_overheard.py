"""What a run is called, learnt after its reader has been told that it is over, and what the app says of itself."""

from __future__ import annotations

import json

import pytest

from tests.upstreams.dify_setup import dify, frames, say, streamed
from translators.errors import (
    GatewayError,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
)
from translators.framing.base import MAX_FRAME
from translators.upstreams.dify_about import kind_of_app
from translators.upstreams.plan import Reply


def asked(**body: object):
    upstream = dify(body)
    upstream.prepare()
    upstream.call()
    upstream.asking = True
    return upstream, streamed(upstream)


def test_a_name_is_learnt_after_the_end() -> None:
    upstream, stream = asked()
    stream.fail(UpstreamTimeout("too late"))
    assert upstream.will_be_named and upstream.farewell() is None
    wire = frames(say("a"))
    assert stream.feed(wire[:20]) == b""
    assert stream.overhear(wire[:20]) and upstream.will_be_named
    assert stream.overhear(wire[20:]) and not upstream.will_be_named
    farewell = upstream.farewell()
    assert farewell is not None and farewell.path.endswith("/stop")


@pytest.mark.parametrize("wire", [b"data: [1]\n\n", b"data: {oops\n\n", b"data: " + b"x" * (MAX_FRAME + 9)])
def test_who_cannot_be_understood_is_not_listened_to(wire: bytes) -> None:
    upstream, stream = asked()
    stream.fail(UpstreamTimeout("too late"))
    assert not stream.overhear(wire)
    assert upstream.farewell() is None


def test_nobody_waits_for_a_name_where_nothing_was_asked_or_all_is_over() -> None:
    upstream, stream = asked()
    upstream.asking = False
    assert not upstream.will_be_named
    upstream.asking = True
    stream.feed(frames({"event": "error", "code": "x", "status": 500, "message": "no"}))
    assert not upstream.will_be_named


def told(status: int, body: bytes) -> str | GatewayError:
    plan = kind_of_app()
    next(plan)
    try:
        plan.send(Reply(status, body))
    except StopIteration as end:
        return str(end.value)
    except GatewayError as error:
        return error
    raise AssertionError("asks again")


NO_KEY = {"message": "Authorization header must be provided and start with 'Bearer'"}
SAID: list[tuple[int, object, str | type[GatewayError]]] = [
    (200, {"name": "secret", "mode": "workflow"}, "a workflow"),
    (200, {"name": "secret", "mode": "novel"}, "an app that does not say what kind it is of"),
    (200, {"name": "secret"}, "an app that does not say what kind it is of"),
    (200, {"name": 7, "mode": "workflow"}, UpstreamMalformed),
    (200, [], UpstreamMalformed),
    (401, NO_KEY, "there, and clients bring their own keys"),
    (401, {"message": "Access token is invalid"}, UpstreamAuthFailed),
    (403, {}, UpstreamAuthFailed),
    (404, {}, UpstreamError),
    (500, {}, UpstreamError),
]


@pytest.mark.parametrize(("status", "document", "words"), SAID)
def test_what_an_operator_hears(status: int, document: object, words: str | type[GatewayError]) -> None:
    heard = told(status, json.dumps(document).encode())
    assert heard == words if isinstance(words, str) else type(heard) is words
    assert type(told(status, b"<html>")) is not str
