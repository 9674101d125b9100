"""A client that shows bytes: HTTP over a plain socket, and frames as they came."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Self

from attrs import define


@define
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool
    """Whether the body ended the way HTTP says, and not just because the connection did."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def frames(self) -> list[str]:
        """The payloads of the ``data:`` frames, in order."""
        return [f.removeprefix("data: ") for f in self.body.decode().split("\n\n") if f.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(frame) for frame in self.frames if frame != "[DONE]"]

    @property
    def text(self) -> str:
        """The words of choice 0."""
        pieces = [
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            for choice in chunk.get("choices", ())
            if choice["index"] == 0
        ]
        return "".join(pieces)


class RawClient:
    """One connection. ``send`` a request, then ``reply`` reads the answer to its end."""

    def __init__(self, port: int, timeout: float = 10.0, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(
        self, body: Any, path: str = "/v1/chat/completions", headers: dict[str, str] | None = None
    ) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.request("POST", path, raw, headers)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def receive(self) -> bytes:
        """Whatever comes next; nothing at the end of the connection."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def take(self, size: int) -> bytes:
        """At most ``size`` bytes, as they come, past any framing; for readers that are slow on purpose."""
        data = self.socket.recv(size)
        self._buffer += data
        return data

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``, or to the end if it does not come."""
        seen = 0
        while (found := self._buffer.find(mark, seen)) < 0:
            seen = max(0, len(self._buffer) - len(mark))
            data = self.receive()
            self._buffer += data
            if not data:
                return self._cut(len(self._buffer))
        return self._cut(found + len(mark))

    def exactly(self, size: int) -> bytes:
        """``size`` bytes, or fewer at the end of the connection."""
        while len(self._buffer) < size and (data := self.receive()):
            self._buffer += data
        return self._cut(size)

    def reply(self) -> Reply:
        head = self.until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body, complete = self._chunked()
        elif "content-length" in headers:
            size = int(headers["content-length"])
            body = self.exactly(size)
            complete = len(body) == size
        else:
            while data := self.receive():
                self._buffer += data
            body, complete = self._cut(len(self._buffer)), True
        return Reply(int(status_line.split()[1]), headers, body, complete)

    def reset(self) -> None:
        """Leave with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _chunked(self) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        while size := self.until(b"\r\n").strip():
            count = int(size, 16)
            piece = self.exactly(count + 2)
            pieces.append(piece[:count])
            if len(piece) < count + 2 or not count:
                return b"".join(pieces), len(piece) == count + 2
        return b"".join(pieces), False

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece


def ask(port: int, body: Any, timeout: float = 10.0, **options: Any) -> Reply:
    """One request on a connection of its own."""
    with RawClient(port, timeout) as client:
        client.post(body, **options)
        return client.reply()


def question(stream: bool = True, **more: Any) -> dict[str, Any]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}], **more}
