"""Bad chat requests by table: which parameter, which code, and words that say what to send instead."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import BadRequest
from translators.request import MAX_MODEL, Prompt

USER = {"role": "user", "content": "hi"}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **more}


def message(**members: Any) -> dict[str, Any]:
    return body(messages=[USER, members])


def part(**members: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [members]}])


MISSING, TYPE, VALUE, EMPTY = "missing_required_parameter", "invalid_type", "invalid_value", "empty_array"
M1 = "messages[1]"
P0 = "messages[0].content[0]"
ASSISTANT: dict[str, Any] = {"role": "assistant", "content": None}

BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"messages": [USER]}, "model", MISSING, "you must provide a model parameter"),
    ({"model": None, "messages": [USER]}, "model", MISSING, "you must provide a model parameter"),
    (body(model=" "), "model", MISSING, "you must provide a model parameter"),
    (body(model=7), "model", TYPE, "expected a string, but got an integer instead"),
    (body(model="m" * (MAX_MODEL + 1)), "model", VALUE, "at most 256 printable characters"),
    (body(model="m\r\nx"), "model", VALUE, "printable"),
    ({"model": "m"}, "messages", MISSING, "Missing required parameter: 'messages'."),
    (body(messages=None), "messages", MISSING, "Missing required parameter"),
    (body(messages="hi"), "messages", TYPE, "expected an array of objects, but got a string instead"),
    (body(messages={}), "messages", TYPE, "but got an object instead"),
    (body(messages=[]), "messages", EMPTY, "Expected an array with minimum length 1"),
    (body(messages=["hi"]), "messages[0]", TYPE, "expected an object, but got a string"),
    (message(content="hi"), f"{M1}.role", MISSING, "messages[1].role"),
    (
        message(role="boss", content="hi"),
        f"{M1}.role",
        VALUE,
        "Invalid value: 'boss'. Supported values are: 'system', ",
    ),
    (message(role=["user"], content="hi"), f"{M1}.role", VALUE, "Invalid value: an array."),
    (message(role="x" * 500, content="hi"), f"{M1}.role", VALUE, f"'{'x' * 40}'"),
    (message(role="user"), f"{M1}.content", MISSING, "Missing required parameter"),
    (message(role="user", content=None), f"{M1}.content", MISSING, "Missing required parameter"),
    (message(role="user", content=5), f"{M1}.content", TYPE, "expected one of a string or array of objects"),
    (message(role="user", content="a", name=5), f"{M1}.name", TYPE, "expected a string"),
    (message(role="user", content=["a"]), f"{M1}.content[0]", TYPE, "expected an object"),
    (message(role="tool", content="a"), f"{M1}.tool_call_id", MISSING, "tool_call_id"),
    (message(role="tool", tool_call_id="c"), f"{M1}.content", MISSING, "content"),
    (message(role="function", content="a"), f"{M1}.name", MISSING, "name"),
    (message(role="assistant"), f"{M1}.content", MISSING, "content"),
    (message(**ASSISTANT, tool_calls=[]), f"{M1}.content", MISSING, "content"),
    (message(**ASSISTANT, tool_calls=5), f"{M1}.tool_calls", TYPE, "array of objects"),
    (message(**ASSISTANT, tool_calls=[5]), f"{M1}.tool_calls[0]", TYPE, "an object"),
    (message(**ASSISTANT, tool_calls=[{}]), f"{M1}.tool_calls[0].id", MISSING, "id"),
    (
        message(**ASSISTANT, tool_calls=[{"id": "c", "function": {}}]),
        f"{M1}.tool_calls[0].function.name",
        MISSING,
        "name",
    ),
    (
        message(**ASSISTANT, tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {}}}]),
        f"{M1}.tool_calls[0].function.arguments",
        TYPE,
        "expected a string, but got an object",
    ),
    (part(), f"{P0}.type", TYPE, "expected a string, but got null"),
    (part(type=5), f"{P0}.type", TYPE, "expected a string"),
    (part(type="text"), f"{P0}.text", MISSING, "text"),
    (part(type="text", text=5), f"{P0}.text", TYPE, "expected a string"),
    (part(type="image_url"), f"{P0}.image_url", MISSING, "image_url"),
    (part(type="image_url", image_url=5), f"{P0}.image_url", TYPE, "an object"),
    (part(type="image_url", image_url={}), f"{P0}.image_url.url", MISSING, "url"),
    (part(type="input_audio", input_audio={"data": "x"}), f"{P0}.input_audio.format", MISSING, "format"),
    (part(type="file", file="x"), f"{P0}.file", TYPE, "an object"),
    (part(type="image"), f"{P0}.file_url", MISSING, "file_url"),
    (part(type="refusal"), f"{P0}.refusal", MISSING, "refusal"),
    (body(stream="yes"), "stream", TYPE, "expected a boolean"),
    (body(stream=1), "stream", TYPE, "expected a boolean, but got an integer"),
    (body(stream_options={}), "stream_options", VALUE, "only allowed when 'stream' is enabled"),
    (body(stream=False, stream_options={"include_usage": True}), "stream_options", VALUE, "only allowed"),
    (body(stream=True, stream_options=[]), "stream_options", TYPE, "an object"),
    (
        body(stream=True, stream_options={"include_usage": 1}),
        "stream_options.include_usage",
        TYPE,
        "a boolean",
    ),
    (body(temperature="hot"), "temperature", TYPE, "expected a decimal, but got a string instead"),
    (body(temperature=True), "temperature", TYPE, "but got a boolean"),
    (body(temperature=-0.1), "temperature", "decimal_below_min_value", "-0.1 is less than the minimum of 0"),
    (body(temperature=2.1), "temperature", "decimal_above_max_value", "2.1 is greater than the maximum of 2"),
    (body(top_p=1.5), "top_p", "decimal_above_max_value", "maximum of 1"),
    (body(presence_penalty=-3), "presence_penalty", "decimal_below_min_value", "minimum of -2"),
    (body(frequency_penalty=3), "frequency_penalty", "decimal_above_max_value", "maximum of 2"),
    (body(n=0), "n", "integer_below_min_value", "minimum of 1"),
    (body(n=129), "n", "integer_above_max_value", "maximum of 128"),
    (body(n=1.0), "n", TYPE, "expected an integer, but got a number"),
    (body(seed="x"), "seed", TYPE, "an integer"),
    (body(max_tokens=0), "max_tokens", "integer_below_min_value", "minimum of 1"),
    (body(max_completion_tokens=-1), "max_completion_tokens", "integer_below_min_value", "minimum of 1"),
    (body(stop=5), "stop", TYPE, "one of a string or array of strings"),
    (body(stop=["a", 5]), "stop[1]", TYPE, "a string"),
    (body(logprobs=1), "logprobs", TYPE, "a boolean"),
    (body(top_logprobs=21), "top_logprobs", "integer_above_max_value", "maximum of 20"),
    (body(logit_bias=[]), "logit_bias", TYPE, "an object"),
    (body(user=5), "user", TYPE, "a string"),
    (body(metadata="x"), "metadata", TYPE, "an object"),
    (body(modalities="text"), "modalities", TYPE, "array of strings"),
    (body(response_format="json"), "response_format", TYPE, "an object"),
    (body(response_format={}), "response_format.type", MISSING, "type"),
    (body(tools={}), "tools", TYPE, "array of objects"),
    (body(tools=[{}]), "tools[0].type", MISSING, "type"),
    (
        body(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]),
        "tools[0].function.parameters",
        TYPE,
        "an object",
    ),
    (body(tools=[{"type": "function", "function": {}}]), "tools[0].function.name", MISSING, "name"),
    (body(tool_choice=5), "tool_choice", TYPE, "one of a string or an object"),
    (body(parallel_tool_calls="no"), "parallel_tool_calls", TYPE, "a boolean"),
    (body(functions=[{}]), "functions[0].name", MISSING, "name"),
    (body(function_call=5), "function_call", TYPE, "one of a string or an object"),
    (body(reasoning_effort=5), "reasoning_effort", TYPE, "a string"),
]


@pytest.mark.parametrize(
    ("request_body", "param", "code", "words"), BAD, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD)]
)
def test_refused(request_body: dict[str, Any], param: str, code: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Prompt.from_chat(request_body)
    error = caught.value
    assert (error.status, error.param, error.code) == (400, param, code)
    assert words in error.message
    assert len(error.message) < 400


GOOD: list[dict[str, Any]] = [
    body(),
    body(stream=None, temperature=None, tools=None, stream_options=None, n=None, stop=None),
    body(
        temperature=0,
        top_p=1,
        n=128,
        seed=-5,
        max_tokens=1,
        top_logprobs=0,
        logprobs=True,
        presence_penalty=2,
    ),
    body(stop="x", tool_choice="auto", function_call={"name": "f"}, functions=[{"name": "f"}]),
    body(stop=["a", "b"], tool_choice={"type": "function"}, response_format={"type": "json_object", "x": 1}),
    body(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}, {"type": "web_search"}]),
    body(unknown={"anything": [1, None]}, session_id=5, top_k=40),
    body(messages=[{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")]),
    message(role="tool", content=[{"type": "text", "text": "x"}], tool_call_id="c"),
    message(role="function", name="f", content=None),
    message(
        **ASSISTANT,
        tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    ),
    message(**ASSISTANT, tool_calls=[{"id": "c", "type": "custom", "custom": {}}]),
    message(**ASSISTANT, function_call={"name": "f"}),
    message(**ASSISTANT, refusal="no"),
    message(**ASSISTANT, audio={"id": "a"}),
    message(**ASSISTANT, reasoning_content="r"),
    message(role="assistant", content=""),
    message(role="user", content=[]),
    part(type="image_url", image_url="https://e.org/a.png"),
    part(type="image_url", image_url={"url": "data:image/png;base64,AA", "detail": "low"}),
    part(type="input_audio", input_audio={"data": "AA", "format": "wav"}),
    part(type="file", file={"file_id": "f"}),
    part(type="image", file_url="https://e.org/a.png"),
    part(type="video_url", video_url={"url": 5}),
]


@pytest.mark.parametrize("request_body", GOOD, ids=[str(number) for number in range(len(GOOD))])
def test_accepted_and_kept_as_it_came(request_body: dict[str, Any]) -> None:
    prompt = Prompt.from_chat(request_body)
    assert prompt.body == {name: value for name, value in request_body.items() if value is not None}
    assert prompt.messages == request_body["messages"]
    assert (prompt.model, prompt.stream, prompt.include_usage) == ("m", False, False)


@pytest.mark.parametrize(
    ("options", "include_usage"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": None}, False),
        ({"include_usage": False}, False),
        ({"include_usage": True}, True),
        ({"include_usage": True, "include_obfuscation": False}, True),
    ],
)
def test_usage_is_asked_for_in_a_stream(options: Any, include_usage: bool) -> None:
    prompt = Prompt.from_chat(body(stream=True, stream_options=options))
    assert (prompt.stream, prompt.include_usage) == (True, include_usage)


def test_checking_is_linear_in_the_messages() -> None:
    def seconds(count: int) -> float:
        request = body(messages=[USER] * count)
        started = time.process_time()
        Prompt.from_chat(request)
        return time.process_time() - started

    ratios = [seconds(10_000) / max(seconds(5_000), 2e-3) for _ in range(5)]
    assert min(ratios) <= 2.5, ratios


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [name for row in BAD for name in row[0]]
MEMBERS = [
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "name",
    "type",
    "text",
    "id",
    "function",
    "arguments",
    "image_url",
    "url",
    "input_audio",
    "file",
    "parameters",
    "refusal",
    "include_usage",
]
ROLES = st.sampled_from(["user", "assistant", "tool", "function", "system"])
SHAPED = st.recursive(
    VALUES | ROLES | st.sampled_from(["text", "image_url", "input_audio", "file", "image"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), SHAPED, max_size=6), st.lists(SHAPED, max_size=3))
def test_any_object_is_a_prompt_or_a_bad_request(request_body: dict[str, Any], messages: list[Any]) -> None:
    for candidate in (request_body, body(**{**request_body, "model": "m", "messages": messages})):
        try:
            prompt = Prompt.from_chat(candidate)
        except BadRequest as error:
            assert error.param
            assert error.code
        else:
            assert prompt.messages
