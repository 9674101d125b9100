"""Talking to the Dify stand-in: one client, the events of a body, and an app of each mode."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import frozen

from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import App, Knobs, Variable
from proxy.simulators.dify_versions import VERSIONS, Version

KEYS = {
    "chat": "app-chat",
    "agent-chat": "app-agent",
    "agent": "app-new-agent",
    "advanced-chat": "app-flow",
    "completion": "app-completion",
    "workflow": "app-workflow",
}
PATHS = {"completion": "completion-messages", "workflow": "workflows/run"}
COUNT = "count to 3"
COUNTED = ["1", ",", " 2", ",", " 3", "."]
NOWHERE = "00000000-0000-4000-8000-0000000000ff"

_WORDS = ("message", "agent_message", "text_chunk", "reasoning_chunk")


def app_of(mode: str, **more: Any) -> App:
    """A workflow has no query: it asks for a topic."""
    return App(mode, form=(Variable("topic"),) if mode == "workflow" else (), **more)


def inputs_of(mode: str) -> dict[str, Any]:
    return {"topic": COUNT} if mode == "workflow" else {}


@frozen
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        frames = re.split(rb"\r?\n\r?\n", self.body)
        return [json.loads(one.partition(b":")[2]) for one in frames if one.startswith(b"data:")]

    @property
    def error(self) -> tuple[int, str, str]:
        told = self.json
        return self.status, told["code"], told["message"]


@frozen
class Client:
    server: DifyStandIn
    session: aiohttp.ClientSession

    async def ask(
        self,
        mode: str,
        body: dict[str, Any] | None = None,
        /,
        *,
        path: str | None = None,
        user: str = "ann",
        **more: Any,
    ) -> Reply:
        """A question of the usual form, changed by ``more``; a whole ``body`` replaces it."""
        path = path or PATHS.get(mode, "chat-messages")
        usual = {"inputs": inputs_of(mode), "query": COUNT, "user": user, "response_mode": "streaming"}
        asked = {**usual, "auto_generate_name": False, **more} if body is None else body
        return await self.send("POST", path, mode, json=asked)

    async def send(
        self, verb: str, path: str, mode: str = "chat", key: str | None = None, **more: Any
    ) -> Reply:
        headers = {"Authorization": f"Bearer {key or KEYS[mode]}", **more.pop("headers", {})}
        url = path if path.startswith("http") else f"{self.server.url}/{path}"
        async with self.session.request(verb, url, headers=headers, **more) as response:
            return Reply(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def open(self, mode: str, user: str = "ann", **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A stream that the test reads, or leaves."""
        usual = {"inputs": inputs_of(mode), "query": COUNT, "user": user, "response_mode": "streaming"}
        asked = {**usual, **more}
        async with self.session.post(
            f"{self.server.url}/{PATHS.get(mode, 'chat-messages')}",
            json={"auto_generate_name": False, **asked},
            headers={"Authorization": f"Bearer {KEYS[mode]}"},
        ) as response:
            yield response

    async def stop(self, mode: str, task_id: str, user: str = "ann") -> Reply:
        family = {"completion": "completion-messages", "workflow": "workflows/tasks"}.get(
            mode, "chat-messages"
        )
        return await self.send("POST", f"{family}/{task_id}/stop", mode, json={"user": user})


@asynccontextmanager
async def dify(
    version: Version | str = "1.16", knobs: Knobs | None = None, apps: dict[str, App] | None = None
) -> AsyncIterator[Client]:
    """A stand-in with an app of each mode, each behind its own key, and a client for it."""
    known = VERSIONS[version] if isinstance(version, str) else version
    opened = {key: app_of(mode) for mode, key in KEYS.items() if mode in known.modes} | (apps or {})
    async with (
        DifyStandIn(opened, version, knobs=knobs, clock=lambda: 1_760_000_000.5) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Client(server, session)


async def first_event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next data line of a stream under way, which is the first for who reads no other."""
    while True:
        line = await response.content.readline()
        assert line, "the stream ended without an event"
        if line.startswith(b"data:"):
            told: dict[str, Any] = json.loads(line[5:])
            return told


async def until(condition: Callable[[], bool], what: str, seconds: float = 3.0) -> None:
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"after {seconds} s still not: {what}")


def shape(events: list[dict[str, Any]]) -> list[str]:
    """The names of events in order, runs of words once; nodes with their own name."""
    names: list[str] = []
    for event in events:
        name = event["event"]
        if name.startswith("node_"):
            name = f"{name}({event['data']['node_id']})"
        if not names or name != names[-1] or name not in _WORDS:
            names.append(name)
    return names


def text(events: list[dict[str, Any]]) -> str:
    said = [
        event.get("answer", event.get("data", {}).get("text", ""))
        for event in events
        if event["event"] in _WORDS
    ]
    return "".join(said)


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]
