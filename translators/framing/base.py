"""What every framing promises.

``feed`` takes bytes cut anywhere and returns the frames they completed; ``close`` is told that no more
will come and returns what the last bytes amount to. Neither raises: bytes that cannot be framed set
``fault``, after which nothing more is returned, so that what came before the fault is still delivered.

``shortcut`` is asked after a ``feed`` now and then: a reader that may be asked before the next one, and instead of
it for as much as it can read of the data.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from translators.errors import GatewayError
from translators.template import Template

Frame: TypeAlias = tuple[bytes, bytes]

MAX_FRAME = 4 * 1024 * 1024
"""The longest event an upstream may send; past it the stream fails and the memory is given back."""

MAX_BODY = 32 * 1024 * 1024
"""The longest whole answer; larger than an event because it may carry images or audio."""


class Reader(Protocol):
    def read(self, data: bytes) -> tuple[list[bytes] | None, int]:
        """What ``data`` begins with, and where that ends: the texts, as the insides of JSON strings, of the frames
        there that say words and nothing else; or None, for whatever takes the ordinary way.

        Each text is what ``wirejson.dumps_text`` writes between the quotes, and none is empty. The beginning of a
        frame goes with the words before it.
        """
        ...


class Framing(Protocol):
    @property
    def fault(self) -> GatewayError | None: ...

    def feed(self, data: bytes) -> list[Frame]: ...

    def close(self) -> list[Frame]: ...

    def shortcut(self, data: bytes, template: Template | None) -> Reader | None:
        """How frames like those of ``data``, which was fed last, are read if ``template`` stands for them."""
