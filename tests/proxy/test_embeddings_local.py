"""The real small model: found inside its wheel, loaded once, honest about what it cannot take."""

from __future__ import annotations

import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from proxy import embeddings_local as module
from proxy.embeddings_local import LONGEST_TEXT, WordLlama, compute, installed
from translators.embeddings import Embed
from translators.errors import BadRequest, UpstreamNotReady


def asked(given: Any, **more: Any) -> Embed:
    return Embed.read({"model": "wordllama", "input": given, **more})


def made(given: Any, **more: Any) -> list[list[float]]:
    document = json.loads(b"".join(compute("wordllama", asked(given, **more))))
    return [item["embedding"] for item in document["data"]]


def test_a_vector_is_what_its_makers_would_make():
    from pathlib import Path

    import wordllama

    home = Path(wordllama.__file__).parent
    theirs = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
    texts = ["The cat sat on the mat.", "Grüße 🙂", "a"]
    for ours, other in zip(made(texts), theirs.embed(texts, norm=True), strict=True):
        assert ours == pytest.approx([float(part) for part in other], abs=1e-6)


@pytest.mark.parametrize("text", ["a", " ", "\x00", "\ud800", "🙂" * 100, "word " * 10_000])
@pytest.mark.parametrize("size", [1, 64, 256])
def test_unit_length(text: str, size: int):
    [vector] = made(text, dimensions=size)
    assert len(vector) == size
    assert math.fsum(part * part for part in vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "more", "param"),
    [
        ([1, 2], {}, "input"),
        ([[1], [2]], {}, "input"),
        ("a", {"dimensions": 257}, "dimensions"),
        (["a", "b" * (LONGEST_TEXT + 1)], {}, "input[1]"),
    ],
)
def test_what_it_cannot_take(given: Any, more: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as caught:
        made(given, **more)
    assert caught.value.param == param


def test_it_is_loaded_once_however_many_ask(monkeypatch: pytest.MonkeyPatch):
    loads: list[int] = []
    real = module._load
    monkeypatch.setattr(module, "_load", lambda: loads.append(1) or real())
    model = WordLlama()
    with ThreadPoolExecutor(4) as pool:
        vectors = list(pool.map(lambda _: list(model.vectors(asked("a"))), range(4)))
    assert loads == [1] and vectors[0] == vectors[3]


def test_without_the_extra_the_operator_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(UpstreamNotReady, match=r"deltawire\[embeddings\]"):
        list(WordLlama().vectors(asked("a")))


def test_whether_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    assert installed()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert not installed()
