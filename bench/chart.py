"""A chart of how late frames come, as SVG by hand: for each target, the share of frames that came within a time.

Time runs on a logarithmic axis, so that nginx and the slowest peer fit side by side. Drawn of the first case with
many streams; a target that could not keep pace is marked as such, since its lag is queueing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.report import Row

COLOURS = {
    "direct": "#8c8c8c",
    "nginx": "#2a9d4a",
    "deltawire": "#1f5fd0",
    "litellm": "#d1462f",
    "portkey": "#b07a00",
}
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 46, 50
FASTEST_NS, SLOWEST_NS = 1e4, 1e10


def chart(rows: Sequence[Row]) -> str:
    """The chart, or an empty one if nothing paced was measured."""
    paced = [row for row in rows if row.get("lags") and row["streams"] > 1 and "idle" not in row["case"]]
    shown = [
        row for row in paced if (row["upstream"], row["case"]) == (paced[0]["upstream"], paced[0]["case"])
    ]
    slowest = min(max((row["lags"][-1][0] * 1.3 for row in shown), default=1e8), SLOWEST_NS)
    axis = _Axis(slowest)
    parts = [_frame(axis, _title(shown))]
    parts += [_curve(row, axis, place) for place, row in enumerate(shown)]
    return "\n".join([_OPEN, *parts, "</svg>\n"])


_OPEN = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
    'font-size="12">\n'
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
)


class _Axis:
    def __init__(self, slowest: float) -> None:
        self.slowest = slowest
        self._decades = math.log10(slowest / FASTEST_NS)

    def x(self, ns: float) -> float:
        share = math.log10(max(ns, FASTEST_NS) / FASTEST_NS) / self._decades
        return LEFT + min(share, 1.0) * (WIDTH - LEFT - RIGHT)

    @staticmethod
    def y(share: float) -> float:
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _title(shown: Sequence[Row]) -> str:
    if not shown:
        return "nothing was measured"
    row = shown[0]
    return f"Lag of each frame: {row['upstream']} upstream, {row['streams']} streams ({row['case']})"


def _frame(axis: _Axis, title: str) -> str:
    lines = [f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>']
    right = WIDTH - RIGHT
    for percent in (0, 25, 50, 75, 90, 99):
        y = axis.y(percent / 100)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    tick = FASTEST_NS
    while tick <= axis.slowest:
        x = axis.x(tick)
        lines.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_time(tick)}</text>'
        )
        tick *= 10
    words = "from the upstream's write to the client's read"
    lines.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{words}</text>')
    return "\n".join(lines)


def _curve(row: Row, axis: _Axis, place: int) -> str:
    total = sum(count for _, count in row["lags"])
    seen, points = 0, []
    for floor, count in row["lags"]:
        seen += count
        points.append(f"{axis.x(floor):.1f},{axis.y(seen / total):.1f}")
    colour = COLOURS.get(row["target"], "#000000")
    points.append(f"{WIDTH - RIGHT},{axis.y(1):.1f}")
    y = TOP + 14 + place * 38
    x = WIDTH - RIGHT + 14
    note = "cannot keep pace" if row["saturated"] else f"median {_time(row['lag_p50_us'] * 1000)}"
    return "\n".join(
        [
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>',
            f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="3"/>',
            f'<text x="{x + 28}" y="{y}">{escape(row["target"])}</text>',
            f'<text x="{x + 28}" y="{y + 15}" fill="#666666">{note}</text>',
        ]
    )


def _time(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"
