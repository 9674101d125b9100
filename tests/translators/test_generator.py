"""The built-in model: what it honours, that it never varies, and that its stream says what its body says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.generator import answer, chunks, documents, whole


def ask(text: Any = "Tell me about rivers", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def body(request: dict[str, Any]) -> dict[str, Any]:
    return whole(answer(request), request, id="chatcmpl-1", created=1)


def message(request: dict[str, Any]) -> dict[str, Any]:
    return body(request)["choices"][0]["message"]


def said(request: dict[str, Any]) -> str:
    return message(request)["content"]


def finish(request: dict[str, Any]) -> str:
    return body(request)["choices"][0]["finish_reason"]


def frames(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(chunk) for chunk in chunks(answer(request), request, id="chatcmpl-1", created=1)]


def folded(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices a client would build from the stream."""
    choices: dict[int, dict[str, Any]] = {}
    for frame in frames(request):
        for part in frame["choices"]:
            blank = {"message": {}, "logprobs": None, "finish_reason": None}
            choice = choices.setdefault(part["index"], {"index": part["index"], **blank})
            fold(choice["message"], part["delta"])
            if part["logprobs"] is not None:
                merged = choice["logprobs"] or {"content": None, "refusal": None}
                for member, tokens in part["logprobs"].items():
                    merged[member] = (merged[member] or []) + tokens if tokens else merged[member]
                choice["logprobs"] = merged
            assert choice["finish_reason"] is None, "nothing follows a finish"
            choice["finish_reason"] = part["finish_reason"]
    return [choices[index] for index in sorted(choices)]


def fold(target: dict[str, Any], delta: dict[str, Any]) -> None:
    for member, value in delta.items():
        if member == "tool_calls":
            calls = target.setdefault("tool_calls", [])
            for fragment in value:
                if fragment["index"] == len(calls):
                    calls.append({name: part for name, part in fragment.items() if name != "index"})
                else:
                    calls[fragment["index"]]["function"]["arguments"] += fragment["function"]["arguments"]
        elif member == "function_call":
            call = target.setdefault("function_call", {"name": value.get("name"), "arguments": ""})
            call["arguments"] += value["arguments"]
        elif value is not None and target.get(member) is not None:
            target[member] += value
        else:
            target[member] = value if value is not None else target.get(member)


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = tool("weather", city={"type": "string"}, days={"type": "integer", "minimum": 1})
CLOCK = tool("clock", zone={"type": "string"})
OLD = {"functions": [WEATHER["function"], CLOCK["function"]]}
RESULT = [
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "14 degrees"},
]
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": ask(),
    "nothing": {},
    "no text": ask(""),
    "count": ask("count to 12"),
    "usage": ask(stream_options={"include_usage": True}),
    "choices": ask(n=3, stream_options={"include_usage": True}),
    "reasoning": ask(reasoning_effort="high"),
    "logprobs": ask(logprobs=True, top_logprobs=2),
    "refusal": ask("refuse this", logprobs=True),
    "tools": ask(tools=[WEATHER, CLOCK]),
    "reasoned tools": ask(tools=[WEATHER], reasoning_effort="low", n=2),
    "both tools": ask("use both", tools=[WEATHER, CLOCK]),
    "functions": ask(**OLD),
    "after a tool": {"messages": RESULT, "tools": [WEATHER]},
    "json": ask(response_format={"type": "json_object"}),
    "schema": ask(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}),
    "cut short": ask(max_tokens=3),
    "cut calls": ask(tools=[WEATHER], max_completion_tokens=2),
    "cut thoughts": ask(reasoning_effort="low", max_tokens=2),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_stream_and_body_say_the_same(name: str) -> None:
    request = REQUESTS[name]
    expected = body(request)["choices"]
    for choice in expected:
        choice["message"].pop("annotations")
    assert folded(request) == expected


@pytest.mark.parametrize("name", REQUESTS)
def test_frames_keep_the_order_of_the_dialect(name: str) -> None:
    request = REQUESTS[name]
    got = frames(request)
    envelopes = {tuple(frame[member] for member in ("id", "object", "created", "model")) for frame in got}
    assert envelopes == {("chatcmpl-1", "chat.completion.chunk", 1, request.get("model", "builtin"))}
    firsts: dict[int, dict[str, Any]] = {}
    for frame in got:
        for choice in frame["choices"]:
            firsts.setdefault(choice["index"], choice["delta"])
    assert all(delta["role"] == "assistant" for delta in firsts.values())
    roles = [choice for frame in got for choice in frame["choices"] if "role" in choice["delta"]]
    assert len(roles) == len(firsts)
    if "stream_options" in request:
        assert all(frame["usage"] is None for frame in got[:-1])
        assert got[-1]["choices"] == []
        assert got[-1]["usage"] == body(request)["usage"]
    else:
        assert all("usage" not in frame for frame in got)


def test_documents_are_what_chunks_render() -> None:
    request = REQUESTS["choices"]
    plain = list(documents(answer(request), request, id="chatcmpl-1", created=1))
    assert plain == frames(request)


def test_another_process_says_the_same() -> None:
    script = (
        "from translators.generator import answer, whole\n"
        "request = {'messages': [{'role': 'user', 'content': 'Tell me about rivers'}]}\n"
        "print(ascii(whole(answer(request), request, id='', created=1)['choices'][0]['message']['content']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii(said(ask()))


def test_refusal_has_its_own_member() -> None:
    got = message(ask("Please refuse"))
    assert got["content"] is None
    assert "can’t" in got["refusal"]
    assert finish(ask("Please refuse")) == "stop"


@pytest.mark.parametrize(
    ("stop", "reply"),
    [
        (" 3", "1, 2,"),
        (["9", ", 2"], "1"),
        ("absent", "1, 2, 3, 4."),
        (["", None, 4], "1, 2, 3, 4."),
        ("1", ""),
    ],
)
def test_stop_cuts_the_text_before_it(stop: Any, reply: str) -> None:
    request = ask("count to 4", stop=stop)
    assert said(request) == reply
    assert finish(request) == "stop"


@pytest.mark.parametrize(
    ("limits", "reply", "reason"),
    [
        ({"max_tokens": 4}, "1, 2,", "length"),
        ({"max_completion_tokens": 2, "max_tokens": 100}, "1,", "length"),
        ({"max_tokens": 8}, "1, 2, 3, 4.", "stop"),
        ({"max_tokens": 0}, "1, 2, 3, 4.", "stop"),
        ({"max_tokens": True}, "1, 2, 3, 4.", "stop"),
        ({"max_tokens": 4, "stop": "2"}, "1, ", "stop"),
    ],
)
def test_token_limits(limits: dict[str, Any], reply: str, reason: str) -> None:
    request = ask("count to 4", **limits)
    assert (said(request), finish(request)) == (reply, reason)


def test_usage_counts_pieces() -> None:
    usage = body(ask("count to 4"))["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (3, 8, 11)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    more = body(ask("count to 4", n=2, reasoning_effort="low"))["usage"]
    reasoning = more["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning > 5
    assert more["completion_tokens"] == 16 + reasoning
    assert body(ask("count to 4", tools=[WEATHER]))["usage"]["prompt_tokens"] > 30
    assert body({"messages": RESULT})["usage"]["prompt_tokens"] > 10


@pytest.mark.parametrize(
    ("effort", "sentences"),
    [
        ("none", 0),
        ("minimal", 0),
        ("low", 1),
        ("medium", 2),
        ("high", 3),
        ("unheard-of", 1),
        (None, 0),
        (5, 0),
    ],
)
def test_reasoning_comes_first_when_asked_for(effort: Any, sentences: int) -> None:
    for request in (ask(reasoning_effort=effort), ask(reasoning={"effort": effort})):
        assert message(request).get("reasoning_content", "").count(".") == sentences
    deltas = [choice["delta"] for frame in frames(ask(reasoning_effort="low")) for choice in frame["choices"]]
    kinds = [next(iter(delta)) for delta in deltas[1:-1]]
    assert kinds == sorted(kinds, key=["reasoning_content", "content"].index)


def calls_of(request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    calls = message(request).get("tool_calls", [])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


BY_NAME = {"type": "function", "function": {"name": "clock"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [BY_NAME]}}


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["weather"]),
        ({"tool_choice": "auto"}, ["weather"]),
        ({"tool_choice": "required"}, ["weather"]),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": BY_NAME}, ["clock"]),
        ({"tool_choice": ALLOWED}, ["clock"]),
        ({"tool_choice": {"allowed_tools": {"tools": 4}}}, []),
        ({"tool_choice": {"function": 4}}, []),
        ({"tools": [{"type": "function"}, "loose", {"function": {"name": 4}}, CLOCK]}, ["clock"]),
        ({"tools": {"not": "a list"}}, []),
    ],
)
def test_tool_choice(more: dict[str, Any], names: list[str]) -> None:
    request = ask(**{"tools": [WEATHER, CLOCK], **more})
    assert [name for name, _ in calls_of(request)] == names
    assert finish(request) == ("tool_calls" if names else "stop")
    assert (message(request)["content"] is None) is bool(names)


def test_arguments_fit_the_parameters() -> None:
    [(_, arguments)] = calls_of(ask(tools=[WEATHER]))
    assert isinstance(arguments["city"], str)
    assert arguments["days"] >= 1


def test_arguments_are_an_object_whatever_the_parameters_say() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    for parameters in (None, {"type": "string"}, 4, {"const": deep}, {"const": {"a": deep}}):
        functions = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
        assert calls_of(ask(tools=functions)) == [("f", {})]
    form = {"type": "json_schema", "json_schema": {"schema": {"const": deep}}}
    assert said(ask(response_format=form)) == "null"


def test_many_choices_of_many_hostile_calls_end_soon() -> None:
    layers = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 8} for n in range(20)}
    bomb = {"type": "object", "properties": {"a": {"$ref": "#/$defs/l0"}}, "$defs": layers}
    tools = [{"type": "function", "function": {"name": f"f{n}", "parameters": bomb}} for n in range(128)]
    form = {"type": "json_schema", "json_schema": {"schema": bomb}}
    began = time.process_time()
    assert len(answer(ask("all", tools=tools, n=128)).choices[127].tool_calls) == 128
    assert len(answer(ask("count to 10000", n=128)).choices[127].content) == 20_000
    answer(ask(response_format=form, n=128))
    assert time.process_time() - began < 5


def test_calls_stream_in_fragments_with_their_id_once() -> None:
    fragments = [
        call
        for frame in frames(ask("use both", tools=[WEATHER, CLOCK]))
        for choice in frame["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    starts = [call for call in fragments if "id" in call]
    assert [call["index"] for call in starts] == [0, 1]
    assert [call["function"]["name"] for call in starts] == ["weather", "clock"]
    assert len({call["id"] for call in starts}) == 2
    assert all(call["id"].startswith("call_") and call["type"] == "function" for call in starts)
    assert len(fragments) > 6


@pytest.mark.parametrize("text", ["use both", "call ALL of them", "in parallel please"])
def test_several_calls_unless_forbidden(text: str) -> None:
    request = ask(text, tools=[WEATHER, CLOCK])
    assert len(calls_of(request)) == 2
    assert len(calls_of({**request, "parallel_tool_calls": False})) == 1
    assert len(calls_of({**request, "tool_choice": BY_NAME})) == 1


def test_a_result_is_answered_in_words() -> None:
    request = {"messages": RESULT, "tools": [WEATHER], "tool_choice": "required"}
    assert "The tool says: 14 degrees." in said(request)
    assert finish(request) == "stop"
    two = {"messages": [*RESULT, {"role": "function", "name": "f", "content": ""}]}
    assert "The tool says: 14 degrees. The tool says: nothing." in said(two)


@pytest.mark.parametrize(
    ("choice", "name"), [(None, "weather"), ({"name": "clock"}, "clock"), ("none", None)]
)
def test_older_functions(choice: Any, name: str | None) -> None:
    request = ask("all", **OLD, **({"function_call": choice} if choice else {}))
    got = message(request)
    assert "tool_calls" not in got
    assert got.get("function_call", {}).get("name") == name
    assert finish(request) == ("function_call" if name else "stop")


def test_json_formats() -> None:
    assert json.loads(said(REQUESTS["json"]))["question"] == "Tell me about rivers"
    assert json.loads(said(REQUESTS["schema"]))["age"] >= 18
    for form in (
        {"type": "text"},
        {"type": "json_schema"},
        "json",
        {"type": "json_schema", "json_schema": 4},
    ):
        assert said(ask(response_format=form)) == said(ask())


@pytest.mark.parametrize(("wanted", "given_"), [(None, 0), (0, 0), (3, 3), (99, 20), (True, 0)])
def test_logprobs(wanted: Any, given_: int) -> None:
    request = ask("count to 4", logprobs=True, top_logprobs=wanted)
    tokens = body(request)["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "1, 2, 3, 4."
    for token in tokens:
        assert bytes(token["bytes"]).decode() == token["token"]
        ranked = token["top_logprobs"]
        assert len(ranked) == given_
        assert all(other["logprob"] < 0 for other in [token, *ranked])
        assert ranked == sorted(ranked, key=lambda other: -other["logprob"])
        assert not ranked or {**token, "top_logprobs": None} == {**ranked[0], "top_logprobs": None}
    assert body(ask())["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(("wanted", "count"), [(2, 2), (0, 1), (500, 128), ("2", 1), (True, 1), (None, 1)])
def test_choices(wanted: Any, count: int) -> None:
    assert [choice["index"] for choice in body(ask("hi", n=wanted))["choices"]] == list(range(count))


def test_choices_take_turns() -> None:
    order = [choice["index"] for frame in frames(ask(n=2)) for choice in frame["choices"]]
    assert order[:6] == [0, 1, 0, 1, 0, 1]


PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "x", None])},
    optional={"text": st.text() | st.none()},
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("none"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "type", "function"]), inner)
    ),
    max_leaves=8,
)
MEMBERS = (
    "model messages n stop max_tokens seed tools functions tool_choice function_call parallel_tool_calls "
    "reasoning reasoning_effort logprobs top_logprobs response_format stream_options"
)
LIKELY = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant", "tool"]),
                    "content": st.text() | st.lists(PARTS, max_size=3) | st.none(),
                }
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "n": st.integers(1, 3),
        "seed": st.integers(),
        "stop": st.text() | st.lists(st.text(), max_size=4),
        "max_tokens": st.integers(1, 60),
        "tools": st.just([WEATHER, CLOCK]),
        "functions": st.just(OLD["functions"]),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 3),
        "reasoning_effort": st.sampled_from(["none", "low", "high"]),
        "response_format": st.sampled_from(
            [REQUESTS["json"]["response_format"], REQUESTS["schema"]["response_format"]]
        ),
    },
)


@settings(max_examples=200, deadline=None)
@given(LIKELY)
def test_any_request_is_answered_the_same_way_twice_and_in_both_forms(request_: dict[str, Any]) -> None:
    assert answer(request_) == answer(json.loads(json.dumps(request_)))
    expected = body(request_)["choices"]
    for choice in expected:
        choice["message"].pop("annotations")
    assert folded(request_) == json.loads(json.dumps(expected))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(MEMBERS.split()), VALUES))
def test_any_document_gets_an_answer(request_: dict[str, Any]) -> None:
    assert frames(request_)
    assert body(request_)["choices"]
