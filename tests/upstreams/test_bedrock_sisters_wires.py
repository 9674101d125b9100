"""Every recorded answer of a flow or a runtime: what it means, and that it means it however it is cut.

The goldens are data; the laws hold for each wire. ``UPDATE_WIRES=1 pytest tests/upstreams`` writes the goldens
anew; read the difference before it is committed.

The truncation law: an answer that was cut off is never made to look complete. A flow's answer is complete with its
completion event. A runtime's is with its body, so a body that was cut between two events, or between two
characters of text, is an answer like any other; within an event or a document it is none.
"""

from __future__ import annotations

import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split import check_every_split, partitions
from tests.upstreams.bedrock_sisters import CASES, FLOWS, IDS, RUNTIMES, Wires
from tests.wires.reader import told
from translators.errors import GatewayError

every_case = pytest.mark.parametrize(("wires", "name"), CASES, ids=IDS)


@every_case
def test_sister_wire_is_retold_as_recorded(wires: Wires, name: str) -> None:
    for suffix, content in wires.goldens(name).items():
        path = wires.folder / f"{name}.{suffix}"
        if os.environ.get("UPDATE_WIRES"):
            path.write_bytes(content)
        assert content == path.read_bytes(), path.name


@pytest.mark.parametrize(("wires", "least"), [(FLOWS, 15), (RUNTIMES, 35)], ids=["flows", "runtimes"])
def test_no_sister_golden_is_left_over(wires: Wires, least: int) -> None:
    suffixes = (wires.suffix, "events", "chunks", "whole")
    expected = {f"{name}.{suffix}" for name in wires.names for suffix in suffixes}
    assert {path.name for path in wires.folder.iterdir()} == expected
    assert len(wires.names) > least


@every_case
def test_every_split_of_a_sister_wire_is_retold_alike(wires: Wires, name: str) -> None:
    sent = wires.wire(name)
    if name.startswith(("text_", "bare_text")):
        whole = told(wires.whole(name), [sent])
        for place in range(len(sent)):
            assert told(wires.whole(name), [sent[:place], sent[place:]]) == whole
        return  # what streams as it comes is cut as it comes
    check_every_split(lambda parts: told(wires.streamed(name), parts), sent)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_random_cuts_of_sister_wires_are_retold_alike(data: st.DataObject) -> None:
    wires, name = data.draw(st.sampled_from(CASES))
    parts = data.draw(partitions(wires.wire(name)))
    assert told(wires.whole(name), parts) == told(wires.whole(name), [wires.wire(name)])


def ended(out: bytes) -> bool:
    """Whether it looks like a whole answer; an error frame and an end exclude each other."""
    failed = re.search(rb'^data: {"error"', out, re.MULTILINE) is not None
    finished = re.search(rb'"finish_reason":"', out) is not None
    assert failed != finished
    assert out.endswith(b"data: [DONE]\n\n") == finished
    return finished


@pytest.mark.parametrize("name", FLOWS.names)
def test_flow_cut_after_every_byte(name: str) -> None:
    sent = FLOWS.wire(name)
    full = told(FLOWS.streamed(name), [sent])
    for place in range(len(sent)):
        stream = FLOWS.streamed(name)
        out = told(stream, [sent[:place]])
        assert not ended(out), sent[:place]  # the last byte of a wire is the last of the frame that ends it
        assert isinstance(stream.failure, GatewayError)
        said = out[: out.index(b'data: {"error"')]
        assert full.startswith(said)


@pytest.mark.parametrize("name", RUNTIMES.names)
def test_runtime_cut_after_every_byte(name: str) -> None:
    sent = RUNTIMES.wire(name)
    full = content(told(RUNTIMES.streamed(name), [sent]))
    for place in range(len(sent)):
        cut = sent[:place]
        out = told(RUNTIMES.streamed(name), [cut])
        ends = ended(out)
        if sent.startswith((b"data:", b"event:")):
            assert not ends or between_events(cut), cut
        elif sent[:1] in (b"{", b"[", b'"'):
            assert not ends, cut
        if name != "result_only":  # before its result comes, there is only what nobody would tell beside it
            assert full.startswith(content(out).rstrip("\ufffd"))


def between_events(cut: bytes) -> bool:
    """Whether a body may well be over here: the last event needs no blank line, if it is whole without it."""
    last = cut.rpartition(b"\n\n")[2]
    data = last.rpartition(b"data: ")[2]
    if data[:1] not in (b"{", b"[", b'"'):
        return last in (b"", b"\n") or (b"data: " in last and last.endswith(b"\n"))
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def content(out: bytes) -> str:
    frames = [json.loads(frame[6:]) for frame in out.split(b"\n\n") if frame and frame != b"data: [DONE]"]
    choices = [choice for frame in frames for choice in frame.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
