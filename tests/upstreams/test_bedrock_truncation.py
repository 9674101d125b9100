"""The truncation law for Bedrock: an answer that was cut off is never made to look complete.

No event ends an answer, so one that is cut between two frames cannot be told from one that ended there: it is
complete if it has an answer at all. Everywhere else the last frame is cut, and that is an error. Both are read here
a second time, from lengths and event types alone.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from tests.support.split import places
from tests.upstreams.bedrock_setup import NAMES, chunks, deltas, streamed, whole, wire
from tests.wires.reader import told
from translators.errors import GatewayError

COMPLETE, OPEN = "complete", "open"
MALFORMED = ("malformed_chunk", "malformed_json")


def frames_of(sent: bytes) -> tuple[list[tuple[bytes, dict[str, Any]]], bool]:
    """Headers, payload of each whole frame, and whether nothing is left over."""
    found = []
    while len(sent) >= 12:
        total, length = struct.unpack(">II", sent[:8])
        if len(sent) < total:
            break
        payload = sent[12 + length : total - 4]
        found.append((sent[12 : 12 + length], _members(payload)))
        sent = sent[total:]
    return found, not sent


def _members(payload: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(payload)
    except ValueError:
        return {"malformed": True}
    return document if len(document.get("bytes", "xx")) != 1 else {"malformed": True}


def state_after(sent: bytes) -> str:
    found, whole = frames_of(sent)
    answered = False
    for headers, document in found:
        if b"exception" in headers or b"error" in headers or "malformed" in document:
            return OPEN
        if b"chunk" in headers or b"returnControl" in headers or b"files" in headers:
            answered = True
        step = document.get("trace", {})
        final = step.get("orchestrationTrace", {}).get("observation", {}).get("finalResponse")
        if final is not None and "collaboratorName" not in document:
            answered = True
        if step.get("guardrailTrace", {}).get("action") == "INTERVENED" and not any(
            "ANONYMIZED" in json.dumps(one) for one in step["guardrailTrace"].get("outputAssessments", [])
        ):
            answered = True
    return COMPLETE if answered and whole else OPEN


def said(out: bytes, member: str) -> str:
    return "".join(delta.get(member) or "" for delta in deltas(out))


@pytest.mark.parametrize("name", NAMES)
def test_bedrock_answer_cut_after_every_byte(name: str) -> None:
    sent = wire(name)
    full = told(streamed(), [sent])
    for place in places(sent):
        stream = streamed()
        out = told(stream, [sent[:place]])
        errors = [chunk for chunk in chunks(out) if "error" in chunk]
        for member in ("content", "reasoning_content"):
            # A character that was torn by the cut is told as one that could not be read.
            assert said(full, member).startswith(said(out, member).removesuffix("\ufffd"))
        if state_after(sent[:place]) == COMPLETE:
            assert stream.failure is None
            assert not errors
            assert out.endswith(b"data: [DONE]\n\n")
        else:
            assert isinstance(stream.failure, GatewayError)
            assert len(errors) == 1
            assert b"[DONE]" not in out
            assert b'"finish_reason":"' not in out


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_bedrock_answer_is_never_made_of_a_part(name: str) -> None:
    sent = wire(name)
    for place in range(0, len(sent), 3):
        stream = whole()
        body = told(stream, [sent[:place]])
        complete = state_after(sent[:place]) == COMPLETE
        assert bool(body) == complete == (stream.failure is None)


def test_both_outcomes_of_bedrock_occur() -> None:
    states = {name: state_after(wire(name)) for name in NAMES}
    for name in ("text_whole", "tools", "files", "final_only", "guardrail_silent", "citations_without_text"):
        assert states[name] == COMPLETE
    for name in ("cut_off", "no_output", "nothing", "throttled_first", "unmodelled", *MALFORMED):
        assert states[name] == OPEN
