"""Amazon Bedrock: agents, and what may answer instead of one.

The settings decide who answers, once for all requests: an agent that was built at Amazon (here), an agent that is
made for each question (``bedrock_inline``), a flow (``bedrock_flow``) or a runtime (``bedrock_runtime``). Which
region, whose credentials and at what address is for Amazon's own tools to find out, so only the agent's name can
declare an upstream: region and keys stand in many environments.

Answers of minutes are normal, because an agent waits for functions: so is silence in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define

from translators.upstreams.base import Upstream
from translators.upstreams.bedrock_agent import BedrockAgent
from translators.upstreams.bedrock_catalog import checked, listed_models
from translators.upstreams.bedrock_flow import BedrockFlow
from translators.upstreams.bedrock_inline import InlineAgent
from translators.upstreams.bedrock_names import region_of
from translators.upstreams.bedrock_runtime import AgentRuntime
from translators.upstreams.bedrock_settings import identity
from translators.upstreams.plan import Credential, Listed, Plan


@define(eq=False)
class Bedrock(BedrockAgent):
    default_name: ClassVar[str] = "bedrock"
    environment: ClassVar[Mapping[str, str]] = {"AGENT_ID": "agent_id", "AGENT_ALIAS_ID": "agent_alias_id"}
    defaults: ClassVar[Mapping[str, Any]] = {
        "models": ("bedrock-agent",),
        "first_byte_timeout": 300.0,
        "idle_timeout": 300.0,
    }

    @classmethod
    def variant(cls, settings: Any) -> type[Upstream]:
        for option, answers in _INSTEAD.items():
            if getattr(settings, option):
                return answers
        return cls

    @classmethod
    def credential(cls, settings: Any, base_url: str) -> Credential:
        return identity(settings, region_of(settings.runtime))

    @classmethod
    def check(cls, settings: Any) -> Plan[str]:
        return checked(settings)

    @classmethod
    def catalog(cls, settings: Any) -> Plan[list[Listed]] | None:
        return listed_models(settings)


_INSTEAD: dict[str, type[Upstream]] = {
    "runtime": AgentRuntime,
    "flow": BedrockFlow,
    "foundation_model": InlineAgent,
}
"""What answers where an option names it, the first first."""
