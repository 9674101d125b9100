"""Dify upstreams for tests: made by hand, fed by bytes, their plans carried out step by step.

``tests/wires/dify/<case>.sse`` holds the bytes as Dify sends them, with the three goldens that the OpenAI wires
have, too. Cases that begin with ``workflow_`` are answers of a workflow, all others of something that chats.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define, field

from tests.wires.reader import ENVELOPE, Recorder, told
from translators.errors import BadRequest
from translators.events import Event, Text
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.dify import Dify
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.plan import Cached, Call, Caller, Plan, Recall, Remember, Reply

FOLDER = Path(__file__).parent.parent / "wires" / "dify"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))

SITE = "https://dify.example.org"
CHAT = {"conversation_id": "c1", "message_id": "m1", "created_at": 1760000000, "task_id": "t1"}
RUN = {"workflow_run_id": "r1", "task_id": "t1"}
END = {"event": "message_end", **CHAT, "id": "m1", "metadata": {}}
OK = json.dumps({"mode": "chat"}).encode()

T = TypeVar("T")


def wire(name: str) -> bytes:
    return (FOLDER / f"{name}.sse").read_bytes()


def frames(*events: Mapping[str, Any]) -> bytes:
    """Events as Dify sends them, in the compact style."""
    lines = (json.dumps(event, separators=(",", ":"), ensure_ascii=False) for event in events)
    return b"".join(b"data: %b\n\n" % line.encode("utf-8", "surrogatepass") for line in lines)


def say(text: str, **members: Any) -> dict[str, Any]:
    return {"event": "message", **CHAT, "id": "m1", "answer": text, **members}


def chunk(text: str, selector: list[str] | None = None) -> dict[str, Any]:
    return {"event": "text_chunk", **RUN, "data": {"text": text, "from_variable_selector": selector}}


def node(state: str, kind: str = "code", **data: Any) -> dict[str, Any]:
    told = {"id": "e1", "node_id": "n1", "node_type": kind, "title": "Step", **data}
    return {"event": f"node_{state}", **CHAT, "workflow_run_id": "r1", "data": told}


def finished(status: str = "succeeded", chats: bool = False, **data: Any) -> dict[str, Any]:
    ids = {**CHAT, "workflow_run_id": "r1"} if chats else RUN
    return {"event": "workflow_finished", **ids, "data": {"id": "r1", "status": status, **data}}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def dify(
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    owner: str = "o1",
    key: str = "",
    passed_on: bool = False,
    **settings: Any,
) -> Dify:
    """An upstream for a request with these members beside its model."""
    document = {"model": "m", "messages": [user("hi")], **(body or {})}
    prompt = Prompt(document, "m", bool(document.get("stream")), True)
    caller = Caller(owner, headers or {}, key, passed_on)
    upstream = Dify(prompt, DifySettings(**{"mode": "chat", **settings}), ENVELOPE, "m", caller)
    upstream.base_url = f"{SITE}/v1"
    return upstream


def of_wire(name: str, streams: bool = True) -> Dify:
    return dify({"stream": streams}, mode="workflow" if name.startswith("workflow_") else "chat")


def stream_to(surface: Surface, upstream: Dify) -> Stream:
    return Stream(upstream.framing(), upstream, surface)


def streamed(upstream: Dify, include_usage: bool = True) -> Stream:
    return stream_to(Chat(ENVELOPE, include_usage), upstream)


def whole(upstream: Dify) -> Stream:
    return stream_to(ChatWhole(ENVELOPE), upstream)


def events_of(upstream: Dify, parts: Iterable[bytes]) -> list[Event]:
    recorder = Recorder()
    told(stream_to(recorder, upstream), parts)
    return recorder.events


def heard(*events: Mapping[str, Any], **settings: Any) -> list[Event]:
    """What these events mean, without what opens them."""
    return events_of(dify({"stream": True}, **settings), [frames(*events)])[1:]


def words(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if type(event) is Text)


def out(*events: dict[str, Any], before: bytes = b"", **settings: Any) -> bytes:
    return told(streamed(dify({"stream": True}, **settings)), [before + frames(*events)])


def chunks(sent: bytes) -> list[dict[str, Any]]:
    payloads = [frame.removeprefix(b"data: ") for frame in sent.split(b"\n\n") if frame]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]"]


def deltas(sent: bytes) -> list[dict[str, Any]]:
    return [choice["delta"] for document in chunks(sent) for choice in document.get("choices", ())]


def contents(sent: bytes) -> list[str]:
    return [delta["content"] for delta in deltas(sent) if delta.get("content")]


def goldens(name: str) -> dict[str, bytes]:
    """Suffix to content, as the code makes them now."""
    sent = wire(name)
    answer = whole(of_wire(name, streams=False))
    body = told(answer, [sent])
    if answer.failure is not None:
        body = b"%d %s" % (answer.failure.status, answer.failure.body())
    return {
        "events": "".join(f"{event!r}\n" for event in events_of(of_wire(name), [sent])).encode(),
        "chunks": told(streamed(of_wire(name)), [sent]),
        "whole": body + b"\n",
    }


@define
class Platform:
    """Carries out plans the way the gateway does: replies by path, and a memory for all who share it."""

    replies: Mapping[str, Reply | Callable[[Call], Reply]] = field(factory=dict)
    memory: dict[str, Any] = field(factory=dict)
    calls: list[Call] = field(factory=list)

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
        if isinstance(step, Remember):
            self.memory[step.key] = step.value
            return None
        call = step.call if isinstance(step, Cached) else step
        self.calls.append(call)
        reply = self.replies[call.path]
        return reply if isinstance(reply, Reply) else reply(call)

    def ask(self, upstream: Dify) -> dict[str, Any]:
        """The body of the question, after everything that comes before it."""
        self.carry_out(upstream.prepare())
        body: dict[str, Any] = json.loads(upstream.call().body)
        return body

    def turn(self, upstream: Dify, *events: Mapping[str, Any], ends: bool = True) -> dict[str, Any]:
        """Ask, hear these events and settle; the body of the question."""
        body = self.ask(upstream)
        upstream.asked()
        stream = streamed(upstream)
        stream.feed(frames(*events))
        if ends:
            stream.close()
        self.carry_out(upstream.settle())
        return body


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


PNG = base64.b64encode(b"\x89PNG not really").decode()
UPLOADED = Reply(201, b'{"id":"0b8e7c52-2222-4b6f-9c1d-0f2a6a1f3d02","name":"file.png"}')
FILE = "0b8e7c52-2222-4b6f-9c1d-0f2a6a1f3d02"

SYSTEM = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Rhyme."}]},
]


def asked(body: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return Platform().ask(dify(body, **options))


def refused(body: dict[str, Any], **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        asked(body, **options)
    return caught.value


def parts(*content: dict[str, Any], text: str = "Look") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, *content]}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
