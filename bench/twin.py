"""``python -m bench.twin``: the load of ``engine/load.c`` in Python, for machines without a C compiler and for
comparison: it records first and then judges with ``judge``, which reads every frame as JSON.

Same arguments, same output. It is several times slower, so above a few thousand frames per second it
measures itself; whoever runs it is told so.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

import orjson

from bench.histogram import Histogram
from bench.judge import Verdict, judge
from bench.load import Client, Load, Recording
from bench.plan import Plan


def main(words: list[str]) -> int:
    port, file, _, _, streams, rounds, ramp, patience, sample = words
    request = Path(file).read_bytes()
    plan = Plan.found_in(request)
    if plan is None:
        raise SystemExit("an impossible plan")
    load = Load(int(port), request, int(streams), int(rounds), int(ramp) / 1e6, int(patience) / 1e6)
    gc.disable()
    began = time.monotonic()
    recordings = Client(load, on_open=lambda: print("open", flush=True)).run()
    wall, cpu = time.monotonic() - began, time.process_time()
    whole = next((r for r in recordings if r.end == "complete"), None)
    if whole is not None:
        Path(sample).write_bytes(b"".join(data for _, data in whole.pieces))
    asked = [recording for recording in recordings if recording.end not in ("unfinished", "never asked")]
    verdicts = [judge(recording, plan) for recording in asked]
    under_way = [_judged_so_far(recording) for recording in recordings if recording.end == "unfinished"]
    print(orjson.dumps(_told(verdicts, sum(under_way), len(under_way), wall, cpu)).decode(), flush=True)
    return 0


def _judged_so_far(recording: Recording) -> int:
    """Frames of a stream that was cut short; counted, not judged."""
    return sum(data.count(b'"T0') for _, data in recording.pieces)


def _told(verdicts: list[Verdict], more: int, unfinished: int, wall: float, cpu: float) -> dict[str, object]:
    good = [verdict for verdict in verdicts if verdict.defect is None]
    defects = [verdict.defect for verdict in verdicts if verdict.defect is not None]
    lags = Histogram.of(lag for verdict in good for lag in verdict.lags)
    firsts = Histogram.of(verdict.first_token for verdict in good)
    means = [sum(verdict.lags) / len(verdict.lags) for verdict in good]
    return {
        "complete": len(good),
        "unfinished": unfinished,
        "defects": len(defects),
        "defect": defects[0] if defects else "",
        "frames": lags.count + more,
        "wall_s": wall,
        "cpu_s": cpu,
        "least_lag_ns": min(means, default=0),
        "most_lag_ns": max(means, default=0),
        "lag_max_ns": lags.most,
        "first_max_ns": firsts.most,
        "lags": lags.buckets,
        "firsts": firsts.buckets,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
