"""What a kind of upstream gets that says nothing of its own, and which kinds say more."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from attrs import define, frozen

from tests.wires.reader import ENVELOPE, PROMPT
from translators.embeddings import Embed
from translators.errors import GatewayError, UpstreamError
from translators.events import Emit, Text
from translators.framing.sniff import Sniff
from translators.framing.sse import SSE
from translators.stream import Stream
from translators.surfaces.chat import Chat
from translators.upstreams import UPSTREAMS
from translators.upstreams.audio import Recording, Spoken
from translators.upstreams.base import Upstream
from translators.upstreams.plan import ANYBODY, Cached, Call, Reply


@frozen
class PlainSettings:
    pass


@define(eq=False)
class Plain(Upstream):
    """A platform that can only be asked."""

    name: ClassVar[str] = "plain"
    Settings: ClassVar[type[Any]] = PlainSettings

    def call(self) -> Call:
        return Call("POST", "ask")

    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        return UpstreamError(f"status {status}")

    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        emit(Text(payload.decode()))


def plain() -> Plain:
    return Plain(PROMPT, PlainSettings(), ENVELOPE, "m")


def test_one_question_and_nothing_around_it() -> None:
    upstream = plain()
    assert [upstream.prepare(), upstream.farewell(), upstream.settle()] == [None, None, None]
    assert not upstream.will_be_named
    assert not upstream.reconsider(UpstreamError("x"))
    assert type(upstream.framing()) is Sniff


def test_every_frame_is_shown_to_a_kind_without_a_template() -> None:
    stream = Stream(SSE(), plain(), Chat(ENVELOPE, include_usage=False))
    told = b"".join(stream.feed(b"data: %d\n\n" % number) for number in range(20))
    assert [f'"content":"{number}"'.encode() in told for number in range(20)] == [True] * 20
    assert stream.upstream.template is None


def test_a_prompt_and_headers_are_left_alone() -> None:
    upstream = plain()
    upstream.asked()
    upstream.answered({"x-request-id": "1"})
    assert upstream.prompt is PROMPT
    assert (upstream.headers, upstream.done) == ({}, False)


def test_a_kind_answers_itself_where_it_is_configured() -> None:
    settings = PlainSettings()
    assert Plain.variant(settings) is Plain
    assert Plain.address("https://example.org/any/path/") == "https://example.org/any/path/"
    assert Plain.credential(settings, "https://example.org") is None
    assert Plain.catalog(settings) is None


def offers(kind: type[Upstream]) -> set[str]:
    """What there is beside answers."""
    settings, spoken = kind.Settings(), Spoken("One.")
    embed = Embed.read({"model": "m", "input": "a"})
    offered = {
        "conversations": kind.conversations(settings, ANYBODY),
        "transcription": kind.transcription(settings, ANYBODY, Recording(b"x", "a.wav", "")),
        "speech": kind.speech(settings, ANYBODY, spoken),
        "embeddings": kind.embeddings(settings, ANYBODY, "m", embed),
    }
    return {name for name, value in offered.items() if value is not None}


@pytest.mark.parametrize(
    ("kind", "offered"),
    [
        (Plain, set()),
        (UPSTREAMS["openai"], {"embeddings"}),
        (UPSTREAMS["builtin"], {"embeddings"}),
        (UPSTREAMS["coze"], {"conversations"}),
        (UPSTREAMS["dify"], {"transcription", "speech"}),
    ],
)
def test_what_a_kind_offers_beside_answers(kind: type[Upstream], offered: set[str]) -> None:
    assert offers(kind) == offered


@pytest.mark.parametrize(
    ("status", "good"), [(199, False), (200, True), (299, True), (300, False), (404, False)]
)
def test_a_reply_that_succeeded_may_serve_again(status: int, good: bool) -> None:
    assert Cached(Call("GET", "x"), "k", 1.0).good(Reply(status, b"")) is good
