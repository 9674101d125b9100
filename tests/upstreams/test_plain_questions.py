"""Plain questions, which Dify and Coze read in fewer steps, mean what the same words mean in any other form."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.upstreams.coze_setup import Errands
from tests.upstreams.coze_setup import coze as to_coze
from tests.upstreams.dify_setup import dify as to_dify
from translators.errors import BadRequest
from translators.upstreams.dify_ask import Question
from translators.upstreams.plan import Call

ROLES = st.sampled_from(["user", "assistant", "system", "developer"])
WORDS = st.sampled_from(["", " ", "hi", " hi\n", "a\n\nb", "[x](y)", "„ü“ \u2028", "<think>t</think>w"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": WORDS}), min_size=1, max_size=8)


def in_parts(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The same words in the form that is read in all its steps."""
    return [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]


def question(body: dict[str, Any]) -> Question | tuple[object, ...]:
    upstream = to_dify(body)
    try:
        return Question.read(upstream.prompt, upstream.settings, upstream.caller)
    except BadRequest as error:
        return error.message, error.param, error.code


@given(MESSAGES)
def test_dify_is_asked_the_same(messages: list[dict[str, str]]) -> None:
    plain = question({"messages": messages})
    neutral = {"n": 1, "metadata": {}, "inputs": {}, "files": [], "conversation_id": ""}
    assert plain == question({"messages": in_parts(messages), **neutral})
    if isinstance(plain, Question):
        upstream = to_dify({"messages": messages})
        upstream.prepare()
        assert upstream.call() == _called(in_parts(messages), neutral)


def _called(messages: list[dict[str, Any]], more: dict[str, Any]) -> Call:
    upstream = to_dify({"messages": messages, **more})
    upstream.prepare()
    return upstream.call()


def asked(body: dict[str, Any]) -> object:
    try:
        return Errands().ask(to_coze(body))
    except BadRequest as error:
        return error.message, error.param, error.code


@given(MESSAGES)
def test_coze_is_asked_the_same(messages: list[dict[str, str]]) -> None:
    assume(any(one["content"] for one in messages))
    neutral = {"n": 1, "tool_choice": "auto", "metadata": {}, "auto_save_history": True}
    assert asked({"messages": messages}) == asked({"messages": in_parts(messages), **neutral})


def test_a_clients_name_stays_the_same_and_is_its_own() -> None:
    names = [_user(owner) for owner in ("a", "b", "a", "")]
    assert names[0] == names[2]
    assert len({*names}) == 3


def _user(owner: str) -> str:
    upstream = to_dify(owner=owner)
    return Question.read(upstream.prompt, upstream.settings, upstream.caller).user


def test_calls_are_told_beside_the_words_of_their_message() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = {"role": "assistant", "content": "Wait.", "tool_calls": [call]}
    read = question({"messages": [said, {"role": "tool", "content": "42", "tool_call_id": "c1"}]})
    assert isinstance(read, Question)
    assert read.turns == ("Assistant: Wait.\n[called look({})]", "Tool: 42")
