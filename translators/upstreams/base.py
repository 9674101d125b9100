"""What a platform's one file provides.

An ``Upstream`` is made for one request and lives as long as its answer: it says what to ask (``call``), reads
a refusal (``reject``) and turns frames into events (``translate``, ``eof``). It never touches a socket: a
``Call`` is data that the proxy carries out, and a ``Script`` is an answer that needs no network at all.

The class itself says how it is configured: ``Settings`` are its own options and ``environment`` the names
that configure it where no file does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from translators.errors import GatewayError, UpstreamIncomplete
from translators.events import Emit, Failed, Finish, FinishReason
from translators.framing.base import Framing
from translators.framing.sniff import Sniff
from translators.ids import Envelope
from translators.request import Prompt


@frozen
class Call:
    """One HTTP request to the upstream's base address."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


@frozen
class Script:
    """An answer made here: pieces of the dialect's own byte stream, each after a pause in seconds."""

    steps: Iterator[tuple[float, bytes]]


@define(eq=False)
class Upstream(ABC):
    name: ClassVar[str]
    default_name: ClassVar[str] = ""
    """What an upstream of this kind is called when only the environment configures it."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Environment name to upstream field."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Upstream fields that have a default for this kind."""
    fallback: ClassVar[bool] = False
    """The kind that serves when nothing at all is configured."""
    Settings: ClassVar[type[Any]]

    prompt: Prompt
    settings: Any
    envelope: Envelope
    model: str
    """The model to ask the upstream for; the client's own name for it is in the envelope."""
    done: bool = False

    @abstractmethod
    def call(self) -> Call | Script:
        """What to ask."""

    def framing(self) -> Framing:
        return Sniff()

    @abstractmethod
    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        """The error that a status of 300 or more means."""

    @abstractmethod
    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        """Retell one frame. May raise ValueError, LookupError, TypeError or AttributeError on a bad shape."""

    def eof(self, emit: Emit) -> None:
        """The body ended cleanly. Unless the upstream said that the answer is complete, it is not."""
        self.fail(UpstreamIncomplete("The upstream ended the stream before the answer was complete."), emit)

    def finish(self, reason: FinishReason, emit: Emit) -> None:
        self.done = True
        emit(Finish(reason))

    def fail(self, error: GatewayError, emit: Emit) -> None:
        self.done = True
        emit(Failed(error))
