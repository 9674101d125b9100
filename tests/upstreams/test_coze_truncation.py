"""The truncation law for Coze: an answer that was cut off is never made to look complete.

Every recorded wire is cut after every byte and then ended cleanly. Complete means, read here a second time with
nothing but the standard library: an event that ends the run has come with all its data, or ``done`` by its name
once something was said, or the platform's word that it filtered the rest. Anything else is a prefix of the whole
and one error frame.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.split import places
from tests.upstreams.coze_setup import NAMES, of_wire, streamed, whole, wire
from tests.wires.reader import told
from translators.errors import GatewayError

COMPLETE, OPEN, FAILED = "complete", "open", "failed"
FILTERS = {4014, 4102}

ENDS = {
    "conversation.chat.completed",
    "conversation.chat.requires_action",
    "conversation.chat.required_action",
    "Interrupt",
}
DONES = {"done", "conversation.stream.done", "Done"}
CANCELS = {"conversation.chat.canceled", "conversation.chat.cancelled"}
ERRORS = {"error", "Error", "conversation.chat.failed", "conversation.chat.expired", ""}
JSON = {"conversation.chat.created", "conversation.chat.in_progress", "Message"}
MESSAGES = {"conversation.message.delta", "conversation.message.completed"}


def events_in(sent: bytes) -> list[tuple[str, str]]:
    text = re.sub("\r\n?", "\n", sent.decode("utf-8", "replace").removeprefix("\ufeff"))
    *blocks, rest = text.split("\n\n")
    found = [event for block in blocks for event in events_of_block(block)]
    return [*found, *((name, data) for name, data in events_of_block(rest) if data)]


def events_of_block(block: str) -> list[tuple[str, str]]:
    lines = [line for line in block.split("\n") if line and not line.startswith(":")]
    found = [("", line) for line in lines if line.startswith("{")]
    fields = [line.partition(":") for line in lines if not line.startswith("{")]
    names = [value.removeprefix(" ") for field, colon, value in fields if field == "event" and colon]
    datas = [value.removeprefix(" ") for field, colon, value in fields if field == "data" and colon]
    if datas or names:
        found.append((names[-1] if names else "", "\n".join(datas)))
    return found


def parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def code_in(document: Any) -> int:
    if not isinstance(document, dict):
        return 0
    error = document.get("last_error") or document
    return int(error.get("error_code") or error.get("code") or 0)


def state_after(sent: bytes, workflow: bool) -> str:
    if sent.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")[:1] in ("{", "[", "<"):
        return FAILED
    said = card = False
    for name, data in events_in(sent):
        document = parsed(data)
        if not data and name not in DONES | {"error"}:
            continue
        if name in DONES:
            return COMPLETE if workflow or said or card else FAILED
        if name in ERRORS:
            code = code_in(document)
            if code in FILTERS and said:
                return COMPLETE
            if code or name:
                return FAILED
        elif name in ENDS | CANCELS | JSON | MESSAGES and document is None:
            return FAILED
        elif name in ENDS:
            return COMPLETE
        elif name in CANCELS:
            return COMPLETE if said else FAILED
        elif name == "Message":
            said = said or bool(document["content"])
        elif name in MESSAGES and document["type"] == "answer":
            words = document["content_type"] == "text"
            said = said or (words and bool(document["content"] or document.get("reasoning_content")))
            card = card or document["content_type"] == "card"
    return OPEN


def error_frames(out: bytes) -> list[bytes]:
    return [frame for frame in out.split(b"\n\n") if frame.startswith(b'data: {"error":')]


@pytest.mark.parametrize("name", NAMES)
def test_coze_cut_after_every_byte(name: str) -> None:
    sent, workflow = wire(name), name.startswith("workflow_")
    full = told(streamed(of_wire(name)), [sent])
    for place in places(sent):
        cut = sent[:place]
        stream = streamed(of_wire(name))
        out = told(stream, [cut])
        if state_after(cut, workflow) == COMPLETE:
            assert stream.failure is None, cut
            assert out == full
            assert out.endswith(b"data: [DONE]\n\n")
        else:
            assert isinstance(stream.failure, GatewayError), cut
            [error] = error_frames(out)
            assert out.endswith(error + b"\n\n")
            said = out.removesuffix(error + b"\n\n")
            assert full.startswith(said)
            assert b"[DONE]\n\n" not in out
            assert re.search(rb'"finish_reason":"', said) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_coze_answer_is_never_made_of_a_part(name: str) -> None:
    sent = wire(name)
    for place in range(0, len(sent), 3):
        stream = whole(of_wire(name))
        body = told(stream, [sent[:place]])
        complete = state_after(sent[:place], name.startswith("workflow_")) == COMPLETE
        assert bool(body) == complete == (stream.failure is None)


def test_all_outcomes_of_coze_wires_occur() -> None:
    states = {name: state_after(wire(name), name.startswith("workflow_")) for name in NAMES}
    for name in ("chat_short", "framing_cr", "done_alone_bare", "action_reply", "workflow_interrupt"):
        assert states[name] == COMPLETE, name
    assert states["filtered_late"] == states["workflow_filtered_late"] == states["card_alone"] == COMPLETE
    assert states["eof_after_text"] == states["workflow_eof"] == OPEN
    for name in ("failed_late", "json_line_late", "error_plain", "done_without_answer", "page"):
        assert states[name] == FAILED, name
