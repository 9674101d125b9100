"""Single values: what is accepted and what becomes of it, what is refused; texts and lines; the Secret."""

from __future__ import annotations

import copy
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from config_setup import configure, problems
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.sources import read_dotenv, statement_lines
from proxy.config.values import Secret, dotted, is_loopback, quoted

ACCEPTED = [
    ("DELTAWIRE_DRAIN", "5", "server.drain", 5.0),
    ("DELTAWIRE_DRAIN", " 5 S ", "server.drain", 5.0),
    ("DELTAWIRE_DRAIN", "1.5m", "server.drain", 90.0),
    ("DELTAWIRE_DRAIN", "0", "server.drain", 0.0),
    ("DELTAWIRE_DRAIN", "168h", "server.drain", 604800.0),
    ("DELTAWIRE_MAX_BODY", "10485760", "limits.max_body", 10485760),
    ("DELTAWIRE_MAX_BODY", "10MiB", "limits.max_body", 10485760),
    ("DELTAWIRE_MAX_BODY", "10mb", "limits.max_body", 10485760),
    ("DELTAWIRE_MAX_BODY", "10m", "limits.max_body", 10485760),
    ("DELTAWIRE_MAX_BODY", "1 g", "limits.max_body", 1024**3),
    ("DELTAWIRE_MAX_BODY", "512b", "limits.max_body", 512),
    ("DELTAWIRE_MAX_BODY", "0.5k", "limits.max_body", 512),
    ("HOST", "::1", "server.host", "::1"),
    ("HOST", "gate_way-1.example.org", "server.host", "gate_way-1.example.org"),
    ("PORT", "0", "server.port", 0),
    ("PORT", "065535", "server.port", 65535),
    ("ALLOWED_ORIGINS", "*", "cors.origins", ("*",)),
    ("ALLOWED_ORIGINS", "HTTPS://A.b:8443", "cors.origins", ("https://a.b:8443",)),
    ("ALLOWED_ORIGINS", "app://obsidian.md", "cors.origins", ("app://obsidian.md",)),
    ("ALLOWED_ORIGINS", "http://[::1]:80", "cors.origins", ("http://[::1]:80",)),
] + [("ENABLE_CORS", word, "cors.enabled", True) for word in ("true", "1", "YES", "On")]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "path", "value"), ACCEPTED)
def test_what_is_accepted(tmp_path: Path, name: str, text: str, path: str, value: Any) -> None:
    section, field = path.split(".")
    config = configure(tmp_path, None, {name: text, "API_KEYS": "k"}).config
    assert getattr(getattr(config, section), field) == value


REFUSED = [
    ("DELTAWIRE_KEEPALIVE", ["0", "-1", "1e3", "5d", "ms", "s5", "169h", "0.0001", "nan", "5,5"]),
    ("DELTAWIRE_MAX_BODY", ["0", "1kk", "0.3b", "2t", "1025g", "9999999999999g", "10 MiBs", "ib"]),
    ("DELTAWIRE_QUOTA", ["-1", "0.3b", "none", "2t"]),
    ("DELTAWIRE_MAX_FILE", ["0"]),
    ("DELTAWIRE_DATA", ["a\x00b", "a\nb"]),
    ("DATABASE_URL", ["mysql://h/d", "h/d", "./data.db", "postgresql:h/d"]),
    ("BLOBS_URL", ["http://h/b", "s3://", "s3://b/../c", "s3://bucket?key=1", "s3://bucket?endpoint=h"]),
    ("HOST", ["a b", "-a", "http://x", "[::1]", "a/b", "x" * 300, "ü.de"]),
    ("PORT", ["65536", "-1", "1.0", "٣", "0x50"]),
    ("ALLOWED_ORIGINS", ["a.b", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:x",
                         "null", "https://[::", "https://a:99999"]),
    ("ALLOWED_METHODS", ["*", "GET POST"]),
    ("API_KEYS", ["a b", "k\tk", "ключ", "k" * 4097]),
    ("LLAMA_MODELS", ["a\x7fb", "a\u2028b", "m" * 257]),
    ("LLAMA_BASE_URL", ["http://", "http:///v1", "//x", "https:x", "http://a b", "http://a/b c", "http://ü.de",
                        "http://a:x/", "http://[::1", "http://x#", "http://x?", "http://u@x", "http://x/\x00",
                        "file:///etc/passwd", "http://a\tb", "http://-a"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED for text in texts])
def test_what_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (found,) = problems(tmp_path, None, {name: text})
    assert found.startswith(f"env {name}: ")


URLS = [
    ("http://localhost:11434/v1", "http://localhost:11434/v1"),
    ("https://api.example.org", "https://api.example.org"),
    ("https://api.example.org/", "https://api.example.org"),
    ("HTTPS://API.example.org/a/b//", "https://API.example.org/a/b"),
    ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ("http://10.0.0.1", "http://10.0.0.1"),
]


@pytest.mark.parametrize(("text", "url"), URLS)
def test_addresses_lose_their_trailing_slash(tmp_path: Path, text: str, url: str) -> None:
    assert configure(tmp_path, None, {"LLAMA_BASE_URL": text}).config.upstreams["llama"].base_url == url


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example")))


def test_keys_as_toml_writes_them() -> None:
    assert dotted("models", "gpt-4.1", "bot") == 'models."gpt-4.1".bot'
    assert dotted("a", 'q"\n') == 'a."q\\"\\n"'
    assert quoted("x" * 50) == '"' + "x" * 39 + '…"'


class TestSecret:
    def test_it_never_shows(self) -> None:
        secret = Secret("canary")
        shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, str([secret])]  # noqa: UP031
        assert set(shown) == {"***", "[***]"}
        assert secret.reveal() == "canary"

    def test_it_compares_by_value_with_secrets_only(self) -> None:
        assert Secret("a") == Secret("a") and Secret("a") != Secret("b") and Secret("a") != "a"
        assert len({Secret("a"), Secret("a"), Secret("b")}) == 2

    def test_it_is_not_copied_out(self) -> None:
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="not written anywhere"):
                attempt(Secret("a"))


LINES = """
# a comment
title = "x"   # line 3
multi = '''
[not.a.table]
fake = 1
'''
[one.two]
a = [ 1,
  2, # ]
]
"q.r".s = { t = { u = 1 } }

[[three]]
b = "\u2028"
[one]
c = 2
"""


def test_the_line_of_every_key() -> None:
    assert {".".join(path): line for path, line in statement_lines(LINES).items()} == {
        "title": 3, "multi": 4, "one": 8, "one.two": 8, "one.two.a": 9, "one.two.q.r": 12,
        "one.two.q.r.s": 12, "one.two.q.r.s.t": 12, "one.two.q.r.s.t.u": 12, "three": 14, "three.b": 15,
        "one.c": 17,
    }  # fmt: skip


def test_lines_end_where_a_statement_is_too_long_to_look_at() -> None:
    text = "a = 1\nb = [\n" + "1,\n" * 300 + "]\nc = 1\n"
    assert tomllib.loads(text)["c"] == 1
    assert statement_lines(text) == {("a",): 1}


def test_a_value_without_a_known_line_still_names_its_file(tmp_path: Path) -> None:
    text = "x = [\n" + "1,\n" * 300 + "]\n[server]\nprot = 1\n"
    unknown, misspelt = problems(tmp_path, text)
    assert unknown.startswith("d.toml: x: unknown key; known here: auth, cors, ")
    assert misspelt == "d.toml: server.prot: unknown key; did you mean port?"


TOML_KEYS = st.sampled_from(("a", "b", "'c.d'", '"e"'))


@given(st.lists(st.tuples(TOML_KEYS, st.sampled_from(("1", "'''\n[x]\n'''", "[\n1,\n]", "{ z = 1 }")))))
def test_every_key_of_a_document_has_a_line(statements: list[tuple[str, str]]) -> None:
    text = "".join(f"[t{number}]\n{key} = {value}\n" for number, (key, value) in enumerate(statements))
    lines = statement_lines(text)
    for table, members in tomllib.loads(text).items():
        for key in members:
            written = text.split("\n")[lines[(table, key)] - 1]
            assert written.strip("'\"").startswith(key)


def test_dotenv_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert read_dotenv(path) == ({}, [])
    path.write_text(
        "\ufeff# comment\r\nexport A=1\r\nB='two words' # note\nC=\"x\\ny\"\nD=$A${A}\nE=\nF\nA=3\nG=#x\n"
    )
    assert read_dotenv(path) == ({"A": "3", "B": "two words", "C": "x\ny", "D": "$A${A}", "G": "#x"}, [])
