"""Comments between bare events, which servers send to show that they are there: they cost no event and add none."""

from __future__ import annotations

import pytest

from translators.framing.sse import SSE

BETWEEN: list[tuple[bytes, list[bytes]]] = [
    (b"data: 1\n\n: still here\n\ndata: 2\n\n", [b"1", b"2"]),
    (b"data: 1\n\n:\n\n: a\n\ndata: 2\n\n: b\n\n", [b"1", b"2"]),
    (b"data: 1\n\n: data: x\n\ndata: : y\n\n", [b"1", b": y"]),
    (b"data: 1\n\n: a\ndata: 2\n\ndata: 3\n\n", [b"1", b"2", b"3"]),
    (b"data: 1\n\n: a\n\nid: 7\n\ndata: 2\n\n", [b"1", b"2"]),
]


@pytest.mark.parametrize(("sent", "data"), BETWEEN)
def test_comments_between_events_are_no_events(sent: bytes, data: list[bytes]) -> None:
    at_once, in_pieces = SSE(), SSE()
    frames = at_once.feed(sent)
    assert frames == [(b"", one) for one in data]
    pieces = [frame for at in range(len(sent)) for frame in in_pieces.feed(sent[at : at + 1])]
    assert pieces == frames
    assert at_once.close() == [] and at_once.fault is None
