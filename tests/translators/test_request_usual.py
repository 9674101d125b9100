"""The look that most requests get, held against the table that all others go through.

Every body is read twice: as it is, and with a field and a message more that nothing is wrong with but that the look
does not know. Both have to be refused in the same words, or both taken for the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from translators import request
from translators.errors import BadRequest
from translators.request import MAX_MODEL, Prompt

MESSAGE = {"role": "user", "content": "hi"}
UNUSUAL = {"role": "user", "content": "hi", "name": "n"}

USUAL: list[dict[str, Any]] = [
    {"model": "m", "messages": [MESSAGE]},
    {"model": "m" * MAX_MODEL, "messages": [MESSAGE], "stream": False},
    {"model": "m", "messages": [MESSAGE], "stream": True, "stream_options": {"include_usage": True}},
    {"model": "m", "messages": [MESSAGE], "stream": True, "stream_options": {"include_usage": False}},
    {"model": "m", "messages": [MESSAGE], "stream": None, "stream_options": None, "user": None},
    {"model": "ü ö", "messages": [{"role": role, "content": ""} for role in request._SPEAKERS]},
]

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, 1.0, True, False, "", " ", "\x00", "\u3000", "m" * 257, "user", "tool", [], {}]
)
"""What may stand anywhere, right or wrong."""
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool", "function", "User"])
MESSAGES = st.lists(
    st.one_of(
        ODD,
        st.fixed_dictionaries({"role": ROLES | ODD, "content": st.text() | ODD}),
        st.fixed_dictionaries(
            {}, optional={"role": ROLES, "content": ODD, "name": ODD, "tool_calls": ODD, "tool_call_id": ODD}
        ),
    ),
    max_size=4,
)
OPTIONS = st.fixed_dictionaries({}, optional={"include_usage": ODD, "include_obfuscation": ODD, "x": ODD})
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.text(min_size=1) | ODD,
        "messages": MESSAGES | ODD,
        "stream": st.booleans() | ODD,
        "stream_options": OPTIONS | ODD,
        "temperature": ODD,
        "x": ODD,
    },
)


def read(body: dict[str, Any]) -> tuple[object, ...]:
    """What became of it, without the body itself."""
    try:
        prompt = Prompt.from_chat(body)
    except BadRequest as error:
        return error.message, error.param, error.code
    return prompt.model, prompt.stream, prompt.include_usage


def read_by_table(body: dict[str, Any]) -> tuple[object, ...]:
    messages = body.get("messages")
    more = {"messages": [*messages, UNUSUAL]} if type(messages) is list and messages else {}
    return read({**body, **more, "user": "u"})


@given(BODIES)
@example({"model": "m", "messages": [MESSAGE], "stream": True, "stream_options": {"include_usage": 1}})
@example({"model": "m", "messages": [MESSAGE], "stream": 1, "stream_options": {"include_usage": True}})
@example({"model": "m", "messages": [MESSAGE], "stream_options": {"include_usage": True}})
@example({"model": "m", "messages": [{"role": ["user"], "content": "hi"}]})
@example({"model": "m", "messages": [{"role": "tool", "content": "hi"}]})
@example({"model": "\u3000", "messages": [MESSAGE]})
def test_a_look_takes_what_the_table_takes(body: dict[str, Any]) -> None:
    assert read(body) == read_by_table(body)


@pytest.mark.parametrize("body", USUAL)
def test_a_usual_request_needs_no_table(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_by_table(body)
    monkeypatch.setattr(request, "_FIELDS", {"model": None, "messages": None})  # neither can be called
    assert read(body) == expected


def test_words_need_no_look_at_each_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []
    monkeypatch.setattr(request, "_several", lambda value, param: checked.append(value))
    Prompt.from_chat({"model": "m", "messages": [MESSAGE], "temperature": 1})
    assert not checked
    Prompt.from_chat({"model": "m", "messages": [UNUSUAL], "temperature": 1})
    assert checked == [[UNUSUAL]]


def test_the_clients_own_object_is_left_as_it_is() -> None:
    body = {"model": "m", "messages": [MESSAGE], "stream": None}
    assert "stream" not in Prompt.from_chat(body).body
    assert "stream" in body
