"""Fuzz: a request body from bytes to prompt. It is a prompt, or a bad request that says why."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from tests.fuzz.corpus import fuzzed, mutated
from translators.decode import decode
from translators.errors import BadRequest
from translators.request import Prompt

IMAGE = {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

REQUESTS: list[dict[str, Any]] = [
    {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "seed": -1,
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "é"}, IMAGE]},
        ],
    },
    {
        "model": "m",
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "stop": ["a"],
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "1", "tool_call_id": "c"},
        ],
    },
    {
        "model": "m",
        "response_format": {"type": "json_object"},
        "metadata": {"k": "v"},
        "logit_bias": {"1": -100},
        "messages": [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}],
            }
        ],
    },
]
SEEDS = [json.dumps(request, ensure_ascii=False).encode() for request in REQUESTS]


def test_seeds_are_good() -> None:
    for request, seed in zip(REQUESTS, SEEDS, strict=True):
        assert Prompt.from_chat(decode(seed)).body == request


@fuzzed
@given(mutated(SEEDS))
def test_fuzz_request(raw: bytes) -> None:
    try:
        prompt = Prompt.from_chat(decode(raw))
    except BadRequest as error:
        assert len(error.message) < 1000
        assert len(error.body().decode().splitlines()) == 1
    else:
        assert prompt.model.strip()
        assert prompt.messages
