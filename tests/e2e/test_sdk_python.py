"""The official Python SDK against a live gateway: each kind of upstream, each way to relay.

Only typed objects of the SDK are looked at. What the upstreams do differently (ids that change, roles that are
missing or repeated, usage on odd chunks, tool calls without an index …) must not show.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import OpenAI, Stream
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
    sdk,
    started,
    talking,
)

pytestmark = pytest.mark.two_ways


def streamed(
    client: OpenAI, backend: Backend, messages: Any = COUNTING, **more: Any
) -> list[ChatCompletionChunk]:
    with client.chat.completions.create(
        model=backend.model, messages=messages, stream=True, **more
    ) as stream:
        assert isinstance(stream, Stream)
        return list(stream)


def asked(client: OpenAI, backend: Backend, messages: Any = COUNTING, **more: Any) -> ChatCompletion:
    return client.chat.completions.create(model=backend.model, messages=messages, **more)


def text_of(chunks: list[ChatCompletionChunk], index: int = 0, member: str = "content") -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(getattr(choice.delta, member, None) or "" for choice in choices)


def finishes(chunks: list[ChatCompletionChunk]) -> list[tuple[int, str]]:
    return sorted(
        (choice.index, choice.finish_reason)
        for chunk in chunks
        for choice in chunk.choices
        if choice.finish_reason is not None
    )


@each_backend
def test_a_stream_has_one_identity_one_role_and_one_end(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend)
    assert text_of(chunks) == COUNTED
    assert {chunk.model for chunk in chunks} == {backend.model}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")
    roles = [choice.delta.role for chunk in chunks for choice in chunk.choices]
    assert roles[0] == "assistant" and not any(roles[1:])
    assert finishes(chunks) == [(0, "stop")]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in chunks)


@each_backend
def test_a_whole_answer_says_the_same_as_a_stream(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        whole = asked(client, backend, asking("Why is the sky blue?"))
        chunks = streamed(client, backend, asking("Why is the sky blue?"))
    message = whole.choices[0].message
    assert (whole.object, whole.model, whole.id[:9]) == ("chat.completion", backend.model, "chatcmpl-")
    assert (message.role, message.refusal, message.tool_calls) == ("assistant", None, None)
    assert message.content == text_of(chunks)
    assert "Why is the sky blue?" in message.content
    assert whole.choices[0].finish_reason == "stop"


@each_backend
def test_usage_comes_once_and_last_and_only_when_asked_for(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        whole = asked(client, backend)
        chunks = streamed(client, backend, stream_options={"include_usage": True})
    assert not any(chunk.usage for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert isinstance(usage, CompletionUsage)
    assert usage.completion_tokens == 40 and usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage == whole.usage
    assert (usage.completion_tokens_details is not None) is backend.details_usage


@each_backend
def test_a_tool_is_called_and_its_result_answered(serve: Serve, backend: Backend):
    question: list[dict[str, Any]] = asking("What is the weather in Paris?")
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, question, tools=[WEATHER])
        fragments = [
            call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()
        ]
        assert finishes(chunks) == [(0, "tool_calls")]
        assert {fragment.index for fragment in fragments} == {0}
        first = fragments[0]
        assert first.id and first.type == "function" and first.function.name == "get_weather"
        assert not any(fragment.id or fragment.function.name for fragment in fragments[1:])
        arguments = "".join(fragment.function.arguments for fragment in fragments)
        assert json.loads(arguments).keys() == {"city", "days"}

        call = {
            "id": first.id,
            "type": "function",
            "function": {"name": "get_weather", "arguments": arguments},
        }
        told = [
            *question,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": first.id, "content": "Rain, 12 degrees."},
        ]
        answer = asked(client, backend, told, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop"
    assert "Rain, 12 degrees." in (answer.choices[0].message.content or "")


@each_backend
def test_a_whole_tool_call_may_be_sent_back_as_the_sdk_dumps_it(serve: Serve, backend: Backend):
    question: list[Any] = asking("What is the weather in Paris?")
    with talking(serve, backend) as client:
        choice = asked(client, backend, question, tools=[WEATHER]).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None or backend.name == "ollama"
        (call,) = choice.message.tool_calls or ()
        assert call.type == "function" and call.function.name == "get_weather"
        assert json.loads(call.function.arguments).keys() == {"city", "days"}
        result = {"role": "tool", "tool_call_id": call.id, "content": "Sunshine."}
        said = choice.message.model_dump(exclude_none=True)
        answer = asked(client, backend, [*question, said, result], tools=[WEATHER])
    assert "Sunshine." in (answer.choices[0].message.content or "")


@each_backend
def test_parallel_calls_are_numbered_from_zero(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, asking("Use both tools."), tools=[WEATHER, CLOCK])
        whole = asked(client, backend, asking("Use both tools."), tools=[WEATHER, CLOCK])
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for fragment in chunk.choices[0].delta.tool_calls or ():
            call = calls.setdefault(fragment.index, {"name": "", "id": "", "arguments": ""})
            call["id"] += fragment.id or ""
            call["name"] += fragment.function.name or ""
            call["arguments"] += fragment.function.arguments or ""
    assert [(index, call["name"]) for index, call in calls.items()] == [(0, "get_weather"), (1, "get_time")]
    assert len({call["id"] for call in calls.values()}) == 2
    told = [
        (call.function.name, call.function.arguments) for call in whole.choices[0].message.tool_calls or ()
    ]
    assert told == [(call["name"], call["arguments"]) for call in calls.values()]


def test_a_forced_choice_reaches_the_upstream(serve: Serve):
    backend = BACKENDS[0]
    forced = {"type": "function", "function": {"name": "get_time"}}
    with talking(serve, backend) as client:
        whole = asked(client, backend, asking("Hello"), tools=[WEATHER, CLOCK], tool_choice=forced)
        none = asked(client, backend, asking("Hello"), tools=[WEATHER], tool_choice="none")
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.function.name == "get_time"
    assert none.choices[0].message.tool_calls is None and none.choices[0].finish_reason == "stop"


def test_the_older_functions_still_work(serve: Serve):
    backend = BACKENDS[0]
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, asking("Weather?"), functions=[WEATHER["function"]])
        whole = asked(client, backend, asking("Weather?"), functions=[WEATHER["function"]])
    called = [
        chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call
    ]
    assert [call.name for call in called if call.name] == ["get_weather"]
    arguments = "".join(call.arguments or "" for call in called)
    assert whole.choices[0].message.function_call is not None
    assert whole.choices[0].message.function_call.arguments == arguments


@each_backend
def test_several_choices_each_have_a_role_a_text_and_an_end(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, asking("Tell me about rivers."), n=2)
        whole = asked(client, backend, asking("Tell me about rivers."), n=2)
    count = 2 if backend.takes_n else 1
    assert finishes(chunks) == [(index, "stop") for index in range(count)]
    roles = [(c.index, c.delta.role) for chunk in chunks for c in chunk.choices if c.delta.role]
    assert sorted(roles) == [(index, "assistant") for index in range(count)]
    texts = [text_of(chunks, index) for index in range(count)]
    assert len(set(texts)) == count and all(texts)
    assert [choice.message.content for choice in whole.choices] == texts


@each_backend
@pytest.mark.parametrize("stop", ["5", ["nothing", "5"]], ids=["one", "several"])
def test_a_stop_sequence_ends_the_answer(serve: Serve, backend: Backend, stop: Any):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, stop=stop)
    assert text_of(chunks) == "1, 2, 3, 4, "
    assert finishes(chunks) == [(0, "stop")]


@each_backend
@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens_ends_the_answer_with_length(serve: Serve, backend: Backend, limit: str):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, **{limit: 5})
        whole = asked(client, backend, **{limit: 5})
    assert finishes(chunks) == [(0, "length")]
    assert whole.choices[0].finish_reason == "length"
    assert text_of(chunks) == whole.choices[0].message.content == "1, 2, 3"
    assert whole.usage is not None and whole.usage.completion_tokens == 5


@each_backend
def test_reasoning_comes_first_and_under_one_name(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, reasoning_effort="medium")
        whole = asked(client, backend, reasoning_effort="medium")
    thought = text_of(chunks, member="reasoning_content")
    assert thought.startswith("The user wants to know about")
    assert text_of(chunks) == COUNTED
    kinds = [
        name
        for chunk in chunks
        for name in ("reasoning_content", "content")
        if getattr(chunk.choices[0].delta, name, None)
    ]
    assert kinds == sorted(kinds, reverse=True), "all thoughts come before the first word"
    message = whole.choices[0].message
    assert message.model_extra is not None and message.model_extra["reasoning_content"] == thought
    assert message.content == COUNTED


@pytest.mark.parametrize("backend", BACKENDS[1:], ids=[backend.name for backend in BACKENDS[1:]])
def test_thoughts_between_tags_are_split_off(serve: Serve, backend: Backend):
    with started(serve, backend) as (url, stand_in), sdk(url) as client:
        assert stand_in is not None
        stand_in.knobs.think_tags = True
        chunks = streamed(client, backend, reasoning_effort="low")
        whole = asked(client, backend, reasoning_effort="low")
    assert text_of(chunks) == whole.choices[0].message.content == COUNTED
    assert text_of(chunks, member="reasoning_content").startswith("The user wants")


@each_backend
def test_a_refusal_is_no_content(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, asking("Refuse this."))
        whole = asked(client, backend, asking("Refuse this."))
    assert text_of(chunks) == ""
    assert text_of(chunks, member="refusal") == whole.choices[0].message.refusal
    assert whole.choices[0].message.refusal == "I’m sorry, but I can’t help with that."


@each_backend
def test_logprobs_survive_beside_the_words(serve: Serve, backend: Backend):
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, logprobs=True, top_logprobs=2)
        whole = asked(client, backend, logprobs=True, top_logprobs=2)
    told = [c.logprobs for chunk in chunks for c in chunk.choices if c.logprobs is not None]
    tokens = [token for one in told for token in one.content or ()]
    assert "".join(token.token for token in tokens) == COUNTED == text_of(chunks)
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None and logprobs.content == tokens


@each_backend
def test_words_in_every_script_arrive_unharmed(serve: Serve, backend: Backend):
    said = 'naïve 少しずつ 🚀👩‍👩‍👧 "quoted" \\ back\u2028line\u2029paragraph\u0085end\ttab'
    with talking(serve, backend) as client:
        chunks = streamed(client, backend, asking(f"repeat: {said}"))
        whole = asked(client, backend, asking(f"repeat: {said}"))
    assert text_of(chunks) == whole.choices[0].message.content == said


@each_backend
def test_images_are_passed_on(serve: Serve, backend: Backend):
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
    }
    parts = [{"type": "text", "text": "What is in this picture?"}, picture]
    with started(serve, backend) as (url, stand_in), sdk(url) as client:
        whole = asked(client, backend, asking(parts))
    assert "I see an image." in (whole.choices[0].message.content or "")
    if stand_in is not None:
        assert stand_in.requests[-1].document["messages"] == asking(parts)


def test_everything_the_client_sends_reaches_the_upstream_but_its_headers(serve: Serve):
    backend = BACKENDS[3]
    sent = {
        "temperature": 0.5,
        "top_p": 1,
        "seed": 2**53,
        "logit_bias": {"50256": -100},
        "metadata": {"team": "blue"},
        "user": "somebody",
        "frequency_penalty": -2.0,
        "reasoning_effort": "low",
        "tools": [WEATHER],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
    }
    unknown = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}}
    with started(serve, backend) as (url, stand_in), sdk(url, api_key="mine", organization="me") as client:
        assert stand_in is not None
        asked(client, backend, extra_body=unknown, extra_headers={"X-Mine": "1", "Cookie": "a=b"}, **sent)
        (heard,) = stand_in.requests
    assert heard.document == {"model": backend.model, "messages": COUNTING, **sent, **unknown}
    assert heard.headers["Authorization"] == "Bearer upstream-key"
    assert heard.headers["Accept-Encoding"] == "identity"
    theirs = {"cookie", "x-mine", "openai-organization", "x-request-id"}
    assert not theirs & {name.lower() for name in heard.headers}
    assert not any(name.lower().startswith("x-stainless") for name in heard.headers)
