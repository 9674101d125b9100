"""Deciding by the first byte, because content types lie.

A server asked for a stream may answer with one JSON document, with an error page, or with a stream under the
wrong content type. The first byte that is not white space tells them apart: a brace opens a document, an
angle bracket a page, and anything else begins a line of events. A document is one frame without a name.

``feed`` is rebound to the chosen framing's own method, so that the choice costs nothing afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

from translators.errors import GatewayError, UpstreamMalformed
from translators.excerpt import clean_bytes
from translators.framing.base import MAX_BODY, MAX_FRAME, Frame, Framing, Reader
from translators.framing.sse import SSE
from translators.template import Template

_BLANK = b"\xef\xbb\xbf \t\r\n"
_PAGE = 8 * 1024  # as much of an error page as is worth quoting from
_PATIENCE = 4 * 1024  # so much white space is a stream that keeps itself alive


class Document:
    """One JSON document that ends where the body ends."""

    __slots__ = ("_buffer", "_max_body", "fault")

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self.fault: GatewayError | None = None
        self._max_body = max_body
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        if self.fault is None:
            self._buffer += data
            if len(self._buffer) > self._max_body:
                self._buffer.clear()
                self.fault = UpstreamMalformed(f"The upstream sent an answer of over {self._max_body} bytes.")
        return []

    def close(self) -> list[Frame]:
        document = bytes(self._buffer).strip(_BLANK)
        self._buffer.clear()
        return [(b"", document)] if document and self.fault is None else []

    def shortcut(self, data: bytes, template: Template | None) -> None:
        """There is one frame only."""


class Page:
    """A page meant for people: it is read only to say what was found instead of an answer."""

    __slots__ = ("_buffer", "fault")

    def __init__(self) -> None:
        self.fault: GatewayError | None = None
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data[: _PAGE - len(self._buffer)]
        if len(self._buffer) >= _PAGE:
            self.close()
        return []

    def close(self) -> list[Frame]:
        if self.fault is None:
            words = clean_bytes(bytes(self._buffer), 200)
            self.fault = UpstreamMalformed(f"The upstream answered with a page instead of a stream: {words}")
        return []

    def shortcut(self, data: bytes, template: Template | None) -> None:
        """There are no frames."""


class Sniff:
    __slots__ = ("_chosen", "_held", "_max_body", "_max_frame", "feed")

    def __init__(self, max_frame: int = MAX_FRAME, max_body: int = MAX_BODY) -> None:
        self._max_frame = max_frame
        self._max_body = max_body
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

    def _first(self, data: bytes) -> list[Frame]:
        data = self._held + data
        rest = data.lstrip(_BLANK)
        patient = len(data) - len(rest) < _PATIENCE
        if not rest and patient:
            self._held = data
            return []
        self._chosen = self._choose(rest[:1]) if patient else SSE(self._max_frame)
        self.feed = self._chosen.feed
        return self._chosen.feed(data)

    def _choose(self, opening: bytes) -> Framing:
        if opening == b"{" or opening == b"[":
            return Document(self._max_body)
        return Page() if opening == b"<" else SSE(self._max_frame)
