"""What a client gets while nothing comes: a late head, comments in a silence, and an end where patience ends.

All times are small here; their order is what is tested. The sweep that looks after them turns four times within the
shortest of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from proxy.gateway import SHORTEST_TURN
from proxy.simulators.script import Abort, Hang, Send, Wait, chunk, event_stream_head, last_chunk, reply
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, ask, question
from tests.support.upstream import DONE, BluntThread, ScriptThread, answer, delta, text_of, told_by, words

COMMENT = b": keep-alive\n\n"
OPEN = Send(event_stream_head())
REST = [Send(chunk(b"".join(answer(3)))), Send(last_chunk())]
SOON = {"commit_after": 0.06, "keepalive": 0.08}


def comments(body: bytes) -> int:
    return body.count(COMMENT)


LATE = {
    "late head": [Wait(0.2), OPEN, *REST],
    "late token": [OPEN, Wait(0.2), *REST],
}


@pytest.mark.parametrize("script", LATE.values(), ids=LATE)
def test_a_late_answer_begins_with_the_role_alone(serve, script):
    with ScriptThread(script) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits=SOON)
        with RawClient(gateway.port) as client:
            client.post(question())
            opening = client.until(b"\n\n")
            assert b'"role":"assistant"' in opening and b" 200 OK" in opening
            assert b'"w0 "' not in opening
            rest = client.until(b"[DONE]\n\n")
        assert comments(rest) >= 1
        assert rest.count(b'"role"') == 0
        assert [f'"w{number} "'.encode() in rest for number in range(3)] == [True] * 3


@pytest.mark.parametrize("script", LATE.values(), ids=LATE)
def test_a_late_answer_reads_like_any_other(serve, script):
    with ScriptThread(script) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits=SOON)
        late = ask(gateway.port, question())
        upstream.play([OPEN, *REST])
        prompt = ask(gateway.port, question())
    assert (late.text, late.complete) == (prompt.text, True) == (text_of(3), True)
    assert len({chunk["id"] for chunk in late.chunks}) == 1
    assert [c["choices"][0]["delta"] for c in late.chunks] == [
        c["choices"][0]["delta"] for c in prompt.chunks
    ]
    assert late.frames[-1] == "[DONE]"


FAILURES = {
    "refusal": ([Wait(0.15), Send(reply(429, b'{"error":{"message":"busy"}}'))], "rate_limit_exceeded"),
    "reset": ([Wait(0.15), Abort()], "upstream_disconnected"),
    "no words": ([Wait(0.15), OPEN, Send(last_chunk())], "upstream_incomplete"),
    "error event": (
        [OPEN, Wait(0.15), Send(chunk(b'data: {"error":{"message":"x","code":"boom"}}\n\n'))],
        "boom",
    ),
    "silence": ([Hang()], "upstream_timeout"),
}


def test_after_a_late_head_a_failure_is_a_frame(serve):
    scripts = {name: script for name, (script, _) in FAILURES.items()}
    with ScriptThread(told_by(scripts)) as upstream, ThreadPoolExecutor() as pool:
        up = openai_upstream(upstream.url, retries=0, first_byte_timeout=0.3, idle_timeout=0.3)
        port = serve(up, limits=SOON).port
        questions = [question(messages=[{"role": "user", "content": name}]) for name in FAILURES]
        replies = list(pool.map(lambda body: ask(port, body), questions))
    codes = {}
    for name, told in zip(FAILURES, replies, strict=True):
        assert (told.status, told.complete) == (200, True), name
        role, last = told.chunks
        assert role["choices"][0]["delta"]["role"] == "assistant"
        assert "[DONE]" not in told.frames
        codes[name] = last["error"]["code"]
    assert codes == {name: code for name, (_, code) in FAILURES.items()}


def test_a_head_may_be_late_while_the_upstream_is_still_being_reached(serve):
    with BluntThread() as upstream:
        up = openai_upstream(f"https://127.0.0.1:{upstream.port}", retries=0, connect_timeout=0.3)
        reply = ask(serve(up, limits=SOON).port, question())
    assert reply.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (reply.chunks[-1]["error"]["code"], reply.complete) == ("upstream_unreachable", True)


def test_a_whole_answer_has_no_late_head(serve):
    with ScriptThread([Wait(0.2), Send(reply(429, b'{"error":{"message":"busy"}}'))]) as upstream:
        gateway = serve(openai_upstream(upstream.url, retries=0), limits=SOON)
        assert ask(gateway.port, question(stream=False)).status == 429


def test_comments_come_only_in_a_silence(serve):
    chatty = [OPEN, *(step for word in words(8) for step in (Wait(0.04), Send(chunk(word))))]
    end = [Send(chunk(delta(finish="stop") + DONE) + last_chunk())]
    with ScriptThread([*chatty, *end]) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"keepalive": 0.15})
        assert comments(ask(gateway.port, question()).body) == 0
        upstream.play([OPEN, Send(chunk(words(1)[0])), Wait(0.5), *end])
        silent = ask(gateway.port, question())
    assert 2 <= comments(silent.body) <= 4
    assert silent.body.index(COMMENT) > silent.body.index(b"w0 ")
    assert silent.frames[-1] == "[DONE]"


def test_no_comment_comes_before_the_answer_has_begun(serve):
    with ScriptThread([OPEN, Wait(0.2), *REST]) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"keepalive": 0.1, "commit_after": 10.0})
        reply = ask(gateway.port, question())
    assert (comments(reply.body), reply.text) == (0, text_of(3))


def test_a_head_that_may_be_late_at_once_does_not_spin(serve):
    with ScriptThread([OPEN, Wait(0.2), *REST]) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits={"commit_after": 0.0})
        assert gateway.serving.gateway._sweep.interval == SHORTEST_TURN
        assert ask(gateway.port, question()).text == text_of(3)


def test_the_sdk_reads_over_comments_and_a_late_head(serve):
    with ScriptThread([OPEN, Wait(0.2), Send(chunk(words(1)[0])), Wait(0.2), *REST]) as upstream:
        gateway = serve(openai_upstream(upstream.url), limits=SOON)
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
        with client, client.chat.completions.create(**question()) as stream:
            chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "w0 " + text_of(3)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_comments_from_the_upstream_prove_that_it_lives(serve):
    """An agent that thinks for longer than the silence limit, but says so."""
    alive = [step for _ in range(8) for step in (Wait(0.1), Send(chunk(b": thinking\n\n")))]
    with ScriptThread([OPEN, Send(chunk(words(1)[0])), *alive, *REST]) as upstream:
        gateway = serve(openai_upstream(upstream.url, idle_timeout=0.4))
        reply = ask(gateway.port, question())
    assert (reply.text, reply.frames[-1]) == ("w0 " + text_of(3), "[DONE]")


def test_a_comment_alone_does_not_count_as_an_answer(serve):
    """Before the first word every sign of life moves the limit, and silence after it still ends the wait."""
    with ScriptThread([OPEN, Wait(0.2), Send(chunk(b": hello\n\n")), Hang()]) as upstream:
        gateway = serve(openai_upstream(upstream.url, first_byte_timeout=0.5, idle_timeout=0.4))
        reply = ask(gateway.port, question())
    assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")
