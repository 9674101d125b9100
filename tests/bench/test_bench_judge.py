"""The judge of the bench finds what is wrong with a stream, and when its frames came, wherever it was cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.judge import judge
from bench.load import Recording
from bench.plan import Plan
from bench.wires import DIALECTS

PLAN = Plan(frames=3, pace="10")
DIALECT = DIALECTS["openai"]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMES = [DIALECT.opening, *(DIALECT.token(PLAN.piece(n, 1000 + n)) for n in range(3)), DIALECT.closing]


def wire(frames: list[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames) + b"0\r\n\r\n"


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


BROKEN: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a frame is missing": (lambda f: [f[0], f[1], f[3], f[4]], "frame 2 in place of 1"),
    "the last frame is missing": (lambda f: [*f[:3], f[4]], "2 of 3 frames"),
    "a frame comes twice": (lambda f: [*f[:2], f[1], *f[2:]], "frame 0 in place of 1"),
    "two frames changed places": (lambda f: [f[0], f[2], f[1], *f[3:]], "frame 1 in place of 0"),
    "text was changed": (lambda f: [f[0], f[1].replace(b"....", b"..,."), *f[2:]], "never sent"),
    "a stamp runs backwards": (
        lambda f: [*f[:3], DIALECT.token(PLAN.piece(2, 7)), f[4]],
        "a stamp runs backwards",
    ),
    "the id changes": (lambda f: [*f[:3], f[3].replace(b"up-1", b"up-2"), f[4]], "the id changed"),
    "an error": (lambda f: [*f[:2], b'data: {"error":{"message":"no"}}\n\n'], "an error"),
    "no end": (lambda f: f[:4], "no [DONE]"),
    "no finish reason": (lambda f: [*f[:4], b"data: [DONE]\n\n"], "no finish reason"),
    "two finish reasons": (lambda f: [*f[:4], f[4].partition(b"\n\n")[0] + b"\n\n", f[4]], "two finish"),
    "something after the end": (lambda f: [*f, f[1]], "does not belong"),
    "an event line": (lambda f: [f[0], b"event: x\n" + f[1], *f[2:]], "does not belong"),
    "half a frame": (lambda f: [*f, b"data: {"], "a frame without an end"),
    "not JSON": (lambda f: [f[0], f[1].replace(b"}", b"", 1), *f[2:]], "unreadable"),
    "another shape": (lambda f: [b"data: []\n\n", *f], "unreadable"),
}


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
