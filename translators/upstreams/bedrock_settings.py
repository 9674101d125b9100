"""What can be configured for Amazon Bedrock: which agent, flow or runtime answers, and how it is asked.

One upstream is one way of answering: a ``runtime`` of AgentCore, a ``flow``, an agent made for each question out
of a ``foundation_model`` and an ``instruction``, or else an agent that was built at Amazon. Everything can be set
for all models of an upstream or for one alias.

Who signs, and where, is left to Amazon's own tools: region, keys and profile are only for those who want other
ones here than these tools would find.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from attrs import Attribute, field, frozen

from translators.upstreams.plan import AwsIdentity

_MAX_BASES = 20


def _like(pattern: str, noun: str) -> Any:
    """Text of this shape, or none."""
    expression = re.compile(pattern, re.ASCII)

    def check(_: Any, attribute: Attribute[str], value: str) -> None:
        if value and not expression.fullmatch(value):
            raise ValueError(f"{attribute.name} must be {noun}")

    return field(default="", validator=check)


def _id() -> Any:
    return _like(r"[0-9A-Za-z]{1,10}", "1 to 10 letters and digits")


def _name() -> Any:
    return _like(r"[0-9A-Za-z._:/-]{1,2048}", "an id or an ARN")


def _at_least(least: float, default: float) -> Any:
    def check(_: Any, attribute: Attribute[float], value: float) -> None:
        if not least <= value <= 86400:
            raise ValueError(f"{attribute.name} must be from {least:g} to 86400")

    return field(default=default, validator=check)


def _ids(_: Any, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if len(value) > _MAX_BASES or not all(re.fullmatch(r"[0-9A-Za-z]{1,10}", id, re.ASCII) for id in value):
        raise ValueError(f"{attribute.name} must be at most {_MAX_BASES} ids of 1 to 10 letters and digits")


@frozen
class BedrockSettings:
    region: str = _like(r"[a-z0-9-]{1,32}", "a region such as eu-central-1")
    """Region of the agent; without one, AWS_REGION, AWS_DEFAULT_REGION or the profile's."""
    profile: str = ""
    """Profile of Amazon's configuration files whose credentials sign."""
    access_key: str = field(default="", repr=False)
    """Id of an access key of this upstream's own; without one, whatever Amazon's tools find."""
    secret_key: str = field(default="", repr=False)
    """The secret that belongs to access_key."""
    session_token: str = field(default="", repr=False)
    """The token of temporary credentials."""

    agent_id: str = _id()
    """Agent that answers where the model's name names none."""
    agent_alias_id: str = _id()
    """Alias of that agent; TSTALIASID is the draft."""
    flow: str = _name()
    """Flow that answers instead of an agent."""
    flow_alias: str = _name()
    """Alias of that flow."""
    flow_node: str = _like(r"[0-9A-Za-z_-]{1,100}", "the name of a node")
    """Node of the flow that takes the question; without one, FlowInputNode."""
    runtime: str = _name()
    """Runtime of AgentCore that answers instead of an agent, by its ARN."""
    qualifier: str = _like(r"[0-9A-Za-z_-]{1,100}", "the name of an endpoint")
    """Endpoint of that runtime; without one, DEFAULT."""
    foundation_model: str = _name()
    """Model out of which an agent is made for each question, instead of one that was built at Amazon; the request's
    tools become its functions."""
    instruction: str = ""
    """What such an agent is told to do, in 40 characters or more; system messages are added to it."""

    trace: bool = True
    """Whether the agent's steps are asked for: reasoning, usage and content filters are told nowhere else."""
    reasoning: bool = True
    """Whether the agent's thoughts reach the client."""
    custom_traces: bool = False
    """Whether the steps of a custom orchestration count as thoughts."""
    split: Literal["words", "off"] = "words"
    """How a stream tells an answer that comes in one piece: in words or as it comes."""
    split_threshold: int = _at_least(1, 64)
    """Pieces of no more characters than this are told as they come."""

    history: Literal["auto", "session", "replay", "flatten"] = "auto"
    """What becomes of earlier turns where no session is named: auto goes on in the session that they come from, and
    tells them to a new one if there is none; session goes on and never tells; replay always tells them to a new
    one; flatten writes them out before the question. A session that is named gets the last message only."""
    session_ttl: float = _at_least(60, 600)
    """Seconds for which the agent keeps an idle session, as configured at Amazon; it is not gone on with after."""
    session_wait: float = _at_least(0, 30)
    """Seconds that a request waits while its session is busy with another."""
    system: Literal["prompt", "prepend", "drop"] = "prompt"
    """Where system messages go: into the prompt attribute system_prompt, before the question, or nowhere."""
    user_attribute: str = _like(r"[ -~]{1,128}", "a name")
    """Session attribute that gets the request's user; without one, nobody is told."""
    qualify_tool_names: bool = False
    """Whether a tool's name begins with its action group, so that its id alone tells another process enough."""
    usage_unknown: Literal["-1", "0", "omit"] = "-1"
    """What usage says where no step has told it."""
    strict: bool = False
    """Whether a parameter that an agent cannot honour is refused instead of ignored."""
    discover: bool = False
    """Whether /v1/models lists the account's agents."""

    guardrail_interval: int = _at_least(0, 0)
    """Characters between two looks of a guardrail at a stream; 0 leaves it to Amazon."""
    latency: Literal["", "standard", "optimized"] = ""
    """Latency of the model, where it can be chosen."""
    source_arn: str = _like(r"arn:[0-9A-Za-z:/_-]{1,2040}", "an ARN")
    """ARN of the agent in whose name a resource is used."""
    knowledge_bases: tuple[str, ...] = field(default=(), validator=_ids)
    """Knowledge bases to be used with their usual configuration."""
    code_interpreter: bool = False
    """Whether tables (csv, xls, xlsx) go to the code interpreter instead of the conversation."""
    keep_files: bool = True
    """Whether files that an agent makes are kept for the Files API as well."""

    def __attrs_post_init__(self) -> None:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key belong together")


def identity(settings: BedrockSettings, told_region: str = "") -> AwsIdentity:
    """Who signs for all of Bedrock's services; the region that a name tells is better than none."""
    return AwsIdentity(
        "bedrock-agent-runtime",
        {
            "bedrock-agent-runtime": "bedrock",
            "bedrock-agent": "bedrock",
            "bedrock-agentcore": "bedrock-agentcore",
        },
        settings.region or told_region,
        settings.profile,
        settings.access_key,
        settings.secret_key,
        settings.session_token,
    )
