"""The Python SDK's helpers: ``stream()`` with its events, ``parse()``, the raw and the streaming response.

The helpers are the strictest readers there are: they index into lists by what the stream says, concatenate
whatever repeats, and drop chunks that call themselves anything else. Each runs against every kind of upstream.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import openai
import pytest
from openai import LengthFinishReasonError, OpenAI
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from pydantic import BaseModel

from tests.e2e.sdk_setup import (
    BACKENDS,
    CLOCK,
    COUNTED,
    COUNTING,
    WEATHER,
    Backend,
    Serve,
    asking,
    each_backend,
    talking,
)

pytestmark = pytest.mark.two_ways


class Stop(BaseModel):
    name: str
    minutes: int


class Journey(BaseModel):
    stops: list[Stop]
    by_train: bool
    comment: str | None


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str
    days: int


TOOL = openai.pydantic_function_tool(GetWeather)


def told(
    client: OpenAI, backend: Backend, messages: Any = COUNTING, **more: Any
) -> tuple[dict[str, list[Any]], ParsedChatCompletion[Any]]:
    """All events of one answer by their type, and what the helper made of them."""
    events: dict[str, list[Any]] = defaultdict(list)
    with client.chat.completions.stream(model=backend.model, messages=messages, **more) as stream:
        for event in stream:
            events[event.type].append(event)
        return events, stream.get_final_completion()


@each_backend
def test_content_events(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        events, final = told(client, backend, stream_options={"include_usage": True})
    deltas = events["content.delta"]
    assert "".join(event.delta for event in deltas) == COUNTED
    assert deltas[-1].snapshot == COUNTED
    assert [event.content for event in events["content.done"]] == [COUNTED]
    assert len(deltas) > 10, "the words come one by one"
    assert set(events) == {"chunk", "content.delta", "content.done"}
    message = final.choices[0].message
    assert (message.role, message.content, final.choices[0].finish_reason) == ("assistant", COUNTED, "stop")
    assert final.usage is not None and final.usage.completion_tokens == 40
    assert final.model == backend.model


@each_backend
def test_refusal_events(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        events, final = told(client, backend, asking("Refuse this."))
    refusal = final.choices[0].message.refusal
    assert refusal and refusal == "".join(event.delta for event in events["refusal.delta"])
    assert [event.refusal for event in events["refusal.done"]] == [refusal]


@each_backend
def test_tool_call_events(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        events, final = told(client, backend, asking("Use both tools."), tools=[WEATHER, CLOCK])
    deltas = events["tool_calls.function.arguments.delta"]
    done = events["tool_calls.function.arguments.done"]
    assert [(event.index, event.name) for event in done] == [(0, "get_weather"), (1, "get_time")]
    for event in done:
        pieces = [delta.arguments_delta for delta in deltas if delta.index == event.index]
        assert "".join(pieces) == event.arguments
    choice = final.choices[0]
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert [(call.type, call.function.name) for call in calls] == [
        ("function", "get_weather"),
        ("function", "get_time"),
    ]
    assert [call.function.arguments for call in calls] == [event.arguments for event in done]
    assert len({call.id for call in calls}) == 2


@each_backend
def test_logprobs_events(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        events, final = told(client, backend, logprobs=True, top_logprobs=1)
    tokens = [token for event in events["logprobs.content.delta"] for token in event.content]
    assert "".join(token.token for token in tokens) == COUNTED
    assert [event.content for event in events["logprobs.content.done"]] == [tokens]
    logprobs = final.choices[0].logprobs
    assert logprobs is not None and logprobs.content == tokens


@each_backend
def test_a_streamed_answer_is_parsed_into_a_model(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        events, final = told(client, backend, asking("Plan a journey."), response_format=Journey)
    parsed = final.choices[0].message.parsed
    assert isinstance(parsed, Journey)
    assert [event.parsed for event in events["content.done"]] == [parsed]
    assert Journey.model_validate_json(final.choices[0].message.content or "") == parsed
    assert events["content.delta"][-1].parsed == parsed.model_dump()


@each_backend
def test_a_whole_answer_is_parsed_into_a_model(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        final = client.chat.completions.parse(
            model=backend.model, messages=asking("Plan a journey."), response_format=Journey
        )
    assert isinstance(final.choices[0].message.parsed, Journey)


@each_backend
def test_arguments_are_parsed_into_the_tools_model(serve: Serve, backend: Backend):
    question = asking("What is the weather in Paris?")
    with talking(serve, backend) as client:
        whole = client.chat.completions.parse(model=backend.model, messages=question, tools=[TOOL])
        events, final = told(client, backend, question, tools=[TOOL])
    (call,) = whole.choices[0].message.tool_calls or ()
    assert isinstance(call.function.parsed_arguments, GetWeather)
    (event,) = events["tool_calls.function.arguments.done"]
    assert event.parsed_arguments == call.function.parsed_arguments
    assert (final.choices[0].message.tool_calls or ())[0].function.parsed_arguments == event.parsed_arguments


@each_backend
def test_an_answer_cut_short_is_not_parsed(serve: Serve, backend: Backend):
    question = asking("Plan a journey.")
    with talking(serve, backend) as client:
        with pytest.raises(LengthFinishReasonError) as caught:
            client.chat.completions.parse(
                model=backend.model, messages=question, response_format=Journey, max_tokens=3
            )
        with pytest.raises(LengthFinishReasonError):
            told(client, backend, question, response_format=Journey, max_tokens=3)
    assert caught.value.completion.choices[0].finish_reason == "length"


def test_several_choices_through_the_helper(serve: Serve):
    backend = BACKENDS[1]
    with talking(serve, backend) as client:
        _, final = told(client, backend, asking("Tell me about rivers."), n=3)
    assert [choice.index for choice in final.choices] == [0, 1, 2]
    assert {choice.message.role for choice in final.choices} == {"assistant"}
    assert len({choice.message.content for choice in final.choices}) == 3


def test_json_mode(serve: Serve):
    backend = BACKENDS[1]
    with talking(serve, backend) as client:
        events, _ = told(client, backend, asking("Hi"), response_format={"type": "json_object"})
    (done,) = events["content.done"]
    assert done.content.startswith("{") and done.content.endswith("}")


@each_backend
def test_the_raw_response_has_the_headers_that_the_sdk_reads(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=backend.model, messages=COUNTING, extra_headers={"X-Request-ID": "mine-1"}
        )
        completion = raw.parse()
    assert isinstance(completion, ChatCompletion)
    assert raw.request_id == completion._request_id == "mine-1"
    assert raw.headers["content-type"].startswith("application/json")
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["openai-version"] and raw.retries_taken == 0


@each_backend
def test_the_streaming_response_is_bare_data_lines(serve: Serve, backend: Backend):
    with (
        talking(serve, backend) as client,
        client.chat.completions.with_streaming_response.create(
            model=backend.model, messages=COUNTING, stream=True
        ) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.request_id is not None and response.request_id.startswith("req_")
        lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]" and lines.count("data: [DONE]") == 1


def test_a_raw_stream_can_be_read_as_typed_chunks(serve: Serve):
    backend = BACKENDS[0]
    with talking(serve, backend) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=backend.model, messages=COUNTING, stream=True
        )
        with raw.parse() as stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == COUNTED
