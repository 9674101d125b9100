"""Which session a question goes to, and what is kept in mind of it when it has been answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.bedrock_setup import (
    CALL_0,
    DIGITS,
    PLACE,
    UUID4,
    Platform,
    agent,
    assistant,
    called,
    exception,
    files,
    function,
    ready,
    result,
    returns,
    say,
    stream_to,
    system,
    user,
)
from tests.wires.reader import Recorder
from translators.errors import Forbidden, UpstreamAuthFailed
from translators.upstreams.bedrock_agent import BedrockAgent, uuid4_of
from translators.upstreams.plan import Keep

NO_STREAMING = (
    "User: arn:aws:sts::123456789012:assumed-role/R/s is not authorized to perform: "
    "bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-east-1::foundation-model/m"
)


def session_of(upstream: BedrockAgent) -> str:
    path = upstream.call().path
    assert path.startswith(f"{PLACE}/")
    return path.removeprefix(f"{PLACE}/").removesuffix("/text")


def turn(platform: Platform, messages: list[dict[str, Any]], *frames: bytes, **options: Any) -> str:
    """The session that the question went to; what was answered is settled."""
    envelope = options.pop("envelope", f"chatcmpl-{len(platform.memory)}-{len(messages)}")
    upstream = agent({"messages": messages, "stream": True}, envelope=envelope, **options)
    platform.carry_out(upstream.prepare())
    session = session_of(upstream)
    stream = stream_to(Recorder(), upstream)
    stream.feed(b"".join(frames))
    stream.close()
    platform.carry_out(upstream.settle())
    return session


FIRST = [user("one")]
SECOND = [user("one"), assistant("1"), user("two")]
THIRD = [*SECOND, assistant("2"), user("three")]


def test_a_conversation_goes_on_in_its_session() -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    assert UUID4.fullmatch(first)
    assert list(platform.seconds.values()) == [540.0]  # a tenth less than the agent's
    assert turn(platform, SECOND, say("2")) == first
    assert turn(platform, THIRD, say("3")) == first
    upstream = agent({"messages": [*THIRD, assistant("3"), user("four")]})
    assert "sessionState" not in platform.ask(upstream)


def test_a_session_that_was_found_is_not_found_twice() -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    upstream = agent({"messages": SECOND}, envelope="a-1")
    platform.carry_out(upstream.prepare())
    assert session_of(upstream) == first
    other = agent({"messages": SECOND}, envelope="b-2")
    assert "conversationHistory" in platform.ask(other)["sessionState"]
    assert session_of(other) != first


@pytest.mark.parametrize("second", [{"owner": "o1"}, {"body": {"user": "bob"}}, {"agent_alias_id": "OTHER"}])
def test_sessions_of_others_are_not_found(second: dict[str, Any]) -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    body = {"messages": SECOND, **second.pop("body", {})}
    upstream = agent(body, envelope="x-9", **second)
    platform.carry_out(upstream.prepare())
    assert (upstream.call().path.split("/")[5] == first) == (second == {"owner": "o1"})


@pytest.mark.parametrize("history", ["replay", "flatten"])
def test_some_histories_are_always_told_anew(history: str) -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"), history=history)
    assert turn(platform, SECOND, say("2"), history=history) != first


def test_an_edited_turn_begins_anew() -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    edited = [user("one!"), assistant("1"), user("two")]
    assert turn(platform, edited, say("2")) != first


def test_a_named_session_is_not_kept_in_mind() -> None:
    platform = Platform()
    upstream = agent({"messages": FIRST, "session_id": "mine"})
    platform.turn(upstream, say("1"))
    assert platform.memory == {}


def test_a_session_that_was_ended_is_not_gone_on_with() -> None:
    platform = Platform()
    upstream = agent({"messages": FIRST, "end_session": True})
    platform.turn(upstream, say("Bye."))
    assert platform.memory == {}


def test_a_refused_question_leaves_the_session_where_it_was() -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    assert turn(platform, SECOND, exception("throttlingException", "slow down")) == first
    assert turn(platform, SECOND, say("2")) == first


def test_a_question_that_was_begun_does_not() -> None:
    platform = Platform()
    first = turn(platform, FIRST, say("1"))
    upstream = agent({"messages": SECOND})
    platform.carry_out(upstream.prepare())
    assert session_of(upstream) == first
    platform.carry_out(upstream.settle())  # nobody waited for the answer
    assert turn(platform, SECOND, say("2"), envelope="other-1") != first


def test_who_leaves_in_the_middle_goes_on_from_what_was_read() -> None:
    platform = Platform()
    upstream = agent({"messages": FIRST, "stream": True})
    platform.turn(upstream, say("1"), say(" and more"), ends=False)
    told = [user("one"), assistant("1 and more"), user("two")]
    next_one = agent({"messages": told}, envelope="z-1")
    platform.carry_out(next_one.prepare())
    assert session_of(next_one) == uuid4_of("chatcmpl-1")


def test_an_answer_too_long_to_keep_is_forgotten() -> None:
    platform = Platform()
    upstream = agent({"messages": FIRST})
    platform.carry_out(upstream.prepare())
    stream = stream_to(Recorder(), upstream)
    for _ in range(6):
        stream.feed(say("x" * 750_000))
    stream.close()
    platform.carry_out(upstream.settle())
    assert not platform.memory


def test_an_answer_with_files_is_found_again() -> None:
    platform = Platform()
    made = {"name": "plot.png", "type": "image/png", "bytes": "iVBO" * 2000}
    first = turn(platform, FIRST, say("Here:"), files(made), say("Nice?"))
    link = f"![plot.png](data:image/png;base64,{made['bytes']})\n"
    told = [user("one"), assistant(f"Here:\n\n{link}Nice?"), user("two")]
    assert turn(platform, told, say("2")) == first


def test_files_that_were_made_are_kept_last_of_all() -> None:
    made = {"name": "plot.png", "type": "image/png", "bytes": "iVBORw=="}
    for keeps in (True, False):
        platform = Platform()
        turn(platform, FIRST, files(made), files({"name": "a.csv"}), keep_files=keeps)
        plot, table = (
            Keep("plot.png", "image/png", b"\x89PNG"),
            Keep("a.csv", "application/octet-stream", b""),
        )
        assert platform.kept == ([plot, table] if keeps else [])
        assert platform.memory  # before anything that takes time
    assert "PNG" not in repr(plot)


def test_results_go_to_the_session_that_waits_and_what_follows_as_well() -> None:
    platform = Platform()
    first = turn(platform, FIRST, returns(function("track")))
    assert platform.memory[f"bedrock-call:{DIGITS}"]["session"] == first
    round_ = [*FIRST, called(CALL_0), result(CALL_0, "in Ulm")]
    assert turn(platform, round_, say("It is in Ulm.")) == first
    assert platform.memory[f"bedrock-call:{DIGITS}"] is None
    assert turn(platform, [*round_, assistant("It is in Ulm."), user("And now?")], say("x")) == first


def test_results_may_be_sent_again_after_a_failure() -> None:
    platform = Platform()
    first = turn(platform, FIRST, returns(function("track")))
    round_ = [*FIRST, called(CALL_0), result(CALL_0, "in Ulm")]
    assert turn(platform, round_, exception("throttlingException", "x")) == first
    assert turn(platform, round_, say("It is in Ulm.")) == first


def test_what_cannot_name_a_session_is_passed_over() -> None:
    platform = Platform()
    turn(platform, FIRST, say("1"))
    platform.memory = dict.fromkeys(platform.memory, "no session")
    upstream = agent({"messages": SECOND})
    assert "conversationHistory" in platform.ask(upstream)["sessionState"]


def test_system_messages_count_as_history() -> None:
    platform = Platform()
    first = turn(platform, [system("a"), *FIRST], say("1"))
    assert turn(platform, [system("b"), *SECOND], say("2")) != first


def test_nothing_is_settled_that_was_not_asked() -> None:
    assert agent().settle() is None


# Asking once more.


def head(name: str) -> dict[str, str]:
    return {"X-Amzn-ErrorType": f"{name}:http://internal.amazon.com/coral/"}


@pytest.mark.parametrize("name", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_ran_out_are_worth_one_more_question(name: str) -> None:
    upstream = ready()
    for worth in (True, False):
        upstream.answered(head(name))
        error = upstream.reject(403, b'{"message":"The security token is expired"}', None)
        assert isinstance(error, UpstreamAuthFailed)
        assert upstream.reconsider(error) is worth


def test_a_wrong_signature_is_not() -> None:
    upstream = ready()
    upstream.answered(head("InvalidSignatureException"))
    assert not upstream.reconsider(upstream.reject(403, b"{}", None))


def test_an_agent_that_may_not_stream_is_asked_for_the_whole_and_remembered() -> None:
    platform, upstream = Platform(), agent({"stream": True})
    assert platform.ask(upstream)["streamingConfigurations"]["streamFinalResponse"] is True
    upstream.answered(head("AccessDeniedException"))
    error = upstream.reject(403, b'{"message":"%b"}' % NO_STREAMING.encode(), None)
    assert isinstance(error, Forbidden)
    assert "123456789012" not in error.message
    assert upstream.reconsider(error)
    assert json.loads(upstream.call().body)["streamingConfigurations"]["streamFinalResponse"] is False
    assert not upstream.reconsider(error)
    platform.carry_out(upstream.settle())
    assert platform.ask(agent({"stream": True}))["streamingConfigurations"]["streamFinalResponse"] is False
    other = agent({"stream": True}, agent_alias_id="OTHER")
    assert platform.ask(other)["streamingConfigurations"]["streamFinalResponse"] is True


def test_an_agent_that_says_so_in_its_stream_is_remembered_for_the_next_question() -> None:
    platform = Platform()
    turn(platform, FIRST, exception("accessDeniedException", NO_STREAMING))
    assert platform.ask(agent({"stream": True}))["streamingConfigurations"]["streamFinalResponse"] is False


def test_another_refusal_is_final() -> None:
    upstream = ready()
    upstream.answered(head("AccessDeniedException"))
    assert not upstream.reconsider(upstream.reject(403, b'{"message":"no"}', None))
