"""Files that clients keep here: what the Files API does, without HTTP.

A file is a document with a blob of the same name. Its id is made up here and says nothing of its name, which is
kept as it came and never becomes a path. Only its owner can see it: what belongs to somebody else is missing, in
the very words in which everything else is.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

from attrs import define, field, frozen

from proxy.intake import Intake, Intakes, ended
from proxy.stores.base import Document, Listed, Page
from proxy.stores.blobs import FILE
from translators.checks import Check, integer, members, one_of
from translators.errors import BadRequest, NotFound, TooLarge
from translators.excerpt import clean

PREFIX = "file-"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a client may say that a file is for."""
MADE_HERE = ("assistants_output", "batch_output", "fine-tune-results")
"""What files are for that nobody uploaded."""
LONGEST_NAME = 512
MOST_LISTED = 10_000

ID = re.compile(r"file-[0-9a-f]{32}", re.ASCII)
_MIME = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+_-]{0,100}", re.ASCII)
_TYPES = mimetypes.MimeTypes()
_UNKNOWN = "application/octet-stream"

is_purpose: Check = one_of(*PURPOSES)
is_expiry: Check = members({"anchor": one_of("created_at"), "seconds": integer(3600, 2_592_000)})


@frozen
class About:
    """What a client says of a file."""

    filename: str
    purpose: str
    seconds: int | None = None
    """How long it is kept; None for ever."""
    mime: str = ""

    def document(self, id: str, owner: str, now: int, size: int) -> Document:
        body = {"filename": self.filename, "purpose": self.purpose, "mime": type_of(self.mime, self.filename)}
        expires = None if self.seconds is None else now + self.seconds
        return Document(FILE, id, owner, now, body, label=self.purpose, size=size, expires=expires)


@define(eq=False)
class Files:
    intakes: Intakes
    max_file: int = field(init=False)

    @max_file.default
    def _configured(self) -> int:
        return self.intakes.storage.config.max_file

    def receive(self, owner: str, freed: int = 0) -> AbstractAsyncContextManager[Intake]:
        """A context in which bytes can be written, and then kept: ``keep`` makes a file of them."""
        return self.intakes.begin(owner, PREFIX, too_large(self.max_file), self.max_file, freed)

    async def keep(self, intake: Intake, about: About) -> Document:
        now = int(self.intakes.clock())
        made = await intake.keep(about.document(intake.id, intake.owner, now, intake.size))
        return made[0]

    async def made(self, owner: str, filename: str, mime: str, data: bytes) -> Document:
        """Keep what a platform has made for this owner."""
        async with self.receive(owner) as intake:
            await intake.write(_whole(data))
            return await self.keep(intake, About(filename, MADE_HERE[0], mime=mime))

    async def get(self, owner: str, id: str) -> Document:
        if not ID.fullmatch(id):
            raise no_such_file(id)
        try:
            return await self.intakes.storage.store.get(FILE, id, owner)
        except NotFound:
            raise no_such_file(id) from None

    async def list(self, owner: str, page: Page, purpose: str) -> Listed:
        if purpose and purpose not in PURPOSES + MADE_HERE:
            return Listed((), more=False)
        return await self.intakes.storage.store.list(FILE, owner, page, label=purpose)

    async def delete(self, owner: str, id: str) -> None:
        document = await self.get(owner, id)
        try:
            await self.intakes.storage.store.commit(ended(document))
        except NotFound:
            raise no_such_file(id) from None
        self.intakes.tidy(document)

    async def read(
        self, document: Document, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Raises NotFound if it was deleted meanwhile."""
        try:
            async with aclosing(self.intakes.read(document.id, start, stop)) as pieces:
                async for piece in pieces:
                    yield piece
        except NotFound:
            raise no_such_file(document.id) from None


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


def told(document: Document) -> dict[str, Any]:
    """The object that clients see."""
    seen = {
        "id": document.id,
        "object": "file",
        "bytes": document.size,
        "created_at": document.created,
        "filename": document.body["filename"],
        "purpose": document.body["purpose"],
        "status": "processed",
    }
    return seen if document.expires is None else {**seen, "expires_at": document.expires}


def type_of(mime: str, filename: str) -> str:
    """The media type that a client told, or else what the ending of the name says."""
    mime = mime.partition(";")[0].strip().lower()
    if _MIME.fullmatch(mime) and mime != _UNKNOWN:
        return mime
    return _TYPES.guess_type(f"x.{filename.rpartition('.')[2]}")[0] or _UNKNOWN


def checked_name(filename: str, param: str) -> str:
    if len(filename) > LONGEST_NAME:
        raise BadRequest(
            f"Invalid '{param}': the name of a file may have at most {LONGEST_NAME} characters.",
            param=param,
            code="string_above_max_length",
        )
    return filename


def too_large(most: int, param: str = "file") -> TooLarge:
    return TooLarge(f"The file is larger than the {most} bytes that this gateway keeps.", param=param)


def no_such_file(id: str) -> NotFound:
    return NotFound(f"No such File object: {clean(id[:100])}", param="id")
