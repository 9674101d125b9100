"""The usual chunk, which is not parsed: nobody can tell it from one that is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.upstreams.bedrock_frames import FRAMES, WORD
from tests.upstreams.bedrock_setup import Platform, contents, ready, say, streamed
from translators import wirejson
from translators.framing.aws import AwsEvents
from translators.stream import UNREADABLE
from translators.upstreams.bedrock_agent import BedrockAgent


def said(upstream: BedrockAgent, frames: list[tuple[bytes, bytes]], more: bytes) -> list[Any]:
    """What the frames mean one by one, ``more`` at the end of each chunk; up to one that cannot be read."""
    platform, events, wrong = Platform(), list[Any](), None
    for name, inside in frames:
        try:
            upstream.translate(name, inside + more if name == b"chunk" else inside, events.append)
        except UNREADABLE as error:
            wrong = type(error)
            break
    if wrong is None and not upstream.done:
        upstream.eof(events.append)
    platform.carry_out(upstream.settle())
    return [list(map(repr, events)), wrong, upstream.done, upstream._told.all, platform.memory]


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.sampled_from(["words", "off"]), st.booleans())
def test_nobody_can_tell_the_usual_chunk_from_one_that_is_parsed(
    sent: list[bytes], split: str, streams: bool
) -> None:
    """The first one included. A blank after the document makes it none of the usual ones."""
    frames = AwsEvents().feed(b"".join(sent))
    parsed = said(ready(streams, split=split), frames, b" ")
    assert said(ready(streams, split=split), frames, b"") == parsed


def test_the_first_chunk_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wirejson, "loads", None)
    assert contents(streamed().feed(WORD + say(" more"))) == ["word", " more"]
