"""Thoughts told from words wherever they are cut, block after block and source after source."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split
from translators.events import Event, Reasoning, Text
from translators.upstreams import dify_words
from translators.upstreams.dify_words import MAX_BLOCKS, Words, visible

BLOCK = "<think>a</think>"


def run(parts: Sequence[str]) -> tuple[str, str]:
    """Joined thoughts and joined words."""
    said: list[Event] = []
    words = Words("split")
    for part in parts:
        words.say(part, said.append)
    words.close(said.append)
    assert words.plain
    thoughts = "".join(event.text for event in said if type(event) is Reasoning)
    spoken = "".join(event.text for event in said if type(event) is Text)
    assert words.told.text == spoken
    return thoughts, spoken


CASES: list[tuple[str, str, str]] = [
    ("", "", ""),
    ("plain", "", "plain"),
    (" plain", "", " plain"),
    ("<think>\nplan\n</think>\n\nHi", "\nplan\n", "Hi"),
    ("<think></think>\n\nHi", "", "Hi"),
    (f"{BLOCK} {BLOCK}\nb", "aa", "b"),
    (f"{BLOCK}b{BLOCK}", "a", f"b{BLOCK}"),
    (f"{BLOCK}\n<thin", "a", "<thin"),
    (f"{BLOCK}\n", "a", ""),
    ("<think>a</thi", "a</thi", ""),
    (" " * 256 + f"{BLOCK}b", "a", "b"),
    (" " * 257 + f"{BLOCK}b", "", " " * 257 + f"{BLOCK}b"),
    ("caf\u00e9 \U0001f600", "", "caf\u00e9 \U0001f600"),
    ("\ud83d\ude00", "", "\U0001f600"),
    ("a\ud83d", "", "a\ufffd"),
    ("\ude00a", "", "\ufffda"),
    (f"{BLOCK}\ud83d\ude00", "a", "\U0001f600"),
]


@pytest.mark.parametrize(("text", "thoughts", "spoken"), CASES, ids=[repr(row[0][-30:]) for row in CASES])
def test_words_wherever_they_are_cut(text: str, thoughts: str, spoken: str) -> None:
    assert check_every_split(run, text) == (thoughts, spoken)
    assert visible(text, "split") == visible(text, "drop") == spoken


def test_words_with_tags_kept() -> None:
    assert visible(f"{BLOCK}\n b", "keep") == f"{BLOCK}\n b"
    assert Words("keep").plain


def test_blocks_are_bounded() -> None:
    text = BLOCK * MAX_BLOCKS + " \n" + BLOCK
    assert check_every_split(run, BLOCK * 3) == ("aaa", "")
    assert run([text]) == run(list(text)) == ("a" * MAX_BLOCKS, BLOCK)


def test_another_source_may_think_again() -> None:
    said: list[Event] = []
    words = Words("split")
    for part in (f"{BLOCK}b", "<"):
        words.say(part, said.append)
    words.part(said.append)
    words.say(f"{BLOCK}c", said.append)
    assert said == [Reasoning("a"), Text("b"), Text("<"), Reasoning("a"), Text("c")]
    assert not words.replace("d", True, said.append)
    assert words.replace("de", True, said.append)


PIECES = [
    "<think>",
    "</think>",
    "<th",
    "ink>",
    "<",
    " ",
    "\n",
    "\u2003",
    "a",
    "é",
    "\ud83d",
    "\ude00",
    " " * 300,
]
STEPS = st.one_of(
    st.sampled_from(PIECES).map(lambda piece: ("say", piece)),
    st.text("<think>/ a", min_size=1, max_size=9).map(lambda text: ("say", text)),
    st.sampled_from([("part", ""), ("close", ""), ("replace", "a"), ("replace", "")]),
)


def heard(steps: list[tuple[str, str]], mode: dify_words.Mode) -> list[object]:
    said: list[Event] = []
    words = Words(mode)
    seen: list[object] = []
    for step, text in steps:
        if step == "say":
            words.say(text, said.append)
        elif step == "replace":
            seen.append(words.replace(text, True, said.append))
        else:
            getattr(words, step)(said.append)
        seen.append((repr(said), words.plain, words.told.all))
    return seen


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=10), st.sampled_from(["split", "keep", "drop"]))
def test_the_splitter_would_have_said_the_same(steps: list[tuple[str, str]], mode: dify_words.Mode) -> None:
    """It is only asked where a part begins with what may be a tag; here every part is shown to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dify_words, "may_open", lambda text: True)
        expected = heard(steps, mode)
    assert heard(steps, mode) == expected
