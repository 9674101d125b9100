"""Figures out: one JSON object per row on stdout, the same in a file if wanted, and a table for people.

``python -m bench.report A B`` compares two runs of the same bench by their JSON lines and fails if B is worse.
Where both runs have measured nginx, figures are compared as multiples of nginx's, so that a slower machine or a
busy neighbour is not taken for slower code; only steady figures are judged, for one run's p99 says little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson

Row: TypeAlias = dict[str, Any]
Identity: TypeAlias = tuple[tuple[str, str], ...]

JUDGED = {
    "ns_per_frame": -1,
    "added_first_p50_us": -1,
    "lag_p50_us": -1,
    "cpu_us_per_frame": -1,
    "cpu_us_per_stream": -1,
    "kib_per_stream": -1,
    "cancel_p50_us": -1,
    "streams_per_s": 1,
    "frames_per_s": 1,
}
"""What is compared, and whether more of it is better."""
PACED = ("frames_per_s", "streams_per_s")
"""Says nothing about a case whose pace is given."""
NAMES = ("bench", "upstream", "surface", "case", "per_feed", "target")
BASE = "nginx"
CONTEXT = ("direct", BASE)
"""Not ours to judge."""


def options(command: str, purpose: str) -> argparse.ArgumentParser:
    """What every bench can be told."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=purpose)
    parser.add_argument("--quick", action="store_true", help="small numbers: shows that it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON lines to FILE as well")
    return parser


def publish(rows: Sequence[Row], columns: Sequence[str], file: Path | None) -> None:
    lines = "".join(orjson.dumps(row).decode() + "\n" for row in rows)
    sys.stdout.write(lines)
    sys.stdout.flush()
    if file is not None:
        file.write_text(lines)
    print(table(rows, columns), file=sys.stderr)


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    cells = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Compares two runs.")
    parser.add_argument("before", type=Path, metavar="A", help="JSON lines of the run before")
    parser.add_argument("after", type=Path, metavar="B", help="JSON lines of the run after")
    parser.add_argument("--allow", type=float, default=10.0, metavar="PERCENT", help="regression that passes")
    parser.add_argument(
        "--target", default="deltawire", help="whose figures are judged (default: %(default)s)"
    )
    wanted = parser.parse_args(arguments)
    before, after = _read(wanted.before), _read(wanted.after)
    compared = list(compare(before, after, wanted.target))
    if not compared:
        parser.error("the two runs have no figure in common")
    for row in compared:
        row["verdict"] = "WORSE" if row["worse_percent"] > wanted.allow else ""
    print(table(compared, ("figure", "before", "after", "in", "worse_percent", "verdict")))
    lost = sorted(_figures(before, wanted.target) - _figures(after, wanted.target))
    spoiled = [_words(_identity(row)) for row in after if row.get("defects")]
    for words, names in (
        ("no longer measured", [f"{_words(i)} {n}" for i, n in lost]),
        ("defective", spoiled),
    ):
        for name in names:
            print(f"{words}: {name}")
    return int(bool(lost or spoiled or any(row["verdict"] for row in compared)))


def compare(before: Sequence[Row], after: Sequence[Row], target: str) -> Iterator[Row]:
    """A row for each figure that both runs have; ``worse_percent`` is negative where B is better."""
    old, new = _by_identity(before), _by_identity(after)
    for identity, name in sorted(_figures(before, target) & _figures(after, target)):
        was, now, unit = old[identity][name], new[identity][name], ""
        beside = _beside(identity)
        bases = [runs.get(beside, {}).get(name) if beside else None for runs in (old, new)]
        if all(base and base > 0 for base in bases):
            was, now, unit = was / bases[0], now / bases[1], f"× {BASE}"
        ratio = was / now if JUDGED[name] > 0 else now / was
        yield {
            "figure": f"{_words(identity)} {name}",
            "before": round(was, 3),
            "after": round(now, 3),
            "in": unit,
            "worse_percent": round((ratio - 1) * 100, 1),
        }


def _read(file: Path) -> list[Row]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]


def _figures(rows: Sequence[Row], target: str) -> set[tuple[Identity, str]]:
    """What there is to judge: of one target where targets are told apart, of every row elsewhere."""
    gateway = [row for row in rows if row.get("bench") == "gateway" and row["target"] == target]
    other = [row for row in rows if row.get("bench") != "gateway" and row.get("target") not in CONTEXT]
    return {
        (_identity(row), name)
        for row in gateway + other
        for name in JUDGED
        if isinstance(row.get(name), (int, float))
        and row[name] > 0
        and not (name in PACED and _is_paced(row))
    }


def _is_paced(row: Row) -> bool:
    return bool(row.get("lags")) or row.get("case", "").startswith("paced")


def _by_identity(rows: Sequence[Row]) -> dict[Identity, Row]:
    return {_identity(row): row for row in rows}


def _identity(row: Row) -> Identity:
    return tuple((name, str(row[name])) for name in NAMES if name in row)


def _beside(identity: Identity) -> Identity | None:
    """The same measured of nginx, where targets are told apart."""
    beside = tuple((name, BASE if name == "target" else value) for name, value in identity)
    return None if beside == identity else beside


def _words(identity: Identity) -> str:
    return " ".join(value for name, value in identity if name != "bench")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
