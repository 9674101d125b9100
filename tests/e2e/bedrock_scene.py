"""A gateway in front of the Bedrock stand-in, set up as a user would: by environment and without a file.

A ``Scene`` is both of them and a client. A model's name says which agent it is, so tests build agents of their own,
each with knobs of its own, and one scene serves a whole module. Keys, region and address are found by Amazon's own
tools in the environment, as they would be; ``bedrock_upstream`` has them in its settings instead. What the platform
heard is asked of the stand-in, by agent.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
import pytest
from attrs import define, evolve

from proxy.config import Config, Upstream, load
from proxy.simulators.bedrock import (
    DEMO_AGENT,
    DEMO_ALIAS,
    DEMO_GROUPS,
    DEMO_KEYS,
    DEMO_REGION,
    BedrockStandIn,
)
from proxy.simulators.bedrock_knobs import Agent, Alias
from proxy.simulators.bedrock_sessions import Session
from proxy.simulators.bedrock_world import Heard
from tests.e2e.sdk_setup import hosted, sdk
from tests.support.gateway import GatewayThread
from translators.upstreams import UPSTREAMS
from translators.upstreams.bedrock import Bedrock
from translators.upstreams.bedrock_settings import BedrockSettings

_NUMBERS = itertools.count(1)
_ALIAS = "LIVEALIAS1"
COUNT, COUNTED = "count to 3", "1, 2, 3."
LONG = "count to 200"
GROUPS = DEMO_GROUPS
ACCOUNT = BedrockSettings(
    region=DEMO_REGION,
    access_key=DEMO_KEYS.access_key,
    secret_key=DEMO_KEYS.secret_key,
    agent_id=DEMO_AGENT,
    agent_alias_id=DEMO_ALIAS,
)


def stand_in_of(**settings: Any) -> BedrockStandIn:
    return BedrockStandIn(**settings)


def environment(url: str, **changes: str) -> dict[str, str]:
    """What somebody with an agent exports; a change to nothing leaves a variable out."""
    usual = {
        "AGENT_ID": DEMO_AGENT,
        "AGENT_ALIAS_ID": DEMO_ALIAS,
        "AWS_REGION": DEMO_REGION,
        "AWS_ACCESS_KEY_ID": DEMO_KEYS.access_key,
        "AWS_SECRET_ACCESS_KEY": DEMO_KEYS.secret_key,
        "AWS_ENDPOINT_URL": url,
        "PORT": "0",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value}


@contextmanager
def at_amazon(variables: Mapping[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """A process in whose environment Amazon's tools find these variables, and nothing else of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/nonexistent/aws")
        for name, value in variables.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield patch


def configured(environ: Mapping[str, str]) -> Config:
    nowhere = Path("/nonexistent")
    return load(path=None, environ=dict(environ), cwd=nowhere, flags={}, kinds=UPSTREAMS).config


def bedrock_upstream(base_url: str, name: str = "bedrock", **changes: Any) -> Upstream:
    """The same for ``serve``; settings of the kind and of all upstreams stand side by side."""
    own = {name: changes.pop(name) for name in [*changes] if name in BedrockSettings.__annotations__}
    given = {**Bedrock.defaults, "options": evolve(ACCOUNT, **own), **changes}
    return Upstream(name, "bedrock", base_url, **given)


def built(stand_in: BedrockStandIn, **knobs: Any) -> str:
    """A new agent, by the name that a client calls it."""
    agent_id = f"AGENT{next(_NUMBERS):05d}"
    stand_in.agents[agent_id] = Agent(aliases={_ALIAS: Alias()}, **knobs)
    return f"{agent_id}/{_ALIAS}"


def asked(stand_in: BedrockStandIn, model: str) -> list[Heard]:
    """The questions for an agent, whatever became of them."""
    agent_id, _, alias_id = model.partition("/")
    return stand_in.heard(f"/agents/{agent_id}/agentAliases/{alias_id}/")


def bodies(stand_in: BedrockStandIn, model: str) -> list[dict[str, Any]]:
    return [heard.document for heard in asked(stand_in, model)]


def sessions(stand_in: BedrockStandIn, model: str) -> list[Session]:
    return [one for key, one in list(stand_in.world.sessions.kept.items()) if "/".join(key[:2]) == model]


def runs(stand_in: BedrockStandIn, model: str) -> int:
    """How often the agent has begun to work."""
    return sum(session.turns for session in sessions(stand_in, model))


def said(session: Session) -> list[str]:
    """What its users said in a session."""
    return [one["content"] for one in session.messages if one["role"] == "user"]


def asking(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"role": "user", "content": content}]


@define(eq=False)
class Scene:
    stand_in: BedrockStandIn
    gateway: GatewayThread
    client: openai.OpenAI

    def agent(self, **knobs: Any) -> str:
        return built(self.stand_in, **knobs)

    def asked(self, model: str) -> list[Heard]:
        return asked(self.stand_in, model)

    def bodies(self, model: str) -> list[dict[str, Any]]:
        return bodies(self.stand_in, model)

    def sessions(self, model: str) -> list[Session]:
        return sessions(self.stand_in, model)

    def create(self, model: str, messages: Any, **more: Any) -> Any:
        return self.client.chat.completions.create(model=model, messages=asking(messages), **more)

    def raw(self, model: str, messages: Any, **more: Any) -> Any:
        """With the headers."""
        create = self.client.chat.completions.with_raw_response.create
        return create(model=model, messages=asking(messages), **more)

    def say(self, model: str, messages: Any, **more: Any) -> str:
        """The words of one whole answer."""
        return self.create(model, messages, **more).choices[0].message.content or ""

    def stream(self, model: str, messages: Any, **more: Any) -> list[Any]:
        with self.create(model, messages, stream=True, **more) as stream:
            return list(stream)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def thoughts_of(chunks: list[Any]) -> str:
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)


@contextmanager
def scene(stand_in: Any = stand_in_of, **environ: str) -> Iterator[Scene]:
    """``with scene(DELTAWIRE_EXTENSIONS="true") as here: … here.client …``"""
    with ExitStack() as running:
        platform = running.enter_context(hosted(stand_in))
        kept = running.enter_context(TemporaryDirectory())
        variables = environment(platform.url, DELTAWIRE_DATA=kept, **environ)
        running.enter_context(at_amazon(variables))
        gateway = running.enter_context(GatewayThread(configured(variables), "uvloop"))
        yield Scene(platform, gateway, running.enter_context(sdk(gateway.url + "/v1")))
