"""What the built-in model says, asked through the generator that says it, and the pieces it is cut into."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators import prose
from translators.generator import answer, whole


def ask(text: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def texts(request: dict[str, Any]) -> list[str]:
    body = whole(answer(request), request, id="chatcmpl-1", created=1)
    return [choice["message"]["content"] for choice in body["choices"]]


def said(request: dict[str, Any]) -> str:
    return texts(request)[0]


def test_reply_quotes_the_question_in_several_sentences() -> None:
    text = said(ask("Why is the sky blue?"))
    assert "Why is the sky blue?" in text
    assert text.count(". ") >= 2
    assert len(said(ask("why " * 500))) < 1500


def test_replies_vary_and_are_not_only_ascii() -> None:
    replies = {said(ask("hi", seed=seed)) for seed in range(20)}
    assert len(replies) > 15
    assert any("🚀" in text for text in replies)
    assert any("始" in text for text in replies)
    assert len(set(texts(ask("hi", n=4)))) > 1


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        ("count to 3", "1, 2, 3."),
        ("Could you count up slowly to 3, please", "1, 2, 3."),
        ("count to 0", "1."),
        ("repeat: a\nb  c", "a\nb  c"),
        ("Please repeat after me: naïve 😀", "naïve 😀"),
        ("Say this is a test", "this is a test"),
        ([{"type": "text", "text": "say hi"}, {"type": "image_url", "image_url": {"url": "x"}}], "hi"),
        ("say \ud83d!", "?!"),
    ],
)
def test_some_requests_are_taken_at_their_word(asked: Any, reply: str) -> None:
    assert said(ask(asked)) == reply


def test_counting_and_repeating_have_limits() -> None:
    assert said(ask("count to 999999999")).endswith(" 10000.")
    assert len(said(ask("say " + "x" * 100_000))) == 20_000


def test_parts_that_are_not_words_are_mentioned() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "file", "file": {}},
        {"type": "unheard-of"},
        {"type": ["text"], "text": "no"},
        {"type": "text", "text": 4},
        "loose",
    ]
    text = said(ask(parts))
    assert "I see an image and a sound recording and a file." in text
    assert "What is this?" in text


def test_a_very_long_prompt_is_estimated() -> None:
    usage = answer(ask("word " * 100_000)).usage
    assert 100_000 <= usage["prompt_tokens"] <= 130_000


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(prose.pieces(text)) == text
    assert prose.count(text) == len(prose.pieces(text))
