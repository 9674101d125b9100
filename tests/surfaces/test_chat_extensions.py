"""What a platform tells beyond the dialect: clients see it in the last chunk where it is wanted, and only there."""

from __future__ import annotations

import pytest

from tests.surfaces.strict import documents, loads
from tests.wires.reader import ENVELOPE
from translators.events import Event, Finish, Text, Usage
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole

PLATFORM = {"trace": ["a"], "cost": 1}
TOLD = {"platform": PLATFORM}
SAID: list[Event] = [Text("a"), Usage(1, 2), Finish("stop", PLATFORM)]


@pytest.mark.parametrize("extensions", [True, False])
def test_a_whole_answer_tells_the_platforms_own_words(extensions: bool) -> None:
    body = loads(ChatWhole(ENVELOPE, extensions=extensions).render(SAID))
    assert body.get("deltawire") == (TOLD if extensions else None)
    assert body["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("extensions", [True, False])
def test_a_stream_tells_them_once_and_last(include_usage: bool, extensions: bool) -> None:
    chunks = documents(Chat(ENVELOPE, include_usage, extensions=extensions).render(SAID))
    told = [chunk.get("deltawire") for chunk in chunks]
    assert told == [None] * (len(chunks) - 1) + [TOLD if extensions else None]


def test_who_has_nothing_to_tell_says_nothing() -> None:
    said: list[Event] = [Text("a"), Finish("stop")]
    assert "deltawire" not in loads(ChatWhole(ENVELOPE, extensions=True).render(said))
    assert all("deltawire" not in chunk for chunk in documents(Chat(ENVELOPE, False, True).render(said)))
