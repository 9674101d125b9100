"""What is made of the figures: a comparison that fails when it should, a table and a chart that hide nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.chart import chart
from bench.markdown import markdown
from bench.measure import middle
from bench.report import compare, main

Row = dict[str, Any]


def gateway(target: str = "deltawire", case: str = "churn", **figures: Any) -> Row:
    return {"bench": "gateway", "upstream": "openai", "case": case, "target": target, "defects": 0, **figures}


def worse(before: list[Row], after: list[Row]) -> dict[str, float]:
    return {row["figure"]: row["worse_percent"] for row in compare(before, after, "deltawire")}


def test_more_is_worse_of_a_cost_and_better_of_a_rate() -> None:
    before = [gateway(cpu_us_per_frame=10.0, streams_per_s=1000.0)]
    after = [gateway(cpu_us_per_frame=12.0, streams_per_s=1250.0)]
    found = worse(before, after)
    assert found == {
        "openai churn deltawire cpu_us_per_frame": 20.0,
        "openai churn deltawire streams_per_s": -20.0,
    }


def test_a_slower_machine_is_no_regression() -> None:
    before = [gateway(cpu_us_per_frame=10.0), gateway("nginx", cpu_us_per_frame=5.0)]
    after = [gateway(cpu_us_per_frame=20.0), gateway("nginx", cpu_us_per_frame=10.0)]
    assert worse(before, after) == {"openai churn deltawire cpu_us_per_frame": 0.0}


def test_other_benches_have_no_base() -> None:
    before = [
        {"bench": "translate", "upstream": "openai", "case": "ascii", "per_feed": 1, "ns_per_frame": 1000.0}
    ]
    after = [{**before[0], "ns_per_frame": 1500.0}]
    assert worse(before, after) == {"openai ascii 1 ns_per_frame": 50.0}


@pytest.mark.parametrize(
    ("after", "code", "said"),
    [
        ([gateway(cpu_us_per_frame=10.9)], 0, ""),
        ([gateway(cpu_us_per_frame=11.1)], 1, "WORSE"),
        ([gateway(cpu_us_per_frame=10.0, defects=2)], 1, "defective: openai churn deltawire"),
        ([gateway(case="flood", cpu_us_per_frame=9.0), gateway(lag_p50_us=1.0, cpu_us_per_frame=9.0)], 0, ""),
    ],
)
def test_the_exit_code(after: list[Row], code: int, said: str, tmp_path: Path, capsys: Any) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file, rows in zip(files, ([gateway(cpu_us_per_frame=10.0)], after), strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([str(file) for file in files]) == code
    assert said in capsys.readouterr().out


def test_what_is_no_longer_measured_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps(gateway(cpu_us_per_frame=1.0, lag_p50_us=5.0)))
    (tmp_path / "b").write_text(json.dumps(gateway(cpu_us_per_frame=1.0)))
    script = Path(__file__).parents[2] / "bench" / "report.py"
    done = subprocess.run(
        [sys.executable, script, "a", "b"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no longer measured: openai churn deltawire lag_p50_us" in done.stdout) == (
        1,
        True,
    )


def test_the_middle_of_rounds() -> None:
    rounds = [gateway(lag_p50_us=lag, lags=((1, 2),), saturated=lag > 5) for lag in (1.0, 9.0, 3.0)]
    rounds[1] |= {"defects": 1, "defect": "closed"}
    row = middle(rounds)
    assert (row["lag_p50_us"], row["defects"], row["defect"], row["saturated"]) == (3.0, 1, "closed", True)
    assert (row["lags"], row["rounds"]) == (((1, 6),), 3)


HOST = {
    "bench": "host",
    "upstream": "openai",
    "cpu": "c",
    "cpus": 2,
    "pinned": True,
    "kernel": "k",
    "python": "p",
}
SETUPS = [
    {**HOST, "generator": "C", "load_before": 0.1},
    *(
        {
            "bench": "target",
            "upstream": "openai",
            "target": name,
            "version": "1",
            "missing": why,
            "settings": "s",
        }
        for name, why in (("nginx", ""), ("deltawire", ""), ("litellm", "not installed | here"))
    ),
]
LAGS = ((1000, 50), (2000, 49), (9_000_000, 1))
PACED = [
    gateway(
        name,
        "paced-200",
        streams=200,
        lag_p50_us=lag,
        cpu_us_per_frame=lag,
        lags=LAGS,
        saturated=name != "nginx",
    )
    for name, lag in (("nginx", 10.0), ("deltawire", 15.0))
]


def test_the_table_names_the_missing_and_the_saturated() -> None:
    lines = markdown([*SETUPS, *PACED], "make bench").splitlines()
    assert "Made by `make bench`." in lines
    assert any(line.startswith("| litellm 1 | missing: not installed / here |") for line in lines)
    (ours,) = (line for line in lines if line.startswith("| deltawire 1 |"))
    assert "15.0 (1.50×) *cannot keep pace*" in ours


def test_the_chart_is_an_image_of_every_target() -> None:
    image = ET.fromstring(chart([*SETUPS, *PACED]))
    words = [element.text for element in image.iter() if element.tag.endswith("text")]
    assert {"nginx", "deltawire", "cannot keep pace", "median 10 µs"} <= set(words)
    assert sum(element.tag.endswith("polyline") for element in image.iter()) == 2
    assert ET.fromstring(chart(SETUPS)) is not None
