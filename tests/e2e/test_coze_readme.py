"""What the README says about Coze: its table of settings, its file, its routes. Its code runs with the README's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import fields

from proxy.config import load
from proxy.config.report import shown
from tests.e2e.coze_scene import Scene, configured, scene
from tests.e2e.sdk_setup import asking
from tests.e2e.test_readme import BLOCKS, ROOT, TEXT, Block
from translators.upstreams import UPSTREAMS
from translators.upstreams.coze import Coze
from translators.upstreams.coze_settings import CozeSettings

SECTION = TEXT.partition("\n## Coze\n")[2].partition("\n## ")[0]
FILES = [block for block in BLOCKS if block.language == "toml" and "coze" in block.code]


def table(first: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    lines = SECTION.partition(f"| {first} |")[2].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_of_settings_is_complete_and_right():
    told = {row[1].strip("`"): (row[0].strip("`|"), row[2].strip("`")) for row in table("Variable")}
    names = {field: name for name, field in Coze.environment.items()}
    config = configured({"COZE_BOT_ID": "1"}).upstreams["coze"]
    for name in ("api_key", "base_url"):
        assert told.pop(name) == (names[name], shown(getattr(config, name)))
    for field in fields(CozeSettings):
        default = '"\\n\\n"' if field.name == "separator" else shown(field.default)
        assert told.pop(field.name) == (names.get(field.name, ""), default), field.name
    assert told == {}


@pytest.mark.parametrize("block", FILES, ids=[f"line{block.line}" for block in FILES])
def test_the_file(block: Block, tmp_path: Path):
    (tmp_path / "deltawire.toml").write_text(block.code)
    environ = {"COZE_API_KEY": "pat_test"}
    loaded = load(path=Path("deltawire.toml"), environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    config = loaded.config
    assert loaded.warnings == ()
    assert config.upstreams["support"].options.space_id
    assert not config.models["translate"].options.chatflow and config.models["guide"].options.chatflow
    ids = {config.models[name].options.workflow_id for name in ("translate", "guide")}
    assert len(ids) == 2 and config.models["guide"].options.bot_id


@pytest.fixture(scope="module")
def here():
    with scene() as running:
        yield running


def test_every_route_that_is_told_of_answers(here: Scene):
    id = here.client.conversations.create().id
    told = [(row[0], re.findall(r"`([^`]+)`", row[0])) for row in table("Route")]
    asked = 0
    for cell, names in told:
        methods = re.findall(r"\b(GET|POST|DELETE)\b", cell)
        path = next(name.split()[-1] for name in names if "/v1/" in name).replace("{id}", id)
        for method in methods:
            body = b'{"role": "user", "content": "hi"}' if path.endswith("/messages") else b""
            assert here.http(method, path, body).status == 200, (method, path)
            asked += 1
            if method == "DELETE":
                id = here.client.conversations.create().id
                path = path.rpartition("/")[0]
    assert asked >= 7


def test_what_is_ignored_is_ignored_and_what_is_refused_refused(here: Scene):
    ignored = {
        "temperature": 0.5,
        "top_p": 0.5,
        "max_tokens": 5,
        "stop": ["x"],
        "seed": 7,
        "presence_penalty": 1.0,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "high",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    }
    answer = here.client.chat.completions.create(model="gpt-4o", messages=asking("Count to 20."), **ignored)
    assert answer.choices[0].message.content.startswith("1, 2, 3, 4, 5, 6")
    for name in ignored:
        assert f"`{name}`" in SECTION or name == "presence_penalty"


def test_the_examples_are_there():
    assert len([*(ROOT / "examples").glob("coze_*")]) == 5
