"""Every kind of Dify app by the official SDK, through a gateway that only the environment configures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.simulators.dify_apps import Failure, RunFailure, Variable
from proxy.simulators.dify_versions import MODES
from tests.e2e.dify_scene import COUNT, COUNTED, Scene, scene, text_of
from tests.e2e.sdk_setup import asking, async_sdk

pytestmark = pytest.mark.two_ways

PREFACE = "Let me look that up. "
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_EXTENSIONS="true", DELTAWIRE_UPSTREAM_DIFY_RETRIES="0") as running:
        yield running


def words_of(mode: str) -> str:
    return PREFACE + COUNTED if mode in ("agent-chat", "agent") else COUNTED


# One answer.


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_app_answers(here: Scene, mode: str):
    key = here.app(mode)
    chunks = here.stream(key, COUNT, stream_options={"include_usage": True})
    *said, last = chunks
    assert text_of(said) == words_of(mode)
    assert [chunk.choices[0].delta.role for chunk in said] == ["assistant", *[None] * (len(said) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in said] == [*[None] * (len(said) - 1), "stop"]
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {(last.id, last.created, "m")}
    assert not any(chunk.choices[0].delta.tool_calls for chunk in said)
    assert last.choices == [] and last.usage.completion_tokens > 0 and last.usage.prompt_tokens > 0
    whole = here.of(key).chat.completions.create(model="m", messages=asking(COUNT))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (words_of(mode), "stop")
    assert whole.usage == last.usage and whole.model == "m"
    assert [body["response_mode"] for body in here.questions(key)] == ["streaming"] * 2
    if mode not in ("workflow", "completion"):
        assert [body["auto_generate_name"] for body in here.questions(key)] == [False] * 2


@pytest.mark.parametrize("version", ["1.0", "1.9", "1.12", "1.13"])
def test_older_releases_answer_alike(version: str):
    with scene(version) as there:
        for mode in there.stand_in.version.modes:
            key = there.app(mode)
            assert text_of(there.stream(key, COUNT)) == words_of(mode)
            assert there.say(key, COUNT) == words_of(mode)


def test_the_async_client(here: Scene):
    key = here.app("chat")

    async def ask() -> tuple[str, str]:
        async with async_sdk(here.gateway.url + "/v1", api_key=key) as client:
            chunks = await client.chat.completions.create(model="m", messages=asking(COUNT), stream=True)
            text = text_of([chunk async for chunk in chunks])
            whole = await client.chat.completions.create(model="m", messages=asking(COUNT))
            return text, whole.choices[0].message.content or ""

    assert asyncio.run(ask()) == (COUNTED, COUNTED)


@both
@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
def test_thoughts_have_a_field_of_their_own(here: Scene, mode: str, stream: bool):
    for way in ("tagged", "separated"):
        key = here.app(mode, reasoning=way)
        if stream:
            chunks = here.stream(key, COUNT)
            thoughts = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks)
            text = text_of(chunks)
        else:
            create = here.of(key).chat.completions.create
            message = create(model="m", messages=asking(COUNT)).choices[0].message
            text, thoughts = message.content, message.reasoning_content
        assert text == COUNTED
        assert thoughts and "think>" not in text + thoughts


def test_what_else_the_platform_says(here: Scene):
    """Sources with an address as annotations, the ids and all sources as the gateway's own extension."""
    key = here.app("chat", citations=3)
    whole = here.of(key).chat.completions.create(model="m", messages=asking(COUNT))
    *chunks, last = here.stream(key, COUNT)
    cited = [note.url_citation.url for note in whole.choices[0].message.annotations]
    assert cited == ["https://handbook.example/1", "https://handbook.example/3"]
    streamed = [
        note for chunk in chunks for note in getattr(chunk.choices[0].delta, "annotations", None) or ()
    ]
    assert [note["url_citation"]["url"] for note in streamed] == cited
    for told in (whole.deltawire["platform"], last.deltawire["platform"]):
        assert len(told["retriever_resources"]) == 3
        assert {"conversation_id", "message_id", "task_id"} <= told.keys()


@both
def test_the_ids_are_in_the_headers(here: Scene, stream: bool):
    key = here.app("advanced-chat")
    raw = here.of(key).chat.completions.with_raw_response.create(
        model="m", messages=asking(COUNT), stream=stream
    )
    answer = raw.parse()
    if stream:
        assert text_of(list(answer)) == COUNTED
    (run,) = [run for run in here.stand_in.runs if run.user[0] == key]
    assert raw.headers["x-conversation-id"] == run.turn.conversation_id
    assert raw.headers["x-task-id"] == run.turn.task_id


@both
def test_how_answers_end(here: Scene, stream: bool):
    ends = {"stop": {}, "length": {"finish_reason": "length"}, "content_filter": {"moderation": "No."}}
    for reason, knobs in ends.items():
        key = here.app("advanced-chat", **knobs)
        if stream:
            chunks = here.stream(key, COUNT)
            assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == [reason]
        else:
            choice = here.of(key).chat.completions.create(model="m", messages=asking(COUNT)).choices[0]
            assert choice.finish_reason == reason
            assert choice.message.content == ("No." if knobs.get("moderation") else COUNTED)


def test_noise_and_pings_are_not_heard(here: Scene):
    knobs = {"noise": True, "huge_node": 300_000, "speech": 2, "ping_every": 0.02, "delay": 0.003}
    for mode in MODES:
        chunks = here.stream(here.app(mode, **knobs), COUNT)
        assert text_of(chunks) == words_of(mode)
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_run_that_waits_for_a_person_ends_with_its_question(here: Scene):
    chunks = here.stream(here.app("workflow", pause=True), COUNT)
    assert text_of(chunks).startswith("Shall I go on?")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].deltawire["platform"]["human_input"][0]["form_token"] == "token-1"


# Workflows and completions.


def test_inputs_and_outputs_of_a_workflow(here: Scene):
    key = here.app("workflow", form=(Variable("topic"), Variable("tone", "select", options=("dry", "warm"))))
    for extra in ({"inputs": {"tone": "dry"}}, {"metadata": {"inputs": '{"tone": "dry"}'}}):
        create = here.of(key).chat.completions.create
        create(model="m", messages=asking("rain"), extra_body=extra)
        assert here.questions(key)[-1]["inputs"] == {"topic": "rain", "tone": "dry"}
    assert here.say(here.app("workflow", outputs={"text": "T", "score": 3}), COUNT) == "T"
    assert here.say(here.app("workflow", outputs={"a": 1, "b": [2]}), COUNT) == '{"a":1,"b":[2]}'
    assert here.say(here.app("workflow", outputs={}), COUNT) == ""


def test_an_app_that_does_not_say_where_the_words_go(here: Scene):
    key = here.app("workflow", form=(Variable("sea"), Variable("sky")))
    with pytest.raises(openai.BadRequestError, match="sea, sky") as caught:
        here.say(key, COUNT)
    assert caught.value.code == "unknown_input_variable"
    assert here.questions(key) == []


def test_the_first_key_of_an_app_asks_it_and_the_next_does_not(here: Scene):
    key = here.app("workflow")
    for _ in range(3):
        here.say(key, COUNT)
    paths = [heard.path.removeprefix("/v1/") for heard in here.asked(key)]
    assert paths == ["info", "parameters", *["workflows/run"] * 3]


# Failures.


def refused(here: Scene, key: str, stream: bool, **more: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        (here.stream if stream else here.say)(key, COUNT, **more)
    return caught.value


REFUSED: list[tuple[int, str, str, type[openai.APIStatusError], str]] = [
    (400, "invalid_param", "Too many requests. Later.", openai.RateLimitError, "rate_limit_exceeded"),
    (429, "too_many_requests", "Too many.", openai.RateLimitError, "rate_limit_exceeded"),
    (403, "forbidden", "Disabled.", openai.PermissionDeniedError, "forbidden"),
    (400, "agent_not_published", "No version.", openai.NotFoundError, "model_not_found"),
    (400, "provider_not_initialize", "No model.", openai.InternalServerError, "upstream_not_configured"),
    (400, "provider_quota_exceeded", "Empty.", openai.RateLimitError, "insufficient_quota"),
    (400, "bad_request", "A draft.", openai.BadRequestError, "bad_request"),
    (400, "completion_request_error", "Down.", openai.InternalServerError, "upstream_error"),
    (500, "internal_server_error", "Oops.", openai.InternalServerError, "upstream_error"),
]


@both
def test_refusals_are_typed_exceptions(here: Scene, stream: bool):
    for status, said, message, kind, code in REFUSED:
        key = here.app("chat")
        here.stand_in.apps[key].knobs.failures.append(Failure(status, said, message, path="messages"))
        error = refused(here, key, stream)
        assert (type(error), error.code) == (kind, code), said
        assert message.rstrip(".") in error.message
        assert here.say(key, COUNT) == COUNTED


@both
def test_a_page_of_somebody_in_front_of_it_is_not_shown(here: Scene, stream: bool):
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"
    for status in (404, 502):
        key = here.app("chat")
        failure = Failure(status, body=page, content_type="text/html", path="messages")
        here.stand_in.apps[key].knobs.failures.append(failure)
        error = refused(here, key, stream)
        assert (error.status_code, error.code) == (502, "bad_upstream_response")
        assert "<" not in error.message


@both
def test_a_failure_before_the_first_word_is_a_status(here: Scene, stream: bool):
    for mode, outside in (
        ("chat", True),
        ("advanced-chat", False),
        ("workflow", False),
        ("agent-chat", True),
    ):
        tools = {"react": True} if mode == "agent-chat" else {}
        key = here.app(mode, failure=RunFailure(0, outside=outside), **tools)
        error = refused(here, key, stream)
        assert (type(error), error.status_code) == (openai.InternalServerError, 502)
        assert "the model is overloaded" in error.message


def test_a_failure_after_some_words_ends_the_stream_with_an_error(here: Scene):
    for mode in ("chat", "advanced-chat", "workflow"):
        key = here.app(mode, failure=RunFailure(3), delay=0.01)
        chunks = []
        create = here.of(key).chat.completions.create
        stream = create(model="m", messages=asking(COUNT), stream=True)
        with pytest.raises(openai.APIError, match="the model is overloaded") as caught, stream:
            chunks += stream
        assert not isinstance(caught.value, openai.APIStatusError)
        assert text_of(chunks) == "1, 2"
        assert not [chunk for chunk in chunks if chunk.choices[0].finish_reason]
        assert refused(here, key, False).status_code == 502


@both
def test_an_answer_that_breaks_off_is_never_finished(here: Scene, stream: bool):
    key = here.app("chat", end_after=3)
    if stream:
        with pytest.raises(openai.APIError) as caught:
            here.stream(key, COUNT)
        assert caught.value.code == "upstream_incomplete"
    else:
        assert refused(here, key, False).code == "upstream_incomplete"


@both
def test_an_answer_in_one_piece_although_a_stream_was_asked_for(here: Scene, stream: bool):
    for mode in ("chat", "advanced-chat", "workflow", "completion"):
        key = here.app(mode, blocking=True)
        said = text_of(here.stream(key, COUNT)) if stream else here.say(key, COUNT)
        assert said == COUNTED


def test_what_cannot_be_asked_is_refused_before_anybody_hears_of_it(here: Scene):
    key = here.app("chat")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [{"role": "system", "content": "Be kind."}]}, "messages"),
        ({"messages": asking(" \n ")}, "messages"),
        ({"extra_body": {"conversation_id": "../../info"}}, "conversation_id"),
        ({"extra_body": {"inputs": [1]}}, "inputs"),
    ]
    for changes, param in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            here.of(key).chat.completions.create(**{"model": "m", "messages": asking(COUNT), **changes})
        assert caught.value.param == param
    assert here.asked(key) == []
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert here.say(key, COUNT, temperature=0.2, max_tokens=5, tools=tools, stop=["x"]) == COUNTED
    assert here.questions(key)[0].keys() == {
        *("inputs", "query", "user", "response_mode", "auto_generate_name")
    }
