"""The tricky cases of wire/bedrock.md that are about requests, each by its number."""

from __future__ import annotations

import pytest

from tests.upstreams.bedrock_setup import (
    CALL_0,
    CALL_1,
    INVOCATION,
    PLACE,
    UUID4,
    Platform,
    agent,
    asked,
    assistant,
    called,
    function,
    refused,
    result,
    returns,
    say,
    system,
    user,
)


def pending(*inputs: dict[str, object], **options: object) -> Platform:
    """A platform where an agent waits for the results of these."""
    platform = Platform()
    platform.turn(agent({"stream": True}, **options), returns(*inputs))
    return platform


def test_case_12_a_missing_result_is_named_and_nothing_is_sent() -> None:
    platform = pending(function("track"), function("weigh"))
    history = [user("hi"), called(CALL_0, CALL_1), result(CALL_0, "in Ulm")]
    with pytest.raises(Exception, match=CALL_1) as caught:
        platform.ask(agent({"messages": history}))
    assert caught.value.code == "missing_tool_result"
    forgot = [user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]
    with pytest.raises(Exception, match=CALL_1) as caught:  # the client has forgotten the call, too
        platform.ask(agent({"messages": forgot}))
    assert caught.value.code == "missing_tool_result"


def test_case_13_results_that_nobody_waits_for_are_refused() -> None:
    error = refused({"messages": [user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]})
    assert (error.status, error.code) == (400, "unknown_tool_call")
    named = {"messages": [user("hi"), called(CALL_0), result(CALL_0, "x")], "session_id": "s1"}
    assert refused(named).code == "unknown_tool_call"


def test_case_14_a_collaborators_call_is_answered_under_its_id() -> None:
    platform = pending(function("track", agentId="SUB1234567", collaboratorName="Sub"))
    upstream = agent({"messages": [user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]})
    call = platform.call(upstream)
    assert call.path.startswith(f"{PLACE}/")
    state = platform.ask(upstream)["sessionState"]
    assert state == {
        "invocationId": INVOCATION,
        "returnControlInvocationResults": [
            {
                "functionResult": {
                    "actionGroup": "Parcels",
                    "agentId": "SUB1234567",
                    "function": "track",
                    "responseBody": {"TEXT": {"body": "in Ulm"}},
                }
            }
        ],
    }


def test_case_23_earlier_turns_are_told_to_a_new_session_taking_turns() -> None:
    history = [
        system("Be brief."),
        assistant("Hello!"),
        user("one"),
        user("two"),
        assistant("2"),
        assistant(""),
        user("three"),
        assistant("3"),
        user("  "),
        user("four"),
    ]
    platform, upstream = Platform(), agent({"messages": history})
    call = platform.call(upstream)
    assert UUID4.fullmatch(call.path.removeprefix(f"{PLACE}/").removesuffix("/text"))
    body = platform.ask(upstream)
    assert body["inputText"] == "four"
    assert body["sessionState"]["conversationHistory"]["messages"] == [
        {"role": "user", "content": [{"text": "one\n\ntwo"}]},
        {"role": "assistant", "content": [{"text": "2"}]},
        {"role": "user", "content": [{"text": "three"}]},
        {"role": "assistant", "content": [{"text": "3"}]},
    ]


@pytest.mark.parametrize(
    "session", ["a b", "x", "s" * 101, "", "ä1", "a/b", "a%3A", "..", "...", 7, True, {}, "a\n"]
)
def test_case_24_a_session_that_cannot_be_is_refused(session: object) -> None:
    error = refused({"session_id": session})
    assert (error.status, error.param) == (400, "session_id")


@pytest.mark.parametrize("session", ["u1_x.y-z", "session_0a1b2c3d", "ab", "..a", "s" * 100, "a:b"])
def test_case_24_any_other_is_taken_as_it_is(session: str) -> None:
    call = Platform().call(agent({"session_id": session}))
    assert call.path == f"{PLACE}/{session.replace(':', '%3A')}/text"


@pytest.mark.parametrize("name", ["x-session-id", "x-conversation-id"])
def test_a_session_may_be_named_in_a_header(name: str) -> None:
    upstream = agent(headers={name: "from-head"})
    assert Platform().call(upstream).path == f"{PLACE}/from-head/text"
    assert upstream.headers == {"x-session-id": "from-head", "x-conversation-id": "from-head"}
    assert refused({}, headers={name: "no such"}).param == name
    both = agent({"session_id": "from-body"}, {name: "from-head"})
    assert Platform().call(both).path == f"{PLACE}/from-body/text"


def test_a_named_session_gets_the_last_message_only() -> None:
    history = [system("Be brief."), user("one"), assistant("1"), user("two")]
    body = asked({"messages": history, "session_id": "s1", "stream": True})
    assert body == {
        "inputText": "two",
        "enableTrace": True,
        "streamingConfigurations": {"streamFinalResponse": True},
        "sessionState": {"promptSessionAttributes": {"system_prompt": "Be brief."}},
    }


def test_one_answer_of_a_session_at_a_time() -> None:
    upstream = agent({"session_id": "s1"}, session_wait=7.0)
    Platform().carry_out(upstream.prepare())
    assert upstream.turn is not None
    assert upstream.turn.key == "AGENT12345/TSTALIASID/s1"
    assert (upstream.turn.seconds, upstream.turn.param) == (7.0, "session_id")
    by_header = agent(headers={"x-session-id": "s1"})
    by_header.prepare()
    assert by_header.turn is not None
    assert (by_header.turn.key, by_header.turn.param) == (upstream.turn.key, "x-session-id")


def test_results_take_the_turn_of_their_invocation() -> None:
    platform = pending(function("track"))
    history = {"messages": [user("hi"), called(CALL_0), result(CALL_0, "in Ulm")]}
    one, other = agent(history), agent(history)
    assert platform.carry_out(one.prepare()) is None
    other.prepare()
    assert one.turn is not None
    assert one.turn == other.turn
    platform.turn(agent({**history, "stream": True}), say("It is in Ulm."))
    with pytest.raises(Exception, match="not one that this agent waits for"):
        platform.ask(agent(history))  # a second time, when the first has been answered
