"""Chat clients send their whole history and Dify keeps its own: which conversation a request goes on with.

What counts is what the platform has in the end: one conversation with all the turns of one chat, and never a turn
of somebody else's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import openai
import pytest

from proxy.memory import LocalMemory
from proxy.simulators.dify_apps import Failure, RunFailure
from proxy.simulators.dify_store import Conversation
from tests.e2e.dify_scene import (
    COUNT,
    COUNTED,
    Scene,
    dify_upstream,
    open_app,
    questions,
    runs,
    scene,
    stand_in_of,
    text_of,
)
from tests.e2e.sdk_setup import asking, hosted, sdk
from tests.support.gateway import config_of
from tests.support.raw import RawClient
from tests.support.waiting import until

pytestmark = pytest.mark.two_ways

NOWHERE = "00000000-0000-4000-8000-0000000000ff"


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene() as running:
        yield running


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def kept(here: Scene, key: str) -> list[list[str]]:
    """The questions of every conversation that an app has."""
    conversations: list[Conversation] = list(here.stand_in.store.conversations.values())
    return [[message.query for message in one.messages] for one in conversations if one.user[0] == key]


def told(here: Scene, key: str, messages: list[dict[str, Any]], stream: bool = False, **more: Any) -> str:
    return text_of(here.stream(key, messages, **more)) if stream else here.say(key, messages, **more)


def chat(here: Scene, key: str, *turns: str, stream: bool = False, **more: Any) -> list[dict[str, Any]]:
    """Ask one after the other as a stateless client does; everything that was said."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        messages += asking(turn)
        messages.append(assistant(told(here, key, messages, stream, **more)))
    return messages


# Going on.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("mode", ["chat", "agent-chat", "agent", "advanced-chat"])
def test_a_stateless_client_goes_on_in_one_conversation(here: Scene, mode: str, stream: bool):
    key = here.app(mode, reasoning="tagged", answer_files=1)
    turns = [f"count to {number}" for number in range(2, 6)]
    chat(here, key, *turns, stream=stream)
    assert kept(here, key) == [turns]
    assert [body.get("conversation_id") is None for body in here.questions(key)] == [True, *[False] * 3]


def test_system_messages_are_said_once(here: Scene):
    key = here.app("chat")
    system = {"role": "system", "content": "Be brief."}
    messages = [system, *asking("count to 2")]
    for turn in ("count to 3", "count to 4"):
        messages += [assistant(here.say(key, messages)), *asking(turn)]
    here.say(key, messages)
    assert kept(here, key) == [["Be brief.\n\ncount to 2", "count to 3", "count to 4"]]
    messages[0] = {"role": "system", "content": "Be long."}
    here.say(key, messages)
    assert len(kept(here, key)) == 2


def test_what_clients_do_to_an_answer_does_not_matter(here: Scene):
    key = here.app("chat", reasoning="tagged")
    messages = [*asking("count to 2")]
    said = here.say(key, messages)
    messages += [assistant(f"<think>hm</think>\n {said}\n"), *asking("count to 3")]
    said = here.say(key, messages)
    messages[0] = {"role": "user", "content": [{"type": "text", "text": " count to 2"}], "name": "ann"}
    messages += [{"role": "assistant", "content": [{"type": "text", "text": said}]}, *asking("count to 4")]
    here.say(key, messages)
    assert kept(here, key) == [["count to 2", "count to 3", "count to 4"]]


# Forking.


def test_an_edited_turn_begins_a_new_conversation_with_what_was_said(here: Scene):
    key = here.app("chat")
    messages = chat(here, key, "count to 2", "count to 3")
    edited = [*asking("count to 4"), messages[1], *messages[2:], *asking("count to 5")]
    here.say(key, edited)
    assert kept(here, key)[0] == ["count to 2", "count to 3"]
    ((transcript,),) = kept(here, key)[1:]
    said = [
        "User: count to 4",
        "Assistant: 1, 2.",
        "User: count to 3",
        "Assistant: 1, 2, 3.",
        "User: count to 5",
    ]
    assert transcript == "\n\n".join(said)
    here.say(key, [*messages, *asking("count to 6")])
    assert kept(here, key)[0] == ["count to 2", "count to 3", "count to 6"]


def test_asking_again_after_the_same_history_does_not_follow_the_first_answer(here: Scene):
    key = here.app("chat")
    messages = [*chat(here, key, "count to 2"), *asking("count to 3")]
    answers = [here.say(key, messages) for _ in range(2)]
    assert kept(here, key)[0] == ["count to 2", "count to 3"]
    assert [len(one) for one in kept(here, key)] == [2, 1]
    assert answers[0] != answers[1]
    for number, answer in enumerate(answers, 4):
        here.say(key, [*messages, assistant(answer), *asking(f"count to {number}")])
    assert [one[-1] for one in kept(here, key)] == ["count to 4", "count to 5"]


def test_of_two_at_the_same_time_one_goes_on(here: Scene):
    key = here.app("chat", first_delay=0.1)
    messages = [*chat(here, key, "count to 2"), *asking("count to 3")]
    both = [threading.Thread(target=here.say, args=(key, messages)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(len(one) for one in kept(here, key)) == [1, 2]


def test_nobody_elses_conversation_is_found(here: Scene):
    messages = [*asking("count to 2"), assistant("1, 2."), *asking("count to 3")]
    key, other = here.app("chat"), here.app("chat")
    here.say(key, messages[:1], user="ann")
    here.say(other, messages, user="ann")
    here.say(key, messages, user="bob")
    here.say(key, messages)
    assert kept(here, key)[0] == ["count to 2"]
    assert [len(one) for one in kept(here, key)] == [1, 1, 1] and [len(one) for one in kept(here, other)] == [
        1
    ]
    here.say(key, messages, user="ann")
    assert kept(here, key)[0] == ["count to 2", "count to 3"]


def test_clients_with_keys_of_the_gateway_are_kept_apart(serve_config):
    """One app for all, told apart by the keys they have here; none of these keys gets there."""
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        gateway = serve_config(config_of(dify_upstream(stand_in.url, key=app)))
        with sdk(gateway.url + "/v1") as client:

            def say(key: str, messages: Any) -> None:
                create = client.with_options(api_key=key).chat.completions.create
                create(model="m", messages=messages)

            messages = [*asking(COUNT), assistant(COUNTED), *asking("count to 4")]
            say("sk-one", messages[:1])
            say("sk-two", messages)
            say("sk-one", messages)
        one, two, again = questions(stand_in, app)
        assert one["user"] == again["user"] != two["user"]
        assert again["query"] == "count to 4" and "Assistant:" in two["query"]
        heard = b"".join(request.body for request in stand_in.requests).decode()
        assert "sk-" not in heard and not any("sk-" in str(one.headers) for one in stand_in.requests)


def test_two_upstreams_are_two_memories(serve_config):
    """Even where both lead to the same app."""
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        both = [dify_upstream(stand_in.url, name, key=app) for name in ("one", "two")]
        with sdk(serve_config(config_of(*both)).url + "/v1") as client:
            messages = [*asking(COUNT), assistant(COUNTED), *asking("count to 4")]
            for model, said in (("one/m", messages[:1]), ("two/m", messages), ("one/m", messages)):
                client.chat.completions.create(model=model, messages=said)
        goes_on = ["conversation_id" in body for body in questions(stand_in, app)]
        assert goes_on == [False, False, True]


# By name.


def test_a_conversation_can_be_named_in_four_places(here: Scene):
    key = here.app("advanced-chat")
    create = here.of(key).chat.completions.with_raw_response.create
    id = create(model="m", messages=asking("count to 2")).headers["x-conversation-id"]
    ways: list[dict[str, Any]] = [
        {"extra_body": {"conversation_id": id}},
        {"extra_headers": {"X-Conversation-Id": id}},
        {"metadata": {"conversation_id": id}},
        {"extra_headers": {"x-conversation-id": NOWHERE}, "extra_body": {"conversation_id": id}},
    ]
    for number, way in enumerate(ways, 3):
        for stream in (False, True):
            raw = create(model="m", messages=asking(f"count to {number}"), stream=stream, **way)
            assert raw.headers["x-conversation-id"] == id
            if stream:
                assert text_of(list(raw.parse())).startswith("1, 2, 3")
    turns = [f"count to {number}" for number in (3, 4, 5, 6) for _ in range(2)]
    assert kept(here, key) == [["count to 2", *turns]]


def test_only_the_newest_message_goes_to_a_named_conversation(here: Scene):
    key = here.app("chat")
    messages = chat(here, key, "count to 2", "count to 3")
    (conversation,) = (run.turn.conversation_id for run in runs(here.stand_in, key)[:1])
    edited = [*asking("something else"), *messages[1:], *asking("count to 4")]
    here.say(key, edited, extra_body={"conversation_id": conversation})
    assert kept(here, key) == [["count to 2", "count to 3", "count to 4"]]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_named_conversation_that_is_not_there_is_not_replaced(here: Scene, stream: bool):
    key = here.app("chat")
    with pytest.raises(openai.NotFoundError) as caught:
        told(here, key, asking(COUNT), stream, extra_body={"conversation_id": NOWHERE})
    assert caught.value.code == "conversation_not_found"
    with pytest.raises(openai.BadRequestError):
        told(here, key, asking(COUNT), stream, extra_body={"conversation_id": "no-uuid"})
    assert kept(here, key) == []


# What goes wrong.


@pytest.mark.parametrize("gone", ["deleted", "completed"])
def test_a_conversation_that_is_gone_is_begun_anew_and_replaced(here: Scene, gone: str):
    key = here.app("chat")
    messages = chat(here, key, "count to 2")
    (run,) = runs(here.stand_in, key)
    conversation = here.stand_in.store.conversations[run.turn.conversation_id]
    if gone == "deleted":
        del here.stand_in.store.conversations[conversation.id]
    else:
        conversation.completed = True
    messages += asking("count to 3")
    messages += [assistant(here.say(key, messages)), *asking("count to 4")]
    here.say(key, messages)
    _, refused, again, last = here.questions(key)
    assert refused["conversation_id"] == conversation.id and "conversation_id" not in again
    assert again["query"] == "User: count to 2\n\nAssistant: 1, 2.\n\nUser: count to 3"
    assert last["query"] == "count to 4" and last["conversation_id"] != conversation.id


def test_a_question_that_was_refused_has_not_used_up_its_conversation(here: Scene):
    key = here.app("chat")
    messages = [*chat(here, key, "count to 2"), *asking("count to 3")]
    here.stand_in.apps[key].knobs.failures.append(Failure(400, "invalid_param", "No.", path="messages"))
    with pytest.raises(openai.BadRequestError):
        here.say(key, messages)
    here.say(key, messages)
    assert kept(here, key) == [["count to 2", "count to 3"]]


def leave_after(here: Scene, key: str, messages: list[dict[str, Any]], words: bytes) -> None:
    with RawClient(here.gateway.port) as client:
        body = {"model": "m", "stream": True, "messages": messages}
        client.post(body, headers={"Authorization": f"Bearer {key}"})
        client.until(words)
        client.reset()
    here.gateway.until_idle(5.0)
    until(runs(here.stand_in, key)[-1].done.is_set, "the run is over")


def test_an_answer_that_was_left_is_not_remembered_as_a_whole_one(here: Scene):
    key = here.app("chat", delay=0.1)
    leave_after(here, key, asking("count to 30"), b'" 2"')
    whole = ", ".join(str(number) for number in range(1, 31)) + "."
    here.stand_in.apps[key].knobs.delay = 0.0
    here.say(key, [*asking("count to 30"), assistant(whole), *asking("count to 3")])
    assert len(kept(here, key)) == 2
    here.say(key, [*asking("count to 30"), assistant("1, 2"), *asking("count to 4")])
    assert kept(here, key)[0] == ["count to 30", "count to 4"]


def test_an_answer_that_failed_is_not_remembered(here: Scene):
    key = here.app("chat", failure=RunFailure(3), delay=0.01)
    with pytest.raises(openai.APIError):
        here.stream(key, asking(COUNT))
    here.stand_in.apps[key].knobs.failure = None
    here.say(key, [*asking(COUNT), assistant("1, 2"), *asking("count to 4")])
    assert [len(one) for one in kept(here, key)] == [1, 1]


def test_the_memory_has_an_end(serve_config, monkeypatch):
    monkeypatch.setattr("proxy.gateway.LocalMemory", partial(LocalMemory, max_entries=8))
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        gateway = serve_config(config_of(dify_upstream(stand_in.url, key=app, mode="chat")))
        with sdk(gateway.url + "/v1") as client:

            def say(*messages: Any) -> str:
                answer = client.chat.completions.create(model="m", messages=[*messages])
                return answer.choices[0].message.content or ""

            for number in range(20):
                assert say(*asking(f"repeat: {number}")) == f"{number}"
            assert len(gateway.serving.gateway._memory._shelf) == 8
            for number in (0, 19):
                say(*asking(f"repeat: {number}"), assistant(f"{number}"), *asking(COUNT))
        forgotten, remembered = questions(stand_in, app)[-2:]
        assert "conversation_id" not in forgotten and "Assistant: 0" in forgotten["query"]
        assert remembered["query"] == COUNT and remembered["conversation_id"]


# Other ways to treat a history.


def test_a_history_can_be_sent_or_left_out(serve_config):
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        ups = [dify_upstream(stand_in.url, name, key=app, history=name) for name in ("transcript", "last")]
        with sdk(serve_config(config_of(*ups)).url + "/v1") as client:
            messages = [*asking(COUNT), assistant(COUNTED), *asking("count to 4")]
            for said in (messages[:1], messages):
                for up in ups:
                    client.chat.completions.create(model=f"{up.name}/m", messages=said)
        asked = [body["query"] for body in questions(stand_in, app)]
        assert asked[2:] == [f"User: {COUNT}\n\nAssistant: {COUNTED}\n\nUser: count to 4", "count to 4"]
        assert not any("conversation_id" in body for body in questions(stand_in, app))


def test_a_frontends_wish_for_a_title_leaves_nothing_behind(serve_config):
    with hosted(stand_in_of) as stand_in:
        app = open_app(stand_in, "chat")
        up = dify_upstream(stand_in.url, key=app, ephemeral="^Generate a title")
        with sdk(serve_config(config_of(up)).url + "/v1") as client:
            for words in ("Generate a title for: count to 3", COUNT):
                client.chat.completions.create(model="m", messages=asking(words))
        until(lambda: len(stand_in.store.conversations) == 1, "only one conversation")
        (left,) = stand_in.store.conversations.values()
        assert [message.query for message in left.messages] == [COUNT]


def test_the_next_question_may_come_at_once(here: Scene):
    """What an answer leaves in mind is there before its reader can ask again."""
    key = here.app("chat", answer_files=0)
    began = time.monotonic()
    turns = [f"count to {number}" for number in range(2, 42)]
    chat(here, key, *turns, stream=True)
    assert kept(here, key) == [turns]
    assert time.monotonic() - began < 5.0
