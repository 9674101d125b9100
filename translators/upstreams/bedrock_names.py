"""What a model's name means on Bedrock: an agent and one of its aliases, a flow and one of its, or a runtime.

An id can be written out in the spellings that are about: the ARN, LiteLLM's ``bedrock/agent/…``, and the bare pair
as the list of models shows it. A name that is written like one of these and names nothing is refused, because
whoever wrote it meant something; any other name is fine and means the configured agent, since clients say
``gpt-4o`` to whatever they are connected to.

A bare pair is held for ids only where both have the ten capitals and digits that Amazon gives out, so that
``meta/llama3`` still is a name like any other. What is returned may stand in a path as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeGuard

from translators.errors import GatewayError, NotFound, UpstreamNotReady
from translators.excerpt import clean
from translators.record import record
from translators.upstreams.bedrock_settings import BedrockSettings

_ID = r"([0-9a-zA-Z]{1,10})"
_GIVEN_OUT = r"([0-9A-Z]{10})"
_ARN = r"arn:aws[a-z-]{0,20}:bedrock:[a-z0-9-]{1,20}:[0-9]{12}"
_BARE = rf"{_GIVEN_OUT}/{_GIVEN_OUT}"

_AGENT = tuple(
    re.compile(spelling)
    for spelling in (rf"(?:bedrock/)?agent/{_ID}/{_ID}", rf"{_ARN}:agent-alias/{_ID}/{_ID}", _BARE)
)
_FLOW = tuple(
    re.compile(spelling)
    for spelling in (rf"(?:bedrock/)?flow/{_ID}/{_ID}", rf"{_ARN}:flow/{_ID}/alias/{_ID}", _BARE)
)
_RUNTIME_ARN = (
    r"arn:aws[a-z-]{0,20}:bedrock-agentcore:([a-z0-9-]{1,20}):[0-9]{12}:(?:agent-)?runtime/[\w-]{1,128}"
)
_RUNTIME = re.compile(rf"(?:(?:bedrock/)?agentcore/)?({_RUNTIME_ARN})", re.ASCII)
_MEANT = re.compile(r"arn:|bedrock/(?:agent|flow|agentcore)/|agentcore/arn:|(?:agent|flow)/[^/]*/[^/]*\Z")
"""What begins so should name something. One word after ``agent/`` may be what an operator calls a model."""

_CONFIGURED_ID = re.compile(_ID)
_CONFIGURED_FLOW = re.compile(rf"(?:{_ARN}:flow/)?{_ID}")
_CONFIGURED_FLOW_ALIAS = re.compile(rf"(?:{_ARN}:flow/[0-9a-zA-Z]{{1,10}}/alias/)?{_ID}")
_VISIBLE = re.compile(r"([!-~]{1,2048})")
_RESERVED = re.compile(rb"[^A-Za-z0-9_.~-]")


@record
class Agent:
    agent_id: str
    alias_id: str


@record
class Flow:
    flow_id: str
    alias_id: str


def read(model: str, settings: BedrockSettings) -> Agent:
    """Raises NotFound where there is nobody to ask, UpstreamNotReady where the configuration is at fault."""
    named = _named(model, _AGENT, "an agent's alias")
    if named is not None:
        return Agent(*named)
    if not settings.agent_id:
        raise _unknown(model, "it names no agent, and none is configured to answer instead")
    return _configured_agent(settings.agent_id, settings.agent_alias_id)


@lru_cache(maxsize=64)
def _configured_agent(agent_id: str, alias_id: str) -> Agent:
    return Agent(
        _configured("agent_id", agent_id, _CONFIGURED_ID),
        _configured("agent_alias_id", alias_id, _CONFIGURED_ID),
    )


def read_flow(model: str, settings: BedrockSettings) -> Flow:
    """The same for flows. The configured ids may be ARNs: of these only the ids at their ends are used."""
    named = _named(model, _FLOW, "a flow's alias")
    if named is not None:
        return Flow(*named)
    return Flow(
        _configured("flow", settings.flow, _CONFIGURED_FLOW),
        _configured("flow_alias", settings.flow_alias, _CONFIGURED_FLOW_ALIAS),
    )


def read_runtime(model: str, settings: BedrockSettings) -> str:
    """The ARN, or whatever is configured: it is for ``quoted`` before it stands in a path."""
    match = _RUNTIME.fullmatch(model)
    if match is not None:
        return match[1]
    if _MEANT.match(model):
        raise _unknown(model, "it does not name a runtime")
    return _configured("runtime", settings.runtime, _VISIBLE)


def region_of(runtime: str) -> str:
    """Where a runtime is, if its name tells."""
    match = _RUNTIME.fullmatch(runtime)
    return match[2] if match is not None else ""


def quoted(text: str) -> str:
    """``text`` as one segment of a path or one value of a query, percent-encoded the way signatures want it."""
    return _RESERVED.sub(lambda match: f"%{match[0][0]:02X}".encode(), text.encode()).decode()


def is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _CONFIGURED_ID.fullmatch(value) is not None


def _named(model: str, spellings: tuple[re.Pattern[str], ...], what: str) -> tuple[str, str] | None:
    if "/" not in model and not model.startswith("arn:"):
        return None  # as most names are, and no spelling of ids
    for spelling in spellings:
        if match := spelling.fullmatch(model):
            return match[1], match[2]
    if _MEANT.match(model):
        raise _unknown(model, f"it does not name {what}")
    return None


def _configured(name: str, value: str, pattern: re.Pattern[str]) -> str:
    if not value:
        raise UpstreamNotReady(f"The gateway's upstream lacks its {name}: the operator has to set it.")
    match = pattern.fullmatch(value)
    if match is None:
        raise UpstreamNotReady(
            f"The gateway's upstream has a {name} that is none: the operator has to mend it."
        )
    return match[1]


def _unknown(model: str, why: str) -> GatewayError:
    return NotFound(
        f"The model '{clean(model, 100)}' does not exist: {why}.", param="model", code="model_not_found"
    )
