"""A real ``deltawire serve`` in a process of its own, for what only a process can show: signals and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

_PREFIXES = ("DELTAWIRE_", "LLAMA_")


class Command:
    """``with Command(tmp_path, toml) as gateway: … gateway.port …``; killed at the end if it still runs."""

    def __init__(self, directory: Path, toml: str, *flags: str) -> None:
        config = directory / "deltawire.toml"
        config.write_text(toml)
        self._arguments = [
            sys.executable,
            "-m",
            "proxy",
            "serve",
            "--config",
            str(config),
            "--port",
            "0",
            *flags,
        ]
        self._directory = directory
        self._log = directory / "log"
        self.port = 0

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
        root = Path(__file__).parents[2]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._arguments,
                cwd=self._directory,
                stderr=log,
                env={**environment, "PYTHONPATH": str(root)},
            )
        deadline = time.monotonic() + 10
        while "serving on" not in self.log:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.02)
        self.port = int(self.log.split("serving on ")[1].split()[0].rpartition(":")[2])
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def terminate(self) -> float:
        """SIGTERM; when it was sent."""
        self.process.send_signal(signal.SIGTERM)
        return time.monotonic()

    def exit_code(self, seconds: float = 10.0) -> int:
        return self.process.wait(seconds)
