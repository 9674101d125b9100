"""A history that comes back is recognised, however clients dress it, and no other one is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.affinity import MAX_TOLD, SHORT, History, Told, in_single_spaces

HI = {"role": "user", "content": "Hi"}
MORE = {"role": "user", "content": "More"}


def answer(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def continued(messages: list[dict[str, Any]], *scope: str) -> str:
    return History.of(messages, *scope).key


def concluded(messages: list[dict[str, Any]], told: str, *scope: str) -> str:
    return History.of(messages, *scope).after(told)


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example.org/a.png"}}
OTHER = {"type": "image_url", "image_url": {"url": "https://x.example.org/b.png"}}

SAME: list[tuple[list[dict[str, Any]], str, list[dict[str, Any]]]] = [
    ([HI], "Hello", [HI, answer("Hello")]),
    ([HI], " Hello\n", [HI, answer("Hello")]),
    ([HI], "Hel\r\n  lo", [HI, answer("Hel lo")]),
    ([HI], "Hello", [{"role": "user", "content": text(" Hi ")}, answer(text("Hello"))]),
    ([HI], "Hello", [HI, answer("<think>a</think>\n\nHello")]),
    ([HI], "<think>a</think>Hello", [HI, answer("Hello")]),
    ([HI], "Hello", [HI, answer("<think>a</think> <think>b</think>Hello")]),
    ([HI], "", [HI, answer("<think>a")]),
    ([HI], "", [HI, answer(None)]),
    ([HI], "See [](https://x/a.png)\n", [HI, answer("See ![a picture](https://x/a.png)")]),
    ([HI], "Hello", [HI, {**answer("Hello"), "name": "Ann", "reasoning_content": "hm", "tool_calls": None}]),
    ([{"role": "system", "content": "x"}, HI], "a", [{"role": "developer", "content": "x"}, HI, answer("a")]),
    ([{"role": "user", "content": [IMAGE]}], "a", [{"role": "user", "content": [IMAGE]}, answer("a")]),
    ([HI], "\ud83d", [HI, answer("\ud83d")]),
]


@pytest.mark.parametrize(("asked", "told", "history"), SAME)
def test_the_same_history(asked: list[dict[str, Any]], told: str, history: list[dict[str, Any]]) -> None:
    key = concluded(asked, told, "alice")
    assert key.startswith("conversation:")
    assert continued([*history, MORE], "alice") == key
    assert continued([*history, {**MORE, "content": "Something else"}], "alice") == key


DIFFERENT: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "hi"}, answer("Hello")],
    [HI, answer("Hello!")],
    [HI, answer("Hel lo")],
    [HI, HI, answer("Hello")],
    [HI, answer("Hello"), answer("Hello")],
    [{"role": "system", "content": ""}, HI, answer("Hello")],
    [{"role": "system", "content": "Hi"}, answer("Hello")],
    [{"role": "user", "content": [*text("Hi"), IMAGE]}, answer("Hello")],
    [{"role": "user", "content": [*text("Hi"), OTHER]}, answer("Hello")],
    [HI, answer("Hello <think>a</think>")],
    [HI, {**answer("Hello"), "tool_calls": [{"id": "a", "function": {"name": "f"}}]}],
    [HI, answer("[Hello](https://x)")],
    [HI, answer("Hello"), MORE],
]


def test_other_histories_have_other_keys() -> None:
    keys = [
        concluded([HI], "Hello", "alice"),
        *(continued([*history, MORE], "alice") for history in DIFFERENT),
    ]
    assert "" not in keys
    assert len(set(keys)) == len(keys)


def test_links_with_other_addresses_differ() -> None:
    keys = {continued([HI, answer(f"[x]({url})"), MORE]) for url in ("https://a", "https://b")}
    assert len(keys) == 2
    assert continued([{"role": "user", "content": "[x](https://a)"}, answer("a"), MORE]) != continued(
        [{"role": "user", "content": "[y](https://a)"}, answer("a"), MORE]
    )


def test_thoughts_are_left_out_as_far_as_anybody_has_them() -> None:
    def key(blocks: int) -> str:
        return continued([HI, answer("<think>a</think>" * blocks + "b"), MORE])

    assert key(0) == key(1) == key(64)
    assert key(64) != key(65)


def test_scopes_do_not_meet() -> None:
    scopes = [(), ("a",), ("b",), ("a", "b"), ("ab",), ("a", ""), ("", "a")]
    assert len({concluded([HI], "Hello", *scope) for scope in scopes}) == len(scopes)


@pytest.mark.parametrize("messages", [[HI], [HI, MORE], [{"role": "system", "content": "x"}, HI]])
def test_without_an_answer_nothing_is_gone_on_with(messages: list[dict[str, Any]]) -> None:
    assert continued(messages, "alice") == ""


def test_only_a_question_has_an_answer() -> None:
    assert continued([HI, answer("Hello")]) == ""
    assert concluded([HI, answer("Hello")], "more") == ""


def test_a_long_history_goes_on_turn_by_turn() -> None:
    messages: list[dict[str, Any]] = []
    key = ""
    for turn in range(5):
        messages.append({"role": "user", "content": f"Question {turn}"})
        assert continued(messages, "alice") == key
        key = concluded(messages, f"Answer {turn}", "alice")
        messages.append(answer(f"Answer {turn}"))


PIECES = st.sampled_from(["Hi", " ", "\n", "<think>", "</think>", "[a](b)", "![](c)", "](", "[", "x" * 9])


@given(st.lists(PIECES).map("".join), st.lists(PIECES).map("".join))
def test_what_was_told_is_recognised_whatever_it_is(question: str, told: str) -> None:
    asked = [{"role": "user", "content": question}]
    assert continued([*asked, answer(told), MORE]) == concluded(asked, told)
    assert continued([*asked, answer(f"\n{told} "), MORE]) == concluded(asked, told)


# What has been told.


def test_told_word_by_word() -> None:
    told = Told()
    for piece in ("a", "b", ""):
        told.say(piece)
    told.show("https://x/y.png")
    assert told.text == told.all == "ab[](https://x/y.png)\n"


@pytest.mark.parametrize(
    ("streamed", "replaced", "text", "everything"),
    [
        (True, "abc", "abc", "abc"),
        (True, "xyz", "xyz", "ab\n\nxyz"),
        (False, "xyz", "xyz", "xyz"),
        (False, "abc", "abc", "abc"),
    ],
)
def test_told_something_else(streamed: bool, replaced: str, text: str, everything: str) -> None:
    told = Told()
    told.say("ab")
    told.replace(replaced, streamed)
    assert (told.text, told.all) == (text, everything)
    told.replace("0", True)
    assert (told.text, told.all) == ("0", f"{everything}\n\n0")


def test_told_too_much() -> None:
    told = Told()
    told.say("x" * MAX_TOLD)
    assert told.all is not None
    told.say("x")
    assert told.all is None
    assert len(told.text) == MAX_TOLD
    told.replace("y", True)
    assert told.all is None
    assert told.text == ""


@pytest.mark.parametrize(
    "content", ["hi", "h" * SHORT, "h" * (SHORT + 1), [{"type": "text", "text": "hi"}], ""]
)
def test_a_first_question_is_found_again_however_long_it_is(content: Any) -> None:
    asked = {"role": "user", "content": content}
    history = History.of([asked], "u")
    assert history.key == ""
    next_time = [asked, {"role": "assistant", "content": "there"}, {"role": "user", "content": "more"}]
    assert history.after("there") == History.of(next_time, "u").key != ""
    assert history.after("there") != History.of(next_time, "other").key


def test_a_long_question_is_let_go_at_once() -> None:
    for content in ("h" * (SHORT + 1), [{"type": "text", "text": "hi"}]):
        assert History.of([{"role": "user", "content": content}], "u")._first is None


@given(
    st.lists(st.sampled_from(["a", "bc", " ", "  ", "\n", "\t", "\x1f", "\x7f", "\xa0", "é", "\u2028"])).map(
        "".join
    )
)
def test_a_text_in_single_spaces_is_its_words(text: str) -> None:
    assert in_single_spaces(text) == " ".join(text.split())
