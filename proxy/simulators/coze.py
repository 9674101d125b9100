"""A server of the Coze dialect for the demo and the tests: the hosted platform's API, or Coze Studio's.

A real aiohttp application, as strict as the platform: it checks tokens and requests, keeps conversations, records
what it heard and when a client left, and answers with the built-in generator. What a bot or a workflow does is in
knobs by its id, what the server as a whole does in ``platform``; both may be turned while it runs. This file is the
table of routes and what stands around every request; the nouns have files of their own.
"""

from __future__ import annotations

import itertools
import time
from asyncio import CancelledError, sleep
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import Factory, define, field, frozen

from proxy.simulators import coze_catalog as catalog
from proxy.simulators import coze_chats as chats
from proxy.simulators import coze_conversations as conversations
from proxy.simulators import coze_replies as replies
from proxy.simulators import coze_workflows as workflows
from proxy.simulators.coze_access import ACCESS, ACCESSES, TOKEN_PATH, Access, Accesses, OAuthApp, token
from proxy.simulators.coze_knobs import Failure, Knobs, Platform, WorkflowKnobs
from proxy.simulators.coze_state import WORLD, World
from proxy.simulators.recorded import Recorded

DEMO_TOKEN = "pat_standin_demo"  # noqa: S105
DEMO_BOT = "7512000000000000001"
DEMO_WORKFLOW = "7512000000000000002"
DEMO_CHATFLOW = "7512000000000000003"
DEMO_SPACE = "7512000000000000004"
_ACCOUNT = "7512000000000000005"

_REMEMBERED = 10_000  # requests kept for whoever asks; a demo may run for weeks
_BODY_LIMIT = 64 << 20


@define
class Fate:
    """When things happened to a request, on ``time.monotonic``."""

    left: float | None = None
    """When its client went away without waiting for the end of the answer."""
    ended: float | None = None
    """When it was over, for whatever reason."""


@frozen(eq=False)
class Heard(Recorded):
    """One request, and what became of it."""

    arrived: float
    fate: Fate = Factory(Fate)

    @property
    def left(self) -> float | None:
        return self.fate.left


@define(eq=False)
class _Log:
    requests: deque[Heard] = Factory(lambda: deque(maxlen=_REMEMBERED))
    peers: dict[Any, int] = Factory(dict)
    numbers: Iterator[int] = field(factory=lambda: itertools.count(1))


_LOG = web.AppKey("log", _Log)

_HOSTED, _STUDIO, _EITHER = (False,), (True,), (False, True)
_ROUTES: tuple[tuple[str, str, str, tuple[bool, ...], Handler], ...] = (
    ("POST", "/v3/chat", "chat", _EITHER, chats.create),
    ("GET", "/v3/chat/retrieve", "getChat", _EITHER, chats.retrieve),
    ("POST", "/v3/chat/retrieve", "getChat", _EITHER, chats.retrieve),
    ("GET", "/v3/chat/message/list", "listMessage", _EITHER, chats.messages),
    ("POST", "/v3/chat/cancel", "", _EITHER, chats.cancel),
    ("POST", "/v3/chat/submit_tool_outputs", "submitToolChat", _EITHER, chats.submit),
    ("POST", "/v1/conversation/create", "", _EITHER, conversations.create),
    ("GET", "/v1/conversation/retrieve", "", _EITHER, conversations.retrieve),
    ("GET", "/v1/conversations", "", _EITHER, conversations.index),
    ("PUT", "/v1/conversations/{conversation_id}", "editConversation", _EITHER, conversations.rename),
    ("DELETE", "/v1/conversations/{conversation_id}", "editConversation", _EITHER, conversations.delete),
    ("POST", "/v1/conversations/{conversation_id}/clear", "", _EITHER, conversations.clear),
    ("POST", "/v1/conversation/message/create", "", _EITHER, conversations.add_message),
    ("POST", "/v1/conversation/message/list", "listMessage", _EITHER, conversations.list_messages),
    ("GET", "/v1/conversation/message/retrieve", "", _EITHER, conversations.retrieve_message),
    ("POST", "/v1/conversation/message/modify", "", _EITHER, conversations.modify_message),
    ("POST", "/v1/conversation/message/delete", "", _EITHER, conversations.delete_message),
    ("POST", "/v1/workflow/run", "run", _EITHER, workflows.run),
    ("POST", "/v1/workflow/stream_run", "run", _EITHER, workflows.stream_run),
    ("POST", "/v1/workflow/stream_resume", "run", _EITHER, workflows.stream_resume),
    ("POST", "/v1/workflows/resume", "run", _EITHER, workflows.resume),
    ("POST", "/v1/workflows/chat", "run", _EITHER, workflows.chat),
    ("GET", "/v1/workflow/get_run_history", "listRunHistory", _STUDIO, workflows.studio_history),
    (
        "GET",
        "/v1/workflows/{workflow_id}/run_histories/{execute_id}",
        "listRunHistory",
        _HOSTED,
        workflows.history,
    ),
    (
        "GET",
        "/v1/workflows/{workflow_id}/run_histories/{execute_id}/execute_nodes/{uuid}",
        "listRunHistory",
        _HOSTED,
        workflows.node_output,
    ),
    ("GET", "/v1/workflows", "", _EITHER, workflows.index),
    ("GET", "/v1/workflows/{workflow_id}", "", _EITHER, workflows.show),
    ("POST", "/v1/files/upload", "uploadFile", _EITHER, catalog.upload),
    ("GET", "/v1/files/retrieve", "", _EITHER, catalog.file),
    ("GET", "/v1/bots", "", _EITHER, catalog.bots),
    ("GET", "/v1/bots/{bot_id}", "", _EITHER, catalog.bot),
    ("GET", "/v1/bot/get_online_info", "", _EITHER, catalog.online_bot),
    ("GET", "/v1/space/published_bots_list", "", _EITHER, catalog.published_bots),
    ("GET", "/v1/users/me", "", _EITHER, catalog.me),
    ("GET", "/v1/workspaces", "", _EITHER, catalog.workspaces),
)
"""Method, path, the permission point it needs, on which platform it is, and who answers."""


def build(
    *,
    tokens: Mapping[str, Access] | None = None,
    apps: Iterable[OAuthApp] = (),
    bots: Mapping[str, Knobs] | None = None,
    workflows: Mapping[str, WorkflowKnobs] | None = None,
    platform: Platform | None = None,
    space_id: str = DEMO_SPACE,
    clock: Callable[[], float] = time.time,
) -> web.Application:
    """The application; without tokens, bots or workflows it has those of the demo."""
    app = web.Application(middlewares=[_recorded, _answered], client_max_size=_BODY_LIMIT)
    app[WORLD] = World(
        clock,
        platform or Platform(),
        {DEMO_BOT: Knobs(name="coze-demo")} if bots is None else dict(bots),
        _demo_workflows() if workflows is None else dict(workflows),
        space_id,
    )
    given = {DEMO_TOKEN: Access(_ACCOUNT)} if tokens is None else dict(tokens)
    app[ACCESSES] = Accesses(clock, {oauth.key_id: oauth for oauth in apps}, given)
    app[_LOG] = _Log()
    for method, path, permission, platforms, handler in _ROUTES:
        app.router.add_route(method, path, _guarded(permission, platforms, handler))
    app.router.add_post(TOKEN_PATH, token)
    app.router.add_route("*", "/{path:.*}", _nowhere)
    app.on_response_prepare.append(_named)
    app.on_shutdown.append(_closing)
    app.on_cleanup.append(_closed)
    return app


def _demo_workflows() -> dict[str, WorkflowKnobs]:
    return {
        DEMO_WORKFLOW: WorkflowKnobs(name="coze-workflow-demo"),
        DEMO_CHATFLOW: WorkflowKnobs(name="coze-chatflow-demo", mode="chatflow"),
    }


class CozeStandIn:
    """The application on a port of its own, as an async context manager."""

    def __init__(self, *, knobs: Knobs | None = None, **settings: Any) -> None:
        """``knobs`` are those of the demo's bot; the settings are those of ``build``."""
        self._app = build(**settings)
        self._runner = web.AppRunner(
            self._app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        self.url = ""
        if knobs is not None:
            self.bots[DEMO_BOT] = knobs

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
        """What the platform knows: conversations, chats, runs and files."""
        return self._app[WORLD]

    @property
    def platform(self) -> Platform:
        return self.world.platform

    @property
    def bots(self) -> dict[str, Knobs]:
        return self.world.bots

    @property
    def workflows(self) -> dict[str, WorkflowKnobs]:
        return self.world.workflows

    @property
    def knobs(self) -> Knobs:
        """Those of the demo's bot."""
        return self.bots[DEMO_BOT]

    @property
    def requests(self) -> deque[Heard]:
        return self._app[_LOG].requests

    def heard(self, path: str) -> list[Heard]:
        """The requests for this path, whatever their query."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    @property
    def connections(self) -> int:
        """How many connections ever brought a request."""
        return len(self._app[_LOG].peers)

    @property
    def open_connections(self) -> int:
        return len(self._runner.server.connections) if self._runner.server is not None else 0


# Around every request.


@web.middleware
async def _recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    log, world = request.app[_LOG], request.app[WORLD]
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(world.now()))
    request[replies.LOGID] = f"{stamp}{next(log.numbers):020X}"
    number = log.peers.setdefault(request.get_extra_info("peername"), len(log.peers) + 1)
    body = await request.read()
    heard = Heard(request.method, request.raw_path, request.headers, body, number, time.monotonic())
    log.requests.append(heard)
    try:
        if world.platform.first_delay:
            await sleep(world.platform.first_delay)
        return await handler(request)
    except (CancelledError, ConnectionError):
        if not world.closing:
            heard.fate.left = time.monotonic()
        raise
    finally:
        heard.fate.ended = time.monotonic()


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures that were ordered, and refusals in the platform's own shape."""
    platform = request.app[WORLD].platform
    for failure in platform.failures:
        if request.path.startswith(failure.path):
            platform.failures.remove(failure)
            return _failed(request, failure)
    try:
        return await handler(request)
    except replies.Fault as fault:
        if platform.studio:
            return replies.refused_by_studio(request, fault)
        return replies.refused(request, fault, platform.auth_status)


def _failed(request: web.Request, failure: Failure) -> web.Response:
    envelope = replies.plain(
        request,
        {"code": failure.code, "msg": failure.msg, "detail": {"logid": request[replies.LOGID]}},
        failure.status,
    )
    if failure.body is not None:
        envelope.body = failure.body
    envelope.headers["Content-Type"] = failure.content_type
    return envelope


def _guarded(permission: str, platforms: tuple[bool, ...], handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.app[WORLD].platform.studio not in platforms:
            return await _nowhere(request)
        access = request.app[ACCESSES].of(request.headers.get("Authorization", ""))
        access.check(permission)
        request[ACCESS] = access
        return await handler(request)

    return guarded


async def _nowhere(request: web.Request) -> web.StreamResponse:
    """Said by what stands in front of the platform: no envelope."""
    return web.Response(text="404 page not found", status=404)


async def _named(request: web.Request, response: web.StreamResponse) -> None:
    if (logid := request.get(replies.LOGID)) is not None:
        response.headers[replies.LOGID_HEADER] = logid


async def _closing(app: web.Application) -> None:
    app[WORLD].closing = True


async def _closed(app: web.Application) -> None:
    await app[WORLD].close()
