"""Fuzz: whole streams of the OpenAI dialect. Whatever comes in, what goes out is well formed and ends once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.corpus import WIRES, cut, fuzzed, mutated
from tests.surfaces.strict import loads, payloads
from tests.wires.reader import streamed, told, whole
from translators.errors import GatewayError
from translators.upstreams.openai_errors import refusal_error

MODES = st.sampled_from(["split", "keep", "drop"])


@fuzzed
@given(cut(WIRES), MODES)
def test_fuzz_openai_streamed(case: tuple[bytes, list[bytes]], mode: str) -> None:
    data, parts = case
    stream = streamed(reasoning=mode)
    out = told(stream, parts)
    assert out == told(streamed(reasoning=mode), [data])
    frames = payloads(out)
    if stream.failure is None:
        assert frames.count("[DONE]") == 1
        assert frames[-1] == "[DONE]"
        ends = [
            choice for frame in frames[:-1] for choice in loads(frame)["choices"] if choice["finish_reason"]
        ]
        assert ends
        assert len({choice["index"] for choice in ends}) == len(ends)
    else:
        assert "[DONE]" not in frames
        assert loads(frames[-1]) == stream.failure.document()


@fuzzed
@given(cut(WIRES), MODES)
def test_fuzz_openai_whole(case: tuple[bytes, list[bytes]], mode: str) -> None:
    data, parts = case
    stream = whole(reasoning=mode)
    out = told(stream, parts)
    assert out == told(whole(reasoning=mode), [data])
    assert (stream.failure is None) == bool(out)
    if out:
        assert loads(out)["object"] == "chat.completion"


@fuzzed
@given(mutated(WIRES), st.integers(300, 599))
def test_fuzz_refusal(body: bytes, status: int) -> None:
    error = refusal_error(status, body.removeprefix(b"data: "), None)
    assert isinstance(error, GatewayError)
    assert len(error.body().decode().splitlines()) == 1
