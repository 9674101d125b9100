"""Server-sent events, bytes to ``(event, data)``.

Follows the WHATWG event-stream grammar: LF, CR and CRLF end lines wherever the bytes are cut, one space
after the colon belongs to the syntax, comments and unknown fields are skipped, an event without data is no
event. ``id`` and ``retry`` serve reconnection, which a gateway does not do.

Three things differ on purpose. Data stays bytes, because a JSON parser reads bytes faster than text. The
last event counts even without its blank line, because many servers leave it out; whether it is whole is for
the dialect to say. And every event has a bound.

Carriage returns are turned into line feeds on arrival, so that one search for a blank line finds every
boundary; text is searched once however slowly it trickles in.
"""

from __future__ import annotations

from translators.errors import GatewayError, UpstreamIncomplete, UpstreamMalformed
from translators.framing.base import MAX_FRAME, Frame
from translators.shortcut import Shortcut
from translators.template import Template

_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")
_CR = ord("\r")
_USUAL = (b"data: ", b":")
_EDGES = 2  # the buffer may hold a line end on either side of an event


class SSE:
    __slots__ = ("_buffer", "_cr", "_fresh", "_max_frame", "fault")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.fault: GatewayError | None = None
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._cr = False  # the last byte seen was a carriage return
        self._fresh = True  # nothing has come yet, or less than a byte order mark

    def feed(self, data: bytes) -> list[Frame]:
        if self._fresh:
            data = self._begin(data)
        if self._cr or _CR in data:
            data = self._normalise(data)
        buffer = self._buffer
        if not buffer:
            if data[-2:] == b"\n\n":
                return self._whole(data)
            seen = 0
        else:
            seen = len(buffer) - 1
        buffer += data
        end = buffer.rfind(b"\n\n", seen)
        if end < 0:
            if len(buffer) > self._max_frame + _EDGES:
                self._overflow()
            return []
        whole = bytes(buffer[: end + 2])
        del buffer[: end + 2]
        frames = self._whole(whole)
        if len(buffer) > self._max_frame + _EDGES:
            self._overflow()
        return frames

    def close(self) -> list[Frame]:
        """The unterminated rest, if it is an event; a rest that is none of the grammar's is a fault."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if self.fault is not None or not rest.strip(b"\n"):
            return []
        frames = self._events(rest)
        if not any(data for _, data in frames) and not _only_comments(rest):
            self._fail(UpstreamIncomplete("The upstream stopped in the middle of an event."))
        return frames

    def shortcut(self, data: bytes, template: Template | None) -> Shortcut | None:
        if template is None or not template.met:
            return None
        if self._cr or self._fresh or self.fault is not None:
            return None
        if template.shortcut is None:
            template.shortcut = self._shortcut(data, template)
        return template.shortcut

    def _shortcut(self, data: bytes, template: Template) -> Shortcut | None:
        """Made like the last whole event of ``data``, if an event so made is read as it should be."""
        if _CR in data:
            return None
        before, after = template.edges
        events = data.rpartition(b"\n\n")[0]
        head = b"".join(events.rpartition(b"\n\n")[2].partition(before)[:2])
        tail = after + b"\n\n"
        event = head + b"x" + tail
        if not head.startswith((b"data:", b"event:")) or len(event) > self._max_frame:
            return None
        frames = self._whole(event)
        if [payload for _, payload in frames] != [before + b"x" + after]:
            return None
        return (
            Shortcut(head, tail, self._max_frame, self._buffer, template.longest)
            if template.event in (None, frames[0][0])
            else None
        )

    def _whole(self, whole: bytes) -> list[Frame]:
        """Events with their blank lines. Most streams are bare ``data: `` lines and need no look at each."""
        if whole[:6] == b"data: " and len(whole) <= self._max_frame and self.fault is None:
            if whole.find(b"\n") == len(whole) - 2:
                return [(b"", whole[6:-2])]
            lines = whole.count(b"\n")
            datas = whole[6:-2].split(b"\n\ndata: ")
            if lines == 2 * len(datas):  # so no other line stands between them
                return [(b"", data) for data in datas]
            blocks = whole[:-2].split(b"\n\n")
            if lines == 2 * len(blocks) and all(block.startswith(_USUAL) for block in blocks):
                return [(b"", block[6:]) for block in blocks if block[:1] != b":"]  # without the comments
        return self._events(whole)

    def _events(self, whole: bytes) -> list[Frame]:
        if self.fault is not None:
            return []
        frames: list[Frame] = []
        for block in whole.split(b"\n\n"):
            if len(block) > self._max_frame and len(block.strip(b"\n")) > self._max_frame:
                self._overflow()
                break
            if block.startswith(b"data: ") and b"\n" not in block:
                frames.append((b"", block[6:]))
            elif block:
                self._block(block, frames)
        return frames

    @staticmethod
    def _block(block: bytes, frames: list[Frame]) -> None:
        name = b""
        data: list[bytes] = []
        for line in block.split(b"\n"):
            if not line or line[0] == _COLON:
                continue
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value[1:] if value[:1] == b" " else value)
            elif field == b"event":
                name = value[1:] if value[:1] == b" " else value
        if data:
            frames.append((name, b"\n".join(data)))

    def _begin(self, data: bytes) -> bytes:
        """The first bytes, without a byte order mark; nothing as long as they may become one."""
        self._buffer += data
        if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
            return b""
        data = bytes(self._buffer.removeprefix(_BOM))
        self._buffer.clear()
        self._fresh = False
        return data

    def _normalise(self, data: bytes) -> bytes:
        if self._cr and data.startswith(b"\n"):
            data = data[1:]
            self._cr = False
        if data:
            self._cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _overflow(self) -> None:
        self._buffer.clear()
        self._fail(UpstreamMalformed(f"The upstream sent an event of over {self._max_frame} bytes."))

    def _fail(self, fault: GatewayError) -> None:
        if self.fault is None:
            self.fault = fault


def _only_comments(rest: bytes) -> bool:
    return all(line[:1] in (b"", b":") for line in rest.split(b"\n"))
