"""Upstreams that break off, again and again, in a fresh interpreter: exit 0 if the gateway is as it was before.

One cycle is one question whose upstream goes: before the head, after it, in the middle, with a reset, with a clean
end that is none, with malformed chunks. ``python -m tests.isolated.leak_upstream_gone tap uvloop``
"""

from __future__ import annotations

import sys

from proxy.simulators.script import (
    Abort,
    Close,
    Send,
    Wait,
    chunk,
    event_stream_head,
    last_chunk,
    reply,
    stream,
)
from tests.isolated.watch import Watch, gateway_in_front_of
from tests.support.raw import ask, question
from tests.support.upstream import answer, told_by, words

OPEN = Send(event_stream_head())
BEGUN = [OPEN, *(Send(chunk(word)) for word in words(3)), Wait(0.002)]
SCRIPTS = {
    "whole": stream(answer(5)),
    "no head": [Close()],
    "no head, reset": [Abort()],
    "no words": [OPEN, Wait(0.002), Abort()],
    "reset": [*BEGUN, Abort()],
    "no end": [*BEGUN, Send(last_chunk())],
    "no terminator": [*BEGUN, Close()],
    "malformed": [*BEGUN, Send(b"zz\r\n")],
    "refusal": [Send(reply(500, b"{}"))],
    "refusal, reset": [Send(reply(500, b"{}")[:-1]), Abort()],
}


def main(relay: str, loop: str, cycles: int) -> None:
    with gateway_in_front_of(told_by(SCRIPTS), relay, loop) as (gateway, upstream):
        watch = Watch(gateway, upstream)
        for name in [*SCRIPTS] * (cycles // len(SCRIPTS) // 2):
            for streamed in (True, False):
                watch.turn()
                ask(gateway.port, question(streamed, messages=[{"role": "user", "content": name}]))
        watch.judge()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
