"""A server of Dify's own API for the demo, the tests and the bench: all app modes, releases 1.0 to 1.16.

A real aiohttp application, built from wire/dify.md: it checks requests as strictly as the platform, records
them, and answers in the built-in words, told as the chosen version tells them. A key opens an app; ``Knobs``
change how apps behave while they run. Connections beyond ten wait unanswered, as with the stock container: that
too is a knob.

>>> async with DifyStandIn({"app-chat": App("chat")}, "1.12") as dify:
...     dify.url, dify.requests, dify.knobs
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from proxy.simulators import dify_about, dify_generate, dify_records, dify_uploads
from proxy.simulators.dify_apps import App, Knobs
from proxy.simulators.dify_listen import Door
from proxy.simulators.dify_platform import PLATFORM, DifyRequest, Platform, gate, recorded, refusals, told_by
from proxy.simulators.dify_runs import Run
from proxy.simulators.dify_store import Store
from proxy.simulators.dify_versions import VERSIONS, Version

_BODY_LIMIT = 160 << 20  # the longest video, and room for the form around it
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def build(platform: Platform) -> web.Application:
    """The application around a platform."""
    app = web.Application(middlewares=[recorded, refusals], client_max_size=_BODY_LIMIT)
    app[PLATFORM] = platform
    app.on_response_prepare.append(told_by)
    conversation = f"/v1/conversations/{{id:{_UUID}}}"
    message = f"/v1/messages/{{id:{_UUID}}}"
    routes = [
        ("POST", "/v1/chat-messages", dify_generate.generate),
        ("POST", "/v1/chat-messages/{task_id}/stop", dify_generate.stop),
        ("POST", "/v1/completion-messages", dify_generate.generate),
        ("POST", "/v1/completion-messages/{task_id}/stop", dify_generate.stop),
        ("POST", "/v1/workflows/run", dify_generate.generate),
        ("POST", "/v1/workflows/{workflow_id}/run", dify_generate.generate),
        ("POST", "/v1/workflows/tasks/{task_id}/stop", dify_generate.stop),
        ("GET", "/v1/workflows/run/{run_id}", dify_records.workflow_run),
        ("GET", "/v1/workflow/{run_id}/events", dify_records.workflow_events),
        ("POST", "/v1/files/upload", dify_uploads.upload),
        ("GET", "/v1/files/{file_id}/preview", dify_uploads.preview),
        ("POST", "/v1/audio-to-text", dify_uploads.audio_to_text),
        ("POST", "/v1/text-to-audio", dify_uploads.text_to_audio),
        ("GET", "/v1/conversations", dify_records.conversations),
        ("DELETE", conversation, dify_records.delete),
        ("POST", f"{conversation}/name", dify_records.rename),
        ("GET", f"{conversation}/variables", dify_records.variables),
        ("PUT", f"{conversation}/variables/{{variable_id:{_UUID}}}", dify_records.set_variable),
        ("GET", "/v1/messages", dify_records.messages),
        ("GET", f"{message}/suggested", dify_records.suggested),
        ("POST", f"{message}/feedbacks", dify_records.give_feedback),
        ("GET", "/v1/app/feedbacks", dify_records.feedbacks),
        ("GET", "/v1/info", dify_about.info),
        ("GET", "/v1/parameters", dify_about.parameters),
        ("GET", "/v1/meta", dify_about.meta),
        ("GET", "/v1/site", dify_about.site),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, gate(handler))
    app.router.add_get("/files/tools/{name}", dify_uploads.tool_file)
    app.router.add_get("/files/{file_id}/file-preview", dify_uploads.signed)
    return app


class DifyStandIn:
    """The platform on a port of its own, as an async context manager.

    ``apps`` are found by key; without any there is one chatflow behind ``app-demo``.
    """

    def __init__(
        self,
        apps: Mapping[str, App] | None = None,
        version: Version | str = "1.16",
        *,
        knobs: Knobs | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        chosen = VERSIONS[version] if isinstance(version, str) else version
        opened = dict(apps) if apps is not None else {"app-demo": App()}
        for key, app in opened.items():
            if app.mode not in chosen.modes:
                raise ValueError(f"Dify {chosen.name} has no app of mode {app.mode} to put behind {key[:8]}…")
        numbers = itertools.count(1)
        self.knobs = knobs if knobs is not None else Knobs()
        self._door = Door(lambda: self.knobs.connections, clock)
        self._platform = Platform(
            chosen, opened, self.knobs, clock, new_id or (lambda: _id_of(next(numbers))), self._door
        )
        self._runner = web.AppRunner(build(self._platform), access_log=None, shutdown_timeout=0.1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self.url = f"http://127.0.0.1:{self._door.listen(self._runner.server)}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._door.close()
        await self._platform.runs.close()
        await self._runner.cleanup()

    @property
    def version(self) -> Version:
        return self._platform.version

    @property
    def apps(self) -> dict[str, App]:
        """By key; an app may be added or taken away while the stand-in runs."""
        return self._platform.apps

    @property
    def requests(self) -> deque[DifyRequest]:
        return self._platform.requests

    @property
    def runs(self) -> deque[Run]:
        """All runs, the oldest first, with what became of them."""
        return self._platform.runs.remembered

    @property
    def store(self) -> Store:
        return self._platform.store

    @property
    def connections(self) -> int:
        """How many connections ever brought a request."""
        return len(self._platform.peers)

    @property
    def open_connections(self) -> int:
        return self._door.open


def _id_of(number: int) -> str:
    """An id in the form of a version 4 UUID that counts up."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"
