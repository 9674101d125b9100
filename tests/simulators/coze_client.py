"""A small client of the Coze stand-in, so that its tests say what they send and read what comes byte by byte."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import define

from proxy.simulators.coze import DEMO_BOT, DEMO_TOKEN, CozeStandIn
from proxy.simulators.coze_knobs import Knobs, Platform, WorkflowKnobs

with warnings.catch_warnings():
    # The SDK's JWT library announces its successor, and insists on being heard: so it goes first.
    import authlib.deprecate  # noqa: F401

    warnings.simplefilter("ignore")
    import cozepy

__all__ = ["BOT", "FLOW", "NOW", "QUESTION", "Client", "chat", "cozepy", "platform", "says"]

NOW = 1_795_000_000
BOT = "7400000000000000111"
FLOW = "7400000000000000222"
FIRST = 7_519_000_000_000_000_000
"""Ids count up from here."""


def says(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "type": "question", "content_type": "text", "content": text, **more}


QUESTION = says("count to 2")


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {
        "bot_id": DEMO_BOT,
        "user_id": "u",
        "stream": True,
        "additional_messages": list(messages or [QUESTION]),
        **more,
    }


def events(raw: bytes) -> list[tuple[str, Any]]:
    """Names and data of an event stream as the defaults write it; data that is not JSON stays text."""
    found = []
    for block in raw.decode().split("\n\n")[:-1]:
        fields = dict(line.split(":", 1) for line in block.split("\n"))
        data = fields.get("data")
        try:
            found.append((fields["event"].strip(), json.loads(data) if data else data))
        except ValueError:
            found.append((fields["event"].strip(), data.removeprefix(" ")))
    return found


@define
class Client:
    server: CozeStandIn
    session: aiohttp.ClientSession
    token: str = DEMO_TOKEN

    async def raw(self, method: str, path: str, **sent: Any) -> tuple[int, str, bytes]:
        """Status, content type and body; ``headers`` may replace those of every request."""
        headers = {"Authorization": f"Bearer {self.token}"} | sent.pop("headers", {})
        url = self.server.url + path
        async with self.session.request(method, url, headers=headers, **sent) as response:
            assert response.headers["x-tt-logid"]
            return response.status, response.headers["Content-Type"], await response.read()

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        return json.loads((await self.raw("GET", path, params=query))[2])

    async def post(self, path: str, document: Any = None, **query: Any) -> dict[str, Any]:
        return json.loads((await self.raw("POST", path, json=document, params=query))[2])

    async def events(self, path: str, document: Any, **query: Any) -> list[tuple[str, Any]]:
        status, content_type, raw = await self.raw("POST", path, json=document, params=query)
        assert (status, content_type) == (200, "text/event-stream"), raw
        return events(raw)

    async def chat(self, *messages: Any, conversation_id: str = "", **more: Any) -> list[tuple[str, Any]]:
        query = {"conversation_id": conversation_id} if conversation_id else {}
        return await self.events("/v3/chat", chat(*messages, **more), **query)

    async def bytes(self, path: str = "/v3/chat", document: Any = None) -> bytes:
        return (await self.raw("POST", path, json=document or chat()))[2]


@asynccontextmanager
async def platform(knobs: Knobs | None = None, **settings: Any) -> AsyncIterator[Client]:
    """A stand-in whose clock stands still, and a client of it."""
    settings = {"clock": lambda: float(NOW), **settings}
    async with (
        CozeStandIn(knobs=knobs, **settings) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Client(server, session)


def studio(knobs: Knobs | None = None, **settings: Any) -> Any:
    return platform(knobs, platform=Platform(studio=True), **settings)


def flow(**knobs: Any) -> Any:
    """A stand-in with one workflow, FLOW."""
    return platform(workflows={FLOW: WorkflowKnobs(**knobs)})
