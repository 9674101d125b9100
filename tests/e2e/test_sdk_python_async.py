"""The asynchronous Python SDK: the same wire, another reader, and many answers at once over one client."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from tests.e2e.sdk_setup import (
    BACKENDS,
    COUNTED,
    COUNTING,
    WEATHER,
    Backend,
    Serve,
    asking,
    each_backend,
    talking_async,
)
from tests.e2e.test_sdk_python_helpers import Journey

pytestmark = pytest.mark.two_ways


async def text_of(client: openai.AsyncOpenAI, backend: Backend, messages: Any = COUNTING) -> str:
    stream = await client.chat.completions.create(model=backend.model, messages=messages, stream=True)
    async with stream:
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@each_backend
async def test_stream_and_whole(serve: Serve, backend: Backend):
    async with talking_async(serve, backend) as client:
        assert await text_of(client, backend) == COUNTED
        whole = await client.chat.completions.create(model=backend.model, messages=COUNTING)
    assert whole.choices[0].message.content == COUNTED


@each_backend
async def test_many_answers_at_once_do_not_mix(serve: Serve, backend: Backend):
    said = [f"this is number {number} of many, {'x' * number}" for number in range(40)]
    async with talking_async(serve, backend) as client:
        heard = await asyncio.gather(*(text_of(client, backend, asking(f"repeat: {one}")) for one in said))
    assert heard == said


@each_backend
async def test_the_helper_and_its_events(serve: Serve, backend: Backend):
    kinds: list[str] = []
    async with talking_async(serve, backend) as client:
        async with client.chat.completions.stream(
            model=backend.model, messages=asking("Weather in Oslo?"), tools=[WEATHER]
        ) as stream:
            async for event in stream:
                kinds.append(event.type)
        final = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.done") == 1
    assert "tool_calls.function.arguments.delta" in kinds
    assert (final.choices[0].message.tool_calls or ())[0].function.name == "get_weather"


@each_backend
async def test_parse(serve: Serve, backend: Backend):
    async with talking_async(serve, backend) as client:
        final = await client.chat.completions.parse(
            model=backend.model, messages=asking("Plan a journey."), response_format=Journey
        )
        with pytest.raises(openai.LengthFinishReasonError):
            await client.chat.completions.parse(
                model=backend.model,
                messages=asking("Plan a journey."),
                response_format=Journey,
                max_completion_tokens=2,
            )
    assert isinstance(final.choices[0].message.parsed, Journey)


async def test_raw_and_streaming_responses(serve: Serve):
    backend = BACKENDS[1]
    async with talking_async(serve, backend) as client:
        raw = await client.chat.completions.with_raw_response.create(model=backend.model, messages=COUNTING)
        assert raw.parse().choices[0].message.content == COUNTED
        assert raw.request_id is not None
        async with client.chat.completions.with_streaming_response.create(
            model=backend.model, messages=COUNTING, stream=True
        ) as response:
            lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


async def test_models(serve: Serve):
    backend = BACKENDS[3]
    async with talking_async(serve, backend) as client:
        listed = [model.id async for model in client.models.list()]
        assert listed == [backend.model]
        assert (await client.models.retrieve(backend.model)).owned_by == "up"
