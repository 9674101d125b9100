"""Several events of Coze's in one read: whatever stands beside whatever, each is read as if it came alone."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.framing.base import Frame
from translators.framing.sse import SSE
from translators.upstreams.coze_framing import CozeEvents, CozeFraming

BLOCKS: tuple[tuple[bytes, list[Frame]], ...] = (
    (b'event:a\ndata:{"n":1}\n\n', [(b"a", b'{"n":1}')]),
    (b"event:a\ndata:{}\n\n", [(b"a", b"{}")]),
    (b"event:b\ndata:{}\n\n", [(b"b", b"{}")]),
    (b"event: a\ndata: {}\n\n", [(b"a", b"{}")]),
    (b"event:a\ndata: {}\n\n", [(b"a", b"{}")]),
    (b"event:a\ndata:  {}\n\n", [(b"a", b" {}")]),
    (b"event:  a\ndata:{}\n\n", [(b" a", b"{}")]),
    (b"event:a\ndata:[]\n\n", [(b"a", b"[]")]),
    (b"event:a\ndata:{\ndata:}\n\n", [(b"a", b"{\n}")]),
    (b"event:a\ndata:\n\n", [(b"a", b"")]),
    (b"event:a\n\n", [(b"a", b"")]),
    (b"id:0\nevent:a\ndata:{}\n\n", [(b"a", b"{}")]),
    (b":still here\n\n", []),
    (b'{"code":1}\n\n', [(b"", b'{"code":1}')]),
    (b"event:a\ndata:{}\n{}\n\n", [(b"", b"{}"), (b"a", b"{}")]),
    (b"\n\n", []),
)
"""A block as it stands on the wire, and its frames."""


@pytest.mark.parametrize("first", BLOCKS, ids=[repr(block) for block, _ in BLOCKS])
def test_events_do_not_change_each_other(first: tuple[bytes, list[Frame]]) -> None:
    for second, third in product(BLOCKS, BLOCKS):
        wire = b"".join(block for block, _ in (first, second, third))
        expected = [*first[1], *second[1], *third[1]]
        assert CozeEvents().feed(wire) == expected, wire
        one_by_one = CozeEvents()
        assert [f for block, _ in (first, second, third) for f in one_by_one.feed(block)] == expected, wire


LINES = st.sampled_from(
    [
        *(b"event:a", b"event: a", b"event:", b"event", b" event:a", b"data:{}", b"data: {}", b"data:"),
        *(b"data:event:a", b"data", b"", b"", b"", b":", b"id:1", b"{}", b"xevent:a", b"event:a\x0bdata:{}"),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_what_is_cut_at_one_go_is_what_its_lines_say(lines: list[bytes]) -> None:
    whole = b"event:a\ndata:{}\n\n" + b"".join(line + b"\n" for line in lines) + b"\n"
    assert CozeEvents()._whole(whole) == SSE._whole(CozeEvents(), whole)
    assert CozeEvents()._whole(whole * 2) == SSE._whole(CozeEvents(), whole * 2)


def test_several_reads_are_read_alike() -> None:
    framing = CozeFraming()
    usual = b'event:a\ndata:{"n":1}\n\n'
    assert framing.feed(usual) == [(b"a", b'{"n":1}')]
    assert framing.feed(usual * 3) == [(b"a", b'{"n":1}')] * 3
    assert framing.feed(usual + b"event:z\ndata:[]\n\n") == [(b"a", b'{"n":1}'), (b"z", b"[]")]


def test_a_burst_may_be_larger_than_an_event() -> None:
    framing = CozeEvents(64)
    usual = b'event:a\ndata:{"n":1}\n\n'
    assert framing.feed(usual * 9) == [(b"a", b'{"n":1}')] * 9
    assert framing.feed(b'event:a\ndata:{"n":"%b"}\n\n' % (b"1" * 80)) == []
    assert framing.fault is not None
    assert framing.feed(usual) == []
