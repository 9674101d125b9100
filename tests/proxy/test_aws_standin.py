"""The way to Amazon, walked to its end: signatures that the stand-in's own check takes, frames that are read."""

from __future__ import annotations

import base64

import pytest

from proxy.aws import AwsWire
from proxy.simulators.bedrock import (
    DEMO_AGENT,
    DEMO_ALIAS,
    DEMO_FLOW,
    DEMO_FLOW_ALIAS,
    DEMO_KEYS,
    DEMO_REGION,
    DEMO_RUNTIME,
    BedrockStandIn,
)
from proxy.wire.base import Answer
from proxy.wire.reference import client_session
from tests.proxy.aws_setup import SHARED, bare, identity, wire_maker
from translators import wirejson
from translators.framing.aws import AwsEvents
from translators.framing.base import Frame
from translators.upstreams.plan import Call

__all__ = ["bare"]
pytestmark = pytest.mark.usefixtures("bare")
WHO = identity(region=DEMO_REGION, access_key=DEMO_KEYS.access_key, secret_key=DEMO_KEYS.secret_key)
OTHER = identity(region=DEMO_REGION, access_key=DEMO_KEYS.access_key, secret_key="wrong")
ASK = f"agents/{DEMO_AGENT}/agentAliases/{DEMO_ALIAS}/sessions/s%3A1/text"
RUNTIME = f"runtimes/{DEMO_RUNTIME.replace(':', '%3A').replace('/', '%2F')}/invocations?qualifier=DEFAULT"


def question(text: str) -> Call:
    return Call("POST", ASK, wirejson.dumps({"inputText": text, "enableTrace": True}))


async def body_of(answer: Answer) -> bytes:
    body = b""
    while piece := await answer.body.read():
        body += piece
    answer.body.finish()
    return body


async def frames_of(answer: Answer) -> list[Frame]:
    events = AwsEvents()
    frames = events.feed(await body_of(answer)) + events.close()
    assert events.fault is None
    return frames


@pytest.mark.parametrize("kind", ["lean", "reference"])
async def test_every_service_takes_the_signature_and_its_frames_are_read(kind: str) -> None:
    async with BedrockStandIn() as bedrock, client_session() as session:
        wire = AwsWire(WHO, bedrock.url, wire_maker(kind, session), SHARED)
        frames = await frames_of(await wire.send(question("Grüß dich")))
        chunks = [wirejson.loads(payload)["bytes"] for name, payload in frames if name == b"chunk"]
        assert b"".join(base64.b64decode(chunk) for chunk in chunks).decode()
        assert {name for name, _ in frames} == {b"chunk", b"trace"}

        [failed] = await frames_of(await wire.send(question("[event throttlingException]")))
        assert failed[0] == b"exception:throttlingException"

        flow = {
            "inputs": [
                {"nodeName": "FlowInputNode", "nodeOutputName": "document", "content": {"document": "hi"}}
            ]
        }
        asked = Call("POST", f"flows/{DEMO_FLOW}/aliases/{DEMO_FLOW_ALIAS}", wirejson.dumps(flow))
        names = [name for name, _ in await frames_of(await wire.send(asked))]
        assert names[-1] == b"flowCompletionEvent"

        for call in (
            Call("POST", "agents/", b"{}", service="bedrock-agent"),
            Call("GET", f"flows/{DEMO_FLOW}/aliases?maxResults=5", service="bedrock-agent"),
            Call("POST", RUNTIME, b'{"prompt":"hi"}', service="bedrock-agentcore"),
        ):
            answer = await wire.send(call)
            assert (answer.status, bool(await body_of(answer))) == (200, True)
        await wire.close()


async def test_what_is_signed_with_another_secret_is_refused() -> None:
    async with BedrockStandIn() as bedrock, client_session() as session:
        wire = AwsWire(OTHER, bedrock.url, wire_maker("lean", session), SHARED)
        answer = await wire.send(question("hi"))
        assert (answer.status, answer.headers["x-amzn-ErrorType"].partition(":")[0]) == (
            403,
            "InvalidSignatureException",
        )
        answer.body.close()
        await wire.close()
