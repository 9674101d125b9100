"""What leaves and when: heads, failures in every form, broken bytes over a socket, and what is remembered of it."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import pytest
from botocore.eventstream import ChecksumMismatch

from proxy.simulators.bedrock import DEMO_ACCOUNT, DEMO_AGENT, DEMO_ALIAS, DEMO_FLOW, DEMO_RUNTIME
from proxy.simulators.bedrock_bodies import ACCOUNT_ID, AGENT_ID, FLOW_ID
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Agent, Knobs, Sleep, failure
from tests.simulators.bedrock_client import STREAMED, bedrock, where


def test_the_demo_has_legal_ids() -> None:
    for shape, value in (
        (AGENT_ID, DEMO_AGENT),
        (AGENT_ID, DEMO_ALIAS),
        (FLOW_ID, DEMO_FLOW),
        (ACCOUNT_ID, DEMO_ACCOUNT),
    ):
        shape.check(value, "id")
    assert len(DEMO_AGENT) == len(DEMO_ALIAS) == 10
    assert DEMO_RUNTIME.startswith(f"arn:aws:bedrock-agentcore:us-east-1:{DEMO_ACCOUNT}:runtime/")


@pytest.mark.parametrize("content_type", ["application/json", "application/vnd.amazon.eventstream"])
async def test_the_head_of_an_answer(content_type: str) -> None:
    async with bedrock(knobs=Knobs(wire=Wire(content_type=content_type))) as aws:
        reply = await aws.ask()
    assert reply.headers["Content-Type"] == content_type
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.headers["x-amzn-bedrock-agent-content-type"] == "application/json"
    assert reply.headers["x-amz-bedrock-agent-session-id"] == "s:1"
    assert len(reply.headers["x-amzn-RequestId"]) == 36


async def test_a_request_is_recorded_as_it_came() -> None:
    async with bedrock() as aws:
        await aws.ask("say hi", session="a:b")
        await aws.ask("say ho", session="a:b")
        first, second = aws.server.heard("/sessions/")
        assert aws.server.connections == aws.server.open_connections == 1
    assert first.path == f"/agents/{DEMO_AGENT}/agentAliases/{DEMO_ALIAS}/sessions/a%3Ab/text"
    assert (first.document, second.document) == ({"inputText": "say hi"}, {"inputText": "say ho"})
    assert first.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
    assert (first.left, second.connection) == (None, 1)


# Failures.


@pytest.mark.parametrize(
    ("named_in", "header", "type_of_body"),
    [
        ("header", "ThrottlingException", None),
        ("url", "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", None),
        ("body", None, "com.amazon#ThrottlingException"),
        ("nowhere", None, None),
    ],
)
async def test_where_a_status_says_what_it_is(
    named_in: Any, header: str | None, type_of_body: str | None
) -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(failure("throttlingException", "slow", named_in=named_in))
        reply = await aws.ask()
        after = await aws.ask()
    assert (reply.status, reply.headers.get("x-amzn-ErrorType")) == (429, header)
    assert (reply.json["message"], reply.json.get("__type")) == ("slow", type_of_body)
    assert after.status == 200


async def test_a_status_can_be_anything() -> None:
    ordered = failure(
        "serviceUnavailableException",
        status=599,
        headers={"Retry-After": "7"},
        body=b"<html>not ours</html>",
    )
    async with bedrock() as aws:
        aws.server.knobs.failures.append(ordered)
        reply = await aws.ask()
    assert (reply.status, reply.headers["Retry-After"], reply.body) == (599, "7", b"<html>not ours</html>")


async def test_a_failure_waits_for_its_path() -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(failure("throttlingException", path="/agentaliases/"))
        fine = await aws.ask()
        refused = await aws.send("POST", f"/agents/{DEMO_AGENT}/agentaliases/", {})
    assert fine.status == 200
    assert refused.error == (429, "ThrottlingException")


@pytest.mark.parametrize(
    ("how", "after", "kinds"),
    [
        ("event", 0, ["internalServerException"]),
        ("event", 2, ["chunk", "internalServerException"]),
        ("event", 99, ["chunk", "internalServerException"]),
        ("end", 0, []),
        ("end", 2, ["chunk"]),
    ],
)
async def test_a_stream_that_goes_wrong(how: Any, after: int, kinds: list[str]) -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(
            failure("internalServerException", "", how=how, after=after, path="/text")
        )
        reply = await aws.ask(**STREAMED)
    assert (reply.status, reply.kinds) == (200, kinds)
    assert len(reply.named("chunk")) == min(after, 6)


async def test_an_error_frame_has_no_payload() -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(failure("InternalError", "boom", how="error"))
        (frame,) = (await aws.ask(**STREAMED)).frames
    assert frame.headers == {
        ":message-type": "error",
        ":error-code": "InternalError",
        ":error-message": "boom",
    }
    assert frame.payload == b""


async def test_a_connection_that_ends() -> None:
    async with bedrock() as aws:
        aws.server.knobs.failures.append(failure("x", how="abort", after=2))
        with pytest.raises(aiohttp.ClientError):
            await aws.ask(**STREAMED)


# Bytes.


@pytest.mark.parametrize("corrupt", ["prelude", "message", "payload"])
async def test_broken_frames_over_a_socket(corrupt: Any) -> None:
    async with bedrock(Agent(wire=Wire(corrupt=corrupt, corrupt_at=2))) as aws:
        reply = await aws.ask(**STREAMED)
        aws.server.agent.wire = None
        whole = await aws.ask(**STREAMED, session="s:2")
    assert reply.status == 200
    with pytest.raises(ChecksumMismatch):
        assert reply.frames
    assert len(reply.body) == len(whole.body)


async def test_an_end_that_is_missing_over_a_socket() -> None:
    async with bedrock(knobs=Knobs(wire=Wire(cut_end=3))) as aws:
        reply = await aws.ask(**STREAMED)
        aws.server.knobs.wire = Wire(cut_end=0)
        whole = await aws.ask(**STREAMED, session="s:2")
    assert reply.body == whole.body[:-3]
    assert reply.text == "1, 2, 3"


async def test_time_passes_where_it_should() -> None:
    agent = Agent(wire=Wire(first_delay=0.03), script=(Sleep(0.03),))
    async with bedrock(agent) as aws:
        began = time.monotonic()
        assert (await aws.ask()).body == b""
        assert time.monotonic() - began >= 0.06


async def test_a_path_of_dots_is_not_a_session() -> None:
    """The pattern of session ids allows two dots, which no server would take for one as they are."""
    async with bedrock() as aws:
        assert (
            await aws.send("POST", where().replace("s%3A1", "%2E%2E"), {"inputText": "say hi"})
        ).text == "hi"
        bare = await aws.send("POST", where().replace("s%3A1", ".."), {"inputText": "say hi"})
    assert bare.error == (404, "UnknownOperationException")
