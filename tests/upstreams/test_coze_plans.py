"""What Coze wants done around a question: conversations, polling, workflow sessions, runs in the background.

The plans are carried out by hand, with replies made up beforehand.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.coze_setup import (
    BOT,
    CHAT,
    CONVERSATION,
    CREATED,
    DONE,
    USER,
    WORKFLOW,
    Errands,
    asked,
    bad,
    chat,
    chat_completed,
    coze,
    delta,
    events_of,
    good,
    message,
    sent_by,
    streamed,
    whole,
    wire,
)
from tests.wires.reader import ENVELOPE, told
from translators.errors import (
    Forbidden,
    GatewayError,
    UpstreamAuthFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from translators.events import Activity, Failed, Finish, Suggestion, Text, ToolCall, Usage
from translators.upstreams.coze import Coze
from translators.upstreams.plan import SESSION, Call, Reply

TALK = {"x-model-type": "conversation"}
FLOW = {"x-model-type": "workflow"}


# Conversations.


def test_a_conversation_is_created_before_its_first_question() -> None:
    body = {"metadata": {"topic": "birds"}, "messages": [USER, {"role": "assistant", "content": "x"}, USER]}
    errands = Errands([good({"id": CONVERSATION})])
    upstream = coze(body, TALK, pass_through=True, key="pat_a")
    call = errands.ask(upstream)
    assert isinstance(call, Call)
    [create] = errands.calls
    assert (create.method, create.path) == ("POST", "v1/conversation/create")
    assert asked(create) == {"bot_id": BOT, "meta_data": {"topic": "birds"}}
    assert create.headers == call.headers == {"Authorization": "Bearer pat_a"}
    assert call.path == f"v3/chat?conversation_id={CONVERSATION}"
    assert len(asked(call)["additional_messages"]) == 3
    assert upstream.headers == {"x-conversation-id": CONVERSATION}
    assert upstream.farewell() is None


def test_no_conversation_is_created_where_one_is_known_or_none_is_wanted() -> None:
    assert coze(headers={**TALK, "x-conversation-id": CONVERSATION}).prepare() is None
    upstream = coze(headers=TALK, precreate_conversation=False)
    assert upstream.prepare() is None
    call = upstream.call()
    assert isinstance(call, Call)
    assert call.path == "v3/chat"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (good({}), UpstreamMalformed),
        (good({"id": "../x"}), UpstreamMalformed),
        (good(None), UpstreamMalformed),
        (bad(4100), UpstreamAuthFailed),
        (UpstreamUnreachable("no"), UpstreamUnreachable),
    ],
)
def test_a_conversation_that_cannot_be_created(reply: Any, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        Errands([reply]).ask(coze(headers=TALK))


# Polling.


def polled(*replies: Any, body: dict[str, Any] | None = None) -> tuple[Coze, Errands]:
    upstream = coze(body, polling=True)
    return upstream, Errands([*replies])


def test_only_answers_that_do_not_stream_are_polled() -> None:
    assert coze({"stream": True}, polling=True).prepare() is None
    upstream, errands = polled(
        good(chat("completed")), good([]), body={"auto_save_history": False, "messages": [USER]}
    )
    errands.ask(upstream)
    assert asked(errands.calls[0])["auto_save_history"] is True


@pytest.mark.parametrize("status", ["completed", "compleated"])
def test_answers_come_in_order_of_time(status: str) -> None:
    listed = [
        message("Why?", "9", type="follow_up", created_at=7),
        message("three", "10", created_at="6"),
        message("two", "9", created_at=6),
        message('{"name":"f"}', "8", type="function_call", created_at=8),
        message("one", "8", created_at=5),
        message("?", "8", type=["x"], created_at=None),
        "x",
    ]
    upstream, errands = polled(good(chat(status, usage={"input_count": 7, "output_count": 2})), good(listed))
    events = events_of(upstream, [sent_by(errands.ask(upstream))])
    assert [event.text for event in events if type(event) is Text] == ["one", "\n\ntwo", "\n\nthree"]
    assert [type(event) for event in events[1:]] == [Activity, Text, Text, Text, Suggestion, Usage, Finish]
    assert errands.pauses == []


def test_a_polled_run_may_need_the_client() -> None:
    action = {
        "submit_tool_outputs": {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
    }
    upstream, errands = polled(good(chat("requires_action", required_action=action)), good([]))
    events = events_of(upstream, [sent_by(errands.ask(upstream))])
    [call] = [event for event in events if type(event) is ToolCall]
    messages = [USER, {"role": "tool", "tool_call_id": call.id, "content": "1"}]
    upstream, errands = polled(good(chat("completed")), good(None), body={"messages": messages})
    script = errands.ask(upstream)
    assert errands.calls[0].path.startswith("v3/chat/submit_tool_outputs?")
    assert asked(errands.calls[0])["stream"] is False
    assert events_of(upstream, [sent_by(script)])[-1] == Finish(
        "stop", {"conversation_id": CONVERSATION, "chat_id": CHAT}
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("failed", "upstream_error"),
        ("canceled", "chat_canceled"),
        ("cancelled", "chat_canceled"),
        ("expired", "chat_expired"),
    ],
)
def test_a_polled_run_may_fail(status: str, code: str) -> None:
    members = {"last_error": {"code": 5000, "msg": "no"}}
    upstream, errands = polled(good(chat("created")), good(chat(status, **members)), good([]))
    last = events_of(upstream, [sent_by(errands.ask(upstream))])[-1]
    assert type(last) is Failed
    assert last.error.code == code


def test_a_polled_run_can_be_left() -> None:
    upstream, _ = polled()
    plan = upstream.prepare()
    assert plan is not None
    plan.send(None)
    assert upstream.farewell() is None
    plan.send(good(chat("in_progress")))
    farewell = upstream.farewell()
    assert farewell is not None
    assert asked(farewell) == {"conversation_id": CONVERSATION, "chat_id": CHAT}
    plan.close()


def test_a_polled_run_does_not_last_for_ever() -> None:
    upstream, errands = polled(*[good(chat("in_progress"))] * 2000)
    with pytest.raises(UpstreamTimeout):
        errands.ask(upstream)
    assert 500 < len(errands.pauses) < 1000


@pytest.mark.parametrize(
    "reply", [good({"id": CHAT}), good({"conversation_id": "1", "id": "../x"}), bad(4016)]
)
def test_a_polled_run_must_begin(reply: Reply) -> None:
    with pytest.raises(GatewayError):
        polled(reply)[1].ask(polled(reply)[0])


# Workflows and their sessions.


def run(headers: dict[str, str], errands: Errands, sent: bytes, body: dict[str, Any] | None = None) -> Call:
    upstream = coze(body, {**FLOW, **headers})
    call = errands.ask(upstream)
    assert isinstance(call, Call)
    told(streamed(upstream), [sent])
    errands.settle(upstream)
    return call


def test_what_a_workflow_is_given() -> None:
    body = {
        "messages": [{"role": "system", "content": "x"}, USER, {"role": "user", "content": "go"}],
        "parameters": {"a": 1, "b": 1},
        "workflow_parameters": {"b": 2, "input": "x"},
        "extra_params": {"latitude": "1"},
        "user": "u",
    }
    call = Errands().ask(coze(body, FLOW))
    assert isinstance(call, Call)
    assert asked(call) == {
        "workflow_id": WORKFLOW,
        "parameters": {"a": 1, "b": 2, "input": "go"},
        "bot_id": BOT,
        "ext": {"latitude": "1", "user_id": "u"},
    }
    named = coze({"app_id": "5"}, FLOW, workflow_input_key="question", bot_id="")
    document = asked(Errands().ask(named))
    assert (document["app_id"], document["parameters"]) == ("5", {"question": "Name a blue bird."})
    assert "bot_id" not in asked(Errands().ask(coze(headers=FLOW, bot_id="")))
    with pytest.raises(GatewayError):
        coze({"app_id": "x"}, FLOW).prepare()


def test_a_session_is_known_while_it_runs_and_afterwards() -> None:
    errands = Errands()
    upstream = coze(headers=FLOW)
    errands.ask(upstream)
    key = f"{SESSION}session-1"
    running = {
        "id": "session-1",
        "workflow_id": WORKFLOW,
        "execute_id": "",
        "status": "running",
        "created_at": ENVELOPE.created,
        "last_active": ENVELOPE.created,
        "interrupt": None,
        "debug_url": "",
    }
    assert errands.memory == {key: running}
    assert upstream.headers == {"x-conversation-id": "session-1"}
    told(streamed(upstream), [wire("workflow_end_text")])
    errands.settle(upstream)
    execution = {
        "execute_id": "7550000000000000001",
        "debug_url": "https://www.coze.example/work_flow?execute_id=7550000000000000001&space_id=7",
    }
    assert errands.memory == {key: {**running, "status": "completed", **execution}}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("workflow_error_late", "failed"),
        ("workflow_eof", "failed"),
        ("workflow_interrupt", "interrupted"),
        ("workflow_filtered_late", "completed"),
    ],
)
def test_how_a_session_ended(sent: str, status: str) -> None:
    errands = Errands()
    run({"x-conversation-id": "s"}, errands, wire(sent))
    assert errands.memory[f"{SESSION}s"]["status"] == status


def test_a_session_that_was_left_has_failed() -> None:
    errands = Errands()
    upstream = coze(headers=FLOW)
    errands.ask(upstream)
    streamed(upstream).feed(wire("workflow_eof"))
    assert upstream.farewell() is None
    errands.settle(upstream)
    assert errands.memory[f"{SESSION}session-1"]["status"] == "failed"


def test_a_session_keeps_its_beginning() -> None:
    errands = Errands(memory={f"{SESSION}s": {"created_at": 5, "interrupt": None, "workflow_id": WORKFLOW}})
    run({"x-conversation-id": "s"}, errands, wire("workflow_text"))
    assert errands.memory[f"{SESSION}s"]["created_at"] == 5


def test_a_session_may_be_named_in_the_metadata() -> None:
    errands = Errands()
    first = run({}, errands, wire("workflow_interrupt"), {"metadata": {"session_id": "s"}})
    second = run({"x-conversation-id": "s"}, errands, wire("workflow_text"))
    assert (first.path, second.path) == ("v1/workflow/stream_run", "v1/workflow/stream_resume")


@pytest.mark.parametrize(
    "known",
    [None, "x", {}, {"interrupt": {"event_id": "1", "type": 2}, "workflow_id": "5"}, {"interrupt": "x"}],
)
def test_what_does_not_wait_is_not_resumed(known: Any) -> None:
    errands = Errands(memory={f"{SESSION}s": known})
    assert run({"x-conversation-id": "s"}, errands, wire("workflow_text")).path == "v1/workflow/stream_run"


# Runs in the background.


def in_background(*replies: Any) -> tuple[Coze, Errands]:
    return coze({"is_async": True}, FLOW), Errands([good("", execute_id="77"), *replies])


def history(status: str, **members: Any) -> Reply:
    return good([{"execute_id": "77", "execute_status": status, **members}])


def test_a_run_in_the_background_is_asked_for() -> None:
    usage = {"input_count": 7, "output_count": 2}
    success = history("Success", output='{"output":"x"}', debug_url="https://c/?execute_id=77", usage=usage)
    upstream, errands = in_background(history("Running"), success)
    body = told(whole(upstream), [sent_by(errands.ask(upstream))])
    document = json.loads(body)
    assert document["choices"][0]["message"]["content"] == "x"
    assert document["usage"]["total_tokens"] == 9
    start, *polls = errands.calls
    assert (start.path, asked(start)["is_async"]) == ("v1/workflow/run", True)
    path = f"v1/workflows/{WORKFLOW}/run_histories/77"
    assert [(poll.method, poll.path) for poll in polls] == [("GET", path)] * 2
    assert errands.pauses == [1.0, 1.0]
    errands.settle(upstream)
    assert errands.memory[f"{SESSION}session-1"]["status"] == "completed"
    assert errands.memory[f"{SESSION}session-1"]["execute_id"] == "77"


def test_outputs_of_a_run_in_the_background_need_not_be_text() -> None:
    upstream, errands = in_background(history("Success", output={"a": 1}))
    assert Text('{"a":1}') in events_of(upstream, [sent_by(errands.ask(upstream))])


def test_a_run_in_the_background_may_fail() -> None:
    upstream, errands = in_background(history("Fail", error_code="4000", error_message="no", debug_url=None))
    last = events_of(upstream, [sent_by(errands.ask(upstream))])[-1]
    assert type(last) is Failed
    assert last.error.code == "invalid_parameter"
    assert last.error.message == "no (coze code 4000)"


def test_a_run_in_the_background_may_ask() -> None:
    question = {"event_id": "77/1", "type": 2, "data": "Which city?"}
    _, errands = in_background(history("Running", interrupt_data=question))
    upstream = coze({"is_async": True}, {**FLOW, "x-conversation-id": "s"})
    told(streamed(upstream), [sent_by(errands.ask(upstream))])
    errands.settle(upstream)
    assert errands.memory[f"{SESSION}s"]["interrupt"] == {"event_id": "77/1", "type": 2}
    again = coze({"is_async": True}, {**FLOW, "x-conversation-id": "s"})
    call = errands.ask(again)
    assert isinstance(call, Call)
    assert call.path == "v1/workflow/stream_resume"


@pytest.mark.parametrize(
    "replies",
    [
        [good("")],
        [good("", execute_id="../x")],
        [good("", execute_id="77"), good([])],
        [good("", execute_id="77"), good({})],
        [good("", execute_id="77"), good(["x"])],
        [bad(6003)],
    ],
)
def test_a_run_in_the_background_that_cannot_be_followed(replies: list[Reply]) -> None:
    with pytest.raises((UpstreamMalformed, Forbidden)):
        Errands([*replies]).ask(coze({"is_async": True}, FLOW))


def test_a_run_in_the_background_does_not_last_for_ever() -> None:
    upstream, errands = in_background(*[history("Running")] * 5000)
    with pytest.raises(UpstreamTimeout, match="execute_id 77"):
        errands.ask(upstream)
    assert upstream.farewell() is None


# What is told in headers, and when.


def test_headers_are_known_with_the_first_event() -> None:
    upstream = coze()
    stream = streamed(upstream)
    upstream.call()
    assert upstream.headers == {}
    stream.feed(CREATED)
    assert upstream.headers == {"x-conversation-id": CONVERSATION, "x-chat-id": CHAT}


def test_ids_that_are_no_ids_are_not_told() -> None:
    upstream = coze()
    odd = delta("a", conversation_id="a\r\nb", chat_id=True)
    events = events_of(upstream, [odd + chat_completed() + DONE])
    assert upstream.headers == {}
    assert upstream.farewell() is None
    assert Text("a") in events


def test_nothing_is_said_for_an_upstream_that_never_began() -> None:
    assert coze().farewell() is None
    assert coze().settle() is None
