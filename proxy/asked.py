"""A request that came past aiohttp, whole: as much of an ``aiohttp.web.Request`` as is used on its way.

Middlewares, route and outlet are the same as on the application; this has all that they use of a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Protocol

from aiohttp import HttpVersion, HttpVersion11
from attrs import define, field
from yarl import URL

from proxy.heads import CHAT, Headers


class Connected(Protocol):
    """Where it came from and its answer goes."""

    transport: asyncio.Transport | None

    @property
    def leaving(self) -> bool:
        """Whether this is the last answer that it carries."""
        ...

    async def drain(self) -> None: ...


@define(eq=False)
class Asked:
    method: ClassVar[str] = "POST"
    path: ClassVar[str] = CHAT
    rel_url: ClassVar[URL] = URL(CHAT)
    version: ClassVar[HttpVersion] = HttpVersion11

    headers: Headers
    writer: Connected
    _body: bytes
    _kept: dict[Any, Any] = field(factory=dict)

    @property
    def transport(self) -> asyncio.Transport | None:
        return self.writer.transport

    @property
    def keep_alive(self) -> bool:
        return not self.writer.leaving

    def take_body(self) -> bytes:
        """Gives it away; to be asked once."""
        body, self._body = self._body, b""
        return body

    def __getitem__(self, key: Any) -> Any:
        return self._kept[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._kept[key] = value

    def get(self, key: Any) -> Any:
        return self._kept.get(key)
