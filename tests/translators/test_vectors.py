"""The vectors that need no model: fixed for ever, of unit length, near where words are shared."""

from __future__ import annotations

import math

import pytest

from translators.embeddings import Embed
from translators.errors import BadRequest
from translators.vectors import SIZE, is_long, size_of, vector, vectors


def near(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(one, SIZE), vector(other, SIZE), strict=True))


@pytest.mark.parametrize(
    "given", ["a", "the cat", "Grüße 🙂", "  ", "!", "\ud800", [1, 2], "w " * 20_000, [7] * 20_000]
)
@pytest.mark.parametrize("size", [1, 8, 1536, 3072])
def test_unit_length(given, size: int):
    made = vector(given, size)
    assert len(made) == size
    assert math.fsum(part * part for part in made) == pytest.approx(1)


def test_the_same_for_ever():
    assert [round(part, 6) for part in vector("The cat sat.", 4)] == PINNED
    assert vector("The cat sat.", 4) == vector("The cat sat.", 4)


def test_texts_that_differ_have_other_vectors():
    assert vector("a b", 8) != vector("b a", 8)
    assert vector([1, 2], 8) != vector([2, 1], 8)


def test_shared_words_bring_texts_together():
    assert near("where does the cat sleep", "The cat sleeps") > 2 * near(
        "where does the cat sleep", "bake a bread"
    )


def test_a_vector_of_nothing_has_a_direction(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("translators.vectors._NOISE", 0.0)
    assert vector("!", 3) == [1.0, 0.0, 0.0]


def test_sizes():
    assert size_of("text-embedding-3-small", None) == size_of("anything", None) == 1536
    assert size_of("text-embedding-3-large", None) == 3072
    assert size_of("anything", 7) == 7
    with pytest.raises(BadRequest) as caught:
        size_of("text-embedding-3-small", 1537)
    assert caught.value.param == "dimensions"


def test_tokens_are_counted_and_much_work_is_known():
    embed = Embed.read({"model": "m", "input": ["two words", "!"]})
    assert [count for _, count in vectors(embed, 2)] == [2, 1]
    tokens = Embed.read({"model": "m", "input": [5, 6, 7]})
    assert [count for _, count in vectors(tokens, 2)] == [3]
    assert not is_long(embed, 1536)
    assert is_long(embed, 20_000)
    assert is_long(Embed.read({"model": "m", "input": "x" * 30_000}), 2)


PINNED = [0.474942, -0.472099, 0.237788, -0.703569]
