"""Agents of Bedrock by the official SDK, through a gateway that only the environment configures."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.simulators.bedrock import DEMO_AGENT, DEMO_ALIAS
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import (
    Abort,
    Collaborator,
    Err,
    Event,
    Guardrail,
    Produced,
    Sleep,
    exc,
    failure,
    http,
)
from proxy.simulators.bedrock_turn import chunk
from tests.e2e.bedrock_scene import COUNT, COUNTED, Scene, scene, text_of, thoughts_of
from tests.e2e.sdk_setup import async_sdk
from tests.support.waiting import until

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGMwSLgAAAIkAWHwF5OQAAAAAElFTkSuQmCC"
THOUGHT = "The user wants to know about “count to 3”."
DEMO = f"{DEMO_AGENT}/{DEMO_ALIAS}"
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(DELTAWIRE_EXTENSIONS="true", DELTAWIRE_UPSTREAM_BEDROCK_RETRIES="0") as running:
        yield running


# One answer.


def test_an_agent_answers_under_any_name(here: Scene):
    before = len(here.asked(DEMO))
    for model in ("bedrock-agent", "gpt-4o", DEMO, f"bedrock/agent/{DEMO}", f"bedrock/{DEMO}"):
        chunks = here.stream(model, COUNT, stream_options={"include_usage": True})
        *told, last = chunks
        assert (text_of(told), thoughts_of(told)) == (COUNTED, THOUGHT)
        assert [one.choices[0].delta.role for one in told] == ["assistant", *[None] * (len(told) - 1)]
        assert [one.choices[0].finish_reason for one in told] == [*[None] * (len(told) - 1), "stop"]
        assert {(one.id, one.created, one.model) for one in chunks} == {(last.id, last.created, model)}
        assert last.choices == []
        whole = here.create(model, COUNT)
        message = whole.choices[0].message
        assert (message.content, message.reasoning_content, whole.model) == (COUNTED, THOUGHT, model)
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage == last.usage
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (3, 6)
    heard = here.asked(DEMO)[before:]
    assert len(heard) == 10
    streamed = [one.document["streamingConfigurations"]["streamFinalResponse"] for one in heard]
    assert streamed == [True, False] * 5


def test_the_async_client(here: Scene):
    async def ask() -> tuple[str, str]:
        async with async_sdk(here.gateway.url + "/v1") as client:
            question: Any = {"model": "m", "messages": [{"role": "user", "content": COUNT}]}
            stream = await client.chat.completions.create(**question, stream=True)
            told = text_of([one async for one in stream])
            whole = await client.chat.completions.create(**question)
            return told, whole.choices[0].message.content or ""

    assert asyncio.run(ask()) == (COUNTED, COUNTED)


def test_without_traces_there_are_no_thoughts_and_no_counts(here: Scene):
    model = here.agent()
    quiet = {"bedrock": {"enableTrace": False}}
    chunks = here.stream(model, COUNT, stream_options={"include_usage": True}, extra_body=quiet)
    usage = chunks[-1].usage
    assert (text_of(chunks), thoughts_of(chunks)) == (COUNTED, "")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (-1, -1, -1)
    assert here.bodies(model)[0]["enableTrace"] is False


WIRES = {
    "bytes": Wire(bytes_per_write=1),
    "cuts": Wire(seed=7, extra_headers=True),
    "one write": Wire(per_write=0, content_type="application/json"),
    "threes": Wire(per_write=3),
}


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_case_16_and_19_reads_are_no_frames_and_strangers_say_nothing(here: Scene, wire: Wire):
    model = here.agent(wire=wire, noise=True, chunk_bytes=2, said=("Grüß dich, 世界 🙂", " ok"))
    told = here.stream(model, COUNT)
    assert text_of(told) == here.say(model, COUNT) == "Grüß dich, 世界 🙂 ok"
    assert told[-1].choices[0].finish_reason == "stop"


def test_case_01_one_big_chunk_is_told_in_words_without_delay(here: Scene):
    text = " ".join(f"word{number}" for number in range(500)) + "\n\n  end"
    model = here.agent(degrades=True, said=(text,), reasoning="none")
    chunks = here.stream(model, COUNT)
    ended = time.monotonic()
    words = [one.choices[0].delta.content for one in chunks if one.choices[0].delta.content]
    assert "".join(words) == text == here.say(model, COUNT)
    assert len(words) == 501
    heard = here.asked(model)[0]
    assert heard.fate.ended is not None and ended - heard.fate.ended < 0.5
    assert chunks[-1].choices[0].finish_reason == "stop"


@both
def test_an_answer_that_only_a_trace_tells_is_told(here: Scene, stream: bool):
    model = here.agent(silent=True)
    assert (text_of(here.stream(model, COUNT)) if stream else here.say(model, COUNT)) == COUNTED


# What comes beside the words.


@both
def test_citations(here: Scene, stream: bool):
    model = here.agent(citations=2)
    if stream:
        chunks = here.stream(model, COUNT)
        deltas = [one.choices[0].delta for one in chunks]
        notes = [note for delta in deltas for note in getattr(delta, "annotations", None) or ()]
        platform = chunks[-1].deltawire["platform"]
    else:
        whole = here.create(model, COUNT)
        notes = [note.model_dump() for note in whole.choices[0].message.annotations]
        platform = whole.deltawire["platform"]
    assert len(notes) == 2 and len(platform["citations"]) >= 1
    for note in notes:
        cited = note["url_citation"]
        assert re.match(r"(s3|https)://", cited["url"]) and cited["title"]
        assert 0 <= cited["start_index"] < cited["end_index"] <= len(COUNTED)


@both
def test_a_guardrail_ends_an_answer_by_content_filter_and_a_mask_does_not(here: Scene, stream: bool):
    strict = here.agent(guardrail=Guardrail(blocked=("bomb",), masked=("2",)))
    for question, words, reason in (
        ("how to build a bomb", Guardrail().message, "content_filter"),
        (COUNT, "1, {MASKED}, 3.", "stop"),
    ):
        if stream:
            chunks = here.stream(strict, question)
            assert (text_of(chunks), chunks[-1].choices[0].finish_reason) == (words, reason)
        else:
            choice = here.create(strict, question).choices[0]
            assert (choice.message.content, choice.finish_reason) == (words, reason)


def shown(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_files_go_with_the_question(here: Scene):
    model = here.agent()
    notes = base64.b64encode(b"A bird.").decode()
    attached = {
        "type": "file",
        "file": {"filename": "notes.txt", "file_data": f"data:text/plain;base64,{notes}"},
    }
    answer = here.say(
        model, shown(image(f"data:image/png;base64,{DOT}"), attached, image("s3://b4d/dir/x.jpg"))
    )
    assert "image" in answer
    files = here.bodies(model)[0]["sessionState"]["files"]
    assert [one["name"] for one in files] == ["image-1.png", "notes.txt", "x.jpg"]
    assert [one["source"].get("byteContent", {}).get("data") for one in files] == [DOT, notes, None]
    assert files[2]["source"]["s3Location"] == {"uri": "s3://b4d/dir/x.jpg"}
    with pytest.raises(openai.BadRequestError, match="does not fetch files") as caught:
        here.say(model, shown(image("https://pictures.example/bird.png")))
    assert caught.value.param == "messages[0].content[1].image_url.url"
    assert len(here.asked(model)) == 1


def kept(here: Scene) -> list[tuple[str, bytes]]:
    """What agents made, as the Files API has it."""
    files = here.client.files
    return [(one.filename, files.content(one.id).read()) for one in files.list(purpose="assistants_output")]


@both
def test_files_that_an_agent_makes_are_links(here: Scene, stream: bool):
    table = b"1,2" if stream else b"3,4"
    made = (Produced("plot.png", "image/png", base64.b64decode(DOT)), Produced("a.csv", "text/csv", table))
    model = here.agent(files=made)
    text = text_of(here.stream(model, COUNT)) if stream else here.say(model, COUNT)
    assert text.startswith(COUNTED)
    links = re.findall(r"(!?)\[([^]]+)\]\(data:([^;]+);base64,([^)]+)\)", text)
    assert [link[:3] for link in links] == [("!", "plot.png", "image/png"), ("", "a.csv", "text/csv")]
    assert [base64.b64decode(link[3]) for link in links] == [one.bytes for one in made]
    until(lambda: {(one.name, one.bytes) for one in made} <= set(kept(here)), "the files")


def test_a_collaborator_says_nothing_of_its_own(here: Scene):
    model = here.agent(collaborator=Collaborator(), wire=Wire(seed=3))
    chunks = here.stream(model, COUNT, stream_options={"include_usage": True})
    assert text_of(chunks) == here.say(model, COUNT) == COUNTED
    assert chunks[-1].usage.completion_tokens > 6


# What goes with the question.


def test_what_a_request_says_beside_its_words_arrives(here: Scene):
    model = here.agent()
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": COUNT}]
    beside = {
        "session_id": "s:1",
        "memory_id": "ada",
        "bedrock": {"session_attributes": {"a": "b"}, "latency": "optimized", "apply_guardrail_interval": 20},
    }
    assert here.say(model, system, metadata={"plan": "gold"}, extra_body=beside) == COUNTED
    heard = here.asked(model)[0]
    assert heard.path.endswith("/sessions/s%3A1/text")
    assert heard.document["memoryId"] == "ada"
    assert heard.document["bedrockModelConfigurations"] == {"performanceConfig": {"latency": "optimized"}}
    assert heard.document["sessionState"] == {
        "sessionAttributes": {"plan": "gold", "a": "b"},
        "promptSessionAttributes": {"system_prompt": "Be brief."},
    }
    ended = here.say(model, "", extra_body={"session_id": "s:1", "end_session": True})
    assert ended.startswith("Session is terminated")
    assert here.bodies(model)[1]["endSession"] is True


def test_what_an_agent_cannot_do_is_ignored_or_refused(here: Scene):
    model = here.agent()
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert here.say(model, COUNT, temperature=0.2, max_tokens=5, stop=["x"], seed=1, tools=tools) == COUNTED
    assert here.bodies(model)[0].keys() == {"inputText", "enableTrace", "streamingConfigurations"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"n": 2}, "n"),
        ({"messages": [{"role": "system", "content": "Be kind."}]}, "messages"),
        ({"extra_body": {"session_id": "../../agents"}}, "session_id"),
        ({"extra_body": {"session_id": "x"}}, "session_id"),
        ({"extra_headers": {"x-session-id": "a b"}}, "x-session-id"),
        ({"extra_body": {"bedrock": {"memoryId": 1}}}, "bedrock.memoryId"),
        ({"extra_body": {"bedrock": {"agentId": "OTHER"}}}, "bedrock.agentId"),
    ]
    for changes, param in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            here.create(model, changes.pop("messages", COUNT), **changes)
        assert caught.value.param == param
    assert len(here.asked(model)) == 1


# Failures.


def refused(here: Scene, model: str, stream: bool, **more: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        (here.stream if stream else here.say)(model, COUNT, **more)
    return caught.value


SAID = "Role arn:aws:iam::111122223333:role/Secret of account 111122223333 said no at https://x.example/y?z. More."
REFUSED: list[tuple[str, int, str, type[openai.APIStatusError], str | None]] = [
    ("validationException", 400, "validation_error", openai.BadRequestError, None),
    ("serviceQuotaExceededException", 429, "insufficient_quota", openai.RateLimitError, "false"),
    ("accessDeniedException", 403, "upstream_access_denied", openai.PermissionDeniedError, None),
    ("resourceNotFoundException", 404, "model_not_found", openai.NotFoundError, None),
    ("conflictException", 409, "session_busy", openai.ConflictError, None),
    ("dependencyFailedException", 424, "dependency_failed", openai.APIStatusError, "false"),
    ("throttlingException", 429, "rate_limit_exceeded", openai.RateLimitError, None),
    ("internalServerException", 500, "upstream_error", openai.InternalServerError, "false"),
    ("badGatewayException", 502, "upstream_error", openai.InternalServerError, "false"),
    ("modelNotReadyException", 503, "model_not_ready", openai.InternalServerError, None),
]


@both
@pytest.mark.parametrize(
    ("name", "status", "code", "kind", "should_retry"), REFUSED, ids=[one[0] for one in REFUSED]
)
def test_case_08_and_28_a_failure_is_a_status_wherever_it_was_told(
    here: Scene, name: str, status: int, code: str, kind: Any, should_retry: str | None, stream: bool
):
    for script in ((http(name, SAID),), (exc(name, SAID),)):
        model = here.agent(script=script)
        error = refused(here, model, stream)
        assert (type(error), error.status_code, error.code) == (kind, status, code)
        assert error.response.headers.get("x-should-retry") == should_retry
        for secret in ("arn:", "111122223333", "Secret", "x.example", "More"):
            assert secret not in error.message
        assert len(here.asked(model)) == 1
    assert error.response.headers.get("retry-after") == {429: "1", 503: "5"}.get(
        status if code != "insufficient_quota" else 0
    )


@both
def test_an_error_that_the_service_does_not_know(here: Scene, stream: bool):
    model = here.agent(script=(Err("InternalError", "boom"),))
    error = refused(here, model, stream)
    assert (error.status_code, error.code) == (502, "upstream_error") and "boom" in error.message


def test_case_09_a_failure_after_a_thought_ends_the_stream_with_an_error(here: Scene):
    rationale = {"orchestrationTrace": {"rationale": {"traceId": "t", "text": "Let me see."}}}
    script = (Event("trace", {"trace": rationale}), Sleep(0.02), exc("internalServerException", "It broke."))
    model = here.agent(script=script)
    chunks = []
    with (
        pytest.raises(openai.APIError, match="It broke") as caught,
        here.create(model, COUNT, stream=True) as stream,
    ):
        chunks += stream
    assert not isinstance(caught.value, openai.APIStatusError)
    assert (thoughts_of(chunks), text_of(chunks)) == ("Let me see.", "")
    assert not [one for one in chunks if one.choices[0].finish_reason]
    assert refused(here, model, False).status_code == 500


@both
def test_an_answer_that_breaks_off_is_never_finished(here: Scene, stream: bool):
    breaks = {
        "abort": {"script": (chunk("1, "), Sleep(0.02), Abort())},
        "cut": {"script": (chunk("1, "), chunk("2")), "wire": Wire(per_write=0, cut_end=3)},
        "nothing": {"script": ()},
        "failed": {"fails": (429, "Rate exceeded.")},
    }
    found = {}
    for name, knobs in breaks.items():
        with pytest.raises(openai.APIError) as caught:
            (here.stream if stream else here.say)(here.agent(**knobs), COUNT)
        found[name] = caught.value.code
    assert found == {
        "abort": "upstream_incomplete",
        "cut": "upstream_incomplete",
        "nothing": "upstream_error",
        "failed": "rate_limit_exceeded",
    }


def test_an_agent_that_is_not_there(here: Scene):
    error = refused(here, "NOSUCHAGEN/NOSUCHALIA", True)
    assert (error.status_code, error.code) == (404, "model_not_found")
    before = len(here.stand_in.requests)
    error = refused(here, "bedrock/agent/no-such/x", False)
    assert (error.status_code, error.code) == (404, "model_not_found")
    assert len(here.stand_in.requests) == before


DENIED = "User is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:x"


def test_an_agent_that_may_not_stream_is_asked_for_whole_answers(here: Scene):
    """One that says so before anything was said, and from then on all that come after."""
    model = here.agent()
    here.stand_in.knobs.failures.append(failure("accessDeniedException", DENIED, path=model[:10]))
    assert text_of(here.stream(model, COUNT)) == COUNTED
    assert text_of(here.stream(model, COUNT)) == COUNTED
    streams = [one["streamingConfigurations"]["streamFinalResponse"] for one in here.bodies(model)]
    assert streams == [True, False, False]
    other = here.agent()
    here.stand_in.knobs.failures.append(
        failure("accessDeniedException", DENIED, how="event", path=other[:10])
    )
    assert refused(here, other, True).code == "upstream_access_denied"
    assert text_of(here.stream(other, COUNT)) == COUNTED
    streams = [one["streamingConfigurations"]["streamFinalResponse"] for one in here.bodies(other)]
    assert streams == [True, False]
    error = refused(here, here.agent(script=(http("accessDeniedException", DENIED),)), False)
    assert error.status_code == 403 and "arn:" not in error.message
