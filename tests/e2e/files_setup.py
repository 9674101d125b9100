"""A gateway that keeps files, and a client that speaks to it in plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.config import Config
from proxy.config import Storage as StorageConfig
from tests.support.gateway import GatewayThread, builtin_upstream, config_of
from tests.support.raw import RawClient, Reply

ServeConfig = Callable[..., GatewayThread]

LARGEST = 300_000
"""Bytes of a file, in the gateway of the fixtures."""


def keeping(data: Path, *upstreams: Any, limits: dict[str, Any] | None = None, **storage: Any) -> Config:
    return config_of(
        *(upstreams or (builtin_upstream(),)),
        limits=limits,
        storage=StorageConfig(data=str(data), **storage),
    )


BOUNDARY = "----a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def field(name: str, value: bytes | str, filename: str | None = None, *lines: str) -> bytes:
    """One part of a form."""
    named = f'; filename="{filename}"' if filename is not None else ""
    head = "\r\n".join((f'Content-Disposition: form-data; name="{name}"{named}', *lines))
    data = value.encode() if isinstance(value, str) else value
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def form(data: bytes = b"hello", filename: str | None = "a.txt", **fields: str) -> bytes:
    return (
        b"".join(field(name, value) for name, value in {"purpose": "user_data", **fields}.items())
        + field("file", data, filename)
        + END
    )


class Client:
    """One connection, one key."""

    def __init__(self, port: int, key: str = "") -> None:
        self.raw = RawClient(port)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        self.raw.request(method, path, body, {**self.headers, **(headers or {})})
        return self.raw.reply()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def post(self, path: str, body: Any) -> Reply:
        return self.ask("POST", path, json.dumps(body).encode())

    def upload(self, body: bytes) -> Reply:
        return self.ask("POST", "/v1/files", body, FORM)

    def keep(self, data: bytes = b"hello", filename: str | None = "a.txt", **fields: str) -> dict[str, Any]:
        reply = self.upload(form(data, filename, **fields))
        assert reply.status == 200, reply.body
        document: dict[str, Any] = reply.json
        return document

    def content(self, id: str) -> bytes:
        reply = self.get(f"/v1/files/{id}/content")
        assert reply.status == 200 and reply.complete
        return reply.body


def refused(reply: Reply, status: int, param: str | None, code: str | None = None) -> str:
    assert reply.status == status, reply.body
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    if code is not None:
        assert error["code"] == code
    message: str = error["message"]
    return message


@contextmanager
def connected(gateway: GatewayThread, key: str = "") -> Iterator[Client]:
    client = Client(gateway.port, key)
    with client.raw:
        yield client


def stored(data: Path) -> list[str]:
    """The names of all blobs, finished or not."""
    return sorted(path.name for path in (data / "files").rglob("*") if path.is_file())
