"""Answers to judge, as bytes: a right stream, what may be put wrong in it, and what the judge says of it."""

from __future__ import annotations

import json
from typing import Any

from proxy.compare.judge import Verdict, judge
from proxy.compare.read import read
from proxy.compare.reading import Reading
from proxy.compare.record import Question, Recording

PLAIN = Question("plain", "", {"stream": True})
COUNTED = Question("counted", "", {"stream": True, "stream_options": {"include_usage": True}})
WHOLE = Question("whole", "", {})
REFUSED = Question("refused", "", {"stream": True}, refused=True)

STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def chunk(choices: Any, **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    return {**head, "choices": choices, **more}


def said(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return chunk([choice], **more)


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def frame(document: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


ROLE = said({"role": "assistant", "content": "", "refusal": None})
HELLO = said({"content": "Hello"})
WORLD = said({"content": " world"})
STOP = said({}, "stop")
RIGHT = [frame(ROLE), frame(HELLO), frame(WORLD), frame(STOP), DONE]
NULLED = [frame({**one, "usage": None}) for one in (ROLE, HELLO, WORLD, STOP)]
RIGHT_COUNTED = [*NULLED, frame(chunk([], usage=USAGE)), DONE]


def call(**piece: Any) -> dict[str, Any]:
    return said({"tool_calls": [piece]})


CALL = call(index=0, id="call_1", type="function", function={"name": "f", "arguments": ""})
ARGUMENTS = call(index=0, function={"arguments": '{"a":1}'})
CALLED = [frame(ROLE), frame(CALL), frame(ARGUMENTS), frame(said({}, "tool_calls")), DONE]

MESSAGE = {"role": "assistant", "content": "Hello world", "refusal": None}
ANSWER = {
    **chunk([{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}], usage=USAGE),
    "object": "chat.completion",
}
ERROR = {"error": {"message": "no such model", "type": "invalid_request_error", "param": None, "code": "x"}}


def answer(message: Any = MESSAGE, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**ANSWER, "choices": [choice], **more}


def streamed(frames: list[bytes] | bytes, headers: dict[str, str] = STREAM, end: str = "") -> Recording:
    """A read for each frame, a tenth of a second apart."""
    pieces = frames if isinstance(frames, list) else [frames]
    timed = tuple((place / 10, data) for place, data in enumerate(pieces, 1))
    return Recording(200, headers, timed, total=len(pieces) / 10, end=end)


def body(document: Any, status: int = 200, headers: dict[str, str] = JSON) -> Recording:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Recording(status, headers, ((0.1, data),), total=0.1)


def reading(recording: Recording, question: Question = PLAIN) -> Reading:
    return read(recording, question)


def faults(recording: Recording, question: Question = PLAIN) -> dict[str, str]:
    """The codes of what is wrong, each with what it is about or the first that was wrong."""
    found = read(recording, question).faults.found.values()
    return {fault.code: fault.subject or fault.detail for fault in found}


def compared(left: Recording, right: Recording, question: Question = PLAIN, **how: Any) -> Verdict:
    return judge(question, read(left, question), read(right, question), **how)


def told(verdict: Verdict) -> set[tuple[str, str, str]]:
    return {(finding.level, finding.side, finding.code) for finding in verdict.findings}
