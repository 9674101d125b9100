"""The tricky cases of Coze, by their numbers, 23 to 36: what is asked, what is remembered, what is refused."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from tests.upstreams.coze_setup import (
    BOT,
    CHAT,
    CONVERSATION,
    CREATED,
    USER,
    WORKFLOW,
    Errands,
    asked,
    bad,
    chat,
    completed,
    coze,
    delta,
    event,
    events_of,
    good,
    of_wire,
    sent_by,
    streamed,
    whole,
    wire,
)
from tests.upstreams.coze_view import STOP, client_sees, failure_of, frames, text_of
from tests.wires.reader import told
from translators.errors import BadRequest, GatewayError
from translators.events import Finish
from translators.upstreams.plan import Call

CONVERSATION_HEADERS = {"x-conversation-id": CONVERSATION}
FIVE = [
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "3"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "5"},
]


@pytest.mark.parametrize("model_type", ["", "chat", "conversation"])
def test_case_23_a_conversation_gets_only_what_is_new(model_type: str) -> None:
    upstream = coze({"messages": FIVE}, {**CONVERSATION_HEADERS, "x-model-type": model_type})
    assert upstream.prepare() is None
    call = upstream.call()
    assert isinstance(call, Call)
    assert call.path == f"v3/chat?conversation_id={CONVERSATION}"
    assert "conversation_id" not in asked(call)
    assert [message["content"] for message in asked(call)["additional_messages"]] == ["5"]


def test_case_24_an_empty_header_is_absent() -> None:
    call = coze(headers={"x-conversation-id": "", "x-bot-id": " ", "x-model-type": ""}).call()
    assert isinstance(call, Call)
    assert call.path == "v3/chat"
    assert asked(call)["bot_id"] == BOT


def test_case_25_roles() -> None:
    messages = [{"role": "system", "content": "Be short."}, *FIVE]
    told_messages = asked(coze({"messages": messages}).call())["additional_messages"]
    assert told_messages[1] == {"role": "assistant", "type": "answer", "content_type": "text", "content": "2"}
    assert told_messages[-1] == {
        "role": "user",
        "type": "question",
        "content_type": "text",
        "content": "Be short.\n\n5",
    }


PIXEL = "data:image/png;base64,iVBORw0KGgo="


def picture(*parts: Any) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    return {"messages": [{"role": "user", "content": [*parts, image]}]}


def test_case_26_a_picture_is_handed_in_once() -> None:
    text = {"type": "text", "text": "Is this one?"}
    errands = Errands([good({"id": "7700"})])
    body = picture(text, {"type": "image_url", "image_url": {"url": PIXEL}})
    call = errands.ask(coze(body))
    [upload] = errands.calls
    assert (upload.method, upload.path) == ("POST", "v1/files/upload")
    boundary = upload.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert (
        upload.body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="image.png"\r\n'
            f"Content-Type: image/png\r\n\r\n"
        ).encode()
        + b"\x89PNG\r\n\x1a\n"
        + f"\r\n--{boundary}--\r\n".encode()
    )
    [told_message] = asked(call)["additional_messages"]
    assert told_message["content_type"] == "object_string"
    image = {"type": "image", "file_id": "7700"}
    assert json.loads(told_message["content"]) == [{"type": "text", "text": "Is this one?"}, image, image]
    errands.ask(coze(picture(text)))
    assert errands.calls == [upload]


def test_case_27_the_newest_hundred() -> None:
    messages = [{"role": "user", "content": str(n)} for n in range(130)]
    told_messages = asked(coze({"messages": messages}).call())["additional_messages"]
    assert [message["content"] for message in told_messages] == [str(n) for n in range(30, 130)]


def test_case_28_polling() -> None:
    usage = {"token_count": 9, "input_count": 7, "output_count": 2}
    listed = [
        {"id": "3", "type": "verbose", "content": "generate_answer_finish", "content_type": "text"},
        {"id": "4", "type": "follow_up", "content": "Why?", "content_type": "text"},
        {"id": "2", "type": "answer", "content": "Blue jay.", "content_type": "text", "role": "assistant"},
    ]
    errands = Errands(
        [
            good(chat("in_progress")),
            good(chat("in_progress")),
            good(chat("in_progress")),
            good(chat("completed", usage=usage)),
            good(listed),
        ]
    )
    upstream = coze(polling=True)
    sent = sent_by(errands.ask(upstream))
    question, *polls, listing = errands.calls
    assert (question.path, asked(question)["stream"]) == ("v3/chat", False)
    query = f"conversation_id={CONVERSATION}&chat_id={CHAT}"
    assert [(poll.method, poll.path) for poll in polls] == [("GET", f"v3/chat/retrieve?{query}")] * 3
    assert (listing.method, listing.path) == ("GET", f"v3/chat/message/list?{query}")
    assert errands.pauses == [1.0, 1.0, 1.0]
    document = json.loads(told(whole(upstream), [sent]))
    assert document["choices"][0]["message"]["content"] == "Blue jay."
    assert document["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def test_case_29_a_busy_conversation() -> None:
    error = failure_of(json.dumps({"code": 4016, "msg": "busy"}).encode())
    assert (error.status, error.type, error.code) == (409, "invalid_request_error", "conversation_busy")


def test_case_30_what_a_workflow_says_is_said_once() -> None:
    assert text_of(wire("workflow_text"), of_wire("workflow_text")) == "msgwhy"
    assert text_of(wire("workflow_end_text"), of_wire("workflow_end_text")) == "x"
    assert text_of(wire("workflow_end_object"), of_wire("workflow_end_object")) == '{"a":1,"b":"y"}'


def test_case_31_a_workflow_that_fails() -> None:
    error = failure_of(wire("workflow_error_first"), of_wire("workflow_error_first"))
    assert (error.status, error.code) == (400, "invalid_parameter")
    assert "Request parameter error" in error.message
    seen = client_sees(wire("workflow_error_late"), of_wire("workflow_error_late"))
    assert seen == ["role", "Hi", ("error", "upstream_timeout")]


def test_case_32_a_workflow_that_asks() -> None:
    errands = Errands()
    headers = {"x-model-type": "workflow", "x-conversation-id": "my-session"}
    first = coze(headers=headers)
    call = errands.ask(first)
    assert isinstance(call, Call)
    assert call.path == "v1/workflow/stream_run"
    assert client_sees(wire("workflow_interrupt"), first) == ["role", "Which city?", *STOP]
    errands.settle(first)
    second = coze({"messages": [USER, {"role": "user", "content": "Paris"}]}, headers)
    call = errands.ask(second)
    assert isinstance(call, Call)
    assert call.path == "v1/workflow/stream_resume"
    assert asked(call) == {
        "workflow_id": WORKFLOW,
        "event_id": "7550000000000000001/7550000000000000002",
        "interrupt_type": 2,
        "resume_data": "Paris",
    }
    finish = events_of(coze(headers=headers), [wire("workflow_interrupt")])[-1]
    assert type(finish) is Finish
    assert finish.platform is not None
    assert finish.platform["interrupt"] == {"event_id": "7550000000000000001/7550000000000000002", "type": 2}
    told(streamed(second), [wire("workflow_text")])
    errands.settle(second)
    third = errands.ask(coze(headers=headers))
    assert isinstance(third, Call)
    assert third.path == "v1/workflow/stream_run"


def test_case_33_ids_are_never_numbers() -> None:
    big = "18446744073709551615999"
    headers = {"x-bot-id": big, "x-conversation-id": big}
    call = coze(headers=headers).call()
    assert isinstance(call, Call)
    assert call.path == f"v3/chat?conversation_id={big}"
    assert asked(call)["bot_id"] == big
    upstream = coze()
    ids = {"id": big, "conversation_id": 9007199254740993}
    told(streamed(upstream), [event("conversation.chat.created", ids)])
    assert upstream.headers == {"x-conversation-id": "9007199254740993", "x-chat-id": big}
    farewell = upstream.farewell()
    assert farewell is not None
    assert asked(farewell) == {"conversation_id": "9007199254740993", "chat_id": big}


def test_case_34_tokens_are_bought_elsewhere_and_used_as_they_are() -> None:
    """The exchange of a signed claim for a token needs a clock: here are only its settings."""
    upstream = coze(oauth_app_id="1", oauth_key_id="k", oauth_private_key="-----BEGIN")
    assert "-----BEGIN" not in repr(upstream)
    call = upstream.call()
    assert isinstance(call, Call)
    assert "Authorization" not in call.headers


def test_case_35_streams_do_not_know_each_other() -> None:
    upstreams = [coze() for _ in range(3)]
    streams = [streamed(upstream, include_usage=False) for upstream in upstreams]
    for number, stream in enumerate(streams):
        stream.feed(event("conversation.chat.created", {"id": str(number), "conversation_id": f"{number}0"}))
    for text in ("a", "b", "c"):
        for number, stream in enumerate(streams):
            [*_, said] = frames(stream.feed(delta(f"{text}{number}")))
            assert said == f"{text}{number}"
    assert [upstream.headers["x-chat-id"] for upstream in upstreams] == ["0", "1", "2"]


def test_case_36_no_bot() -> None:
    for upstream in (
        coze(bot_id="", model="gpt-4o"),
        coze(bot_id="", model="gpt-4o", headers={"x-bot-id": ""}),
    ):
        with pytest.raises(BadRequest) as caught:
            upstream.prepare()
        assert caught.value.code == "missing_bot_id"
        assert caught.value.message == "Bot ID is required for chat completion"


# What the cases rest on.


def test_a_long_answer_is_not_kept_for_ever() -> None:
    upstream = coze()
    stream = streamed(upstream)
    stream.feed(CREATED)
    piece = delta("x" * 100_000)
    tracemalloc.start()
    try:
        for _ in range(200):
            stream.feed(piece)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 6_000_000
    assert b"yy" not in stream.feed(completed("x" * 1000 + "yy"))


def test_so_many_messages_are_known_at_once() -> None:
    sent = CREATED + b"".join(delta(str(n % 10), id=str(n)) for n in range(100))
    stream = streamed(coze(separator=""))
    stream.feed(sent)
    assert b'"content":"!"' in stream.feed(completed("9!", id="99"))
    assert b'"content":"0!"' in stream.feed(completed("0!", id="0"))  # forgotten, so it is new


def test_an_error_that_a_plan_meets_is_the_answer() -> None:
    with pytest.raises(GatewayError) as caught:
        Errands([bad(4013)]).ask(coze(picture()))
    assert caught.value.status == 429
