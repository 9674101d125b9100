"""The shortcut past framing and translating is never seen: a stream says the same, read for read, without it.

The stream under test is compared with one whose framing has no shortcuts. What comes is mostly frames of words, one
or many in a read, with hostile texts, frames that are almost alike, and whatever else a platform says in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

import translators.stream
from tests.support.split import cut_at
from tests.upstreams import coze_setup, dify_setup
from tests.upstreams.coze_setup import coze
from tests.upstreams.dify_setup import dify
from tests.wires.reader import ENVELOPE, Recorder, openai
from tests.wires.reader import NAMES as OPENAI
from tests.wires.reader import wire as openai_wire
from translators.errors import GatewayError, UpstreamTimeout
from translators.events import Text
from translators.framing.base import MAX_BODY, Frame, Framing
from translators.framing.sse import SSE
from translators.shortcut import spoken
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.template import Template
from translators.upstreams.base import Upstream
from translators.upstreams.coze import Coze
from translators.upstreams.coze_answer import ChatAnswer
from translators.upstreams.dify import Dify
from translators.wirejson import dumps_text


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Every frame of words is worth a shortcut, and every read is long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translators.stream, "MANY", 1)
        patch.setattr(translators.stream, "LONG", 0)
        patch.setattr(translators.stream, "SHORT", 40)
        patch.setattr(translators.stream, "ROUNDS", 3)
        yield


class Ordinary:
    """A framing without shortcuts."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing

    def feed(self, data: bytes) -> list[Frame]:
        return self._framing.feed(data)

    def close(self) -> list[Frame]:
        return self._framing.close()

    @property
    def fault(self) -> GatewayError | None:
        return self._framing.fault

    def shortcut(self, data: bytes, template: Template | None) -> None:
        return None


@frozen
class Wire:
    """How a platform streams."""

    make: Callable[[], Upstream]
    opening: bytes
    word: Callable[[bytes], bytes]
    others: Sequence[bytes]
    ends: Sequence[bytes]


def openai_word(text: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    choice = b'{"index":0,"delta":{"content":"%b"%b},"finish_reason":null}' % (text, after)
    return b'data: {"id":"x",%b"choices":[%b]}\n\n' % (before, choice)


def dify_word(text: bytes, event: bytes = b"message", after: bytes = b"") -> bytes:
    ids = b'"conversation_id":"c1","message_id":"m1","created_at":1,"task_id":"t1","id":"m1"'
    return b'data: {"event": "%b", %b, "answer": "%b"%b}\n\n' % (event, ids, text, after)


def coze_word(text: bytes, id: bytes = b"1", event: bytes = b"delta", after: bytes = b"") -> bytes:
    message = b'"role":"assistant","type":"answer","content":"%b","content_type":"text","chat_id":"9"%b'
    return b'event:conversation.message.%b\ndata:{"id":"%b",%b}\n\n' % (event, id, message % (text, after))


PINGS = [b": ping\n\n", b"\n", b"event: ping\n\n", b"data: {}\n\n", b"data:\n\n", b"id: 7\n\n"]

WIRES = {
    "openai": Wire(
        lambda: openai(reasoning="keep"),
        openai_word(b"Once"),
        openai_word,
        [
            openai_word(b"other", before=b'"n":1,'),
            openai_word(b"other", after=b',"role":"assistant"'),
            openai_word(b"other").replace(b'"index":0', b'"index":1'),
            openai_word(b"other").replace(b'"content":"other"', b'"content":null'),
            openai_word(b"other").replace(b"\n", b"\r\n"),
            openai_word(b"other").replace(b"data: ", b"data:"),
            b"event: words\n" + openai_word(b"other"),
            openai_word(b"other").replace(b"null", b'"stop"'),
            b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
            b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]}\n\n',
            b'data: {"error":{"message":"no"}}\n\n',
            b"data: [DONE]\n\n",
        ],
        [b"", b"data: [DONE]\n\n", openai_word(b"").replace(b"null", b'"length"') + b"data: [DONE]\n\n"],
    ),
    "dify": Wire(
        lambda: dify({"stream": True}, reasoning="split"),
        dify_word(b"Once"),
        dify_word,
        [
            dify_word(b"other", b"agent_message"),
            dify_word(b"other", b"message_replace"),
            dify_word(b"other", after=b', "from_variable_selector": ["n2", "text"]'),
            dify_word(b"<think>", after=b', "from_variable_selector": ["n3", "text"]'),
            dify_word(b"other", b"tts_message"),
            dify_setup.frames(dify_setup.chunk("other"), dify_setup.chunk("more")),
            dify_setup.frames(dify_setup.node("finished")),
            dify_setup.frames({"event": "error", "status": 500, "code": "x", "message": "no"}),
        ],
        [b"", dify_setup.frames(dify_setup.END)],
    ),
    "coze": Wire(
        coze,
        coze_setup.CREATED + coze_word(b"Once"),
        coze_word,
        [
            coze_word(b"other", b"2"),
            coze_word(b"", after=b',"reasoning_content":"thought"'),
            coze_word(b"other", event=b"completed"),
            coze_word(b"Once upon a time", event=b"completed"),
            coze_word(b"other", event=b"unknown"),
            coze_word(b"other").replace(b"event:", b"event: ").replace(b"data:", b"data: "),
            coze_word(b"other").replace(b"event:conversation.message.delta\n", b""),
            b'{"code":4000,"msg":"no"}\n\n',
            coze_setup.event("error", {"code": 4000, "msg": "no"}),
            coze_setup.DONE,
        ],
        [b"", coze_setup.chat_completed() + coze_setup.DONE, coze_word(b"Once a b", event=b"completed")],
    ),
}

TEXTS = st.one_of(
    st.text(min_size=1, max_size=6).map(lambda text: dumps_text(text)[1:-1]),
    st.text(max_size=3).map(lambda text: json.dumps(text)[1:-1].encode()),
    st.sampled_from([b" a", b"b", "数据".encode(), rb"\n", rb"\"", rb"\u00e9", "\u2028".encode()]),
    st.sampled_from(
        [
            *(b"", b'"', b"\\", rb"\x", rb"\ud83d", rb"\ude00", b"\xe6", b"\x95\xb0", b"\xed\xa0\x80", b"\t"),
            *(b"\n", b"\r", b"\n\n", b'a","b":"c', b"data: ", b"event:conversation", b"<think>", b"</think>"),
        ]
    ),
)


@st.composite
def reads(draw: st.DrawFn, wire: Wire) -> list[bytes]:
    """Mostly whole frames of words, in reads of one or more; now and then other things and other cuts."""
    words = TEXTS.map(wire.word)
    frame = st.one_of(words, words, words, words, words, st.sampled_from([*wire.others, *PINGS]))
    usual = [wire.opening, wire.word(b" upon"), *draw(st.lists(words, max_size=1))]
    read = st.lists(frame, min_size=1, max_size=4).map(b"".join)
    sent = usual + draw(st.lists(read, max_size=8)) + [draw(st.sampled_from(wire.ends))]
    if draw(st.integers(0, 3)):
        return sent
    whole = b"".join(sent)
    return cut_at(whole, draw(st.lists(st.integers(0, len(whole)), max_size=6)))


def state(upstream: Upstream) -> Any:
    """What an upstream remembers of the words."""
    if isinstance(upstream, Dify):
        return upstream._words.told.all, upstream._words.told.text, upstream._words.told._room
    if isinstance(upstream, Coze):
        answer = upstream._begun().answer
        assert isinstance(answer, ChatAnswer)
        said = answer._said
        known = {id: ("".join(one.pieces), one.exact, one.spoke) for id, one in said._messages.items()}
        return said._held, said.spoke, known
    return None


def outcome(stream: Stream, sent: Iterable[bytes]) -> Any:
    """Everything that can be seen of a stream, read for read."""
    told = [(stream.feed(data), stream.done, stream.received, state(stream.upstream)) for data in sent]
    last = stream.close()
    failure = stream.failure and (type(stream.failure), stream.failure.body())
    return told, last, failure, stream.done, state(stream.upstream)


SURFACES: list[Callable[[], Surface]] = [lambda: Chat(ENVELOPE, True), lambda: ChatWhole(ENVELOPE), Recorder]


def assert_unseen(wire: Wire, sent: Sequence[bytes], make_surface: Callable[[], Surface]) -> None:
    told = []
    for surface, ordinary in ((make_surface(), False), (make_surface(), True)):
        upstream = wire.make()
        framing = upstream.framing()
        stream = Stream(Ordinary(framing) if ordinary else framing, upstream, surface)
        events = repr(surface.events) if isinstance(surface, Recorder) else ""
        told.append((outcome(stream, sent), events))
    assert told[0] == told[1], sent


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", WIRES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_shortcut_is_unseen(name: str, surface: Callable[[], Surface], data: st.DataObject) -> None:
    wire = WIRES[name]
    assert_unseen(wire, data.draw(reads(wire)), surface)


@pytest.mark.parametrize("name", WIRES)
def test_the_shortcut_is_unseen_between_any_two_frames(name: str) -> None:
    """Everything that a platform says, in the middle of words and within a read of words."""
    wire = WIRES[name]
    word = wire.word(b" w")
    for other in (*wire.others, *PINGS, *wire.ends):
        for middle in (
            [other],
            [word + other],
            [other + word],
            [word + other + word],
            [other[:9], other[9:]],
        ):
            sent = [wire.opening, word, word, word * 2, *middle, word, word, word * 3, wire.ends[1]]
            assert_unseen(wire, sent, SURFACES[0])


RECORDED = [
    *(("openai", openai_wire(name), name) for name in OPENAI),
    *(("dify", dify_setup.wire(name), name) for name in dify_setup.NAMES if not name.startswith("workflow_")),
    *(("coze", coze_setup.wire(name), name) for name in coze_setup.NAMES if not name.startswith("workflow_")),
]


@pytest.mark.parametrize(("platform", "wire", "name"), RECORDED)
def test_the_shortcut_is_unseen_in_recorded_wires(platform: str, wire: bytes, name: str) -> None:
    """One event in a read, and two."""
    events = wire.splitlines(keepends=True)
    ends = [place for place, line in enumerate(events, 1) if not line.strip()]
    one = [b"".join(events[start:end]) for start, end in pairwise([0, *ends, len(events)])]
    assert_unseen(WIRES[platform], one, SURFACES[0])
    assert_unseen(
        WIRES[platform], [a + b for a, b in zip_longest(one[::2], one[1::2], fillvalue=b"")], SURFACES[0]
    )


@pytest.mark.parametrize("name", WIRES)
def test_the_shortcut_is_unseen_wherever_words_are_cut(name: str) -> None:
    wire = WIRES[name]
    words = b"".join(wire.word(b" w%d" % number) for number in range(3))
    for place in range(len(words)):
        sent = [wire.opening, wire.word(b" a") * 2, words[:place], words[place:], words, wire.ends[1]]
        assert_unseen(wire, sent, SURFACES[0])


TORN = [b"x", b": ", b"data: ", b"data:", b"event: y", b"event: y\n", b"\r", b"data: x\n", b"\n\nd", b"{"]


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("name", WIRES)
def test_the_shortcut_is_unseen_after_half_a_line(name: str, torn: bytes) -> None:
    """What follows it looks like words and is none, or other words."""
    wire = WIRES[name]
    word = wire.word(b" w")
    sent = [wire.opening, word, word, torn, word, word, word + torn, word, b"\n\n", word, word, wire.ends[1]]
    assert_unseen(wire, sent, SURFACES[0])


def test_events_of_another_name_are_no_words_however_they_were_cut() -> None:
    """The read in which the second frame of words ends looks like an event that repeats what was said."""
    begun = b"event:conversation.message.delta\nx"
    repeated = [coze_word(text, event=b"completed") for text in (b" upon", b"Once upon a")]
    for surface in SURFACES:
        assert_unseen(WIRES["coze"], [WIRES["coze"].opening, begun, *repeated, coze_setup.DONE], surface)


def started(name: str, surface: Surface) -> Stream:
    upstream = WIRES[name].make()
    stream = Stream(upstream.framing(), upstream, surface)
    stream.feed(WIRES[name].opening)
    stream.feed(WIRES[name].word(b" a"))
    return stream


@pytest.mark.parametrize("name", WIRES)
def test_the_shortcut_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparisons above would compare nothing."""
    word = WIRES[name].word
    for make in SURFACES:
        stream = started(name, make())
        with monkeypatch.context() as patch:
            patch.setattr(type(stream.upstream), "translate", pytest.fail)
            told = stream.feed(word(b" b")) + stream.feed(word(b" c") + word(rb"\n") + word("数".encode()))
        assert (told.count(b'"content":"') == 4) == isinstance(stream.surface, Chat)
        told += stream.feed(WIRES[name].ends[1])
        if isinstance(stream.surface, Recorder):
            assert [event.text for event in stream.surface.events if type(event) is Text][-4:] == [
                *(" b", " c", "\n", "数")
            ]
        else:
            assert b" b" in told
            assert rb" c" in told
            assert stream.failure is None


@pytest.mark.parametrize("name", WIRES)
def test_the_shortcut_is_for_long_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translators.stream, "MANY", 8)
    stream = started(name, Recorder())
    word, ping = WIRES[name].word(b" b"), b": ping\n\n"
    for _ in range(4):
        stream.feed(word)
        assert stream._shortcut is None
    stream.feed(word)
    assert stream._shortcut is not None
    stream.feed(ping)
    assert stream._shortcut is not None


def test_nothing_is_said_past_the_end() -> None:
    stream = started("openai", Chat(ENVELOPE, True))
    word = openai_word(b" b")
    assert stream.feed(word)
    assert stream.fail(UpstreamTimeout("Silence."))
    assert stream.feed(word) == b""
    stream = started("openai", Chat(ENVELOPE, True))
    assert stream.close()
    assert stream.feed(word) == b""
    stream = started("openai", Chat(ENVELOPE, True))
    before = stream.received
    assert stream.feed(b"data: [DONE]\n\n")
    assert stream.feed(word) == b""
    assert stream.received == before + len(b"data: [DONE]\n\n")


def test_a_whole_answer_has_its_bound_on_the_shortcut_as_well() -> None:
    word = openai_word(b"x" * (1 << 20))
    held, passed = started("openai", ChatWhole(ENVELOPE)), started("openai", Chat(ENVELOPE, True))
    for _ in range((MAX_BODY - held.received) // len(word)):
        held.feed(word)
        passed.feed(word)
    rest = MAX_BODY - held.received - len(openai_word(b""))
    assert held.feed(openai_word(b"x" * rest)) == b""
    assert not held.done
    assert held.feed(openai_word(b"y")) == b""
    assert held.failure is not None
    assert f"over {MAX_BODY} bytes" in held.failure.message
    assert b'"y"' in passed.feed(word) + passed.feed(openai_word(b"y"))


def test_an_event_has_its_bound_on_the_shortcut_as_well() -> None:
    limit = len(openai_word(b"word"))
    told: list[Any] = []
    for framing in (SSE(limit), Ordinary(SSE(limit))):
        stream = Stream(framing, openai(reasoning="keep"), Chat(ENVELOPE, True))
        sent = [openai_word(b"word")] * 4 + [openai_word(b"words, more")] + [openai_word(b"word")]
        told.append(outcome(stream, sent))
    assert told[0] == told[1]
    assert told[0][2] is not None


LETTERS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4)


@given(LETTERS)
def test_surfaces_say_words_as_they_say_text(texts: list[str]) -> None:
    """Also before anything has been said."""
    words = [dumps_text(text)[1:-1] for text in texts]
    events = [Text(text) for text in texts]
    assert spoken(words) == "".join(texts)
    for make in SURFACES:
        one, other = make(), make()
        for _ in range(3):
            assert one.words(words) == other.render(events)
            assert one.words(words[:1]) == other.render(events[:1])
    chat, whole = Chat(ENVELOPE, False), ChatWhole(ENVELOPE)
    assert chat.words(words).count(b"data: ") == 1 + len(texts)
    assert whole.words(words) == b""
