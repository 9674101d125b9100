"""What every framing promises.

``feed`` takes bytes cut anywhere and returns the frames they completed; ``close`` is told that no more
will come and returns what the last bytes amount to. Neither raises: bytes that cannot be framed set
``fault``, after which nothing more is returned, so that what came before the fault is still delivered.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from translators.errors import GatewayError

Frame: TypeAlias = tuple[bytes, bytes]

MAX_FRAME = 4 * 1024 * 1024
"""The longest event an upstream may send; past it the stream fails and the memory is given back."""

MAX_BODY = 32 * 1024 * 1024
"""The longest whole answer; larger than an event because it may carry images or audio."""


class Framing(Protocol):
    @property
    def fault(self) -> GatewayError | None: ...

    def feed(self, data: bytes) -> list[Frame]: ...

    def close(self) -> list[Frame]: ...
