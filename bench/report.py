"""Figures out: one JSON object per row on stdout, the same in a file if wanted, and a table for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson

Row: TypeAlias = dict[str, Any]


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
