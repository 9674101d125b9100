"""One answer from socket to socket, each way the gateway can relay it, and what becomes of its connection."""

from __future__ import annotations

import time

from proxy.simulators.script import Hang, Send, Wait, chunk, event_stream_head, last_chunk, stream
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, ask, question
from tests.support.upstream import DONE, ScriptThread, answer, delta, text_of, words

NOTHING_HELD = {"answers": 0, "places": 0, "waiting": 0}
END = [Send(chunk(delta(finish="stop") + DONE) + last_chunk())]
UNENDED = [Send(event_stream_head()), Send(chunk(b"".join(answer(3)))), Hang()]
"""An answer that is complete in a message that is not."""


def test_an_answer_arrives_whole_and_the_connection_is_used_again(serve):
    with ScriptThread([*stream(words(40), delay=0.001, end=False), *END]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        with RawClient(gateway.port) as client:
            for _ in range(3):
                client.post(question())
                reply = client.reply()
                assert (reply.status, reply.complete, reply.text) == (200, True, text_of(40))
                assert reply.frames[-1] == "[DONE]"
                assert reply.chunks[-1]["choices"][0]["finish_reason"] == "stop"
                assert len({chunk["id"] for chunk in reply.chunks}) == 1
        assert upstream.connections == 1
        assert gateway.held() == NOTHING_HELD


def test_a_whole_answer_is_one_document(serve):
    with ScriptThread(stream(answer(40))) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question(stream=False))
        assert reply.status == 200
        assert reply.json["choices"][0]["message"]["content"] == text_of(40)


def test_a_message_that_ends_a_little_after_its_answer_keeps_its_connection(serve):
    with ScriptThread([*UNENDED[:-1], Wait(0.03), Send(last_chunk())]) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        for _ in range(3):
            assert ask(gateway.port, question()).text == text_of(3)
            time.sleep(0.15)
        assert upstream.connections == 1


def test_a_message_that_never_ends_costs_its_connection_after_a_moment(serve, monkeypatch):
    for module in ("connection", "reference"):
        monkeypatch.setattr(f"proxy.wire.{module}.LINGER", 0.1)
    with ScriptThread(UNENDED) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = ask(gateway.port, question())
        assert (reply.complete, reply.text) == (True, text_of(3))
        assert gateway.held() == NOTHING_HELD
        upstream.closed_by_peer()


def test_a_gateway_that_stops_takes_unended_messages_with_it(serve, monkeypatch):
    """Nobody needs them. aiohttp would warn of a connection that nobody closed."""
    for module in ("connection", "reference"):
        monkeypatch.setattr(f"proxy.wire.{module}.LINGER", 60.0)
    with ScriptThread(UNENDED) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        for _ in range(3):
            assert ask(gateway.port, question()).text == text_of(3)
        assert upstream.open_connections == 3
        gateway.__exit__()
        for number in (1, 2, 3):
            upstream.closed_by_peer(number)
