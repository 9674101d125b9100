"""Nothing in the README is only prose: its commands run, its code prints what it says, its files load.

Blocks are found by their language. Shell, Python and JavaScript run against a live ``deltawire demo`` on a free
port, put in place of 3000; TOML is loaded; the tables of settings and errors are compared with the code. Blocks of
other people's languages (yaml, ini, nginx) and plain text are only read.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from attrs import frozen

from proxy.config import OPTIONS, load
from proxy.config.report import shown
from tests.e2e.node import runtime
from tests.e2e.sdk_setup import COUNTED
from translators import errors
from translators.upstreams import UPSTREAMS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
RUN_OR_LOADED = {"sh", "python", "js", "toml"}
ONLY_READ = {"yaml", "ini", "nginx", "text"}


@frozen
class Block:
    language: str
    line: int
    code: str


def blocks_of(text: str) -> list[Block]:
    fences = re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(m[1], text.count("\n", 0, m.start()) + 1, m[2]) for m in fences]


BLOCKS = blocks_of(TEXT)


def each(language: str, having: str = "") -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.language == language and having in block.code]
    assert chosen, f"no {language} block {having}"
    return pytest.mark.parametrize("block", chosen, ids=[f"line{block.line}" for block in chosen])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What ``make demo`` runs, on a free port; its address."""
    process = subprocess.Popen(
        [BIN / "deltawire", "demo"],
        env={**os.environ, "PORT": "0", "HOST": "127.0.0.1"},
        cwd=tmp_path_factory.mktemp("demo"),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        greeting = process.stdout.readline() + process.stdout.readline()
        try:
            yield greeting.split("http://")[1].split()[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
    assert process.returncode == 0


def here(code: str, address: str) -> str:
    return code.replace("127.0.0.1:3000", address).replace(".venv/bin/", f"{BIN}/")


def shell(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        env=runtime.variables(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def test_it_opens_with_the_two_commands():
    opening = TEXT.split("\n\n")[:2]
    assert opening == ["# deltawire", "    make demo\n    make test"]


def test_every_command_of_make_exists():
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"demo", "test", "install", "bench-translate", "bench-relay"} <= named
    for target in named:
        done = subprocess.run(
            ["make", "--no-print-directory", "-n", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"make {target}: {done.stderr}"
    plan = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert plan.stdout.rstrip().endswith("deltawire demo")


def test_every_block_is_of_a_kind_that_is_looked_after():
    assert {block.language for block in BLOCKS} <= RUN_OR_LOADED | ONLY_READ


@each("sh", "curl")
def test_curl(demo: str, block: Block, tmp_path: Path):
    done = shell(here(block.code, demo), tmp_path)
    assert done.returncode == 0, done.stderr
    stream, _, whole = done.stdout.partition("data: [DONE]\n\n")
    chunks = [orjson.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert "Hello!" in text
    assert orjson.loads(whole)["choices"][0]["message"]["content"] == text


@each("python")
def test_python(demo: str, block: Block, tmp_path: Path):
    command = [sys.executable, "-W", "error", "-c", here(block.code, demo)]
    done = subprocess.run(
        command, env=runtime.variables({}), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, COUNTED), done.stderr


@each("js")
@pytest.mark.timeout(600)
def test_javascript(demo: str, block: Block):
    script = runtime.workspace() / f"readme-{block.line}.mjs"
    script.write_text(here(block.code, demo))
    done = runtime.run(script.name)
    assert (done.returncode, done.stdout) == (0, COUNTED), done.stderr


@each("sh", "check")
def test_check(block: Block, tmp_path: Path):
    done = shell(here(block.code, ""), tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ok"), done.stderr
    assert "server.port = 8080  (env PORT)" in done.stdout


@each("sh", "serve")
def test_serve(block: Block, tmp_path: Path):
    process = subprocess.Popen(
        ["bash", "-c", "exec env " + here(block.code, "")],
        env=runtime.variables({"PORT": "0"}),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        address = process.stderr.readline().rpartition("serving on ")[2].strip()
        models = shell(f"curl -s {address}/v1/models", tmp_path)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0
    assert [model["id"] for model in orjson.loads(models.stdout)["data"]] == ["llama3", "llama3.1"]


@each("toml", "ollama")
def test_the_file(block: Block, tmp_path: Path):
    (tmp_path / "deltawire.toml").write_text(block.code)
    (tmp_path / "keys.txt").write_text("one\ntwo\n")
    environ = {"OPENAI_API_KEY": "sk-test"}
    loaded = load(path=Path("deltawire.toml"), environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    config = loaded.config
    assert loaded.warnings == ()
    assert list(config.upstreams) == ["ollama", "cloud"] and config.default_upstream == "ollama"
    assert config.upstreams["cloud"].idle_timeout == 300
    assert len(config.auth.api_keys) == 2
    assert config.models["house-model"].options.reasoning == "drop"


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    lines = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    table = [line.strip("|").split(" | ") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def test_the_table_of_settings_is_complete_and_right(tmp_path: Path):
    told = {row[0].strip("`"): (row[1].strip("`"), row[2].strip("`")) for row in rows("Configuration")}
    for option in OPTIONS:
        name = option.metadata["env"][-1]
        assert told.pop(name) == (option.path, shown(option.default)), name
    upstream = load(path=None, environ={}, cwd=tmp_path, flags={}, kinds=UPSTREAMS).config.upstreams["llama"]
    for name, field in UPSTREAMS["openai"].environment.items():
        assert told.pop(name) == (f"upstreams.llama.{field}", shown(getattr(upstream, field))), name
    assert told == {}


def test_the_table_of_errors_tells_the_statuses_of_the_code():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "status")]
    codes: dict[str, set[str]] = {}
    for kind in kinds:
        if kind.default_code:
            codes.setdefault(kind.default_code, set()).add(str(kind.status))
    told = [(row[0], re.findall(r"`([a-z_]+)`", row[1])) for row in rows("When something fails")]
    assert {code for _, names in told for code in names} >= set(codes)
    for name, statuses in codes.items():
        assert statuses <= set(re.findall(r"\d+", " ".join(said for said, names in told if name in names))), (
            name
        )


def test_a_block_is_found_by_its_fence():
    assert blocks_of("x\n```sh\nls\n```\n\n```\na\nb\n```\n") == [
        Block("sh", 2, "ls\n"),
        Block("", 6, "a\nb\n"),
    ]
