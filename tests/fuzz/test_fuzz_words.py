"""Fuzz: text from an upstream. Excerpts are short, single lines; thoughts are told apart wherever they are cut."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.corpus import WIRES, fuzzed, mutated
from tests.support.split import partitions
from translators.events import Reasoning, Text
from translators.excerpt import LIMIT, clean, clean_bytes
from translators.thinking import Thinking

PAGES = [
    b"<html><script>var a='</div>';</script><body>Error at https://h:1/p &amp; /usr/lib/x/y.py</body></html>",
    b'Traceback (most recent call last):\n  File "/srv/app/main.py", line 3\nValueError: api_key=abcdef123456',
    b"upstream connect error: Bearer abcdefghijkl sk-abcdefghijklmnop 10.0.0.1:80 &#8212; &lt;b&gt;",
]
KEY = re.compile(r"(?<!\w)sk-abcdefghijklmnop")  # glued to a word it may be part of the word
TAGS = [b"<think>I</think>so", b"  <think>a</thi</think><think>", b"<thin", b"x<think>"]


@fuzzed
@given(st.one_of(mutated(PAGES), mutated(WIRES), st.binary()))
def test_fuzz_excerpt(data: bytes) -> None:
    for shown in (clean_bytes(data), clean(data.decode("utf-8", "surrogateescape"))):
        shown.encode()
        assert len(shown) <= LIMIT
        assert len(shown.splitlines()) <= 1
        assert KEY.search(shown) is None


@fuzzed
@given(
    mutated(TAGS)
    .map(lambda data: data.decode("utf-8", "replace"))
    .flatmap(lambda t: st.tuples(st.just(t), partitions(t)))
)
def test_fuzz_thinking(case: tuple[str, list[str]]) -> None:
    text, parts = case

    def run(pieces: list[str]) -> list[str]:
        said: list[Text | Reasoning] = []
        thinking = Thinking()
        for piece in pieces:
            thinking.feed(piece, said.append)
        thinking.close(said.append)
        kinds = (Reasoning, Text)
        return ["".join(event.text for event in said if type(event) is kind) for kind in kinds]

    thoughts, words = run(parts)
    assert [thoughts, words] == run([text])
    assert words in text
    assert thoughts in text
