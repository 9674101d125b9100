"""Agents keep what was said in sessions, chat clients send it every time: in which session a question is asked.

What counts is what the platform has in the end: one session with all the turns of one chat, never a turn of
somebody else's, and a history told only to a session that is new.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.config import Auth, Secret
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Produced, failure
from tests.e2e.bedrock_scene import (
    COUNT,
    COUNTED,
    Scene,
    bedrock_upstream,
    bodies,
    built,
    said,
    scene,
    sessions,
    stand_in_of,
    text_of,
)
from tests.e2e.sdk_setup import hosted, sdk
from tests.support.gateway import config_of

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as running:
        yield running


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def kept(here: Scene, model: str) -> list[list[str]]:
    """What was asked in every session of an agent."""
    return [said(session) for session in here.sessions(model)]


def told(here: Scene, model: str, messages: Any, stream: bool = False, **more: Any) -> str:
    return text_of(here.stream(model, messages, **more)) if stream else here.say(model, messages, **more)


def chat(here: Scene, model: str, *turns: str, stream: bool = False) -> list[dict[str, Any]]:
    """Ask one after the other as a stateless client does; everything that was said."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        messages.append(user(turn))
        messages.append(assistant(told(here, model, messages, stream)))
    return messages


# Named.


@both
def test_a_session_is_named_in_headers_both_ways(here: Scene, stream: bool):
    model = here.agent()
    for changes in (
        {"extra_headers": {"x-session-id": "ada.1"}},
        {"extra_headers": {"x-conversation-id": "ada.1"}},
        {"extra_body": {"session_id": "ada.1"}, "extra_headers": {"x-session-id": "other"}},
        {},
    ):
        raw = here.raw(model, COUNT, stream=stream, **changes)
        answer = raw.parse()
        assert (text_of(list(answer)) if stream else answer.choices[0].message.content) == COUNTED
        assert raw.headers["x-session-id"] == raw.headers["x-conversation-id"]
        if changes:
            assert raw.headers["x-session-id"] == "ada.1"
        else:
            assert UUID4.fullmatch(raw.headers["x-session-id"])
    assert kept(here, model) == [[COUNT] * 3, [COUNT]]


def test_a_session_that_is_named_gets_only_the_last_message(here: Scene):
    model = here.agent()
    messages = [user("count to 2"), assistant("1, 2."), user(COUNT)]
    assert here.say(model, messages, extra_body={"session_id": "mine"}) == COUNTED
    assert here.bodies(model)[0].get("sessionState") is None
    assert kept(here, model) == [[COUNT]]


# Found again.


@both
def test_a_stateless_client_goes_on_in_one_session(here: Scene, stream: bool):
    model = here.agent(files=(Produced("a.csv", "text/csv", b"1,2"),))
    turns = [f"count to {number}" for number in range(2, 6)]
    chat(here, model, *turns, stream=stream)
    assert kept(here, model) == [turns]
    assert not any("conversationHistory" in body.get("sessionState", {}) for body in here.bodies(model))


def test_a_history_that_nobody_knows_is_told_to_a_new_session(here: Scene):
    """Case 23: two user messages in a row, and an answer that never came from here."""
    model = here.agent()
    messages = [user("count to 2"), user("please"), assistant("1, 2."), user("more?"), user(COUNT)]
    assert here.say(model, messages) == COUNTED
    (body,) = here.bodies(model)
    assert body["inputText"] == COUNT
    history = body["sessionState"]["conversationHistory"]["messages"]
    assert [(one["role"], one["content"][0]["text"]) for one in history] == [
        ("user", "count to 2\n\nplease"),
        ("assistant", "1, 2."),
        ("user", "more?"),
    ]


def test_an_edited_turn_begins_a_new_session_with_what_was_said(here: Scene):
    model = here.agent()
    messages = chat(here, model, "count to 2", "count to 3")
    edited = [user("count to 4"), *messages[1:], user("count to 5")]
    here.say(model, edited)
    assert kept(here, model) == [["count to 2", "count to 3"], ["count to 4", "count to 3", "count to 5"]]
    here.say(model, [*messages, user("count to 6")])
    assert kept(here, model)[0] == ["count to 2", "count to 3", "count to 6"]


def test_asking_again_after_the_same_history_does_not_follow_the_first_answer(here: Scene):
    model = here.agent()
    messages = [*chat(here, model, "count to 2"), user("count to 3")]
    for _ in range(2):
        here.say(model, messages)
    assert kept(here, model) == [["count to 2", "count to 3"]] * 2
    seeded = ["conversationHistory" in body.get("sessionState", {}) for body in here.bodies(model)]
    assert seeded == [False, False, True]


def test_of_two_at_the_same_time_one_goes_on(here: Scene):
    model = here.agent(wire=Wire(first_delay=0.1))
    messages = [*chat(here, model, "count to 2"), user("count to 3")]
    two = [threading.Thread(target=here.say, args=(model, messages)) for _ in range(2)]
    for one in two:
        one.start()
    for one in two:
        one.join()
    assert [len(one) for one in kept(here, model)] == [2, 2]
    assert len(here.bodies(model)) == 3


def test_a_question_that_was_refused_may_be_asked_again_where_it_stood(here: Scene):
    model = here.agent()
    messages = [*chat(here, model, "count to 2"), user("count to 3")]
    here.stand_in.knobs.failures.append(failure("validationException", path=model[:10]))
    with pytest.raises(Exception, match="not valid"):
        here.say(model, messages)
    here.say(model, messages)
    assert kept(here, model) == [["count to 2", "count to 3"]]


def test_nobody_elses_session_is_found(here: Scene):
    model, other = here.agent(), here.agent()
    messages = [user("count to 2"), assistant("1, 2."), user("count to 3")]
    here.say(model, messages[:1], user="ann")
    here.say(other, messages, user="ann")
    here.say(model, messages, user="bob")
    here.say(model, messages)
    assert len(kept(here, model)) == 3 and len(kept(here, other)) == 1
    here.say(model, messages, user="ann")
    assert kept(here, model)[0] == ["count to 2", "count to 3"]


def test_clients_with_keys_of_the_gateway_are_kept_apart(serve_config):
    auth = Auth((Secret("sk-one-0001"), Secret("sk-two-0002")))
    with hosted(stand_in_of) as stand_in:
        model = built(stand_in)
        gateway = serve_config(config_of(bedrock_upstream(stand_in.url), auth=auth))
        messages = [user("count to 2"), assistant("1, 2."), user("count to 3")]
        with sdk(gateway.url + "/v1", api_key="sk-one-0001") as one:
            two = one.with_options(api_key="sk-two-0002")
            one.chat.completions.create(model=model, messages=messages[:1])
            two.chat.completions.create(model=model, messages=messages)
            one.chat.completions.create(model=model, messages=messages)
        assert [said(session)[-1] for session in sessions(stand_in, model)] == ["count to 3"] * 2
        seeded = ["conversationHistory" in body.get("sessionState", {}) for body in bodies(stand_in, model)]
        assert seeded == [False, True, False]


MODES = {
    "session": (["count to 3"], False),
    "replay": (["count to 2", "count to 3"], True),
    "flatten": (["User: count to 2\n\nAssistant: 1, 2.\n\nUser: count to 3"], False),
}


@pytest.mark.parametrize("history", MODES)
def test_what_becomes_of_a_history_can_be_chosen(serve_config, history: str):
    questions, seeded = MODES[history]
    with hosted(stand_in_of) as stand_in:
        model = built(stand_in)
        gateway = serve_config(config_of(bedrock_upstream(stand_in.url, history=history)))
        messages = [user("count to 2"), assistant("1, 2."), user("count to 3")]
        with sdk(gateway.url + "/v1") as client:
            client.chat.completions.create(model=model, messages=messages)
        (session,) = sessions(stand_in, model)
        assert said(session) == questions
        (body,) = bodies(stand_in, model)
        assert ("conversationHistory" in body.get("sessionState", {})) is seeded


def test_a_session_that_is_idle_for_too_long_is_not_gone_on_with(serve_config, monkeypatch):
    """The agent would begin a new one under the same name and not say so: the history is told again."""
    with hosted(stand_in_of) as stand_in:
        model = built(stand_in, ttl=60.0)
        gateway = serve_config(config_of(bedrock_upstream(stand_in.url, session_ttl=60.0)))
        messages = [user("count to 2"), assistant("1, 2."), user("count to 3")]
        with sdk(gateway.url + "/v1") as client:
            client.chat.completions.create(model=model, messages=messages[:1])
            shelf = gateway.serving.gateway._memory._shelf
            monkeypatch.setattr(shelf, "clock", lambda: time.monotonic() + 55.0)
            client.chat.completions.create(model=model, messages=messages)
        assert len(sessions(stand_in, model)) == 2
        assert "conversationHistory" in bodies(stand_in, model)[1]["sessionState"]
