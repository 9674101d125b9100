"""Which models an account has, page by page, and what a check of a configuration proves."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import (
    Forbidden,
    GatewayError,
    RateLimited,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamNotReady,
)
from translators.upstreams.bedrock_catalog import checked, epoch, listed_models
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.plan import Call, Listed, Pause, Plan, Reply

AGENT = {"agent_id": "AGENT00001", "agent_alias_id": "ALIAS00001"}
FLOW = {"flow": "arn:aws:bedrock:us-east-1:123456789012:flow/FLOW000001", "flow_alias": "FLOWALIAS1"}
ARN = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/helper-3ySZuRHjLC"
CREATED = "2026-01-02T03:04:05.678901Z"


def good(document: Any) -> Reply:
    return Reply(200, json.dumps(document).encode())


def refusal(status: int, type: str) -> Reply:
    return Reply(status, b'{"message":"why"}', {"x-amzn-ErrorType": type})


def settings(**options: Any) -> BedrockSettings:
    return BedrockSettings(**{"discover": True, **options})


@define
class Control:
    """The control plane: replies by path and page, in their order where there are several."""

    replies: Mapping[str, Reply | list[Reply]]
    calls: list[Call] = field(factory=list)
    pauses: list[float] = field(factory=list)

    def carry_out(self, plan: Plan[Any] | None) -> Any:
        assert plan is not None
        brought: Any = None
        try:
            while True:
                brought = self._do(plan.send(brought))
        except StopIteration as end:
            return end.value

    def _do(self, step: Any) -> Reply | None:
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            return None
        assert isinstance(step, Call)
        self.calls.append(step)
        asked = json.loads(step.body) if step.body else {}
        reply = self.replies[f"{step.path} {asked['nextToken']}" if "nextToken" in asked else step.path]
        return reply.pop(0) if isinstance(reply, list) else reply


def agent(id: str, status: str = "PREPARED") -> dict[str, Any]:
    return {"agentId": id, "agentName": "a", "agentStatus": status, "updatedAt": CREATED}


def alias(id: Any, status: str = "PREPARED", **members: Any) -> dict[str, Any]:
    return {
        "agentAliasId": id,
        "agentAliasName": "x",
        "agentAliasStatus": status,
        "createdAt": CREATED,
        **members,
    }


def agents(*found: Any, **members: Any) -> Reply:
    return good({"agentSummaries": list(found), **members})


def aliases(*found: Any, **members: Any) -> Reply:
    return good({"agentAliasSummaries": list(found), **members})


# The list.


def test_agents_are_listed_by_their_aliases() -> None:
    control = Control(
        {
            "agents/": agents(agent("AGENT00001"), agent("NOTREADY01", "FAILED"), nextToken="t/1"),
            "agents/ t/1": agents(agent("AGENT00002"), 7, agent("../agents")),
            "agents/AGENT00001/agentaliases/": aliases(
                alias("ALIAS00001", aliasInvocationState="ACCEPT_INVOCATIONS"),
                alias("ALIAS00002", "CREATING"),
                alias("ALIAS00003", aliasInvocationState="REJECT_INVOCATIONS"),
                alias("a/b"),
                alias(7),
                "x",
                nextToken="t2",
            ),
            "agents/AGENT00001/agentaliases/ t2": aliases(alias("TSTALIASID", createdAt="?")),
            "agents/AGENT00002/agentaliases/": aliases(alias("ALIAS00004")),
        }
    )
    assert control.carry_out(listed_models(settings())) == [
        Listed("AGENT00001/ALIAS00001", 1767323045),
        Listed("AGENT00001/TSTALIASID", 0),
        Listed("AGENT00002/ALIAS00004", 1767323045),
    ]
    assert {(call.method, call.service) for call in control.calls} == {("POST", "bedrock-agent")}
    assert control.calls[0].body == b'{"maxResults":100}'


def test_flows_are_listed_by_their_aliases() -> None:
    control = Control(
        {
            "flows/?maxResults=100": good(
                {
                    "flowSummaries": [
                        {"id": "FLOW000001", "status": "Prepared"},
                        {"id": "F2", "status": "Failed"},
                    ],
                    "nextToken": "a b+/=&c",
                }
            ),
            "flows/?maxResults=100&nextToken=a%20b%2B%2F%3D%26c": good(
                {"flowSummaries": [{"id": "FLOW000003", "status": "Prepared"}]}
            ),
            "flows/FLOW000001/aliases?maxResults=100": good(
                {"flowAliasSummaries": [{"id": "FLOWALIAS1", "createdAt": CREATED}]}
            ),
            "flows/FLOW000003/aliases?maxResults=100": good({"flowAliasSummaries": None}),
        }
    )
    found = control.carry_out(listed_models(settings(**FLOW)))
    assert found == [Listed("FLOW000001/FLOWALIAS1", 1767323045)]
    assert {(call.method, call.service, call.body) for call in control.calls} == {
        ("GET", "bedrock-agent", b"")
    }


def test_where_nothing_is_to_be_found() -> None:
    for options in ({"discover": False}, {"runtime": ARN}, {"foundation_model": "anthropic.x"}):
        assert listed_models(settings(**options)) is None


def test_an_agent_that_is_gone_is_left_out() -> None:
    control = Control(
        {
            "agents/": agents(agent("AGENT00001"), agent("AGENT00002")),
            "agents/AGENT00001/agentaliases/": refusal(404, "ResourceNotFoundException"),
            "agents/AGENT00002/agentaliases/": aliases(alias("ALIAS00004")),
        }
    )
    assert [one.id for one in control.carry_out(listed_models(settings()))] == ["AGENT00002/ALIAS00004"]


def test_pages_do_not_go_on_for_ever() -> None:
    control = Control({"agents/": agents(nextToken="t"), "agents/ t": agents(nextToken="t")})
    assert control.carry_out(listed_models(settings())) == []
    assert len(control.calls) == 50
    control = Control({"agents/": agents(nextToken=7)})
    assert control.carry_out(listed_models(settings())) == []
    assert len(control.calls) == 1


def test_aliases_of_so_many_agents_and_no_more() -> None:
    ids = [f"A{number:09}" for number in range(400)]
    replies = {f"agents/{id}/agentaliases/": aliases() for id in ids}
    control = Control({"agents/": agents(*map(agent, ids)), **replies})
    assert control.carry_out(listed_models(settings())) == []
    assert len(control.calls) == 301


def test_calls_that_come_too_fast_are_made_again_after_a_while() -> None:
    slow = refusal(429, "ThrottlingException")
    control = Control({"agents/": [slow, slow, slow, agents()]})
    assert control.carry_out(listed_models(settings())) == []
    assert control.pauses == [1.0, 1.0, 1.0]
    control = Control({"agents/": [slow] * 4})
    with pytest.raises(RateLimited):
        control.carry_out(listed_models(settings()))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(403, "AccessDeniedException"), Forbidden),
        (refusal(403, "ExpiredTokenException"), UpstreamAuthFailed),
        (Reply(200, b"[]"), UpstreamMalformed),
        (Reply(502, b"<html>"), UpstreamError),
    ],
)
def test_a_list_that_cannot_be_had(reply: Reply, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        Control({"agents/": reply}).carry_out(listed_models(settings()))


# The check.

CHECKS: list[tuple[dict[str, Any], str, str]] = [
    (AGENT, "agents/AGENT00001/agentaliases/", "an agent"),
    (FLOW, "flows/FLOW000001/aliases?maxResults=1", "a flow"),
    ({}, "agents/", "an account, whose models clients call by their ids"),
    ({"foundation_model": "nova"}, "agents/", "an account, for agents made on the fly with nova"),
]


@pytest.mark.parametrize(("options", "path", "words"), CHECKS)
def test_what_a_check_asks_and_says(options: dict[str, Any], path: str, words: str) -> None:
    control = Control({path: good({})})
    assert control.carry_out(checked(settings(**options))) == words
    (call,) = control.calls
    assert (call.service, call.body) == (
        "bedrock-agent",
        b'{"maxResults":1}' if call.method == "POST" else b"",
    )
    control = Control({path: refusal(403, "AccessDeniedException")})
    assert "may not list" in control.carry_out(checked(settings(**options)))
    for status, type, code in (
        (403, "UnrecognizedClientException", "upstream_auth_failed"),
        (404, "ResourceNotFoundException", "model_not_found"),
    ):
        with pytest.raises(GatewayError) as caught:
            Control({path: refusal(status, type)}).carry_out(checked(settings(**options)))
        assert caught.value.code == code


def test_a_flow_without_an_alias_does_not_pass() -> None:
    with pytest.raises(UpstreamNotReady, match="flow_alias"):
        checked(settings(flow="FLOW000001"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"{}"),
        refusal(404, "ResourceNotFoundException"),
        Reply(404, b'{"__type":"ResourceNotFoundException","message":"no such session"}'),
    ],
)
def test_a_runtime_is_asked_to_stop_what_nobody_began(reply: Reply) -> None:
    quoted = ARN.replace(":", "%3A").replace("/", "%2F")
    control = Control({f"runtimes/{quoted}/stopruntimesession?qualifier=prod": reply})
    assert control.carry_out(checked(settings(runtime=ARN, qualifier="prod"))) == "takes the credential"
    (call,) = control.calls
    assert (call.method, call.service) == ("POST", "bedrock-agentcore")
    assert len(call.headers["X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"]) >= 33


def test_a_credential_that_may_only_ask_a_runtime() -> None:
    path = "runtimes/helper/stopruntimesession?qualifier=DEFAULT"
    control = Control({path: refusal(403, "AccessDeniedException")})
    assert control.carry_out(checked(settings(runtime="helper"))).startswith("there; ")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(403, "InvalidSignatureException"), UpstreamAuthFailed),
        (refusal(400, "ValidationException"), GatewayError),
        (Reply(404, b"404: Not Found"), UpstreamMalformed),
        (refusal(404, "UnknownOperationException"), UpstreamMalformed),
        (Reply(401, b"who?"), UpstreamAuthFailed),
    ],
)
def test_a_runtime_that_cannot_be_asked(reply: Reply, kind: type[GatewayError]) -> None:
    path = "runtimes/helper/stopruntimesession?qualifier=DEFAULT"
    with pytest.raises(kind):
        Control({path: reply}).carry_out(checked(settings(runtime="helper")))


# Times.


@given(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)), st.integers(-840, 840))
def test_times_are_seconds_since_1970(moment: datetime.datetime, minutes: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    for told in (moment.replace(tzinfo=zone), moment.replace(tzinfo=datetime.UTC)):
        seconds = (told - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(seconds=1)
        assert epoch(told.isoformat()) == seconds
    assert epoch(moment.replace(microsecond=0).isoformat() + "Z") == seconds


@pytest.mark.parametrize(
    "stamp",
    [None, 7, "", "2026-01-02", "2026-13-02T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-02T00:00:00"],
)
def test_what_is_no_time_is_zero(stamp: Any) -> None:
    assert epoch(stamp) == 0
