"""An event-stream reader that forgives nothing: what the strictest of clients accepts is all that passes.

Frames are exactly ``data: <one line>`` and a blank line, LF only; comments stand alone. Every payload is valid
UTF-8 and JSON to the standard library, and holds none of the characters that some client takes for a line end.
"""

from __future__ import annotations

import json
from typing import Any

from openai._streaming import SSEDecoder

LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def payloads(out: bytes) -> list[str]:
    text = out.decode("utf-8")
    assert not set(text) & set(LINE_ENDS)
    if not text:
        return []
    assert text.endswith("\n\n")
    found = []
    for frame in text[:-2].split("\n\n"):
        assert "\n" not in frame, frame
        if not frame.startswith(": "):
            assert frame.startswith("data: "), frame
            found.append(frame.removeprefix("data: "))
    assert found == sdk_payloads(out)
    return found


def sdk_payloads(out: bytes) -> list[str]:
    """The same, as the official client's own decoder sees it."""
    return [event.data for event in SSEDecoder().iter_bytes(iter([out])) if event.data]


def documents(out: bytes) -> list[dict[str, Any]]:
    """Every frame as JSON, ``[DONE]`` left out."""
    return [loads(payload) for payload in payloads(out) if payload != "[DONE]"]


def loads(payload: str | bytes) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(payload, parse_constant=refuse)
