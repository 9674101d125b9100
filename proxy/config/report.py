"""What ``deltawire check`` prints: every setting, the value it has and where that came from.

One line each, ``key = value  (origin)``, with the keys of the TOML file and values that could stand in it.
Secrets are ``***`` whatever they are: a Secret, the value of a header, a field that its class hides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from proxy.config import SECTIONS, Loaded
from proxy.config.model import Config
from proxy.config.values import Secret, dotted, printable

MASK = "***"


def report(loaded: Loaded) -> Iterator[str]:
    for path, value in _settings(loaded.config):
        key = dotted(*path)
        yield f"{key} = {shown(value)}  ({loaded.origins[key]})"


def shown(value: Any) -> str:
    match value:
        case None:
            return "unset"
        case Secret():
            return MASK
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case str():
            return printable(json.dumps(value, ensure_ascii=False))
        case tuple():
            return f"[{', '.join(map(shown, value))}]"
        case Mapping():
            return (
                "{" + ", ".join(f"{shown(str(name))} = {shown(item)}" for name, item in value.items()) + "}"
            )
    return str(value)


def _settings(config: Config) -> Iterator[tuple[tuple[str, ...], Any]]:
    for section in SECTIONS:
        yield from _fields((section,), getattr(config, section))
    yield ("default_upstream",), config.default_upstream
    yield ("extensions",), config.extensions
    for name, upstream in config.upstreams.items():
        yield from _fields(("upstreams", name), upstream, leave_out=("name", "options"))
        yield from _fields(("upstreams", name), upstream.options)
    for name, alias in config.models.items():
        yield from _fields(("models", name), alias, leave_out=("options",))
        yield from _fields(("models", name), alias.options)


def _fields(
    at: tuple[str, ...], holder: Any, leave_out: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for attribute in attrs.fields(type(holder)):
        if attribute.name not in leave_out:
            yield (*at, attribute.name), _masked(attribute, getattr(holder, attribute.name))


def _masked(attribute: attrs.Attribute[Any], value: Any) -> Any:
    """Nothing that its class does not print in full is printed here."""
    if attribute.repr is True or value is None:
        return value
    if isinstance(value, Mapping):
        return {name: Secret("") for name in value}
    return Secret("")
