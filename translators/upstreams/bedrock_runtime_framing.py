"""What a runtime of AgentCore sends: events, one JSON document, or bare text.

The runtime hands on what the agent inside it writes, and its content type with it. Plain text is believed. Else the
first byte that is not white space decides, because JSON begins with none of the letters that the fields of an event
begin with; only where that byte can be neither does the type decide again. A document is a frame named
``:document``, text one named ``:text`` for every read; events keep their own names.

``feed`` is rebound to the chosen framing's own method, so that the choice costs nothing afterwards. A text that is
told in several pieces is not read past its event, so ``Brief`` stands before the reader of the others.
"""

from __future__ import annotations

from collections.abc import Callable

from translators.errors import GatewayError, UpstreamIncomplete
from translators.framing.base import Frame, Framing, Reader
from translators.framing.sniff import Document, Page
from translators.framing.sse import SSE
from translators.template import Template
from translators.upstreams.bedrock_runtime_words import NOT_JSON, parsed

DOCUMENT = b":document"
TEXT = b":text"

_BLANK = b"\xef\xbb\xbf \t\r\n"
_PATIENCE = 4 * 1024  # so much white space is a stream that keeps itself alive
_JSON = frozenset(b'{["-0123456789tfn')
_FIELDS = frozenset(b"deir:")


class Events(SSE):
    """Events whose last may lack its blank line, if it is whole without it."""

    __slots__ = ()

    def close(self) -> list[Frame]:
        ended = self._buffer[-1:] == b"\n"
        frames = super().close()
        if all(_is_whole(data, ended) for _, data in frames):
            return frames
        self._fail(UpstreamIncomplete("The upstream stopped in the middle of an event."))
        return []


class Whole(Document):
    __slots__ = ()

    def close(self) -> list[Frame]:
        return [(DOCUMENT, document) for _, document in super().close()]


class Plain:
    """Text that ends where the body ends."""

    __slots__ = ("fault",)

    def __init__(self) -> None:
        self.fault: GatewayError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        return [(TEXT, data)] if data else []

    def close(self) -> list[Frame]:
        return []

    def shortcut(self, data: bytes, template: Template | None) -> None:
        """There are no frames."""


class RuntimeFraming:
    __slots__ = ("_chosen", "_held", "_longest", "content_type", "feed")

    def __init__(self, longest: float) -> None:
        """``longest``: characters up to which a text is told as it comes."""
        self._longest = longest
        self.content_type = ""
        """In lower case and without parameters; told before the first bytes come."""
        self._held = b""
        self._chosen: Framing | None = None
        self.feed: Callable[[bytes], list[Frame]] = self._first

    @property
    def fault(self) -> GatewayError | None:
        return None if self._chosen is None else self._chosen.fault

    def close(self) -> list[Frame]:
        return [] if self._chosen is None else self._chosen.close()

    def shortcut(self, data: bytes, template: Template | None) -> Reader | None:
        return None if self._chosen is None else self._chosen.shortcut(data, template)

    @property
    def is_json(self) -> bool:
        return self.content_type.endswith("json")

    def _first(self, data: bytes) -> list[Frame]:
        data = self._held + data
        rest = data.lstrip(_BLANK)
        if self._is_text():
            self._chosen = Plain()
        elif rest:
            self._chosen = self._choose(rest[0])
        elif len(data) >= _PATIENCE:
            self._chosen = Events()
        else:
            self._held = data
            return []
        self.feed = self._chosen.feed
        return self._chosen.feed(data)

    def _is_text(self) -> bool:
        return self.content_type.startswith("text/") and self.content_type not in _NOT_TEXT

    def _choose(self, opening: int) -> Framing:
        if opening == ord("<"):
            return Page()
        if opening in _JSON:
            return Whole()
        if opening in _FIELDS or self.content_type == "text/event-stream":
            return Events()
        return Whole() if self.is_json else Plain()


def _is_whole(data: bytes, ended: bool) -> bool:
    """Of text nobody knows but by the end of its line; of JSON everybody."""
    return parsed(data) is not NOT_JSON if data[:1] in (b"{", b"[", b'"') else ended


_NOT_TEXT = ("text/event-stream", "text/html", "text/json")
