"""How long after a reader has left the upstream knows: streams are opened, left, and looked for in what it says.

A socket is emptied before it is closed, so that closing says goodbye instead of complaining of unread data. Each
stream has a name in its plan, by which the stand-in tells whose reader went.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from attrs import evolve, frozen

from bench.cases import Case
from bench.generator import StandIn
from bench.histogram import Histogram
from bench.plan import MARK, Plan

NOTICE = 3.0
"""Seconds until an upstream that has not heard is taken never to hear."""
_PART = 64 * 1024
_GOOD = b"HTTP/1.1 200 "


@frozen
class Cancelled:
    times: Histogram
    missed: int
    """Streams of which the upstream never heard that nobody reads them."""
    defect: str = ""
    late: bool = False
    """Not all streams were open in time, so none was left."""


def cancel(case: Case, port: int, request: Callable[[Plan], bytes], upstream: StandIn) -> Cancelled:
    upstream.gone.clear()
    left: dict[int, int] = {}
    for turn in range(case.rounds):
        names = range(turn * case.streams + 1, (turn + 1) * case.streams + 1)
        with ExitStack() as opened:
            try:
                sockets = {
                    name: opened.enter_context(_open(port, request(evolve(case.plan, name=name))))
                    for name in names
                }
                until = time.monotonic() + case.patience
                for connection in sockets.values():
                    _first_frame(connection, until)
            except TimeoutError:
                return Cancelled(Histogram(), 0, late=True)
            except OSError as error:
                return Cancelled(Histogram(), 0, f"a stream did not open: {error}")
            for name, connection in sockets.items():
                left[name] = _leave(connection)
        if not _noticed(upstream, set(left)):
            break
    seen = {name: upstream.gone[name] - when for name, when in left.items() if name in upstream.gone}
    return Cancelled(Histogram.of(max(time, 0) for time in seen.values()), len(left) - len(seen))


def _open(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request)
    return connection


def _first_frame(connection: socket.socket, until: float) -> None:
    heard = b""
    while MARK not in heard:
        connection.settimeout(max(until - time.monotonic(), 0.001))
        data = connection.recv(_PART)
        heard += data
        if not data or len(heard) > _PART or heard[: len(_GOOD)] != _GOOD[: len(heard)]:
            raise ConnectionError(f"no frame came, but {heard[:60]!r}")


def _leave(connection: socket.socket) -> int:
    connection.setblocking(False)
    with suppress(BlockingIOError):
        while connection.recv(_PART):
            pass
    now = time.monotonic_ns()
    connection.close()
    return now


def _noticed(upstream: StandIn, names: set[int]) -> bool:
    """Whether the upstream has heard of all of them, in time."""
    until = time.monotonic() + NOTICE
    while not names <= upstream.gone.keys():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
