"""Fuzz: the event-stream framer and the one that sniffs. Cuts change nothing, nothing raises, bounds hold."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.corpus import WIRES, cut, fuzzed
from translators.framing.base import Frame, Framing
from translators.framing.sniff import Sniff
from translators.framing.sse import SSE


def run(make: Callable[[], Framing], parts: list[bytes]) -> tuple[list[Frame], str]:
    framing = make()
    frames: list[Frame] = []
    for part in parts:
        frames += framing.feed(part)
        if framing.fault is not None:
            break
    frames += framing.close()
    return frames, "" if framing.fault is None else framing.fault.message


@fuzzed
@given(cut(WIRES), st.sampled_from([16, 80, 400, 1 << 20]))
def test_fuzz_sse(case: tuple[bytes, list[bytes]], bound: int) -> None:
    data, parts = case
    frames, fault = run(lambda: SSE(bound), parts)
    assert (frames, fault) == run(lambda: SSE(bound), [data])
    assert all(len(name) + len(payload) <= bound for name, payload in frames)
    assert all(b"\r" not in payload for _, payload in frames)


@fuzzed
@given(cut([b"<html>", b'{"a":1}', b"  ", *WIRES]), st.sampled_from([16, 400, 1 << 20]))
def test_fuzz_sniff(case: tuple[bytes, list[bytes]], bound: int) -> None:
    data, parts = case
    assert run(lambda: Sniff(bound, bound), parts) == run(lambda: Sniff(bound, bound), [data])
