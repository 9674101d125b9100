"""What an account has on Bedrock: the aliases of its agents or of its flows, as models, if they are to be found.

The lists come in short pages, and the aliases of every agent are a list of their own, so an account with many
agents is many calls: they are made one after the other, bounded in number, and wait when Amazon says that they come
too fast. An agent that is gone when its aliases are asked for is left out.

An operator who checks a configuration hears what the cheapest question proves: that the credential is taken, and
where it may read, that the agent is there. Runtimes are asked to stop a session that nobody has begun, because
every other question to them is answered by the agent itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from translators import wirejson
from translators.errors import Forbidden, GatewayError, NotFound, RateLimited, UpstreamMalformed
from translators.upstreams.bedrock_errors import refusal, refused_as
from translators.upstreams.bedrock_names import is_id, quoted, read, read_flow, read_runtime
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.plan import Call, Listed, Pause, Plan, Reply

SERVICE = "bedrock-agent"
RUNTIME_SERVICE = "bedrock-agentcore"
_PAGE = 100
_MAX_PAGES = 50
_MAX_OWNERS = 300
"""Agents or flows whose aliases are asked for."""
_ATTEMPTS = 4
_NOBODY = "deltawire-check-0000000000000000000000"
"""A session that nobody has."""

_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):?(\d\d))", re.ASCII
)


@frozen
class _Kind:
    """How one kind of thing that has aliases is listed."""

    owners: str
    """Member that holds them."""
    owner_id: str
    aliases: str
    alias_id: str
    ready: Callable[[Mapping[str, Any]], bool]
    invocable: Callable[[Mapping[str, Any]], bool]
    list_owners: Callable[[str], Call]
    list_aliases: Callable[[str, str], Call]


def _post(path: str, token: str) -> Call:
    page = {"maxResults": _PAGE, **({"nextToken": token} if token else {})}
    return Call("POST", path, wirejson.dumps(page), service=SERVICE)


def _get(path: str, token: str) -> Call:
    page = f"maxResults={_PAGE}" + (f"&nextToken={quoted(token)}" if token else "")
    return Call("GET", f"{path}?{page}", service=SERVICE)


def _accepts(alias: Mapping[str, Any]) -> bool:
    state = alias.get("aliasInvocationState")
    return alias.get("agentAliasStatus") == "PREPARED" and state != "REJECT_INVOCATIONS"


_AGENTS = _Kind(
    owners="agentSummaries",
    owner_id="agentId",
    aliases="agentAliasSummaries",
    alias_id="agentAliasId",
    ready=lambda agent: agent.get("agentStatus") == "PREPARED",
    invocable=_accepts,
    list_owners=lambda token: _post("agents/", token),
    list_aliases=lambda id, token: _post(f"agents/{id}/agentaliases/", token),
)
_FLOWS = _Kind(
    owners="flowSummaries",
    owner_id="id",
    aliases="flowAliasSummaries",
    alias_id="id",
    ready=lambda flow: flow.get("status") == "Prepared",
    invocable=lambda alias: True,
    list_owners=lambda token: _get("flows/", token),
    list_aliases=lambda id, token: _get(f"flows/{id}/aliases", token),
)


def listed_models(settings: BedrockSettings) -> Plan[list[Listed]] | None:
    """None where nothing is to be found, or where a model's name chooses nothing."""
    if not settings.discover or settings.runtime:
        return None
    if settings.flow:
        return _listed(_FLOWS)
    return None if settings.foundation_model else _listed(_AGENTS)


def checked(settings: BedrockSettings) -> Plan[str]:
    """What the credential opens, in words. Raises GatewayError."""
    if settings.runtime:
        return _checked_runtime(settings)
    if settings.flow:
        flow_id = read_flow("", settings).flow_id
        return _checked(Call("GET", f"flows/{flow_id}/aliases?maxResults=1", service=SERVICE), "a flow")
    if settings.foundation_model or not settings.agent_id:
        what = "an account, whose models clients call by their ids"
        if settings.foundation_model:
            what = f"an account, for agents made on the fly with {settings.foundation_model}"
        return _checked(Call("POST", "agents/", b'{"maxResults":1}', service=SERVICE), what)
    path = f"agents/{read('', settings).agent_id}/agentaliases/"
    return _checked(Call("POST", path, b'{"maxResults":1}', service=SERVICE), "an agent")


def _listed(kind: _Kind) -> Plan[list[Listed]]:
    found: list[Listed] = []
    owners = yield from _pages(kind.list_owners, kind.owners)
    ids = [owner.get(kind.owner_id) for owner in owners if kind.ready(owner)]
    for owner_id in [id for id in ids if is_id(id)][:_MAX_OWNERS]:
        try:
            aliases = yield from _pages(partial(kind.list_aliases, owner_id), kind.aliases)
        except NotFound:
            continue  # deleted meanwhile
        found += (
            Listed(f"{owner_id}/{alias[kind.alias_id]}", epoch(alias.get("createdAt")))
            for alias in aliases
            if is_id(alias.get(kind.alias_id)) and kind.invocable(alias)
        )
    return found


def _pages(list_from: Callable[[str], Call], member: str) -> Plan[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    token = ""
    for _ in range(_MAX_PAGES):
        document = yield from _asked(list_from(token))
        found += _objects(document.get(member))
        token = document.get("nextToken") or ""
        if not isinstance(token, str) or not token:
            break
    return found


def _asked(call: Call) -> Plan[dict[str, Any]]:
    """The document that a call brings; a call that comes too fast is made again after a while."""
    for _ in range(_ATTEMPTS - 1):
        reply: Reply = yield call
        error = _error(reply)
        if not isinstance(error, RateLimited):
            break
        yield Pause(min(error.retry_after or 1.0, 5.0))
    else:
        reply = yield call
        error = _error(reply)
    if error is not None:
        raise error
    document = wirejson.loads(reply.body)
    if not isinstance(document, dict):
        raise UpstreamMalformed("Bedrock answered with something that is no list.")
    return document


def _error(reply: Reply) -> GatewayError | None:
    return None if reply.status == 200 else refusal(reply.status, reply.headers, reply.body, None)


def _objects(items: Any) -> Iterator[dict[str, Any]]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def _checked(call: Call, what: str) -> Plan[str]:
    try:
        yield from _asked(call)
    except Forbidden:
        return "takes the credential, which may not list what there is"
    return what


def _checked_runtime(settings: BedrockSettings) -> Plan[str]:
    runtime = quoted(read_runtime("", settings))
    path = f"runtimes/{runtime}/stopruntimesession?qualifier={quoted(settings.qualifier or 'DEFAULT')}"
    session = {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": _NOBODY}
    reply: Reply = yield Call("POST", path, b"{}", session, RUNTIME_SERVICE)
    if refused_as(reply.headers, reply.body) == "accessdenied":
        return "there; this credential may not stop sessions, so only a question can tell more"
    if reply.status == 404 and refused_as(reply.headers, reply.body) != "resourcenotfound":
        raise UpstreamMalformed("is not AgentCore's API at this address (HTTP 404)")
    error = _error(reply)
    if error is not None and not isinstance(error, NotFound):
        raise error
    return "takes the credential"


def epoch(stamp: Any) -> int:
    """Seconds since 1970 of a time in ISO 8601; zero if it is none."""
    match = _STAMP.fullmatch(stamp) if isinstance(stamp, str) else None
    if match is None:
        return 0
    year, month, day, hour, minute, second = (int(digits) for digits in match.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # a year that ends with February
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469
    east = 0
    if match[7]:
        east = (int(match[8]) * 60 + int(match[9])) * (-60 if match[7] == "-" else 60)
    return days * 86400 + hour * 3600 + minute * 60 + second - east
