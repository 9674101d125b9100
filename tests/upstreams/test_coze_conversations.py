"""Coze's conversations as the routes tell them: what is asked, and how its objects read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.upstreams.coze_setup import BOT, CONVERSATION, USER, Errands, asked, bad, good
from translators.errors import BadRequest, GatewayError, UpstreamMalformed
from translators.upstreams.conversations import Conversations, Page
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.plan import Caller


def conversations(headers: dict[str, str] | None = None, key: str = "", **settings: Any) -> Conversations:
    options = CozeSettings(**{"bot_id": BOT, **settings})
    return Coze.conversations(options, Caller("", headers or {}, key))


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": str(id), "created_at": id, "meta_data": {"a": "b"}, "name": "n"} for id in ids]


def page(ids: range | list[int], more: bool) -> Any:
    return good({"conversations": rows(*ids), "has_more": more})


def test_the_first_page() -> None:
    errands = Errands([page([1, 2, 3], False)])
    listed = errands.carry_out(conversations().index(Page(2)))
    [call] = errands.calls
    assert (call.method, call.path) == (
        "GET",
        f"v1/conversations?bot_id={BOT}&sort_order=DESC&page_num=1&page_size=50",
    )
    assert listed == {
        "object": "list",
        "data": [
            {"id": id, "object": "conversation", "created_at": int(id), "metadata": {"a": "b"}, "name": "n"}
            for id in ("1", "2")
        ],
        "has_more": True,
        "first_id": "1",
        "last_id": "2",
    }


def test_pages_are_followed_to_what_is_wanted() -> None:
    replies = [page(range(50), True), page(range(50, 100), True), page(range(100, 120), False)]
    errands = Errands([*replies])
    listed = errands.carry_out(conversations().index(Page(20, after="49", ascending=True)))
    assert [row["id"] for row in listed["data"]] == [str(n) for n in range(50, 70)]
    assert (listed["has_more"], len(errands.calls)) == (True, 2)
    assert "sort_order=ASC" in errands.calls[0].path
    listed = Errands([*replies]).carry_out(conversations().index(Page(20, after="99")))
    assert [row["id"] for row in listed["data"]] == [str(n) for n in range(100, 120)]
    assert listed["has_more"] is False


def test_an_end_that_is_not_found_is_the_end() -> None:
    errands = Errands([page([1], True)] * 100)
    listed = errands.carry_out(conversations().index(Page(20, after="x")))
    assert listed == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    assert len(errands.calls) == 40


def test_which_bot_and_whose_key() -> None:
    errands = Errands([page([], False)])
    one = conversations({"x-bot-id": "7"}, "czs_a", pass_through=True)
    errands.carry_out(one.index(Page()))
    assert "bot_id=7&" in errands.calls[0].path
    assert errands.calls[0].headers == {"Authorization": "Bearer czs_a"}
    for headers, bot_id in (({}, ""), ({"x-bot-id": "a"}, BOT)):
        with pytest.raises(BadRequest):
            Errands().carry_out(conversations(headers, bot_id=bot_id).index(Page()))


def test_creating() -> None:
    errands = Errands([good({"id": "77"}), good(rows(5)[0])])
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    messages = [USER, {"role": "assistant", "content": "x"}, {"role": "user", "content": [picture]}]
    created = errands.carry_out(conversations().create(messages, {"a": "b", "session_id": "s"}))
    upload, create = errands.calls
    assert (upload.path, create.path) == ("v1/files/upload", "v1/conversation/create")
    document = asked(create)
    assert (document["bot_id"], document["meta_data"]) == (BOT, {"a": "b"})
    assert [one["type"] for one in document["messages"]] == ["question", "answer", "question"]
    assert json.loads(document["messages"][2]["content"]) == [{"type": "image", "file_id": "77"}]
    assert (created["id"], created["object"]) == ("5", "conversation")
    errands = Errands([good({"id": "5", "created_at": "7", "meta_data": None, "name": None})])
    created = errands.carry_out(conversations().create([], {}))
    assert asked(errands.calls[0]) == {"bot_id": BOT}
    assert created == {"id": "5", "object": "conversation", "created_at": 7, "metadata": {}, "name": ""}


@pytest.mark.parametrize(
    "messages", [[{"role": "system", "content": "x"}], [{"role": "user", "content": ""}], ["x"], [{}]]
)
def test_a_conversation_takes_questions_and_answers(messages: list[Any]) -> None:
    with pytest.raises(BadRequest):
        Errands().carry_out(conversations().create(messages, {}))


def test_showing_deleting_clearing() -> None:
    errands = Errands([good(rows(5)[0]), good(), good({"id": "section", "conversation_id": CONVERSATION})])
    assert errands.carry_out(conversations().show(CONVERSATION))["id"] == "5"
    assert errands.carry_out(conversations().delete(CONVERSATION)) == {
        "id": CONVERSATION,
        "object": "conversation.deleted",
        "deleted": True,
    }
    assert errands.carry_out(conversations().clear(CONVERSATION)) == {
        "id": CONVERSATION,
        "object": "conversation",
        "cleared": True,
        "section_id": "section",
    }
    assert [(call.method, call.path) for call in errands.calls] == [
        ("GET", f"v1/conversation/retrieve?conversation_id={CONVERSATION}"),
        ("DELETE", f"v1/conversations/{CONVERSATION}"),
        ("POST", f"v1/conversations/{CONVERSATION}/clear"),
    ]


def told(id: int, **members: Any) -> dict[str, Any]:
    common = {"id": str(id), "role": "user", "type": "question", "content": "x", "content_type": "text"}
    return {**common, "created_at": id, **members}


def test_history_in_pages() -> None:
    replies = [
        good([told(n) for n in range(50)], first_id="0", last_id="49", has_more=True),
        good([told(n) for n in range(50, 60)], first_id="50", last_id="59", has_more=True),
    ]
    errands = Errands([*replies])
    listed = errands.carry_out(conversations().history(CONVERSATION, Page(60, ascending=True)))
    assert [row["id"] for row in listed["data"]] == [str(n) for n in range(60)]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (True, "0", "59")
    path = f"v1/conversation/message/list?conversation_id={CONVERSATION}"
    assert [call.path for call in errands.calls] == [path, path]
    assert [asked(call) for call in errands.calls] == [
        {"order": "asc", "limit": 50},
        {"order": "asc", "limit": 10, "after_id": "49"},
    ]


@pytest.mark.parametrize(
    ("members", "more"),
    [
        ({"has_more": False, "last_id": "1"}, False),
        ({"has_more": True, "last_id": "5"}, False),
        ({"has_more": "yes"}, False),
        ({}, False),
    ],
)
def test_history_ends_where_nothing_new_comes(members: dict[str, Any], more: bool) -> None:
    errands = Errands([good([told(1)], **members)])
    listed = errands.carry_out(conversations().history(CONVERSATION, Page(20, after="5")))
    assert (listed["has_more"], len(listed["data"])) == (more, 1)
    assert asked(errands.calls[0]) == {"order": "desc", "limit": 20, "after_id": "5"}


def test_history_without_a_last_id_goes_on_from_the_last_row() -> None:
    errands = Errands([good([told(1)], has_more=True), good([], has_more=True)])
    listed = errands.carry_out(conversations().history(CONVERSATION, Page(20)))
    assert asked(errands.calls[1])["after_id"] == "1"
    assert listed["has_more"] is False


def test_how_messages_read() -> None:
    objects = [{"type": "text", "text": "a"}, {"type": "image", "file_url": "https://h/b"}]
    odd = [
        told(1, role="assistant", type="answer", created_at="7"),
        told(2, content=json.dumps(objects), content_type="object_string"),
        told(3, content="[", content_type="object_string", type=None),
        told(4, content=None, content_type="object_string", role="x"),
        "x",
    ]
    listed = Errands([good(odd)]).carry_out(conversations().history(CONVERSATION, Page(20)))
    assert listed["data"] == [
        {"id": "1", "role": "assistant", "content": "x", "created_at": 7, "type": "answer"},
        {"id": "2", "role": "user", "content": objects, "created_at": 2, "type": "question"},
        {"id": "3", "role": "user", "content": "[", "created_at": 3, "type": ""},
        {"id": "4", "role": "user", "content": "", "created_at": 4, "type": "question"},
    ]
    nothing = Errands([good("x")]).carry_out(conversations().history(CONVERSATION, Page(20)))
    assert nothing["data"] == []


def test_adding() -> None:
    errands = Errands([good(told(9))])
    added = errands.carry_out(conversations().add(CONVERSATION, {"role": "assistant", "content": "x"}))
    [call] = errands.calls
    assert (call.method, call.path) == (
        "POST",
        f"v1/conversation/message/create?conversation_id={CONVERSATION}",
    )
    assert asked(call) == {"role": "assistant", "content_type": "text", "content": "x"}
    assert added["id"] == "9"


CALLS: list[Callable[[Conversations, str], Any]] = [
    lambda one, id: one.show(id),
    lambda one, id: one.delete(id),
    lambda one, id: one.clear(id),
    lambda one, id: one.history(id, Page()),
    lambda one, id: one.add(id, USER),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("id", ["", "conv_1", "1/../2", "1?x=y", "1" * 26, "1\n"])
def test_ids_are_checked_before_they_reach_a_path(call: Callable[[Conversations, str], Any], id: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Errands().carry_out(call(conversations(), id))
    assert caught.value.code == "invalid_conversation_id"


@pytest.mark.parametrize("call", CALLS)
def test_refusals_are_passed_on(call: Callable[[Conversations, str], Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        Errands([bad(4200)]).carry_out(call(conversations(), CONVERSATION))
    assert caught.value.status == 404


def test_a_cursor_must_be_an_id_and_a_conversation_must_have_one() -> None:
    with pytest.raises(BadRequest):
        Errands().carry_out(conversations().history(CONVERSATION, Page(20, after="x")))
    with pytest.raises(UpstreamMalformed):
        Errands([good({})]).carry_out(conversations().show(CONVERSATION))
