"""Talking to the Bedrock stand-in: a client that signs with botocore, the frames of a body, and short questions."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import aiohttp
from attrs import Factory, define, frozen
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from yarl import URL

from proxy.simulators.bedrock import DEMO_AGENT, DEMO_ALIAS, DEMO_KEYS, DEMO_REGION, BedrockStandIn
from proxy.simulators.bedrock_auth import Keys
from proxy.simulators.bedrock_knobs import Agent

NOW = 1_795_000_000.0
SESSION = "s:1"
STREAMED = {"streamingConfigurations": {"streamFinalResponse": True}}
TRACED = {"enableTrace": True}
COUNT = "count to 3"
HISTORY = [
    {"role": "user", "content": [{"text": "hi"}]},
    {"role": "assistant", "content": [{"text": "hello"}]},
]


class Clock:
    """It stands still until somebody turns it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@frozen
class Frame:
    headers: dict[str, Any]
    payload: bytes

    @property
    def kind(self) -> str:
        """The type of an event or of an exception, or the code of an error."""
        names = (":event-type", ":exception-type", ":error-code")
        return next((self.headers[name] for name in names if name in self.headers), "")

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


@frozen
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.headers["x-amzn-ErrorType"]

    @property
    def frames(self) -> list[Frame]:
        """As botocore reads them; an error of its own if they are broken."""
        buffer = EventStreamBuffer()
        buffer.add_data(self.body)
        return [Frame(message.headers, message.payload) for message in buffer]

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [(frame.kind, frame.json) for frame in self.frames]

    @property
    def kinds(self) -> list[str]:
        """Events in order, several of one kind once; traces by what they are."""
        names: list[str] = []
        for kind, document in self.events:
            name = traced(document) if kind == "trace" else kind
            if not names or names[-1] != name:
                names.append(name)
        return names

    def named(self, kind: str) -> list[Any]:
        return [document for name, document in self.events if name == kind]

    @property
    def chunks(self) -> list[bytes]:
        return [base64.b64decode(chunk.get("bytes", "")) for chunk in self.named("chunk")]

    @property
    def text(self) -> str:
        return b"".join(self.chunks).decode()


def traced(document: Any) -> str:
    ((kind, told),) = document["trace"].items()
    if kind == "orchestrationTrace":
        return next(iter(told))
    return kind


@define
class Client:
    server: BedrockStandIn
    session: aiohttp.ClientSession
    keys: Keys = DEMO_KEYS
    clock: Clock = Factory(Clock)

    def signed(
        self, method: str, path: str, body: bytes, headers: dict[str, str], service: str
    ) -> dict[str, str]:
        """``headers`` and a signature by botocore at the time of the stand-in's clock."""
        keys = Credentials(self.keys.access_key, self.keys.secret_key, self.keys.session_token or None)
        request = AWSRequest(method, f"{self.server.url}{path}", dict(headers), body)
        signer = SigV4Auth(keys, service, DEMO_REGION)
        stamp = datetime.fromtimestamp(self.clock.now, UTC).strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = stamp
        signer._modify_request_before_signing(request)
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        signer._inject_signature_to_request(request, signature)
        return dict(request.headers.items())

    async def send(
        self, method: str, path: str, document: Any = None, *, service: str = "bedrock", **headers: str
    ) -> Reply:
        """A signed request with a JSON body, or with bytes as they are."""
        body = (
            document
            if isinstance(document, bytes)
            else b""
            if document is None
            else json.dumps(document).encode()
        )
        given = {"Content-Type": "application/json"} if body else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        signed = self.signed(method, path, body, given, service)
        return await self.raw(method, path, body, signed)

    async def raw(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        async with self.session.request(
            method,
            URL(self.server.url + path, encoded=True),
            data=BytesIO(body),
            headers=headers,
            skip_auto_headers=("Content-Type",),
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def ask(self, text: str | None = COUNT, *, session: str = SESSION, **more: Any) -> Reply:
        """A question for the demo's agent; ``more`` are members of the body."""
        given = {} if text is None else {"inputText": text}
        return await self.send("POST", where(session), {**given, **more})

    async def answer(self, invocation_id: str, *results: Any, session: str = SESSION, **more: Any) -> Reply:
        state = {"invocationId": invocation_id, "returnControlInvocationResults": list(results)}
        return await self.ask(None, session=session, sessionState=state, **more)


def where(session: str = SESSION, agent: str = DEMO_AGENT, alias: str = DEMO_ALIAS) -> str:
    encoded = session.replace(":", "%3A")
    return f"/agents/{agent}/agentAliases/{alias}/sessions/{encoded}/text"


def orchestration(reply: Reply, member: str) -> list[Any]:
    """These members of the orchestration traces."""
    traces = [document["trace"].get("orchestrationTrace", {}) for document in reply.named("trace")]
    return [trace[member] for trace in traces if member in trace]


def refused(reply: Reply, words: str) -> bool:
    """Whether it is a ValidationException that says so."""
    return reply.error == (400, "ValidationException") and words in reply.json["message"]


def function_result(group: str, function: str, text: str = "in Ulm", **more: Any) -> dict[str, Any]:
    body = {"responseBody": {"TEXT": {"body": text}}} if text else {}
    return {"functionResult": {"actionGroup": group, "function": function, **body, **more}}


@asynccontextmanager
async def bedrock(agent: Agent | None = None, **settings: Any) -> AsyncIterator[Client]:
    """A stand-in whose clock stands still, and a client that signs by it."""
    clock = Clock()
    settings = {"clock": clock, **settings}
    async with (
        BedrockStandIn(agent, **settings) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield Client(server, session, DEMO_KEYS, clock)
