"""The real kinds as the configuration meets them: their environment alone, their addresses, their own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_setup import configure, problems

from translators.upstreams import UPSTREAMS


def test_each_platform_can_do_without_a_file(tmp_path: Path) -> None:
    env = {"COZE_API_KEY": "pat_x", "COZE_BOT_ID": "7342", "DIFY_API_KEY": "app-x", "LLAMA_MODELS": "m"}
    config = configure(tmp_path, env=env, kinds=UPSTREAMS).config
    kinds = {name: upstream.kind for name, upstream in config.upstreams.items()}
    assert kinds == {"llama": "openai", "coze": "coze", "dify": "dify"}
    assert config.upstreams["coze"].options.bot_id == "7342"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://dify.test", "http://dify.test/v1"),
        ("http://dify.test/", "http://dify.test/v1"),
        ("http://dify.test/v1/", "http://dify.test/v1"),
        ("http://dify.test/api/v1", "http://dify.test/api/v1"),
    ],
)
def test_an_address_may_be_written_in_the_forms_its_platform_knows(
    tmp_path: Path, written: str, asked: str
) -> None:
    config = configure(tmp_path, env={"DIFY_API_URL": written}, kinds=UPSTREAMS).config
    assert config.upstreams["dify"].base_url == asked


KEY = "-----BEGIN PRIVATE KEY-----"


def test_a_kind_that_has_secrets_still_says_what_is_wrong(tmp_path: Path) -> None:
    wrong = problems(tmp_path, env={"COZE_BOT_ID": "seven", "COZE_API_KEY": "pat_x"}, kinds=UPSTREAMS)
    assert len(wrong) == 1
    assert "bot_id must be 1 to 25 digits" in wrong[0]
    half = problems(tmp_path, env={"COZE_OAUTH_PRIVATE_KEY": KEY}, kinds=UPSTREAMS)
    assert len(half) == 1
    assert "belong together" in half[0]
    assert KEY not in half[0]


def test_words_that_hold_a_secret_are_not_repeated(tmp_path: Path) -> None:
    """A secret that stands in the words by chance is hidden with them."""
    env = {"COZE_BOT_ID": "seven", "COZE_OAUTH_PRIVATE_KEY": "digits"}
    [wrong] = problems(tmp_path, env=env, kinds=UPSTREAMS)
    assert "these settings do not go together" in wrong
