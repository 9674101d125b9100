"""What names of models mean on Bedrock, and that whatever comes out of them may stand in a path."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from attrs import astuple
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import GatewayError, NotFound, UpstreamNotReady
from translators.upstreams.bedrock_names import (
    Agent,
    Flow,
    is_id,
    quoted,
    read,
    read_flow,
    read_runtime,
    region_of,
)
from translators.upstreams.bedrock_settings import BedrockSettings

DEFAULT = {"agent_id": "DEFAULT001", "agent_alias_id": "TSTALIASID"}
FLOW = {"flow": "FLOW000001", "flow_alias": "FLOWALIAS1"}
FLOW_ARN = "arn:aws:bedrock:eu-central-1:123456789012:flow/FLOWBYARN1"
RUNTIME = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/hosted_agent_r9jvp-3ySZuRHjLC"


def settings(**given: Any) -> BedrockSettings:
    return BedrockSettings(**given)


@pytest.mark.parametrize(
    ("model", "agent"),
    [
        ("AGENT12345/ALIAS12345", ("AGENT12345", "ALIAS12345")),
        ("agent/AGENT12345/ALIAS12345", ("AGENT12345", "ALIAS12345")),
        ("agent/a1/b2", ("a1", "b2")),
        ("bedrock/agent/AGENT12345/TSTALIASID", ("AGENT12345", "TSTALIASID")),
        (
            "arn:aws:bedrock:us-east-1:123456789012:agent-alias/AGENT12345/ALIAS12345",
            ("AGENT12345", "ALIAS12345"),
        ),
        ("arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:agent-alias/A/B", ("A", "B")),
        # Any other name is the configured agent's.
        ("bedrock-agent", ("DEFAULT001", "TSTALIASID")),
        ("gpt-4o", ("DEFAULT001", "TSTALIASID")),
        ("meta/llama3", ("DEFAULT001", "TSTALIASID")),
        ("bedrock/anthropic.claude-v2", ("DEFAULT001", "TSTALIASID")),
        ("agent/support", ("DEFAULT001", "TSTALIASID")),
        ("AGENT12345/ALIAS1234", ("DEFAULT001", "TSTALIASID")),
        ("agent12345/alias12345", ("DEFAULT001", "TSTALIASID")),
        ("AGENT12345/ALIAS12345\n", ("DEFAULT001", "TSTALIASID")),
        ("AGENT12345/ALIAS1234\uff15", ("DEFAULT001", "TSTALIASID")),
    ],
)
def test_a_name_means_an_agent(model: str, agent: tuple[str, str]) -> None:
    assert read(model, settings(**DEFAULT)) == Agent(*agent)


@pytest.mark.parametrize(
    "model",
    [
        "agent/AGENT12345/",
        "agent/../x",
        "agent/AGENT12345/AL%2FIAS",
        "agent/AGENT123456/ALIAS12345",
        "bedrock/agent/",
        "bedrock/agent/AGENT12345",
        "flow/FLOW000001/FLOWALIAS1",
        "bedrock/agentcore/" + RUNTIME,
        RUNTIME,
        "arn:aws:bedrock:us-east-1:123456789012:agent/AGENT12345",
        "arn:aws:bedrock:us-east-1::foundation-model/x",
    ],
)
def test_a_name_that_is_meant_for_another_is_not_answered_by_the_configured_agent(model: str) -> None:
    with pytest.raises(NotFound) as caught:
        read(model, settings(**DEFAULT))
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_without_a_configured_agent_only_written_out_ids_are_answered() -> None:
    assert read("AGENT12345/ALIAS12345", settings()) == Agent("AGENT12345", "ALIAS12345")
    with pytest.raises(NotFound, match="none is configured") as caught:
        read("gpt-4o", settings())
    assert caught.value.code == "model_not_found"


def test_an_agent_without_an_alias_is_the_operators_fault() -> None:
    with pytest.raises(UpstreamNotReady, match="agent_alias_id"):
        read("gpt-4o", settings(agent_id="DEFAULT001"))


@pytest.mark.parametrize(
    ("model", "flow"),
    [
        ("FLOWNAMED1/FLOWALIAS2", ("FLOWNAMED1", "FLOWALIAS2")),
        ("flow/FLOWNAMED1/TSTALIASID", ("FLOWNAMED1", "TSTALIASID")),
        ("bedrock/flow/FLOWNAMED1/TSTALIASID", ("FLOWNAMED1", "TSTALIASID")),
        (FLOW_ARN + "/alias/FLOWALIAS2", ("FLOWBYARN1", "FLOWALIAS2")),
        ("bedrock-agent", ("FLOW000001", "FLOWALIAS1")),
    ],
)
def test_a_name_means_a_flow(model: str, flow: tuple[str, str]) -> None:
    assert read_flow(model, settings(**FLOW)) == Flow(*flow)


def test_a_flow_may_be_configured_by_arns() -> None:
    both = settings(flow=FLOW_ARN, flow_alias=FLOW_ARN + "/alias/FLOWALIAS2")
    assert read_flow("x", both) == Flow("FLOWBYARN1", "FLOWALIAS2")


def test_flows_that_cannot_be_asked() -> None:
    with pytest.raises(NotFound, match="a flow's alias"):
        read_flow("agent/AGENT12345/ALIAS12345", settings(**FLOW))
    with pytest.raises(UpstreamNotReady, match="flow_alias"):
        read_flow("x", settings(flow="FLOW000001"))
    with pytest.raises(UpstreamNotReady, match="flow that is none"):
        read_flow("x", settings(flow="my.flow", flow_alias="FLOWALIAS1"))


def test_runtimes() -> None:
    configured = settings(runtime="my_agent-AbCdEf1234")
    assert read_runtime("gpt-4o", configured) == "my_agent-AbCdEf1234"
    for written in (RUNTIME, f"agentcore/{RUNTIME}", f"bedrock/agentcore/{RUNTIME}"):
        assert read_runtime(written, configured) == RUNTIME
    with pytest.raises(NotFound, match="a runtime"):
        read_runtime(f"{RUNTIME}/../x", configured)
    with pytest.raises(UpstreamNotReady):
        read_runtime("gpt-4o", settings())


def test_the_region_of_a_runtime_is_told_by_its_name() -> None:
    assert region_of(RUNTIME) == "eu-west-1"
    assert region_of("my_agent-AbCdEf1234") == ""


def test_ids() -> None:
    assert is_id("AGENT12345")
    for other in ("", "AGENT123456", "A/B", "AGENT1234\n", 7, None):
        assert not is_id(other)


@given(st.text())
def test_quoting_is_what_signatures_want(text: str) -> None:
    assert quoted(text) == quote(text, safe="-_.~")


@given(st.text(alphabet="arn:/-ABagetflow12345.%?\n#", max_size=60) | st.text(max_size=30))
def test_nothing_but_ids_comes_out(model: str) -> None:
    for named, prefix in ((read, "agent/"), (read_flow, "flow/")):
        for spelt in (model, prefix + model, "bedrock/" + prefix + model):
            try:
                found = named(spelt, settings())
            except GatewayError:
                continue
            ids = astuple(found)
            assert all(re.fullmatch(r"[0-9a-zA-Z]{1,10}", id) for id in ids)
