"""Clients that leave, again and again, in a fresh interpreter: exit 0 if the gateway is as it was before.

One cycle is one client that asks and leaves: before the head, before the first token, in the middle of a stream,
while a whole answer is made, or while bytes wait for it. ``python -m tests.isolated.leak_client_gone tap uvloop``
"""

from __future__ import annotations

import sys

from proxy.simulators.script import Hang, Send, chunk, event_stream_head
from tests.isolated.watch import Watch, gateway_in_front_of
from tests.support.raw import RawClient, question
from tests.support.upstream import told_by, words

OPEN = Send(event_stream_head())
SCRIPTS = {
    "head": [Hang()],
    "token": [OPEN, Hang()],
    "middle": [OPEN, *(Send(chunk(word)) for word in words(5)), Hang()],
    "flood": [OPEN, *(Send(chunk(b"".join(words(500)))) for _ in range(20)), Hang()],
}


def leave(port: int, name: str, *, streamed: bool, reset: bool) -> None:
    with RawClient(port, receive_buffer=4096) as client:
        client.post(question(streamed, messages=[{"role": "user", "content": name}]))
        if streamed and name in ("middle", "flood"):
            client.until(b"w2 ")
        if reset:
            client.reset()


def main(relay: str, loop: str, cycles: int) -> None:
    with gateway_in_front_of(told_by(SCRIPTS), relay, loop) as (gateway, upstream):
        watch = Watch(gateway, upstream)
        for name in [*SCRIPTS] * (cycles // len(SCRIPTS) // 2):
            for streamed in (True, False):
                leave(gateway.port, name, streamed=streamed, reset=watch.turn() % 2 == 0)
        watch.judge()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
