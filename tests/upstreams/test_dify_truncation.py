"""The truncation law for Dify: an answer that was cut off is never made to look complete.

Every recorded wire is cut after every byte and then ended cleanly. What comes out is an exact prefix of what the
whole wire gives, then one error frame; except where the answer was complete already. Complete is read here a second
time, with nothing but the standard library:

- ``message_end`` or ``workflow_paused`` has come (its blank line need not), or ``workflow_finished`` of a workflow;
- or the body ends in order after ``workflow_finished`` of a chatflow, or after a question to a person.

An error, or a run that failed, is the end of both.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.split import places
from tests.upstreams.dify_setup import NAMES, of_wire, streamed, whole, wire
from tests.upstreams.test_openai_truncation import deltas, error_frames, payloads
from tests.wires.reader import told
from translators.errors import GatewayError

COMPLETE, OPEN, FAILED = "complete", "open", "failed"
UNREAD = re.compile(
    r'\{"event":"(?:ping|brand_new|tts_\w+|parallel_\w+|node_retry|agent_log|iteration_next)"'
)


def state_after(sent: bytes) -> str:
    found, in_order = payloads(sent)
    ready, failed, opened = False, False, False
    for payload in found:
        if opened and UNREAD.match(payload):
            continue
        try:
            event: dict[str, Any] = json.loads(payload)
        except ValueError:
            return FAILED
        opened = opened or "task_id" in event or "message_id" in event
        name, data = event.get("event"), event.get("data") or {}
        chats = "message_id" in event
        if name == "error" or (name is None and "code" in event):
            return FAILED
        if name == "workflow_finished" or (name is None and "status" in data):
            failed = data["status"] == "failed"
            if not chats:
                return FAILED if failed else COMPLETE
            ready = not failed
        elif name in ("message_end", "workflow_paused") or "mode" in event:
            return COMPLETE
        elif name == "human_input_required":
            ready = True
    if failed:
        return FAILED
    return COMPLETE if in_order and ready else OPEN


@pytest.mark.parametrize("name", NAMES)
def test_dify_answer_cut_after_every_byte(name: str) -> None:
    sent = wire(name)
    full = told(streamed(of_wire(name)), [sent])
    for place in places(sent):
        cut = sent[:place]
        stream = streamed(of_wire(name))
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
            said = out.removesuffix(error + b"\n\n")
            assert full.startswith(said)
            assert b"[DONE]\n" not in out
            assert re.search(rb'"finish_reason":"', said) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_dify_answer_is_never_made_of_a_part(name: str) -> None:
    sent = wire(name)
    for place in range(0, len(sent), 3):
        stream = whole(of_wire(name, streams=False))
        body = told(stream, [sent[:place]])
        complete = state_after(sent[:place]) == COMPLETE
        assert bool(body) == complete == (stream.failure is None), sent[:place]


def test_every_outcome_of_dify_occurs() -> None:
    states = {name: state_after(wire(name)) for name in NAMES}
    for name in ("chat", "chatflow_1_13_lost_end", "chatflow_1_16", "workflow_json", "chatflow_asks_back"):
        assert states[name] == COMPLETE
    assert states["chat_cut_off"] == states["chatflow_lost_both"] == OPEN
    assert states["workflow_failed"] == states["chatflow_failed_silently"] == FAILED
