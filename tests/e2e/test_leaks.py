"""The leak scripts, each in an interpreter of its own: the only honest place to count garbage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import WAYS

ROOT = Path(__file__).parents[2]
CYCLES = "250"


@pytest.mark.parametrize(
    "script", ["leak_client_gone", "leak_upstream_gone", "garbage_of_answers", "garbage_of_failures"]
)
def test_nothing_is_left_of_answers(script):
    """All four ways at once: they are processes, and most of the time they wait."""
    command = [sys.executable, "-W", "error", "-m", f"tests.isolated.{script}"]
    running = [
        subprocess.Popen([*command, *way, CYCLES], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for way in WAYS
    ]
    try:
        told = [process.communicate(timeout=18)[0].decode() for process in running]
    finally:
        for process in running:
            process.kill()
    for process, words in zip(running, told, strict=True):
        assert process.returncode == 0, words[-3000:]
        assert "Traceback" not in words
