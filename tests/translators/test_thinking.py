"""``<think>`` cut at every place: thoughts and words are the same, and only what may be a tag is held back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from translators.events import Reasoning, Text
from translators.thinking import Thinking


def run(parts: Sequence[str], drop: bool = False) -> tuple[str, str]:
    """Joined thoughts and joined words."""
    said: list[Text | Reasoning] = []
    thinking = Thinking(drop)
    for part in parts:
        thinking.feed(part, said.append)
    thinking.close(said.append)
    assert thinking.plain
    assert all(event.text for event in said)
    joined = {
        kind: "".join(event.text for event in said if type(event) is kind) for kind in (Reasoning, Text)
    }
    return joined[Reasoning], joined[Text]


CASES: list[tuple[str, str, str]] = [
    ("", "", ""),
    ("plain", "", "plain"),
    ("<think>a</think>b", "a", "b"),
    (" \n<think>a</think>\n\nb", "a", "\n\nb"),
    ("<think></think>b", "", "b"),
    ("<think>a", "a", ""),
    ("<think>a</thin", "a</thin", ""),
    ("<think>a</thin</think>b", "a</thin", "b"),
    ("<think>a<</think>b", "a<", "b"),
    ("<think>a</think></think>b", "a", "</think>b"),
    ("<think><think>a</think>b", "<think>a", "b"),
    ("<thin", "", "<thin"),
    ("<thinker>a", "", "<thinker>a"),
    ("<Think>a</Think>", "", "<Think>a</Think>"),
    ("a<think>b</think>", "", "a<think>b</think>"),
    ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
    ("  \n ", "", "  \n "),
    (" " * 256 + "<think>a</think>b", "a", "b"),
    (" " * 257 + "<think>a</think>b", "", " " * 257 + "<think>a</think>b"),
]


@pytest.mark.parametrize(("text", "thoughts", "words"), CASES, ids=[repr(row[0][-30:]) for row in CASES])
def test_told_apart_wherever_it_is_cut(text: str, thoughts: str, words: str) -> None:
    assert check_every_split(run, text) == (thoughts, words)
    assert check_every_split(lambda parts: run(parts, drop=True), text) == ("", words)


PIECES = st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "a", " " * 250])


@given(
    st.lists(PIECES, max_size=8).map("".join).flatmap(lambda text: st.tuples(st.just(text), partitions(text)))
)
def test_any_text_cut_anywhere(case: tuple[str, list[str]]) -> None:
    text, parts = case
    assert run(parts) == run([text])


def test_only_what_may_be_a_tag_is_held_back() -> None:
    said: list[Text | Reasoning] = []
    thinking = Thinking()
    for part, heard in [
        ("<th", 0),
        ("ink>", 0),
        ("a<", 1),
        ("b</thin", 2),
        ("x", 3),
        ("</think>", 3),
        ("c", 4),
    ]:
        thinking.feed(part, said.append)
        assert len(said) == heard
    assert said == [Reasoning("a"), Reasoning("<b"), Reasoning("</thinx"), Text("c")]
    assert thinking.plain
