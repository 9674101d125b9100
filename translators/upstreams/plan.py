"""What an upstream wants done, as data: the proxy carries it out and knows no platform.

The question itself is one ``Call``, or a ``Script`` that needs no network. Whatever has to happen around it
(a file handed in, a conversation opened, an answer asked for until it is there) is a ``Plan``: a generator that
yields steps, is sent what each of them brought, and returns what it was for. So a platform's whole way of doing
things can be run in a REPL by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from translators.record import record


@record
class Call:
    """One HTTP request to the upstream's base address."""

    method: str
    path: str
    """Relative to the base address, with its query; whatever a client sent is quoted or validated by now."""
    body: bytes = b""
    headers: Mapping[str, str] = {}
    """Beside or, under the same name, instead of what every request to this upstream carries."""
    service: str = ""
    """Which of the platform's services, where each has an address of its own; empty for the one that answers."""
    longest: int = 0
    """Bytes that a reply to a plan may have, where it is more than usual."""


@frozen
class Script:
    """An answer made here: pieces of the dialect's own byte stream, each after a pause in seconds."""

    steps: Iterator[tuple[float, bytes]]


@record
class Reply:
    """What a ``Call`` brought, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def _succeeded(reply: Reply) -> bool:
    return 200 <= reply.status < 300


@record
class Cached:
    """A call whose good reply may serve again: for the same upstream, credential and key, so long.

    Many who ask for it at once cause one call.
    """

    call: Call
    key: str
    seconds: float
    good: Callable[[Reply], bool] = _succeeded
    """Platforms that refuse with a 200 say here which replies are good."""


@frozen
class Pause:
    """Wait; brings nothing."""

    seconds: float


@record
class Recall:
    """Brings what was remembered under this key for this upstream and this caller, or None."""

    key: str


@record
class Remember:
    """Keep a JSON value, or with None forget it; brings nothing."""

    key: str
    value: Any
    seconds: float


@frozen
class Keep:
    """Keep a file that the platform made among those of the caller; brings nothing."""

    name: str
    mime: str
    data: bytes = field(repr=False)


Step: TypeAlias = Call | Cached | Pause | Recall | Remember | Keep

SESSION = "session:"
"""What is remembered under a key that begins so is a workflow session, and can be listed as one."""

_T = TypeVar("_T")
Plan: TypeAlias = Generator[Step, Any, _T]
"""A call brings a ``Reply``, or raises the ``GatewayError`` that says why there is none."""


@record
class Caller:
    """Who asks, as far as a platform needs to know."""

    owner: str = ""
    """The same for the same key and another for any other, and it tells nothing of the key; empty without one."""
    headers: Mapping[str, str] = {}
    """Those of the request that the kind of upstream said it ``hears``, by their lower-case names."""
    key: str = ""
    """The client's own bearer token, given only to upstreams that are configured to pass it on."""
    passed_on: bool = False
    """Whether the upstream is configured so, even if this client has no key."""


ANYBODY = Caller()


@record
class Turn:
    """What only one answer at a time may go on with, and how long the next may be kept waiting for it."""

    key: str
    seconds: float
    param: str | None = None
    """What in a request names it."""


@frozen
class Listed:
    """A model that a platform says it has, named as a client asks for it after the upstream's own name."""

    id: str
    created: int = 0


@frozen
class JwtGrant:
    """A service's own identity: an assertion signed with its private key is exchanged for a token."""

    key_id: str
    issuer: str
    audience: str
    private_key: str = field(repr=False)
    """PEM; line ends may be written as backslash and n, as they often are in an environment variable."""
    token_path: str
    """Relative to the upstream's base address."""
    seconds: int
    """How long a token should be good for."""
    session: str = ""
    """Whose histories the token can see, where the platform keeps them apart."""


@frozen
class AwsIdentity:
    """Who signs calls to Amazon's services. What is empty is found where Amazon's own tools find it."""

    service: str
    """The service that answers, by the name under which its address is looked up."""
    signing_names: Mapping[str, str]
    """For each service the name that a signature for it is made out to."""
    region: str = ""
    profile: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)


Credential: TypeAlias = JwtGrant | AwsIdentity
