"""Requests that fail leave nothing of theirs for the garbage collector either: exit 0 if all of it went by itself.

An error knows the frames that it came through, and these know the request with its body. Were it kept by anything
that the request holds, ten megabytes would wait for the collector with each refusal.
``python -m tests.isolated.garbage_of_failures tap uvloop 200``
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from itertools import cycle

from proxy.simulators.script import Abort, Send, chunk, event_stream_head, reply, stream
from tests.isolated.watch import gateway_in_front_of
from tests.support.raw import RawClient
from tests.support.upstream import answer, told_by, words

OURS = ("proxy.", "translators.")
TYPES = {"builtins.frame", "builtins.traceback"}
"""What holds everything that was there when something failed."""

LARGE = b"x" * 200_000
SCRIPTS = {
    "refuse": [Send(reply(400, b'{"error":{"message":"no"}}'))],
    "fail": [Send(reply(500, b"<html>"))],
    "say no": stream([b'data: {"error":{"message":"no"}}\n\n']),
    "babble": stream([b"data: {]\n\n"]),
    "break": [Send(event_stream_head()), *[Send(chunk(word)) for word in words(3)], Abort()],
    "babble on": stream([*words(3), b"data: {]\n\n"]),
    "stop short": stream(answer(5)[:-2]),
}


def asking(word: str, streams: bool, **more: bytes) -> bytes:
    text = b'{"model":"m","stream":%b,"messages":[{"role":"%b","content":"%b"}]%b}'
    values = {"role": b"user", "after": b"", **more}
    return text % (b"true" if streams else b"false", values["role"], word.encode(), values["after"])


QUESTIONS = [
    *(asking(word, streams) for word in SCRIPTS for streams in (True, False)),
    *(asking("hi", streams, role=b"nobody") for streams in (True, False)),
    *(asking("hi", streams, after=b',"padding":"%b"' % LARGE) + b"]" for streams in (True, False)),
    *(asking("hi", streams, role=b"nobody", after=b',"padding":"%b"' % LARGE) for streams in (True, False)),
    *(asking("fail", streams, after=b',"padding":"%b"' % LARGE) for streams in (True, False)),
]


def main(relay: str, loop: str, cycles: int) -> None:
    with gateway_in_front_of(told_by(SCRIPTS), relay, loop) as (gateway, _):
        for turn, asked in zip(range(cycles), cycle(QUESTIONS), strict=False):
            if turn == cycles // 2:
                gateway.until_idle(5.0)
                gc.collect()
                gc.disable()
                gc.set_debug(gc.DEBUG_SAVEALL)
            with RawClient(gateway.port) as client:
                client.post(asked)
                said = client.reply().body
            assert b'"error"' in said, said
        gateway.until_idle(5.0)
        gc.collect()
        kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    kept = {kind: count for kind, count in kinds.items() if kind.startswith(OURS) or kind in TYPES}
    assert not kept, kept


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
