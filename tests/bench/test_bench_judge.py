"""The judge of the bench finds what is wrong with a stream, and when its frames came, wherever it was cut."""

from __future__ import annotations

import pytest

from bench.judge import judge
from bench.load import Recording
from bench.plan import Plan
from tests.bench.broken import BROKEN, FRAMES, PLAN, wire


def recorded(*pieces: bytes, end: str = "complete") -> Recording:
    return Recording(900, [(2000 + 10 * number, piece) for number, piece in enumerate(pieces)], end)


def test_a_right_stream_has_no_defect() -> None:
    verdict = judge(recorded(wire(FRAMES)), PLAN)
    assert verdict.defect is None
    assert verdict.first_token == 2000 - 900
    assert verdict.lags == (1000, 999, 998)


def test_a_frame_came_when_its_last_byte_did() -> None:
    raw = wire(FRAMES)
    last = raw.index(PLAN.piece(1, 1001))
    ends = raw.index(b"\n\n", last) + 2
    for cut in range(1, len(raw)):
        verdict = judge(recorded(raw[:cut], raw[cut:]), PLAN)
        assert verdict.defect is None
        assert verdict.lags[1] == (2010 if cut < ends else 2000) - 1001, cut


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_stream_is_found_out(name: str) -> None:
    spoil, defect = BROKEN[name]
    assert defect in (judge(recorded(wire(spoil(FRAMES))), PLAN).defect or "")


@pytest.mark.parametrize("end", ["unfinished", "closed", "refused: b'HTTP/1.1 502'"])
def test_a_stream_that_did_not_end_is_defective(end: str) -> None:
    assert judge(recorded(wire(FRAMES), end=end), PLAN).defect == end


@pytest.mark.parametrize(
    ("old", "new", "defect"),
    [
        (b"0\r\n\r\n", b"0\r\n\r\nmore0\r\n\r\n", "bytes after the last chunk"),
        (b"\r\n0\r\n\r\n", b"\r\n1\r\n\r\n\r\n0\r\n\r\n", "a chunk of the wrong size"),
        (b"\r\n0\r\n\r\n", b"\r\nx\r\n\r\n0\r\n\r\n", "unreadable"),
    ],
)
def test_chunks_must_be_right(old: bytes, new: bytes, defect: str) -> None:
    raw = wire(FRAMES)
    assert raw.endswith(old)
    assert defect in (judge(recorded(raw.removesuffix(old) + new), PLAN).defect or "")


def test_a_plan_reads_back_what_it_asked_for() -> None:
    plan = Plan(5, "step", batch=2, size=64)
    request = plan.request("/v1/chat/completions", "m")
    assert Plan.found_in(request) == plan
    assert plan.read(plan.piece(7, 123).decode()) == (123, 7)


@pytest.mark.parametrize("words", ["frames=0 pace=1 batch=1 size=40", "frames=5 pace=1 batch=1 size=9", ""])
def test_an_impossible_plan_is_none(words: str) -> None:
    assert Plan.found_in(words.encode()) is None
