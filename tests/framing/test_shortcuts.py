"""When a framing has a shortcut for the events it reads, and that it reads those events as the framing does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from translators.framing.base import Framing, Reader
from translators.framing.sniff import Document, Page, Sniff
from translators.framing.sse import SSE
from translators.template import Template
from translators.upstreams.coze_framing import CozeEvents, CozeFraming

BEFORE, AFTER = b'{"content":"', b'","n":1}'
PAYLOAD = BEFORE + b"word" + AFTER
EVENT = b"data: " + PAYLOAD + b"\n\n"
NAMED = b"event: words\n" + EVENT
CLOSE = b"event:words\ndata:" + PAYLOAD + b"\n\n"

EVENTS: list[Callable[[], Framing]] = [SSE, Sniff, CozeEvents, CozeFraming]


def taught(event: bytes | None = None, payload: bytes = PAYLOAD) -> Template:
    """A template that has met a second frame like the first."""
    template = Template(b'"content"', event)
    template.learn(payload, "word")
    template.match(payload)
    return template


def read(framing: Framing, data: bytes, template: Template | None, then: bytes) -> list[bytes] | None:
    """What is read past the framing of what comes after ``data``."""
    framing.feed(data)
    shortcut = framing.shortcut(data, template)
    return None if shortcut is None else whole(shortcut, then)


def whole(reader: Reader, data: bytes) -> list[bytes] | None:
    """The texts, if ``data`` is made of nothing else."""
    texts, end = reader.read(data)
    return texts if end == len(data) else None


WIRES = [EVENT, EVENT.replace(b"data: ", b"data:"), NAMED, CLOSE]


@pytest.mark.parametrize("make", EVENTS)
@pytest.mark.parametrize("wire", WIRES)
def test_the_next_events_are_read_past_the_framing(make: Callable[[], Framing], wire: bytes) -> None:
    then = (wire + wire).replace(b'"word"', b'"a b"')
    for before in (b": ping\n\n", wire, b"", b"\n\n", b"data: {}\n\n" + wire):
        assert read(make(), b": hi\n\n" + before + wire, taught(), then) == [b"a b", b"a b"]


@pytest.mark.parametrize("make", EVENTS)
def test_no_shortcut_without_a_template_that_was_met_twice(make: Callable[[], Framing]) -> None:
    learned = Template(b'"content"')
    assert read(make(), NAMED, None, NAMED) is None
    assert read(make(), NAMED, learned, NAMED) is None
    learned.learn(PAYLOAD, "word")
    assert read(make(), NAMED, learned, NAMED) is None
    learned.match(PAYLOAD)
    assert read(make(), NAMED, learned, NAMED) == [b"word"]
    learned.forget()
    assert read(make(), NAMED, learned, NAMED) is None


@pytest.mark.parametrize("make", EVENTS)
@pytest.mark.parametrize("cut", range(1, len(NAMED)))
def test_framing_and_shortcut_go_on_where_the_other_stopped(make: Callable[[], Framing], cut: int) -> None:
    framing, template = make(), taught()
    framing.feed(NAMED + NAMED[:cut])
    shortcut = framing.shortcut(NAMED + NAMED[:cut], template)
    assert shortcut is not None
    assert whole(shortcut, NAMED[cut:] + NAMED[:cut]) == [b"word"]
    assert framing.feed(NAMED[cut:] + NAMED[:cut]) == [(b"words", PAYLOAD)]
    assert whole(shortcut, NAMED[cut:]) == [b"word"]
    assert (framing.feed(NAMED), framing.close()) == ([(b"words", PAYLOAD)], [])


UNUSUAL = [
    b"id: 1\n" + EVENT,
    b": ping\n" + EVENT,
    EVENT.replace(b"\n", b"\r\n"),
    EVENT.replace(b"\n", b"\r"),
    b"event: a\r\n" + EVENT,
    b"data: {}\r\n\r\n" + EVENT,
    b"event: a\nevent: b\nid: 1\ndata: {}\n" + EVENT,
    b"data: {}\n\n",
    b"event: words\n\n",
    b"data: \n\n",
    b"data:\n\n",
    b"x" + EVENT,
    PAYLOAD + b"\n\n",
    b"event: words\n" + PAYLOAD + b"\n\n",
]


@pytest.mark.parametrize("wire", UNUSUAL)
def test_no_shortcut_after_unusual_events(wire: bytes) -> None:
    for make in (SSE, CozeEvents):
        framing, template = make(), taught()
        framing.feed(NAMED)
        assert read(framing, wire, template, wire) is None
        assert read(framing, wire, template, NAMED) is None
        assert read(framing, NAMED, template, NAMED) == [b"word"]


def test_no_shortcut_over_several_lines_of_data() -> None:
    payload = PAYLOAD.replace(b",", b",\n")
    wire = b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"
    assert SSE().feed(b":\n\n" + wire) == [(b"", payload)]
    for make in (SSE, CozeEvents):
        assert read(make(), b":\n\n" + wire, taught(payload=payload), wire) is None
    payload = PAYLOAD.replace(b"{", b"{\n")
    wire = b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"
    for make in (SSE, CozeEvents):
        assert read(make(), b":\n\n" + wire, taught(payload=payload), wire) is None


@pytest.mark.parametrize("make", EVENTS)
def test_the_name_of_an_event_counts_where_it_means_something(make: Callable[[], Framing]) -> None:
    for wire in (NAMED, CLOSE):
        assert read(make(), wire, taught(b"words"), wire) == [b"word"]
        assert read(make(), wire, taught(b"other"), wire) is None
    assert read(make(), EVENT, taught(b"words"), EVENT) is None
    assert read(make(), b"event:  words\n" + EVENT, taught(b"words"), NAMED) is None


@pytest.mark.parametrize("make", EVENTS)
def test_an_event_that_begins_in_an_earlier_read_does_not_mislead(make: Callable[[], Framing]) -> None:
    """What looks like the line of an event's name may be the rest of another line."""
    framing = make()
    framing.feed(b"event: words\nx")
    wire = b"event: other\ndata: " + PAYLOAD + b"\n\n"
    assert framing.feed(wire) == [(b"words", PAYLOAD)]
    assert framing.shortcut(wire, taught(b"words")) is None
    framing = make()
    framing.feed(b"event: words\n")
    assert framing.feed(EVENT) == [(b"words", PAYLOAD)]
    assert framing.shortcut(EVENT, taught(b"words")) is None


def test_a_shortcut_is_made_once_for_a_lesson() -> None:
    framing, template = SSE(), taught()
    framing.feed(NAMED)
    first = framing.shortcut(NAMED, template)
    framing.feed(b": ping\n\n")
    assert framing.shortcut(b": ping\n\n", template) is first is template.shortcut
    other = PAYLOAD.replace(b"1", b"2")
    template.learn(other, "word")
    assert framing.shortcut(NAMED, template) is None
    template.match(other)
    assert read(framing, NAMED, template, NAMED) is None
    named = NAMED.replace(b"1", b"2")
    assert read(framing, named, template, named) == [b"word"]


@pytest.mark.parametrize("make", [SSE, CozeEvents])
def test_events_stay_within_their_bound(make: type[SSE]) -> None:
    """Making a shortcut never asks for more than has come: that would be a fault of nobody's."""
    length = len(NAMED)
    framing = make(length)
    assert read(framing, NAMED, taught(), NAMED) == [b"word"]
    longer = NAMED.replace(b"word", b"words!")
    assert framing.shortcut(b"", taught()) is None
    assert read(framing, NAMED, taught(), longer) is None
    assert framing.fault is None
    short = b"event: words\ndata: " + BEFORE + AFTER + b"\n\n"
    tight = make(len(short) - 2)
    assert tight.feed(short) == [(b"words", BEFORE + AFTER)]
    assert tight.shortcut(short, taught()) is None
    assert tight.fault is None


def test_no_shortcut_after_a_fault() -> None:
    framing, template = SSE(len(NAMED)), taught()
    assert read(framing, NAMED, template, NAMED) == [b"word"]
    framing.feed(b"x" * 999)
    framing.feed(b"\n\n")
    assert framing.fault is not None
    assert framing.shortcut(NAMED, template) is None


def test_no_shortcut_in_the_middle_of_a_line_end() -> None:
    framing, template = SSE(), taught()
    assert read(framing, NAMED, template, NAMED) == [b"word"]
    framing.feed(b"data: {}\n\r")
    assert framing.shortcut(b"data: {}\n\r", template) is None
    assert read(framing, b"\n" + NAMED, template, NAMED) == [b"word"]


def test_no_shortcut_before_the_mark_of_the_encoding_is_seen() -> None:
    template = taught()
    assert read(SSE(), NAMED, template, NAMED) == [b"word"]
    assert SSE().shortcut(b"", template) is None
    marked = b"\xef\xbb\xbf" + EVENT
    assert read(SSE(), marked, taught(), marked) is None


@pytest.mark.parametrize("make", [Document, Page, Sniff, CozeFraming])
def test_no_shortcut_without_events(make: Callable[[], Framing]) -> None:
    framing = make()
    framing.feed(b" ")
    assert framing.shortcut(b" ", taught()) is None
    for opening in (b"{", b"<"):
        for choosing in (Sniff(), CozeFraming()):
            choosing.feed(opening)
            assert choosing.shortcut(opening, taught()) is None
