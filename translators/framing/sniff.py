"""Deciding by the first byte, because content types lie.

A server asked for a stream may answer with one JSON document, with an error page, or with a stream under the
wrong content type. The first byte that is not white space tells them apart: a brace opens a document, an
angle bracket a page, and anything else begins a line of events. A document is one frame without a name.

What is no stream gives no frames before its end. So the framing is one of events that keeps the other two aside:
most answers are streams, and for them the choice costs one look at their first bytes.
"""

from __future__ import annotations

from translators.errors import GatewayError, UpstreamMalformed
from translators.excerpt import clean_bytes
from translators.framing.base import MAX_BODY, MAX_FRAME, Frame
from translators.framing.sse import SSE
from translators.template import Template

_BLANK = b"\xef\xbb\xbf \t\r\n"
_LINES = (b"data:", b"event:", b":")
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


class Sniff(SSE):
    """Events, unless the first byte says otherwise.

    ``_fresh`` until that has come, and to the end if it says otherwise: ``_begin`` has every read of no stream.
    """

    __slots__ = ("_held", "_max_body", "_other")

    def __init__(self, max_frame: int = MAX_FRAME, max_body: int = MAX_BODY) -> None:
        super().__init__(max_frame)
        self._max_body = max_body
        self._held = b""
        self._other: Document | Page | None = None

    def close(self) -> list[Frame]:
        if not self._fresh:
            return super().close()
        if self._other is None:
            return []
        frames = self._other.close()
        self.fault = self._other.fault
        return frames

    def _begin(self, data: bytes) -> bytes:
        if data.startswith(_LINES) and not self._held and self._other is None:
            self._fresh = False
            return data
        if self._other is None:
            data, self._held = self._held + data, b""
            rest = data.lstrip(_BLANK)
            patient = len(data) - len(rest) < _PATIENCE
            if patient and not rest:
                self._held = data
                return b""
            if patient and rest.startswith((b"{", b"[")):
                self._other = Document(self._max_body)
            elif patient and rest.startswith(b"<"):
                self._other = Page()
            else:
                return super()._begin(data)
        self._other.feed(data)
        self.fault = self._other.fault
        return b""
