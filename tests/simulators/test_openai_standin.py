"""The stand-in heard by the official SDK and as raw bytes: four servers, their quirks and their failures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest

from proxy.simulators.openai import Failure, Knobs, OpenAIStandIn, StreamError
from proxy.simulators.openai_profiles import PROFILES, QUIRKS, Framing, Profile

HELLO: list[Any] = [{"role": "user", "content": "count to 3"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
USAGE = {"include_usage": True}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.name.startswith(("aiohttp", "asyncio"))] == []


@asynccontextmanager
async def sdk(server: OpenAIStandIn, key: str = "k") -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0) as client:
        yield client


def body(server: OpenAIStandIn, **more: Any) -> dict[str, Any]:
    return {"model": server.profile.models[0], "messages": HELLO, **more}


async def post(server: OpenAIStandIn, **more: Any) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/chat/completions", json=body(server, **more)) as response,
    ):
        return response.status, await response.read()


async def chunks(server: OpenAIStandIn, **more: Any) -> list[dict[str, Any]]:
    _, raw = await post(server, stream=True, **more)
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def deltas(got: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in got for choice in chunk["choices"]]


# The official SDK.


async def test_sdk_reads_a_whole_answer() -> None:
    async with (
        OpenAIStandIn(clock=lambda: 99.5, new_id=lambda: "chatcmpl-x") as server,
        sdk(server) as client,
    ):
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert (reply.id, reply.created, reply.model) == ("chatcmpl-x", 99, "gpt-4o-mini")
    assert reply.choices[0].message.content == "1, 2, 3."
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 6


async def test_sdk_reads_a_stream_with_its_helper() -> None:
    usage: Any = USAGE
    async with (
        OpenAIStandIn() as server,
        sdk(server) as client,
        client.chat.completions.stream(model="o4-mini", messages=HELLO, stream_options=usage) as stream,
    ):
        said = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert "".join(said) == "1, 2, 3."
    assert len(said) >= 6
    assert final.choices[0].message.content == "1, 2, 3."
    assert final.usage is not None
    assert final.usage.total_tokens == 9


async def test_sdk_runs_a_tool_round_trip() -> None:
    async with OpenAIStandIn() as server, sdk(server) as client:
        asked: Any = {"model": "gpt-4o-mini", "tools": [WEATHER]}
        async with client.chat.completions.stream(messages=HELLO, **asked) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        assert message.tool_calls is not None
        call = message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        history: Any = [
            *HELLO,
            {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
            {"role": "tool", "tool_call_id": call.id, "content": "14 degrees"},
        ]
        reply = await client.chat.completions.create(messages=history, **asked)
    assert "14 degrees" in (reply.choices[0].message.content or "")


async def test_sdk_parses_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 18}},
        "required": ["age"],
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    async with OpenAIStandIn() as server, sdk(server) as client:
        reply = await client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, response_format=form
        )
    assert json.loads(reply.choices[0].message.content or "")["age"] >= 18


async def test_sdk_lists_models() -> None:
    async with OpenAIStandIn("vllm") as server, sdk(server) as client:
        assert [model.id async for model in client.models.list()] == list(server.profile.models)
        model = await client.models.retrieve("meta-llama/Llama-3.1-8B-Instruct")
        assert (model.id, model.owned_by) == ("meta-llama/Llama-3.1-8B-Instruct", "vllm")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("absent")


def test_the_synchronous_sdk_works_too() -> None:
    async def scenario() -> str | None:
        async with OpenAIStandIn() as server:
            return await asyncio.to_thread(ask, server.url)

    def ask(url: str) -> str | None:
        with openai.OpenAI(base_url=url, api_key="k") as client:
            return client.chat.completions.create(model="o4-mini", messages=HELLO).choices[0].message.content

    assert asyncio.run(scenario()) == "1, 2, 3."


# Refusals.


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"model": "absent"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"extra_body": {"unheard_of": 1}}, openai.BadRequestError),
        ({"temperature": 9}, openai.BadRequestError),
    ],
)
async def test_sdk_raises_for_what_is_refused(
    more: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    async with OpenAIStandIn() as server, sdk(server) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(**{"model": "o4-mini", "messages": HELLO, **more})
    assert caught.value.type == "invalid_request_error"


async def test_keys() -> None:
    async with OpenAIStandIn(api_key="right") as server:
        async with sdk(server, "wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.models.list()
            assert caught.value.code == "invalid_api_key"
        async with sdk(server, "right") as client:
            await client.models.list()


@pytest.mark.parametrize(
    ("content_type", "sent", "status"),
    [
        ("text/plain", b"{}", 400),
        ("application/json", b"{nonsense", 400),
        ("application/json", b"[]", 400),
        ("application/json; charset=utf-8", b"{}", 400),
    ],
)
async def test_bodies_that_are_not_requests(content_type: str, sent: bytes, status: int) -> None:
    async with OpenAIStandIn() as server, aiohttp.ClientSession() as session:
        headers = {"Content-Type": content_type}
        async with session.post(f"{server.url}/chat/completions", data=sent, headers=headers) as response:
            assert response.status == status
            assert set((await response.json())["error"]) == {"message", "type", "param", "code"}
        async with session.get(f"{server.url}/nowhere") as response:
            assert response.status == 404


ERRORS = [
    ("openai", 404, {"type": "invalid_request_error", "param": "model", "code": "model_not_found"}),
    (
        "ollama",
        404,
        {"message": "model 'absent' not found", "type": "api_error", "param": None, "code": None},
    ),
    ("vllm", 404, {"type": "NotFoundError", "param": "model", "code": 404}),
    ("sloppy", 404, None),
    ("openai", 400, {"type": "invalid_request_error", "param": "messages"}),
    ("ollama", 400, {"type": "invalid_request_error", "param": None, "code": None}),
    ("vllm", 400, {"type": "BadRequestError", "code": 400}),
]


@pytest.mark.parametrize(("profile", "status", "expected"), ERRORS)
async def test_error_shapes(profile: str, status: int, expected: dict[str, Any] | None) -> None:
    async with OpenAIStandIn(profile) as server:
        wrong: dict[str, Any] = {"model": "absent"} if status == 404 else {"messages": []}
        got, raw = await post(server, **wrong)
        error = json.loads(raw)["error"]
    assert got == status
    assert isinstance(error, str) if expected is None else expected.items() <= error.items()


async def test_requests_are_recorded() -> None:
    async with OpenAIStandIn() as server, sdk(server, "secret") as client:
        await client.chat.completions.create(model="o4-mini", messages=HELLO)
        await client.models.list()
        first, second = server.requests
        assert (first.method, first.path) == ("POST", "/v1/chat/completions")
        assert first.document == {"model": "o4-mini", "messages": HELLO}
        assert first.headers["authorization"] == "Bearer secret"
        assert (first.connection, second.connection, server.connections) == (1, 1, 1)
        assert server.open_connections == 1


# Profiles.


async def test_openai_streams_by_the_book() -> None:
    async with OpenAIStandIn() as server:
        _, raw = await post(server, stream=True, stream_options=USAGE, n=2)
    assert raw.endswith(b"}\n\ndata: [DONE]\n\n")
    got = [json.loads(frame[6:]) for frame in raw.split(b"\n\n")[:-2]]
    assert len({(chunk["id"], chunk["created"], chunk["system_fingerprint"]) for chunk in got}) == 1
    assert [chunk["usage"] for chunk in got[:-1]] == [None] * (len(got) - 1)
    assert got[-1]["choices"] == []
    assert sum("role" in delta for delta in deltas(got)) == 2


async def test_ollama_as_it_is() -> None:
    async with OpenAIStandIn("ollama") as server:
        plain = await chunks(server, n=3, reasoning_effort="low", unheard_of=1)
        counted = await chunks(server, stream_options=USAGE)
        calls = await chunks(server, tools=[WEATHER, WEATHER], messages=[{"role": "user", "content": "both"}])
        _, raw = await post(server, reasoning_effort="low")
    assert {delta["role"] for delta in deltas(plain)} == {"assistant"}
    assert all("content" in delta and "refusal" not in delta for delta in deltas(plain))
    assert "".join(delta.get("reasoning", "") for delta in deltas(plain)).startswith("The user")
    assert "".join(delta["content"] for delta in deltas(plain)) == "1, 2, 3."
    assert {chunk["system_fingerprint"] for chunk in plain} == {"fp_ollama"}
    assert {chunk["choices"][0]["index"] for chunk in plain} == {0}
    assert all("usage" not in chunk for chunk in [*plain, *counted[:-1]])
    assert plain[0]["id"].removeprefix("chatcmpl-").isdigit()
    assert set(counted[-1]["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    asked = [call for delta in deltas(calls) for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in asked] == [0, 1]
    assert [json.loads(call["function"]["arguments"]) for call in asked] == [{"city": "Paris"}] * 2
    assert calls[-1]["choices"][0]["finish_reason"] == "tool_calls"
    message = json.loads(raw)["choices"][0]["message"]
    assert set(message) == {"role", "content", "reasoning"}


async def test_ollama_knows_models_with_and_without_latest() -> None:
    async with OpenAIStandIn("ollama") as server:
        statuses = [(await post(server, model=model))[0] for model in ("llama3", "llama3:latest", "qwen3")]
        assert statuses == [200, 200, 404]
        assert (await chunks(server, model="llama3"))[0]["model"] == "llama3"


async def test_vllm_as_it_is() -> None:
    async with OpenAIStandIn("vllm") as server:
        got = await chunks(
            server, reasoning_effort="low", stream_options={**USAGE, "continuous_usage_stats": True}
        )
        quiet = await chunks(server, stream_options=USAGE)
        _, refused = await post(server, messages=[{"role": "user", "content": "refuse"}], logprobs=True)
    choice = json.loads(refused)["choices"][0]
    assert choice["message"]["refusal"]
    assert choice["logprobs"]["refusal"]
    assert got[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "reasoning_content" in got[1]["choices"][0]["delta"]
    assert got[-2]["choices"][0]["stop_reason"] is None
    assert [chunk["usage"]["completion_tokens"] for chunk in got[:3]] == [0, 1, 2]
    assert all("system_fingerprint" not in chunk for chunk in got)
    assert quiet[0]["usage"] is None


async def test_sloppy_has_every_small_fault() -> None:
    async with OpenAIStandIn("sloppy") as server:
        _, raw = await post(server, stream=True)
        got = await chunks(server)
        calls = await chunks(server, tools=[WEATHER])
    assert raw.startswith(b'data:{"id"')
    assert b"\r\n\r\n: still here\r\n\r\ndata:" in raw
    assert b"[DONE]" not in raw
    assert raw.endswith(b"}\r\n")
    assert not raw.endswith(b"\r\n\r\n")
    assert len({chunk["id"] for chunk in got if "id" in chunk}) > 2
    assert any("id" not in chunk and "created" not in chunk for chunk in got)
    assert [chunk["choices"][0]["finish_reason"] for chunk in got] == [""] * (len(got) - 1) + ["stop"]
    assert all("role" not in delta for delta in deltas(got))
    assert any("usage" in chunk for chunk in got[:-1])
    asked = [call for delta in deltas(calls) for call in delta.get("tool_calls", ())]
    assert asked
    assert all("index" not in call for call in asked)


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_any_quirk_leaves_the_words_alone(quirk: str) -> None:
    profile = Profile("one", ("m",), "me", str, quirks=(quirk,), framing=Framing(comment_every=2))
    text = [{"role": "user", "content": "say a b c"}]
    async with OpenAIStandIn(profile) as server:
        got = await chunks(server, messages=text, stream_options=USAGE)
        calls = await chunks(server, tools=[WEATHER], stream_options=USAGE)
        _, raw = await post(server, messages=text)
    assert "".join(delta.get("content") or "" for delta in deltas(got)) == "a b c"
    fragments = [call for delta in deltas(calls) for call in delta.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in fragments) == '{"city":"Paris"}'
    assert json.loads(raw)["choices"][0]["message"]["content"] == "a b c"


async def test_whole_calls_of_several_choices() -> None:
    profile = Profile("one", ("m",), "me", str, quirks=("whole_calls",))
    async with OpenAIStandIn(profile) as server:
        got = await chunks(server, n=2, tools=[WEATHER])
    asked = [
        (chunk["choices"][0]["index"], call)
        for chunk in got
        for call in deltas([chunk])[0].get("tool_calls", ())
    ]
    assert [index for index, _ in asked] == [0, 1]
    assert [json.loads(call["function"]["arguments"]) for _, call in asked] == [{"city": "Paris"}] * 2


# Knobs.


async def test_thoughts_in_tags() -> None:
    async with OpenAIStandIn("ollama", knobs=Knobs(think_tags=True)) as server:
        got = deltas(await chunks(server, reasoning_effort="low"))
        _, raw = await post(server, reasoning_effort="low")
        plain = deltas(await chunks(server))
    words = [delta["content"] for delta in got]
    assert words[:2] == ["<th", "ink>The"]
    assert all("reasoning" not in delta for delta in got)
    text = "".join(words)
    assert text == json.loads(raw)["choices"][0]["message"]["content"]
    assert text.startswith("<think>The user")
    assert text.endswith("</think>1, 2, 3.")
    assert "".join(delta["content"] for delta in plain) == "1, 2, 3."


async def test_failures_come_in_turn_and_then_stop() -> None:
    failures = [
        Failure(429, "slow down", "rate_limit_error", "rate_limit_exceeded", retry_after="0.25"),
        Failure(503, body=b"<html>", content_type="text/html"),
    ]
    async with OpenAIStandIn() as server, sdk(server) as client:
        server.knobs.failures.extend(failures)
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model="o4-mini", messages=HELLO)
        assert limited.value.response.headers["retry-after"] == "0.25"
        assert (limited.value.code, limited.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        with pytest.raises(openai.InternalServerError) as broken:
            await client.chat.completions.create(model="o4-mini", messages=HELLO)
        assert broken.value.response.text == "<html>"
        await client.chat.completions.create(model="o4-mini", messages=HELLO)


@pytest.mark.parametrize(("profile", "done"), [("openai", False), ("vllm", True), ("sloppy", False)])
async def test_an_error_inside_a_stream(profile: str, done: bool) -> None:
    async with OpenAIStandIn(profile, knobs=Knobs(stream_error=StreamError(3))) as server:
        status, raw = await post(server, stream=True)
        got = await chunks(server)
        server.knobs.stream_error = StreamError(0, {"error": "bare"})
        assert await chunks(server) == [{"error": "bare"}]
    assert status == 200
    assert (b"[DONE]" in raw) is done
    assert [("error" in chunk) for chunk in got] == [False, False, False, True]


async def test_sdk_raises_for_an_error_inside_a_stream() -> None:
    async with OpenAIStandIn(knobs=Knobs(stream_error=StreamError(2))) as server, sdk(server) as client:
        stream = await client.chat.completions.create(model="o4-mini", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="overloaded"):
            async for _ in stream:
                pass


async def test_a_body_although_a_stream_was_asked_for() -> None:
    async with OpenAIStandIn(knobs=Knobs(blocking=True)) as server:
        _, raw = await post(server, stream=True)
    assert json.loads(raw)["object"] == "chat.completion"


async def test_delays_and_batches() -> None:
    async with OpenAIStandIn(knobs=Knobs(delay=0.01, first_delay=0.05)) as server:
        began = time.monotonic()
        slow = await chunks(server)
        assert time.monotonic() - began >= 0.05 + 0.01 * len(slow)
        server.knobs.delay, server.knobs.per_write = 0.05, 100
        began = time.monotonic()
        assert [chunk["choices"] for chunk in await chunks(server)] == [chunk["choices"] for chunk in slow]
        assert time.monotonic() - began < 0.05 * len(slow)


async def test_a_client_that_leaves_ends_the_stream() -> None:
    async with OpenAIStandIn(knobs=Knobs(delay=0.02)) as server:
        async with sdk(server) as client:
            stream = await client.chat.completions.create(model="o4-mini", messages=HELLO, stream=True)
            await anext(aiter(stream))
            await stream.close()
        async with asyncio.timeout(5):
            while server.open_connections:
                await asyncio.sleep(0.01)


async def test_a_client_that_leaves_in_silence_ends_the_request() -> None:
    async with OpenAIStandIn(knobs=Knobs(first_delay=60)) as server:
        before = len(asyncio.all_tasks())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await post(server)
        assert len(server.requests) == 1
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)


def test_every_profile_names_quirks_that_exist() -> None:
    assert {quirk for profile in PROFILES.values() for quirk in profile.quirks} <= QUIRKS.keys()
