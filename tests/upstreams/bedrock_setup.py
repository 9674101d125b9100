"""Bedrock agents for tests: made by hand, fed by frames, their plans carried out step by step.

``tests/wires/bedrock/<case>.frames`` holds an answer in words, one frame to a line, because frames are binary:
``say`` and a JSON string is a chunk, ``event``, ``exception`` and ``error`` are the three kinds of frames, ``cut``
takes bytes off the end. Beside it stand the three goldens that other platforms' wires have.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define, field

from tests.support import aws_frames
from tests.wires.reader import ENVELOPE, Recorder, told
from translators.errors import BadRequest, GatewayError
from translators.events import Event, Text
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.bedrock_agent import BedrockAgent
from translators.upstreams.bedrock_inline import InlineAgent
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.plan import Call, Caller, Keep, Plan, Recall, Remember

FOLDER = Path(__file__).parent.parent / "wires" / "bedrock"
NAMES = sorted(path.stem for path in FOLDER.glob("*.frames"))

AGENT, ALIAS = "AGENT12345", "TSTALIASID"
PLACE = f"agents/{AGENT}/agentAliases/{ALIAS}/sessions"
INVOCATION = "0b0c7a5e-2f3d-4a41-9d0e-6f0a4b7c1d22"
DIGITS = "0b0c7a5e2f3d4a419d0e6f0a4b7c1d22"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CALL_0, CALL_1 = f"call_{DIGITS}_0", f"call_{DIGITS}_1"

T = TypeVar("T")


# Frames.


def dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def say(text: str | bytes, **members: Any) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return aws_frames.event("chunk", dumped({"bytes": b64encode(data).decode(), **members}))


def trace(kind: str, step: Mapping[str, Any], **members: Any) -> bytes:
    return aws_frames.event("trace", dumped({"agentId": AGENT, "trace": {kind: step}, **members}))


def orchestration(**step: Any) -> bytes:
    return trace("orchestrationTrace", step)


def rationale(text: str) -> bytes:
    return orchestration(rationale={"traceId": "t-1", "text": text})


def output(id: str, input: int, output: int, **members: Any) -> bytes:
    metadata = {"usage": {"inputTokens": input, "outputTokens": output}, "clientRequestId": id}
    return orchestration(modelInvocationOutput={"traceId": "t-1", "metadata": metadata, **members})


def final(text: str, **members: Any) -> bytes:
    step = {"observation": {"traceId": "t-1", "type": "FINISH", "finalResponse": {"text": text}}}
    return trace("orchestrationTrace", step, **members)


def function(name: str, parameters: Iterable[tuple[str, str, Any]] = (), **members: Any) -> dict[str, Any]:
    told = [{"name": name, "type": type, "value": value} for name, type, value in parameters]
    call = {"actionGroup": "Parcels", "function": name, "parameters": told, **members}
    return {"functionInvocationInput": call}


def api(path: str, method: str = "GET", **members: Any) -> dict[str, Any]:
    call = {"actionGroup": "Orders", "apiPath": path, "httpMethod": method, **members}
    return {"apiInvocationInput": call}


def returns(*inputs: Mapping[str, Any], invocation: str = INVOCATION) -> bytes:
    document = {"invocationId": invocation, "invocationInputs": list(inputs)}
    return aws_frames.event("returnControl", dumped(document))


def files(*made: Mapping[str, Any]) -> bytes:
    return aws_frames.event("files", dumped({"files": list(made)}))


def exception(name: str, message: str, **members: Any) -> bytes:
    return aws_frames.exception(name, dumped({"message": message, **members}))


def cites(*citations: Mapping[str, Any]) -> dict[str, Any]:
    return {"attribution": {"citations": list(citations)}}


def citation(text: str, *references: Mapping[str, Any], **span: int) -> dict[str, Any]:
    part = {"textResponsePart": {"text": text, **({"span": span} if span else {})}}
    return {"generatedResponsePart": part, "retrievedReferences": list(references)}


def s3(uri: str, **metadata: Any) -> dict[str, Any]:
    place = {"type": "S3", "s3Location": {"uri": uri}}
    return {"content": {"type": "TEXT", "text": "quoted"}, "location": place, "metadata": metadata}


def wire(name: str) -> bytes:
    return framed((FOLDER / f"{name}.frames").read_text())


def framed(text: str) -> bytes:
    sent = b""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "say":
            sent += say(json.loads(rest))
        elif word == "cut":
            sent = sent[: -int(rest)]
        elif word == "error":
            sent += aws_frames.error(*rest.split(" ", 1))
        else:
            name, _, payload = rest.partition(" ")
            make = {"event": aws_frames.event, "exception": aws_frames.exception}[word]
            sent += make(name, payload.encode())
    return sent


# Questions.


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def called(*ids: str, name: str = "track", text: str | None = None) -> dict[str, Any]:
    calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": text, "tool_calls": calls}


def result(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def agent(
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    model: str = "bedrock-agent",
    owner: str = "o1",
    envelope: str = "",
    **settings: Any,
) -> BedrockAgent:
    """An upstream for a request with these members beside its model."""
    document = {"model": "m", "messages": [user("hi")], **(body or {})}
    prompt = Prompt.from_chat(dict(document))
    kind = InlineAgent if "foundation_model" in settings else BedrockAgent
    options = BedrockSettings(**{"agent_id": AGENT, "agent_alias_id": ALIAS, **settings})
    named = ENVELOPE if not envelope else type(ENVELOPE)(envelope, 1700000000, "m")
    return kind(prompt, options, named, model, Caller(owner, headers or {}))


def ready(streams: bool = True, **settings: Any) -> BedrockAgent:
    """One that has been asked."""
    upstream = agent({"stream": streams}, **settings)
    Platform().ask(upstream)
    upstream.asked()
    return upstream


def stream_to(surface: Surface, upstream: BedrockAgent) -> Stream:
    return Stream(upstream.framing(), upstream, surface)


def streamed(upstream: BedrockAgent | None = None, include_usage: bool = True, **settings: Any) -> Stream:
    return stream_to(Chat(ENVELOPE, include_usage), upstream or ready(**settings))


def whole(upstream: BedrockAgent | None = None, **settings: Any) -> Stream:
    return stream_to(ChatWhole(ENVELOPE), upstream or ready(streams=False, **settings))


def events_of(upstream: BedrockAgent, *frames: bytes) -> list[Event]:
    recorder = Recorder()
    told(stream_to(recorder, upstream), [b"".join(frames)])
    return recorder.events


def heard(*frames: bytes, streams: bool = True, **settings: Any) -> list[Event]:
    """What these frames mean, without what opens them."""
    return events_of(ready(streams, **settings), *frames)[1:]


def words(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if type(event) is Text)


def out(*frames: bytes, **settings: Any) -> bytes:
    return told(streamed(**settings), [b"".join(frames)])


def body_of(*frames: bytes, **settings: Any) -> dict[str, Any]:
    """The whole form of an answer."""
    document: dict[str, Any] = json.loads(told(whole(**settings), [b"".join(frames)]))
    return document


def message(*frames: bytes, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = body_of(*frames, **settings)["choices"][0]["message"]
    return found


def chunks(sent: bytes) -> list[dict[str, Any]]:
    payloads = [frame.removeprefix(b"data: ") for frame in sent.split(b"\n\n") if frame]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]"]


def deltas(sent: bytes) -> list[dict[str, Any]]:
    return [choice["delta"] for document in chunks(sent) for choice in document.get("choices", ())]


def contents(sent: bytes) -> list[str]:
    return [delta["content"] for delta in deltas(sent) if delta.get("content")]


def finishes(sent: bytes) -> list[str]:
    choices = [choice for document in chunks(sent) for choice in document.get("choices", ())]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def failure(*frames: bytes, **settings: Any) -> GatewayError:
    """Why there is no answer, or no end of it."""
    stream = streamed(**settings)
    told(stream, [b"".join(frames)])
    assert stream.failure is not None
    return stream.failure


def goldens(name: str) -> dict[str, bytes]:
    """Suffix to content, as the code makes them now."""
    sent = wire(name)
    answer = whole()
    body = told(answer, [sent])
    if answer.failure is not None:
        body = b"%d %s" % (answer.failure.status, answer.failure.body())
    return {
        "events": "".join(f"{event!r}\n" for event in events_of(ready(), sent)).encode(),
        "chunks": told(streamed(), [sent]),
        "whole": body + b"\n",
    }


@define
class Platform:
    """Carries out plans the way the gateway does, with a memory for all who share it."""

    memory: dict[str, Any] = field(factory=dict)
    seconds: dict[str, float] = field(factory=dict)
    kept: list[Keep] = field(factory=list)

    def carry_out(self, plan: Plan[T] | None) -> T | None:
        if plan is None:
            return None
        brought: Any = None
        try:
            while True:
                brought = self._do(plan.send(brought))
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Any) -> Any:
        if isinstance(step, Recall):
            return self.memory.get(step.key)
        if isinstance(step, Keep):
            self.kept.append(step)
            return None
        assert isinstance(step, Remember)
        self.memory[step.key] = json.loads(json.dumps(step.value))
        self.seconds[step.key] = step.seconds
        return None

    def call(self, upstream: BedrockAgent) -> Call:
        """The question, after everything that comes before it."""
        self.carry_out(upstream.prepare())
        call = upstream.call()
        assert isinstance(call, Call)
        return call

    def ask(self, upstream: BedrockAgent) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.call(upstream).body)
        return body

    def turn(self, upstream: BedrockAgent, *frames: bytes, ends: bool = True) -> dict[str, Any]:
        """Ask, hear these frames and settle; the body of the question."""
        body = self.ask(upstream)
        upstream.asked()
        stream = streamed(upstream) if upstream.prompt.stream else whole(upstream)
        stream.feed(b"".join(frames))
        if ends:
            stream.close()
        self.carry_out(upstream.settle())
        return body


def asked(body: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return Platform().ask(agent(body, **options))


def refused(body: Mapping[str, Any], **options: Any) -> BadRequest:
    """What is wrong with a request, found out before anything is sent."""
    with pytest.raises(BadRequest) as caught:
        Platform().ask(agent(body, **options))
    return caught.value
