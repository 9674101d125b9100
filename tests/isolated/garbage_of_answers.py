"""Answers that go well leave nothing for the garbage collector: exit 0 if all they were made of went by itself.

Objects that hold each other live until the collector comes. At thousands of answers a second that is memory, and
time stolen from other answers. ``python -m tests.isolated.garbage_of_answers tap uvloop 200``
"""

from __future__ import annotations

import gc
import sys
from collections import Counter

from proxy.simulators.script import stream
from tests.isolated.watch import gateway_in_front_of
from tests.support.raw import RawClient, question
from tests.support.upstream import answer

OURS = ("proxy.", "translators.")


def main(relay: str, loop: str, cycles: int) -> None:
    with gateway_in_front_of(stream(answer(5)), relay, loop) as (gateway, _):
        with RawClient(gateway.port) as client:
            for turn in range(cycles):
                if turn == cycles // 2:
                    gc.collect()
                    gc.disable()
                    gc.set_debug(gc.DEBUG_SAVEALL)
                client.post(question(True))
                client.until(b"[DONE]\n\n\r\n0\r\n\r\n")
            gateway.until_idle(5.0)
            gc.collect()
        kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    kept = {kind: count for kind, count in kinds.items() if kind.startswith(OURS)}
    assert not kept, kept


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
