"""Every recorded answer of an OpenAI-shaped server: what it means, and that it means it however it is cut.

The goldens are data; the laws hold for each wire. Cutting is about framing, so the streamed form is cut at
every byte and the whole form in random ways.
"""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from tests.wires.reader import FOLDER, NAMES, goldens, streamed, told, whole, wire


@pytest.mark.parametrize("name", NAMES)
def test_wire_is_retold_as_recorded(name: str) -> None:
    for suffix, content in goldens(name).items():
        path = FOLDER / f"{name}.{suffix}"
        if os.environ.get("UPDATE_WIRES"):
            path.write_bytes(content)
        assert content == path.read_bytes(), path.name


def test_no_golden_is_left_over() -> None:
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("sse", "events", "chunks", "whole")}
    assert {path.name for path in FOLDER.iterdir()} == expected
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_every_split_of_a_wire_is_retold_alike(name: str) -> None:
    check_every_split(lambda parts: told(streamed(), parts), wire(name))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_random_cuts_are_retold_alike_in_both_forms(data: st.DataObject) -> None:
    sent = wire(data.draw(st.sampled_from(NAMES)))
    parts = data.draw(partitions(sent))
    for make in (streamed, whole):
        assert told(make(), parts) == told(make(), [sent])


@pytest.mark.parametrize("name", NAMES)
def test_wire_without_its_usage_tells_the_same_words(name: str) -> None:
    with_usage = json_frames(told(streamed(), [wire(name)]))
    without = json_frames(told(streamed(include_usage=False), [wire(name)]))
    assert all("usage" not in frame for frame in without)
    assert [{**frame, "usage": None} for frame in with_usage if frame.get("choices") != []] == [
        {**frame, "usage": None} for frame in without
    ]


def json_frames(out: bytes) -> list[dict[str, object]]:
    payloads = [frame.removeprefix(b"data: ") for frame in out.split(b"\n\n") if frame]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]"]
