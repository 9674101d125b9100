"""The bytes of an event stream, before anybody reads them.

Frames of the OpenAI API are exactly ``data: `` with one line of JSON and one blank line after it, LF only. The
grammar of event streams allows much more, and our own framing reads all of it, but many clients split at the
blank lines and cut off the first six bytes. So frames are read by ``translators.framing.sse`` and only the way they
are written is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.compare.record import Faults, Recording
from translators.errors import UpstreamIncomplete
from translators.framing.sse import SSE

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = 6  # what ``data: `` takes


def look(recording: Recording, faults: Faults) -> None:
    """How the frames are written; the last is left out where the answer was cut."""
    body = recording.body
    if body.startswith(_BYTE_ORDER_MARK):
        faults.add("byte_order_mark")
        body = body.removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in body:
        faults.add("carriage_return")
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *blocks, rest = body.split(b"\n\n")
    if rest.strip(b"\n"):
        if not recording.end:
            blocks.append(rest)
            faults.add("no_blank_line")
    elif rest:
        faults.add("extra_blank_line")
    for block in blocks:
        lines = block.strip(b"\n").split(b"\n")
        if block.startswith(b"\n") or not block:
            faults.add("extra_blank_line")
        if len(lines) > 1 or lines[0][:_SPACE] != b"data: " or len(lines[0]) == _SPACE:
            _unusual([line for line in lines if line], faults)


def _unusual(lines: list[bytes], faults: Faults) -> None:
    """One frame that is not simply ``data: `` and something."""
    data = 0
    for line in lines:
        name, colon, value = line.partition(b":")
        if not name and colon:
            faults.add("comment" if len(lines) == 1 else "comment_in_frame")
        elif name == b"data":
            data += 1
            if not value.strip():
                faults.add("empty_data")
            elif not value.startswith(b" "):
                faults.add("no_space")
        elif name in _FIELDS:
            faults.add(_FIELDS[name], value.decode("utf-8", "replace"))
        else:
            faults.add("no_field", line.decode("utf-8", "replace"))
    if data > 1:
        faults.add("several_data_lines")


_FIELDS = {b"event": "event_line", b"id": "id_line", b"retry": "retry_line"}


def frames(recording: Recording, faults: Faults) -> Iterator[tuple[float, bytes]]:
    """The data of each frame, and when the read that completed it returned."""
    framing = SSE()
    when = 0.0
    for when, data in recording.pieces:
        for _, payload in framing.feed(data):
            yield when, payload
    for _, payload in () if recording.end else framing.close():
        yield when, payload
    if framing.fault is not None:
        faults.add("torn" if isinstance(framing.fault, UpstreamIncomplete) else "overlong")
