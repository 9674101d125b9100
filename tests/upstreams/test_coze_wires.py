"""Every recorded answer of Coze: what it means, and that it means it however it is cut."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from tests.upstreams.coze_setup import FOLDER, NAMES, goldens, of_wire, streamed, whole, wire
from tests.wires.reader import told


@pytest.mark.parametrize("name", NAMES)
def test_coze_wire_is_retold_as_recorded(name: str) -> None:
    for suffix, content in goldens(name).items():
        path = FOLDER / f"{name}.{suffix}"
        if os.environ.get("UPDATE_WIRES"):
            path.write_bytes(content)
        assert content == path.read_bytes(), path.name


def test_no_coze_golden_is_left_over() -> None:
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("sse", "events", "chunks", "whole")}
    assert {path.name for path in FOLDER.iterdir()} == expected
    assert len(NAMES) > 70


@pytest.mark.parametrize("name", NAMES)
def test_every_split_of_a_coze_wire_is_retold_alike(name: str) -> None:
    check_every_split(lambda parts: told(streamed(of_wire(name)), parts), wire(name))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_random_cuts_of_coze_wires_are_retold_alike_in_both_forms(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    parts = data.draw(partitions(wire(name)))
    for form in (streamed, whole):
        assert told(form(of_wire(name)), parts) == told(form(of_wire(name)), [wire(name)])


def test_both_spacings_and_all_line_ends_say_the_same() -> None:
    alike = ("chat_short", "chat_short_spaced", "framing_crlf", "framing_cr", "framing_bom")
    assert len({told(streamed(of_wire(name)), [wire(name)]) for name in alike}) == 1
