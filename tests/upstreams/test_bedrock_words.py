"""Chunks of words that are read by the run: what is read so, what is declined, and that nobody can tell.

The law compares every answer with the same answer told without a shortcut, over frames of all kinds, right and
wrong, however the bytes were cut.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import translators.stream
from tests.support import aws_frames
from tests.support.split import cut_at
from tests.upstreams.bedrock_frames import FRAMES, NOT_READ, SHORT, WORD, broken, payload
from tests.upstreams.bedrock_setup import (
    Platform,
    agent,
    citation,
    cites,
    contents,
    files,
    rationale,
    ready,
    s3,
    say,
    streamed,
    whole,
)
from tests.wires.reader import told
from translators import wirejson
from translators.framing import aws
from translators.framing.aws import AwsEvents
from translators.stream import Stream
from translators.upstreams import bedrock_words
from translators.upstreams.bedrock_words import ALIKE, LONGEST, ChunkEvents, Words


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Every frame of words is worth a shortcut, and every read is long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translators.stream, "MANY", 1)
        patch.setattr(translators.stream, "LONG", 0)
        patch.setattr(translators.stream, "SHORT", 40)
        patch.setattr(translators.stream, "ROUNDS", 3)
        yield


def reader_after(*frames: bytes, short: int = SHORT) -> ChunkEvents:
    """What reads frames that these have taught it."""
    for frame in frames:
        ChunkEvents(short).feed(frame)
    framing = ChunkEvents(short)
    reader = framing.shortcut(WORD, ALIKE) if framing.feed(WORD) else None
    assert reader is not None
    return reader


def shared_by(framing: ChunkEvents) -> Words:
    assert framing._words is not None
    return framing._words


def all_read(reader: ChunkEvents, data: bytes) -> list[bytes] | None:
    """The texts, if ``data`` is made of nothing else."""
    texts, end = reader.read(data)
    assert 0 < end <= len(data)
    return texts if end == len(data) else None


@pytest.mark.parametrize(
    "text",
    [
        "w",
        " tokens",
        "x" * 60,
        "\x7f~ !",
        '"',
        "\\",
        "a\nb\tc\0",
        "数据流",
        "„Grüße“ 🙂",
        "\x80\x85\xbf",
        "\u2027\u2028\u202a",
        "\u2029",
        "\ufeff",
        "é" * 20,
        "</script>",
    ],
)
def test_a_chunk_of_words_is_read_as_it_would_be_written(text: str) -> None:
    frame = say(text)
    reader = reader_after(frame)
    inside = wirejson.dumps_text(text)[1:-1]
    assert all_read(reader, frame) == [inside]
    assert all_read(reader, WORD + frame + frame) == [b"word", inside, inside]


@pytest.mark.parametrize(("what", "data"), NOT_READ, ids=[what for what, _ in NOT_READ])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_what_is_not_words_alone_is_declined(what: str, data: bytes, known: bool) -> None:
    reader = reader_after(*([data] if known else []))
    assert all_read(reader, data) is None
    assert reader.read(WORD + data) in [([b"word"], len(WORD)), (None, len(WORD + data))]
    assert reader.read(data + WORD) in [(None, len(data)), (None, len(data + WORD))]
    assert all_read(reader, WORD + WORD) == [b"word", b"word"]


def test_a_length_that_was_never_read_is_declined_until_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "_preludes", {})
    monkeypatch.setattr(bedrock_words, "_readers", {})
    reader, frame = reader_after(), say("another length")
    assert reader.read(frame) == (None, len(frame))
    AwsEvents().feed(frame)
    assert all_read(reader, frame) == [b"another length"]


@pytest.mark.parametrize("short", [SHORT, 10 * LONGEST])
def test_a_text_is_read_up_to_the_length_that_is_told_as_it_comes(short: int) -> None:
    longest = min(short, LONGEST) // 3 * 3  # as far as base64 tells the length
    reader = reader_after(say("w" * longest), say("w" * (longest + 3)), short=short)
    assert all_read(reader, say("w" * longest)) == [b"w" * longest]
    assert all_read(reader, say("w" * (longest + 3))) is None


def test_streams_whose_frames_have_the_same_headers_share_a_reader() -> None:
    assert shared_by(reader_after()) is shared_by(reader_after())
    assert shared_by(reader_after(short=50)) is not shared_by(reader_after())


def test_readers_and_heads_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_words, "_KEPT_READERS", 2)
    monkeypatch.setattr(bedrock_words, "_KEPT_HEADS", 2)
    monkeypatch.setattr(bedrock_words, "_readers", {})
    for short in range(40, 46):
        reader = reader_after(short=short)
        assert len(bedrock_words._readers) <= 2
        for text in ("w", "words", "words, words", "words"):
            AwsEvents().feed(say(text))
            assert all_read(reader, say(text)) == [text.encode()]
            assert len(shared_by(reader)._heads) <= 2


@pytest.mark.parametrize(
    "last",
    [
        rationale("Hm."),
        payload(b'{"bytes":"d29yZA=="}', "trace"),
        payload(b'{"bytes":"d29yZA=="}', "chunk", aws_frames.text("m", "m" * 300)),
        aws_frames.frame_of(aws_frames.block([aws_frames.text(":message-type", "sparkle")]), b"x"),
        b"",
        WORD[8:],
    ],
)
def test_no_shortcut_leads_from_what_is_no_chunk_of_words(last: bytes) -> None:
    framing = ChunkEvents(SHORT)
    framing.feed(last)
    assert framing.shortcut(last, ALIKE) is None


def test_a_shortcut_is_found_once_and_serves_until_a_fault() -> None:
    framing = ChunkEvents(SHORT)
    framing.feed(WORD)
    assert framing.shortcut(WORD, None) is None
    found = framing.shortcut(WORD, ALIKE)
    assert found is not None
    framing.feed(rationale("Hm."))
    assert framing.shortcut(rationale("Hm."), ALIKE) is found
    framing.feed(broken(WORD, len(WORD) - 1))
    assert framing.fault is not None
    assert framing.shortcut(WORD, ALIKE) is None


@pytest.mark.parametrize("cut", range(1, len(WORD)))
def test_framing_and_shortcut_go_on_where_the_other_stopped(cut: int) -> None:
    framing, other = reader_after(), say("another length")
    AwsEvents().feed(other)
    assert all_read(framing, WORD + other[:cut]) == [b"word"]
    assert all_read(framing, other[cut:] + WORD[:cut]) == [b"another length"]
    assert [inside for _, inside in framing.feed(WORD[cut:] + WORD[:cut])] == [b'{"bytes":"d29yZA=="}']
    assert all_read(framing, WORD[cut:]) == [b"word"]
    assert (framing.feed(WORD)[0][0], framing.close(), framing.fault) == (b"chunk", [], None)


BAD = [
    broken(WORD, 11),
    broken(WORD, 3),
    broken(WORD, len(WORD) - 1),
    payload(b"{}"),
    payload(b"{}") + WORD[:3],
]


@pytest.mark.parametrize("bad", BAD)
def test_what_waits_stays_as_it_is_when_a_read_is_declined(bad: bytes) -> None:
    framing = reader_after()
    framing.feed(bad[:7])
    waits = bytes(framing._buffer)
    texts, end = framing.read(bad[7:] + WORD)
    assert (texts, framing._buffer) == (None, waits)
    assert 0 < end <= len(bad[7:] + WORD)


@pytest.mark.parametrize("bad", BAD)
def test_what_waits_is_used_up_by_the_words_that_it_begins(bad: bytes) -> None:
    framing = reader_after()
    framing.feed(WORD[:7])
    assert framing.read(WORD[7:] + WORD + bad) == ([b"word", b"word"], len(WORD + WORD) - 7)
    assert framing._buffer == b""


def test_the_text_of_a_frame_may_look_like_a_frame() -> None:
    framing, holds = reader_after(), payload(WORD + WORD)
    AwsEvents().feed(holds)
    begins = holds.index(WORD, 1)
    framing.feed(holds[:begins])
    assert framing.shortcut(WORD, ALIKE) is not None
    assert framing.read(WORD) == (None, len(WORD))
    assert framing.read(holds[begins:] + WORD) == (None, len(holds) - begins)
    assert framing.feed(holds[begins:]) == [(b"chunk", WORD + WORD)]
    assert all_read(framing, WORD) == [b"word"]


THOUGHT = rationale("Hm.")
MIXED: list[list[bytes | list[bytes]]] = [
    [[b"word"]],
    [[b"word", b"word"]],
    [THOUGHT],
    [[b"word"], THOUGHT + payload(b"{}"), [b"word", b"word"], THOUGHT],
    [THOUGHT, [b"word"]],
    [WORD[5:]],
]
"""Words, and what is none, in turn."""


@pytest.mark.parametrize("parts", MIXED)
def test_words_are_read_up_to_something_else_and_from_after_it(parts: list[bytes | list[bytes]]) -> None:
    for frame in (THOUGHT, payload(b"{}")):
        AwsEvents().feed(frame)
    framing, read = reader_after(), list[bytes | list[bytes]]()
    data = b"".join(part if isinstance(part, bytes) else WORD * len(part) for part in parts)
    while data:
        texts, end = framing.read(data)
        assert end > 0
        read.append(data[:end] if texts is None else texts)
        data = data[end:]
    assert read == parts


# Streams.


class Blind(ChunkEvents):
    """Knows no shortcut."""

    __slots__ = ()

    def shortcut(self, data: bytes, template: Any) -> None:
        return None


def outcome(stream: Stream, parts: list[bytes]) -> list[Any]:
    platform, upstream = Platform(), stream.upstream
    out = [stream.feed(part) for part in parts]
    state = [upstream._told.all, upstream._told.text, upstream._speaking, upstream._torn]  # type: ignore[attr-defined]
    end = stream.close()
    platform.carry_out(upstream.settle())
    failure = stream.failure
    error = None if failure is None else (type(failure), failure.message, failure.detail)
    return [b"".join(out), state, end, stream.done, stream.received, error, platform.memory]


def blind(stream: Stream) -> Stream:
    framing = stream.framing
    assert isinstance(framing, ChunkEvents)
    return Stream(Blind(framing._short), stream.upstream, stream.surface)


@st.composite
def parts(draw: st.DrawFn) -> list[bytes]:
    """Reads of an answer: of one frame, of several, now and then cut anywhere."""
    sent = draw(FRAMES)
    edges = [sum(map(len, sent[:number])) for number in range(len(sent) + 1)]
    places = [edge for edge in edges if draw(st.booleans()) or draw(st.booleans())]
    places += draw(st.one_of(st.just([]), st.lists(st.integers(0, edges[-1]), max_size=3)))
    return cut_at(b"".join(sent), sorted(places))


@settings(max_examples=300, deadline=None)
@given(parts(), st.sampled_from(["words", "off"]), st.booleans())
def test_nobody_can_tell_a_shortcut_from_the_ordinary_road(
    parts: list[bytes], split: str, streams: bool
) -> None:
    make = streamed if streams else whole
    ordinary = outcome(blind(make(ready(streams, split=split))), parts)
    assert outcome(make(ready(streams, split=split)), parts) == ordinary
    assert outcome(make(ready(streams, split=split)), parts) == ordinary, "with all lengths known"


def test_words_are_read_past_translate(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = streamed()
    out = stream.feed(WORD + say(" more"))
    monkeypatch.setattr(type(stream.upstream), "translate", None)
    out += stream.feed(WORD) + stream.feed(say(" more") + WORD)
    assert contents(out) == ["word", " more", "word", " more", "word"]
    assert stream.upstream._told.text == "word moreword moreword"  # type: ignore[attr-defined]


def test_what_was_read_so_is_known_to_the_next_question_and_to_citations() -> None:
    platform = Platform()
    first = agent({"stream": True})
    platform.ask(first)
    first.asked()
    stream = streamed(first)
    for frame in (WORD, WORD, say(" is out"), say(" is out"), say("."), say(".")):
        stream.feed(frame)
    out = stream.feed(say("", **cites(citation(" is out is", s3("s3://b/k")))))
    [note] = json.loads(out.removeprefix(b"data: "))["choices"][0]["delta"]["annotations"]
    assert (note["url_citation"]["start_index"], note["url_citation"]["end_index"]) == (8, 18)
    stream.close()
    platform.carry_out(first.settle())
    said = {"role": "assistant", "content": "wordword is out is out.."}
    messages = [{"role": "user", "content": "hi"}, said, {"role": "user", "content": "and?"}]
    second = agent({"stream": True, "messages": messages})
    assert "conversationHistory" not in json.dumps(platform.ask(second))


def test_bytes_are_counted_and_nothing_is_said_after_the_end() -> None:
    stream = streamed()
    for _ in range(3):
        stream.feed(WORD)
    assert stream.received == 3 * len(WORD)
    assert b"[DONE]" in told(stream, [])
    assert stream.feed(WORD) == b""


def test_nothing_is_read_past_a_character_that_has_begun() -> None:
    stream = streamed()
    parts = [WORD, WORD, say("é".encode()[:1]), WORD, WORD, WORD]
    assert contents(b"".join(map(stream.feed, parts))) == ["word", "word", "\ufffdword", "word", "word"]


def test_words_after_a_file_are_parted_from_the_next_file() -> None:
    made = files({"name": "f", "type": "text/plain", "bytes": b64encode(b"x").decode()})
    parts = [WORD, WORD, made, WORD, WORD, made]
    assert outcome(streamed(), parts) == outcome(blind(streamed()), parts)
    out = b"".join(map(streamed().feed, parts))
    assert [text for text in contents(out) if "data:" not in text] == ["word", "word", "\n\n"] * 2


def test_a_torn_character_is_told_once_it_is_whole() -> None:
    stream = streamed()
    letter = "é".encode()
    out = b"".join(map(stream.feed, (WORD, WORD, say(letter[:1]), say(letter[1:]), WORD, WORD)))
    assert contents(out) == ["word", "word", "é", "word", "word"]
