"""One answer from socket to socket, each way the gateway can relay it."""

from __future__ import annotations

import json

from proxy.simulators.script import ScriptServer, stream
from tests.support.gateway import openai_upstream
from tests.support.raw import RawClient, ask, question


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return (
        b"data: %b\n\n"
        % json.dumps(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
        ).encode()
    )


WORDS = [chunk(f"w{number} ") for number in range(40)]
ANSWER = [*WORDS, chunk(finish="stop"), b"data: [DONE]\n\n"]
TEXT = "".join(f"w{number} " for number in range(40))


async def test_an_answer_arrives_whole_and_the_connection_is_used_again(serve):
    async with ScriptServer(stream(ANSWER, delay=0.001)) as upstream:
        gateway = serve(openai_upstream(upstream.url))

        def talk():
            with RawClient(gateway.port) as client:
                for _ in range(3):
                    client.post(question())
                    reply = client.reply()
                    assert (reply.status, reply.complete, reply.text) == (200, True, TEXT)
                    assert reply.frames[-1] == "[DONE]"
                    assert reply.chunks[-1]["choices"][0]["finish_reason"] == "stop"
                    assert len({chunk["id"] for chunk in reply.chunks}) == 1

        import asyncio

        await asyncio.to_thread(talk)
        assert upstream.connections == 1
        assert gateway.held() == {"answers": 0, "places": 0, "waiting": 0}


async def test_a_whole_answer_is_one_document(serve):
    import asyncio

    async with ScriptServer(stream(ANSWER)) as upstream:
        gateway = serve(openai_upstream(upstream.url))
        reply = await asyncio.to_thread(ask, gateway.port, question(stream=False))
        assert reply.status == 200
        assert reply.json["choices"][0]["message"]["content"] == TEXT
