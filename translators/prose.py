"""What the built-in model says, and the pieces it says it in.

A reply follows from the last user message and a number alone. Four requests are taken at their word: "count
to N", "repeat: X" (also "say X"), "refuse …" and, in the generator, calling a tool; anything else gets a few
sentences that quote the question, some of them in more than ASCII, so that clients meet accents, CJK and
emoji every few replies.

``pieces`` cuts a text the way a tokeniser would: words with the space before them, punctuation apart. Their
concatenation is the text, always.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

_PIECE = re.compile(r"\s?[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]|\s?\w{1,16}|\s?[^\w\s]|\s+")
_COUNT_TO = re.compile(r"\bcount\b.{0,40}?\bto\s+(\d{1,9})\b", re.IGNORECASE | re.DOTALL)
_REPEAT = re.compile(
    r"\s*(?:please\s+)?(?:repeat|say)(?:\s+after\s+me)?\s*(?::\s*|\s)(\S.*)", re.IGNORECASE | re.DOTALL
)
_REFUSE = re.compile(r"\s*(?:please\s+)?refuse\b", re.IGNORECASE)
_SEVERAL = re.compile(r"\b(?:both|all|parallel)\b", re.IGNORECASE)

_LONGEST_COUNT = 10_000
_LONGEST_REPEAT = 20_000
_LONGEST_QUOTE = 120
_COUNTED_EXACTLY = 100_000

_OPENINGS = (
    "You asked: “{quote}”.",
    "Let me take “{quote}” one step at a time.",
    "Thank you for “{quote}” — a good place to start.",
    "About “{quote}”: here is what I can say.",
)
_SENTENCES = (
    "The short answer is that it depends, and the long answer says on what.",
    "Think of a river: the water changes every second, and the river stays.",
    "Three things matter here: what goes in, what comes out, and how long it takes.",
    "In a café someone would draw it on a napkin and be done. ☕",
    "A first step that costs little and teaches much is usually the right one.",
    "In Japanese one might say 少しずつ, little by little.",
    "It helps to write the numbers down, because memory is kind to the wrong ones.",
    "Small pieces, sent early, feel faster than one large piece sent late. 🚀",
    "Naïve as it sounds, measuring twice is cheaper than explaining once.",
    "There is an old saying, 千里之行，始于足下: every long road begins underfoot.",
    "What looks like one question is often two that share a verb.",
    "If one part fails, the others should say so and carry on.",
)
_CLOSINGS = (
    "I hope that helps.",
    "Ask again and you will get the same words: I am deterministic.",
    "Tell me more, and I will say more. 🙂",
    "That is all I know, and now you know it too.",
)
_THOUGHTS = (
    "The user wants to know about “{quote}”.",
    "I should answer in a few plain sentences.",
    "Nothing here needs a calculation, so I can go on and reply.",
)
_REFUSAL = "I’m sorry, but I can’t help with that."

_SEEN = {
    "image_url": "an image",
    "image": "an image",
    "input_audio": "a sound recording",
    "file": "a file",
}
_SAID = {"text": "text", "refusal": "refusal"}
"""The parts of a message that hold words, and the member that holds them."""


def pieces(text: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(text))


def count(text: str) -> int:
    """How many pieces; past a limit an estimate, because counting 10 MiB would hold up every other stream."""
    exact = text[:_COUNTED_EXACTLY]
    return len(_PIECE.findall(exact)) + (len(text) - len(exact)) // 4


def chance(*parts: object) -> int:
    """A number that follows from ``parts`` in every process and on every machine."""
    return zlib.crc32("/".join(map(str, parts)).encode("utf-8", "replace"))


def clean(text: str) -> str:
    """``text`` without lone surrogates, which no frame could carry."""
    return text.encode("utf-8", "replace").decode()


def words_of(content: Any) -> str:
    """What the content of a message says: a string, or the parts that hold words."""
    if isinstance(content, str):
        return clean(content)
    if not isinstance(content, list):
        return ""
    said = []
    for part in content:
        if isinstance(part, dict) and isinstance(kind := part.get("type"), str):
            said.append(part.get(_SAID.get(kind, "")))
    return clean("\n".join(text for text in said if isinstance(text, str)))


def seen_in(content: Any) -> list[str]:
    """The parts that are not words, named."""
    parts = content if isinstance(content, list) else []
    kinds = [part.get("type") for part in parts if isinstance(part, dict)]
    return list(dict.fromkeys(_SEEN[kind] for kind in kinds if isinstance(kind, str) and kind in _SEEN))


def refusal(question: str) -> str:
    return _REFUSAL if _REFUSE.match(question) else ""


def asks_for_several(question: str) -> bool:
    return _SEVERAL.search(question) is not None


def quoted(question: str) -> str:
    line = " ".join(question[: 4 * _LONGEST_QUOTE].split())
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


def taken_at_its_word(question: str) -> str | None:
    """The whole reply, where the question says what it must be."""
    if (repeat := _REPEAT.match(question)) is not None:
        return repeat[1][:_LONGEST_REPEAT]
    if (upto := _COUNT_TO.search(question)) is not None:
        last = max(1, min(int(upto[1]), _LONGEST_COUNT))
        return ", ".join(map(str, range(1, last + 1))) + "."
    return None


def reply(question: str, seen: list[str], number: int) -> str:
    said = [_pick(_OPENINGS, number).format(quote=quoted(question) or "nothing")]
    if seen:
        said.append(f"I see {' and '.join(seen)}.")
    start = chance("middle", number)
    said += [_SENTENCES[(start + 5 * step) % len(_SENTENCES)] for step in range(2 + number % 3)]
    said.append(_pick(_CLOSINGS, number))
    return " ".join(said)


def after_tools(results: list[str], number: int) -> str:
    """An answer that shows that the tool was heard."""
    heard = " ".join(f"The tool says: {quoted(result) or 'nothing'}." for result in results)
    return f"{heard} {_SENTENCES[number % len(_SENTENCES)]}"


def thoughts(question: str, sentences: int) -> str:
    return " ".join(_THOUGHTS[:sentences]).replace("{quote}", quoted(question))


def _pick(table: tuple[str, ...], number: int) -> str:
    return table[chance(table[0], number) % len(table)]
