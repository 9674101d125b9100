"""What a platform's one file provides.

An ``Upstream`` is made for one request and lives as long as its answer: it says what to ask (``call``), reads
a refusal (``reject``) and turns frames into events (``translate``, ``eof``). It never touches a socket: what it
wants done is data (``plan``) that the proxy carries out. Platforms that need more than one question say what
comes before it (``prepare``), what to say when nobody waits for the answer any more (``farewell``) and what to
keep in mind when it is over (``settle``).

The class itself says how it is configured: ``Settings`` are its own options and ``environment`` the names
that configure it where no file does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import define

from translators.embeddings import Embed, Embedded, InProcess
from translators.errors import GatewayError, UpstreamIncomplete
from translators.events import Emit, Failed, Finish, FinishReason
from translators.framing.base import Framing
from translators.framing.sniff import Sniff
from translators.ids import Envelope
from translators.request import Prompt
from translators.template import Template
from translators.upstreams.audio import Recording, Speech, Spoken
from translators.upstreams.check import listed_at
from translators.upstreams.conversations import Conversations
from translators.upstreams.plan import ANYBODY, Call, Caller, Credential, Listed, Plan, Script, Turn


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
    hears: ClassVar[frozenset[str]] = frozenset()
    """Request headers, in lower case, that mean something to this kind."""
    stops_by_name: ClassVar[bool] = False
    """Whether the platform goes on with an answer nobody waits for until it is told to stop, by a name that it
    gives with its first event."""

    prompt: Prompt
    settings: Any
    envelope: Envelope
    model: str
    """The model to ask the upstream for; the client's own name for it is in the envelope."""
    caller: Caller = ANYBODY
    base_url: str = ""
    """Where the platform is asked: addresses in an answer may be relative to it."""
    done: bool = False
    headers: Mapping[str, str] = {}
    """What the platform tells in headers of our answer, known at the latest with the first event it emits."""
    asking: bool = False
    """Whether the question is on its way or taken: the platform may be at work on it. The proxy says so."""
    turn: Turn | None = None
    """What the answer needs for itself as long as it lasts; known when ``prepare`` has been called."""
    unwanted: bool = False
    """Whether nobody waits for the answer any more: it is not asked for again. The proxy says so."""

    def prepare(self) -> Plan[None] | None:
        """What has to be done before the question can be asked."""
        return None

    @classmethod
    def variant(cls, settings: Any) -> type[Upstream]:
        """The class that answers with these settings, for kinds whose platform has several ways of answering."""
        return cls

    @classmethod
    def address(cls, base_url: str) -> str:
        """The base address that paths can be put after, from the forms in which people write it."""
        return base_url

    @classmethod
    def credential(cls, settings: Any, base_url: str) -> Credential | None:
        """What calls are signed with, where that is more than a header which never changes."""
        return None

    @classmethod
    def check(cls, settings: Any) -> Plan[str]:
        """Whether the platform is there and takes the credential, in words; raises GatewayError if not."""
        return listed_at("models")

    @classmethod
    def catalog(cls, settings: Any) -> Plan[list[Listed]] | None:
        """The models that the account has, asked of the platform; None where only the configuration knows."""
        return None

    @classmethod
    def conversations(cls, settings: Any, caller: Caller) -> Conversations | None:
        """The conversations that the platform keeps, if it does."""
        return None

    @classmethod
    def transcription(cls, settings: Any, caller: Caller, recording: Recording) -> Plan[str] | None:
        """The words of a recording; None where the platform does not hear."""
        return None

    @classmethod
    def speech(cls, settings: Any, caller: Caller, spoken: Spoken) -> Speech | None:
        """How to ask for sound; None where the platform does not speak."""
        return None

    @classmethod
    def embeddings(
        cls, settings: Any, caller: Caller, model: str, embed: Embed
    ) -> Plan[Embedded] | Embedded | InProcess | None:
        """Vectors of texts: a plan, or where nobody has to be asked the answer itself; None where there are none.

        May raise BadRequest.
        """
        return None

    @abstractmethod
    def call(self) -> Call | Script:
        """What to ask."""

    def answered(self, headers: Mapping[str, str]) -> None:  # noqa: B027 - most platforms put nothing there
        """The head of an answer or of a refusal has come. Names of headers are looked up in any case."""

    def asked(self) -> None:  # noqa: B027 - most platforms need their prompt to the end
        """The question has been answered with a status: what was only needed to ask it may go."""

    def farewell(self) -> Call | None:
        """What to tell the platform when nobody waits for the rest; asked only before the answer is complete.

        ``done`` is no help in deciding: it is also set when it was us who ended the answer.
        """
        return None

    @property
    def will_be_named(self) -> bool:
        """Whether the question has been asked and the name, by which it could be stopped, is still to come."""
        return False

    def settle(self) -> Plan[None] | None:
        """What to do when the answer has ended, completely or not, and its reader has it."""
        return None

    def framing(self) -> Framing:
        return Sniff()

    @abstractmethod
    def reject(self, status: int, body: bytes, retry_after: float | None) -> GatewayError:
        """The error that a status of 300 or more means."""

    def reconsider(self, error: GatewayError) -> bool:
        """Whether ``call`` now asks something else, which is worth asking after this refusal."""
        return False

    @abstractmethod
    def translate(self, name: bytes, payload: bytes, emit: Emit) -> None:
        """Retell one frame. May raise ValueError, LookupError, TypeError or AttributeError on a bad shape."""

    @property
    def template(self) -> Template | None:
        """For frames that need not be shown to ``translate``: whatever it matches is one ``Text`` to that, and
        leaves nothing behind but what ``heard`` does as well."""
        return None

    def heard(self, texts: list[bytes]) -> None:  # noqa: B027 - most platforms keep nothing of it
        """These words, the insides of JSON strings, were read and told without ``translate``."""

    def eof(self, emit: Emit) -> None:
        """The body ended cleanly. Unless the upstream said that the answer is complete, it is not."""
        self.fail(UpstreamIncomplete("The upstream ended the stream before the answer was complete."), emit)

    def finish(self, reason: FinishReason, emit: Emit) -> None:
        self.done = True
        emit(Finish(reason))

    def fail(self, error: GatewayError, emit: Emit) -> None:
        self.done = True
        emit(Failed(error))
