"""``deltawire bench``: what it says of a deployment that streams rightly, and of every kind that does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import cli
from proxy.simulators.script import Close, Hang, Send, Steps, reply, stream
from tests.support.upstream import DONE, ScriptThread, answer, delta, told_by, words

KEY = "sk-canary-0123456789"
USAGE = delta(usage={"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6})
SCRIPTS: dict[str, Steps] = {
    "right": stream([*words(5), delta(finish="stop"), USAGE, DONE], delay=0.01),
    "one read": stream(answer(5), per_write=100),
    "no DONE": stream([*words(5), delta(finish="stop")]),
    "no finish reason": stream([*words(5), DONE]),
    "more after the end": stream([*answer(), *words(1)]),
    "not JSON": stream([b"data: {\n\n", DONE]),
    "no object": stream([b"data: []\n\n", DONE]),
    "an error": stream([*words(2), b'data: {"error":{"message":"out of memory"}}\n\n', DONE]),
    "odd shapes": stream(
        [b'data: {"choices":[1,{"delta":2}],"usage":{"completion_tokens":-1}}\n\n', *answer()]
    ),
    "refused": [Send(reply(401, b'{"error":{"message":"bad key ' + KEY.encode() + b'"}}'))],
    "redirect": [Send(reply(302, b"", headers={"Location": "/elsewhere"}))],
    "cut": [*stream(words(2), end=False), Send(b"5\r\nab"), Close()],
    "silence": [Hang()],
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptThread]:
    with ScriptThread(told_by(SCRIPTS)) as server:
        yield server


def bench(upstream: ScriptThread, prompt: str, *more: str) -> Result:
    flags = ["--target", upstream.url, "--model", "m", "--prompt", prompt, "--key", KEY, *more]
    return CliRunner().invoke(cli, ["bench", *flags], prog_name="deltawire")


def document(upstream: ScriptThread, prompt: str, *more: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(bench(upstream, prompt, "--json", *more).stdout)
    return told


def test_a_right_deployment(upstream: ScriptThread) -> None:
    told = document(upstream, "right", "--streams", "3", "--requests", "7")
    assert (told["requests"], told["complete"], told["failures"]) == (7, 7, {})
    assert (told["frames"], told["tokens"]) == (35, 35)
    assert 0 < told["first_token_ms"]["p50"] <= told["stream_ms"]["p50"]
    assert 0 < told["gap_ms"]["p50"] <= told["gap_ms"]["p99"] <= told["gap_ms"]["max"]
    assert told["frames_per_s"] > 0


def test_frames_of_one_read_have_no_gap(upstream: ScriptThread) -> None:
    assert document(upstream, "one read", "--requests", "1", "--streams", "1")["gap_ms"]["max"] == 0


def test_the_table(upstream: ScriptThread) -> None:
    result = bench(upstream, "right", "--requests", "2")
    assert result.exit_code == 0
    assert "2 of 2" in result.stdout
    assert {"first token, ms", "gap between frames, ms"} <= {
        line[:28].strip() for line in result.stdout.splitlines()
    }


def test_what_is_asked(upstream: ScriptThread) -> None:
    bench(upstream, "one read", "--requests", "1", "--max-tokens", "17")
    request = upstream.requests[-1]
    assert request.document["max_tokens"] == 17
    assert request.document["stream"] is True
    assert request.headers["Authorization"] == f"Bearer {KEY}"


WRONG = {
    "no DONE": "without [DONE]",
    "no finish reason": "no finish reason",
    "more after the end": "something came after [DONE]",
    "not JSON": "not JSON",
    "no object": "no object",
    "an error": "out of memory",
    "refused": "HTTP 401",
    "redirect": "HTTP 302",
    "cut": "the connection failed",
    "silence": "not over after 0.3 s",
}


@pytest.mark.parametrize("prompt", WRONG)
def test_what_is_wrong_is_counted_and_said(upstream: ScriptThread, prompt: str) -> None:
    result = bench(upstream, prompt, "--requests", "2", "--timeout", "0.3")
    assert result.exit_code == 1
    assert "0 of 2" in result.stdout
    assert WRONG[prompt] in result.stdout
    assert KEY not in result.output


def test_odd_shapes_are_skipped(upstream: ScriptThread) -> None:
    assert document(upstream, "odd shapes", "--requests", "1")["complete"] == 1


def test_nobody_there() -> None:
    result = CliRunner().invoke(cli, ["bench", "--target", "http://127.0.0.1:1", "--model", "m"])
    assert (result.exit_code, "the connection failed" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/api/v3/chat/completions", "/api/v3/chat/completions"),
    ],
)
def test_where_it_asks(upstream: ScriptThread, given: str, path: str) -> None:
    flags = ["--target", upstream.url + given, "--model", "m", "--prompt", "one read", "--requests", "1"]
    assert CliRunner().invoke(cli, ["bench", *flags]).exit_code == 0
    assert upstream.requests[-1].path == path


@pytest.mark.parametrize(
    "flags",
    [
        ("--target", url)
        for url in ("host", "ftp://h", "http://", "http://u:p@h", "http://h?q=1", "http://h:99999")
    ]
    + [
        ("--streams", "0"),
        ("--streams", "1001"),
        ("--timeout", "0"),
        ("--max-tokens", "0"),
        ("--requests", "0"),
    ],
)
def test_mistakes(flags: tuple[str, str]) -> None:
    result = CliRunner().invoke(cli, ["bench", "--target", "http://127.0.0.1:1", "--model", "m", *flags])
    assert result.exit_code == 2
    assert result.stdout == ""


def test_the_key_may_come_from_the_environment(
    upstream: ScriptThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTAWIRE_BENCH_KEY", "sk-from-env")
    flags = ["--target", upstream.url, "--model", "m", "--prompt", "one read", "--requests", "1"]
    CliRunner().invoke(cli, ["bench", *flags])
    assert upstream.requests[-1].headers["Authorization"] == "Bearer sk-from-env"
