"""``python -m bench``: the gateway beside no gateway, nginx and its peers, in one run.

One stand-in for each platform the gateway speaks, one load, each a process that shares the first CPU; the targets
take turns on the last. Progress and a summary go to stderr, JSON lines to stdout; ``--out DIR`` writes both and a
chart into a directory. One defective stream of any target makes the exit code 1.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import socket
import sys
import sysconfig
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench import targets
from bench.cases import FULL, QUICK, Case
from bench.chart import chart
from bench.generator import Generator, best_generator, standin
from bench.markdown import markdown
from bench.measure import Bench
from bench.processes import Cpus
from bench.report import Row, options, progress, table
from bench.service import Service
from bench.targets import Place
from bench.wires import DIALECTS, chosen, let_choose

COLUMNS = (
    "upstream", "case", "target", "added_first_p50_us", "added_lag_p50_us", "lag_p99_us", "cpu_us_per_frame",
    "frames_per_s", "streams_per_s", "kib_per_stream", "fairness", "cancel_p50_us", "saturated", "noise", "defects",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = _parser()
    wanted = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        parser.error("CPU accounting and epoll need Linux")
    cases, names = _chosen(parser, wanted), chosen(parser, wanted)
    only = wanted.only.split(",") if wanted.only else list(targets.ALL)
    unknown = set(only) - set(targets.ALL)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(targets.ALL)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))  # suspended targets must not be left behind
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = [row for upstream in names for row in _measured(upstream, cases, only, wanted)]
    _publish(rows, wanted, arguments)
    return 1 if any(row.get("defects") for row in rows) else 0


def _parser() -> ArgumentParser:
    parser = options("bench", "The gateway beside no gateway, nginx and its peers: latency, CPU, memory.")
    let_choose(parser)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(targets.ALL)}")
    parser.add_argument("--tests", metavar="NAMES", help=f"some of {','.join(case.name for case in FULL)}")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="rounds to take medians of")
    parser.add_argument("--flags", default="", metavar="FLAGS", help="more flags for deltawire serve")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.jsonl, RESULTS.md and lag.svg")
    return parser


def _chosen(parser: ArgumentParser, wanted: Namespace) -> list[Case]:
    cases = {case.name: case for case in (QUICK if wanted.quick else FULL)}
    names = wanted.tests.split(",") if wanted.tests else list(cases)
    unknown = [name for name in names if name not in cases]
    if unknown:
        parser.error(f"no such test: {', '.join(unknown)}; there are {', '.join(cases)}")
    return [cases[name] for name in cases if name in names]


def _measured(upstream: str, cases: Sequence[Case], only: Sequence[str], wanted: Namespace) -> list[Row]:
    cpus, generator = Cpus.allotted(), best_generator()
    if generator.name != "C":
        progress(
            "no C compiler: the Python generator is slower than what it measures; read no figure as true"
        )
    rows = [_host(upstream, cpus, generator)]
    with ExitStack() as running:
        source = running.enter_context(standin(generator, DIALECTS[upstream], cases[0].plan.size, cpus))
        bench = Bench(upstream, generator, source, cpus)
        services = []
        for name in only:
            home = Path(running.enter_context(tempfile.TemporaryDirectory()))
            service = _service(name, upstream, Place(_free_port(), source.port, home), cpus, wanted.flags)
            running.callback(service.stop)
            problem = service.target.missing or bench.boot(service)
            rows.append(_setting(upstream, service, problem))
            progress(f"{upstream} {name}: {'MISSING: ' + problem if problem else 'is up'}")
            if not problem:
                services.append(service)
        rows += bench.measure(cases, services, wanted.rounds)
    return rows


def _service(name: str, upstream: str, place: Place, cpus: Cpus, flags: str) -> Service:
    if name == "deltawire":
        target = targets.deltawire(upstream, place, tuple(flags.split()))
    else:
        target = targets.ALL[name](upstream, place)
    port = place.port if target.command else place.upstream_port
    return Service(target, port, place.home, cpus.target)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def _host(upstream: str, cpus: Cpus, generator: Generator) -> Row:
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "bench": "host",
        "upstream": upstream,
        "cpu": models[0].partition(": ")[2] if models else platform.machine(),
        "cpus": os.cpu_count(),
        "pinned": cpus.target is not None,
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {_optimised()}",
        "generator": generator.name,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _optimised() -> str:
    guided = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return "a profile-guided build" if guided else "not marked as a profile-guided build"


def _setting(upstream: str, service: Service, problem: str) -> Row:
    target = service.target
    return {
        "bench": "target",
        "upstream": upstream,
        "target": target.name,
        "version": target.version,
        "missing": problem,
        "settings": target.settings(service.home),
    }


def _publish(rows: list[Row], wanted: Namespace, arguments: list[str]) -> None:
    lines = "".join(orjson.dumps(row).decode() + "\n" for row in rows)
    sys.stdout.write(lines)
    sys.stdout.flush()
    print(table([row for row in rows if row["bench"] == "gateway"], COLUMNS), file=sys.stderr)
    if wanted.json is not None:
        wanted.json.write_text(lines)
    if wanted.out is not None:
        wanted.out.mkdir(parents=True, exist_ok=True)
        (wanted.out / "results.jsonl").write_text(lines)
        (wanted.out / "lag.svg").write_text(chart(rows))
        (wanted.out / "RESULTS.md").write_text(markdown(rows, " ".join(["python -m bench", *arguments])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
