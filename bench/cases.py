"""What is measured: one row of a table for each case, in the order in which they run.

``first`` asks one stream after the other. ``idle`` holds streams that say next to nothing: it comes early, so that
memory which heavier cases leave behind cannot hide growth. ``paced`` streams at a model's pace, 20,000 frames a
second in all. ``churn`` is short streams back to back. ``flood`` sends each frame on its own as fast as it is
taken, ``bulk`` sixteen in a write. ``cancel`` opens streams, leaves them, and waits until the upstream has noticed.

Paced streams begin at intervals that do not divide their pace, so that their frames fall evenly between each other:
in step, they would come in bursts, and lag would be the length of a burst.
"""

from __future__ import annotations

from attrs import evolve, frozen

from bench.plan import Plan

FOREVER = 1_000_000
"""Rounds of a case that only the clock ends."""


@frozen
class Case:
    name: str
    plan: Plan
    streams: int = 1
    rounds: int = 1
    ramp: float = 0.0
    patience: float = 15.0
    kind: str = "load"
    means: str = ""

    @property
    def open_ended(self) -> bool:
        return self.rounds == FOREVER

    @property
    def seconds(self) -> float | None:
        """How long one paced stream takes if nothing holds it up."""
        return None if self.plan.pace == "0" else (self.plan.frames - 1) * int(self.plan.pace) / 1e6

    def stretched(self, factor: float) -> Case:
        """The same with more time to open its streams, for a target that opens few in a second."""
        plan = evolve(self.plan, pace=str(round(int(self.plan.pace) * factor)))
        return evolve(self, plan=plan, ramp=self.ramp * factor, patience=self.patience * factor)


FULL = (
    Case("first", Plan(10, "2000"), rounds=200, means="one stream at a time, 10 frames 2 ms apart"),
    Case("idle-1000", Plan(2, "5000000"), 1000, ramp=2.5, kind="idle", means="1,000 streams at rest"),
    Case("idle-5000", Plan(2, "8000000"), 5000, ramp=6.0, patience=25, kind="idle", means="5,000 at rest"),
    Case("paced-200", Plan(600, "10000"), 200, ramp=1.01, means="200 streams, a frame each 10 ms"),
    Case("paced-1000", Plan(120, "50000"), 1000, ramp=2.05, means="1,000 streams, a frame each 50 ms"),
    Case("churn", Plan(5, "0"), 32, FOREVER, patience=4, means="32 connections, streams of 5 frames"),
    Case("flood", Plan(2000, "0"), 64, FOREVER, patience=4, means="64 streams, a write for each frame"),
    Case("bulk", Plan(2000, "0", batch=16), 16, FOREVER, patience=4, means="16 streams, 16 frames a write"),
    Case("cancel-1", Plan(600, "100000"), 1, 20, kind="cancel", means="one open stream left at a time"),
    Case("cancel-200", Plan(600, "100000"), 200, kind="cancel", means="200 open streams left at once"),
    Case("cancel-1000", Plan(600, "100000"), 1000, kind="cancel", means="1,000 open streams left at once"),
)
QUICK = (
    Case("first", Plan(10, "1000"), rounds=30, means="one stream at a time, 10 frames 1 ms apart"),
    Case("idle-100", Plan(2, "800000"), 100, ramp=0.3, kind="idle", means="100 streams at rest"),
    Case("paced-50", Plan(50, "10000"), 50, ramp=0.11, means="50 streams, a frame each 10 ms"),
    Case("churn", Plan(5, "0"), 8, FOREVER, patience=0.5, means="8 connections, streams of 5 frames"),
    Case("flood", Plan(500, "0"), 16, FOREVER, patience=0.5, means="16 streams, a write for each frame"),
    Case("bulk", Plan(500, "0", batch=16), 8, FOREVER, patience=0.5, means="8 streams, 16 frames a write"),
    Case("cancel-20", Plan(600, "100000"), 20, kind="cancel", means="20 open streams left at once"),
)
WARM_UP = Case("warm-up", Plan(5, "0"), 2, 20, patience=20)
