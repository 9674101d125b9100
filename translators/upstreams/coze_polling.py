"""Answers that do not stream: asked for again until they are there, then told as the stream they could have been.

The result of either plan is a script of the dialect's own events, so that nothing is read in two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from translators import wirejson
from translators.errors import UpstreamMalformed, UpstreamTimeout
from translators.upstreams.coze_answer import COMPLETED
from translators.upstreams.coze_errors import answered, code_of, data_of
from translators.upstreams.coze_ids import told_id
from translators.upstreams.coze_request import Account
from translators.upstreams.plan import Call, Pause, Plan, Script

_INTERVAL = 1.0
_CHAT_POLLS = 900
_RUN_POLLS = 3600

_ENDS = {
    "completed": b"conversation.chat.completed",
    "compleated": b"conversation.chat.completed",
    "requires_action": b"conversation.chat.requires_action",
    "required_action": b"conversation.chat.requires_action",
    "failed": b"conversation.chat.failed",
    "canceled": b"conversation.chat.cancelled",
    "cancelled": b"conversation.chat.cancelled",
    "expired": b"conversation.chat.expired",
}
_RANKS = {"answer": 1, "follow_up": 2}

_Frames = Sequence[tuple[bytes, Mapping[str, Any]]]


def polled_chat(question: Call, account: Account, told: Callable[[str, str], None]) -> Plan[Script]:
    """``told`` learns the ids as soon as they are known, so that the run can be cancelled."""
    chat = data_of((yield question), account.passed)
    conversation_id, chat_id = told_id(chat.get("conversation_id")), told_id(chat.get("id"))
    if not conversation_id or not chat_id:
        raise UpstreamMalformed("The upstream began a chat and did not say its ids.")
    told(conversation_id, chat_id)
    query = f"conversation_id={conversation_id}&chat_id={chat_id}"
    polls = 0
    while (end := _ENDS.get(str(chat.get("status")))) is None:
        if polls >= _CHAT_POLLS:
            raise UpstreamTimeout("The upstream did not complete the chat in time.")
        polls += 1
        yield Pause(_INTERVAL)
        chat = data_of((yield account.get(f"v3/chat/retrieve?{query}")), account.passed)
    listed = answered((yield account.get(f"v3/chat/message/list?{query}")), account.passed).get("data")
    messages = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    messages.sort(key=_order)
    return _script([*((COMPLETED, message) for message in messages), (end, chat)])


def _order(message: Mapping[str, Any]) -> tuple[int, int, int]:
    """What the platform did, then its answers, then what to ask next, each in order of time."""
    kind = message.get("type")
    rank = _RANKS.get(kind, 0) if isinstance(kind, str) else 0
    return rank, code_of(message.get("created_at")), code_of(message.get("id"))


def async_run(run: Call, workflow_id: str, account: Account, told: Callable[[str], None]) -> Plan[Script]:
    """A run in the background; ``told`` learns its id."""
    execute_id = told_id(answered((yield run), account.passed).get("execute_id"))
    if not execute_id:
        raise UpstreamMalformed("The upstream began a run and did not say its id.")
    told(execute_id)
    path = f"v1/workflows/{workflow_id}/run_histories/{execute_id}"
    for _ in range(_RUN_POLLS):
        yield Pause(_INTERVAL)
        histories = answered((yield account.get(path)), account.passed).get("data")
        if not isinstance(histories, list) or not histories or not isinstance(histories[0], dict):
            raise UpstreamMalformed("The upstream knows nothing of the run that it began.")
        frames = _frames(histories[0])
        if frames:
            return _script(frames)
    raise UpstreamTimeout(f"The upstream did not complete the run in time (execute_id {execute_id}).")


def _frames(history: Mapping[str, Any]) -> _Frames:
    """The end of a run as events; none while it is running."""
    debug = {"debug_url": history.get("debug_url")}
    if isinstance(history.get("interrupt_data"), dict):
        return [(b"Interrupt", {"interrupt_data": history["interrupt_data"], **debug})]
    if history.get("execute_status") == "Success":
        end = {"node_type": "End", "node_title": "End", "node_seq_id": "0", "node_is_finish": True}
        output = history.get("output")
        content = output if isinstance(output, str) else wirejson.dumps(output).decode()
        return [(b"Message", {**end, "content": content, "usage": history.get("usage")}), (b"Done", debug)]
    if history.get("execute_status") == "Fail":
        told = {name: history.get(name) for name in ("error_code", "error_message")}
        return [(b"Error", {**told, **debug})]
    return []


def _script(frames: _Frames) -> Script:
    def steps() -> Iterator[tuple[float, bytes]]:
        for name, document in frames:
            yield 0.0, b"event:%b\ndata:%b\n\n" % (name, wirejson.dumps(document))

    return Script(steps())
