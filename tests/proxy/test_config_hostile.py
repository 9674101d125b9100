"""Whatever stands in a file, in the environment or in ``.env``: a Config or a ConfigError, nothing else."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from config_setup import KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import OPTIONS, ConfigError, Loaded, load
from proxy.config.report import report

SOME = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def survives(
    folder: Path, toml: bytes, environ: dict[str, str], dotenv: bytes, flags: dict[str, Any]
) -> None:
    (folder / "d.toml").write_bytes(toml)
    (folder / ".env").write_bytes(dotenv)
    try:
        loaded = load(path=Path("d.toml"), environ=environ, cwd=folder, flags=flags, kinds=KINDS)
    except ConfigError as error:
        assert error.problems
        assert all(line.isprintable() and len(line) < 1000 for line in error.problems), error.problems
    else:
        assert isinstance(loaded, Loaded)
        assert all(line.isprintable() for line in [*report(loaded), *loaded.warnings])


NAMES = [name for option in OPTIONS for name in option.metadata["env"]]
NAMES += [name for kind in KINDS.values() for name in kind.environment]
NAMES += [f"{name}_FILE" for name in ("API_KEYS", "LLAMA_API_KEY", "PORT")]
NAMES += ["DELTAWIRE_UPSTREAM_LLAMA_API_KEY", "DELTAWIRE_UPSTREAM_A_PACE", "DELTAWIRE_UPSTREAM_LLAMA_MODELS"]
WORDS = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Nd"])),
    st.sampled_from(
        [
            "true",
            "5s",
            "10MiB",
            "0",
            "http://[::1]:80/v1",
            "http://",
            "//",
            "*",
            "a,b",
            "{}",
            ".",
            "./x",
            "1e9",
        ]
    ),
)


@SOME
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), WORDS, max_size=6))
def test_any_environment(folder: Path, environ: dict[str, str]) -> None:
    survives(folder, b"[upstreams.a]\nkind = 'acme'\n[upstreams.llama]\nkind = 'plain'\n", environ, b"", {})
    survives(folder, b"", environ, b"", {})


@SOME
@given(
    st.binary(max_size=200) | WORDS.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=200)
)
def test_any_bytes_in_the_files(folder: Path, toml: bytes, dotenv: bytes) -> None:
    survives(folder, toml, {}, dotenv, {})


def basic_string(text: str) -> str:
    """The text as TOML can write it: every character escaped, those that TOML does not know replaced."""
    points = (ord(char) if not 0xD800 <= ord(char) <= 0xDFFF else 63 for char in text)
    return '"' + "".join(f"\\U{point:08x}" for point in points) + '"'


SCALARS = st.one_of(
    st.none().map(lambda _: "[]"),
    st.booleans().map(lambda truth: str(truth).lower()),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["inf", "-inf", "nan", "1e300", "-0.0", "[[]]", "{}"]),
    st.sampled_from(['{ env = "PORT" }', '{ file = "." }', '{ file = "\\u0000" }']),
    st.dates(min_value=datetime.date(1000, 1, 1)).map(str),
    WORDS.map(basic_string),
)  # fmt: skip
KEYS = sorted(
    {option.path for option in OPTIONS}
    | {
        f"upstreams.a.{name}"
        for name in ("kind", "base_url", "api_key", "models", "headers", "token", "pace")
    }
    | {f"upstreams.s.{name}" for name in ("agent", "level", "note", "headers.X")}
    | {
        "upstreams",
        "upstreams.x",
        "upstreams.'a b'.kind",
        "models.m",
        "models.n.upstream",
        "models.''.upstream",
    }
    | {"models.n.token", "models.o.upstream", "models.o.agent", "server", "what.is.this", "server.prot"}
)


@SOME
@given(st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=8), st.booleans())
def test_any_value_at_any_key(folder: Path, values: dict[str, str], sound: bool) -> None:
    base = {"upstreams.a.kind": '"acme"', "upstreams.s.kind": '"strict"', "models.n.upstream": '"a"'}
    base |= {"models.o.upstream": '"s"', "upstreams.s.agent": '"z"'}
    document = "".join(f"{key} = {value}\n" for key, value in ((base if sound else {}) | values).items())
    survives(folder, document.encode(), {}, b"", {})


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())
)


@SOME
@given(
    st.dictionaries(st.sampled_from([option.path for option in OPTIONS]) | st.text(), ANYTHING, max_size=4)
)
def test_any_flags(folder: Path, flags: dict[str, Any]) -> None:
    survives(folder, b"", {}, b"", flags)
