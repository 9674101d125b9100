"""Streams of the bench as they should be on the wire, and every way of spoiling one that must be found out."""

from __future__ import annotations

from collections.abc import Callable

from bench.plan import Plan
from bench.wires import DIALECTS

PLAN = Plan(frames=3, pace="10")
DIALECT = DIALECTS["openai"]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMES = [DIALECT.opening, *(DIALECT.token(PLAN.piece(n, 1000 + n)) for n in range(3)), DIALECT.closing]


def wire(frames: list[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames) + b"0\r\n\r\n"


BROKEN: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a frame is missing": (lambda f: [f[0], f[1], f[3], f[4]], "frame 2 in place of 1"),
    "the last frame is missing": (lambda f: [*f[:3], f[4]], "2 of 3 frames"),
    "a frame comes twice": (lambda f: [*f[:2], f[1], *f[2:]], "frame 0 in place of 1"),
    "two frames changed places": (lambda f: [f[0], f[2], f[1], *f[3:]], "frame 1 in place of 0"),
    "text was changed": (lambda f: [f[0], f[1].replace(b"....", b"..,."), *f[2:]], "never sent"),
    "a stamp runs backwards": (
        lambda f: [*f[:3], DIALECT.token(PLAN.piece(2, 7)), f[4]],
        "a stamp runs backwards",
    ),
    "the id changes": (lambda f: [*f[:3], f[3].replace(b"up-1", b"up-2"), f[4]], "the id changed"),
    "an error": (lambda f: [*f[:2], b'data: {"error":{"message":"no"}}\n\n'], "an error"),
    "no end": (lambda f: f[:4], "no [DONE]"),
    "no finish reason": (lambda f: [*f[:4], b"data: [DONE]\n\n"], "no finish reason"),
    "two finish reasons": (lambda f: [*f[:4], f[4].partition(b"\n\n")[0] + b"\n\n", f[4]], "two finish"),
    "something after the end": (lambda f: [*f, f[1]], "does not belong"),
    "an event line": (lambda f: [f[0], b"event: x\n" + f[1], *f[2:]], "does not belong"),
    "half a frame": (lambda f: [*f, b"data: {"], "a frame without an end"),
    "not JSON": (lambda f: [f[0], f[1].replace(b"}", b"", 1), *f[2:]], "unreadable"),
    "another shape": (lambda f: [b"data: []\n\n", *f], "unreadable"),
}
