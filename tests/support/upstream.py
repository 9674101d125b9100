"""A scripted upstream for tests that are plain functions, and the bytes it usually says.

``ScriptThread`` runs a ``ScriptServer`` in a thread with a loop of its own, so a test can read from top to bottom
with blocking sockets. ``told_by`` chooses the script by what the question says, which lets many different cases
share one upstream and one gateway.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from proxy.simulators.recorded import Recorded
from proxy.simulators.script import Script, ScriptServer, Steps

DONE = b"data: [DONE]\n\n"


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk frame of an OpenAI-shaped stream."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    document = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "theirs"}
    return b"data: %b\n\n" % json.dumps({**document, "choices": [choice], **more}).encode()


def words(count: int, first: int = 0) -> list[bytes]:
    """``count`` numbered token frames."""
    return [delta(f"w{number} ") for number in range(first, first + count)]


def text_of(count: int, first: int = 0) -> str:
    return "".join(f"w{number} " for number in range(first, first + count))


def answer(count: int = 5) -> list[bytes]:
    """A complete answer, frame by frame."""
    return [*words(count), delta(finish="stop"), DONE]


def told_by(scripts: Mapping[str, Script]) -> Callable[[Recorded], Steps]:
    """The script whose name is the last thing the user said."""

    def choose(request: Recorded) -> Steps:
        script = scripts[request.document["messages"][-1]["content"]]
        return script(request) if callable(script) else script

    return choose


class ScriptThread:
    """``with ScriptThread(script) as upstream: … upstream.url …``"""

    def __init__(self, script: Script = (), **options: Any) -> None:
        self._initial = script
        self._options = options
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the upstream did not stop"
        if self._failure is not None and error is None:
            raise self._failure

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with ScriptServer(self._initial, **self._options) as self.server:
                self._ready.set()
                await self._stop.wait()
        except Exception as failure:
            self._failure = failure

    def play(self, script: Script) -> None:
        """From the next request on."""
        self.server.script = script

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def requests(self) -> list[Recorded]:
        return self.server.requests

    @property
    def connections(self) -> int:
        return self.server.connections

    @property
    def open_connections(self) -> int:
        return self.server.open_connections

    @property
    def sent(self) -> int:
        return self.server.sent

    @property
    def blocked(self) -> bool:
        return self.server.blocked

    def received(self, count: int = 1) -> Recorded:
        """Wait until ``count`` requests have come."""
        return self._wait(self.server.received(count))

    def closed_by_peer(self, connection: int | None = None) -> float:
        """When (``time.monotonic``) the peer left the connection; waits for it."""
        return self._wait(self.server.wait_closed_by_peer(connection=connection))

    def forget(self) -> None:
        """Drop what was heard; for tests that weigh memory."""

        async def drop() -> None:
            self.server.requests.clear()
            self.server._all[:] = [one for one in self.server._all if not one.lost.is_set()]

        self._wait(drop())

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


class BluntThread:
    """A server that says ``words`` to whatever it hears and hangs up; with none it says nothing at all."""

    def __init__(self, words: bytes | None = None) -> None:
        self._words = words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.left: list[float] = []
        """When (``time.monotonic``) each peer left, on connections that were kept silent."""
        self._heard = threading.Semaphore(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with socket.create_connection(("127.0.0.1", self.port)):
            self._listener.close()
        self._thread.join(10)

    def wait_heard(self) -> None:
        """Until one more peer has connected and begun to speak."""
        assert self._heard.acquire(timeout=10)

    def _serve(self) -> None:
        while self._listener.fileno() >= 0:
            with suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    self._attend(connection)

    def _attend(self, connection: socket.socket) -> None:
        connection.recv(65536)
        self._heard.release()
        if self._words is not None:
            connection.sendall(self._words)
            return
        with suppress(ConnectionError):
            while connection.recv(65536):
                pass
        self.left.append(time.monotonic())
