"""``python -m bench --quick``, as a machine that tests every change runs it: figures, and no defective stream."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.cases import FULL, QUICK, Case
from bench.report import main as compare

ROOT = Path(__file__).parents[2]
FIGURES = {
    "first": ("first_p50_us", "first_p99_us", "lag_p50_us", "lag_max_us"),
    "idle-100": ("kib_per_stream",),
    "paced-50": ("lag_p50_us", "lag_p90_us", "lag_p99_us", "lag_max_us", "fairness", "cpu_us_per_frame"),
    "churn": ("streams_per_s", "cpu_us_per_stream"),
    "flood": ("frames_per_s", "cpu_us_per_frame"),
    "bulk": ("frames_per_s", "cpu_us_per_frame"),
    "cancel-20": ("cancel_p50_us", "cancel_max_us"),
}
OF_A_PROCESS = ("cpu_us_per_frame", "cpu_us_per_stream", "kib_per_stream")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bench")
    done = bench("--quick", "--upstreams", "openai", "--only", "direct,nginx,deltawire", "--out", str(place))
    assert done.returncode == 0, done.stderr
    assert (place / "results.jsonl").read_text() == done.stdout
    return place


@pytest.fixture
def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.timeout(120)
def test_every_case_has_its_figures_for_every_target(rows: list[dict[str, Any]]) -> None:
    missing = {row["target"] for row in rows if row["bench"] == "target" and row["missing"]}
    assert missing <= {"nginx"}
    measured = {(row["case"], row["target"]): row for row in rows if row["bench"] == "gateway"}
    targets = {"direct", "nginx", "deltawire"} - missing
    assert set(measured) == {(case.name, target) for case in QUICK for target in targets}
    for (case, target), row in measured.items():
        wanted = [name for name in FIGURES[case] if target != "direct" or name not in OF_A_PROCESS]
        assert {name: row[name] for name in wanted if not row[name] or row[name] <= 0} == {}, (case, target)
        assert (row["defects"], row["defect"], row.get("cancel_missed", 0)) == (0, "", 0)


def test_a_missing_peer_is_named(rows: list[dict[str, Any]], out: Path) -> None:
    table = (out / "RESULTS.md").read_text()
    for row in rows:
        if row["bench"] == "target":
            assert f"| {row['target']} {row['version']}".strip() in table


def test_the_chart_can_be_drawn(out: Path) -> None:
    assert ET.parse(out / "lag.svg").getroot().tag.endswith("svg")


def test_settings_name_no_place_of_this_machine(out: Path) -> None:
    assert str(ROOT) not in (out / "results.jsonl").read_text()


def test_a_run_is_no_worse_than_itself(out: Path) -> None:
    assert compare([str(out / "results.jsonl")] * 2) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--only", "apache"),
        ("--tests", "nothing"),
        ("--quick", "--tests", "idle-5000"),
        ("--upstreams", "openai,telex"),
    ],
)
def test_a_wrong_name_is_a_mistake(arguments: tuple[str, ...]) -> None:
    done = bench(*arguments)
    assert (done.returncode, "there are" in done.stderr) == (2, True)


@pytest.mark.parametrize("case", [case for case in (*FULL, *QUICK) if case.name.startswith("paced")])
def test_paced_streams_are_not_in_step(case: Case) -> None:
    pace, grid = int(case.plan.pace), int(case.plan.pace) / case.streams
    phases = [case.ramp * 1e6 * number / case.streams % pace for number in range(case.streams)]
    assert len({round(phase / grid) % case.streams for phase in phases}) == case.streams


def test_the_full_run_measures_one_two_hundred_and_a_thousand_streams() -> None:
    streams = {case.kind: {c.streams for c in FULL if c.kind == case.kind} for case in FULL}
    assert streams["load"] >= {1, 200, 1000}
    assert streams["cancel"] == {1, 200, 1000}
    assert streams["idle"] == {1000, 5000}
