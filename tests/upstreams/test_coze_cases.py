"""The tricky cases of Coze, by their numbers, 1 to 22: what comes in, and what a chat client is told.

Cases about sockets, 18, 22, 34 and 35, are proven where there are sockets; here stands what their translators owe.
"""

from __future__ import annotations

import pytest

from tests.support.split import check_every_split
from tests.upstreams.coze_setup import (
    CHAT,
    CONVERSATION,
    CREATED,
    DONE,
    USER,
    asked,
    chat_completed,
    coze,
    delta,
    events_of,
    streamed,
    whole,
    wire,
)
from tests.upstreams.coze_view import STOP, client_sees, failure_of, frames, text_of
from tests.wires.reader import told
from translators.events import Activity, Finish, Suggestion
from translators.upstreams.plan import Call


def test_case_01_a_short_stream() -> None:
    assert client_sees(wire("chat_short")) == ["role", "Blue", " jay.", *STOP]
    assert text_of(wire("chat_short")) == "Blue jay."


def test_case_02_one_space_after_the_colon_changes_nothing() -> None:
    assert told(streamed(coze()), [wire("chat_short_spaced")]) == told(streamed(coze()), [wire("chat_short")])


def test_case_03_nothing_is_said_before_its_event_is_whole() -> None:
    sent = wire("chat_short")
    check_every_split(lambda parts: told(streamed(coze()), parts), sent)
    stream = streamed(coze())
    end = sent.index(b'"content":"Blue"')
    end = sent.index(b"\n\n", end) + 2
    assert b"".join(stream.feed(sent[n : n + 1]) for n in range(end - 1)) == b""
    assert frames(stream.feed(sent[end - 1 : end])) == ["role", "Blue"]


def test_case_04_white_space_is_kept_and_nothing_is_nothing() -> None:
    assert client_sees(wire("text_blanks")) == ["role", "a", " ", "\n", "b", *STOP]


def test_case_05_an_answer_that_never_streamed() -> None:
    assert client_sees(wire("answer_completed_only")) == ["role", "Blue jay.", *STOP]


def test_case_06_what_the_completed_message_adds() -> None:
    assert client_sees(wire("answer_completed_more")) == ["role", "A", "B", "C", *STOP]
    assert client_sees(wire("answer_completed_differs")) == ["role", "A", "B", *STOP]


def test_case_07_two_answers_and_their_separator() -> None:
    assert text_of(wire("answers_two")) == "Hi\n\nThere"
    assert text_of(wire("answers_two"), coze(separator="")) == "HiThere"
    assert client_sees(wire("answers_two")) == ["role", "Hi", "\n\nThe", "re", *STOP]


def test_case_08_notes_and_suggestions_are_not_content() -> None:
    assert client_sees(wire("noise_follow_ups")) == ["role", "Hi", *STOP]
    events = events_of(coze(), [wire("noise_follow_ups")])
    assert [event.text for event in events if type(event) is Suggestion] == ["What else?", "Why?"]
    finish = events[-1]
    assert type(finish) is Finish
    assert finish.platform is not None
    assert finish.platform["follow_ups"] == ["What else?", "Why?"]


def test_case_09_what_the_platform_does_by_itself() -> None:
    assert client_sees(wire("noise_plugins")) == ["role", "Blue jay.", *STOP]
    events = events_of(coze(), [wire("noise_plugins")])
    kinds = [event.kind for event in events if type(event) is Activity]
    assert kinds == ["knowledge", "function_call", "function_call", "tool_response", "tool_output"]


def test_case_10_thoughts_before_words() -> None:
    expected = ["role", {"thought": "let me"}, {"thought": " see"}, "4", "2", *STOP]
    assert client_sees(wire("reasoning")) == expected


def test_case_11_usage_under_any_name() -> None:
    assert (0, 0, 0) in client_sees(wire("usage_null"), include_usage=True)
    assert (7, 2, 9) in client_sees(wire("usage_other_names"), include_usage=True)
    assert (27, 4, 31) in client_sees(wire("chat_short"), include_usage=True)
    assert (0, 0, 9) in client_sees(wire("usage_total_only"), include_usage=True)


def test_case_12_no_usage_frame_unless_asked() -> None:
    assert not [frame for frame in client_sees(wire("chat_short")) if isinstance(frame, tuple)]


@pytest.mark.parametrize("form", ["quoted", "bare", "debug_url", "empty"])
def test_case_13_every_form_of_done(form: str) -> None:
    assert client_sees(wire(f"done_{form}")) == ["role", "Hi", *STOP]
    assert client_sees(wire(f"done_alone_{form}")) == ["role", "Hi", *STOP]


def test_case_14_the_answer_ends_when_the_chat_is_completed() -> None:
    sent = wire("audio")
    stream = streamed(coze(), include_usage=False)
    end = sent.index(b"event:conversation.audio.delta")
    assert frames(stream.feed(sent[:end])) == ["role", "Hi", *STOP]
    assert stream.done
    assert stream.feed(sent[end:]) + stream.close() == b""


def test_case_15_json_instead_of_a_stream() -> None:
    error = failure_of(wire("json_rate_limited"))
    assert (error.status, error.type, error.retry_after) == (429, "rate_limit_error", 1.0)
    assert error.message == "too fast (coze code 4013, logid 20270101120000AB12CD34EF56)"


def test_case_16_an_error_as_the_first_event() -> None:
    assert (failure_of(wire("error_first")).status, failure_of(wire("error_empty")).status) == (403, 502)
    assert failure_of(wire("error_after_created")).status == 404


def test_case_17_a_failure_after_words() -> None:
    assert client_sees(wire("failed_late")) == ["role", "par", ("error", "upstream_error")]


def test_case_18_an_end_without_an_end() -> None:
    assert client_sees(wire("eof_after_text")) == ["role", "par", ("error", "upstream_incomplete")]
    stream = whole(coze())
    assert told(stream, [wire("eof_after_text")]) == b""
    assert stream.failure is not None
    assert stream.failure.status == 502


def test_case_19_the_unknown_is_skipped() -> None:
    assert client_sees(wire("framing_noise")) == ["role", "Blue", " jay.", *STOP]


def test_case_20_a_tool_call_and_the_way_back() -> None:
    [role, call, finish, done] = client_sees(wire("action_function"))
    [function] = call["tool_calls"]
    assert (role, finish, done) == ("role", {"finish": "tool_calls"}, "[DONE]")
    assert function["function"] == {"name": "read_sensor", "arguments": '{"room":3}'}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [function]},
        {"role": "tool", "tool_call_id": function["id"], "content": '{"celsius":21}'},
    ]
    upstream = coze({"messages": messages})
    assert upstream.prepare() is None
    back = upstream.call()
    assert isinstance(back, Call)
    query = f"conversation_id={CONVERSATION}&chat_id={CHAT}"
    assert (back.method, back.path) == ("POST", f"v3/chat/submit_tool_outputs?{query}")
    assert asked(back) == {
        "tool_outputs": [{"tool_call_id": "QkFTRTY0SUQ=", "output": '{"celsius":21}'}],
        "stream": True,
    }
    goes_on = delta("It is 21.") + chat_completed() + DONE
    assert client_sees(CREATED + goes_on, upstream) == ["role", "It is 21.", *STOP]
    assert client_sees(goes_on, coze({"messages": messages})) == ["role", "It is 21.", *STOP]


def test_case_21_the_user_has_to_say_something() -> None:
    assert client_sees(wire("action_reply")) == ["role", "Which room?", *STOP]
    assert client_sees(wire("action_empty")) == ["role", "Hi", *STOP]


def test_case_22_what_to_say_when_the_client_leaves() -> None:
    upstream = coze()
    stream = streamed(upstream)
    assert upstream.farewell() is None
    stream.feed(CREATED + delta("a") + delta("b"))
    farewell = upstream.farewell()
    assert farewell is not None
    assert (farewell.method, farewell.path) == ("POST", "v3/chat/cancel")
    assert asked(farewell) == {"conversation_id": CONVERSATION, "chat_id": CHAT}
    stream.feed(chat_completed())
    assert upstream.farewell() is None
