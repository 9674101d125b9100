"""Recorded answers and what is made of them.

``openai/<case>.sse`` holds the bytes as a server sent them. Beside it stand the events they mean, one repr to
a line, and what the two forms of the chat surface tell: ``.chunks`` is the streamed form, ``.whole`` the body
or, where there is none, the error. ``UPDATE_WIRES=1 pytest tests/upstreams`` writes the three anew; read the
difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from translators.events import Event, Text
from translators.ids import Envelope
from translators.request import Prompt
from translators.shortcut import spoken
from translators.stream import Stream
from translators.surfaces.base import Surface
from translators.surfaces.chat import Chat
from translators.surfaces.chat_whole import ChatWhole
from translators.upstreams.openai import OpenAI, OpenAISettings

FOLDER = Path(__file__).parent / "openai"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))
ENVELOPE = Envelope("chatcmpl-1", 1700000000, "m")
PROMPT = Prompt({"model": "m", "messages": [{"role": "user", "content": "hi"}]}, "m", True, True)


class Recorder:
    """A surface that keeps the events and says nothing."""

    streams: ClassVar[bool] = True
    content_type: ClassVar[str] = ""
    keep_alive: ClassVar[bytes] = b""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def render(self, events: Sequence[Event]) -> bytes:
        self.events += events
        return b""

    def words(self, texts: list[bytes]) -> bytes:
        self.events += [Text(spoken([text])) for text in texts]
        return b""

    def begin(self) -> bytes:
        return b""


def wire(name: str) -> bytes:
    return (FOLDER / f"{name}.sse").read_bytes()


def openai(**settings: Any) -> OpenAI:
    return OpenAI(PROMPT, OpenAISettings(**settings), ENVELOPE, "m")


def stream_to(surface: Surface, **settings: Any) -> Stream:
    upstream = openai(**settings)
    return Stream(upstream.framing(), upstream, surface)


def streamed(include_usage: bool = True, **settings: Any) -> Stream:
    return stream_to(Chat(ENVELOPE, include_usage), **settings)


def whole(**settings: Any) -> Stream:
    return stream_to(ChatWhole(ENVELOPE), **settings)


def told(stream: Stream, parts: Iterable[bytes]) -> bytes:
    """Everything the stream says, its end included."""
    return b"".join([*map(stream.feed, parts), stream.close()])


def events_of(parts: Iterable[bytes], **settings: Any) -> list[Event]:
    recorder = Recorder()
    told(stream_to(recorder, **settings), parts)
    return recorder.events


def goldens(name: str) -> dict[str, bytes]:
    """Suffix to content, as the code makes them now."""
    sent = wire(name)
    answer = whole()
    body = told(answer, [sent])
    if answer.failure is not None:
        body = b"%d %s" % (answer.failure.status, answer.failure.body())
    return {
        "events": "".join(f"{event!r}\n" for event in events_of([sent])).encode(),
        "chunks": told(streamed(), [sent]),
        "whole": body + b"\n",
    }
