"""The benches speak Bedrock: the gateway answers right to the last byte, and sealed frames can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from bench.generator import PYTHON, Generator, best_generator, standin
from bench.plan import Plan
from bench.processes import Cpus
from bench.wires import DIALECTS
from tests.support.raw import RawClient
from translators.framing.aws import AwsEvents

ROOT = Path(__file__).parents[2]
GENERATORS = {generator.name: generator for generator in (PYTHON, best_generator())}
DIALECT = DIALECTS["bedrock"]


def run(module: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", module, "--quick", "--upstreams", "bedrock", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(70)
def test_the_gateway_is_measured_with_bedrock_behind_it() -> None:
    rows = run("bench", "--only", "direct,deltawire", "--tests", "first,bulk,cancel-20")
    (setting,) = [row for row in rows if row["bench"] == "target" and row["target"] == "deltawire"]
    assert "AGENT_ID=" in setting["settings"] and "LLAMA" not in setting["settings"]
    measured = {(row["case"], row["target"]): row for row in rows if row["bench"] == "gateway"}
    assert set(measured) == {
        (case, target) for case in ("first", "bulk", "cancel-20") for target in ("direct", "deltawire")
    }
    for row in measured.values():
        assert (row["upstream"], row["defects"], row.get("cancel_missed", 0)) == ("bedrock", 0, 0)
    assert measured["first", "deltawire"]["first_p50_us"] > 0
    assert measured["bulk", "deltawire"]["cpu_us_per_frame"] > 0


@pytest.mark.timeout(70)
def test_translating_bedrock_has_a_figure_for_every_kind_of_frame() -> None:
    rows = run("bench.translate")
    assert {(row["surface"], row["case"]) for row in rows} == {
        (surface, case)
        for surface in ("chat", "chat whole")
        for case in ("ascii", "escapes", "unlike", "traces")
    }
    assert all(row["ns_per_frame"] > 0 for row in rows)


def test_the_token_of_the_stand_in_is_the_frame_of_the_case() -> None:
    piece = Plan(1, "0").piece(0, 0)
    assert DIALECT.token(piece) == DIALECT.cases["ascii"].frame(0, piece.decode())


@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("size", [28, 40, 41, 1000])
def test_what_the_stand_in_seals_can_be_read(generator: Generator, size: int) -> None:
    plan = Plan(5, "0", batch=2, size=size)
    with standin(generator, DIALECT, size, Cpus(None, None)) as upstream, RawClient(upstream.port) as client:
        client.send(plan.request("/agents/BENCHAGENT/agentAliases/A/sessions/s%3A1/text", "m"))
        reply = client.reply()
    assert (reply.status, reply.complete) == (200, True)
    assert reply.headers["content-type"] == "application/vnd.amazon.eventstream"
    framing = AwsEvents()
    frames = framing.feed(reply.body)
    framing.close()
    assert framing.fault is None
    texts = [b64decode(json.loads(data)["bytes"], validate=True) for name, data in frames if name == b"chunk"]
    stamps = [plan.read(text.decode()) for text in texts]
    assert [stamp and stamp[1] for stamp in stamps] == list(range(5))
    assert [name for name, _ in frames] == [b"trace"] * 2 + [b"chunk"] * 5 + [b"trace"] * 2
