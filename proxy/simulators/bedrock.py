"""A server of Amazon Bedrock's agents for the demo and the tests: agents, inline agents, flows and AgentCore.

A real aiohttp application, as strict as the platform: it verifies signatures from the raw bytes, validates requests
like the service model, keeps sessions, and answers in frames with the built-in words. All services are at one
address, told apart by path and by the scope of the signature. What agents do is in knobs (bedrock_knobs.py).

A question can ask for something special by its words: one that names an action (``track parcel 77``,
``/orders/{id}``) is answered with returnControl; ``[throttlingException]`` is answered with that exception as a
status, ``[event throttlingException]`` with it as the only event, ``[late throttlingException]`` after some others.

>>> async with BedrockStandIn() as bedrock:
...     bedrock.url, bedrock.requests, bedrock.agents[DEMO_AGENT]
"""

from __future__ import annotations

import re
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import frozen

from proxy.simulators import bedrock_agents as agents
from proxy.simulators import bedrock_control as control
from proxy.simulators import bedrock_flows as flows
from proxy.simulators import bedrock_runtimes as runtimes
from proxy.simulators.bedrock_actions import Api, Function, Group
from proxy.simulators.bedrock_auth import Keys, bearer_of, received, verify
from proxy.simulators.bedrock_faults import Fault, Trouble
from proxy.simulators.bedrock_knobs import Agent, Alias, Failure, Flow, Knobs, Runtime
from proxy.simulators.bedrock_sessions import Session, Sessions
from proxy.simulators.bedrock_stream import FAILURE, Told
from proxy.simulators.bedrock_world import WORLD, Heard, World

DEMO_KEYS = Keys("AKIDSTANDINDEMO", "stand-in-demo-secret")
DEMO_REGION = "us-east-1"
DEMO_ACCOUNT = "111122223333"
DEMO_AGENT = "DEMOAGENT1"
DEMO_ALIAS = "DEMOALIAS1"
DEMO_FLOW = "DEMOFLOW01"
DEMO_FLOW_ALIAS = "FLOWALIAS1"
DEMO_RUNTIME_ID = "demo-St4ndIn001"
DEMO_RUNTIME = f"arn:aws:bedrock-agentcore:{DEMO_REGION}:{DEMO_ACCOUNT}:runtime/{DEMO_RUNTIME_ID}"
DEMO_GROUPS = (
    Group("Parcels", (Function("track", {"parcel": "integer"}, description="Where a parcel is."),)),
    Group("Orders", (Api("/orders/{id}", "GET", {"id": "string"}),)),
)

_BODY_LIMIT = 112 << 20  # the longest payload of a runtime, and a little more so that it is us who refuse
_REQUEST_ID = web.RequestKey("request id", str)


@frozen
class _Route:
    """``path`` matches the raw path; its groups are the arguments of ``handler``."""

    method: str
    path: re.Pattern[str]
    handler: Callable[..., Awaitable[web.StreamResponse]]
    service: str = "bedrock"


def _route(
    method: str, path: str, handler: Callable[..., Awaitable[web.StreamResponse]], *service: str
) -> _Route:
    pattern = re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(path))
    return _Route(method, re.compile(pattern), handler, *service)


_ROUTES = (
    _route("POST", "/agents/{agent}/agentAliases/{alias}/sessions/{session}/text", agents.invoke_agent),
    _route("POST", "/agents/", control.list_agents),
    _route("POST", "/agents/{session}", agents.invoke_inline_agent),
    _route("GET", "/agents/{agent}/", control.get_agent),
    _route("POST", "/agents/{agent}/agentaliases/", control.list_agent_aliases),
    _route("GET", "/agents/{agent}/agentaliases/{alias}/", control.get_agent_alias),
    _route("POST", "/flows/{flow}/aliases/{alias}", flows.invoke_flow),
    _route("GET", "/flows/", control.list_flows),
    _route("GET", "/flows/{flow}/aliases", control.list_flow_aliases),
    _route("POST", "/runtimes/{arn}/invocations", runtimes.invoke_runtime, "bedrock-agentcore"),
    _route("POST", "/runtimes/{arn}/stopruntimesession", runtimes.stop_session, "bedrock-agentcore"),
)


def build(
    *,
    keys: Iterable[Keys] = (DEMO_KEYS,),
    region: str = DEMO_REGION,
    account: str = DEMO_ACCOUNT,
    agents: Mapping[str, Agent] | None = None,
    inline: Agent | None = None,
    flows: Mapping[str, Flow] | None = None,
    runtimes: Mapping[str, Runtime] | None = None,
    knobs: Knobs | None = None,
    clock: Callable[[], float] = time.time,
) -> web.Application:
    """The application; without agents, flows or runtimes it has those of the demo."""
    app = web.Application(middlewares=[_recorded, _answered], client_max_size=_BODY_LIMIT)
    app[WORLD] = World(
        clock,
        region,
        account,
        {one.access_key: one for one in keys},
        _demo_agents() if agents is None else dict(agents),
        inline or Agent(name="inline"),
        {DEMO_FLOW: Flow(name="bedrock-flow-demo", aliases={DEMO_FLOW_ALIAS: "live"})}
        if flows is None
        else dict(flows),
        {DEMO_RUNTIME_ID: Runtime(name="demo")} if runtimes is None else dict(runtimes),
        knobs or Knobs(),
        Sessions(clock),
    )
    app.router.add_route("*", "/{path:.*}", _dispatch)
    app.on_response_prepare.append(_named)
    app.on_shutdown.append(_closing)
    app.on_cleanup.append(_closed)
    return app


def _demo_agents() -> dict[str, Agent]:
    return {DEMO_AGENT: Agent(name="bedrock-demo", aliases={DEMO_ALIAS: Alias()}, groups=DEMO_GROUPS)}


class BedrockStandIn:
    """The application on a port of its own, as an async context manager."""

    def __init__(self, agent: Agent | None = None, **settings: Any) -> None:
        """``agent`` is the demo's; the settings are those of ``build``."""
        if agent is not None:
            agent.aliases.setdefault(DEMO_ALIAS, Alias())
            settings["agents"] = {DEMO_AGENT: agent, **settings.get("agents", {})}
        self._app = build(**settings)
        self._runner = web.AppRunner(
            self._app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def world(self) -> World:
        return self._app[WORLD]

    @property
    def knobs(self) -> Knobs:
        return self.world.knobs

    @property
    def agents(self) -> dict[str, Agent]:
        return self.world.agents

    @property
    def agent(self) -> Agent:
        """The demo's."""
        return self.agents[DEMO_AGENT]

    @property
    def inline(self) -> Agent:
        return self.world.inline

    @property
    def flow(self) -> Flow:
        """The demo's."""
        return self.world.flows[DEMO_FLOW]

    @property
    def runtime(self) -> Runtime:
        """The demo's."""
        return self.world.runtimes[DEMO_RUNTIME_ID]

    @property
    def requests(self) -> deque[Heard]:
        return self.world.requests

    def heard(self, part: str) -> list[Heard]:
        """The requests that have this in their path."""
        return [request for request in self.requests if part in request.path.partition("?")[0]]

    def session(
        self, session_id: str, agent_id: str = DEMO_AGENT, alias_id: str = DEMO_ALIAS
    ) -> Session | None:
        return self.world.session(agent_id, alias_id, session_id)

    @property
    def connections(self) -> int:
        """How many connections ever brought a request."""
        return len(self.world.peers)

    @property
    def open_connections(self) -> int:
        return len(self._runner.server.connections) if self._runner.server is not None else 0


# Around every request.


@web.middleware
async def _recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    world = request.app[WORLD]
    request[_REQUEST_ID] = world.new_id()
    number = world.peers.setdefault(request.get_extra_info("peername"), len(world.peers) + 1)
    body = await request.read()
    heard = Heard(request.method, request.raw_path, request.headers, body, number, time.monotonic())
    world.requests.append(heard)
    try:
        return await handler(request)
    except (CancelledError, ConnectionError):
        if not world.closing:
            heard.fate.left = time.monotonic()
        raise
    finally:
        heard.fate.ended = time.monotonic()


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures that were ordered, and refusals in the form of AWS."""
    knobs = request.app[WORLD].knobs
    for failure in knobs.failures:
        if failure.path in request.raw_path:
            knobs.failures.remove(failure)
            if failure.how == "http":
                return _refusal(failure)
            request[FAILURE] = failure
            break
    try:
        return await handler(request)
    except Fault as fault:
        return _refusal(Failure(fault.trouble))
    except Told as told:
        return _refusal(told.failure)


def _refusal(failure: Failure) -> web.Response:
    trouble = failure.trouble
    named = {
        "header": trouble.type,
        "url": f"{trouble.type}:http://internal.amazon.com/coral/com.amazon.bedrock/",
    }
    headers = {"x-amzn-ErrorType": named[failure.named_in]} if failure.named_in in named else {}
    if failure.named_in == "body":
        trouble = Trouble(
            trouble.name, trouble.message, {**trouble.beside, "__type": f"com.amazon#{trouble.type}"}
        )
    return web.Response(
        body=trouble.body if failure.body is None else failure.body,
        status=failure.status or trouble.status,
        content_type="application/json",
        headers={**headers, **failure.headers},
    )


async def _dispatch(request: web.Request) -> web.StreamResponse:
    path = request.raw_path.partition("?")[0]
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise Fault("unknownOperationException")  # they lead elsewhere, whatever stands there
    for route in _ROUTES:
        if route.method == request.method and (found := route.path.fullmatch(path)) is not None:
            await _verify(request, route)
            return await route.handler(request, *map(unquote, found.groups()))
    raise Fault("unknownOperationException")


async def _verify(request: web.Request, route: _Route) -> None:
    world = request.app[WORLD]
    if not world.knobs.signed:
        return
    if route.handler is runtimes.invoke_runtime and bearer_of(request.headers) is not None:
        return  # whether it takes a token is the runtime's to say
    claimed = received(request.method, request.raw_path, request.raw_headers, await request.read())
    verify(
        claimed,
        world.keys,
        region=world.region,
        service=route.service,
        now=world.clock(),
        skew=world.knobs.skew,
    )


async def _named(request: web.Request, response: web.StreamResponse) -> None:
    if (request_id := request.get(_REQUEST_ID)) is not None:
        response.headers["x-amzn-RequestId"] = request_id


async def _closing(app: web.Application) -> None:
    app[WORLD].closing = True


async def _closed(app: web.Application) -> None:
    await app[WORLD].close()
