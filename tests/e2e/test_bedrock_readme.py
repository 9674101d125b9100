"""What the README says about Bedrock: its table of settings, its file, its claims. Its code runs with the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import fields

from proxy.config import load
from proxy.config.report import shown
from tests.e2e.test_readme import BLOCKS, ROOT, TEXT, Block
from translators.upstreams import UPSTREAMS
from translators.upstreams.bedrock import Bedrock
from translators.upstreams.bedrock_ask import _IGNORED
from translators.upstreams.bedrock_extras import _AGENT
from translators.upstreams.bedrock_files import MAX_BYTES, MAX_FILES
from translators.upstreams.bedrock_flow import BedrockFlow
from translators.upstreams.bedrock_inline import InlineAgent
from translators.upstreams.bedrock_runtime import AgentRuntime
from translators.upstreams.bedrock_settings import BedrockSettings

SECTION = TEXT.partition("\n## Amazon Bedrock\n")[2].partition("\n## ")[0]
FILES = [block for block in BLOCKS if block.language == "toml" and "bedrock" in block.code]


def table(first: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    lines = SECTION.partition(f"| {first} |")[2].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_of_settings_is_complete_and_right():
    told = {row[1].strip("`"): (row[0].strip("`|"), row[2].strip("`")) for row in table("Variable")}
    names = {field: name for name, field in Bedrock.environment.items()}
    for field in fields(BedrockSettings):
        assert told.pop(field.name) == (names.get(field.name, ""), shown(field.default)), field.name
    assert told == {}


@pytest.mark.parametrize("block", FILES, ids=[f"line{block.line}" for block in FILES])
def test_the_file(block: Block, tmp_path: Path):
    (tmp_path / "deltawire.toml").write_text(block.code)
    loaded = load(path=Path("deltawire.toml"), environ={}, cwd=tmp_path, flags={}, kinds=UPSTREAMS)
    config = loaded.config
    assert loaded.warnings == ()
    assert config.upstreams["support"].first_byte_timeout == 300
    answers = {name: Bedrock.variant(alias.options) for name, alias in config.models.items()}
    assert answers == {
        "draft": Bedrock,
        "trips": BedrockFlow,
        "helper": AgentRuntime,
        "with-tools": InlineAgent,
    }
    assert config.models["draft"].options.agent_id == config.upstreams["support"].options.agent_id
    assert len(config.models["with-tools"].options.instruction) >= 40


def test_the_file_is_there():
    assert len(FILES) == 1


def test_what_is_said_to_be_ignored_is():
    for name in ("temperature", "top_p", "max_tokens", "stop", "seed", "response_format", "reasoning_effort"):
        assert f"`{name}`" in SECTION and name in _IGNORED


def test_every_member_of_bedrock_is_told_of():
    told = set(re.findall(r"`(\w+)`", SECTION.partition("**Whatever else")[2].partition("\n\n")[0]))
    elsewhere = {"endSession", "memoryId", "streamFinalResponse"}  # of these the first two have simpler names
    assert told - {"bedrock", "metadata"} == set(_AGENT) - elsewhere
    assert "`end_session: true`" in SECTION and "`memory_id`" in SECTION
    assert "document" in BedrockFlow.takes.members and "payload" in AgentRuntime.takes.members


def test_the_numbers_are_those_of_the_code():
    assert (MAX_FILES, MAX_BYTES) == (5, 10 << 20) and "five and 10 MiB at most" in SECTION


def test_the_examples_are_there():
    assert len([*(ROOT / "examples").glob("bedrock_*")]) == 6
