"""A question that has been taken is let go, and what stays is enough to read, to say farewell and to settle."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from tests.upstreams.coze_setup import (
    CHAT,
    CONVERSATION,
    CREATED,
    DONE,
    WORKFLOW,
    Errands,
    asked,
    chat_completed,
    coze,
    delta,
    good,
    sent_by,
    streamed,
    whole,
    wire,
)
from tests.wires.reader import ENVELOPE, PROMPT, told
from tests.wires.reader import streamed as openai_stream
from tests.wires.reader import wire as openai_wire
from translators.request import FORGOTTEN, Prompt
from translators.stream import Stream
from translators.surfaces.chat import Chat
from translators.upstreams.coze import Coze
from translators.upstreams.openai import OpenAI, OpenAISettings
from translators.upstreams.plan import SESSION

IDS = {"conversation_id": CONVERSATION, "chat_id": CHAT}
FLOW: dict[str, Any] = {"model_type": "workflow"}
CHATFLOW: dict[str, Any] = {**FLOW, "chatflow": True}
KINDS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "chat"}, "chat_short"),
    (FLOW, "workflow_text"),
    (CHATFLOW, "chatflow"),
]


def taken(upstream: Coze, errands: Errands | None = None) -> Coze:
    """Its question asked and answered with a status."""
    (errands or Errands()).ask(upstream)
    upstream.asked()
    return upstream


# OpenAI.


def test_an_openai_question_is_let_go_and_its_answer_reads_the_same() -> None:
    prompt = Prompt(dict(PROMPT.body), "m", True, True)
    upstream = OpenAI(prompt, OpenAISettings(), ENVELOPE, "m")
    gone = weakref.ref(prompt)
    del prompt
    upstream.call()
    upstream.asked()
    gc.collect()
    assert gone() is None
    assert upstream.prompt is FORGOTTEN[True]
    sent = openai_wire("groq")
    stream = Stream(upstream.framing(), upstream, Chat(ENVELOPE, True))
    assert told(stream, [sent]) == told(openai_stream(), [sent])
    assert stream.failure is None


# Coze.


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("settings", [{}, FLOW, CHATFLOW])
def test_a_question_is_let_go(settings: dict[str, Any], streams: bool) -> None:
    upstream = coze({"stream": streams}, **settings)
    Errands().ask(upstream)
    gone = weakref.ref(upstream.prompt)
    upstream.asked()
    gc.collect()
    assert gone() is None
    assert upstream.prompt is FORGOTTEN[streams]


@pytest.mark.parametrize(("settings", "name"), KINDS)
def test_the_answer_to_a_question_that_was_let_go_reads_the_same(settings: dict[str, Any], name: str) -> None:
    plain = coze({"stream": True}, **settings)
    upstream = taken(coze({"stream": True}, **settings))
    assert upstream.prompt is FORGOTTEN[True]
    stream = streamed(upstream)
    assert told(stream, [wire(name)]) == told(streamed(plain), [wire(name)])
    assert stream.failure is None and upstream.done
    assert upstream.headers == plain.headers


def test_what_was_not_asked_is_kept() -> None:
    upstream = coze()
    before = upstream.prompt
    upstream.asked()
    assert upstream.prompt is before
    assert asked(Errands().ask(upstream))["additional_messages"][0]["content"] == "Name a blue bird."


def test_it_may_be_said_twice() -> None:
    upstream = taken(coze({"stream": True}))
    upstream.asked()
    streamed(upstream).feed(CREATED)
    farewell = upstream.farewell()
    assert farewell is not None and asked(farewell) == IDS


def test_a_chat_is_cancelled_by_its_own_ids_and_with_its_own_key() -> None:
    upstream = taken(coze({"stream": True}, pass_through=True, key="pat_a"))
    stream = streamed(upstream)
    assert upstream.farewell() is None  # nobody knows its name yet
    stream.feed(CREATED)
    stream.feed(delta("A jay."))
    farewell = upstream.farewell()
    assert farewell is not None
    assert (farewell.method, farewell.path) == ("POST", "v3/chat/cancel")
    assert (asked(farewell), farewell.headers) == (IDS, {"Authorization": "Bearer pat_a"})
    stream.feed(chat_completed() + DONE)
    assert upstream.farewell() is None
    assert upstream.settle() is None


def test_a_polled_answer_is_read_after_its_question_went() -> None:
    listed = {"id": "9", "type": "answer", "role": "assistant", "content": "A jay.", "content_type": "text"}
    chat = {"id": CHAT, "conversation_id": CONVERSATION, "status": "completed"}
    errands = Errands([good(chat), good([listed])])
    upstream = coze(polling=True)
    script = errands.ask(upstream)
    upstream.asked()
    assert upstream.prompt is FORGOTTEN[False]
    assert b'"content":"A jay."' in told(whole(upstream), [sent_by(script)])


def test_a_chatflow_cannot_be_cancelled_and_leaves_nothing() -> None:
    upstream = taken(coze({"stream": True}, **CHATFLOW))
    streamed(upstream).feed(CREATED + delta("A jay."))
    assert upstream.farewell() is None
    assert upstream.settle() is None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("workflow_text", "completed"),
        ("workflow_interrupt", "interrupted"),
        ("workflow_error_late", "failed"),
    ],
)
def test_a_workflow_is_settled_after_its_question_went(name: str, status: str) -> None:
    errands = Errands()
    upstream = taken(coze({"stream": True}, **FLOW), errands)
    session = upstream.headers["x-conversation-id"]
    assert errands.memory[SESSION + session]["status"] == "running"
    told(streamed(upstream), [wire(name)])
    assert upstream.farewell() is None
    errands.settle(upstream)
    known = errands.memory[SESSION + session]
    assert (known["id"], known["workflow_id"], known["status"]) == (session, WORKFLOW, status)
    assert (known["interrupt"] is not None) == (status == "interrupted")
    assert known["created_at"] == ENVELOPE.created
