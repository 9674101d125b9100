"""Flows and runtimes for tests: made by hand, fed by bytes, their plans carried out step by step.

``tests/wires/bedrock_flow/<case>.frames`` holds a flow's answer in words, as those of agents are held.
``tests/wires/bedrock_runtime/<case>.sse`` holds bytes as a runtime sends them; the first word of the case says
under which content type. Beside both stand the three goldens that other platforms' wires have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import Platform, dumped, framed, user
from tests.wires.reader import ENVELOPE, Recorder, told
from translators.errors import BadRequest, GatewayError
from translators.events import Event, Opened, Text
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.bedrock_flow import BedrockFlow
from translators.upstreams.bedrock_runtime import AgentRuntime
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.bedrock_sister import Sister
from translators.upstreams.plan import Caller

WIRES = Path(__file__).parent.parent / "wires"
FLOW = {"flow": "FLOW000001", "flow_alias": "FLOWALIAS1"}
ARN = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/helper-3ySZuRHjLC"
EXECUTION = "exec-1"
TYPES = {"json": "application/json", "text": "text/plain; charset=utf-8", "bare": ""}


def _asked(
    kind: type[Sister], body: Mapping[str, Any] | None, headers: Any, owner: str, settings: Any
) -> Any:
    document = {"model": "m", "messages": [user("hi")], **(body or {})}
    model = settings.pop("model", "bedrock-agent")
    envelope = evolve(ENVELOPE, id=settings.pop("envelope", ENVELOPE.id))
    prompt = Prompt.from_chat(dict(document))
    return kind(prompt, BedrockSettings(**settings), envelope, model, Caller(owner, headers or {}))


def flow(
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    owner: str = "o1",
    **settings: Any,
) -> BedrockFlow:
    upstream: BedrockFlow = _asked(BedrockFlow, body, headers, owner, {**FLOW, **settings})
    return upstream


def runtime(
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    owner: str = "o1",
    **settings: Any,
) -> AgentRuntime:
    upstream: AgentRuntime = _asked(AgentRuntime, body, headers, owner, {"runtime": ARN, **settings})
    return upstream


def ready_flow(streams: bool = True, execution: str = EXECUTION, **settings: Any) -> BedrockFlow:
    """One that has been asked, and whose answer has begun."""
    upstream = flow({"stream": streams}, **settings)
    Platform().ask(upstream)
    upstream.asked()
    upstream.answered({"x-amz-bedrock-flow-execution-id": execution})
    return upstream


def ready_runtime(
    streams: bool = True, content_type: str = "text/event-stream", **settings: Any
) -> AgentRuntime:
    upstream = runtime({"stream": streams}, **settings)
    Platform().ask(upstream)
    upstream.asked()
    upstream.answered({"Content-Type": content_type})
    return upstream


def stream_to(surface: Surface, upstream: Sister) -> Stream:
    return Stream(upstream.framing(), upstream, surface)


def streamed(upstream: Sister, include_usage: bool = True) -> Stream:
    return stream_to(Chat(ENVELOPE, include_usage), upstream)


def whole(upstream: Sister) -> Stream:
    return stream_to(ChatWhole(ENVELOPE), upstream)


def events_of(upstream: Sister, parts: Iterable[bytes]) -> list[Event]:
    recorder = Recorder()
    told(stream_to(recorder, upstream), parts)
    return recorder.events


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if type(event) is Text)


def failure(upstream: Sister, sent: bytes) -> GatewayError:
    stream = streamed(upstream)
    told(stream, [sent])
    assert stream.failure is not None
    return stream.failure


def refused(upstream: Sister) -> BadRequest:
    """What is wrong with a request, found out before anything is sent."""
    with pytest.raises(BadRequest) as caught:
        Platform().ask(upstream)
    return caught.value


def of_flow(events: Iterable[Event]) -> list[Event]:
    """Without what opens them."""
    return [event for event in events if type(event) is not Opened]


def frames_of(*frames: tuple[str, Any]) -> bytes:
    """A flow's events."""
    return b"".join(aws_frames.event(name, dumped(document)) for name, document in frames)


def output(document: Any, node: str = "FlowOutputNode") -> tuple[str, Any]:
    return "flowOutputEvent", {
        "nodeName": node,
        "nodeType": "FlowOutputNode",
        "content": {"document": document},
    }


def asks(document: Any, node: str = "Helper") -> tuple[str, Any]:
    told = {"nodeName": node, "nodeType": "AgentNode", "content": {"document": document}}
    return "flowMultiTurnInputRequestEvent", told


def ends(reason: str = "SUCCESS") -> tuple[str, Any]:
    return "flowCompletionEvent", {"completionReason": reason}


def traced(**trace: Any) -> tuple[str, Any]:
    return "flowTraceEvent", {"trace": trace}


def sse(*documents: Any) -> bytes:
    """Events as the platform's own library for agents writes them; bytes are taken as they are."""
    payloads = (
        one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode() for one in documents
    )
    return b"".join(b"data: %b\n\n" % payload for payload in payloads)


def input_of(body: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Where a document goes, and the document."""
    [one] = body["inputs"]
    return {name: one[name] for name in one if name != "content"}, one["content"]["document"]


@frozen
class Wires:
    """The recorded answers of one kind of sister."""

    folder: Path
    suffix: str
    read: Callable[[bytes], bytes]
    make: Callable[[str, bool], Sister]

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob(f"*.{self.suffix}"))

    def wire(self, name: str) -> bytes:
        return self.read((self.folder / f"{name}.{self.suffix}").read_bytes())

    def streamed(self, name: str) -> Stream:
        return streamed(self.make(name, True))

    def whole(self, name: str) -> Stream:
        return whole(self.make(name, False))

    def goldens(self, name: str) -> dict[str, bytes]:
        """Suffix to content, as the code makes them now."""
        sent = self.wire(name)
        answer = self.whole(name)
        body = told(answer, [sent])
        if answer.failure is not None:
            body = b"%d %s" % (answer.failure.status, answer.failure.body())
        return {
            "events": "".join(f"{event!r}\n" for event in events_of(self.make(name, True), [sent])).encode(),
            "chunks": told(self.streamed(name), [sent]),
            "whole": body + b"\n",
        }


def _runtime_of(name: str, streams: bool) -> AgentRuntime:
    return ready_runtime(streams, TYPES.get(name.partition("_")[0], "text/event-stream"))


FLOWS = Wires(
    WIRES / "bedrock_flow",
    "frames",
    lambda text: framed(text.decode()),
    lambda name, streams: ready_flow(streams),
)
RUNTIMES = Wires(WIRES / "bedrock_runtime", "sse", lambda sent: sent, _runtime_of)
CASES = [(wires, name) for wires in (FLOWS, RUNTIMES) for name in wires.names]
IDS = [f"{wires.folder.name}-{name}" for wires, name in CASES]
