"""Coze's shortcut is never seen: with it and without it, every byte of the output is the same.

The frames are alike and almost alike: messages that are complete look exactly like deltas, ids change, thoughts
stand beside words, keys stand twice or in odd places, texts look like JSON.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.upstreams.coze_setup import (
    CREATED,
    DONE,
    NAMES,
    chat_completed,
    coze,
    event,
    events_of,
    of_wire,
    wire,
)
from translators.events import Event, Reasoning, Text
from translators.template import Template
from translators.upstreams import coze_answer
from translators.upstreams.coze import Coze
from translators.upstreams.coze_answer import ChatAnswer


class Forgetful(Template):
    """A template that matches nothing."""

    def learn(self, payload: bytes, text: str) -> None:
        pass


def answer_of(upstream: Coze) -> ChatAnswer:
    answer = upstream._begun().answer
    assert isinstance(answer, ChatAnswer)
    return answer


def without(upstream: Coze) -> Coze:
    answer_of(upstream).template = Forgetful(b"content")
    answer_of(upstream)._thinking = Forgetful(b"reasoning_content")
    return upstream


def shown(events: list[Event]) -> list[str]:
    return [repr(event) for event in events]


def assert_unseen(sent: bytes) -> None:
    assert shown(events_of(coze(), [sent])) == shown(events_of(without(coze()), [sent]))


DELTA, COMPLETED = "conversation.message.delta", "conversation.message.completed"


def say(text: str, id: str = "1", before: str = "", after: str = "", kind: str = "text") -> str:
    return (
        f'{{"id":"{id}","role":"assistant","type":"answer",{before}"content":{text},'
        f'"content_type":"{kind}","chat_id":"9"{after}}}'
    )


D = lambda *args, **members: event(DELTA, say(*args, **members))  # noqa: E731
C = lambda *args, **members: event(COMPLETED, say(*args, **members))  # noqa: E731
LEARN = D('"abc"')


def think(thought: str, content: str = '""', id: str = "1") -> bytes:
    return D(content, id=id, after=f',"reasoning_content":{thought}')


END = chat_completed() + DONE

SEQUENCES: dict[str, bytes] = {
    "alike": LEARN + D('"def"') + D('"ghi"'),
    "empty text": LEARN + D('""') + D('"d"'),
    "text is null": LEARN + D("null") + D('"d"'),
    "text is a number": LEARN + D("7") + D('"d"'),
    "completed looks like a delta": LEARN + D('"d"') + C('"abcd"'),
    "completed says more": LEARN + D('"d"') + C('"abcdef"') + D('"g"'),
    "completed says something else": LEARN + D('"d"') + C('"xyz"'),
    "completed in between": LEARN + C('"abc"') + D('"d"'),
    "other message": LEARN
    + D('"x"', id="2")
    + D('"y"', id="2")
    + D('"z"')
    + C('"abczz"')
    + C('"xyz"', id="2"),
    "other message with the separator": C('"x"', id="2") + LEARN + D('"d"') + C('"abcd"'),
    "the same as another event": LEARN + event("conversation.foo.bar", say('"d"')) + D('"d"'),
    "thoughts beside it": D('"a"', before='"reasoning_content":"r",')
    + D('"b"', before='"reasoning_content":"r",'),
    "no thoughts beside it": D('"a"', before='"reasoning_content":"",')
    + D('"b"', before='"reasoning_content":"",'),
    "thoughts twice": D('"a"', before='"reasoning_content":"",')
    + D('"b"', before='"reasoning_content":"r",'),
    "thoughts alike": think('"r"') + think('"s"') + think('""') + think('"t"') + D('"a"') + D('"b"'),
    "thoughts and then words": think('"r"') + think('"s"', content='"a"') + think('"t"', content='"b"'),
    "thoughts and null": think('"r"', content="null") + think('"s"', content="null") + C('"a"'),
    "thoughts of another message": think('"r"') + think('"s"', id="2") + C('"a"', id="2") + think('"t"'),
    "half a thought": think(r'"\ud83d"') + think('"s"'),
    "card": LEARN + D('"d"', kind="card") + D('"d"', kind="card"),
    "other type": LEARN + event(DELTA, say('"d"').replace('"answer"', '"verbose"')) * 2 + D('"e"'),
    "text holds quotes": LEARN + D(r'"\"}"') + D(r'"\\"') + D(r'"\\\""'),
    "text holds the key": D(json.dumps('"content":"b"')) + D('"c"') + D('"content"') + D('"d"'),
    "text is broken": LEARN + D(r'"\x"'),
    "two strings": LEARN + D('"a","content":"b"') + D('"c"'),
    "key twice": D('"a"', after=',"content":"a"') + D('"b"', after=',"content":"a"'),
    "key twice, once escaped": D('"a"', after=r',"cont\u0065nt":"a"')
    + D('"b"', after=r',"cont\u0065nt":"a"'),
    "key inside": D('"a"', before='"meta_data":{"content":"a"},') * 2,
    "type twice": D('"a"', after=',"type":"verbose"') + D('"b"', after=',"type":"verbose"'),
    "not ASCII": D('"é"') + D('"ü"') + D(r'"\u00e9"') + D('"😀"') + D('"\u2028"') + D(r'"\ud83d"'),
    "wide id": LEARN.replace(b'"1"', b"123456789012345678901") * 2,
    "completed is empty": LEARN + C('""') + D('"d"'),
    "completed twice": LEARN + C('"abcd"') + C('"abcdef"') + D('"g"'),
    "completed with thoughts": LEARN + C('"abcd"', after=',"reasoning_content":"r"'),
    "completed after thoughts": think('"r"') + LEARN + C('"abcd"'),
    "completed with half a pair": LEARN + C(r'"abc\ud83d"') + D('"d"'),
    "sections": D('"a"', after=',"section_id":"5"')
    + D('"b"', after=',"section_id":6')
    + D('"c"', after=',"section_id":"6"') * 2
    + D('"d"', after=',"section_id":"no id"'),
    "sections of others": D('"a"', after=',"section_id":"5"')
    + event(COMPLETED, say('"q"', after=',"section_id":"6"').replace('"answer"', '"follow_up"'))
    + D('"b"', after=',"section_id":"5"'),
    "sections of the whole": D('"a"', after=',"section_id":"5"')
    + event(COMPLETED, say('"q"', after=',"section_id":"6"').replace('"answer"', '"verbose"'))
    + C('"ab"', after=',"section_id":"5"'),
    "failure in between": LEARN + event("error", {"code": 5000, "msg": "no"}) + D('"d"'),
}


@pytest.mark.parametrize("case", SEQUENCES)
def test_coze_shortcut_is_unseen(case: str) -> None:
    assert_unseen(SEQUENCES[case])
    assert_unseen(CREATED + SEQUENCES[case] + LEARN + END)
    assert_unseen(LEARN + SEQUENCES[case] + C('"abcdef"') + LEARN + END)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("workflow_")])
def test_coze_shortcut_is_unseen_in_recorded_wires(name: str) -> None:
    sent = wire(name)
    assert shown(events_of(of_wire(name), [sent])) == shown(events_of(without(of_wire(name)), [sent]))


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(['"', "\\", '"}', '","type":"verbose', "content", '"content":"', "[DONE]", "\ud83d"]),
)
BESIDE = st.sampled_from(
    [
        "",
        '"reasoning_content":"",',
        '"reasoning_content":"r",',
        '"content":"a",',
        r'"c\u006fntent":"a",',
        '"x":{"content":"a"},',
        '"x":"content",',
        '"content" : "a",',
        '"content_type":"card",',
        '"type":"verbose",',
        '"id":"2",',
        '"section_id":"5",',
        '"section_id":"6",',
    ]
)
AFTER = BESIDE.map(lambda member: "," + member.rstrip(",") if member else "")


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    text = draw(TEXTS)
    payload = say(
        json.dumps(text, ensure_ascii=draw(st.booleans())),
        id=draw(st.sampled_from(["1", "1", "2"])),
        before=draw(BESIDE),
        after=draw(AFTER),
        kind=draw(st.sampled_from(["text", "text", "card"])),
    )
    name = draw(st.sampled_from([DELTA, DELTA, DELTA, COMPLETED, "conversation.foo"]))
    return event(name, payload)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(frames(), st.sampled_from([LEARN, D('"b"'), C('"abcb"')])), max_size=8))
def test_coze_shortcut_is_unseen_in_random_frames(sent: list[bytes]) -> None:
    assert_unseen(b"".join(sent) + END)


def test_coze_shortcut_is_taken_for_thoughts() -> None:
    upstream = coze()
    events: list[Event] = []
    frames = [frame for thought in ('"r"', '"s"') for frame in upstream.framing().feed(think(thought))]
    upstream.translate(*frames[0], events.append)
    assert answer_of(upstream)._thinking.match(frames[1][1]) == "s"
    upstream.translate(*frames[1], events.append)
    assert events[1:] == [Reasoning("r"), Reasoning("s")]


def test_coze_shortcut_is_taken() -> None:
    upstream = coze()
    events: list[Event] = []
    [(name, payload)] = upstream.framing().feed(LEARN)
    upstream.translate(name, payload, events.append)
    template = answer_of(upstream).template
    [(_, alike)] = upstream.framing().feed(D('"def"'))
    assert template.match(alike) == "def"
    upstream.translate(name, alike, events.append)
    assert events[1:] == [Text("abc"), Text("def")]
    [(name, whole)] = upstream.framing().feed(C('"abcdefg"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coze_answer.wirejson, "loads", pytest.fail)
        upstream.translate(name, whole, events.append)
    assert events[3:] == [Text("g")]
    assert template.match(alike) is None
