"""The truncation law: an answer that was cut off is never made to look complete.

Every recorded wire is cut after every byte and then ended cleanly. What comes out is an exact prefix of what the
whole wire gives, then one error frame, and neither a finish reason nor ``[DONE]``; except where the answer was
complete already. Complete means what the upstream's docstring says, read here a second time with nothing but
the standard library:

- ``[DONE]`` has come (its blank line need not) and at least one choice had begun before it, or
- every choice that has begun has been given a reason that is none of the broken ones, at least one has begun,
  and what is left over is nothing, blank, comments, or an event that only lacks its blank line.

An error inside the stream is the end of both.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.split import places
from tests.wires.reader import NAMES, streamed, told, whole, wire
from translators.errors import GatewayError

BROKEN = {"error", "abort", "aborted", "cancelled"}
COMPLETE, OPEN, FAILED = "complete", "open", "failed"


def payloads(sent: bytes) -> tuple[list[str], bool]:
    """The data of all events, and whether the rest after them is in order."""
    text = sent.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        return [text], True
    *events, rest = re.sub("\r\n?", "\n", text).split("\n\n")
    found = [data for event in events if (data := data_of(event))]  # one without data says nothing
    last = data_of(rest)
    if last is not None:
        return [*found, *filter(None, [last])], bool(last)
    return found, all(line[:1] in ("", ":") for line in rest.split("\n"))


def data_of(event: str) -> str | None:
    lines = [line.partition(":") for line in event.split("\n")]
    data = [value.removeprefix(" ") for name, _, value in lines if name == "data"]
    return "\n".join(data) if data else None


def state_after(sent: bytes) -> str:
    reasons: dict[int, str] = {}
    found, in_order = payloads(sent)
    for payload in found:
        if payload.strip() == "[DONE]":
            return COMPLETE if reasons else FAILED
        try:
            chunk: dict[str, Any] = json.loads(payload)
        except ValueError:
            return FAILED
        if chunk.get("error") or chunk.get("object") == "error":
            return FAILED
        for choice in chunk.get("choices", ()):
            index = choice.get("index", 0)
            reasons[index] = choice.get("finish_reason") or reasons.get(index, "")
            if reasons[index] in BROKEN:
                return FAILED
    return COMPLETE if in_order and reasons and all(reasons.values()) else OPEN


def error_frames(out: bytes) -> list[bytes]:
    return [frame for frame in out.split(b"\n\n") if frame.startswith(b'data: {"error":')]


def deltas(out: bytes) -> str:
    """What the choices say, without their ends."""
    frames = [frame.removeprefix(b"data: ") for frame in out.split(b"\n\n") if frame]
    chunks = [json.loads(frame) for frame in frames if frame != b"[DONE]"]
    return repr(
        [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ()) if choice["delta"]]
    )


@pytest.mark.parametrize("name", NAMES)
def test_cut_after_every_byte(name: str) -> None:
    sent = wire(name)
    full = told(streamed(), [sent])
    for place in places(sent):
        cut = sent[:place]
        stream = streamed()
        out = told(stream, [cut])
        if state_after(cut) == COMPLETE:
            assert stream.failure is None, cut
            assert not error_frames(out)
            assert out.count(b"data: [DONE]\n\n") == 1
            assert out.endswith(b"data: [DONE]\n\n")
            assert deltas(out) in (deltas(full), deltas(full)[: len(deltas(out)) - 1] + "]")
        else:
            assert isinstance(stream.failure, GatewayError), cut
            [error] = error_frames(out)
            assert out.endswith(error + b"\n\n")
            said = out.removesuffix(error + b"\n\n")
            assert full.startswith(said)
            assert b"[DONE]\n" not in out
            assert re.search(rb'"finish_reason":"', said) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_answer_is_never_made_of_a_part(name: str) -> None:
    sent = wire(name)
    for place in range(0, len(sent), 3):
        stream = whole()
        body = told(stream, [sent[:place]])
        complete = state_after(sent[:place]) == COMPLETE
        assert bool(body) == complete == (stream.failure is None)


def test_both_outcomes_occur() -> None:
    states = {name: state_after(wire(name)) for name in NAMES}
    assert states["openai_text"] == states["framing_cr"] == states["eof_after_reason"] == COMPLETE
    assert states["eof_without_reason"] == OPEN
    assert states["eof_in_usage"] == states["openrouter_error"] == states["finish_error"] == FAILED
