"""The command: what it prints, where, and with which exit code; by click's runner and as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import cli
from proxy.config import OPTIONS, Loaded
from translators.upstreams import UPSTREAMS

CANARY = "sk-canary-0123456789"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the command in an empty directory with nothing but the given environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(cli, arguments, prog_name="deltawire")

    yield run


class Called(list[Any]):
    """Stands where the server and the demo are, since a test of the command needs no sockets."""

    def install(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
        module = types.ModuleType(f"proxy.{name}")

        def run(*arguments: Any) -> int:
            self.append(arguments)
            return code

        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"proxy.{name}", module)


def test_version(ran: Any) -> None:
    result = ran("--version")
    assert (result.exit_code, result.output) == (0, f"deltawire {metadata.version('deltawire')}\n")


@pytest.mark.parametrize("command", [(), ("serve",), ("demo",), ("check",)])
def test_help_has_examples(ran: Any, command: tuple[str, ...]) -> None:
    result = ran(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"deltawire {' '.join(command)}".strip() in result.output


def test_the_help_of_serve_names_every_variable_and_flag(ran: Any) -> None:
    text = ran("serve", "-h").output
    for option in OPTIONS:
        assert option.metadata["env"][-1] in text
        assert option.metadata["flag"] in text
    for kind in UPSTREAMS.values():
        assert all(name in text for name in kind.environment)


def test_every_setting_is_explained() -> None:
    assert [option.path for option in OPTIONS if not option.metadata["click"]["help"]] == []


def test_check_without_anything(ran: Any) -> None:
    result = ran("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "server.port = 3000  (default)\n" in result.stdout
    assert 'upstreams.llama.base_url = "http://localhost:11434/v1"  (default)\n' in result.stdout
    assert result.stdout.endswith("\nok\n")


def test_check_takes_file_environment_dotenv_and_flags(ran: Any, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(f"[upstreams.a]\nkind = 'openai'\napi_key = '{CANARY}'\n")
    (tmp_path / ".env").write_text(f"API_KEYS={CANARY}\nLOG_LEVEL=debug\n")
    result = ran("check", "--config", "d.toml", "--log-level", "error", "--relay=loop", HOST="0.0.0.0")
    assert result.exit_code == 0
    for line in (
        'server.host = "0.0.0.0"  (env HOST)',
        'log.level = "ERROR"  (flag --log-level)',
        'limits.relay = "loop"  (flag --relay)',
        "auth.api_keys = [***]  (.env API_KEYS)",
        "upstreams.a.api_key = ***  (d.toml:3)",
    ):
        assert line in result.stdout.splitlines()
    assert result.stderr.startswith("WARNING: d.toml:3: upstreams.a.api_key: a secret stands in the file")
    assert "canary" not in result.output


MISTAKES = [
    (("check", "--port", "x"), {}, 'flag --port: server.port: expected a whole number, got "x"\n'),
    (("serve", "--port", "x"), {}, 'flag --port: server.port: expected a whole number, got "x"\n'),
    (("demo", "--port", "x"), {}, 'flag --port: server.port: expected a whole number, got "x"\n'),
    (("check",), {"DELTAWIRE_PROT": "1"}, "env DELTAWIRE_PROT: unknown name; did you mean DELTAWIRE_PORT?\n"),
    (("check", "--config", "no.toml"), {}, "no.toml: cannot be read (No such file or directory)\n"),
    (("serve",), {"DELTAWIRE_CONFIG": "no.toml"}, "no.toml: cannot be read (No such file or directory)\n"),
    (("serve",), {"API_KEYS": f"/{CANARY}"}, "env API_KEYS: auth.api_keys: a key that looks like a path "
     "names a file that cannot be read (No such file or directory)\n"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "environment", "message"), MISTAKES)
def test_mistakes_go_to_stderr_with_exit_code_2(
    ran: Any, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    result = ran(*arguments, **environment)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


def test_a_line_for_each_mistake(ran: Any) -> None:
    result = ran("serve", PORT="x", LOG_LEVEL="y", DELTAWIRE_Z="1")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 3


def test_an_unknown_flag_is_a_usage_error(ran: Any) -> None:
    result = ran("serve", "--prot", "1")
    assert result.exit_code == 2
    assert "--port" in result.stderr


@pytest.mark.parametrize("code", [0, 1])
def test_serve_hands_over_what_check_shows(ran: Any, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    called = Called()
    called.install(monkeypatch, "server", code)
    result = ran("serve", "--host", "0.0.0.0", "--port", "8080", "--drain", "0", LLAMA_API_KEY=CANARY)
    assert result.exit_code == code
    ((loaded,),) = called
    assert isinstance(loaded, Loaded)
    assert (loaded.config.server.port, loaded.config.server.drain) == (8080, 0.0)
    assert loaded.config.upstreams["llama"].api_key.reveal() == CANARY
    assert loaded.warnings[0].startswith("ANYONE who can reach 0.0.0.0 may use this gateway")
    assert "canary" not in result.output


DEMOS = [
    ((), {}, ("127.0.0.1", 3000), ""),
    ((), {"PORT": "81", "HOST": "::1"}, ("::1", 81), ""),
    (("--port", "82"), {"PORT": "81"}, ("127.0.0.1", 82), ""),
    (("--host", "0.0.0.0"), {"DELTAWIRE_NOT_OF_INTEREST": "1"}, ("0.0.0.0", 3000), "WARNING: ANYONE"),
]


@pytest.mark.parametrize(("arguments", "environment", "address", "warning"), DEMOS)
def test_demo(
    ran: Any, monkeypatch: pytest.MonkeyPatch, arguments: Any, environment: Any, address: Any, warning: str
) -> None:
    called = Called()
    called.install(monkeypatch, "demo", 0)
    result = ran("demo", *arguments, **environment)
    assert (result.exit_code, called) == (0, [address])
    assert result.stderr.startswith(warning) and bool(result.stderr) == bool(warning)


def test_check_online_asks_and_fails_if_nobody_answers(ran: Any) -> None:
    result = ran("check", "--online", LLAMA_BASE_URL="http://127.0.0.1:9", LLAMA_API_KEY=CANARY)
    assert result.exit_code == 2
    assert result.stderr.startswith("llama: FAILED: cannot be reached")
    assert not result.stdout.endswith("ok\n")
    assert "canary" not in result.output


def test_check_online_is_content_without_addresses(ran: Any, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text("[upstreams.b]\nkind = 'builtin'\n")
    result = ran("check", "--online", "--config", "d.toml")
    assert result.exit_code == 0
    *_, upstream, storage, last = result.stdout.splitlines()
    assert upstream == "b: ok: no address to ask (0 ms)"
    assert storage.startswith("storage: ok: nothing is kept yet; ./data can be made (")
    assert last == "ok"
    assert not (tmp_path / "data").exists()


# As a process.


def run(arguments: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        check=False,
        cwd=cwd,
        env={"PATH": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=15,
    )


@pytest.mark.parametrize("command", [["-m", "proxy"], [str(Path(sys.executable).with_name("deltawire"))]])
def test_the_installed_command(tmp_path: Path, command: list[str]) -> None:
    done = run([sys.executable, *command, "check"], tmp_path, PORT="4444")
    assert (done.returncode, done.stderr) == (0, "")
    assert "server.port = 4444  (env PORT)" in done.stdout
    bad = run([sys.executable, *command, "check"], tmp_path, PORT="q")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == 'env PORT: server.port: expected a whole number, got "q"\n'
    assert "Usage: deltawire " in run([sys.executable, *command, "serve", "-h"], tmp_path).stdout


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, proxy.cli;"
        "print([name for name in ('aiohttp', 'asyncio', 'uvloop', 'aiobotocore', 'proxy.server', 'proxy.probe')"
        " if name in sys.modules])"
    )
    done = run([sys.executable, "-c", code], tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")
