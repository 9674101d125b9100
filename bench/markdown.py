"""The results as Markdown: first the ratios to nginx, then every percentile, then how each target was set up.

Ratios are the result, times are context: a figure stands with its multiple of nginx's in the same run. A target
that was missing, or could not keep pace, is in the tables with these words in place of figures or beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import frozen

from bench.cancel import NOTICE
from bench.cases import FULL, QUICK
from bench.report import Row

Found: TypeAlias = dict[tuple[str, str], Row]
"""Rows by case and target."""


@frozen
class Column:
    title: str
    cases: tuple[str, ...]
    """The first of these that was measured."""
    figure: str
    ratio: bool = True


SUMMARY = (
    Column("first token added, µs", ("first",), "added_first_p50_us"),
    Column("lag p50, µs", ("paced-200", "paced-50"), "lag_p50_us"),
    Column("lag p99, µs", ("paced-200", "paced-50"), "lag_p99_us"),
    Column("CPU per frame, µs", ("paced-200", "paced-50"), "cpu_us_per_frame"),
    Column("… sixteen at a time, µs", ("bulk",), "cpu_us_per_frame"),
    Column("flood, frames/s", ("flood",), "frames_per_s"),
    Column("short streams/s", ("churn",), "streams_per_s"),
    Column("KiB per idle stream", ("idle-1000", "idle-100"), "kib_per_stream"),
    Column("… of 5,000", ("idle-5000",), "kib_per_stream"),
    Column("fairness", ("paced-1000", "paced-50"), "fairness", ratio=False),
    Column("cancelled after, µs", ("cancel-1", "cancel-20"), "cancel_p50_us"),
)
PERCENTILES = {"first": "first token", "lag": "lag of a frame", "cancel": "until the upstream knows"}


def markdown(rows: Sequence[Row], command: str) -> str:
    upstreams = dict.fromkeys(row["upstream"] for row in rows)
    parts = ["# What a gateway costs", "", f"Made by `{command}`.", ""]
    for upstream in upstreams:
        mine = [row for row in rows if row["upstream"] == upstream]
        parts += _section(upstream, mine)
    return "\n".join(parts)


def _section(upstream: str, rows: Sequence[Row]) -> list[str]:
    found = {(row["case"], row["target"]): row for row in rows if row["bench"] == "gateway"}
    setups = [row for row in rows if row["bench"] == "target"]
    host = next(row for row in rows if row["bench"] == "host")
    return [
        f"## {upstream} upstream",
        "",
        _host(host),
        "",
        *_summary(found, setups),
        "",
        "In brackets: multiple of nginx in this run. First token added is the median less that of direct; lag is "
        "from the upstream's write of a frame to the client's read of it; fairness is the mean lag of the "
        "unluckiest stream over that of the luckiest.",
        "",
        "![lag of each frame](lag.svg)",
        "",
        *_percentiles(found),
        "",
        "### Settings",
        "",
        *(line for row in setups for line in _setting(row)),
    ]


def _host(host: Row) -> str:
    pinned = "harness and target on a CPU each" if host["pinned"] else "harness and target share a CPU"
    return (
        f"{host['cpu']}, {host['cpus']} CPUs, Linux {host['kernel']}, {pinned}; "
        f"deltawire on {host['python']}; load generator in {host['generator']}; "
        f"load average before the run {host['load_before']}."
    )


def _summary(found: Found, setups: Sequence[Row]) -> list[str]:
    columns = [
        column for column in SUMMARY if any(case == name for case, _ in found for name in column.cases)
    ]
    lines = [_line(["target", *(column.title for column in columns)]), _rule(len(columns) + 1)]
    for setup in setups:
        name = setup["target"]
        label = f"{name} {setup['version']}".strip()
        if setup["missing"]:
            lines.append(_line([label, "missing: " + _plain(setup["missing"]), *[""] * (len(columns) - 1)]))
        else:
            lines.append(_line([label, *(_cell(found, column, name) for column in columns)]))
    return lines


def _cell(found: Found, column: Column, target: str) -> str:
    case = next((name for name in column.cases if (name, target) in found), None)
    if case is None:
        return "–"
    row = found[case, target]
    if row.get("missing"):
        return str(row["missing"])
    value = row.get(column.figure)
    if value is None and row.get("cancel_missed"):
        return f"not within {NOTICE:.0f} s"
    if value is None and row.get("saturated"):
        return "*cannot keep pace*"
    if value is None:
        return "–"
    words = _number(value)
    base = found.get((case, "nginx"), {}).get(column.figure)
    if column.ratio and base and target != "direct":
        words += f" ({value / base:.2f}×)"
    return words + (" *cannot keep pace*" if row.get("saturated") else "")


def _percentiles(found: Found) -> list[str]:
    lines = ["### Percentiles, µs", ""]
    means = {case.name: case.means for case in (*QUICK, *FULL)}
    lines += [_line(["case", "target", "of", "p50", "p90", "p99", "max", "added p50", "added p99"]), _rule(9)]
    for (case, target), row in found.items():
        for figure, words in PERCENTILES.items():
            values = [row.get(f"{figure}_{at}_us") for at in ("p50", "p90", "p99", "max")]
            if values[0] is None:
                continue
            added = [row.get(f"added_{figure}_{at}_us") for at in ("p50", "p99")]
            numbers = ["" if value is None else _number(value) for value in (*values, *added)]
            lines.append(_line([f"{case}: {means.get(case, '')}", target, words, *numbers]))
    return lines


def _setting(row: Row) -> list[str]:
    if row["missing"] or not row["settings"]:
        return []
    return [f"{row['target']} {row['version']}", "", "```text", row["settings"], "```", ""]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(count: int) -> str:
    return "|" + "---|" * count
