"""What the gateway adds to a stream on its way: time and CPU per frame, by loop and by tap.

A stand-in streams through each way of running the gateway and, in the same run, without it: ``direct`` is the
base that all added figures are measured against. Every case goes round all targets before the next begins, and
the medians of several rounds count, so that a neighbour's noise falls on all of them.

``first`` asks one stream after the other (time to first token), ``lockstep`` has one frame under way at any
time (what an idle gateway adds), ``paced`` cases stream at a model's pace on many connections (what a busy one
adds, and its CPU), ``burst`` sends as fast as it is taken, sixteen frames to a write (cost of translation).
Read absolute figures as context; the ratios are the result. One defective stream makes the exit code 1.
"""

from __future__ import annotations

import gc
import platform
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack

from attrs import define, field, frozen

from bench.judge import Verdict, judge
from bench.load import Client, Load
from bench.plan import Plan
from bench.processes import Cpus, Process, Usage, gateway, pinned, standin
from bench.report import Row, options, progress, publish
from bench.wires import COZE_BOT, chosen, let_choose

MODEL = "bench"
CHAT = "/v1/chat/completions"
ENVIRONMENT = {
    "openai": {"LLAMA_BASE_URL": "http://127.0.0.1:{port}/v1", "LLAMA_MODELS": MODEL},
    "coze": {
        "COZE_BASE_URL": "http://127.0.0.1:{port}",
        "COZE_API_KEY": "pat_bench",
        "COZE_BOT_ID": COZE_BOT,
    },
    "dify": {
        "DIFY_API_URL": "http://127.0.0.1:{port}/v1",
        "DIFY_API_KEY": "app-bench",
        "DELTAWIRE_UPSTREAM_DIFY_MODE": "advanced-chat",
    },
}
"""What tells the gateway where the platform is."""
SOME = 10
"""Fewer first tokens than this are an anecdote."""
WAYS = [(relay, loop) for relay in ("loop", "tap") for loop in ("asyncio", "uvloop")]
COLUMNS = (
    "case", "target", "first_token_us", "added_first_token_us", "lag_p50_us", "lag_p99_us", "added_lag_p50_us",
    "added_lag_p99_us", "cpu_us_per_frame", "user_us_per_frame", "frames_per_s", "peak_rss_kib", "defects",
)  # fmt: skip


@frozen
class Shape:
    """One case: so many streams of this plan."""

    name: str
    plan: Plan
    streams: int = 1
    rounds: int = 1
    ramp: float = 0.0


FULL = (
    Shape("first", Plan(5, "1000"), rounds=200),
    Shape("lockstep", Plan(10_000, "step")),
    Shape("paced20", Plan(800, "10000"), streams=20, ramp=0.1),
    Shape("paced100", Plan(800, "10000"), streams=100, ramp=0.5),
    Shape("burst", Plan(4_000, "0", batch=16), streams=16),
)
QUICK = (
    Shape("first", Plan(5, "1000"), rounds=20),
    Shape("lockstep", Plan(500, "step")),
    Shape("paced20", Plan(25, "10000"), streams=20, ramp=0.05),
    Shape("paced100", Plan(25, "10000"), streams=100, ramp=0.1),
    Shape("burst", Plan(320, "0", batch=16), streams=16),
)
WARM_UP = Shape("warm-up", Plan(20, "1000"), streams=20, rounds=2)


@define(eq=False)
class Target:
    """Something between the load and the stand-in, or nothing at all."""

    name: str
    path: str
    port: int
    process: Process | None = None


@define(eq=False)
class Bench:
    upstream: str
    standin: Process
    targets: list[Target]
    apart: bool
    """Whether what is measured has a CPU of its own."""
    _defects: Counter[str] = field(factory=Counter)

    def measure(self, shapes: tuple[Shape, ...], rounds: int) -> list[Row]:
        for target in self.targets:
            self._once(WARM_UP, target)
        if self._defects:
            raise SystemExit(f"defective from the start: {self._defects.most_common(1)[0][0]}")
        measured: dict[tuple[str, str], list[Row]] = {}
        for turn in range(rounds):
            for shape in shapes:
                progress(f"round {turn + 1} of {rounds}: {self.upstream} {shape.name}")
                for target in self.targets:
                    measured.setdefault((shape.name, target.name), []).append(self._once(shape, target))
        rows = [_middle(same) for same in measured.values()]
        for defect, count in self._defects.most_common(10):
            progress(f"DEFECTIVE {count} ×: {defect}")
        return [self._compared(row, rows) for row in rows]

    def _once(self, shape: Shape, target: Target) -> Row:
        request = shape.plan.request(target.path, MODEL)
        step_port = self.standin.step_port if shape.plan.pace == "step" else None
        client = Client(
            Load(target.port, request, shape.streams, shape.rounds, shape.ramp, step_port=step_port)
        )
        gc.collect()
        gc.disable()
        before, harness, began = _usage(target.process), self._harness(), time.monotonic()
        recordings = client.run()
        took = time.monotonic() - began
        busy = (self._harness() - harness) / took
        used = None if before is None else _since(target.process, before)
        gc.enable()
        verdicts = [judge(recording, shape.plan) for recording in recordings]
        defects = [verdict.defect for verdict in verdicts if verdict.defect is not None]
        self._defects.update(f"{shape.name} {target.name}: {defect}" for defect in defects)
        frames = shape.plan.frames * shape.streams * shape.rounds
        return {
            "bench": "relay",
            "upstream": self.upstream,
            "case": shape.name,
            "target": target.name,
            "streams": shape.streams,
            "frames": frames,
            **_figures(verdicts, took),
            "cpu_us_per_frame": None if used is None else round(used.seconds * 1e6 / frames, 2),
            "user_us_per_frame": None if used is None else round(used.user * 1e6 / frames, 2),
            "peak_rss_kib": None if target.process is None else target.process.peak_kib(),
            "harness_busy": round(busy, 3),
            "pinned": self.apart,
            "python": platform.python_version(),
            "defects": len(defects),
        }

    def _harness(self) -> float:
        """CPU seconds of everything that is not measured: near one per second, it is the bottleneck itself."""
        return time.process_time() + self.standin.usage().seconds

    def _compared(self, row: Row, rows: list[Row]) -> Row:
        base = next(r for r in rows if r["case"] == row["case"] and r["target"] == "direct")
        if row is base:
            return row
        added = {
            f"added_{name}": round(row[name] - base[name], 1)
            for name in ("first_token_us", "lag_p50_us", "lag_p99_us")
            if row[name] is not None and base[name] is not None
        }
        return {**row, **added}


def _figures(verdicts: list[Verdict], took: float) -> Row:
    good = [verdict for verdict in verdicts if verdict.defect is None]
    firsts = sorted(verdict.first_token for verdict in good)
    lags = sorted(lag for verdict in good for lag in verdict.lags)
    return {
        "first_token_us": _micro(firsts, 50) if len(firsts) >= SOME else None,
        "lag_p50_us": _micro(lags, 50),
        "lag_p99_us": _micro(lags, 99),
        "frames_per_s": round(len(lags) / took),
    }


def _micro(ordered: list[int], percent: int) -> float | None:
    """A percentile of nanoseconds, in microseconds."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] / 1000, 1)


def _usage(process: Process | None) -> Usage | None:
    return None if process is None else process.usage()


def _since(process: Process | None, before: Usage) -> Usage:
    assert process is not None
    time.sleep(0.05)  # what the gateway does after the last byte belongs to the streams as well
    return process.usage().since(before)


def _middle(rows: list[Row]) -> Row:
    """The median of every figure; defects add up."""
    middle = dict(rows[0])
    for name, value in rows[0].items():
        figures = [row[name] for row in rows if row[name] is not None]
        if type(value) in (int, float) and len(set(figures)) > 1:
            middle[name] = round(statistics.median(figures), 3)
    return {**middle, "rounds": len(rows), "defects": sum(row["defects"] for row in rows)}


def main(arguments: list[str]) -> int:
    parser = options("bench.relay", "What the gateway adds to a stream: latency and CPU, loop against tap.")
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help="rounds to take medians of")
    let_choose(parser)
    wanted = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        parser.error("CPU accounting and epoll need Linux")
    shapes, rounds = (QUICK, wanted.rounds or 1) if wanted.quick else (FULL, wanted.rounds or 3)
    rows = [row for upstream in chosen(parser, wanted) for row in _measured(upstream, shapes, rounds)]
    publish(rows, COLUMNS, wanted.json)
    return 1 if any(row["defects"] for row in rows) else 0


def _measured(upstream: str, shapes: tuple[Shape, ...], rounds: int) -> list[Row]:
    """Every case for one platform, through every way of running the gateway."""
    cpus = Cpus.allotted()
    with ExitStack() as running:
        source = running.enter_context(standin(cpus))
        environment = {name: value.format(port=source.port) for name, value in ENVIRONMENT[upstream].items()}
        targets = [Target("direct", CHAT, source.port)]
        for relay, loop in WAYS:
            process = running.enter_context(gateway(["--relay", relay, "--loop", loop], environment, cpus))
            targets.append(Target(f"{relay}-{loop}", CHAT, process.port, process))
        with pinned(cpus.harness):
            return Bench(upstream, source, targets, cpus.harness is not None).measure(shapes, rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
