"""An agent is never run twice for one question, whatever fails, over all four relays; and many at once do not mix.

What an agent does has consequences: its functions book and send. So a question is only repeated where the platform
itself said that it did nothing with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from proxy.simulators.bedrock import BedrockStandIn
from proxy.simulators.bedrock_faults import STATUSES
from proxy.simulators.bedrock_frames import Wire, event
from proxy.simulators.bedrock_knobs import Failure, failure
from proxy.simulators.script import Abort, Close, Wait, stream
from tests.e2e.bedrock_scene import (
    COUNT,
    COUNTED,
    asked,
    bedrock_upstream,
    built,
    runs,
    said,
    sessions,
    stand_in_of,
)
from tests.e2e.plans_setup import no_work_left
from tests.e2e.sdk_setup import asking, hosted
from tests.support.raw import ask, question
from tests.support.upstream import ScriptThread

MANY = 200
AGAIN = {"throttlingException", "expiredTokenException", "unrecognizedClientException"}
"""What says that nothing was done, and may be otherwise in a moment or with other keys."""
SOON = {"Retry-After": "0.01"}


@pytest.fixture(scope="module")
def platform() -> Iterator[BedrockStandIn]:
    with hosted(stand_in_of) as stand_in:
        yield stand_in


def failures() -> dict[str, Failure]:
    """Each way in which an answer can go wrong, by a name."""
    found = {f"{name} as a status": failure(name, headers=SOON) for name in STATUSES}
    found |= {
        f"{name} first": failure(name, how="event") for name in ("throttlingException", "badGatewayException")
    }
    found |= {
        f"{how} after {n}": failure("boom", how=how, after=n) for how in ("error", "abort") for n in (0, 3)
    }
    found |= {
        "internalServerException after 3": failure("internalServerException", how="event", after=3),
        "end at once": failure("boom", how="end"),
        "503 of somebody else": failure("boom", status=503, body=b"<html>busy</html>", named_in="nowhere"),
        "502 of somebody else": failure("boom", status=502, body=b"<html>", named_in="nowhere"),
        "500 without a word": failure("boom", status=500, body=b"", named_in="nowhere"),
    }
    return found


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_no_failure_makes_an_agent_run_twice(serve, platform, streamed):
    gateway = serve(bedrock_upstream(platform.url, retries=2))
    more_than_once = set()
    with no_work_left(gateway):
        for name, one in failures().items():
            model = built(platform)
            platform.knobs.failures.append(evolve(one, path=model[:10]))
            told = ask(gateway.port, question(streamed, model=model, messages=asking(COUNT)))
            if len(asked(platform, model)) == 1:
                assert told.status >= 400 or "error" in told.chunks[-1], name
                assert told.headers.get("x-should-retry") == "false" or told.status not in (500, 502), name
            else:
                more_than_once.add(name)
                assert told.status == 200, name
            assert runs(platform, model) <= 1, name
    assert more_than_once == {f"{name} as a status" for name in AGAIN}


def test_a_connection_that_turns_out_to_be_dead_may_have_been_heard(serve):
    """Fresh, and kept from an earlier answer: Amazon closes these without a word."""
    hello = event("chunk", {"bytes": "aGk="})
    for broken in ([Abort()], [Close()], [Wait(0.05), Abort()]):
        seen: list[Any] = []

        def script(asked: Any, broken: Any = broken, seen: list[Any] = seen) -> list[Any]:
            seen.append(asked)
            return broken if "break" in asked.document["inputText"] else [*stream([hello])]

        with ScriptThread(script) as upstream:
            gateway = serve(bedrock_upstream(upstream.url, retries=2))
            for words in ("break", "hi", "break"):
                told = ask(gateway.port, question(messages=asking(words)))
                if words == "hi":
                    assert told.text == "hi"
                else:
                    assert (told.status, told.json["error"]["code"]) == (502, "upstream_disconnected")
                    assert told.headers["x-should-retry"] == "false"
            assert [one.document["inputText"] for one in seen] == ["break", "hi", "break"]
            assert seen[2].connection == seen[1].connection


def test_what_was_not_reached_is_asked_again(serve, platform):
    """Throttled before anything was done, and only so often."""
    gateway = serve(bedrock_upstream(platform.url, retries=1))
    model = built(platform)
    for _ in range(2):
        platform.knobs.failures.append(failure("throttlingException", path=model[:10], headers=SOON))
    told = ask(gateway.port, question(model=model, messages=asking(COUNT)))
    assert (told.status, told.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (len(asked(platform, model)), runs(platform, model)) == (2, 0)
    assert ask(gateway.port, question(model=model, messages=asking(COUNT))).text == COUNTED


# Many at once.


async def read(port: int, body: dict[str, Any]) -> list[Any]:
    """The chunks of one streamed answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    told = await reader.read()
    writer.close()
    frames = told.partition(b"\r\n\r\n")[2].decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""], told[-300:]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


@pytest.mark.parametrize(
    "way", [("loop", "asyncio"), ("tap", "uvloop")], indirect=True, ids=["loop", "tap-uvloop"]
)
def test_two_hundred_streams_do_not_mix(serve, platform, way):
    model = built(platform, wire=Wire(seed=5, delay=0.001), reasoning="none")
    gateway = serve(bedrock_upstream(platform.url))
    texts = [" ".join(f"{name}-{number}" for name in ("one", "two", "three")) for number in range(MANY)]

    async def all_of_them() -> list[list[Any]]:
        bodies = [
            question(model=model, session_id=f"s-{number}", messages=asking(f"repeat: {text}"))
            for number, text in enumerate(texts)
        ]
        return await asyncio.gather(*(read(gateway.port, body) for body in bodies))

    with no_work_left(gateway):
        answers = asyncio.run(all_of_them())
    told = ["".join(one["choices"][0]["delta"].get("content", "") for one in answer) for answer in answers]
    assert told == texts
    assert len({one["id"] for answer in answers for one in answer}) == MANY
    assert all(len({one["id"] for one in answer}) == 1 for answer in answers)
    heard = {session.id: said(session) for session in sessions(platform, model)}
    assert heard == {f"s-{number}": [f"repeat: {text}"] for number, text in enumerate(texts)}
