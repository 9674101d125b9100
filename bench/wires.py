"""What each platform's frames look like: one row of ``DIALECTS`` for each.

``opening``, ``token`` and ``closing`` are all that a stand-in needs to stream words. ``cases`` are kinds of
frames that cost differently to translate; a case is told the frame's number and the piece of text that the
frame has to carry, so that what comes out can be compared with what went in.

Coze repeats every answer in full before it ends. A stand-in that plays fixed bytes cannot, so it repeats something
else, and a reader who compares it with what was streamed drops it as well.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import pack
from typing import Any, TypeAlias
from zlib import crc32

import orjson
from attrs import Factory, frozen

Framed: TypeAlias = Callable[[int, str], bytes]


@frozen
class Case:
    piece: str
    """The text of every frame."""
    frame: Framed


@frozen
class Dialect:
    path: str
    """Where the platform is asked for a stream; one that ends with a slash stands for all below it."""
    content_type: str
    opening: bytes
    token: Callable[[bytes], bytes]
    """A frame for plain ASCII that needs no escapes."""
    closing: bytes
    cases: dict[str, Case]
    settings: Mapping[str, Any] = Factory(dict)
    """What the kind of upstream has to be told before it can be asked anything."""
    sealed: bool = False
    """Whether the text stands in base64, and a frame ends with the CRC-32 of all before."""


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

COZE_BOT = "7512000000000000001"
_COZE_IDS: dict[str, str] = {"conversation_id": "7512000000000000100", "bot_id": COZE_BOT}
_COZE_SECTION: dict[str, str] = {"chat_id": "7512000000000000101", "section_id": "7512000000000000100"}


def _coze(name: str, document: Any, colon: bytes = b":") -> bytes:
    data = document if isinstance(document, bytes) else orjson.dumps(document)
    return b"event%b%b\ndata%b%b\n\n" % (colon, name.encode(), colon, data)


def _coze_chat(status: str, given: int = 0) -> bytes:
    usage = {"token_count": 12 + given, "output_count": given, "input_count": 12}
    chat = {
        "id": _COZE_SECTION["chat_id"],
        **_COZE_IDS,
        "created_at": 1700000000,
        "status": status,
        "usage": usage,
    }
    return _coze(f"conversation.chat.{status}", chat)


def _coze_message(content: str, kind: str = "answer", **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "type": kind, "content": content, "content_type": "text"}
    return {"id": "7512000000000000102", **_COZE_IDS, **said, **_COZE_SECTION, **more}


_COZE_DELTA = "conversation.message.delta"
_COZE_BEFORE, _, _COZE_AFTER = _coze(_COZE_DELTA, _coze_message("\0")).partition(orjson.dumps("\0"))


def _coze_token(words: bytes) -> bytes:
    return _COZE_BEFORE + b'"' + words + b'"' + _COZE_AFTER


def _coze_words(number: int, piece: str) -> bytes:
    return _coze(_COZE_DELTA, _coze_message(piece))


def _coze_unlike(number: int, piece: str) -> bytes:
    """Every frame carries something of its own beside its words."""
    return _coze(_COZE_DELTA, _coze_message(piece, meta_data={"number": str(number)}))


def _coze_spaced(number: int, piece: str) -> bytes:
    """As other writers of the platform put it."""
    return _coze(_COZE_DELTA, _coze_message(piece), b": ")


_DIFY_CHAT = {
    "conversation_id": "c7f1e0c2-5b0e-4c6e-9a54-3f1d8b3f0a11",
    "message_id": "9d2c1f60-8f0b-4b27-8e5d-7a4f3c2b1e22",
    "created_at": 1700000000,
    "task_id": "3b9e6a5d-1c2f-4d7a-9b8e-0f6a5c4d3e33",
}
_DIFY_RUN = {"workflow_run_id": "5e8d4c3b-2a1f-4e9d-8c7b-6a5f4e3d2c44", "task_id": _DIFY_CHAT["task_id"]}
_DIFY_SELECTOR = ["llm1", "text"]


def _dify(event: str, members: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps({"event": event, **members}) + b"\n\n"


def _dify_message(piece: str, **more: Any) -> dict[str, Any]:
    said = {"id": _DIFY_CHAT["message_id"], "answer": piece, "from_variable_selector": _DIFY_SELECTOR}
    return {**_DIFY_CHAT, **said, **more}


_DIFY_BEFORE, _, _DIFY_AFTER = _dify("message", _dify_message("\0")).partition(orjson.dumps("\0"))


def _dify_token(words: bytes) -> bytes:
    return _DIFY_BEFORE + b'"' + words + b'"' + _DIFY_AFTER


def _dify_words(number: int, piece: str) -> bytes:
    return _dify("message", _dify_message(piece))


def _dify_unlike(number: int, piece: str) -> bytes:
    """Every frame carries something of its own beside its words."""
    return _dify("message", _dify_message(piece, chunk_type=str(number)))


def _dify_spaced(number: int, piece: str) -> bytes:
    """As the first releases put it."""
    document = {"event": "message", **_dify_message(piece)}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _dify_chunk(number: int, piece: str) -> bytes:
    """A workflow's words."""
    return _dify(
        "text_chunk", {**_DIFY_RUN, "data": {"text": piece, "from_variable_selector": _DIFY_SELECTOR}}
    )


_DIFY_NODE = {
    "id": "e1",
    "node_id": "n1",
    "node_type": "knowledge-retrieval",
    "title": "Search",
    "index": 2,
    "inputs": {"query": "hi"},
    "outputs": {"result": [{"content": "x" * 1000}] * 20},
    "status": "succeeded",
}
_DIFY_END_OF_NODE = _dify("node_finished", {**_DIFY_CHAT, **_DIFY_RUN, "data": _DIFY_NODE})


def _dify_nodes(number: int, piece: str) -> bytes:
    """Now and then after the end of a node that tells all it found, 20 KB of it."""
    return (b"" if number % 8 else _DIFY_END_OF_NODE) + _dify_words(number, piece)


_DIFY_USAGE = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}

BEDROCK_AGENT = {"agent_id": "BENCHAGENT", "agent_alias_id": "BENCHALIAS"}
_BEDROCK_IDS = {"agentId": "BENCHAGENT", "agentAliasId": "BENCHALIAS", "sessionId": "s1"}
_BEDROCK_USAGE = {"usage": {"inputTokens": 12, "outputTokens": 34}, "clientRequestId": "r1"}


def _aws(name: bytes, payload: bytes) -> bytes:
    """A frame of Amazon's event stream."""
    headers = b"".join(
        b"%c%b\x07%b%b" % (len(header), header, pack(">H", len(value)), value)
        for header, value in (
            (b":event-type", name),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    prelude = pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame = prelude + pack(">I", crc32(prelude)) + headers + payload
    return frame + pack(">I", crc32(frame))


@lru_cache(16)
def _bedrock_before(size: int) -> tuple[bytes, int]:
    """What stands before a text of so many bytes, which is the same for all of one length, and its checksum."""
    frame = _aws(b"chunk", b'{"bytes":"%b"}' % b64encode(bytes(size)))
    before = frame[: frame.index(b'{"bytes":"') + len(b'{"bytes":"')]
    return before, crc32(before)


def _bedrock_token(words: bytes) -> bytes:
    before, checksum = _bedrock_before(len(words))
    rest = b2a_base64(words, newline=False) + b'"}'
    return before + rest + pack(">I", crc32(rest, checksum))


def _bedrock_words(number: int, piece: str) -> bytes:
    return _bedrock_token(piece.encode())


def _bedrock_unlike(number: int, piece: str) -> bytes:
    """Every chunk has something beside its words."""
    members = {"attribution": {"citations": []}, "bytes": b64encode(piece.encode()).decode()}
    return _aws(b"chunk", orjson.dumps(members))


def _bedrock_trace(step: Mapping[str, Any]) -> bytes:
    return _aws(b"trace", orjson.dumps({**_BEDROCK_IDS, "trace": {"orchestrationTrace": step}}))


_BEDROCK_ECHO = _bedrock_trace(
    {"modelInvocationInput": {"traceId": "t1", "type": "ORCHESTRATION", "text": "Do as told. " * 1700}}
)


def _bedrock_traces(number: int, piece: str) -> bytes:
    """Now and then after a trace that repeats the whole prompt, 20 KB of it."""
    return (b"" if number % 8 else _BEDROCK_ECHO) + _bedrock_words(number, piece)


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
    "coze": Dialect(
        path="/v3/chat",
        content_type="text/event-stream",
        opening=_coze_chat("created") + _coze_chat("in_progress"),
        token=_coze_token,
        closing=_coze("conversation.message.completed", _coze_message("all of it"))
        + _coze("conversation.message.completed", _coze_message("", "verbose", id="7512000000000000103"))
        + _coze_chat("completed", 34)
        + _coze("done", b'"[DONE]"'),
        cases={
            "ascii": Case(" tokens", _coze_words),
            "escapes": Case('\n„Grüße“ "数据" 🙂', _coze_words),
            "unlike": Case(" tokens", _coze_unlike),
            "spaced": Case(" tokens", _coze_spaced),
        },
        settings={"bot_id": COZE_BOT},
    ),
    "dify": Dialect(
        path="/v1/chat-messages",
        content_type="text/event-stream",
        opening=b"event: ping\n\n"
        + _dify(
            "workflow_started", {**_DIFY_CHAT, **_DIFY_RUN, "data": {"id": _DIFY_RUN["workflow_run_id"]}}
        ),
        token=_dify_token,
        closing=_dify("message_end", {**_DIFY_CHAT, "metadata": {"usage": _DIFY_USAGE}, "files": []})
        + _dify("workflow_finished", {**_DIFY_CHAT, **_DIFY_RUN, "data": {"status": "succeeded"}}),
        cases={
            "ascii": Case(" tokens", _dify_words),
            "escapes": Case('\n„Grüße“ "数据" 🙂', _dify_words),
            "unlike": Case(" tokens", _dify_unlike),
            "spaced": Case(" tokens", _dify_spaced),
            "chunk": Case(" tokens", _dify_chunk),
            "nodes": Case(" tokens", _dify_nodes),
        },
        settings={"mode": "advanced-chat"},
    ),
    "bedrock": Dialect(
        path="/agents/",
        content_type="application/vnd.amazon.eventstream",
        opening=_BEDROCK_ECHO + _bedrock_trace({"rationale": {"traceId": "t1", "text": "Count."}}),
        token=_bedrock_token,
        closing=_bedrock_trace({"modelInvocationOutput": {"traceId": "t1", "metadata": _BEDROCK_USAGE}})
        + _bedrock_trace({"observation": {"type": "FINISH", "finalResponse": {"text": "all of it"}}}),
        cases={
            "ascii": Case(" tokens", _bedrock_words),
            "escapes": Case('\n„Grüße“ "数据" 🙂', _bedrock_words),
            "unlike": Case(" tokens", _bedrock_unlike),
            "traces": Case(" tokens", _bedrock_traces),
        },
        settings=BEDROCK_AGENT,
        sealed=True,
    ),
}


def let_choose(parser: ArgumentParser) -> None:
    parser.add_argument("--upstreams", metavar="NAMES", help=f"some of {','.join(DIALECTS)}")


def chosen(parser: ArgumentParser, wanted: Namespace) -> list[str]:
    """The platforms to measure with."""
    names = wanted.upstreams.split(",") if wanted.upstreams else list(DIALECTS)
    unknown = [name for name in names if name not in DIALECTS]
    if unknown:
        parser.error(f"no such upstream: {', '.join(unknown)}; there are {', '.join(DIALECTS)}")
    return names
