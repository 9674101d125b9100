"""What the configuration tests share: one way to load, and kinds of upstream made for the purpose.

``plain`` is the fallback, as the OpenAI-shaped kind is; ``acme`` has every sort of setting a kind may bring:
numbers, choices, names, a hidden secret, a required one in ``strict``, a validator that talks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from proxy.config import ConfigError, Loaded, load


class AsWritten:
    """Takes addresses as they are."""

    @classmethod
    def address(cls, base_url: str) -> str:
        return base_url


class Plain(AsWritten):
    default_name: ClassVar[str] = "llama"
    environment: ClassVar[dict[str, str]] = {
        "LLAMA_BASE_URL": "base_url",
        "LLAMA_API_KEY": "api_key",
        "LLAMA_MODELS": "models",
    }
    defaults: ClassVar[dict[str, Any]] = {"base_url": "http://localhost:11434/v1", "models": ("llama3",)}
    fallback: ClassVar[bool] = True

    @frozen
    class Settings:
        reasoning: Literal["split", "keep", "drop"] = "split"


class Acme(AsWritten):
    default_name: ClassVar[str] = "acme"
    environment: ClassVar[dict[str, str]] = {"ACME_BOT": "bot", "ACME_TOKEN": "token"}
    defaults: ClassVar[dict[str, Any]] = {"base_url": "https://acme.test", "idle_timeout": 300.0}
    fallback: ClassVar[bool] = False

    @frozen
    class Settings:
        bot: str = ""
        token: str | None = field(default=None, repr=False)
        pace: float = 0.5
        depth: int = 3
        loud: bool = False
        tags: tuple[str, ...] = ()


class Strict(AsWritten):
    default_name: ClassVar[str] = "strict"
    environment: ClassVar[dict[str, str]] = {"STRICT_AGENT": "agent"}
    defaults: ClassVar[dict[str, Any]] = {}
    fallback: ClassVar[bool] = False

    @frozen
    class Settings:
        agent: str
        level: int = field(default=1, validator=validators.le(5))
        note: Any = None


KINDS: dict[str, Any] = {"plain": Plain, "acme": Acme, "strict": Strict}


def configure(
    folder: Path,
    toml: str | None = None,
    env: Mapping[str, str] | None = None,
    *,
    dotenv: str | None = None,
    flags: Mapping[str, Any] | None = None,
    kinds: Mapping[str, Any] = KINDS,
) -> Loaded:
    if toml is not None:
        (folder / "d.toml").write_text(toml, "utf-8")
    if dotenv is not None:
        (folder / ".env").write_text(dotenv, "utf-8")
    path = None if toml is None else Path("d.toml")
    return load(path=path, environ=env or {}, cwd=folder, flags=flags or {}, kinds=kinds)


def problems(folder: Path, *given: Any, **named: Any) -> list[str]:
    try:
        configure(folder, *given, **named)
    except ConfigError as error:
        assert str(error) == "\n".join(error.problems)
        return error.problems
    return []
