"""The two ends of a measurement tell the truth: whatever is wrong with a stream is found, whatever is right is
counted once, whichever program does it, and whoever leaves early is reported."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.cancel import cancel
from bench.cases import Case
from bench.generator import PYTHON, Generator, Outcome, Task, best_generator, run, standin
from bench.histogram import Histogram
from bench.plan import Plan
from bench.processes import Cpus
from bench.wires import DIALECTS
from tests.bench.broken import BROKEN, DIALECT, FRAMES, PLAN, wire

GENERATORS = {generator.name: generator for generator in (PYTHON, best_generator())}
FREE = Cpus(None, None)
CHAT = "/v1/chat/completions"

each_generator = pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)


@contextmanager
def answering(*pieces: bytes) -> Iterator[int]:
    """A server that says this to each request, piece by piece, and waits for the client to leave."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=_serve, args=(door, pieces))
        thread.start()
        yield door.getsockname()[1]
        thread.join(10)


def _serve(door: socket.socket, pieces: tuple[bytes, ...]) -> None:
    connection, _ = door.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.0005)
        connection.settimeout(5)
        with suppress(ConnectionResetError):
            connection.recv(65536)


def told(generator: Generator, *pieces: bytes, patience: float = 5.0) -> Outcome:
    with answering(*pieces) as port:
        task = Task(port, PLAN.request(CHAT, "m"), PLAN, streams=1, rounds=1, ramp=0, patience=patience)
        with run(generator, task, FREE) as running:
            return running.outcome()


@each_generator
@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_stream_is_a_defect(generator: Generator, name: str) -> None:
    spoil, _ = BROKEN[name]
    outcome = told(generator, wire(spoil(FRAMES)))
    assert (outcome.defects, bool(outcome.defect)) == (1, True)


OTHERWISE = {
    "refused": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "a chunk too short": wire(FRAMES).replace(b"\r\n0\r\n\r\n", b"\r\n1\r\n\r\n0\r\n\r\n"),
    "a chunk without a size": wire(FRAMES).replace(b"\r\n0\r\n\r\n", b"\r\nx\r\n\r\n"),
    "bytes after the end": wire(FRAMES) + b"more",
}


@each_generator
@pytest.mark.parametrize("name", OTHERWISE)
def test_a_wrong_answer_is_a_defect(generator: Generator, name: str) -> None:
    outcome = told(generator, OTHERWISE[name], patience=1.5)
    assert (outcome.complete, outcome.defects + outcome.unfinished) == (0, 1)
    assert outcome.defects or generator is PYTHON  # which takes what it cannot read for unfinished


@each_generator
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_right_stream_is_counted_however_it_is_cut(generator: Generator, size: int) -> None:
    raw = wire(FRAMES)
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    outcome = told(generator, *pieces, patience=15)
    assert (outcome.complete, outcome.defects, outcome.unfinished) == (1, 0, 0)
    assert (outcome.frames, outcome.lags.count, outcome.firsts.count) == (3, 3, 1)


@each_generator
def test_a_comment_is_no_defect(generator: Generator) -> None:
    assert told(generator, wire([FRAMES[0], b": still here\n\n", *FRAMES[1:]])).defects == 0


@each_generator
def test_what_has_not_ended_is_unfinished(generator: Generator) -> None:
    outcome = told(generator, wire(FRAMES)[:-5], patience=0.5)
    assert (outcome.complete, outcome.unfinished, outcome.defects, outcome.frames) == (0, 1, 0, 3)


@each_generator
@pytest.mark.parametrize(
    ("plan", "streams", "rounds"),
    [(Plan(20, "2000"), 5, 2), (Plan(50, "0"), 3, 3), (Plan(64, "0", batch=16), 2, 2)],
)
def test_the_stand_in_plays_the_plan(generator: Generator, plan: Plan, streams: int, rounds: int) -> None:
    with standin(generator, DIALECT, plan.size, FREE) as upstream:
        task = Task(upstream.port, plan.request(CHAT, "m"), plan, streams, rounds, ramp=0.05, patience=10)
        with run(generator, task, FREE) as running:
            assert running.all_open(5)
            outcome = running.outcome()
    assert (outcome.defects, outcome.complete, outcome.unfinished) == (0, streams * rounds, 0)
    assert outcome.frames == plan.frames * streams * rounds
    assert all(Histogram.of([floor]).buckets == ((floor, 1),) for floor, _ in outcome.lags.buckets)
    assert 0 < outcome.least_lag <= outcome.most_lag <= outcome.lags.most


@each_generator
def test_readers_who_leave_are_reported(generator: Generator) -> None:
    case = Case("cancel", Plan(100, "50000"), streams=5, rounds=2, kind="cancel")
    with standin(generator, DIALECTS["openai"], 40, FREE) as upstream:
        seen = cancel(case, upstream.port, lambda plan: plan.request(CHAT, "m"), upstream)
    assert (seen.defect, seen.missed, seen.times.count) == ("", 0, 10)


def test_a_stream_that_does_not_open_is_said() -> None:
    case = Case("cancel", Plan(100, "50000"), kind="cancel", patience=1)
    with standin(PYTHON, DIALECTS["openai"], 40, FREE) as upstream, answering(OTHERWISE["refused"]) as port:
        seen = cancel(case, port, lambda plan: plan.request(CHAT, "m"), upstream)
    assert "did not open" in seen.defect


def test_percentiles_are_within_their_bucket() -> None:
    times = [number * 37 for number in range(1, 100_001)]
    counted = Histogram.of(times)
    for percent in (1, 50, 90, 99):
        exact = times[len(times) * percent // 100 - 1]
        assert abs((counted.percentile(percent) or 0) / exact - 1) < 0.016
    assert (counted.percentile(100), counted.count) == (3_700_000, 100_000)
    assert Histogram().percentile(50) is None
