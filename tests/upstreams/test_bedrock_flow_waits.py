"""An execution that waits for an answer: how the next message finds it, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import Platform, assistant, user
from tests.upstreams.bedrock_sisters import (
    EXECUTION,
    asks,
    ends,
    flow,
    frames_of,
    input_of,
    output,
    refused,
    streamed,
    whole,
)
from translators.errors import RateLimited, UpstreamRejected
from translators.upstreams.bedrock_flow import BedrockFlow

TURNS = [user("A list, please"), assistant("How many songs?"), user("Five")]
SECOND = {"nodeName": "Helper", "nodeInputName": "agentInputText"}
SESSION = {"session_id": "s:1"}
HEAD = {"x-amz-bedrock-flow-execution-id": EXECUTION}
GONE = {"x-amzn-ErrorType": "ValidationException:http://x"}


def asked(
    body: dict[str, Any] | None = None, platform: Platform | None = None, **options: Any
) -> dict[str, Any]:
    return (platform or Platform()).ask(flow(body, **options))


def turn(
    platform: Platform, upstream: BedrockFlow, *frames: tuple[str, Any], ends: bool = True
) -> dict[str, Any]:
    """Ask, hear these events and settle; the body of the question."""
    body = platform.ask(upstream)
    upstream.asked()
    upstream.answered(HEAD)
    stream = streamed(upstream) if upstream.prompt.stream else whole(upstream)
    stream.feed(frames_of(*frames))
    if ends:
        stream.close()
    platform.carry_out(upstream.settle())
    return body


def waiting(**options: Any) -> Platform:
    """A platform at which the first turn of ``TURNS`` ended with a question."""
    platform = Platform()
    body = turn(
        platform, flow({"messages": TURNS[:1], **options}), asks("How many songs?"), ends("INPUT_REQUIRED")
    )
    assert "executionId" not in body
    return platform


def test_the_next_message_goes_to_the_node_that_asked() -> None:
    for settings in ({}, {"history": "session"}, {"system": "prepend"}):
        platform = waiting()
        body = asked({"messages": TURNS}, platform, **settings)
        assert body["executionId"] == EXECUTION
        assert input_of(body) == (SECOND, "Five")
        assert "executionId" not in asked({"messages": TURNS}, platform, **settings)  # a key is for one use


def test_an_edited_turn_begins_anew() -> None:
    platform = waiting()
    assert "executionId" not in asked({"messages": [user("B"), *TURNS[1:]]}, platform)
    assert "executionId" not in asked({"messages": TURNS, "user": "bob"}, platform)
    assert "executionId" not in asked({"messages": TURNS}, platform, flow_alias="OTHERALIAS")
    assert asked({"messages": TURNS}, platform)["executionId"] == EXECUTION


def test_histories_that_do_not_go_on() -> None:
    for history in ("replay", "flatten"):
        assert "executionId" not in asked({"messages": TURNS}, waiting(), history=history)


def test_an_answer_in_the_whole_form_waits_as_well() -> None:
    assert asked({"messages": TURNS}, waiting(stream=False))["executionId"] == EXECUTION
    assert asked({"messages": TURNS}, waiting(stream=True))["executionId"] == EXECUTION


def test_a_named_session_goes_on_without_any_history() -> None:
    platform = waiting(**SESSION)
    answer = {"messages": TURNS[2:]}
    assert "executionId" not in asked({"messages": TURNS}, platform)
    assert "executionId" not in asked({**answer, "session_id": "s:2"}, platform)
    body = asked({**answer, **SESSION}, platform)
    assert (body["executionId"], input_of(body)) == (EXECUTION, (SECOND, "Five"))
    assert "executionId" not in asked({**answer, **SESSION}, platform)


def test_the_execution_is_told_as_the_session_and_found_by_it() -> None:
    upstream = flow({"messages": TURNS[:1]})
    platform = Platform()
    turn(platform, upstream, asks("How many songs?"), ends("INPUT_REQUIRED"))
    assert upstream.headers == {"x-session-id": EXECUTION, "x-conversation-id": EXECUTION}
    body = asked({"messages": TURNS[2:], "session_id": upstream.headers["x-session-id"]}, platform)
    assert body["executionId"] == EXECUTION


def test_a_named_session_is_told_by_its_own_name() -> None:
    upstream = flow(SESSION)
    turn(Platform(), upstream, output("Hi."), ends())
    assert upstream.headers["x-session-id"] == "s:1"


def test_a_strange_execution_is_not_told() -> None:
    upstream = flow()
    upstream.answered({"x-amz-bedrock-flow-execution-id": "a\r\nb"})
    assert upstream.headers == {}


@pytest.mark.parametrize(
    "frames",
    [
        [output("Hi."), ends()],
        [output("Hi."), ends("INPUT_REQUIRED")],
        [asks("What?", "No node!"), ends("INPUT_REQUIRED")],
        [asks("What?"), ends()],
        [asks("What?")],
        [("flowMultiTurnInputRequestEvent", {"content": {"document": "What?"}}), ends("INPUT_REQUIRED")],
    ],
)
def test_nothing_is_remembered_of_a_flow_that_does_not_wait(frames: list[tuple[str, Any]]) -> None:
    platform = Platform()
    turn(platform, flow(), *frames)
    assert platform.memory == {}


def test_how_long_an_execution_is_remembered() -> None:
    platform = Platform()
    frames = asks("How many?"), ends("INPUT_REQUIRED")
    turn(platform, flow({"messages": TURNS[:1]}, session_ttl=1000), *frames)
    assert set(platform.seconds.values()) == {900.0}
    assert len(platform.memory) == 2


def test_an_answer_too_long_to_keep_is_found_by_its_name_only() -> None:
    platform = Platform()
    upstream = flow({"messages": TURNS[:1]})
    upstream._told._room = 3
    turn(platform, upstream, asks("How many?"), ends("INPUT_REQUIRED"))
    assert list(platform.memory) == [f"waiting:flow/FLOW000001/FLOWALIAS1/{EXECUTION}"]


def test_what_is_remembered_is_an_execution_or_nothing() -> None:
    for odd in (
        "e1",
        {},
        {"execution": "e 1", "node": "A"},
        {"execution": "e1", "node": "a/b"},
        {"execution": 7},
        7,
    ):
        platform = waiting()
        platform.memory = dict.fromkeys(platform.memory, odd)
        assert "executionId" not in asked({"messages": TURNS}, platform)


def test_settling_what_was_never_asked() -> None:
    upstream = flow({"n": 2})
    assert refused(upstream)
    assert upstream.settle() is None


# Refusals.


def going_on(platform: Platform) -> BedrockFlow:
    upstream = flow({"messages": TURNS})
    assert platform.ask(upstream)["executionId"] == EXECUTION
    return upstream


def test_an_execution_that_is_gone_begins_anew() -> None:
    platform = waiting()
    upstream = going_on(platform)
    upstream.answered(GONE)
    error = upstream.reject(400, b'{"message":"No such execution."}', None)
    assert isinstance(error, UpstreamRejected)
    assert upstream.reconsider(error)
    call = upstream.call()
    assert b"executionId" not in call.body
    assert b'"document":"Five"' in call.body
    assert not upstream.reconsider(upstream.reject(400, b'{"message":"No."}', None))
    platform.carry_out(upstream.settle())


def test_a_named_execution_that_is_gone_is_the_clients_affair() -> None:
    upstream = flow({"bedrock": {"executionId": "e1", "nodeName": "Helper"}})
    Platform().ask(upstream)
    upstream.answered(GONE)
    assert not upstream.reconsider(upstream.reject(400, b'{"message":"No such execution."}', None))


def test_credentials_that_ran_out_are_worth_one_more_question() -> None:
    upstream = flow()
    upstream.prepare()
    first = upstream.call()
    upstream.answered({"x-amzn-ErrorType": "ExpiredTokenException"})
    error = upstream.reject(403, b'{"message":"expired"}', None)
    assert error.code == "upstream_auth_failed"
    assert upstream.reconsider(error)
    assert upstream.call() == first
    assert not upstream.reconsider(upstream.reject(403, b'{"message":"expired"}', None))
    upstream = flow()
    upstream.prepare()
    upstream.answered({"x-amzn-ErrorType": "AccessDeniedException"})
    assert not upstream.reconsider(upstream.reject(403, b'{"message":"no"}', None))


def test_a_turn_that_came_too_soon_may_be_tried_again_in_its_place() -> None:
    platform = waiting()
    upstream = going_on(platform)
    upstream.answered({"x-amzn-ErrorType": "ThrottlingException"})
    assert isinstance(upstream.reject(429, b'{"message":"slow down"}', 7.0), RateLimited)
    platform.carry_out(upstream.settle())
    upstream = going_on(platform)
    upstream.asked()
    stream = streamed(upstream)
    stream.feed(aws_frames.exception("throttlingException", b'{"message":"slow down"}'))
    platform.carry_out(upstream.settle())
    going_on(platform)


def test_an_execution_that_failed_does_not_wait_any_more() -> None:
    platform = waiting()
    upstream = going_on(platform)
    upstream.asked()
    stream = streamed(upstream)
    stream.feed(aws_frames.exception("dependencyFailedException", b'{"message":"boom"}'))
    platform.carry_out(upstream.settle())
    assert "executionId" not in asked({"messages": TURNS}, platform)


def test_a_turn_that_broke_off_may_not_be_tried_in_its_place() -> None:
    for frames in ([output("So")], []):
        platform = waiting()
        turn(platform, flow({"messages": TURNS}), *frames)
        assert "executionId" not in asked({"messages": TURNS}, platform)
