"""Every recorded answer of a Dify app: what it means, and that it means it however it is cut.

The goldens are data; the laws hold for each wire. ``UPDATE_WIRES=1 pytest tests/upstreams`` writes the goldens
anew; read the difference before it is committed.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from tests.upstreams.dify_setup import FOLDER, NAMES, goldens, of_wire, streamed, whole, wire
from tests.wires.reader import told


@pytest.mark.parametrize("name", NAMES)
def test_dify_wire_is_retold_as_recorded(name: str) -> None:
    for suffix, content in goldens(name).items():
        path = FOLDER / f"{name}.{suffix}"
        if os.environ.get("UPDATE_WIRES"):
            path.write_bytes(content)
        assert content == path.read_bytes(), path.name


def test_no_dify_golden_is_left_over() -> None:
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("sse", "events", "chunks", "whole")}
    assert {path.name for path in FOLDER.iterdir()} == expected
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_every_split_of_a_dify_wire_is_retold_alike(name: str) -> None:
    check_every_split(lambda parts: told(streamed(of_wire(name)), parts), wire(name))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_cuts_of_dify_wires_are_retold_alike_in_both_forms(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    parts = data.draw(partitions(wire(name)))
    for make in (streamed, whole):
        assert told(make(of_wire(name)), parts) == told(make(of_wire(name)), [wire(name)])


@pytest.mark.parametrize("name", NAMES)
def test_usage_is_told_only_where_it_is_wanted(name: str) -> None:
    out = told(streamed(of_wire(name), include_usage=False), [wire(name)])
    assert b'"usage"' not in out
