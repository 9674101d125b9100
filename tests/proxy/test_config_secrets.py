"""Canaries: whatever holds a secret, nothing that is printed may hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_setup import Acme, Plain, configure, problems

from proxy.config import Config, Loaded, Secret
from proxy.config.report import report, shown

CANARY = "sk-canary-0123456789"


def everything_printed(loaded: Loaded) -> str:
    origins = {key: str(origin) for key, origin in loaded.origins.items()}
    return "\n".join([*report(loaded), *loaded.warnings, str(loaded), repr(loaded.config), str(origins)])


A = "[upstreams.a]\nkind = 'plain'\n"
HOLDERS: list[tuple[str | None, dict[str, str], str | None]] = [
    (f"[auth]\napi_keys = ['{CANARY}']", {}, None),
    (f"[auth]\napi_keys = '{CANARY},b'", {}, None),
    (A + f"api_key = '{CANARY}'", {}, None),
    (A + "api_key = { env = 'MY_KEY' }", {"MY_KEY": CANARY}, None),
    (A + "api_key = { env = 'MY_KEY' }", {}, f"MY_KEY={CANARY}"),
    (A + "api_key = { file = 'key.txt' }", {}, None),
    (A + "api_key = { env = 'DELTAWIRE_MY_KEY' }", {"DELTAWIRE_MY_KEY": CANARY}, None),
    (A + f"headers = {{ Authorization = 'Bearer {CANARY}' }}", {}, None),
    (A + "headers = { Authorization = { env = 'MY_KEY' } }", {"MY_KEY": CANARY}, None),
    (A + "headers = { Authorization = { file = 'key.txt' } }", {}, None),
    (f"[upstreams.a]\nkind = 'acme'\ntoken = '{CANARY}'\n[models.m]\nupstream = 'a'", {}, None),
    (f"[upstreams.a]\nkind = 'acme'\n[models.m]\nupstream = 'a'\ntoken = '{CANARY}'", {}, None),
    ("[upstreams.a]\nkind = 'acme'\ntoken = { file = 'key.txt' }", {}, None),
    (None, {"API_KEYS": CANARY}, None),
    (None, {"API_KEYS": "./key.txt"}, None),
    (None, {"DELTAWIRE_API_KEYS_FILE": "keys.txt"}, None),
    (None, {"LLAMA_API_KEY": CANARY}, None),
    (None, {"LLAMA_API_KEY_FILE": "key.txt"}, None),
    (None, {}, f"LLAMA_API_KEY={CANARY}"),
    (None, {"ACME_TOKEN": CANARY}, None),
    (None, {"ACME_TOKEN_FILE": "key.txt"}, None),
    (None, {"DELTAWIRE_UPSTREAM_LLAMA_API_KEY": CANARY}, None),
    (None, {"DELTAWIRE_UPSTREAM_LLAMA_API_KEY_FILE": "key.txt"}, None),
    (f"storage.database_url = 'postgresql://u:{CANARY}@h/d'", {}, None),
    (None, {"DATABASE_URL": f"postgresql://u:{CANARY}@h/d"}, None),
    (None, {}, f"DELTAWIRE_DATABASE_URL=postgresql://u:{CANARY}@h/d"),
]


def revealed(config: Config) -> list[str]:
    found = [key.reveal() for key in config.auth.api_keys]
    found += [config.storage.database_url.reveal()] if config.storage.database_url else []
    for upstream in config.upstreams.values():
        found += [upstream.api_key.reveal()] if upstream.api_key else []
        found += upstream.headers.values()
    holders = [*config.upstreams.values(), *config.models.values()]
    return found + [str(getattr(holder.options, "token", "")) for holder in holders]


@pytest.mark.parametrize(("toml", "env", "dotenv"), HOLDERS)
def test_a_secret_arrives_and_is_never_printed(
    tmp_path: Path, toml: str | None, env: dict[str, str], dotenv: str | None
) -> None:
    (tmp_path / "key.txt").write_text(f"  {CANARY}\n")
    (tmp_path / "keys.txt").write_text(f"# ours\n\n{CANARY}\nother\n{CANARY}\n")
    loaded = configure(tmp_path, toml, env, dotenv=dotenv)
    assert any(CANARY in text for text in revealed(loaded.config))
    assert "canary" not in everything_printed(loaded)
    assert "***" in everything_printed(loaded)


def test_keys_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("# ours\n\n one \ntwo\r\none\n")
    expected = (Secret("one"), Secret("two"))
    for env in (
        {"API_KEYS": "./keys.txt"},
        {"API_KEYS": f"{tmp_path}/keys.txt"},
        {"API_KEYS_FILE": "keys.txt"},
    ):
        assert configure(tmp_path, None, env).config.auth.api_keys == expected
    for toml in (
        "{ file = 'keys.txt' }",
        "[{ file = 'keys.txt' }]",
        "'./keys.txt'",
        "[{ env = 'K' }, 'two']",
    ):
        loaded = configure(tmp_path, f"auth.api_keys = {toml}", {"K": "one"})
        assert loaded.config.auth.api_keys == expected


def test_files_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "key").write_text("inner")
    (tmp_path / "key").write_text("outer")
    (tmp_path / "etc" / "x.toml").write_text(
        A + "api_key = { file = 'key' }\n[upstreams.llama]\nkind='plain'"
    )
    env = {"DELTAWIRE_CONFIG": "etc/x.toml", "LLAMA_API_KEY_FILE": "key"}
    upstreams = configure(tmp_path, None, env).config.upstreams
    assert (upstreams["a"].api_key, upstreams["llama"].api_key) == (Secret("inner"), Secret("outer"))


def test_a_literal_secret_in_the_file_is_warned_of(tmp_path: Path) -> None:
    toml = (
        f"auth.api_keys = [{{ env = 'K' }}, '{CANARY}']\n{A}api_key = '{CANARY}'\nheaders = {{ X = 'y' }}\n"
    )
    warnings = configure(tmp_path, toml, {"K": "k"}).warnings
    assert [warning.partition(": a secret")[0] for warning in warnings] == [
        "d.toml:1: auth.api_keys",
        "d.toml:4: upstreams.a.api_key",
    ]


BAD = "sk canary \u00e9"
COMPLAINTS: list[tuple[str | None, dict[str, str]]] = [
    (f"auth.api_keys = ['{BAD}']", {}),
    (f"auth.api_keys = {{ canary = '{BAD}' }}", {}),
    (A + f"api_key = '{BAD}'", {}),
    (A + f"api_key = ['{BAD}']", {}),
    (A + "api_key = { env = 'MY_KEY' }", {"MY_KEY": BAD}),
    (A + "api_key = { file = 'bad.txt' }", {}),
    (A + f"base_url = 'http://me:{CANARY}@host/'", {}),
    (A + f"base_url = 'http://host/?key={CANARY}'", {}),
    (A + f"base_url = '{CANARY}'", {}),
    (A + f"headers = {{ X = '{BAD}' }}", {}),
    (f"server.host = '{BAD}'", {}),
    (f"cors.origins = 'https://me:{CANARY}@host'", {}),
    (None, {"API_KEYS": BAD}),
    (None, {"DATABASE_URL": f"mysql://u:{CANARY}@h/d"}),
    (None, {"DATABASE_URL": BAD}),
    (None, {"BLOBS_URL": f"s3://u:{CANARY}@bucket"}),
    (None, {"BLOBS_URL": f"s3://bucket?key={CANARY}"}),
    (None, {"API_KEYS": f"/{CANARY}"}),
    (None, {"API_KEYS_FILE": "bad.txt"}),
    (None, {"LLAMA_API_KEY": BAD}),
    (None, {"LLAMA_BASE_URL": f"http://{CANARY}@host"}),
    (None, {"DELTAWIRE_UPSTREAM_LLAMA_API_KEY": BAD}),
]


@pytest.mark.parametrize(("toml", "env"), COMPLAINTS)
def test_a_complaint_about_a_secret_does_not_tell_it(
    tmp_path: Path, toml: str | None, env: dict[str, str]
) -> None:
    (tmp_path / "bad.txt").write_text(BAD)
    (found,) = problems(tmp_path, toml, env)
    assert "canary" not in found.replace("{ canary", "")


def test_a_validator_of_a_kind_with_secrets_is_not_quoted(tmp_path: Path) -> None:
    class Picky(Acme):
        class Settings(Acme.Settings):
            def __init__(self, **given: Any) -> None:
                raise ValueError(f"I do not like {given}")

    toml = f"[upstreams.a]\nkind = 'picky'\ntoken = '{CANARY}'\n"
    found = problems(tmp_path, toml, kinds={"plain": Plain, "picky": Picky})
    assert found == ["d.toml:1: upstreams.a: these settings do not go together"]


def test_the_report_has_a_line_for_every_value_with_its_origin(tmp_path: Path) -> None:
    toml = (
        "[upstreams.'a.b']\nkind = 'acme'\ntags = ['x']\nheaders = { X = 'y' }\nloud = true\n"
        "[models.'m n']\nupstream = 'a.b'\npace = 0.25\n"
    )
    loaded = configure(tmp_path, toml, {"PORT": "81", "API_KEYS": "k,l"})
    lines = list(report(loaded))
    assert {line.partition(" = ")[0] for line in lines} == set(loaded.origins)
    for expected in (
        "server.port = 81  (env PORT)",
        "auth.api_keys = [***, ***]  (env API_KEYS)",
        "default_upstream = unset  (default)",
        'upstreams."a.b".tags = ["x"]  (d.toml:3)',
        'upstreams."a.b".headers = {"X" = ***}  (d.toml:4)',
        'upstreams."a.b".loud = true  (d.toml:5)',
        'upstreams."a.b".token = unset  (default)',
        'models."m n".pace = 0.25  (d.toml:8)',
        'models."m n".loud = true  (d.toml:5)',
    ):
        assert expected in lines


def test_how_values_are_shown() -> None:
    values = [None, True, 3, 2.5, 60.0, 'a"\n\u202e', ("a", 1), {"k": None}, Secret("x")]
    assert [shown(value) for value in values] == [
        "unset", "true", "3", "2.5", "60", '"a\\"\\n\\u202e"', '["a", 1]', '{"k" = unset}', "***",
    ]  # fmt: skip
