"""The processes of a measurement: started, pinned, accounted for, stopped.

With two CPUs or more, what is measured gets one of its own and everything else shares another, so that neither
steals the other's time. CPU time is the kernel's: user and system in ticks of 10 ms from /proc, and their sum
to the nanosecond from the process's own clock.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, frozen

ROOT = Path(__file__).parents[1]
BOOT = 30.0
"""Seconds that a process may take until it serves."""
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
_SERVING = re.compile(r"serving on http://127\.0\.0\.1:(\d+)")


@frozen
class Cpus:
    """Where what is measured runs, and where all the rest does; None where they have to share."""

    harness: int | None
    target: int | None

    @classmethod
    def allotted(cls) -> Cpus:
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[-1]) if len(free) > 1 else cls(None, None)


@frozen
class Usage:
    """What a process has used since it began."""

    seconds: float
    user: float

    def since(self, before: Usage) -> Usage:
        return Usage(self.seconds - before.seconds, self.user - before.user)


@define(eq=False)
class Process:
    running: subprocess.Popen[bytes]
    port: int = 0
    step_port: int = 0

    def usage(self) -> Usage:
        ticks = int(_stat(self.running.pid)[11])
        clock = (~self.running.pid << 3) | 2  # clock_getcpuclockid(3), which Python does not offer
        return Usage(time.clock_gettime(clock), ticks / os.sysconf("SC_CLK_TCK"))

    def peak_kib(self) -> int:
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))

    def stop(self) -> None:
        self.running.terminate()
        try:
            self.running.wait(5)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()
        for pipe in (self.running.stdin, self.running.stdout):
            if pipe is not None:
                pipe.close()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextmanager
def standin(cpus: Cpus) -> Iterator[Process]:
    """The upstream."""
    with tempfile.TemporaryDirectory() as home:
        process = Process(_spawn(["-m", "bench.standin"], home, {}, cpus.harness, stdout=subprocess.PIPE))
        try:
            assert process.running.stdout is not None
            ports = process.running.stdout.readline().split()
            if len(ports) != 2:
                raise RuntimeError("the stand-in did not start")
            process.port, process.step_port = map(int, ports)
            yield process
        finally:
            process.stop()


@contextmanager
def gateway(flags: Sequence[str], environment: Mapping[str, str], cpus: Cpus) -> Iterator[Process]:
    """``deltawire serve``, just as a user would start it, with its log in a file."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as log:
        command = ["-m", "proxy", "serve", "--host", "127.0.0.1", "--port", "0", *flags]
        process = Process(_spawn(command, home, environment, cpus.target, stderr=log.fileno()))
        try:
            process.port = _port_in(log.fileno(), process.running)
            yield process
        finally:
            process.stop()


def _port_in(log: int, running: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + BOOT
    while time.monotonic() < until:
        said = os.pread(log, 64 * 1024, 0).decode(errors="replace")
        match = _SERVING.search(said)
        if match is not None:
            return int(match[1])
        if running.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"the gateway did not start: {said[-500:]}")


def _spawn(
    command: Sequence[str],
    home: str,
    environment: Mapping[str, str],
    cpu: int | None,
    stdout: int = subprocess.DEVNULL,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Python on one CPU, on this tree's code, with nothing of the user's own settings."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with pinned(cpu):
        return subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            cwd=home,
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
        )


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """This process, and every child that it starts meanwhile, on one CPU: nothing of it ever runs elsewhere."""
    own = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
