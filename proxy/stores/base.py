"""What is kept past a request, and what every way of keeping it promises.

Everything is a ``Document``: a JSON object with a kind, an owner, a parent and a place in the order in which things
came. Only its owner can see it; to anybody else it is not there. Several changes are made together or not at all
(``commit``), and when ``commit`` returns they survive the machine. A change that expects a revision is refused when
the document has another by now, which is how two workers do not both take the same step. What a body says comes
back as it was said: the order of its keys, numbers of any size, characters that no database would take.

Every operation answers or fails within ``PATIENCE``: a ``StorageUnavailable`` says that it was the storage's fault,
and the next operation tries again. Nothing is held between two calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeAlias

from attrs import frozen

PATIENCE = 1.0
"""Seconds that an operation may take before it is given up."""
LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of one document's JSON."""


@frozen
class Document:
    """Its kind, id, owner, parent and label are names: up to 256 printable characters (``names``)."""

    kind: str
    id: str
    owner: str
    """A digest of the key that made it; empty where clients have no keys."""
    created: int
    """Seconds since 1970."""
    body: dict[str, Any]
    parent: str = ""
    """The id of what it belongs to; lists are of one kind and one parent."""
    label: str = ""
    """One value by which a list may be narrowed: a file's purpose, a run's status."""
    size: int = 0
    """What it counts towards its owner's quota, in bytes."""
    expires: int | None = None
    """Seconds since 1970; from then on it is not there."""
    seq: int = 0
    """Its place in the order of all documents; the store gives it."""
    revision: int = 0
    """How often it was written; the store counts."""


@frozen
class Put:
    """A new document; raises Conflict if its kind has one with that id."""

    document: Document


@frozen
class Change:
    """Another body, label, size or end for a document that is there; kind, id, owner and parent stay.

    Raises NotFound where it is not, and Conflict if ``expect`` is given and is not its revision.
    """

    document: Document
    expect: int | None = None


@frozen
class Drop:
    """A document that goes, with everything of its owner's below it, to any depth.

    Raises NotFound if it is not there. With ``ended`` it goes only if its end has come: so it is swept away.
    """

    kind: str
    id: str
    owner: str
    ended: bool = False


Step: TypeAlias = Put | Change | Drop
Documents: TypeAlias = list[Document]


@frozen
class Page:
    """A stretch of a list. ``after`` and ``before`` are ids of documents in that list, whatever their label.

    The stretch begins behind ``after``, or else at the list's head; with ``before`` alone it is the one that ends
    right there, so that one can leaf back. It has the list's order in any case.
    """

    limit: int = 20
    ascending: bool = False
    after: str = ""
    before: str = ""


@frozen
class Listed:
    documents: tuple[Document, ...]
    more: bool
    """Whether the list goes on past them, in the direction in which one leafs and as far as ``before``."""


class Store(Protocol):
    async def get(self, kind: str, id: str, owner: str) -> Document:
        """Raises NotFound."""
        ...

    async def commit(self, *steps: Step) -> Documents:
        """All of it or nothing; brings what each ``Put`` and ``Change`` left, in their order."""
        ...

    async def list(self, kind: str, owner: str, page: Page, *, parent: str = "", label: str = "") -> Listed:
        """Newest first unless ``page`` says otherwise. Raises BadRequest for an ``after`` or ``before`` that is not
        in the list."""
        ...

    async def total(self, kind: str, owner: str) -> int:
        """The sizes of all documents of that kind."""
        ...

    async def expired(self, now: int, limit: int) -> Documents:
        """Documents of any owner whose end has come and that have not been dropped."""
        ...

    async def ping(self) -> None:
        """Raises StorageUnavailable, saying why nothing could be kept now."""
        ...

    async def close(self) -> None: ...


class Blobs(Protocol):
    """Bytes by a name that the gateway made up. What ``write`` returned is there after the machine fell over."""

    async def write(self, name: str, parts: AsyncIterator[bytes]) -> int:
        """How many bytes. Visible as a whole or not at all; nothing is left behind if ``parts`` raises."""
        ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Bytes from ``start`` up to ``stop``; raises NotFound before the first of them."""
        ...

    async def delete(self, name: str) -> None:
        """It is no mistake if it is not there."""
        ...

    async def ping(self) -> None:
        """Raises StorageUnavailable."""
        ...

    async def close(self) -> None: ...
