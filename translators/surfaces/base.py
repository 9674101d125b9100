"""What every surface promises.

``render`` turns the events of one read into bytes for the client, in one piece. It may hold events back (a
whole answer holds them all) and it never refuses one. ``begin`` says what can be said before the first event;
``opened`` tells whether anything has been said. A terminal event is the last it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from translators.events import Event


class Surface(Protocol):
    streams: ClassVar[bool]
    """Whether what ``render`` returns can be sent at once, or only when the answer has ended."""

    content_type: ClassVar[str]

    keep_alive: ClassVar[bytes]
    """What may be sent between two frames to show that the stream lives, if there is such a thing."""

    def render(self, events: Sequence[Event]) -> bytes: ...

    def words(self, texts: list[bytes]) -> bytes:
        """What ``render`` makes of texts, if they are given as the insides of JSON strings."""

    def begin(self) -> bytes: ...
