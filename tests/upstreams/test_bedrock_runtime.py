"""What a runtime is asked, and in which session."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.bedrock_setup import Platform, assistant, system, user
from tests.upstreams.bedrock_sisters import (
    ARN,
    events_of,
    refused,
    runtime,
    sse,
    streamed,
)
from translators.errors import NotFound
from translators.events import Opened
from translators.upstreams.bedrock_runtime import AgentRuntime
from translators.upstreams.plan import Call, Turn

TURNS = [user("One?"), assistant("First."), user("Two?")]
WRITTEN = "User: One?\n\nAssistant: First.\n\nUser: Two?"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
LONG = "a-session-of-more-than-thirty-two-characters"
QUOTED = ARN.replace(":", "%3A").replace("/", "%2F")


def asked(
    body: dict[str, Any] | None = None, platform: Platform | None = None, **options: Any
) -> tuple[str, dict[str, Any]]:
    """The session, and the payload."""
    call = (platform or Platform()).call(runtime(body, **options))
    return call.headers[SESSION], json.loads(call.body)


def turn(platform: Platform, upstream: AgentRuntime, *documents: Any, ends: bool = True) -> str:
    """Ask, hear these events and settle; the session."""
    call = platform.call(upstream)
    upstream.asked()
    upstream.answered({"Content-Type": "text/event-stream"})
    stream = streamed(upstream)
    stream.feed(sse(*documents))
    if ends:
        stream.close()
    platform.carry_out(upstream.settle())
    return call.headers[SESSION]


def begun(**options: Any) -> tuple[Platform, str]:
    """A platform at which the first turn of ``TURNS`` has taken place, and its session."""
    platform = Platform()
    first = runtime({"messages": TURNS[:1]}, envelope="chatcmpl-0", **options)
    return platform, turn(platform, first, "Fir", "st.")


# The question.


def test_the_call() -> None:
    upstream = runtime()
    assert upstream.prepare() is None
    session = "d2184f13-7a1a-4f62-8fca-0cc1f6a2f0f9"
    call = upstream.call()
    assert call == Call(
        "POST",
        f"runtimes/{QUOTED}/invocations?qualifier=DEFAULT",
        b'{"prompt":"hi"}',
        {SESSION: call.headers[SESSION], "Accept": "text/event-stream, application/json"},
        "bedrock-agentcore",
    )
    assert len(call.headers[SESSION]) == len(session)
    assert upstream.call() == call


def test_the_endpoint_and_the_runtime() -> None:
    assert runtime(qualifier="prod").call().path.endswith("?qualifier=prod")
    assert runtime(runtime="helper-abc").call().path.startswith("runtimes/helper-abc/")
    other = ARN.replace("helper", "other")
    assert "other" in runtime(model=f"bedrock/agentcore/{other}").call().path
    with pytest.raises(NotFound):
        runtime(model="agent/AGENT12345/ALIAS12345").prepare()


@pytest.mark.parametrize("payload", [{"input": {"text": "x"}}, [1], "text", 7, None])
def test_a_client_may_bring_the_payload_itself(payload: Any) -> None:
    assert asked({"messages": [assistant("x")], "bedrock": {"payload": payload}})[1] == payload


@pytest.mark.parametrize(
    ("settings", "payload"),
    [
        ({}, {"prompt": WRITTEN, "system_prompt": "Be brief."}),
        ({"system": "prepend"}, {"prompt": f"Be brief.\n\n{WRITTEN}"}),
        ({"system": "drop"}, {"prompt": WRITTEN}),
        ({"system": "drop", "history": "session"}, {"prompt": "Two?"}),
        ({"system": "prepend", "history": "session"}, {"prompt": "Be brief.\n\nTwo?"}),
        ({"system": "drop", "history": "flatten"}, {"prompt": WRITTEN}),
        (
            {"system": "drop", "history": "replay"},
            {
                "prompt": "Two?",
                "messages": [
                    {"role": "user", "content": "One?"},
                    {"role": "assistant", "content": "First."},
                    {"role": "user", "content": "Two?"},
                ],
            },
        ),
    ],
)
def test_what_a_new_session_is_told(settings: dict[str, Any], payload: dict[str, Any]) -> None:
    assert asked({"messages": [system("Be brief."), *TURNS]}, **settings)[1] == payload


@pytest.mark.parametrize(
    ("settings", "payload"),
    [
        ({}, {"prompt": "Two?", "system_prompt": "Be brief."}),
        ({"system": "prepend"}, {"prompt": "Two?"}),
        ({"system": "prepend", "history": "flatten"}, {"prompt": f"Be brief.\n\n{WRITTEN}"}),
    ],
)
def test_what_a_known_session_is_told(settings: dict[str, Any], payload: dict[str, Any]) -> None:
    messages = [system("Be brief."), *TURNS]
    assert asked({"messages": messages, "session_id": LONG}, **settings)[1] == payload


def test_what_a_runtime_cannot_be_asked() -> None:
    for session in ("x", "a b", "a" * 257, "a/b", 7):
        assert refused(runtime({"session_id": session})).param == "session_id"
    assert refused(runtime({"bedrock": {"document": 1}})).param == "bedrock.document"


# Sessions.


def test_a_long_name_is_taken_as_it_is() -> None:
    assert asked({"session_id": LONG})[0] == LONG
    assert asked({"session_id": "a" * 256})[0] == "a" * 256


def test_a_short_name_is_made_longer_and_stays_its_owners() -> None:
    session, _ = asked({"session_id": "u1"})
    assert session.startswith("u1-")
    assert 33 <= len(session) <= 256
    assert asked({"session_id": "u1"})[0] == session
    assert asked({"session_id": "u1"}, owner="o2")[0] != session
    assert len(asked({"session_id": "a" * 32})[0]) == 73


def test_the_session_is_told_by_the_name_that_the_client_gave() -> None:
    for body, name in (({"session_id": "u1"}, "u1"), ({}, None)):
        upstream = runtime(body)
        call = Platform().call(upstream)
        assert upstream.headers["x-session-id"] == (name or call.headers[SESSION])
        assert upstream.headers["x-conversation-id"] == upstream.headers["x-session-id"]
        upstream.answered({"Content-Type": "application/json"})
        assert events_of(upstream, [b'"x"'])[0] == Opened(conversation=upstream.headers["x-session-id"])


def test_one_turn_at_a_time_where_the_session_is_named() -> None:
    upstream = runtime({"session_id": "u1"}, session_wait=3.0)
    upstream.prepare()
    assert upstream.turn == Turn(f"runtime/{ARN}/u1", 3.0, "session_id")
    upstream = runtime()
    upstream.prepare()
    assert upstream.turn is None


def test_the_second_turn_goes_on() -> None:
    platform, session = begun()
    assert asked({"messages": TURNS}, platform) == (session, {"prompt": "Two?"})
    _, payload = asked({"messages": TURNS}, platform)
    assert payload == {"prompt": WRITTEN}


def test_edited_turns_and_other_users_begin_anew() -> None:
    platform, session = begun()
    assert asked({"messages": [user("Uno?"), *TURNS[1:]]}, platform)[1]["prompt"].startswith("User: Uno?")
    assert asked({"messages": TURNS, "user": "bob"}, platform)[1] == {"prompt": WRITTEN}
    assert asked({"messages": TURNS}, platform, runtime="other-runtime")[1] == {"prompt": WRITTEN}
    assert asked({"messages": TURNS}, platform)[0] == session


def test_how_long_a_session_is_remembered() -> None:
    platform, _ = begun(session_ttl=900)
    assert set(platform.seconds.values()) == {810.0}
    platform, _ = begun(history="replay")
    assert platform.memory == {}
    platform = Platform()
    turn(platform, runtime({"messages": TURNS[:1], "session_id": LONG}), "First.")
    assert platform.memory == {}


def test_what_is_remembered_is_a_session_or_nothing() -> None:
    for odd in ("short", "ü" * 40, "a" * 300, 7, {}):
        platform, _ = begun()
        platform.memory = dict.fromkeys(platform.memory, odd)
        assert asked({"messages": TURNS}, platform)[1] == {"prompt": WRITTEN}


def test_an_answer_that_was_left_can_be_gone_on_from() -> None:
    platform = Platform()
    session = turn(platform, runtime({"messages": TURNS[:1], "stream": True}), "Fir", ends=False)
    assert asked({"messages": [TURNS[0], assistant("Fir"), TURNS[2]]}, platform)[0] == session


def test_a_session_that_is_gone_begins_anew() -> None:
    platform, session = begun()
    upstream = runtime({"messages": TURNS})
    assert platform.call(upstream).headers[SESSION] == session
    upstream.answered({"x-amzn-ErrorType": "ResourceNotFoundException"})
    assert upstream.reconsider(upstream.reject(404, b'{"message":"no such session"}', None))
    call = upstream.call()
    assert call.headers[SESSION] != session
    assert json.loads(call.body) == {"prompt": WRITTEN}
    assert not upstream.reconsider(upstream.reject(404, b'{"message":"no such runtime"}', None))


def test_credentials_that_ran_out_do_not_change_the_question() -> None:
    upstream = runtime({"messages": TURNS})
    platform = Platform()
    first = platform.call(upstream)
    upstream.answered({"x-amzn-ErrorType": "UnrecognizedClientException"})
    assert upstream.reconsider(upstream.reject(403, b'{"message":"who?"}', None))
    assert upstream.call() == first


def test_a_turn_that_failed_at_once_may_be_tried_again_in_its_place() -> None:
    platform, session = begun()
    assert turn(platform, runtime({"messages": TURNS}), {"error": "boom"}) == session
    assert turn(platform, runtime({"messages": TURNS}), {"error": "boom"}) == session
    turn(platform, runtime({"messages": TURNS}), "Sec", {"error": "boom"})
    assert asked({"messages": TURNS}, platform)[1] == {"prompt": WRITTEN}


def test_an_answer_too_long_to_keep_is_not_remembered() -> None:
    platform = Platform()
    upstream = runtime({"messages": TURNS[:1]})
    upstream._told._room = 3
    turn(platform, upstream, "First.")
    assert platform.memory == {}


@pytest.mark.parametrize(
    ("status", "type", "told", "code"),
    [
        (424, "RuntimeClientError", 424, "dependency_failed"),
        (409, "RetryableConflictException", 409, "session_busy"),
        (402, "ServiceQuotaExceededException", 429, "insufficient_quota"),
        (403, "AccessDeniedException", 403, "upstream_access_denied"),
        (500, "InternalServerException", 500, "upstream_error"),
    ],
)
def test_refusals_of_a_runtime(status: int, type: str, told: int, code: str) -> None:
    upstream = runtime()
    upstream.prepare()
    upstream.answered({"x-amzn-ErrorType": type})
    error = upstream.reject(status, b'{"message":"arn:aws:x:y:123456789012:z is why."}', None)
    assert (error.status, error.code) == (told, code)
    assert "123456789012" not in error.message
