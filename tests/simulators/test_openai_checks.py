"""What the stand-in refuses, one row per reason, and a request that uses everything it accepts."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.simulators.openai_checks import check
from translators.errors import BadRequest

HELLO = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "7"}
NAMED = {"type": "function", "function": {"name": "f"}}


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HELLO], **more}


def said(*messages: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages)}


def schema(**more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, **more}}


ACCEPTED = [
    chat(),
    chat(stream=None, stop=None, tools=None, user=None),
    chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}),
    chat(temperature=0, top_p=0.5, n=128, seed=-4, presence_penalty=-2, frequency_penalty=2),
    chat(stop="a"),
    chat(stop=["a", "b", "c", "d"]),
    chat(max_tokens=1, max_completion_tokens=1),
    chat(logprobs=True, top_logprobs=20, logit_bias={"5": 1}),
    chat(tools=[TOOL, {"type": "custom", "custom": {}}], tool_choice=NAMED, parallel_tool_calls=False),
    chat(tools=[TOOL], tool_choice="required"),
    chat(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": {}}),
    chat(tool_choice="none"),
    chat(functions=[{"name": "f"}], function_call={"name": "f"}),
    chat(response_format={"type": "json_object"}),
    chat(response_format=schema(strict=True)),
    chat(metadata={"a": "b"}, store=True, user="u", modalities=["text"], reasoning_effort="high"),
    said(HELLO, CALLING, RESULT, HELLO),
    said({"role": "developer", "content": [{"type": "text", "text": "a"}]}, HELLO),
    said({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
    said(
        {
            "role": "user",
            "content": [{"type": "input_audio", "input_audio": {}}, {"type": "file", "file": {}}],
        }
    ),
    said({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
    said({"role": "assistant", "function_call": {"name": "f"}}, {"role": "function", "content": "7"}),
    said({"role": "assistant", "refusal": "no"}),
]


@pytest.mark.parametrize("body", ACCEPTED, ids=str)
def test_accepted(body: dict[str, Any]) -> None:
    assert check(body, strict=True) == {name: value for name, value in body.items() if value is not None}


REFUSED: list[tuple[Any, str | None, str | None]] = [
    ([], None, None),
    ({"messages": [HELLO]}, "model", "missing_required_parameter"),
    ({"model": "m", "messages": None}, "messages", "missing_required_parameter"),
    (chat(model=4), "model", "invalid_type"),
    (chat(messages="hi"), "messages", "invalid_type"),
    (chat(messages=[]), "messages", "empty_array"),
    (chat(unheard_of=1), None, "unknown_parameter"),
    (chat(stream=1), "stream", "invalid_type"),
    (chat(stream_options={}), "stream_options", None),
    (chat(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage", "invalid_type"),
    (chat(temperature="hot"), "temperature", "invalid_type"),
    (chat(temperature=2.1), "temperature", "invalid_value"),
    (chat(temperature=True), "temperature", "invalid_type"),
    (chat(top_p=-0.1), "top_p", "invalid_value"),
    (chat(n=0), "n", "invalid_value"),
    (chat(n=1.5), "n", "invalid_type"),
    (chat(n=129), "n", "invalid_value"),
    (chat(stop=4), "stop", "invalid_type"),
    (chat(stop=list("abcde")), "stop", "array_above_max_length"),
    (chat(stop=["a", 4]), "stop[1]", "invalid_type"),
    (chat(max_tokens=0), "max_tokens", "invalid_value"),
    (chat(top_logprobs=3), "top_logprobs", None),
    (chat(logprobs=True, top_logprobs=21), "top_logprobs", "invalid_value"),
    (chat(metadata={"a": 1}), "metadata", "invalid_value"),
    (chat(metadata={str(n): "" for n in range(17)}), "metadata", "invalid_value"),
    (chat(reasoning_effort="huge"), "reasoning_effort", "invalid_value"),
    (chat(tools=[]), "tools", "empty_array"),
    (chat(tools=[TOOL] * 129), "tools", "array_above_max_length"),
    (chat(tools=[{"type": "x"}]), "tools[0].type", "invalid_value"),
    (chat(tools=[{"type": "function"}]), "tools[0].function", "invalid_type"),
    (
        chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        chat(tools=[{"type": "function", "function": {"name": "a", "parameters": []}}]),
        "tools[0].function.parameters",
        "invalid_type",
    ),
    (chat(tool_choice="auto"), "tool_choice", None),
    (chat(tools=[TOOL], tool_choice="maybe"), "tool_choice", "invalid_value"),
    (chat(tools=[TOOL], tool_choice=4), "tool_choice", "invalid_type"),
    (chat(tools=[TOOL], tool_choice={"type": "x"}), "tool_choice.type", "invalid_value"),
    (chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}), "tool_choice", None),
    (chat(tools=[TOOL], tool_choice={"type": "function"}), "tool_choice", None),
    (chat(parallel_tool_calls=True), "parallel_tool_calls", None),
    (chat(function_call="auto"), "function_call", None),
    (chat(response_format="json"), "response_format", "invalid_type"),
    (chat(response_format={"type": "xml"}), "response_format.type", "invalid_value"),
    (chat(response_format={"type": "json_schema"}), "response_format.json_schema", "invalid_type"),
    (chat(response_format=schema(name="")), "response_format.json_schema.name", "invalid_value"),
    (chat(response_format=schema(schema=None)), "response_format.json_schema.schema", "invalid_type"),
    (said("hi"), "messages[0]", "invalid_type"),
    (said({"role": "robot", "content": "hi"}), "messages[0].role", "invalid_value"),
    (said({"role": "user"}), "messages[0].content", "invalid_type"),
    (said({"role": "user", "content": 4}), "messages[0].content", "invalid_type"),
    (said({"role": "assistant", "content": None}), "messages[0].content", "invalid_type"),
    (said({"role": "user", "content": ["hi"]}), "messages[0].content[0]", "invalid_type"),
    (said({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0].text", "invalid_type"),
    (
        said({"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
        "messages[0].content[0].type",
        "invalid_value",
    ),
    (
        said({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
        "messages[0].content[0].image_url.url",
        "invalid_type",
    ),
    (said({"role": "assistant", "tool_calls": [{"id": 4}]}), "messages[0].tool_calls[0].id", "invalid_type"),
    (said(HELLO, RESULT), "messages[1].tool_call_id", None),
    (said({"role": "tool", "content": "7"}), "messages[0].tool_call_id", "invalid_type"),
    (said(HELLO, CALLING, HELLO), "messages[2]", None),
    (said(HELLO, CALLING, RESULT, RESULT), "messages[3].tool_call_id", None),
    (said(HELLO, CALLING), "messages", None),
]


@pytest.mark.parametrize(("body", "param", "code"), REFUSED, ids=str)
def test_refused(body: Any, param: str | None, code: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        check(body, strict=True)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_only_a_strict_server_refuses_unknown_fields() -> None:
    body = chat(session_id="s", top_k=4)
    assert check(body, strict=False) == body
