"""What each platform's frames look like: one row of ``DIALECTS`` for each.

``opening``, ``token`` and ``closing`` are all that a stand-in needs to stream words. ``cases`` are kinds of
frames that cost differently to translate; a case is told the frame's number and the piece of text that the
frame has to carry, so that what comes out can be compared with what went in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import orjson
from attrs import frozen

Framed: TypeAlias = Callable[[int, str], bytes]


@frozen
class Case:
    piece: str
    """The text of every frame."""
    frame: Framed


@frozen
class Dialect:
    path: str
    """Where the platform is asked for a stream."""
    content_type: str
    opening: bytes
    token: Callable[[bytes], bytes]
    """A frame for plain ASCII that needs no escapes."""
    closing: bytes
    cases: dict[str, Case]


_HEAD = b'{"id":"chatcmpl-up-1","object":"chat.completion.chunk","created":1700000000,"model":"llama-3",'
_HEAD += b'"system_fingerprint":"fp_0a1b2c3d4e","choices":['


def _openai(choice: bytes) -> bytes:
    return b"data: " + _HEAD + choice + b"]}\n\n"


def _openai_token(words: bytes) -> bytes:
    return _openai(b'{"index":0,"delta":{"content":"' + words + b'"},"logprobs":null,"finish_reason":null}')


def _openai_words(number: int, piece: str) -> bytes:
    content = orjson.dumps(piece)
    return _openai(b'{"index":0,"delta":{"content":' + content + b'},"logprobs":null,"finish_reason":null}')


def _openai_unlike(number: int, piece: str) -> bytes:
    """Every chunk has an id of its own, so that no frame is like the last."""
    return _openai_words(number, piece).replace(b"chatcmpl-up-1", b"chatcmpl-up-%d" % number)


def _openai_fragment(number: int, piece: str) -> bytes:
    call = {"index": 0, "function": {"arguments": piece}}
    if number == 0:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": piece}}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "logprobs": None, "finish_reason": None}
    return _openai(orjson.dumps(choice))


def _openai_logprobs(number: int, piece: str) -> bytes:
    token = {"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []}
    choice = {
        "index": 0,
        "delta": {"content": piece},
        "logprobs": {"content": [token]},
        "finish_reason": None,
    }
    return _openai(orjson.dumps(choice))


_USAGE = b'"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}'

DIALECTS: dict[str, Dialect] = {
    "openai": Dialect(
        path="/v1/chat/completions",
        content_type="text/event-stream",
        opening=_openai(b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}'),
        token=_openai_token,
        closing=_openai(b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}')
        + b"data: "
        + _HEAD
        + b"],"
        + _USAGE
        + b"}\n\ndata: [DONE]\n\n",
        cases={
            "ascii": Case(" tokens", _openai_words),
            "escapes": Case('\n„Grüße“ "数据" 🙂', _openai_words),
            "unlike": Case(" tokens", _openai_unlike),
            "tools": Case('{"city":', _openai_fragment),
            "verbatim": Case(" tokens", _openai_logprobs),
        },
    ),
}
