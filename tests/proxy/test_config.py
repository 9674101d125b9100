"""Which value wins, what it becomes, and where it says it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from config_setup import KINDS, Acme, configure

from proxy.config import Alias, Config, Limits, Secret, Server, Upstream, load, load_server
from translators.upstreams import UPSTREAMS


def value_at(config: Config, path: str) -> Any:
    found: Any = config
    for name in path.split("/"):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


A_PLAIN = '[upstreams.a]\nkind = "plain"\n'

# path, TOML, environment, .env, flags, value, origin
PRECEDENCE = [
    ("server.port", None, {}, None, {}, 3000, "default"),
    ("server.port", "[server]\nport = 1", {}, None, {}, 1, "d.toml:2"),
    ("server.port", "server = { port = 1 }", {}, None, {}, 1, "d.toml:1"),
    ("server.port", "\n# note\nserver.port = 1", {}, None, {}, 1, "d.toml:3"),
    ("server.port", "[server]\nport = 1", {}, "PORT=2", {}, 2, ".env PORT"),
    ("server.port", "[server]\nport = 1", {"PORT": "3"}, "PORT=2", {}, 3, "env PORT"),
    ("server.port", None, {"PORT": "3", "DELTAWIRE_PORT": "4"}, None, {}, 4, "env DELTAWIRE_PORT"),
    ("server.port", None, {"PORT": "3"}, "DELTAWIRE_PORT=2", {}, 3, "env PORT"),
    ("server.port", "server.port=1", {"PORT": "3"}, None, {"server.port": "5"}, 5, "flag --port"),
    ("server.port", None, {}, None, {"server.port": 5}, 5, "flag --port"),
    ("server.port", None, {"PORT": "3"}, None, {"server.port": None}, 3, "env PORT"),
    ("server.port", None, {"PORT": ""}, None, {}, 3000, "default"),
    ("server.port", None, {"PORT": " "}, "PORT=2", {}, 3000, "default"),
    ("server.host", None, {"HOST": "0.0.0.0", "API_KEYS": "k"}, None, {}, "0.0.0.0", "env HOST"),
    ("server.loop", None, {"DELTAWIRE_LOOP": "AsyncIO"}, None, {}, "asyncio", "env DELTAWIRE_LOOP"),
    ("server.drain", None, {"DELTAWIRE_DRAIN": "0"}, None, {}, 0.0, "env DELTAWIRE_DRAIN"),
    ("server.backlog", "[server]\nbacklog = 9", {}, None, {}, 9, "d.toml:2"),
    ("log.level", None, {"LOG_LEVEL": "debug"}, None, {}, "DEBUG", "env LOG_LEVEL"),
    ("log.level", None, {"LOG_LEVEL": "Warn"}, None, {}, "WARNING", "env LOG_LEVEL"),
    ("log.level", None, {}, None, {"log.level": "error"}, "ERROR", "flag --log-level"),
    ("log.requests", None, {"ENABLE_LOGGING": "off"}, None, {}, False, "env ENABLE_LOGGING"),
    ("log.format", None, {"LOG_FORMAT": "json"}, None, {}, "json", "env LOG_FORMAT"),
    ("cors.enabled", None, {"ENABLE_CORS": "No"}, None, {}, False, "env ENABLE_CORS"),
    ("cors.origins", None, {"ALLOWED_ORIGINS": "https://a.b, http://c:1 ,https://a.b"}, None, {},
     ("https://a.b", "http://c:1"), "env ALLOWED_ORIGINS"),
    ("cors.methods", None, {"ALLOWED_METHODS": "get,post"}, None, {}, ("GET", "POST"), "env ALLOWED_METHODS"),
    ("limits.connect_timeout", None, {"DELTAWIRE_CONNECT_TIMEOUT": "500ms"}, None, {}, 0.5,
     "env DELTAWIRE_CONNECT_TIMEOUT"),
    ("limits.first_byte_timeout", None, {"DELTAWIRE_FIRST_BYTE_TIMEOUT": "2m"}, None, {}, 120.0,
     "env DELTAWIRE_FIRST_BYTE_TIMEOUT"),
    ("limits.idle_timeout", "limits.idle_timeout = '1h'", {}, None, {}, 3600.0, "d.toml:1"),
    ("limits.write_timeout", None, {"DELTAWIRE_WRITE_TIMEOUT": "5s"}, None, {}, 5.0,
     "env DELTAWIRE_WRITE_TIMEOUT"),
    ("limits.keepalive", "[limits]\nkeepalive = 7.5", {}, None, {}, 7.5, "d.toml:2"),
    ("limits.max_body", None, {"DELTAWIRE_MAX_BODY": "1MiB"}, None, {}, 1048576, "env DELTAWIRE_MAX_BODY"),
    ("limits.max_body", None, {}, "DELTAWIRE_MAX_BODY='10m' # note", {}, 10485760, ".env DELTAWIRE_MAX_BODY"),
    ("limits.relay", None, {"DELTAWIRE_RELAY": "loop"}, None, {}, "loop", "env DELTAWIRE_RELAY"),
    ("auth.api_keys", None, {"API_KEYS": "a, b,,a"}, None, {}, (Secret("a"), Secret("b")), "env API_KEYS"),
    ("storage.data", None, {}, None, {}, "./data", "default"),
    ("storage.data", "[storage]\ndata = '/srv/d'", {}, None, {}, "/srv/d", "d.toml:2"),
    ("storage.data", "[storage]\ndata = 'a'", {"DELTAWIRE_DATA": "b"}, None, {}, "b", "env DELTAWIRE_DATA"),
    ("storage.data", None, {"DELTAWIRE_DATA": "b"}, None, {"storage.data": "c"}, "c", "flag --data"),
    ("storage.database_url", None, {}, None, {}, None, "default"),
    ("storage.database_url", None, {"DATABASE_URL": "postgresql://u:p@h/d"}, None, {},
     Secret("postgresql://u:p@h/d"), "env DATABASE_URL"),
    ("storage.database_url", "storage.database_url = { env = 'PG' }", {"PG": "postgres:///d?host=/run"}, None, {},
     Secret("postgres:///d?host=/run"), "d.toml:1"),
    ("storage.blobs_url", None, {"BLOBS_URL": "s3://box/p"}, None, {}, "s3://box/p", "env BLOBS_URL"),
    ("storage.max_file", None, {}, None, {}, 512 * 2**20, "default"),
    ("storage.max_file", None, {"DELTAWIRE_MAX_FILE": "1g"}, None, {}, 2**30, "env DELTAWIRE_MAX_FILE"),
    ("storage.quota", None, {}, None, {}, 10 * 2**30, "default"),
    ("storage.quota", None, {"DELTAWIRE_QUOTA": "0"}, None, {}, 0, "env DELTAWIRE_QUOTA"),
    ("storage.affinity", "storage.affinity = true", {}, None, {}, True, "d.toml:1"),
    ("extensions", "extensions = true", {}, None, {}, True, "d.toml:1"),
    ("default_upstream", None, {}, None, {}, "llama", "default"),
    ("default_upstream", None, {"ACME_BOT": "7"}, None, {}, "acme", "default"),
    ("default_upstream", A_PLAIN, {}, None, {}, None, "default"),
    ("default_upstream", A_PLAIN, {"DELTAWIRE_DEFAULT_UPSTREAM": "a"}, None, {}, "a",
     "env DELTAWIRE_DEFAULT_UPSTREAM"),
    ("default_upstream", "default_upstream = 'a'\n" + A_PLAIN, {}, None, {}, "a", "d.toml:1"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "toml", "env", "dotenv", "flags", "value", "origin"), PRECEDENCE)
def test_the_strongest_source_wins_and_is_named(
    tmp_path: Path, path: str, toml: Any, env: Any, dotenv: Any, flags: Any, value: Any, origin: str
) -> None:
    loaded = configure(tmp_path, toml, env, dotenv=dotenv, flags=flags)
    assert value_at(loaded.config, path.replace(".", "/")) == value
    assert str(loaded.origins[path]) == origin


# path of the upstream's value, TOML, environment, value, key of the origin, origin
LLAMA = "upstreams/llama"
UPSTREAM_VALUES = [
    (f"{LLAMA}/base_url", None, {}, "http://localhost:11434/v1", "upstreams.llama.base_url", "default"),
    (f"{LLAMA}/models", None, {}, ("llama3",), "upstreams.llama.models", "default"),
    (f"{LLAMA}/models", None, {"LLAMA_BASE_URL": "http://gpu/v1"}, ("llama3",), "upstreams.llama.models",
     "default"),
    (f"{LLAMA}/models", None, {"LLAMA_MODELS": "a/b:c, d"}, ("a/b:c", "d"), "upstreams.llama.models",
     "env LLAMA_MODELS"),
    (f"{LLAMA}/base_url", None, {"LLAMA_BASE_URL": "HTTP://gpu:8000/v1/"}, "http://gpu:8000/v1",
     "upstreams.llama.base_url", "env LLAMA_BASE_URL"),
    (f"{LLAMA}/api_key", None, {"LLAMA_API_KEY": "k"}, Secret("k"), "upstreams.llama.api_key",
     "env LLAMA_API_KEY"),
    (f"{LLAMA}/retries", None, {"DELTAWIRE_UPSTREAM_LLAMA_RETRIES": "0"}, 0, "upstreams.llama.retries",
     "env DELTAWIRE_UPSTREAM_LLAMA_RETRIES"),
    (f"{LLAMA}/options/reasoning", None, {"DELTAWIRE_UPSTREAM_LLAMA_REASONING": "drop"}, "drop",
     "upstreams.llama.reasoning", "env DELTAWIRE_UPSTREAM_LLAMA_REASONING"),
    (f"{LLAMA}/idle_timeout", None, {"DELTAWIRE_IDLE_TIMEOUT": "9"}, 9.0, "upstreams.llama.idle_timeout",
     "env DELTAWIRE_IDLE_TIMEOUT"),
    ("upstreams/acme/idle_timeout", None, {"ACME_BOT": "7"}, 300.0, "upstreams.acme.idle_timeout", "default"),
    ("upstreams/acme/idle_timeout", None, {"ACME_BOT": "7", "DELTAWIRE_IDLE_TIMEOUT": "9"}, 9.0,
     "upstreams.acme.idle_timeout", "env DELTAWIRE_IDLE_TIMEOUT"),
    ("upstreams/acme/options", None, {"ACME_BOT": "7", "ACME_TOKEN": "t"},
     Acme.Settings(bot="7", token="t"), "upstreams.acme.token", "env ACME_TOKEN"),
    ("upstreams/acme/options/tags", None, {"ACME_BOT": "7", "DELTAWIRE_UPSTREAM_ACME_TAGS": "x, y"},
     ("x", "y"), "upstreams.acme.tags", "env DELTAWIRE_UPSTREAM_ACME_TAGS"),
    ("upstreams/acme/options/pace", None, {"ACME_BOT": "7", "DELTAWIRE_UPSTREAM_ACME_PACE": "0.25"},
     0.25, "upstreams.acme.pace", "env DELTAWIRE_UPSTREAM_ACME_PACE"),
    ("upstreams/acme/options/depth", None, {"ACME_BOT": "7", "DELTAWIRE_UPSTREAM_ACME_DEPTH": "-4"},
     -4, "upstreams.acme.depth", "env DELTAWIRE_UPSTREAM_ACME_DEPTH"),
    ("upstreams/a/kind", A_PLAIN, {}, "plain", "upstreams.a.kind", "d.toml:2"),
    ("upstreams/a/models", A_PLAIN, {}, ("llama3",), "upstreams.a.models", "default"),
    ("upstreams/a/models", A_PLAIN + "base_url = 'http://gpu'", {}, (), "upstreams.a.models", "default"),
    ("upstreams/a/base_url", A_PLAIN + "base_url = 'http://a'", {"DELTAWIRE_UPSTREAM_A_BASE_URL": "http://b"},
     "http://b", "upstreams.a.base_url", "env DELTAWIRE_UPSTREAM_A_BASE_URL"),
    ("upstreams/a/base_url", A_PLAIN + "base_url = 'http://a'", {"LLAMA_BASE_URL": "http://b"},
     "http://a", "upstreams.a.base_url", "d.toml:3"),
    ("upstreams/llama/base_url", A_PLAIN.replace(".a]", ".llama]"), {"LLAMA_BASE_URL": "http://b"},
     "http://b", "upstreams.llama.base_url", "env LLAMA_BASE_URL"),
    ("upstreams/a/headers", A_PLAIN + "headers = { X-Team = 'blue' }", {}, {"X-Team": "blue"},
     "upstreams.a.headers", "d.toml:3"),
    ("upstreams/a/options/loud", "[upstreams.a]\nkind = 'acme'\nloud = true\n", {}, True,
     "upstreams.a.loud", "d.toml:3"),
    ("upstreams/a/options/pace", "[upstreams.a]\nkind = 'acme'\npace = 2\n", {}, 2.0,
     "upstreams.a.pace", "d.toml:3"),
    ("upstreams/a/models", A_PLAIN + "models = [\n  'x', # one\n  'y',\n]", {}, ("x", "y"),
     "upstreams.a.models", "d.toml:3"),
    ("-", "[upstreams.'a.b']\nkind = 'strict'\nagent = 'z'", {"DELTAWIRE_UPSTREAM_A_B_LEVEL": "2"},
     None, 'upstreams."a.b".level', "env DELTAWIRE_UPSTREAM_A_B_LEVEL"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "toml", "env", "value", "key", "origin"), UPSTREAM_VALUES)
def test_upstreams_by_file_and_environment(
    tmp_path: Path, path: str, toml: Any, env: Any, value: Any, key: str, origin: str
) -> None:
    loaded = configure(tmp_path, toml, env)
    if path != "-":
        assert value_at(loaded.config, path) == value
    assert str(loaded.origins[key]) == origin


def test_several_kinds_in_the_environment_make_several_upstreams(tmp_path: Path) -> None:
    env = {"ACME_TOKEN_FILE": "token", "LLAMA_MODELS": "x", "STRICT_AGENT": "q"}
    (tmp_path / "token").write_text("t-1\n")
    config = configure(tmp_path, "[server]\nport = 1", env).config
    assert list(config.upstreams) == ["llama", "acme", "strict"]
    assert config.default_upstream == "llama"
    assert config.upstreams["acme"].options.token == "t-1"


ALIASES = """
[upstreams.support]
kind = "acme"
pace = 1.5
[models."gpt-4o-mini"]
upstream = "support"
model = "llama3"
bot = "7342"
[models.plain]
upstream = "support"
"""


def test_an_alias_has_the_upstream_s_settings_with_its_own_changes(tmp_path: Path) -> None:
    loaded = configure(tmp_path, ALIASES)
    assert loaded.config.models == {
        "gpt-4o-mini": Alias("support", "llama3", Acme.Settings(bot="7342", pace=1.5)),
        "plain": Alias("support", None, Acme.Settings(pace=1.5)),
    }
    origins = {key: str(origin) for key, origin in loaded.origins.items()}
    assert origins["models.gpt-4o-mini.bot"] == "d.toml:8"
    assert origins["models.gpt-4o-mini.pace"] == "d.toml:4"
    assert origins["models.gpt-4o-mini.depth"] == "default"
    assert origins["models.plain.model"] == "default"


def test_an_alias_may_point_at_the_upstream_of_the_environment(tmp_path: Path) -> None:
    config = configure(tmp_path, "[models.gpt]\nupstream = 'llama'\nreasoning = 'drop'").config
    assert config.models["gpt"].options.reasoning == "drop"
    assert config.upstreams["llama"].options.reasoning == "split"
    assert config.default_upstream == "llama"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("server.port = 77")
    loaded = configure(tmp_path, None, {"DELTAWIRE_CONFIG": "other.toml"})
    assert (loaded.config.server.port, str(loaded.origins["server.port"])) == (77, "other.toml:1")
    assert (
        configure(tmp_path, "server.port = 78", {"DELTAWIRE_CONFIG": "other.toml"}).config.server.port == 78
    )


def test_every_real_kind_fits(tmp_path: Path) -> None:
    toml = "".join(f"[upstreams.{name}]\nkind = '{name}'\n" for name in UPSTREAMS)
    config = configure(tmp_path, toml, kinds=UPSTREAMS).config
    assert list(config.upstreams) == list(UPSTREAMS)
    for name, kind in UPSTREAMS.items():
        assert config.upstreams[name].options == kind.Settings()
    alone = configure(tmp_path, None, kinds=UPSTREAMS).config
    assert [upstream.name for upstream in alone.upstreams.values()] == ["llama"]


def test_the_classes_can_be_made_by_hand() -> None:
    assert Config() == Config(server=Server(), limits=Limits(), upstreams={}, models={})
    assert Upstream("a", "plain").idle_timeout == Limits().idle_timeout
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().extensions = True  # type: ignore[misc]


WARNED = [
    ({"HOST": "0.0.0.0"}, ["ANYONE who can reach 0.0.0.0 may use this gateway: no API_KEYS are set"]),
    ({"HOST": "gateway.example.org"}, ["ANYONE who can reach gateway.example.org may use this gateway: "
                                       "no API_KEYS are set"]),
    ({"HOST": "0.0.0.0", "API_KEYS": "k"}, []),
    ({"HOST": "127.8.9.1"}, []),
    ({"HOST": "::1"}, []),
    ({"HOST": "localhost"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("env", "warnings"), WARNED)
def test_an_open_door_is_called_one(tmp_path: Path, env: dict[str, str], warnings: list[str]) -> None:
    assert list(configure(tmp_path, None, env).warnings) == warnings


def test_a_model_listed_twice_is_warned_of(tmp_path: Path) -> None:
    toml = "[upstreams.a]\nkind='plain'\nmodels=['m']\n[upstreams.b]\nkind='plain'\nmodels=['m']\n"
    warnings = configure(tmp_path, toml).warnings
    assert warnings == ("model m is listed by a and by b: a answers for it",)


def test_where_the_demo_listens(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOST=::1\nDELTAWIRE_WHAT=1\n")
    server = load_server(environ={"PORT": "81", "API_KEYS": ""}, cwd=tmp_path, flags={"server.port": "82"})
    assert (server.host, server.port) == ("::1", 82)


def test_loading_needs_neither_the_process_nor_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.chdir("/")
    assert load(path=None, environ={}, cwd=tmp_path, flags={}, kinds=KINDS).config.server.port == 3000


def test_what_dotenv_says_to_other_tools_is_kept_for_them(tmp_path: Path) -> None:
    """Amazon's own tools look for their names in the environment of the process, where ``.env`` is weaker."""
    dotenv = "AWS_REGION=eu-central-1\nAWS_PROFILE=dev\nAWS_SESSION_TOKEN=\nOTHER=1\n"
    loaded = configure(tmp_path, None, {"AWS_PROFILE": "prod"}, dotenv=dotenv)
    assert loaded.for_tools == {"AWS_REGION": "eu-central-1"}
    assert "eu-central-1" not in repr(loaded)


def test_keys_of_other_commands_are_no_mistake(tmp_path: Path) -> None:
    names = ("DELTAWIRE_BENCH_KEY", "DELTAWIRE_COMPARE_LEFT_KEY", "DELTAWIRE_COMPARE_RIGHT_KEY")
    assert configure(tmp_path, None, dict.fromkeys(names, "sk-x")).warnings == ()
