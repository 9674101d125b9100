"""Carries out the cases on the targets and makes a row of figures of each.

Every case goes round all targets before the next begins. A target that is still busy with the streams of the case
before, or has died of them, is started afresh, and the row says so. Medians of the rounds are kept, defects added.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define

from bench.cancel import cancel
from bench.cases import WARM_UP, Case
from bench.generator import Generator, Outcome, StandIn, Task, run
from bench.histogram import Histogram
from bench.plan import Plan
from bench.processes import Cpus
from bench.report import Row, progress
from bench.service import Service
from bench.targets import MODEL

BOOT = 90.0
STARTS = 3
"""Seconds a target may take until it answers."""
QUIET_AFTER = 6.0
AFTERWARDS = 0.05
"""Seconds: what a target does after the last byte belongs to the streams as well."""
PERCENTS = {"p50": 50, "p90": 90, "p99": 99, "max": 100}


@define(eq=False)
class Bench:
    upstream: str
    generator: Generator
    standin: StandIn
    cpus: Cpus

    def boot(self, service: Service) -> str:
        """Start it and see it answer; what is wrong, if anything is. One that ended at once may have found its port
        in somebody's hands for a moment, and is started again."""
        for _ in range(STARTS):
            problem = self._boot(service)
            if not problem or service.alive():
                break
            time.sleep(1.0)
        return problem

    def _boot(self, service: Service) -> str:
        service.start()
        if not service.listening(BOOT):
            return f"did not open its port: {service.log()[-300:]}"
        until, outcome = time.monotonic() + BOOT / 3, None
        while time.monotonic() < until:
            outcome = self._load(WARM_UP, service)
            if outcome.complete == WARM_UP.streams * WARM_UP.rounds and not outcome.defects:
                service.settled(QUIET_AFTER)
                service.base_kib = service.kib()
                service.suspend()
                return ""
            time.sleep(0.5)
        return f"does not answer rightly: {outcome.defect if outcome else 'no time'}"

    def measure(self, cases: Sequence[Case], services: Sequence[Service], rounds: int) -> list[Row]:
        measured: dict[tuple[str, str], list[Row]] = {}
        for turn in range(rounds):
            for case in cases:
                for service in services:
                    row = self._once(case, service)
                    measured.setdefault((case.name, service.name), []).append(row)
                    progress(f"{self.upstream} {turn + 1}/{rounds} {case.name} {service.name}: {_brief(row)}")
        rows = [middle(same) for same in measured.values()]
        return [_compared(row, rows) for row in rows]

    def _once(self, case: Case, service: Service) -> Row:
        identity = {"bench": "gateway", "upstream": self.upstream, "case": case.name, "target": service.name}
        if case.kind == "idle" and case.streams > service.target.most_idle:
            return {**identity, "streams": case.streams, "missing": "opens too few streams a second"}
        restarted = self._ready(service)
        cpu_before, began, used = _busy(self.cpus.target), time.monotonic(), service.usage()
        figures = self._figures(case, service)
        time.sleep(AFTERWARDS)
        wall, spent = time.monotonic() - began, service.usage()
        service.suspend()
        others = _busy(self.cpus.target) - cpu_before
        if used is not None and spent is not None:
            spent = spent.since(used)
            others -= spent.seconds
            figures |= _cost(case, figures, spent.seconds, spent.user)
        return {
            **identity,
            "streams": case.streams,
            **figures,
            "noise": round(max(others, 0) / wall, 3) if self.cpus.target is not None else None,
            "restarted": restarted,
        }

    def _ready(self, service: Service) -> bool:
        """Awake and with nothing left to do; True if that took a fresh start."""
        service.resume()
        if service.alive() and service.settled(QUIET_AFTER):
            return False
        service.stop()
        problem = self.boot(service)
        if problem:
            raise SystemExit(f"{service.name} did not come back: {problem}")
        service.resume()
        return True

    def _figures(self, case: Case, service: Service) -> Row:
        if case.kind == "cancel":
            return self._cancel(case, service)
        case = case.stretched(service.target.slowness) if case.kind == "idle" else case
        upstream_cpu = self.standin.cpu()
        kib = None
        with run(self.generator, self._task(case, service), self.cpus) as running:
            if case.kind == "idle" and running.all_open(case.patience):
                kib = service.kib() - service.base_kib
            outcome = running.outcome()
        harness = outcome.cpu + self.standin.cpu() - upstream_cpu
        figures = _of(case, outcome) | {"harness_busy": round(harness / outcome.wall, 3)}
        if kib is not None and service.target.command:
            figures["kib_per_stream"] = round(kib / case.streams, 1)
        return figures

    def _load(self, case: Case, service: Service) -> Outcome:
        with run(self.generator, self._task(case, service), self.cpus) as running:
            return running.outcome()

    def _task(self, case: Case, service: Service) -> Task:
        request = self._request(service, case.plan)
        return Task(service.port, request, case.plan, case.streams, case.rounds, case.ramp, case.patience)

    def _request(self, service: Service, plan: Plan) -> bytes:
        return plan.request(service.target.path, MODEL, service.target.headers)

    def _cancel(self, case: Case, service: Service) -> Row:
        seen = cancel(case, service.port, lambda plan: self._request(service, plan), self.standin)
        return {
            **_times("cancel", seen.times),
            "cancel_missed": seen.missed,
            "saturated": seen.late,
            "defects": int(bool(seen.defect)),
            "defect": seen.defect,
        }


def _of(case: Case, outcome: Outcome) -> Row:
    fair = outcome.most_lag / outcome.least_lag if outcome.least_lag and case.streams > 1 else None
    figures: Row = {
        "complete": outcome.complete,
        "unfinished": outcome.unfinished,
        "defects": outcome.defects,
        "defect": outcome.defect,
        "frames": outcome.frames,
        "frames_per_s": round(outcome.frames / outcome.wall),
        "streams_per_s": round(outcome.complete / outcome.wall, 1),
        **_times("first", outcome.firsts),
        **_times("lag", outcome.lags),
        "fairness": None if fair is None else round(fair, 2),
        "saturated": False,
    }
    if case.streams == 1 and outcome.unfinished:  # nothing else was under way: it is not late, it is broken
        figures |= {"defects": outcome.defects + 1, "defect": outcome.defect or "a stream without an end"}
    if case.seconds is not None:
        expected = (case.seconds + case.ramp if case.rounds == 1 else case.seconds * case.rounds) * 1.1 + 0.5
        late = case.kind == "load" and outcome.wall > expected
        figures["saturated"] = case.streams > 1 and (outcome.unfinished > 0 or late)
        figures["lags"] = outcome.lags.buckets
    return figures


def _times(name: str, times: Histogram) -> Row:
    """Percentiles in microseconds."""
    found = {label: times.percentile(percent) for label, percent in PERCENTS.items()}
    return {f"{name}_{at}_us": None if ns is None else round(ns / 1000, 1) for at, ns in found.items()}


def _cost(case: Case, figures: Row, seconds: float, user: float) -> Row:
    costs: Row = {"cpu_s": round(seconds, 3)}
    if case.kind == "load" and figures["frames"]:
        costs["cpu_us_per_frame"] = round(seconds * 1e6 / figures["frames"], 2)
        costs["user_us_per_frame"] = round(user * 1e6 / figures["frames"], 2)
    if case.kind == "load" and case.open_ended and figures["complete"]:
        costs["cpu_us_per_stream"] = round(seconds * 1e6 / figures["complete"], 1)
    return costs


def _busy(cpu: int | None) -> float:
    """Seconds that a CPU has been at work since the machine began."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _, _, irq, softirq = map(int, ticks[:7])
            return (user + nice + system + irq + softirq) / 100
    return 0.0


def middle(rows: Sequence[Row]) -> Row:
    """The median of every figure over the rounds; defects add up, histograms are put together."""
    middling = dict(rows[0])
    for name, value in rows[0].items():
        figures = [row[name] for row in rows if row.get(name) is not None]
        if type(value) in (int, float) and len(set(figures)) > 1:
            middling[name] = round(statistics.median(figures), 3)
    if "lags" in middling:
        total = Histogram()
        for row in rows:
            total = total.with_another(Histogram.told(row["lags"], 0))
        middling["lags"] = total.buckets
    defects = sum(row.get("defects", 0) for row in rows)
    words = next((row["defect"] for row in rows if row.get("defect")), "")
    saturated = any(row.get("saturated") for row in rows)
    return {**middling, "rounds": len(rows), "defects": defects, "defect": words, "saturated": saturated}


def _compared(row: Row, rows: Sequence[Row]) -> Row:
    """What a target adds to the same case without any."""
    base = next((r for r in rows if r["case"] == row["case"] and r["target"] == "direct"), None)
    if base is None or base is row:
        return row
    names = [f"{name}_{at}_us" for name in ("first", "lag") for at in ("p50", "p90", "p99")]
    compared = [name for name in names if row.get(name) is not None and base.get(name) is not None]
    return {**row, **{f"added_{name}": round(row[name] - base[name], 1) for name in compared}}


def _brief(row: Row) -> str:
    shown = (
        ("first_p50_us", "first {:.0f} µs"),
        ("lag_p50_us", "lag {:.0f} µs"),
        ("cpu_us_per_frame", "{:.1f} CPU µs/frame"),
        ("streams_per_s", "{:.0f} streams/s"),
        ("kib_per_stream", "{:.1f} KiB/stream"),
        ("cancel_p50_us", "cancelled after {:.0f} µs"),
        ("missing", "{}"),
    )
    said = [words.format(row[name]) for name, words in shown if row.get(name) is not None]
    if row.get("cancel_missed"):
        said.append(f"{row['cancel_missed']} not cancelled")
    said += [name for name in ("saturated", "restarted") if row.get(name)]
    if row.get("defects"):
        said.append(f"DEFECTIVE {row['defects']} ×: {row['defect']}")
    return ", ".join(said)
