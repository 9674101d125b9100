"""What a bad day of the storage must look like from outside, and a good one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.files_setup import Client, form
from tests.support.gateway import GatewayThread
from tests.support.raw import RawClient
from tests.support.waiting import until

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
PATIENCE = 1.0
ROOM = 0.6
"""Seconds beyond what is promised, for a busy machine."""


def chats(client: Client) -> None:
    began = time.monotonic()
    reply = client.post("/v1/chat/completions", CHAT)
    assert reply.status == 200 and reply.json["choices"][0]["message"]["content"]
    assert time.monotonic() - began < PATIENCE


def says_so(client: Client, reason: str) -> None:
    """Neither kept nor found, soon and in words; not ready, and why; chats go on."""
    for path in ("upload", "/v1/files"):
        began = time.monotonic()
        reply = client.upload(form()) if path == "upload" else client.get(path)
        assert time.monotonic() - began < PATIENCE + ROOM
        refused(reply, reason)
        chats(client)
    until(lambda: client.get("/readyz").status == 503, "the gateway is not ready", PATIENCE + ROOM)
    reasons = client.get("/readyz").json["reasons"]
    assert any(reason in why for why in reasons), reasons
    assert client.get("/livez").status == 200


def refused(reply: Any, reason: str) -> None:
    assert reply.status == 503, reply.body
    error = reply.json["error"]
    assert (error["type"], error["code"]) == ("server_error", "storage_unavailable")
    assert reason in error["message"], error
    assert "/" not in error["message"], error
    assert int(reply.headers["retry-after"]) == 1


def keeps(client: Client) -> str:
    """Something, and finds it again."""
    id: str = client.keep(b"kept")["id"]
    assert client.content(id) == b"kept"
    return id


def heals(client: Client) -> str:
    """By itself, within two seconds."""
    until(lambda: client.get("/v1/files").status == 200, "the storage is found again", 2.0 + ROOM)
    until(lambda: client.get("/readyz").status == 200, "the gateway is ready again", 2.0 + ROOM)
    chats(client)
    return keeps(client)


@contextmanager
def answering(gateway: GatewayThread) -> Iterator[RawClient]:
    """A long answer on its way; it must end as it would have on a good day."""
    with RawClient(gateway.port) as client:
        client.post({**CHAT, "stream": True})
        client.until(b"data: ")
        yield client
        reply = client.until(b"[DONE]\n\n")
        assert b'"error"' not in reply
