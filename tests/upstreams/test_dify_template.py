"""The shortcuts are never seen: read by template and by a look, or every frame parsed, the output is the same.

The stream under test is compared with one that remembers nothing and parses every byte. Frames are made to be
alike, and almost alike: texts that look like JSON, keys in odd places, spelt with escapes or standing twice,
selectors that name the key, nodes whose values hold what is looked for.
"""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.upstreams.dify_setup import CHAT, END, NAMES, RUN, dify, events_of, frames, of_wire, wire
from translators.events import Activity, Event, Text
from translators.upstreams import dify_answer
from translators.upstreams.dify import Dify
from translators.upstreams.dify_peek import data_head, event_of


class Forgetful(dify_answer.Template):
    """A template that matches nothing."""

    def learn(self, payload: bytes, text: str) -> None:
        pass


def parsed(upstream: Dify, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The same without any shortcut."""
    with monkeypatch.context() as patch:
        patch.setattr(dify_answer, "Template", Forgetful)
        patch.setattr(dify_answer, "event_of", lambda payload: None)
        patch.setattr(dify_answer, "LARGE", 1 << 40)
        upstream._template = Forgetful(b"answer")
        return events_of(upstream, [sent])


def assert_unseen(sent: bytes, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    told = events_of(dify({"stream": True}, **options), [sent])
    assert repr(told) == repr(parsed(dify({"stream": True}, **options), sent, monkeypatch))


def frame(payload: str) -> bytes:
    return b"data: " + payload.encode("utf-8", "surrogatepass") + b"\n\n"


IDS = json.dumps(CHAT, separators=(",", ":"))[1:-1]
IDS_OF_RUN = json.dumps(RUN, separators=(",", ":"))[1:-1]


def say(text: str, before: str = "", after: str = "", event: str = '"event":"message"') -> str:
    return f'{{{event},{IDS},"id":"m1",{before}"answer":{text}{after}}}'


def chunk(text: str, after: str = "", data: str = '"data":', outside: str = "") -> str:
    return f'{{"event":"text_chunk",{IDS_OF_RUN},{outside}{data}{{"text":{text}{after}}}}}'


LEARN = say('"abc"')
SEL = ',"from_variable_selector":["n1","text"]'
OTHER = ',"from_variable_selector":["n2","text"]'

SEQUENCES: dict[str, list[str]] = {
    "alike": [LEARN, say('"def"'), say('"ghi"')],
    "empty and null": [LEARN, say('""'), say("null"), say('"d"')],
    "no text": [LEARN, say("7"), say('"d"')],
    "text holds quotes": [LEARN, say(r'"\"}"'), say(r'"\\"'), say(r'"\\\""')],
    "text holds the key": [say(json.dumps('"answer":"b"')), say('"c"'), say('"answer"'), say('"d"')],
    "text is broken": [LEARN, say(r'"\x"')],
    "selector names the key": [say('"a"', after=',"from_variable_selector":["ans","answer"]')] * 3,
    "selectors take turns": [say('"a"', after=SEL), say('"b"', after=OTHER), say('"<th"', after=SEL), LEARN],
    "thoughts of two nodes": [
        say('"<think>a"', after=SEL),
        say('"</think>b"', after=SEL),
        say('"<think>c"', after=OTHER),
    ],
    "key twice": [say('"a"', after=',"answer":"a"'), say('"b"', after=',"answer":"a"')],
    "key twice, once escaped": [
        say('"a"', after=r',"\u0061nswer":"a"'),
        say('"b"', after=r',"\u0061nswer":"c"'),
    ],
    "key in a place that does not count": [
        say('"a"', before='"x":{"answer":"a"},'),
        say('"a"', before='"x":{"answer":"b"},'),
    ],
    "event spelt with escapes": [say('"a"', event=r'"event":"m\u0065ssage"'), LEARN],
    "event at the end": [
        f'{{{IDS},"answer":"a","event":"message"}}',
        f'{{{IDS},"answer":"b","event":"message"}}',
    ],
    "event inside a string": [
        f'{{"x":"{{\\"event\\":\\"message\\"}}","event":"message",{IDS},"answer":"a"}}'
    ],
    "event of another kind": [LEARN, say('"d"', event='"event":"brand_new"'), say('"e"')],
    "white space": [f'{{ "event" : "message", {IDS}, "answer" : "{x}" }}' for x in "abc"],
    "taken back": [LEARN, say('"d"', event='"event":"message_replace"'), say('"<think>e"'), say('"f"')],
    "words as a file": [
        LEARN,
        say('"d"', event='"event":"message_file"'),
        say('"e"', event='"event":"message_file"'),
    ],
    "agent": [
        say('"a"', event='"event":"agent_message"'),
        say('"b"', event='"event":"agent_message"'),
        LEARN,
        LEARN,
    ],
    "in one piece": [LEARN, say('"d"', after=',"mode":"chat"')],
    "half a pair": [LEARN, say(r'"\ud83d"'), say(r'"\ude00"'), say('"d"')],
    "not ASCII": [say('"é"'), say('"ü"'), say(r'"\u00e9"'), say('"😀"'), say('"\u2028"')],
    "chunks": [chunk('"a"'), chunk('"b"'), chunk('"c"')],
    "chunks with selectors": [chunk('"a"', SEL), chunk('"b"', SEL), chunk('"c"', SEL), chunk('"d"', OTHER)],
    "chunk key twice": [
        chunk('"a"', ',"text":"a"'),
        chunk('"b"', ',"text":"a"'),
        chunk('"b"', ',"text":"c"'),
    ],
    "chunk key twice, spaced": [chunk('"a"', ',"text" :"a"'), chunk('"b"', ',"text" :"a"')],
    "chunk key twice, once escaped": [chunk('"a"', r',"t\u0065xt":"a"'), chunk('"b"', r',"t\u0065xt":"a"')],
    "data in a place that does not count": [
        chunk('"a"', data='"data" :', outside='"x":{"data":{"text":"a"}},'),
        chunk('"a"', data='"data" :', outside='"x":{"data":{"text":"b"}},'),
    ],
    "data spelt with escapes": [
        chunk('"a"', data=r'"d\u0061ta":', outside='"x":{"data":{"text":"a"}},'),
        chunk('"a"', data=r'"d\u0061ta":', outside='"x":{"data":{"text":"b"}},'),
    ],
    "data twice": [
        chunk('"a"', outside='"data":{"text":"a"},'),
        chunk('"b"', outside='"data":{"text":"a"},'),
    ],
    "chunks after words": [LEARN, chunk('"a"'), chunk('"b"'), say('"c"'), say('"d"')],
}


@pytest.mark.parametrize("reasoning", ["keep", "split", "drop"])
@pytest.mark.parametrize("case", SEQUENCES)
def test_dify_shortcut_is_unseen(case: str, reasoning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = SEQUENCES[case]
    for sequence in (payloads, [LEARN, *payloads, LEARN]):
        sent = b"".join(map(frame, sequence))
        assert_unseen(sent, monkeypatch, reasoning=reasoning)
        assert_unseen(sent + frames(END), monkeypatch, reasoning=reasoning)


@pytest.mark.parametrize("name", NAMES)
def test_dify_shortcut_is_unseen_in_recorded_wires(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(events_of(of_wire(name), [wire(name)])) == repr(
        parsed(of_wire(name), wire(name), monkeypatch)
    )


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ['"', "\\", '"}', "answer", '"answer":"', "text", "<think>", "</think>", "<th", " ", "\ud83d"]
    ),
)
AFTER = st.sampled_from(
    ["", SEL, OTHER, ',"answer":"a"', ',"x":"answer"', ',"x":{"answer":"a"}', ',"chunk_type":"t"']
)
EVENTS = st.sampled_from(
    ["message", "message", "message", "agent_message", "message_file", "brand_new", "ping"]
)


@st.composite
def sent_frame(draw: st.DrawFn) -> str:
    text = json.dumps(draw(TEXTS), ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        return chunk(text, draw(st.sampled_from(["", SEL, OTHER, ',"text":"a"'])))
    return say(text, after=draw(AFTER), event=f'"event":"{draw(EVENTS)}"')


@settings(max_examples=250, deadline=None)
@given(st.lists(sent_frame(), min_size=2, max_size=9), st.sampled_from(["keep", "split"]))
def test_dify_shortcut_is_unseen_in_generated_frames(payloads: list[str], reasoning: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_unseen(b"".join(map(frame, payloads)) + frames(END), monkeypatch, reasoning=reasoning)


def test_dify_shortcut_is_forgotten_when_an_agent_has_said_all_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says after that is the beginning of something, where thoughts may stand."""
    word = say('"0"', event='"event":"agent_message"')
    sent = [word, say('""'), word, chunk('"<think>"', "")]
    assert_unseen(b"".join(map(frame, sent)) + frames(END), monkeypatch, reasoning="split")


@pytest.mark.parametrize(
    ("payloads", "more", "text"),
    [
        ([LEARN], say(r'"d\n\u00e9"'), "d\né"),
        ([say('"a"', after=SEL)], say('"b"', after=SEL), "b"),
        ([chunk('"a"', SEL)], chunk('"b"', SEL), "b"),
        ([say('"a"', event='"event":"agent_message"')], say('"b"', event='"event":"agent_message"'), "b"),
        ([say('"<think>a</think>b"')], say('"c"'), "c"),
    ],
)
def test_dify_shortcut_is_taken(payloads: list[str], more: str, text: str) -> None:
    """Else the comparisons above would compare nothing."""
    upstream = dify()
    for payload in payloads:
        upstream.translate(b"", payload.encode(), lambda event: None)
    assert upstream._template.match(more.encode()) == text


def test_dify_shortcut_is_not_taken_while_a_tag_may_come() -> None:
    upstream = dify()
    for payload in (say('"<think>a"'), say('"<th"')):
        upstream.translate(b"", payload.encode(), lambda event: None)
        assert upstream._template.match(say('"b"').encode()) is None


# The look.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 10**12),
    st.floats(0, 9),
    st.text(max_size=8),
    st.sampled_from(['"', "\\"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
KEYS = st.sampled_from(["event", "data", "node_type", "id", "title", 'x"', "a\\", "conversation_id", "\n"])
STYLES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6), st.booleans(), STYLES)
def test_a_look_never_tells_another_event(
    document: dict[str, Any], ascii: bool, style: tuple[str, str]
) -> None:
    payload = json.dumps(document, ensure_ascii=ascii, separators=style).encode("utf-8", "surrogatepass")
    seen = event_of(payload)
    if seen is not None:
        assert document["event"] == seen.decode()
    elif document and next(iter(document)) == "event" and isinstance(document["event"], str):
        assert not (document["event"].isascii() and document["event"].isidentifier())
    head = data_head(payload)
    for name, value in head.items():
        assert document["data"][name] == value or isinstance(value, float)
    data = document.get("data")
    if head:
        assert isinstance(data, dict)


def test_a_look_is_not_misled_by_what_stands_in_strings() -> None:
    inner = {"event": "message", "data": {"node_type": "code", "id": "x"}}
    event = {
        "event": "node_finished",
        "x": json.dumps(inner),
        "data": {"a": json.dumps(inner), "node_type": "llm", "b": {}},
    }
    payload = json.dumps(event).encode()
    assert event_of(payload) == b"node_finished"
    assert data_head(payload) == {"a": json.dumps(inner), "node_type": "llm"}
    nested = json.dumps({"event": "x", "y": inner, "data": {"node_type": "llm", "z": 1}}).encode()
    assert data_head(nested) == {}
    assert data_head(json.dumps([inner]).encode()) == {}
    assert event_of(b'{"event": "mess') is None


def large(kind: str, **data: Any) -> dict[str, Any]:
    told = {
        "id": "e1",
        "node_id": "n1",
        "node_type": kind,
        "title": 'A "big" step',
        "index": 3,
        "predecessor_node_id": None,
    }
    told |= {"inputs": {"x": 'y" ' * 170_000}, "status": "succeeded", **data}
    return {"event": "node_finished", **CHAT, "workflow_run_id": "r1", "data": told}


def test_a_large_node_is_told_by_its_beginning() -> None:
    events = events_of(dify(), [frames({"event": "workflow_started", **CHAT, "data": {}}, large("code"))])
    assert events[1] == Activity("code", "e1", 'A "big" step', state="finished")


def test_a_large_node_that_counts_is_read() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    sent = frames({"event": "workflow_started", **CHAT, "data": {}}, large("llm", outputs={"usage": usage}))
    events = events_of(
        dify(), [sent + frames({**END, "event": "workflow_finished", "data": {"status": "succeeded"}})]
    )
    assert [getattr(event, "input", None) for event in events] == [None, "", 7, None]
    assert events[1] == Activity("llm", "e1", 'A "big" step', state="succeeded")


def test_a_large_node_in_another_order_is_read() -> None:
    odd = large("code")
    odd["data"] = dict(reversed(odd["data"].items()))
    events = events_of(dify(), [frames({"event": "workflow_started", **CHAT, "data": {}}, odd)])
    assert events[1] == Activity("code", "e1", 'A "big" step', state="succeeded")


def test_a_large_line_that_says_nothing_costs_next_to_nothing() -> None:
    payload = json.dumps(large("code")).encode()
    assert len(payload) > 500_000
    upstream = dify()
    upstream.translate(b"", LEARN.encode(), lambda event: None)

    def spent(read: Any) -> float:
        rounds = []
        for _ in range(7):
            began = time.perf_counter()
            read(payload)
            rounds.append(time.perf_counter() - began)
        return min(rounds)

    skipped = spent(lambda sent: upstream.translate(b"", sent, lambda event: None))
    assert skipped < spent(orjson.loads) / 5


def test_skipped_lines_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = dify()
    upstream.translate(b"", LEARN.encode(), lambda event: None)
    monkeypatch.setattr(dify_answer.wirejson, "loads", pytest.fail)
    said: list[Event] = []
    for event in ("tts_message", "node_retry", "agent_log", "loop_next", "brand_new"):
        upstream.translate(b"", say('"x"', event=f'"event":"{event}"').encode(), said.append)
    upstream.translate(b"", json.dumps(large("code")).encode(), said.append)
    upstream.translate(b"", say('"d"').encode(), said.append)
    assert [type(event) for event in said] == [Activity, Text]
