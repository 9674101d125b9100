"""Every recorded answer of an agent: what it means, and that it means it however it is cut.

The goldens are data; the laws hold for each wire. ``UPDATE_WIRES=1 pytest tests/upstreams`` writes the goldens
anew; read the difference before it is committed.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from tests.upstreams.bedrock_setup import FOLDER, NAMES, goldens, streamed, whole, wire
from tests.wires.reader import told


@pytest.mark.parametrize("name", NAMES)
def test_bedrock_wire_is_retold_as_recorded(name: str) -> None:
    for suffix, content in goldens(name).items():
        path = FOLDER / f"{name}.{suffix}"
        if os.environ.get("UPDATE_WIRES"):
            path.write_bytes(content)
        assert content == path.read_bytes(), path.name


def test_no_bedrock_golden_is_left_over() -> None:
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("frames", "events", "chunks", "whole")}
    assert {path.name for path in FOLDER.iterdir()} == expected
    assert len(NAMES) > 30


@pytest.mark.parametrize("name", NAMES)
def test_every_split_of_a_bedrock_wire_is_retold_alike(name: str) -> None:
    check_every_split(lambda parts: told(streamed(), parts), wire(name))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_random_cuts_of_bedrock_wires_are_retold_alike_in_both_forms(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    parts = data.draw(partitions(wire(name)))
    for make in (streamed, whole):
        assert told(make(), parts) == told(make(), [wire(name)])


@pytest.mark.parametrize("name", NAMES)
def test_bedrock_usage_is_told_only_where_it_is_wanted(name: str) -> None:
    assert b'"usage"' not in told(streamed(include_usage=False), [wire(name)])
