"""What the README says about Dify: its table of settings and its file. Its code runs with the README's."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import fields

from proxy.config import load
from proxy.config.report import shown
from tests.e2e.dify_scene import configured
from tests.e2e.test_readme import BLOCKS, ROOT, TEXT, Block
from translators.upstreams import UPSTREAMS
from translators.upstreams.dify import Dify
from translators.upstreams.dify_ask import _IGNORED
from translators.upstreams.dify_settings import DifySettings

SECTION = TEXT.partition("\n## Dify\n")[2].partition("\n## ")[0]
FILES = [block for block in BLOCKS if block.language == "toml" and "dify" in block.code]


def table(first: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    lines = SECTION.partition(f"| {first} |")[2].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_of_settings_is_complete_and_right():
    told = {row[1].strip("`"): (row[0].strip("`|"), row[2].strip("`")) for row in table("Variable")}
    names = {field: name for name, field in Dify.environment.items()}
    config = configured({"DIFY_API_URL": Dify.defaults["base_url"]}).upstreams["dify"]
    for name in ("api_key", "base_url"):
        assert told.pop(name) == (names[name], shown(getattr(config, name)))
    for field in fields(DifySettings):
        assert told.pop(field.name) == ("", shown(field.default)), field.name
    assert told == {}


@pytest.mark.parametrize("block", FILES, ids=[f"line{block.line}" for block in FILES])
def test_the_file(block: Block, tmp_path: Path):
    (tmp_path / "deltawire.toml").write_text(block.code)
    environ = {"DESK_KEY": "app-1", "REPORTS_KEY": "app-2"}
    loaded = load(path=Path("deltawire.toml"), environ=environ, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    config = loaded.config
    assert loaded.warnings == ()
    assert config.upstreams["desk"].max_concurrency == 9
    assert config.upstreams["reports"].options.output_variable == "short"
    assert config.models["long-report"].options.output_variable == "long"


def test_what_is_said_to_be_ignored_is():
    for name in ("temperature", "top_p", "max_tokens", "stop", "seed", "tools", "response_format"):
        assert f"`{name}`" in SECTION and name in _IGNORED


def test_the_examples_are_there():
    assert len([*(ROOT / "examples").glob("dify_*")]) == 5
