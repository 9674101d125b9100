"""The two ends of a measurement, each a process of its own: the stand-in that streams, the load that reads.

They are C programs, because a generator that tires before the target measures itself: built on first use into
.cache, anew when their source changes. Where they cannot be built the Python ones take their place; same arguments,
same output, and a note that they are the bottleneck. Either way the first answer of every run is read once more
by ``judge``, to the last byte.
"""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from attrs import define, evolve, field, frozen

from bench.histogram import Histogram
from bench.judge import judge
from bench.load import Recording
from bench.plan import Plan
from bench.processes import ROOT, Cpus, pinned
from bench.wires import DIALECTS, Dialect

CACHE = ROOT / ".cache" / "bench"
_SOURCES = Path(__file__).parent / "engine"
_BUILD = ("-O2", "-Wall", "-Wextra")


@frozen
class Generator:
    """How to start the two programs."""

    name: str
    standin: tuple[str, ...]
    load: tuple[str, ...]

    @property
    def plays_files(self) -> bool:
        """Whether the stand-in is given the dialect's bytes, or knows them."""
        return self.name == "C"


PYTHON = Generator("Python", (sys.executable, "-m", "bench.standin"), (sys.executable, "-m", "bench.twin"))


def best_generator() -> Generator:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return PYTHON
    try:
        return Generator("C", (str(_built(compiler, "standin")),), (str(_built(compiler, "load")),))
    except subprocess.CalledProcessError:  # an older libc has no epoll_pwait2
        return PYTHON


def _built(compiler: str, name: str) -> Path:
    sources = [_SOURCES / "common.h", _SOURCES / f"{name}.c"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = CACHE / f"{name}-{digest}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = CACHE / f"{name}-{digest}.{os.getpid()}"
        subprocess.run([compiler, *_BUILD, "-o", fresh, sources[1]], check=True)
        fresh.rename(program)
    return program


@frozen
class Task:
    """What one load shall do."""

    port: int
    request: bytes
    plan: Plan
    streams: int
    rounds: int
    ramp: float
    patience: float


@frozen
class Outcome:
    complete: int
    unfinished: int
    """Streams that were still open when patience ended."""
    defects: int
    defect: str
    """What was wrong with the first."""
    frames: int
    wall: float
    cpu: float
    lags: Histogram
    firsts: Histogram
    least_lag: float
    most_lag: float
    """Nanoseconds: the mean lag of the luckiest and of the unluckiest stream."""


@define(eq=False)
class Running:
    """A load under way."""

    plan: Plan
    process: subprocess.Popen[bytes]
    sample: Path
    patience: float
    _said: bytes = b""

    def all_open(self, seconds: float) -> bool:
        """Whether every stream has had its first frame, before so many seconds are over."""
        assert self.process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._said and (left := until - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 64 * 1024)
                if not data:
                    break
                self._said += data
        return self._said.startswith(b"open\n")

    def outcome(self) -> Outcome:
        rest, _ = self.process.communicate(timeout=self.patience + 60)
        if self.process.returncode:
            raise RuntimeError(f"the load failed with exit code {self.process.returncode}")
        told = orjson.loads((self._said + rest).splitlines()[-1])
        outcome = Outcome(
            told["complete"],
            told["unfinished"],
            told["defects"],
            told["defect"],
            told["frames"],
            told["wall_s"],
            told["cpu_s"],
            Histogram.told(told["lags"], told["lag_max_ns"]),
            Histogram.told(told["firsts"], told["first_max_ns"]),
            told["least_lag_ns"],
            told["most_lag_ns"],
        )
        return self._judged(outcome)

    def _judged(self, outcome: Outcome) -> Outcome:
        if not self.sample.exists() or outcome.defects:
            return outcome
        recording = Recording(0, [(time.monotonic_ns(), self.sample.read_bytes())], "complete")
        defect = judge(recording, self.plan).defect
        return outcome if defect is None else _with_defect(outcome, defect)


def _with_defect(outcome: Outcome, defect: str) -> Outcome:
    return evolve(outcome, defects=outcome.defects + 1, defect=f"by the strict judge: {defect}")


@contextmanager
def run(generator: Generator, task: Task, cpus: Cpus) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as home:
        request, sample = Path(home, "request"), Path(home, "sample")
        request.write_bytes(task.request)
        numbers = [
            task.port,
            request,
            task.plan.frames,
            task.plan.size,
            task.streams,
            task.rounds,
            round(task.ramp * 1e6),
            round(task.patience * 1e6),
            sample,
        ]
        process = _spawn([*generator.load, *map(str, numbers)], cpus.harness)
        try:
            yield Running(task.plan, process, sample, task.patience)
        finally:
            _stop(process)


@define(eq=False)
class StandIn:
    """The upstream, and what it said about readers who left."""

    process: subprocess.Popen[bytes]
    port: int
    gone: dict[int, int] = field(factory=dict)
    """When the reader of a named stream left, by the monotonic clock."""

    def cpu(self) -> float:
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            _, name, when = line.split()
            self.gone[int(name)] = int(when)


@contextmanager
def standin(generator: Generator, dialect: Dialect, size: int, cpus: Cpus) -> Iterator[StandIn]:
    """Speaks the dialect, and beside it that of clients, for which a target that translates nothing asks."""
    with tempfile.TemporaryDirectory() as home:
        files = _files(dialect, size, Path(home)) if generator.plays_files else []
        process = _spawn([*generator.standin, *files], cpus.harness)
        assert process.stdout is not None
        listener = None
        try:
            first = process.stdout.readline().split()
            if not first:
                raise RuntimeError("the stand-in did not start")
            upstream = StandIn(process, int(first[0]))
            listener = threading.Thread(target=upstream.listen, daemon=True)
            listener.start()
            yield upstream
        finally:
            _stop(process, listener)


def _files(dialect: Dialect, size: int, home: Path) -> list[str]:
    """The bytes of each dialect, and where in a token's its text begins."""
    piece = Plan(1, "0", size=size).piece(0, 0)
    said = [str(size)]
    for number, one in enumerate({known.path: known for known in (dialect, DIALECTS["openai"])}.values()):
        token = one.token(piece)
        parts = {"opening": one.opening, "token": token, "closing": one.closing}
        for name, data in parts.items():
            (home / f"{name}-{number}").write_bytes(data)
        paths = [str(home / f"{name}-{number}") for name in parts]
        text, form = (b64encode(piece), "sealed") if one.sealed else (piece, "plain")
        said += [one.path, one.content_type, *paths, str(token.index(text)), form]
    return said


def _spawn(command: Sequence[str], cpu: int | None) -> subprocess.Popen[bytes]:
    with pinned(cpu):
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def _stop(process: subprocess.Popen[bytes], listener: threading.Thread | None = None) -> None:
    process.kill()
    process.wait()
    if listener is not None:
        listener.join()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
