"""Who is compared with whom, by flags and environment; above all, who gets which key."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.compare.endpoints import GATEWAY, MODEL, OPENAI, Mistake, Wanted, address, endpoints

NONE = Wanted()
KEY = {"OPENAI_API_KEY": "sk-env"}
BASE = {"OPENAI_BASE_URL": "http://gpu:8000/v1"}
Side = tuple[str, str, str]

CHOICES: list[tuple[Wanted, Wanted, str | None, dict[str, str], Side, Side]] = [
    # left flags, right flags, --model, environment, left side, right side
    (NONE, NONE, None, {}, ("", MODEL, ""), ("", MODEL, "")),
    (NONE, NONE, None, {"OPENAI_API_KEY": ""}, ("", MODEL, ""), ("", MODEL, "")),
    (NONE, NONE, "m", {}, ("", MODEL, ""), (GATEWAY, "m", "")),
    (NONE, Wanted(model="m"), None, {}, ("", MODEL, ""), (GATEWAY, "m", "")),
    (NONE, Wanted("http://g"), None, {}, ("", MODEL, ""), ("http://g/v1", MODEL, "")),
    (NONE, Wanted("http://g", "m", "k"), None, {}, ("", MODEL, ""), ("http://g/v1", "m", "k")),
    (NONE, NONE, None, KEY, (OPENAI, MODEL, "sk-env"), (GATEWAY, MODEL, "")),
    (NONE, NONE, None, KEY | BASE, ("http://gpu:8000/v1", MODEL, "sk-env"), (GATEWAY, MODEL, "")),
    (NONE, NONE, None, BASE, ("http://gpu:8000/v1", MODEL, ""), (GATEWAY, MODEL, "")),
    (Wanted(key="k"), NONE, None, {}, (OPENAI, MODEL, "k"), (GATEWAY, MODEL, "")),
    (Wanted(key="k"), NONE, "m", KEY, (OPENAI, "m", "k"), (GATEWAY, "m", "")),
    (Wanted(model="a"), Wanted(model="b"), "m", KEY, (OPENAI, "a", "sk-env"), (GATEWAY, "b", "")),
    (Wanted("http://l", "a"), NONE, None, {}, ("http://l/v1", "a", ""), (GATEWAY, "a", "")),
    (Wanted("http://l"), Wanted("http://r"), "m", {}, ("http://l/v1", "m", ""), ("http://r/v1", "m", "")),
    # The key of the environment goes nowhere else.
    (Wanted("http://l", "a"), NONE, None, KEY, ("http://l/v1", "a", ""), (GATEWAY, "a", "")),
    (Wanted("http://l", "a", "k"), Wanted("http://r"), None, KEY | BASE, ("http://l/v1", "a", "k"),
     ("http://r/v1", "a", "")),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "model", "environ", "one", "other"), CHOICES)
def test_who_is_asked(left: Wanted, right: Wanted, model: Any, environ: Any, one: Side, other: Side) -> None:
    sides = endpoints(left, right, model, environ)
    assert [(side.url, side.model, side.key) for side in sides] == [one, other]
    assert [side.side for side in sides] == ["left", "right"]


def test_no_key_is_shown() -> None:
    sides = endpoints(Wanted(key="k-1234"), Wanted(key="k-5678"), None, {})
    assert "k-" not in repr(sides) and not any("k-" in str(side) for side in sides)


MISTAKES = [
    (Wanted("http://l"), NONE, {}, "--left needs --left-model or --model"),
    (Wanted(model="m"), NONE, {}, "--left-model needs --left, OPENAI_API_KEY or OPENAI_BASE_URL"),
    (Wanted("l", "m"), NONE, {}, "expected a URL such as http://127.0.0.1:3000/v1"),
    (NONE, Wanted("ftp://r"), {}, "expected a URL such as http://127.0.0.1:3000/v1"),
    (NONE, NONE, {"OPENAI_BASE_URL": "http://"}, "expected a URL such as http://127.0.0.1:3000/v1"),
    (Wanted("http://l", "m", "k\nx"), NONE, {}, "a key must be printable ASCII without spaces"),
    (NONE, Wanted("http://r", key="schlüssel"), {}, "a key must be printable ASCII without spaces"),
]


@pytest.mark.parametrize(("left", "right", "environ", "words"), MISTAKES)
def test_mistakes(left: Wanted, right: Wanted, environ: dict[str, str], words: str) -> None:
    with pytest.raises(Mistake) as caught:
        endpoints(left, right, None, environ)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://h", "http://h/v1"),
        ("https://h:8443/", "https://h:8443/v1"),
        ("http://h/v1/", "http://h/v1"),
        ("http://h/api/v3", "http://h/api/v3"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://[::1]:3000", "http://[::1]:3000/v1"),
    ],
)
def test_addresses(given: str, meant: str) -> None:
    assert address(given) == meant


@pytest.mark.parametrize(
    "given", ["h", "http://u:p@h", "http://h?q=1", "http://h#f", "http://h:0", "http://h:99999"]
)
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(Mistake):
        address(given)
