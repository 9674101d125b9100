"""Frames of an agent's answer for laws: words in every shape, and whatever else there is, right and wrong."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import strategies as st

from tests.support import aws_frames
from tests.upstreams.bedrock_setup import (
    citation,
    cites,
    exception,
    files,
    function,
    rationale,
    returns,
    s3,
    say,
)
from translators.upstreams.bedrock_words import LONGEST

WORD = say("word")
SHORT = 64


def payload(inside: bytes, name: str = "chunk", *more: aws_frames.Header) -> bytes:
    return aws_frames.event(name, inside, *more)


def broken(frame: bytes, place: int) -> bytes:
    return frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]


NOT_READ: list[tuple[str, bytes]] = [
    ("the middle of a frame", WORD[5:]),
    ("a checksum that is wrong", broken(WORD, len(WORD) - 1)),
    ("a text that is not what was summed", broken(WORD, len(WORD) - 8)),
    ("a prelude whose checksum is wrong", broken(WORD, 11)),
    ("a length that is wrong", broken(WORD, 3)),
    ("headers that are not what was summed", broken(WORD, 30)),
    ("other headers", payload(b'{"bytes":"d29yZA=="}', "chunk", aws_frames.text("more", "m"))),
    ("headers that end elsewhere", aws_frames.frame_of(WORD[12:-24], WORD[-24:-4], length=len(WORD) - 16)),
    ("another event", payload(b'{"bytes":"d29yZA=="}', "trace")),
    ("an exception", exception("throttlingException", "slow down")),
    ("no text", payload(b'{"bytes":""}')),
    ("no member", payload(b"{}")),
    ("a sibling after it", say("word", p="abcd")),
    ("a sibling before it", payload(b'{"p":"abcd","bytes":"d29yZA=="}')),
    ("an attribution", say("word", **cites(citation("word", s3("s3://b/k"))))),
    ("white space", payload(b'{"bytes": "d29yZA=="}')),
    ("white space at the end", payload(b'{"bytes":"d29yZA=="} ')),
    ("an escape", payload(b'{"bytes":"d29y\\u005aA=="}')),
    ("no quote at the end", payload(b'{"bytes":"d29yZA==}')),
    ("no end", payload(b'{"bytes":"d29yZA==')),
    ("no end, and base64 that seems whole", payload(b'{"bytes":"QUJD+AQQ==')),
    ("base64 without its padding", payload(b'{"bytes":"d29yZA"}')),
    ("base64 with more padding", payload(b'{"bytes":"d29yZA===="}')),
    ("a byte that is not of base64", payload(b'{"bytes":"d29y ZA="}')),
    ("base64 for the web", payload(b'{"bytes":"__-_"}')),
    ("half a character", say("é".encode()[:1])),
    ("the other half", say("é".encode()[1:])),
    ("half a surrogate pair", say("\ud83d".encode("utf-8", "surrogatepass"))),
    ("words that are told in pieces", say("w" * (SHORT + 3))),
]
"""What is no chunk of words alone, by what is the matter with it."""

USUAL = ["word", " tokens", 'a "b"\n', "数据", "🙂", "\u2028", "x" * 70, "x " * 40, "é" * 33, "w" * LONGEST]
TEXTS = (st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(USUAL)).map(str.encode)
WORDS = TEXTS.map(say)
TORN = st.tuples(TEXTS, st.integers(0, 12)).map(
    lambda pair: say(pair[0][: pair[1]]) + say(pair[0][pair[1] :])
)
HOSTILE = st.one_of(
    st.sampled_from([data for _, data in NOT_READ]),
    st.binary(max_size=12).map(say),
    st.text('QUJDA+/=\\" ', max_size=12).map(lambda code: payload(b'{"bytes":"%b"}' % code.encode())),
    st.binary(max_size=20).map(payload),
    st.tuples(WORDS, st.integers(0, 60)).map(lambda pair: broken(pair[0], pair[1] % len(pair[0]))),
    st.just(files({"name": "f", "type": "text/plain", "bytes": b64encode(b"x").decode()})),
    st.just(rationale("Hm.")),
    st.just(returns(function("track"))),
    st.just(exception("throttlingException", "slow down")),
    st.just(say("word", **cites(citation("word", s3("s3://b/k"))))),
)
FRAMES = st.lists(st.one_of(WORDS, WORDS, WORDS, WORDS, TORN, HOSTILE), max_size=14)
