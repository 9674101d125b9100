"""What the Python SDK raises: each failure, before and after the first token, as the right class and fields.

Before the first byte an error is an HTTP status, after it one frame. Either way the SDK must raise, with a code
that says whose fault it was, and nothing may look like a finished answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from attrs import frozen

from proxy.config import Auth, Secret
from proxy.simulators.openai import Failure, StreamError
from proxy.simulators.script import (
    Abort,
    Close,
    Hang,
    ScriptServer,
    Send,
    Step,
    Wait,
    chunk,
    event_stream_head,
    frame,
    last_chunk,
    reply,
)
from tests.e2e.sdk_setup import BACKENDS, COUNTING, Serve, asking, async_sdk, scripted, sdk, started, talking
from tests.support.gateway import builtin_upstream

pytestmark = pytest.mark.two_ways

OPENAI = BACKENDS[1]


def ask(client: openai.OpenAI, model: str = "m", **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": COUNTING, **more})


def read(client: openai.OpenAI, **more: Any) -> str:
    """The text of a stream; what was heard before it broke is in the exception's ``heard``."""
    heard = ""
    try:
        with ask(client, stream=True, **more) as stream:
            for piece in stream:
                heard += piece.choices[0].delta.content or "" if piece.choices else ""
    except openai.APIError as error:
        error.heard = heard  # type: ignore[attr-defined]
        raise
    return heard


# The client's own mistakes.


@frozen
class Mistake:
    name: str
    body: dict[str, Any]
    param: str | None
    code: str | None


MISTAKES = (
    Mistake("no messages", {"messages": []}, "messages", "empty_array"),
    Mistake("messages as text", {"messages": "hi"}, "messages", "invalid_type"),
    Mistake(
        "unknown role", {"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "invalid_value"
    ),
    Mistake("warm", {"temperature": "warm"}, "temperature", "invalid_type"),
    Mistake("hot", {"temperature": 3}, "temperature", "decimal_above_max_value"),
    Mistake("no choices", {"n": 0}, "n", "integer_below_min_value"),
    Mistake("no name", {"model": ""}, "model", "missing_required_parameter"),
    Mistake("tools as text", {"tools": "hammer"}, "tools", "invalid_type"),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_a_mistake_is_a_bad_request_that_names_the_parameter(serve: Serve, mistake: Mistake, stream: bool):
    with talking(serve, BACKENDS[0]) as client, pytest.raises(openai.BadRequestError) as caught:
        ask(client, stream=stream, **mistake.body)
    error = caught.value
    assert (error.status_code, error.type) == (400, "invalid_request_error")
    assert (error.param, error.code) == (mistake.param, mistake.code)
    assert error.request_id is not None and error.request_id.startswith("req_")
    assert isinstance(error.body, dict) and error.body["message"]


def test_a_key_is_needed_where_there_are_keys(serve: Serve):
    url = serve(builtin_upstream(), auth=Auth(api_keys=(Secret("right"), Secret("other")))).url + "/v1"
    for key in ("wrong", "righ", "rightt"):
        with sdk(url, api_key=key) as client:
            for call in (lambda: ask(client, "demo"), lambda: list(client.models.list())):
                with pytest.raises(openai.AuthenticationError) as caught:
                    call()
                error = caught.value
                assert (error.status_code, error.code, error.type) == (
                    401,
                    "invalid_api_key",
                    "authentication_error",
                )
                assert error.request_id is not None and key not in error.message
    for key in ("right", "other"):
        with sdk(url, api_key=key) as client:
            assert ask(client, "demo").choices[0].finish_reason == "stop"


def test_an_unknown_model_is_not_found(serve: Serve):
    url = serve(builtin_upstream(), default_upstream=None).url + "/v1"
    with sdk(url) as client:
        for call in (lambda: ask(client, "ghost"), lambda: client.models.retrieve("ghost/of:a-model")):
            with pytest.raises(openai.NotFoundError) as caught:
                call()
            assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
            assert "ghost" in caught.value.message
        with pytest.raises(openai.NotFoundError) as caught:
            client.moderations.create(input="x")
        assert caught.value.code == "unknown_url"


def test_a_request_that_is_too_large(serve: Serve):
    url = serve(builtin_upstream(), limits={"max_body": 2000}).url + "/v1"
    with sdk(url) as client, pytest.raises(openai.APIStatusError) as caught:
        ask(client, "demo", messages=asking("x" * 5000))
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


# The upstream says no.


@frozen
class Refusal:
    failure: Failure
    raises: type[openai.APIStatusError]
    code: str | None
    should_retry: str | None = None


REFUSALS = {
    "bad request": Refusal(
        Failure(400, "Too long.", "invalid_request_error", "context_length_exceeded"),
        openai.BadRequestError,
        "context_length_exceeded",
    ),
    "our key refused": Refusal(
        Failure(401, "Incorrect API key provided: upstream-key."),
        openai.InternalServerError,
        "upstream_auth_failed",
        "false",
    ),
    "forbidden": Refusal(Failure(403, "No."), openai.InternalServerError, "upstream_auth_failed", "false"),
    "no such model": Refusal(
        Failure(404, "No model.", "invalid_request_error", "model_not_found"),
        openai.NotFoundError,
        "model_not_found",
    ),
    "too fast": Refusal(
        Failure(429, "Slow down.", "requests", retry_after="7"), openai.RateLimitError, "rate_limit_exceeded"
    ),
    "no money": Refusal(
        Failure(429, "Pay.", "insufficient_quota", "insufficient_quota"),
        openai.RateLimitError,
        "insufficient_quota",
        "false",
    ),
    "broken": Refusal(Failure(500), openai.InternalServerError, "upstream_error"),
    "busy": Refusal(Failure(503), openai.InternalServerError, "upstream_overloaded"),
    "late": Refusal(Failure(504), openai.InternalServerError, "upstream_timeout", "false"),
    "a page": Refusal(
        Failure(500, body=b"<html><h1>nginx</h1></html>", content_type="text/html"),
        openai.InternalServerError,
        "upstream_error",
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_of_the_upstream_keeps_its_meaning(serve: Serve, refusal: Refusal, stream: bool):
    with started(serve, OPENAI, retries=0) as (url, stand_in), sdk(url) as client:
        assert stand_in is not None
        stand_in.knobs.failures.append(refusal.failure)
        with pytest.raises(refusal.raises) as caught:
            ask(client, OPENAI.model, stream=stream)
        error = caught.value
        assert error.code == refusal.code
        assert error.response.headers.get("x-should-retry") == refusal.should_retry
        assert error.response.headers.get("retry-after") == refusal.failure.retry_after
        assert "upstream-key" not in str(error) and "127.0.0.1" not in str(error)
        assert ask(client, OPENAI.model).choices[0].finish_reason == "stop", "and then all is well again"


@pytest.mark.parametrize(
    ("status", "requests"),
    [(503, 2), (500, 2), (504, 1), (401, 1)],
    ids=["busy", "broken", "late", "our key"],
)
def test_the_sdk_asks_again_only_where_it_makes_sense(serve: Serve, status: int, requests: int):
    with started(serve, OPENAI, retries=0) as (url, stand_in), sdk(url, max_retries=1) as client:
        assert stand_in is not None
        stand_in.knobs.failures.extend([Failure(status)] * 4)
        with pytest.raises(openai.InternalServerError):
            ask(client, OPENAI.model)
        assert len(stand_in.requests) == requests


def test_the_gateway_itself_asks_again_before_anything_was_said(serve: Serve):
    with started(serve, OPENAI) as (url, stand_in), sdk(url) as client:
        assert stand_in is not None
        stand_in.knobs.failures.append(Failure(503))
        assert ask(client, OPENAI.model).choices[0].finish_reason == "stop"
        assert len(stand_in.requests) == 2
        stand_in.knobs.failures.append(Failure(503, retry_after="60"))
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, OPENAI.model)
        assert caught.value.response.headers["retry-after"] == "60"
        assert len(stand_in.requests) == 3, "a long wait is the client's to decide"


def test_an_upstream_that_is_not_there(serve: Serve):
    with scripted(serve, ScriptServer) as (gateway, upstream):
        pass  # its port is closed again
    gateway = serve(*gateway.serving.config.upstreams.values())
    with sdk(gateway.url + "/v1") as client, pytest.raises(openai.InternalServerError) as caught:
        read(client)
    assert (caught.value.status_code, caught.value.code) == (503, "upstream_unreachable")
    assert upstream.url.rpartition(":")[2] not in str(caught.value)


def test_a_gateway_that_is_not_there():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with sdk(f"http://127.0.0.1:{port}/v1") as client, pytest.raises(openai.APIConnectionError) as caught:
        ask(client)
    assert not isinstance(caught.value, openai.APITimeoutError)


# The answer breaks.


def said(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return frame(json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode())


def streaming(*steps: Step) -> Sequence[Step]:
    """Two words, read by the time something else happens: before that, an error would be a status."""
    words = [Send(chunk(said("one "))), Send(chunk(said("two ")))]
    return [Send(event_stream_head()), *words, Wait(0.2), *steps]


BREAKS = {
    "reset": (streaming(Abort()), "upstream_incomplete"),
    "cut": (streaming(Close()), "upstream_incomplete"),
    "no ending": (streaming(Send(last_chunk())), "upstream_incomplete"),
    "half an event": (
        streaming(Send(chunk(b'data: {"choices":[{"ind')), Send(last_chunk())),
        "upstream_incomplete",
    ),
    "not JSON": (streaming(Send(chunk(b"data: <html>\n\n")), Hang()), "bad_upstream_response"),
    "an error": (
        streaming(Send(chunk(frame(b'{"error":{"message":"GPU fell off","type":"server_error"}}'))), Hang()),
        "upstream_error",
    ),
    "silence": (streaming(Hang()), "upstream_timeout"),
}


@pytest.mark.parametrize(("steps", "code"), BREAKS.values(), ids=BREAKS.keys())
def test_a_stream_that_breaks_raises_after_what_was_said(serve: Serve, steps: Sequence[Step], code: str):
    with (
        scripted(serve, lambda: ScriptServer(steps), idle_timeout=0.4) as (gateway, _),
        sdk(gateway.url + "/v1") as client,
    ):
        with pytest.raises(openai.APIError) as caught:
            read(client)
        assert caught.value.heard == "one two "  # type: ignore[attr-defined]
        with (
            pytest.raises(openai.APIError) as by_helper,
            client.chat.completions.stream(model="m", messages=COUNTING) as stream,
        ):
            stream.until_done()
        gateway.until_idle()
    for error in (caught.value, by_helper.value):
        assert not isinstance(error, (openai.APIStatusError, openai.APIConnectionError))
        assert (error.code, error.type) == (code, "server_error")


@pytest.mark.parametrize(("steps", "code"), BREAKS.values(), ids=BREAKS.keys())
def test_a_whole_answer_that_breaks_is_an_http_error(serve: Serve, steps: Sequence[Step], code: str):
    with (
        scripted(serve, lambda: ScriptServer(steps), idle_timeout=0.4) as (gateway, _),
        sdk(gateway.url + "/v1") as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        ask(client)
    assert caught.value.code == code


def test_an_error_before_the_first_word_is_a_status_although_the_upstream_said_200(serve: Serve):
    with started(serve, OPENAI) as (url, stand_in), sdk(url) as client:
        assert stand_in is not None
        stand_in.knobs.stream_error = StreamError(0)
        with pytest.raises(openai.InternalServerError) as caught:
            read(client, model=OPENAI.model)
        assert caught.value.code == "upstream_error"
        stand_in.knobs.stream_error = StreamError(4)
        stand_in.knobs.delay = 0.02
        with pytest.raises(openai.APIError) as midway:
            read(client, model=OPENAI.model)
    assert not isinstance(midway.value, openai.APIStatusError)
    assert midway.value.heard  # type: ignore[attr-defined]


def test_a_page_instead_of_an_answer(serve: Serve):
    page = [Send(reply(200, b"<html>Sign in to the hotel network</html>", content_type="text/html"))]
    with scripted(serve, lambda: ScriptServer(page)) as (gateway, _), sdk(gateway.url + "/v1") as client:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                ask(client, stream=stream)
            assert caught.value.code == "bad_upstream_response"


# The client leaves.


def test_closing_a_stream_early_closes_the_upstream(serve: Serve):
    endless = [Send(event_stream_head()), *[Send(chunk(said(f"{n} "))) for n in range(50)], Hang()]
    with (
        scripted(serve, lambda: ScriptServer(endless)) as (gateway, upstream),
        sdk(gateway.url + "/v1") as client,
    ):
        with ask(client, stream=True) as stream:
            for piece in stream:
                if piece.choices[0].delta.content == "7 ":
                    break
        gateway.until_idle()
        assert _left(upstream)
        with client.chat.completions.stream(model="m", messages=COUNTING) as helper:
            next(iter(helper))
        gateway.until_idle()
        assert len(upstream.requests) == 2 and _left(upstream)


async def test_cancelling_the_task_that_reads_closes_the_upstream(serve: Serve):
    import asyncio

    with scripted(serve, lambda: ScriptServer(streaming(Hang()))) as (gateway, upstream):
        async with async_sdk(gateway.url + "/v1") as client:
            reading = asyncio.Event()

            async def listen() -> None:
                stream = await client.chat.completions.create(model="m", messages=COUNTING, stream=True)
                async for _ in stream:
                    reading.set()

            task = asyncio.create_task(listen())
            await asyncio.wait_for(reading.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(gateway.until_idle)
            assert await asyncio.to_thread(_left, upstream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_client_that_loses_patience_frees_the_upstream(serve: Serve, stream: bool):
    with (
        scripted(serve, lambda: ScriptServer([Hang()])) as (gateway, upstream),
        sdk(gateway.url + "/v1", timeout=0.4) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            ask(client, stream=stream)
        gateway.until_idle()
        assert _left(upstream)


def test_keep_alive_comments_keep_a_patient_client(serve: Serve):
    silence = [*streaming(), Hang()]
    with (
        scripted(serve, lambda: ScriptServer(silence), idle_timeout=1.5, limits={"keepalive": 0.2}) as (
            gateway,
            _,
        ),
        sdk(gateway.url + "/v1", timeout=0.7) as client,
        pytest.raises(openai.APIError) as caught,
    ):
        read(client)
    assert caught.value.code == "upstream_timeout", "comments kept the read timeout of the client away"


def _left(upstream: ScriptServer, seconds: float = 2.0) -> bool:
    """Whether the gateway has left every connection it had to this upstream, or does so soon."""
    until = time.monotonic() + seconds
    while upstream.open_connections and time.monotonic() < until:
        time.sleep(0.005)
    return not upstream.open_connections
