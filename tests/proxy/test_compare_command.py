"""``deltawire compare`` over real sockets: against itself, against servers that are wrong, and against nobody."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import cli
from proxy.compare import ask
from proxy.compare.questions import QUESTIONS
from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Abort, Close, Hang, Send, Steps, chunk, event_stream_head, reply, stream
from tests.proxy.compare_setup import DONE, ERROR, HELLO, NULLED, ROLE, STOP, USAGE, frame, said
from tests.proxy.compare_setup import chunk as chunk_of
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from tests.support.upstream import ScriptThread, told_by

KEY = "sk-canary-0123456789"
RIGHT = [*NULLED, frame(chunk_of([], usage=USAGE)), DONE]
LONG = [ROLE, HELLO, *[said({"content": "x" * 60_000})] * 20, STOP]


def echo(request: Recorded) -> Steps:
    """An answer that holds the key, cut in two by reads and by deltas."""
    key = request.headers["Authorization"].removeprefix("Bearer ")
    halves = [said({"content": key}), said({"content": key[:9]}), said({"content": key[9:]})]
    whole = b"".join([frame({**one, "usage": None}) for one in (ROLE, *halves, STOP)])
    place = whole.index(key.encode()) + 5
    yield Send(event_stream_head(headers={"x-key": key}))
    yield from (Send(chunk(whole[:place])), Send(chunk(whole[place:] + b"".join(RIGHT[-2:]))))
    yield Send(b"0\r\n\r\n")


def refused(status: int, message: str = "bad key " + KEY) -> Steps:
    document = {"error": {**ERROR["error"], "message": message}}
    return [Send(reply(status, json.dumps(document).encode()))]


SCRIPTS: dict[str, Any] = {
    "right": stream(RIGHT),
    "slow": stream(RIGHT, delay=0.01),
    "no done": stream(RIGHT[:-1]),
    "event lines": stream([b"event: x\n" + one for one in RIGHT]),
    "role twice": stream([RIGHT[0], *RIGHT]),
    "roles, no usage": stream([*NULLED[1:2], *NULLED[1:], DONE]),
    "page": [Send(reply(200, b"<html>", content_type="text/html"))],
    "broken off": [*stream(RIGHT[:3], end=False), Send(b"5\r\nab"), Close()],
    "reset": [*stream(RIGHT[:3], end=False), Abort()],
    "no answer": [Close()],
    "silence": [*stream(RIGHT[:2], end=False), Hang()],
    "error": refused(500),
    "closed": refused(401),
    "redirect": [Send(reply(302, b"", headers={"Location": "/elsewhere"}))],
    "echo": echo,
    "long": stream([frame({**one, "usage": None}) for one in LONG] + RIGHT[-2:]),
    "gzip": [Send(reply(200, b"\x1f\x8b", content_type="text/event-stream", headers={"Content-Encoding": "gzip"}))],
}  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> Iterator[ScriptThread]:
    """A left side that answers everything rightly."""
    with ScriptThread(SCRIPTS["right"]) as server:
        yield server


@pytest.fixture(scope="module")
def judged() -> Iterator[ScriptThread]:
    with ScriptThread(told_by(SCRIPTS)) as server:
        yield server


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory and an environment that names nobody."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def run(*flags: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *flags], prog_name="deltawire", env=environment)


def against(left: ScriptThread, right: ScriptThread, prompt: str, *more: str) -> Result:
    sides = ["--left", left.url, "--right", right.url, "--model", "m", "--right-key", KEY]
    result = run(*sides, "--prompt", prompt, *more)
    assert KEY not in result.output
    return result


def codes(result: Result, level: str = "difference") -> set[tuple[str, str]]:
    (question,) = json.loads(result.stdout)["questions"]
    return {(one["side"], one["code"]) for one in question["findings"] if one["level"] == level}


# Against itself.


def test_the_gateway_does_not_differ_from_its_upstream(tmp_path: Path) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert "no differences" in result.stdout.splitlines()[-1]
    lines = result.stdout.splitlines()
    assert "the built-in stand-in" in lines[0] and "a gateway in front of it" in lines[1]
    assert [line.split()[:2] for line in lines[3:11]] == [[name, "same"] for name in QUESTIONS]
    assert all("same words" in line for line in lines[3:9])
    assert "\x1b" not in result.stdout
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_a_gateway_against_the_stand_in(tmp_path: Path) -> None:
    with GatewayThread(config_of(builtin_upstream())) as gateway:
        flags = ("--target", gateway.url, "--model", "demo", "--only", "whole", "--only", "bad-request")
        result = run(*flags, "--json", "--report", "r.html", "--report", "r.md")
    assert result.exit_code == 0, result.stdout
    told = json.loads(result.stdout)
    assert [one["name"] for one in told["questions"]] == ["whole", "bad-request"]
    assert told["right"] == {"url": f"{gateway.url}/v1", "model": "demo"}
    assert "<h1>Two endpoints compared</h1>" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "r.md").read_text().startswith("# Two endpoints compared\n")


# Against servers that are wrong.


WRONG = {
    "no done": {("right", "done_missing")},
    "event lines": {("right", "event_line")},
    "role twice": {("right", "role_again")},
    "roles, no usage": {("right", "no_role"), ("right", "usage_missing")},
    "broken off": {("right", "cut")},
    "reset": {("right", "cut")},
    "error": {("right", "refused")},
    "long": set[tuple[str, str]](),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(reference: ScriptThread, judged: ScriptThread, name: str) -> None:
    result = against(reference, judged, name, "--json")
    assert (result.exit_code, codes(result)) == (bool(WRONG[name]), WRONG[name])


def test_a_page_in_place_of_a_stream(reference: ScriptThread, judged: ScriptThread) -> None:
    assert ("right", "content_type") in codes(against(reference, judged, "page", "--json"))


def test_a_redirect_is_not_followed(reference: ScriptThread, judged: ScriptThread) -> None:
    asked = len(judged.requests)
    result = against(reference, judged, "redirect", "--json")
    assert ("right", "refused") in codes(result)
    assert len(judged.requests) == asked + 1


def test_a_compressed_body_is_not_unpacked(reference: ScriptThread, judged: ScriptThread) -> None:
    assert {("right", "encoded"), ("right", "no_events")} <= codes(
        against(reference, judged, "gzip", "--json")
    )


def test_an_answer_that_does_not_end(reference: ScriptThread, judged: ScriptThread) -> None:
    result = against(reference, judged, "silence", "--timeout", "0.3")
    assert result.exit_code == 1
    assert (
        "  right  the answer breaks off: it is not over after 0.3 s  [prompt-1]" in result.stdout.splitlines()
    )


@pytest.mark.parametrize(
    ("prompt", "bound", "value", "words"),
    [
        ("long", "_LARGEST_ANSWER", 1 << 20, "it is longer than 1 MiB"),
        ("slow", "_MOST_READS", 2, "it comes in more than 2 pieces"),
    ],
)
def test_answers_are_bounded(
    judged: ScriptThread, monkeypatch: pytest.MonkeyPatch, prompt: str, bound: str, value: int, words: str
) -> None:
    monkeypatch.setattr(ask, bound, value)
    result = against(judged, judged, prompt)
    assert result.exit_code == 2
    told = f"HTTP 200, and the answer breaks off: {words}"
    assert f"left: {told}; right: {told}" in result.stderr


def test_one_that_fails_later_is_a_difference(reference: ScriptThread, judged: ScriptThread) -> None:
    result = against(reference, judged, "right", "--prompt", "no answer", "--prompt", "closed", "--json")
    assert result.exit_code == 1
    first, second, third = json.loads(result.stdout)["questions"]
    assert first["result"] == "same"
    assert [one["code"] for one in second["findings"]] == ["no_answer"]
    assert third["findings"][0]["code"] == "refused"


def test_the_same_answer_only_where_it_is_asked_for(reference: ScriptThread, judged: ScriptThread) -> None:
    assert codes(against(reference, judged, "long", "--json"), "note") == {("both", "text")}
    result = against(reference, judged, "long", "--json", "--same-answer")
    assert (result.exit_code, codes(result)) == (1, {("both", "text")})


# What is sent, and what is shown of it.


def test_both_sides_are_asked_the_same(reference: ScriptThread, judged: ScriptThread) -> None:
    run(
        "--left", reference.url, "--left-model", "a", "--right", f"{judged.url}/v1/", "--right-model", "b",
        "--prompt", "right", OPENAI_API_KEY=KEY, DELTAWIRE_COMPARE_RIGHT_KEY="k-right",
    )  # fmt: skip
    left, right = reference.requests[-1], judged.requests[-1]
    assert (left.path, right.path) == ("/v1/chat/completions", "/v1/chat/completions")
    assert left.document == {
        "model": "a",
        "messages": [{"role": "user", "content": "right"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert right.document == {**left.document, "model": "b"}
    assert "Authorization" not in left.headers  # the key is for OpenAI, not for --left
    assert right.headers["Authorization"] == "Bearer k-right"
    for request in (left, right):
        assert (request.headers["Accept"], request.headers["Accept-Encoding"]) == (
            "application/json",
            "identity",
        )


def test_the_reference_of_the_environment_gets_its_key(reference: ScriptThread, judged: ScriptThread) -> None:
    result = run(
        "--right", judged.url, "--prompt", "right", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=reference.url + "/v1"
    )
    assert result.exit_code == 0
    assert reference.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in judged.requests[-1].headers


def test_dotenv_is_read(tmp_path: Path, reference: ScriptThread, judged: ScriptThread) -> None:
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={reference.url}\nA='x\n")
    result = run("--right", judged.url, "--prompt", "right")
    assert result.exit_code == 0
    assert result.stderr == ".env:3: expected NAME=value (a quote may be missing)\n"
    assert reference.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_that_comes_back_is_not_shown(
    reference: ScriptThread, judged: ScriptThread, tmp_path: Path
) -> None:
    result = against(reference, judged, "echo", "--report", "r.html", "--report", "r.md")
    assert result.exit_code == 0, result.stdout
    shown = result.stdout + (tmp_path / "r.html").read_text() + (tmp_path / "r.md").read_text()
    assert KEY not in shown
    assert "*" * len(KEY) in shown


# Nothing to compare with.


def test_nobody_there(judged: ScriptThread) -> None:
    result = run("--left", "http://127.0.0.1:1", "--right", judged.url, "--model", "m")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "left: http://127.0.0.1:1/v1 cannot be asked: Connection refused\n"


def test_nobody_on_the_right(reference: ScriptThread) -> None:
    result = run("--left", reference.url, "--right", "http://127.0.0.1:1", "--model", "m")
    assert result.exit_code == 2
    assert result.stderr.startswith("right: http://127.0.0.1:1/v1 cannot be asked: ")


def test_one_that_lets_nobody_in(reference: ScriptThread, judged: ScriptThread) -> None:
    result = against(reference, judged, "closed")
    assert result.exit_code == 2
    stars = "*" * len(KEY)
    assert result.stderr == f"right: {judged.url}/v1 does not let us in: HTTP 401: bad key {stars}\n"


def test_two_that_refuse_everything(judged: ScriptThread) -> None:
    result = against(judged, judged, "error")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "neither side answers any question, so nothing can be compared: left: HTTP 500"
    )


MISTAKES = [
    ("--only", "nothing"),
    ("--timeout", "0"),
    ("--left", "http://l"),
    ("--right", "l"),
    ("--left-key", f"{KEY}\n"),
    ("--report", "report.txt"),
    ("--report", "nowhere/report.md"),
]


@pytest.mark.parametrize("flags", MISTAKES)
def test_mistakes(flags: tuple[str, str]) -> None:
    result = run(*flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr and "canary" not in result.stderr


def test_a_report_that_cannot_be_written(
    reference: ScriptThread, judged: ScriptThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = against(reference, judged, "right", "--report", "r.md")
    assert (result.exit_code, result.stderr) == (2, "r.md: cannot be written (No space left on device)\n")


def test_the_help_is_complete() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in ("--left", "--right", "--target", "--same-answer", "--report", "OPENAI_API_KEY", *QUESTIONS):
        assert word in result.output
    assert "Examples:" in result.output


def test_control_c(judged: ScriptThread, tmp_path: Path) -> None:
    """As a process, while an answer is under way."""
    flags = ["--left", judged.url, "--right", judged.url, "--model", "m", "--prompt", "silence"]
    asked = len(judged.requests)
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "compare", *flags],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell has its jobs ignore it
    )
    judged.received(asked + 1)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (130, "", "stopped\n")
