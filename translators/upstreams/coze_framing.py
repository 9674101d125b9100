"""Coze's streams, and what Coze sends where a stream was asked for.

The first byte tells a JSON document or a page from events, as everywhere. Coze's events differ from the
grammar in two ways that matter. A refusal may stand in the middle of a stream as a bare line of JSON, which
is no field and would be skipped: it becomes a frame without a name. And an event may have no data line, because
one of Coze's writers leaves it out for an empty payload: its name alone is a frame, unless the stream ends
within it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from translators.errors import GatewayError
from translators.framing.base import Frame, Framing, Reader
from translators.framing.sniff import Document, Page
from translators.framing.sse import SSE
from translators.template import Template

_EVENT = re.compile(rb"^event: ?([^\n]*+)\ndata: ?([^\n]*+)\n\n", re.MULTILINE)
_BLANK = b"\xef\xbb\xbf \t\r\n"
_PATIENCE = 4 * 1024  # so much white space is a stream that keeps itself alive
_BRACE = ord("{")
_COLON = ord(":")


class CozeEvents(SSE):
    __slots__ = ()

    def close(self) -> list[Frame]:
        return [frame for frame in super().close() if frame[1]]

    def _whole(self, whole: bytes) -> list[Frame]:
        """Most events are two lines, which are cut out at one go where there is nothing else."""
        if whole[:6] == b"event:" and len(whole) <= self._max_frame and self.fault is None:
            frames: list[Frame] = _EVENT.findall(whole)
            if whole.count(b"\n") == 3 * len(frames):  # so no other line stands between them
                return frames
        return super()._whole(whole)

    @staticmethod
    def _block(block: bytes, frames: list[Frame]) -> None:
        name, _, data = block.partition(b"\n")
        if name[:6] == b"event:" and data[:5] == b"data:" and b"\n" not in data:
            frames.append((_value(name, 6), _value(data, 5)))
            return
        name = b""
        datas: list[bytes] = []
        for line in block.split(b"\n"):
            if not line or line[0] == _COLON:
                continue
            if line[0] == _BRACE:
                frames.append((b"", line))
            elif line[:5] == b"data:":
                datas.append(_value(line, 5))
            elif line[:6] == b"event:":
                name = _value(line, 6)
        if datas or name:
            frames.append((name, b"\n".join(datas)))


def _value(line: bytes, start: int) -> bytes:
    return line[start + 1 :] if line[start : start + 1] == b" " else line[start:]


class CozeFraming:
    __slots__ = ("_chosen", "_held", "feed")

    _by_opening: dict[bytes, Callable[[], Framing]] = {b"{": Document, b"[": Document, b"<": Page}

    def __init__(self) -> None:
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
        if not rest and len(data) < _PATIENCE:
            self._held = data
            return []
        self._chosen = self._by_opening.get(rest[:1], CozeEvents)()
        self.feed = self._chosen.feed
        return self._chosen.feed(data)
