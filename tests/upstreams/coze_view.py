"""What a chat client sees of a Coze answer: a list that can be read beside the case it belongs to.

``role`` stands for the first frame, then comes what each frame says, then ``[DONE]`` or an error.
"""

from __future__ import annotations

import json
from typing import Any

from tests.upstreams.coze_setup import (
    coze,
    streamed,
    whole,
)
from tests.wires.reader import told
from translators.errors import GatewayError
from translators.upstreams.coze import Coze


def frames(out: bytes) -> list[Any]:
    """What each frame says."""
    seen: list[Any] = []
    for frame in out.split(b"\n\n")[:-1]:
        payload = frame.removeprefix(b"data: ")
        if payload == b"[DONE]":
            seen.append("[DONE]")
            continue
        document = json.loads(payload)
        if "error" in document:
            seen.append(("error", document["error"]["code"]))
        elif not document["choices"]:
            usage = document["usage"]
            seen.append((usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]))
        else:
            [choice] = document["choices"]
            seen.append(said_in(choice["delta"], choice["finish_reason"]))
    return seen


def said_in(piece: dict[str, Any], reason: str | None) -> Any:
    if reason:
        return {"finish": reason}
    if "role" in piece:
        return "role"
    if "reasoning_content" in piece:
        return {"thought": piece["reasoning_content"]}
    return piece.get("content", piece)


def client_sees(sent: bytes, upstream: Coze | None = None, include_usage: bool = False) -> list[Any]:
    return frames(told(streamed(upstream or coze(), include_usage), [sent]))


def text_of(sent: bytes, upstream: Coze | None = None) -> str:
    document = json.loads(told(whole(upstream or coze()), [sent]))
    content: str = document["choices"][0]["message"]["content"]
    return content


def failure_of(sent: bytes, upstream: Coze | None = None) -> GatewayError:
    """The error that becomes the HTTP status, because nothing was said before it."""
    stream = streamed(upstream or coze())
    out = told(stream, [sent])
    assert stream.failure is not None
    assert out == b"data: " + stream.failure.body() + b"\n\n"
    return stream.failure


STOP = [{"finish": "stop"}, "[DONE]"]
