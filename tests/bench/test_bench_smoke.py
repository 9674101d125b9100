"""The benches run, produce figures, and see no defective stream. How good the figures are is not a test's
business: the machine that runs it is somebody's laptop or a shared core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(module: str, file: Path, *more: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", module, "--quick", "--json", str(file), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(100)
def test_translate_has_a_figure_for_every_kind_of_frame(tmp_path: Path) -> None:
    rows = run("bench.translate", tmp_path / "rows.jsonl")
    kinds = {(row["surface"], row["case"], row["per_feed"]) for row in rows if row["upstream"] == "openai"}
    assert kinds == {
        (surface, case, per_feed)
        for surface in ("chat", "chat whole")
        for case in ("ascii", "escapes", "unlike", "tools", "verbatim")
        for per_feed in (1, 16)
    }
    assert all(row["ns_per_frame"] > 0 for row in rows)


@pytest.mark.timeout(100)
def test_relay_has_figures_for_every_way_and_no_defective_stream(tmp_path: Path) -> None:
    rows = run("bench.relay", tmp_path / "rows.jsonl", "--upstreams", "openai")
    ways = {"direct", "loop-asyncio", "loop-uvloop", "tap-asyncio", "tap-uvloop"}
    cases = {"first", "lockstep", "paced20", "paced100", "burst"}
    assert {(row["case"], row["target"]) for row in rows} == {(case, way) for case in cases for way in ways}
    for row in rows:
        assert row["defects"] == 0
        assert row["case"] == "lockstep" or row["first_token_us"] > 0
        assert row["frames_per_s"] > 0
        assert 0 < row["lag_p50_us"] <= row["lag_p99_us"]
        if row["target"] != "direct":
            assert row["cpu_us_per_frame"] > 0
            assert row["peak_rss_kib"] > 0
            assert "added_lag_p50_us" in row
