"""What is shipped: a wheel with the two packages and nothing else, one command, and a container description.

The wheel is built as pip builds it and unpacked into a directory of its own, so what runs there is the wheel and
not this checkout. There is no container engine here: of the Dockerfile, what can be run without one is run.
"""

from __future__ import annotations

import configparser
import email
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import proxy
from tests.support.gateway import GatewayThread, builtin_upstream, config_of

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()

PUBLISHED = {
    "proxy/static/rapidoc-min.js": "affbd173a65e870e18f392cca963113bcdafb6e50e88cd2f6a834a65b22db94d",
}
"""What others wrote, by its SHA-256: dist/rapidoc-min.js of the npm package rapidoc 9.3.8."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves things behind, and a checkout may be read-only."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    kept = [path for name in ("proxy", "translators", "tests", "bench") for path in (ROOT / name).rglob("*")]
    kept += [ROOT / name for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "Dockerfile")]
    for path in kept:
        if path.is_file() and "__pycache__" not in path.parts:
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(copy)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def test_the_wheel_is_pure_and_small(wheel: Path):
    assert wheel.name == f"deltawire-{proxy.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 1024 * 1024


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"deltawire-{proxy.__version__}.dist-info"
    shipped = {name for name in names if not name.startswith(f"{info}/")}
    packages = [ROOT / "proxy", ROOT / "translators"]
    files = [path for package in packages for path in package.rglob("*") if path.suffix in (".py", ".typed")]
    files += (ROOT / "proxy" / "static").iterdir()
    assert shipped == {path.relative_to(ROOT).as_posix() for path in files}
    assert {"proxy/py.typed", "translators/py.typed"} <= shipped
    assert f"{info}/licenses/LICENSE" in names


def test_the_metadata(unpacked: Path):
    (info,) = unpacked.glob("*.dist-info")
    metadata = email.message_from_string((info / "METADATA").read_text())
    assert (metadata["Name"], metadata["Version"]) == ("deltawire", proxy.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Apache-2.0" in (metadata["License-Expression"], metadata["License"])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip().startswith("# deltawire")
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert any(line.startswith(("aiohttp<", "aiohttp>")) for line in needed)
    assert not any(line.startswith(("pytest", "openai", "mypy")) for line in needed)
    commands = configparser.ConfigParser()
    commands.read(info / "entry_points.txt")
    assert dict(commands["console_scripts"]) == {"deltawire": "proxy.__main__:main"}


def test_what_was_unpacked_runs(unpacked: Path, tmp_path: Path):
    environ = {**os.environ, "PYTHONPATH": str(unpacked)}
    where = [sys.executable, "-c", "import proxy, translators; print(proxy.__file__, translators.__file__)"]
    shown = subprocess.run(where, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.count(str(unpacked)) == 2
    for arguments in (["--version"], ["check"]):
        command = [sys.executable, "-m", "proxy", *arguments]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("ok\n")


def test_the_command_tells_its_version(tmp_path: Path):
    done = subprocess.run(
        [BIN / "deltawire", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"deltawire {proxy.__version__}\n"


def test_every_version_is_the_same():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == proxy.__version__
    assert f"\n## {proxy.__version__}" in (ROOT / "CHANGELOG.md").read_text()


# The container.


def instruction(name: str) -> str:
    """The last such instruction of the Dockerfile, its lines joined: the last one wins."""
    return re.findall(rf"^{name}\s+((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)[-1].replace("\\\n", " ")


def test_the_container_is_stopped_politely_and_runs_as_nobody_special():
    assert instruction("STOPSIGNAL") == "SIGTERM"
    assert int(instruction("USER")) >= 1000
    settings = dict(re.findall(r"(\w+)=(\S+)", instruction("ENV")))
    assert settings["HOST"] == "0.0.0.0" and settings["PORT"] == instruction("EXPOSE")
    assert [*json.loads(instruction("ENTRYPOINT")), *json.loads(instruction("CMD"))] == ["deltawire", "serve"]


def test_the_container_is_built_from_what_is_let_into_it():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {name for names in copies for name in names.split()} == let_in
    assert all((ROOT / name).exists() for name in let_in)
    assert "*" in ignored


def test_the_health_check_tells_a_live_gateway_from_a_dead_one():
    words = instruction("HEALTHCHECK").partition("CMD ")[2]
    command = [sys.executable, *json.loads(words)[1:]]
    with GatewayThread(config_of(builtin_upstream())) as gateway:
        environ = {**os.environ, "PORT": str(gateway.port)}
        assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode != 0


def test_what_others_wrote_is_as_they_published_it() -> None:
    found = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in PUBLISHED}
    assert found == PUBLISHED
    scripts = {str(path.relative_to(ROOT)) for path in (ROOT / "proxy").rglob("*.js")}
    assert scripts == set(PUBLISHED), "a script that nobody vouches for"
