"""A target as a running group of processes: started, pinned, suspended, accounted for, stopped.

All targets of a run are up at the same time, so that each case can go round them and a neighbour's noise falls on
all; those that are not being measured are suspended by the kernel, so that what they do when idle falls on none.
CPU and memory are those of the whole tree of processes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from bench.processes import Usage, pinned
from bench.targets import Target

QUIET = 0.02
"""Share of a CPU below which a target has nothing left to do."""
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


@define(eq=False)
class Service:
    target: Target
    port: int
    home: Path
    cpu: int | None
    _running: subprocess.Popen[bytes] | None = None
    base_kib: int = 0
    """Memory of the tree when it had served a little and held nothing."""
    restarts: int = field(default=0)

    @property
    def name(self) -> str:
        return self.target.name

    def start(self) -> None:
        if not self.target.command:
            return
        for name, content in self.target.files.items():
            (self.home / name).write_text(content)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with pinned(self.cpu), (self.home / "log").open("ab") as log:
            self._running = subprocess.Popen(
                self.target.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={**kept, **self.target.environment},
                start_new_session=True,
            )

    def stop(self) -> None:
        if self._running is None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            self._signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(3)
        self._signal(signal.SIGKILL)
        self._running.wait()
        self._running = None

    def suspend(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def alive(self) -> bool:
        return not self.target.command or (self._running is not None and self._running.poll() is None)

    def listening(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.alive():
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.1)
        return False

    def log(self) -> str:
        file = self.home / "log"
        return file.read_text(errors="replace")[-600:] if file.exists() else ""

    def usage(self) -> Usage | None:
        """Of the whole tree; None for direct."""
        if self._running is None:
            return None
        pids = _tree(self._running.pid)
        tick = os.sysconf("SC_CLK_TCK")
        stats = [stat for pid in pids if (stat := _stat(pid))]
        return Usage(sum(_clock(pid) for pid in pids), sum(int(stat[11]) for stat in stats) / tick)

    def kib(self) -> int:
        """Resident memory of the tree."""
        if self._running is None:
            return 0
        return sum(_kib(pid) for pid in _tree(self._running.pid))

    def settled(self, seconds: float) -> bool:
        """Whether it goes quiet before so many seconds are over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = self.usage()
            time.sleep(0.3)
            after = self.usage()
            if before is None or after is None or after.since(before).seconds < QUIET * 0.3:
                return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, number)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _clock(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), which Python does not offer
    except OSError:
        return 0.0


def _kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def _tree(root: int) -> list[int]:
    parents = {pid: int(stat[1]) for pid in _pids() if len(stat := _stat(pid)) > 1}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
