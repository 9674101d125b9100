"""What was built, for whoever asks the control plane: agents, flows and their aliases, in pages.

Pages have ten rows at most, as in the service model, and fewer where the client wants fewer. A token is opaque and
good for the list it came from.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from proxy.simulators import bedrock_bodies as bodies
from proxy.simulators.bedrock_faults import invalid, missing
from proxy.simulators.bedrock_knobs import Agent, Alias, Flow
from proxy.simulators.bedrock_reading import document_of
from proxy.simulators.bedrock_world import DRAFT_ALIAS, WORLD, World
from translators import wirejson

_STATUSES = {True: "ACCEPT_INVOCATIONS", False: "REJECT_INVOCATIONS"}


async def list_agents(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    body = await document_of(request, bodies.LIST)
    rows = [_agent(world, agent_id, agent) for agent_id, agent in world.agents.items()]
    return _page(request, "agentSummaries", rows, body)


async def list_agent_aliases(request: web.Request, agent_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    body = await document_of(request, bodies.LIST)
    aliases = _aliases(_agent_of(world, agent_id))
    rows = [_alias(world, alias_id, alias) for alias_id, alias in aliases.items()]
    return _page(request, "agentAliasSummaries", rows, body)


async def get_agent(request: web.Request, agent_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    agent = _agent_of(world, agent_id)
    stamp = world.stamp()
    told = {
        **_agent(world, agent_id, agent),
        "agentArn": world.arn(f"agent/{agent_id}"),
        "agentVersion": "DRAFT",
        "agentResourceRoleArn": f"arn:aws:iam::{world.account}:role/standin",
        "idleSessionTTLInSeconds": int(agent.ttl),
        "createdAt": stamp,
        "preparedAt": stamp,
    }
    del told["latestAgentVersion"]
    return _reply({"agent": told})


async def get_agent_alias(request: web.Request, agent_id: str, alias_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    agent = _agent_of(world, agent_id)
    bodies.ALIAS_ID.check(alias_id, "agentAliasId")
    if (alias := _aliases(agent).get(alias_id)) is None:
        raise missing()
    told = {
        **_alias(world, alias_id, alias),
        "agentId": agent_id,
        "agentAliasArn": world.arn(f"agent-alias/{agent_id}/{alias_id}"),
    }
    return _reply({"agentAlias": told})


async def list_flows(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    rows = [_flow(world, flow_id, flow) for flow_id, flow in world.flows.items()]
    return _page(request, "flowSummaries", rows, _query(request))


async def list_flow_aliases(request: web.Request, flow_id: str) -> web.StreamResponse:
    world = request.app[WORLD]
    bodies.FLOW_ID.check(flow_id, "flowIdentifier")
    flow_id = flow_id.rpartition("/")[2]
    if (flow := world.flows.get(flow_id)) is None:
        raise missing()
    stamp = world.stamp()
    rows = [
        {
            "id": alias_id,
            "name": name,
            "flowId": flow_id,
            "arn": world.arn(f"flow/{flow_id}/alias/{alias_id}"),
            "routingConfiguration": [{"flowVersion": "DRAFT" if alias_id == DRAFT_ALIAS else "1"}],
            "createdAt": stamp,
            "updatedAt": stamp,
        }
        for alias_id, name in ({DRAFT_ALIAS: "draft"} | flow.aliases).items()
    ]
    return _page(request, "flowAliasSummaries", rows, _query(request))


# Rows.


def _agent_of(world: World, agent_id: str) -> Agent:
    bodies.ID.check(agent_id, "agentId")
    if (agent := world.agents.get(agent_id)) is None:
        raise missing()
    return agent


def _aliases(agent: Agent) -> dict[str, Alias]:
    return {DRAFT_ALIAS: Alias("AgentTestAlias", version="DRAFT")} | agent.aliases


def _agent(world: World, agent_id: str, agent: Agent) -> dict[str, Any]:
    told = {
        "agentId": agent_id,
        "agentName": agent.name,
        "agentStatus": agent.status,
        "updatedAt": world.stamp(),
        "latestAgentVersion": "1",
    }
    return {**told, "description": agent.description} if agent.description else told


def _alias(world: World, alias_id: str, alias: Alias) -> dict[str, Any]:
    stamp = world.stamp()
    told = {
        "agentAliasId": alias_id,
        "agentAliasName": alias.name,
        "agentAliasStatus": alias.status,
        "aliasInvocationState": _STATUSES[alias.accepts],
        "routingConfiguration": [{"agentVersion": alias.version}],
        "createdAt": stamp,
        "updatedAt": stamp,
    }
    return {**told, "description": alias.description} if alias.description else told


def _flow(world: World, flow_id: str, flow: Flow) -> dict[str, Any]:
    stamp = world.stamp()
    told = {
        "id": flow_id,
        "name": flow.name,
        "arn": world.arn(f"flow/{flow_id}"),
        "status": flow.status,
        "version": "DRAFT",
        "createdAt": stamp,
        "updatedAt": stamp,
    }
    return {**told, "description": flow.description} if flow.description else told


# Pages.


def _query(request: web.Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query)
    if "maxResults" in given:
        text = given["maxResults"]
        if not (text.isascii() and text.isdigit()):
            raise invalid("The maxResults of the query must be an integer.")
        given["maxResults"] = int(text[:12])
    bodies.LIST.check(given, "")
    return given


def _page(request: web.Request, member: str, rows: Sequence[Any], asked: dict[str, Any]) -> web.Response:
    start = _start(request.path, asked["nextToken"]) if "nextToken" in asked else 0
    end = start + min(asked.get("maxResults", 10), request.app[WORLD].knobs.page)
    told: dict[str, Any] = {member: list(rows[start:end])}
    if end < len(rows):
        told["nextToken"] = base64.b64encode(f"{end} {request.path}".encode()).decode()
    return _reply(told)


def _start(path: str, token: str) -> int:
    try:
        start, _, listed = base64.b64decode(token, validate=True).decode().partition(" ")
        number = int(start)
    except (binascii.Error, ValueError):
        raise invalid("The nextToken is not valid.") from None
    if listed != path:
        raise invalid("The nextToken is not valid.")
    return number


def _reply(document: Any) -> web.Response:
    return web.Response(body=wirejson.dumps(document), content_type="application/json")
