"""Which conversation a question goes to: the one that is named, the one the history comes from, or a new one.

``Platform`` stands for one owner's memory at one upstream: what one request leaves there the next one finds.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.dify_setup import (
    CHAT,
    END,
    SITE,
    Platform,
    assistant,
    dify,
    finished,
    frames,
    say,
    streamed,
    user,
)
from translators.errors import BadRequest, UpstreamTimeout
from translators.upstreams.dify import Dify
from translators.upstreams.plan import Call, Reply

GONE = b'{"code":"not_found","message":"Conversation Not Exists.","status":404}'
ENDED = b'{"code":"conversation_completed","message":"The conversation has ended.","status":400}'
TURNS = [user("One?"), assistant("First."), user("Two?")]
WRITTEN = "User: One?\n\nAssistant: First.\n\nUser: Two?"


def platform(*, conversation: str = "c1", streams: bool = True, **options: Any) -> Platform:
    """A platform at which the first turn of ``TURNS`` has taken place."""
    made = Platform()
    upstream = dify({"messages": TURNS[:1], "stream": streams}, **options)
    body = made.turn(upstream, {**say("First."), "conversation_id": conversation}, END)
    assert "conversation_id" not in body
    return made


def asked(made: Platform, messages: list[dict[str, Any]], **options: Any) -> tuple[str, str]:
    """The conversation and the words of the question."""
    body = made.ask(dify({"messages": messages}, **options))
    return body.get("conversation_id", ""), body["query"]


def test_case_26_the_second_turn_goes_on() -> None:
    assert asked(platform(), TURNS) == ("c1", "Two?")
    assert asked(platform(streams=False), TURNS) == ("c1", "Two?")


def test_case_26_an_edited_turn_begins_anew() -> None:
    for messages, query in (
        ([user("Uno?"), *TURNS[1:]], "User: Uno?\n\nAssistant: First.\n\nUser: Two?"),
        ([TURNS[0], assistant("Prime."), TURNS[2]], "User: One?\n\nAssistant: Prime.\n\nUser: Two?"),
        ([user("One?")], "One?"),
    ):
        made = platform()
        assert asked(made, messages) == ("", query)
        assert asked(made, TURNS) == ("c1", "Two?")  # which was not lost by that


def test_case_26_a_turn_that_is_asked_again_forks() -> None:
    made = platform()
    assert made.turn(dify({"messages": TURNS}), say("Second."), END)["conversation_id"] == "c1"
    edited = [*TURNS[:2], user("Deux?")]
    body = made.turn(dify({"messages": edited}), {**say("Deuxième."), "conversation_id": "c2"}, END)
    assert "conversation_id" not in body
    assert body["query"] == "User: One?\n\nAssistant: First.\n\nUser: Deux?"
    assert asked(made, [*TURNS, assistant("Second."), user("Three?")]) == ("c1", "Three?")
    assert asked(made, [*edited, assistant("Deuxième."), user("Three?")]) == ("c2", "Three?")


def test_two_at_once_do_not_share_a_conversation() -> None:
    made = platform()
    assert [asked(made, TURNS)[0], asked(made, TURNS)[0]] == ["c1", ""]


@pytest.mark.parametrize(("status", "body"), [(404, GONE), (400, ENDED)])
def test_case_26_a_conversation_that_is_gone_begins_anew(status: int, body: bytes) -> None:
    made = platform()
    upstream = dify({"messages": TURNS})
    assert made.ask(upstream)["conversation_id"] == "c1"
    assert upstream.reconsider(upstream.reject(status, body, None))
    again = json.loads(upstream.call().body)
    assert "conversation_id" not in again
    assert again["query"] == WRITTEN
    assert not upstream.reconsider(upstream.reject(status, body, None))  # once is enough
    stream = streamed(upstream)
    stream.feed(frames({**say("Second."), "conversation_id": "c2"}, END))
    made.carry_out(upstream.settle())
    assert asked(made, [*TURNS, assistant("Second."), user("Three?")])[0] == "c2"


def test_a_named_conversation_that_is_gone_is_the_clients_affair() -> None:
    upstream = dify({"messages": TURNS, "conversation_id": "c7"})
    Platform().ask(upstream)
    error = upstream.reject(404, GONE, None)
    assert not upstream.reconsider(error)
    assert (error.status, error.code) == (404, "conversation_not_found")


NAMED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"conversation_id": "c7"}, {}, "c7"),
    ({"metadata": {"conversation_id": "c7"}}, {}, "c7"),
    ({}, {"x-conversation-id": "c7"}, "c7"),
    ({"conversation_id": "c7", "metadata": {"conversation_id": "c8"}}, {"x-conversation-id": "c9"}, "c7"),
    ({"metadata": {"conversation_id": "c8"}}, {"x-conversation-id": "c9"}, "c8"),
    ({"conversation_id": "", "metadata": {"conversation_id": ""}}, {"x-conversation-id": ""}, ""),
]


@pytest.mark.parametrize(("members", "headers", "conversation"), NAMED)
def test_a_conversation_may_be_named(
    members: dict[str, Any], headers: dict[str, str], conversation: str
) -> None:
    body = Platform().ask(dify({"messages": TURNS, **members}, headers))
    assert body.get("conversation_id", "") == conversation
    assert body["query"] == ("Two?" if conversation else WRITTEN)


@pytest.mark.parametrize(
    ("members", "headers", "param"),
    [
        ({"conversation_id": "../c"}, {}, "conversation_id"),
        ({"conversation_id": 7}, {}, "conversation_id"),
        ({"metadata": {"conversation_id": ["c"]}}, {}, "metadata.conversation_id"),
        ({}, {"x-conversation-id": "c 7"}, "x-conversation-id"),
    ],
)
def test_a_name_that_is_none_is_refused(members: dict[str, Any], headers: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Platform().ask(dify(members, headers))
    assert caught.value.param == param


def test_a_named_conversation_wins_and_leaves_nothing_behind() -> None:
    made = platform()
    memory = dict(made.memory)
    body = made.turn(dify({"messages": TURNS, "conversation_id": "c7"}), say("Second."), END)
    assert body["conversation_id"] == "c7"
    assert made.memory == memory


def test_a_begun_answer_in_a_named_conversation_is_written_out() -> None:
    messages = [*TURNS, assistant("Well,")]
    made = Platform()
    body = made.turn(dify({"messages": messages, "conversation_id": "c7"}), say("x"), END)
    assert body["query"] == f"{WRITTEN}\n\nAssistant: Well,"
    made.turn(dify({"messages": messages}), say("x"), END)
    assert made.memory == {}


def test_users_of_one_key_do_not_meet() -> None:
    made = Platform()
    made.turn(dify({"messages": TURNS[:1], "user": "alice"}), say("First."), END)
    assert asked(made, TURNS)[0] == ""
    assert made.ask(dify({"messages": TURNS, "user": "bob"})).get("conversation_id") is None
    assert made.ask(dify({"messages": TURNS, "user": "alice"}))["conversation_id"] == "c1"


@pytest.mark.parametrize(("history", "query"), [("transcript", WRITTEN), ("last", "Two?")])
def test_histories_without_affinity(history: str, query: str) -> None:
    made = platform(history=history)
    assert made.memory == {}
    assert asked(made, TURNS, history=history) == ("", query)


def test_the_system_message_is_not_lost_and_not_repeated() -> None:
    system = {"role": "system", "content": "Be brief."}
    made = Platform()
    assert (
        made.turn(dify({"messages": [system, *TURNS[:1]]}), say("First."), END)["query"]
        == "Be brief.\n\nOne?"
    )
    assert asked(made, [system, *TURNS]) == ("c1", "Two?")
    changed = {"role": "system", "content": "Be long."}
    assert asked(made, [changed, *TURNS]) == ("", f"Be long.\n\n{WRITTEN}")
    later = [*TURNS[:2], changed, TURNS[2]]
    assert asked(made, later) == ("", f"Be long.\n\n{WRITTEN}")


ANSWERS: list[tuple[list[dict[str, Any]], str]] = [
    ([say(" First.\n"), END], "First."),
    ([say("<think>hm</think>\n\nFirst."), END], "First."),
    ([say("<think>hm</think>\n\nFirst."), END], "<think>hm</think>First."),
    (
        [{"event": "message_file", **CHAT, "type": "image", "url": "/f/a.png"}, say("First."), END],
        f"![]({SITE}/f/a.png)\nFirst.",
    ),
    ([say("Bad"), {"event": "message_replace", **CHAT, "answer": "First."}, END], "Bad\n\nFirst."),
    ([say("Fir"), {"event": "message_replace", **CHAT, "answer": "First."}, END], "First."),
    ([say("First."), finished(chats=True)], "First."),
]


@pytest.mark.parametrize(("events", "answer"), ANSWERS)
def test_the_answer_is_recognised_as_the_client_has_it(events: list[dict[str, Any]], answer: str) -> None:
    made = Platform()
    made.turn(dify({"messages": TURNS[:1], "stream": True}), *events)
    assert asked(made, [TURNS[0], assistant(answer), TURNS[2]]) == ("c1", "Two?")


def test_a_whole_answer_that_was_taken_back_is_not_in_the_history() -> None:
    made = Platform()
    replaced = {"event": "message_replace", **CHAT, "answer": "First."}
    made.turn(dify({"messages": TURNS[:1], "stream": False}), say("Bad"), replaced, END)
    assert asked(made, TURNS) == ("c1", "Two?")


def test_an_answer_that_was_left_can_be_gone_on_from() -> None:
    made = Platform()
    made.turn(dify({"messages": TURNS[:1]}), say("Fir"), ends=False)
    assert asked(made, [TURNS[0], assistant("Fir"), TURNS[2]]) == ("c1", "Two?")


BROKEN = {"event": "error", **CHAT, "code": "completion_request_error", "message": "x"}


def second_turn(made: Platform) -> Dify:
    upstream = dify({"messages": TURNS})
    assert made.ask(upstream)["conversation_id"] == "c1"
    return upstream


def test_a_turn_that_failed_at_once_may_be_tried_again_in_its_place() -> None:
    made = platform()
    upstream = second_turn(made)
    streamed(upstream).feed(frames(BROKEN))
    made.carry_out(upstream.settle())
    upstream = second_turn(made)
    upstream.reject(429, b"", None)
    made.carry_out(upstream.settle())
    second_turn(made)


def test_a_turn_that_failed_midway_may_not() -> None:
    made = platform()
    upstream = second_turn(made)
    streamed(upstream).feed(frames(say("Sec"), BROKEN))
    made.carry_out(upstream.settle())
    assert asked(made, TURNS) == ("", WRITTEN)


def test_a_turn_of_which_nothing_is_known_may_not() -> None:
    made = platform()
    upstream = second_turn(made)
    streamed(upstream).fail(UpstreamTimeout("x"))
    made.carry_out(upstream.settle())
    assert asked(made, TURNS) == ("", WRITTEN)


def test_what_is_remembered_is_an_id_or_nothing() -> None:
    made = platform()
    for odd in ("../x", 7, {"id": "c1"}, ""):
        made.memory = dict.fromkeys(made.memory, odd)
        assert asked(made, TURNS) == ("", WRITTEN)


def test_questions_that_leave_nothing_behind() -> None:
    made = platform()
    made.replies = {"conversations/c1": Reply(204, b"")}
    memory = dict(made.memory)
    title = [*TURNS[:2], user("### Task: write a title")]
    body = made.turn(dify({"messages": title, "user": "alice"}, ephemeral="^### Task"), say("Birds"), END)
    assert (body["query"], body.get("conversation_id")) == ("### Task: write a title", None)
    assert made.calls == [Call("DELETE", "conversations/c1", b'{"user":"alice"}')]
    assert made.memory == memory
    made.turn(dify({"messages": title}, ephemeral="^### Task"), BROKEN | {"conversation_id": None})
    assert len(made.calls) == 1
    named = made.ask(dify({"messages": title, "conversation_id": "c7"}, ephemeral="^### Task"))
    assert named["conversation_id"] == "c7"
    with pytest.raises(ValueError, match="not a regular expression"):
        dify(ephemeral="(")


def test_apps_without_conversations_remember_none() -> None:
    made = Platform()
    upstream = dify({"messages": TURNS}, mode="completion", input_variable="q")
    assert made.turn(upstream, say("x"), END)["query"] == WRITTEN
    assert made.memory == {}


def test_an_answer_too_long_to_keep_is_not_remembered() -> None:
    made = Platform()
    upstream = dify({"messages": TURNS[:1], "stream": True})
    upstream._words.told._room = 5
    stream = streamed(upstream)
    made.ask(upstream)
    replaced = {"event": "message_replace", **CHAT, "answer": "So"}
    said = stream.feed(frames(say("First"), say("."), replaced, END))
    made.carry_out(upstream.settle())
    assert b'"content":"\\n\\nSo"' in said
    assert made.memory == {}
