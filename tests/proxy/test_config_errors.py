"""Every complaint, word for word: where it is, which setting, what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_setup import KINDS, configure, problems

from proxy.config import ConfigError, load, load_server

UP = "[upstreams.a]\nkind = 'plain'\n"
ACME = "[upstreams.a]\nkind = 'acme'\n"

IN_FILE = [
    ("[server]\nprot = 1", "d.toml:2: server.prot: unknown key; did you mean port?"),
    ("[server]\nbase-log = 1", "d.toml:2: server.base-log: unknown key; did you mean backlog?"),
    ("[serve]\nport = 1", "d.toml:1: serve: unknown key; did you mean server?"),
    ("[cors]\nzzz = 1", "d.toml:2: cors.zzz: unknown key; known here: enabled, methods, origins"),
    ("server = 5", "d.toml:1: server: expected a table [server]"),
    ("[[server]]\nport = 1", "d.toml:1: server: expected a table [server]"),
    ("server.port = '80'", "d.toml:1: server.port: expected a whole number, got \"80\""),
    ("server.port = true", "d.toml:1: server.port: expected a whole number, got a boolean"),
    ("server.port = 65536", "d.toml:1: server.port: expected a whole number from 0 to 65535"),
    ("server.port = -1", "d.toml:1: server.port: expected a whole number from 0 to 65535"),
    ("server.port = 1979-05-27", "d.toml:1: server.port: expected a whole number, got a date or time"),
    ("server.host = 'a b'",
     'd.toml:1: server.host: expected a host name or an address such as "127.0.0.1" or "::"'),
    ("server.host = 1", "d.toml:1: server.host: expected text, got a whole number"),
    ("server.loop = 'trio'", 'd.toml:1: server.loop: expected one of auto, uvloop, asyncio, got "trio"'),
    ("server.loop = 3", "d.toml:1: server.loop: expected one of auto, uvloop, asyncio, got a whole number"),
    ("log.level = 'loud'",
     'd.toml:1: log.level: expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, WARN, got "loud"'),
    ("log.requests = 'yes'", 'd.toml:1: log.requests: expected true or false, got "yes"'),
    ("cors.origins = 'https://a.b/'",
     'd.toml:1: cors.origins: expected origins such as "https://chat.example.org", without a path, or "*"'),
    ("cors.origins = { a = 1 }", "d.toml:1: cors.origins: expected an array, got a table"),
    ("cors.methods = ['FETCH']",
     "d.toml:1: cors.methods: expected methods out of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, "
     'got "FETCH"'),
    ("limits.idle_timeout = '5 parsecs'",
     'd.toml:1: limits.idle_timeout: expected a time such as 5, "5s", "500ms" or "2m", got "5 parsecs"'),
    ("limits.idle_timeout = [5]",
     'd.toml:1: limits.idle_timeout: expected a time such as 5, "5s", "500ms" or "2m", got an array'),
    ("limits.idle_timeout = 0", "d.toml:1: limits.idle_timeout: expected a time above zero"),
    ("limits.idle_timeout = -1", "d.toml:1: limits.idle_timeout: expected a time between 0 and 7 days"),
    ("limits.idle_timeout = nan", "d.toml:1: limits.idle_timeout: expected a time between 0 and 7 days"),
    ("limits.idle_timeout = inf", "d.toml:1: limits.idle_timeout: expected a time between 0 and 7 days"),
    ("limits.max_body = '1 elephant'",
     'd.toml:1: limits.max_body: expected a size such as 10485760, "10MiB" or "512k", got "1 elephant"'),
    ("limits.max_body = 0.5",
     "d.toml:1: limits.max_body: expected a whole number of bytes between 1 and 1 TiB"),
    ("auth.api_keys = ['']", "d.toml:1: auth.api_keys: expected at least one key"),
    ("auth.api_keys = 4",
     'd.toml:1: auth.api_keys: expected text, { env = "NAME" } or { file = "path" }, got a whole number'),
    ("auth.api_keys = [{ env = 'A', file = 'b' }]",
     'd.toml:1: auth.api_keys: expected text, { env = "NAME" } or { file = "path" }, got a table'),
    ("auth.api_keys = { env = 'NOPE' }",
     'd.toml:1: auth.api_keys: environment variable "NOPE" is not set'),
    ("auth.api_keys = { file = 'nope' }",
     'd.toml:1: auth.api_keys: file "nope" cannot be read (No such file or directory)'),
    ("auth.api_keys = 'a b'",
     "d.toml:1: auth.api_keys: expected a key of 1 to 4096 visible ASCII characters without spaces"),
    ("default_upstream = 'b'\n" + UP, "d.toml:1: default_upstream: no such upstream; known here: a"),
    ("default_upstream = 'lama'", "d.toml:1: default_upstream: no such upstream; did you mean llama?"),
    ("upstreams = 3", "d.toml:1: upstreams: expected tables [upstreams.<name>], got a whole number"),
    ("[upstreams]\na = 3", "d.toml:2: upstreams.a: expected a table, got a whole number"),
    ("[upstreams.a]\nbase_url = 'http://x'",
     "d.toml:1: upstreams.a: kind is missing; known here: plain, acme, strict"),
    ("[upstreams.a]\nkind = 3", "d.toml:2: upstreams.a.kind: expected text, got a whole number"),
    ("[upstreams.a]\nkind = 'plane'", "d.toml:2: upstreams.a.kind: unknown kind; did you mean plain?"),
    ("[upstreams.'a b']\nkind = 'plain'",
     "d.toml:1: upstreams.\"a b\": expected a name of letters, digits, '.', '_' and '-', at most 64"),
    (UP + "base_uri = 'http://x'", "d.toml:3: upstreams.a.base_uri: unknown key; did you mean base_url?"),
    (UP + "bot = 'x'", "d.toml:3: upstreams.a.bot: unknown key; known here: api_key, base_url, "
     "connect_timeout, first_byte_timeout, headers, idle_timeout, kind, max_concurrency, max_queue, models, "
     "reasoning, retries"),
    (UP + "base_url = 'ftp://x'",
     'd.toml:3: upstreams.a.base_url: expected an address such as "http://127.0.0.1:11434/v1"'),
    (UP + "base_url = 'http://x/v1?a=1'",
     "d.toml:3: upstreams.a.base_url: expected an address without query and fragment"),
    (UP + "base_url = 'http://me:pw@x/v1'",
     "d.toml:3: upstreams.a.base_url: expected an address without user and password; "
     "a key belongs in api_key"),
    (UP + "base_url = 'http://x:99999'",
     "d.toml:3: upstreams.a.base_url: "
     "expected an address whose host, port and path are plain ASCII and legal"),
    (UP + "models = ['']",
     "d.toml:3: upstreams.a.models: expected model ids of 1 to 256 printable characters"),
    (UP + "models = ['a\\u0007']".replace("'", '"'),
     "d.toml:3: upstreams.a.models: expected model ids of 1 to 256 printable characters"),
    (UP + "models = [1]", "d.toml:3: upstreams.a.models: expected text, got a whole number"),
    (UP + "retries = 11", "d.toml:3: upstreams.a.retries: expected a whole number from 0 to 10"),
    (UP + "max_concurrency = 0",
     "d.toml:3: upstreams.a.max_concurrency: expected a whole number from 1 to 1000000"),
    (UP + "headers = 'X: y'", 'd.toml:3: upstreams.a.headers: expected a table, got "X: y"'),
    (UP + "headers = { 'X Y' = 'z' }", 'd.toml:3: upstreams.a.headers: "X Y" is not a legal header name'),
    (UP + "headers = { Te = 'z' }", "d.toml:3: upstreams.a.headers: header Te is the gateway's own to set"),
    (UP + 'headers = { X = "a\\nb" }',
     "d.toml:3: upstreams.a.headers: header X has a value that is not printable ASCII"),
    (UP + "headers = { X = 'a', x = 'b' }", "d.toml:3: upstreams.a.headers: a header is given twice"),
    (UP + "headers = { X = 3 }", "d.toml:3: upstreams.a.headers: expected text, "
     '{ env = "NAME" } or { file = "path" }, got a whole number'),
    (UP + "reasoning = 'splat'",
     'd.toml:3: upstreams.a.reasoning: expected one of split, keep, drop, got "splat"'),
    (ACME + "pace = 'slow'", 'd.toml:3: upstreams.a.pace: expected a number, got "slow"'),
    (ACME + "pace = inf", "d.toml:3: upstreams.a.pace: expected a finite number"),
    (ACME + "depth = 1.5", "d.toml:3: upstreams.a.depth: expected a whole number, got a number"),
    ("[upstreams.s]\nkind = 'strict'", "d.toml:1: upstreams.s: agent is missing "
     "(env DELTAWIRE_UPSTREAM_S_AGENT sets it, too)"),
    ("[upstreams.s]\nkind = 'strict'\nagent = 3",
     "d.toml:3: upstreams.s.agent: expected text, got a whole number"),
    ("[upstreams.s]\nkind = 'strict'\nagent = 'x'\nlevel = 9",
     "d.toml:1: upstreams.s: 'level' must be <= 5: 9"),
    ("models = 3", "d.toml:1: models: expected tables [models.<name>], got a whole number"),
    ("[models.m]\nmodel = 'x'", "d.toml:1: models.m: upstream is missing; known here: llama"),
    ("[models.m]\nupstream = 3", "d.toml:2: models.m.upstream: expected text, got a whole number"),
    ("[models.m]\nupstream = 'b'", "d.toml:2: models.m.upstream: no such upstream; known here: llama"),
    ('[models."a.\\u0007"]\nupstream = \'llama\'',
     'd.toml:1: models."a.\\u0007": expected model ids of 1 to 256 printable characters'),
    ("[models.m]\nupstream = 'llama'\nbot = 'x'",
     "d.toml:3: models.m.bot: unknown key; known here: model, reasoning, upstream"),
    ("[models.m]\nupstream = 'llama'\nreasoning = 1",
     "d.toml:3: models.m.reasoning: expected one of split, keep, drop, got a whole number"),
    ("a = " + "[" * 100000, "d.toml: is not TOML: nested too deep, or a number too long"),
    ("a = " + "9" * 5000, "d.toml: is not TOML: nested too deep, or a number too long"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "problem"), IN_FILE)
def test_what_is_wrong_in_a_file(tmp_path: Path, toml: str, problem: str) -> None:
    assert problems(tmp_path, toml) == [problem]


IN_ENVIRONMENT = [
    ({"PORT": "abc"}, 'env PORT: server.port: expected a whole number, got "abc"'),
    ({"PORT": "8_0"}, 'env PORT: server.port: expected a whole number, got "8_0"'),
    ({"PORT": "9" * 30}, f'env PORT: server.port: expected a whole number, got "{"9" * 30}"'),
    ({"PORT": "\udc80"}, "env PORT: server.port: expected text that is legal UTF-8"),
    ({"ENABLE_CORS": "maybe"}, 'env ENABLE_CORS: cors.enabled: expected true or false, got "maybe"'),
    ({"DELTAWIRE_PROT": "1"}, "env DELTAWIRE_PROT: unknown name; did you mean DELTAWIRE_PORT?"),
    ({"DELTAWIRE_UPSTREAM_LAMA_RETRIES": "1"}, "env DELTAWIRE_UPSTREAM_LAMA_RETRIES: unknown name; "
     "did you mean DELTAWIRE_UPSTREAM_LLAMA_RETRIES?"),
    ({"DELTAWIRE_UPSTREAM_LLAMA_HEADERS": "1"}, "env DELTAWIRE_UPSTREAM_LLAMA_HEADERS: unknown name; "
     "did you mean DELTAWIRE_UPSTREAM_LLAMA_MODELS?"),
    ({"DELTAWIRE_UPSTREAM_LLAMA_RETRIES": "x"},
     'env DELTAWIRE_UPSTREAM_LLAMA_RETRIES: upstreams.llama.retries: expected a whole number, got "x"'),
    ({"LLAMA_BASE_URL": "localhost:11434"}, "env LLAMA_BASE_URL: upstreams.llama.base_url: "
     'expected an address such as "http://127.0.0.1:11434/v1"'),
    ({"ACME_BOT": "b", "DELTAWIRE_UPSTREAM_ACME_PACE": "1e5"},
     'env DELTAWIRE_UPSTREAM_ACME_PACE: upstreams.acme.pace: expected a number, got "1e5"'),
    ({"API_KEYS": " , "}, "env API_KEYS: auth.api_keys: expected at least one key"),
    ({"API_KEYS": "/no/such"}, "env API_KEYS: auth.api_keys: a key that looks like a path names a file that "
     "cannot be read (No such file or directory)"),
    ({"API_KEYS_FILE": "nope"},
     'env API_KEYS_FILE: auth.api_keys: file "nope" cannot be read (No such file or directory)'),
    ({"API_KEYS_FILE": "a\0b"},
     'env API_KEYS_FILE: auth.api_keys: file "a\\u0000b" cannot be read (not a legal path)'),
    ({"API_KEYS_FILE": "."}, 'env API_KEYS_FILE: auth.api_keys: file "." cannot be read (Is a directory)'),
    ({"API_KEYS_FILE": "/dev/zero"},
     'env API_KEYS_FILE: auth.api_keys: file "/dev/zero" cannot be read (larger than 1 MiB)'),
    ({"API_KEYS_FILE": "empty"}, "env API_KEYS_FILE: auth.api_keys: expected at least one key"),
    ({"API_KEYS": "a", "API_KEYS_FILE": "keys"},
     "env API_KEYS_FILE: API_KEYS is set as well; keep one of the two"),
    ({"DELTAWIRE_CONFIG": "nope.toml"}, "nope.toml: cannot be read (No such file or directory)"),
    ({"DELTAWIRE_CONFIG": "latin"}, "latin: is not UTF-8 (byte 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("env", "problem"), IN_ENVIRONMENT)
def test_what_is_wrong_in_the_environment(tmp_path: Path, env: dict[str, str], problem: str) -> None:
    (tmp_path / "empty").write_text("# nothing\n\n")
    (tmp_path / "keys").write_text("a\n")
    (tmp_path / "latin").write_bytes(b"\xe9")
    assert problems(tmp_path, None, env) == [problem]


@pytest.mark.parametrize(
    ("dotenv", "expected"),
    [
        ("PORT=x", ['.env PORT: server.port: expected a whole number, got "x"']),
        ("A=1\nB='open\n", [".env:2: expected NAME=value (a quote may be missing)"]),
        ("DELTAWIRE_X=1", [".env DELTAWIRE_X: unknown name"]),
    ],
)
def test_what_is_wrong_in_dotenv(tmp_path: Path, dotenv: str, expected: list[str]) -> None:
    found = problems(tmp_path, None, dotenv=dotenv)
    assert [line.partition(";")[0] for line in found] == expected


def test_a_dotenv_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    assert problems(tmp_path) == [".env: is not UTF-8 (byte 2)"]


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "[server]\nport = \n")
    assert found.startswith("d.toml: is not TOML: ") and "line 2" in found


def test_what_is_wrong_with_a_flag(tmp_path: Path) -> None:
    found = problems(tmp_path, None, flags={"server.port": "x", "nope": 1})
    assert found == [
        'flag --port: server.port: expected a whole number, got "x"',
        "flag nope: no such setting",
    ]


def test_all_problems_at_once(tmp_path: Path) -> None:
    toml = "server.port = 'x'\nlimits.idle = 3\n[upstreams.a]\nkind='plain'\nretries=99\n"
    toml += "[models.m]\nupstream='q'\n"
    found = problems(tmp_path, toml, {"LOG_LEVEL": "loud", "DELTAWIRE_Q": "1"}, dotenv="A='")
    where = [line.partition(": ")[0] for line in found]
    expected = [".env:1", "d.toml:1", "d.toml:2", "d.toml:5", "d.toml:7", "env DELTAWIRE_Q", "env LOG_LEVEL"]
    assert sorted(where) == expected


def test_an_upstream_that_is_refused_is_not_missed_elsewhere(tmp_path: Path) -> None:
    toml = "default_upstream = 'a'\n[upstreams.a]\nkind = 'x'\n[models.m]\nupstream = 'a'\n"
    assert problems(tmp_path, toml) == [
        "d.toml:3: upstreams.a.kind: unknown kind; known here: acme, plain, strict"
    ]
    toml = "[upstreams.a]\nkind = 'strict'\n[models.m]\nupstream = 'a'\nlevel = 'x'\n"
    assert [line.partition(": ")[0] for line in problems(tmp_path, toml)] == ["d.toml:1", "d.toml:5"]


def test_the_settings_of_an_alias_must_go_together_too(tmp_path: Path) -> None:
    toml = "[upstreams.a]\nkind = 'strict'\nagent = 'x'\n[models.m]\nupstream = 'a'\nlevel = 9\n"
    assert problems(tmp_path, toml) == ["d.toml:4: models.m: 'level' must be <= 5: 9"]


def test_two_upstreams_that_share_an_environment_name(tmp_path: Path) -> None:
    toml = "[upstreams.'a.b']\nkind = 'plain'\n[upstreams.a-b]\nkind = 'plain'\n"
    configure(tmp_path, toml)
    found = problems(tmp_path, toml, {"DELTAWIRE_UPSTREAM_A_B_RETRIES": "1"})
    assert found == ["env DELTAWIRE_UPSTREAM_A_B_…: means both upstream a.b and upstream a-b"]


def test_names_of_kinds_that_are_not_in_use_are_known(tmp_path: Path) -> None:
    class Odd(KINDS["acme"]):  # type: ignore[misc]
        environment = {"DELTAWIRE_ODD": "bot"}

    configure(tmp_path, UP, {"DELTAWIRE_ODD": "1"}, kinds={**KINDS, "odd": Odd})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path=Path("no\nfile.toml"), environ={}, cwd=tmp_path, flags={}, kinds=KINDS)
    assert caught.value.problems == ["no\\u000afile.toml: cannot be read (No such file or directory)"]


def test_the_demo_complains_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"env PORT: server\.port: expected a whole number"):
        load_server(environ={"PORT": "x"}, cwd=tmp_path, flags={})


def test_every_problem_is_one_printable_line(tmp_path: Path) -> None:
    hostile: dict[str, Any] = {"DELTAWIRE_A\n\x1b[2J": "1", "PORT": "a\nb\x1b]0;x\x07\u202e"}
    toml = '"a\\nb\\u001b" = 1\n[server]\nhost = "\\u001b[31m"\n[models."\\r\\n"]\nupstream = "\\n"\n'
    found = problems(tmp_path, toml, hostile)
    assert len(found) == 6
    assert all(line.isprintable() for line in found), found
