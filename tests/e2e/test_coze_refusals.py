"""What Coze refuses becomes the typed exception of the official SDK, wherever in its answer Coze says no."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.simulators.coze_knobs import Break, Failure
from tests.e2e.coze_scene import BLUE_JAY, CANCEL, CHAT, DEMO_BOT, DEMO_TOKEN, Scene, new_id, scene
from tests.e2e.sdk_setup import asking
from tests.support.loglines import LogLines

pytestmark = pytest.mark.two_ways

HI = asking("Hi.")
each_way = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as running:
        yield running


def refusal(here: Scene, model: str = "gpt-4o", **more: Any) -> openai.APIStatusError:
    """The exception that the question ends with; what the platform was told to do wrong it has done."""
    with pytest.raises(openai.APIStatusError) as raised:
        here.client.chat.completions.create(**{"model": model, "messages": HI, **more})
    assert not here.stand_in.platform.failures
    error = raised.value
    assert error.response.headers["content-type"].startswith("application/json")
    assert DEMO_TOKEN not in error.response.text
    return error


# Instead of a stream: a JSON document, mostly with status 200.

CODES: list[tuple[Failure, type[openai.APIStatusError], int, str, str]] = [
    (Failure(4000, "bad field"), openai.BadRequestError, 400, "invalid_request_error", "invalid_parameter"),
    (Failure(4008, "no credit"), openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota"),
    (Failure(4013, "too fast"), openai.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (Failure(4014, "unsafe"), openai.BadRequestError, 400, "invalid_request_error", "content_filter"),
    (Failure(4016, "busy"), openai.ConflictError, 409, "invalid_request_error", "conversation_busy"),
    (
        Failure(4101, "no permission", 403),
        openai.PermissionDeniedError,
        403,
        "permission_error",
        "permission_denied",
    ),
    (Failure(4200, "none"), openai.NotFoundError, 404, "invalid_request_error", "not_found"),
    (Failure(5000, "broke"), openai.InternalServerError, 502, "server_error", "upstream_error"),
    (Failure(702093018, "plugin"), openai.InternalServerError, 502, "server_error", "upstream_error"),
]


@each_way
@pytest.mark.parametrize(
    ("failure", "kind", "status", "type", "code"), CODES, ids=[str(row[0].code) for row in CODES]
)
def test_a_code_is_a_status(
    here: Scene, failure: Failure, kind: type[Exception], status: int, type: str, code: str, stream: bool
):
    before = len(here.stand_in.heard(CHAT))
    here.stand_in.platform.failures.append(failure)
    error = refusal(here, stream=stream)
    assert isinstance(error, kind)
    assert (error.status_code, error.type, error.code) == (status, type, code)
    assert f"{failure.msg} (coze code {failure.code}, logid " in error.message
    assert len(here.stand_in.heard(CHAT)) == before + 1


def test_who_asks_too_fast_is_told_when_to_come_back(here: Scene):
    here.stand_in.platform.failures.append(Failure(4013, "too fast"))
    assert refusal(here, stream=True).response.headers["retry-after"] == "1"


EMPTY = b'event:error\ndata:{}\n\nevent:done\ndata:"[DONE]"\n\n'
OTHERS = [
    (Failure(status=502, body=b"<html>bad gateway</html>", content_type="text/html"), 502, "upstream_error"),
    (Failure(status=200, body=EMPTY, content_type="text/event-stream"), 502, "upstream_error"),
    (Failure(status=200, body=b"", content_type="text/event-stream"), 502, "upstream_incomplete"),
    (Failure(status=200, body=b"{nonsense", content_type="text/event-stream"), 502, None),
    (
        Failure(status=200, body=b'{"code":4016,"msg":"busy"}', content_type="text/event-stream"),
        409,
        "conversation_busy",
    ),
]


@each_way
@pytest.mark.parametrize(("failure", "status", "code"), OTHERS)
def test_answers_of_other_shapes(here: Scene, failure: Failure, status: int, code: str | None, stream: bool):
    here.stand_in.platform.failures.append(failure)
    error = refusal(here, stream=stream)
    assert (error.status_code, error.code) == (status, code or error.code)


# By the stream's own events, before a word is said: still a status.

FAULTS = [
    (Break(0, "error", 4101, "no permission"), 403, "permission_denied"),
    (Break(2, "error", 4013, "too fast"), 429, "rate_limit_exceeded"),
    (Break(2, "failed", 5000, "event interval error"), 502, "upstream_error"),
    (Break(2, "failed_bare", "4200", "gone"), 404, "not_found"),
    (Break(2, "error_empty"), 502, "upstream_error"),
    (Break(2, "json", 4016, "busy"), 409, "conversation_busy"),
    (Break(2, "end"), 502, "upstream_incomplete"),
]


@each_way
@pytest.mark.parametrize(
    ("fault", "status", "code"), FAULTS, ids=[f"{one[0].how}-{one[2]}" for one in FAULTS]
)
def test_a_run_that_fails_at_once_is_a_status(
    here: Scene, fault: Break, status: int, code: str, stream: bool
):
    bot = here.bot(said=(BLUE_JAY,), fault=fault, delay=0.003)
    error = refusal(here, f"coze/bot/{bot}", stream=stream)
    assert (error.status_code, error.code) == (status, code)


# What is refused without asking anybody.

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"extra_headers": {"x-model-type": "telepathy"}}, "invalid_model_type"),
    ({"extra_headers": {"x-bot-id": "../users/me"}}, "invalid_bot_id"),
    ({"extra_headers": {"x-conversation-id": "7&chat_id=8"}}, "invalid_conversation_id"),
    ({"model": "coze/workflow/7?x"}, "invalid_workflow_id"),
    ({"messages": [*HI, {"role": "assistant", "content": "Hello."}]}, "invalid_last_message"),
    ({"n": 2}, "unsupported_parameter"),
    ({"tool_choice": "required"}, "unsupported_parameter"),
    (
        {"messages": asking([{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}])},
        "invalid_base64",
    ),
]


@pytest.mark.parametrize(("request_", "code"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_wrong_is_said_before_anybody_is_asked(here: Scene, request_: dict[str, Any], code: str):
    before = _asked(here)
    error = refusal(here, **request_)
    assert (error.status_code, error.code) == (400, code)
    assert _asked(here) == before


def _asked(here: Scene) -> int:
    """All that was asked; a run that an earlier test broke off may still be told to stop."""
    return sum(heard.path != CANCEL for heard in here.stand_in.requests)


def test_a_model_without_a_bot_is_refused_by_name():
    with scene(COZE_BOT_ID="", COZE_WORKFLOW_ID="") as bare:
        error = refusal(bare)
        assert isinstance(error, openai.BadRequestError)
        assert (error.code, error.body["message"]) == (
            "missing_bot_id",
            "Bot ID is required for chat completion",
        )
        assert refusal(bare, extra_headers={"x-model-type": "workflow"}).code == "missing_workflow_id"
        assert not bare.stand_in.requests


# What the platform really refuses.


def test_a_conversation_has_one_answer_at_a_time(here: Scene):
    bot = here.bot(said=(("w ",) * 20,), delay=0.02)
    model = f"coze/bot/{bot}"
    create = here.client.chat.completions.with_raw_response.create
    first = create(model=model, messages=HI, stream=True)
    same = {"x-conversation-id": first.headers["x-conversation-id"]}
    error = refusal(here, model, extra_headers=same)
    assert isinstance(error, openai.ConflictError) and error.code == "conversation_busy"
    assert len(here.asked(CHAT, bot_id=bot)) == 2
    with first.parse() as stream:
        assert sum(bool(chunk.choices[0].delta.content) for chunk in stream) == 20


def test_what_does_not_exist(here: Scene):
    for model in (f"coze/bot/{new_id()}", f"coze/workflow/{new_id()}"):
        error = refusal(here, model)
        assert isinstance(error, openai.NotFoundError) and error.code == "not_found"
    unknown = refusal(here, extra_headers={"x-conversation-id": new_id()})
    assert isinstance(unknown, openai.NotFoundError)
    error = refusal(here, f"coze/bot/{here.bot(published=False)}")
    assert (error.status_code, error.code) == (404, "model_not_found")


@each_way
@pytest.mark.parametrize("status", [200, 401])
def test_the_gateways_own_token_is_the_operators_to_mend(status: int, stream: bool):
    with LogLines() as log, scene(COZE_API_KEY="pat_wrong_secret") as wrong:
        wrong.stand_in.platform.auth_status = status
        error = refusal(wrong, stream=stream)
        assert (error.status_code, error.code) == (502, "upstream_auth_failed")
        assert error.response.headers["x-should-retry"] == "false"
        assert len(wrong.stand_in.heard(CHAT)) == 1
    assert log.requests[-1]["error"] == "upstream_auth_failed"
    assert "authentication is invalid" in log.requests[-1]["detail"]
    assert "pat_wrong_secret" not in log.text + json.dumps(error.body)


def test_studio_says_no_in_its_own_way():
    with scene() as studio:
        studio.stand_in.platform.studio = True
        answer = studio.client.chat.completions.create(model=f"coze/bot/{DEMO_BOT}", messages=HI)
        assert answer.choices[0].message.content
        studio.stand_in.bots.clear()
        error = refusal(studio)
        assert (error.status_code, error.code) == (404, "model_not_found")
