"""Coze upstreams for tests: made by hand, fed by bytes, their plans carried out step by step.

``tests/wires/coze/<case>.sse`` holds the bytes as Coze sends them, with the three goldens that the OpenAI wires
have, too. Cases that begin with ``workflow_`` are answers to a workflow run, all others to a chat.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from tests.wires.reader import ENVELOPE, Recorder, told
from translators.errors import GatewayError
from translators.events import Event
from translators.request import Prompt
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Call, Caller, Pause, Plan, Recall, Remember, Reply, Script

FOLDER = Path(__file__).parent.parent / "wires" / "coze"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))

BOT = "7600000000000000001"
WORKFLOW = "7610000000000000001"
CHAT = "7620000000000000011"
CONVERSATION = "7630000000000000021"
USER = {"role": "user", "content": "Name a blue bird."}

T = TypeVar("T")


def wire(name: str) -> bytes:
    return (FOLDER / f"{name}.sse").read_bytes()


def coze(
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    model: str = "m",
    owner: str = "",
    key: str = "",
    **settings: Any,
) -> Coze:
    """An upstream for a request with these members beside its model."""
    document = {"model": "m", "messages": [USER], **(body or {})}
    prompt = Prompt(document, "m", bool(document.get("stream")), False)
    caller = Caller(owner, headers or {}, key)
    options = CozeSettings(**{"bot_id": BOT, "workflow_id": WORKFLOW, **settings})
    return Coze(prompt, options, ENVELOPE, model, caller)


def of_wire(name: str, **settings: Any) -> Coze:
    model_type = "workflow" if name.startswith("workflow_") else "chat"
    return coze(**{"model_type": model_type, **settings})


def stream_to(surface: Surface, upstream: Coze) -> Stream:
    return Stream(upstream.framing(), upstream, surface)


def streamed(upstream: Coze, include_usage: bool = True) -> Stream:
    return stream_to(Chat(ENVELOPE, include_usage), upstream)


def whole(upstream: Coze) -> Stream:
    return stream_to(ChatWhole(ENVELOPE), upstream)


def events_of(upstream: Coze, parts: Iterable[bytes]) -> list[Event]:
    recorder = Recorder()
    told(stream_to(recorder, upstream), parts)
    return recorder.events


def goldens(name: str) -> dict[str, bytes]:
    """Suffix to content, as the code makes them now."""
    sent = wire(name)
    answer = whole(of_wire(name))
    body = told(answer, [sent])
    if answer.failure is not None:
        body = b"%d %s" % (answer.failure.status, answer.failure.body())
    return {
        "events": "".join(f"{event!r}\n" for event in events_of(of_wire(name), [sent])).encode(),
        "chunks": told(streamed(of_wire(name)), [sent]),
        "whole": body + b"\n",
    }


# Events on the wire.


def event(name: str, data: Any) -> bytes:
    """One event; text is sent as it is."""
    payload = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event:{name}\ndata:{payload}\n\n".encode("utf-8", "surrogatepass")


def chat(status: str, **members: Any) -> dict[str, Any]:
    return {"id": CHAT, "conversation_id": CONVERSATION, "bot_id": BOT, "status": status, **members}


def message(content: str | None, id: str = "7640000000000000031", **members: Any) -> dict[str, Any]:
    common = {"id": id, "conversation_id": CONVERSATION, "bot_id": BOT, "role": "assistant", "type": "answer"}
    return {**common, "content": content, "content_type": "text", "chat_id": CHAT, **members}


CREATED = event("conversation.chat.created", chat("created"))


def delta(content: str | None, id: str = "7640000000000000031", **members: Any) -> bytes:
    return event("conversation.message.delta", message(content, id, **members))


def completed(content: str | None, id: str = "7640000000000000031", **members: Any) -> bytes:
    return event("conversation.message.completed", message(content, id, **members))


def chat_completed(**members: Any) -> bytes:
    usage = {"token_count": 31, "output_count": 4, "input_count": 27}
    return event("conversation.chat.completed", chat("completed", **{"usage": usage, **members}))


DONE = event("done", '"[DONE]"')


# Plans.


def good(data: Any = None, **members: Any) -> Reply:
    return Reply(200, json.dumps({"code": 0, "msg": "", "data": data, **members}).encode())


def bad(code: int, msg: str = "no", status: int = 200) -> Reply:
    return Reply(status, json.dumps({"code": code, "msg": msg, "detail": {"logid": "L1"}}).encode())


@define
class Errands:
    """Carries out plans with replies made up beforehand; remembers like the proxy does."""

    replies: list[Reply | GatewayError | Callable[[Call], Reply]] = field(factory=list)
    memory: dict[str, Any] = field(factory=dict)
    calls: list[Call] = field(factory=list)
    pauses: list[float] = field(factory=list)

    def carry_out(self, plan: Plan[T]) -> T:
        brought: Any = None
        throw: GatewayError | None = None
        while True:
            try:
                step = plan.send(brought) if throw is None else plan.throw(throw)
            except StopIteration as end:
                result: T = end.value
                return result
            brought = throw = None
            if isinstance(step, Call):
                self.calls.append(step)
                reply = self.replies.pop(0)
                if isinstance(reply, GatewayError):
                    throw = reply
                else:
                    brought = reply if isinstance(reply, Reply) else reply(step)
            elif isinstance(step, Recall):
                brought = self.memory.get(step.key)
            elif isinstance(step, Remember):
                assert step.seconds > 0
                json.dumps(step.value)
                self.memory[step.key] = step.value
            else:
                assert isinstance(step, Pause), step
                self.pauses.append(step.seconds)

    def ask(self, upstream: Coze) -> Call | Script:
        """What the upstream asks once it is prepared."""
        plan = upstream.prepare()
        if plan is not None:
            self.carry_out(plan)
        return upstream.call()

    def settle(self, upstream: Coze) -> None:
        plan = upstream.settle()
        if plan is not None:
            self.carry_out(plan)


def asked(call: Call | Script) -> dict[str, Any]:
    """The body of a call."""
    assert isinstance(call, Call)
    document: dict[str, Any] = json.loads(call.body)
    return document


def sent_by(script: Call | Script) -> bytes:
    assert isinstance(script, Script)
    return b"".join(data for _, data in script.steps)
