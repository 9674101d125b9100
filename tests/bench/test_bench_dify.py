"""The benches speak Dify, and the gateway's answers are right to the last byte, beside a yardstick in OpenAI's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.plan import Plan
from bench.wires import DIALECTS

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", module, "--quick", "--upstreams", "dify", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(70)
def test_the_gateway_is_measured_with_dify_behind_it() -> None:
    rows = run("bench", "--only", "direct,deltawire", "--tests", "first,bulk,cancel-20")
    (setting,) = [row for row in rows if row["bench"] == "target" and row["target"] == "deltawire"]
    assert "DIFY_API_URL=" in setting["settings"] and "LLAMA" not in setting["settings"]
    measured = {(row["case"], row["target"]): row for row in rows if row["bench"] == "gateway"}
    assert set(measured) == {
        (case, target) for case in ("first", "bulk", "cancel-20") for target in ("direct", "deltawire")
    }
    for row in measured.values():
        assert (row["upstream"], row["defects"], row.get("cancel_missed", 0)) == ("dify", 0, 0)
    assert measured["first", "deltawire"]["first_p50_us"] > 0
    assert measured["bulk", "deltawire"]["cpu_us_per_frame"] > 0


@pytest.mark.timeout(70)
def test_translating_dify_has_a_figure_for_every_kind_of_frame() -> None:
    rows = run("bench.translate")
    assert {(row["surface"], row["case"]) for row in rows} == {
        (surface, case)
        for surface in ("chat", "chat whole")
        for case in ("ascii", "escapes", "unlike", "spaced", "chunk", "nodes")
    }
    assert all(row["ns_per_frame"] > 0 for row in rows)


def test_the_token_of_the_stand_in_is_the_frame_of_the_case() -> None:
    piece = Plan(1, "0").piece(0, 0)
    dialect = DIALECTS["dify"]
    assert dialect.token(piece) == dialect.cases["ascii"].frame(0, piece.decode())
