"""Files that come in parts: what the Uploads API does, without HTTP.

An upload is a document for an hour, and each part one of its own with a blob, found by the upload's id as its
label; parts are not below the upload, because what goes with something else goes without its bytes. Completing
copies the parts one after the other into a new blob, and one commit makes the file, ends the parts and says that
the upload is complete, if nobody else has done anything with it meanwhile. So there is no state in between in which
a crash could leave it, and of two who complete it one does. Who asks again for what has been done is told the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

from attrs import define, evolve

from proxy.files import About, Files, is_expiry, is_purpose, no_such_file, told, too_large
from proxy.intake import Intake, ended, no_room
from proxy.stores.base import Change, Document, Page, Put
from proxy.stores.blobs import PART
from translators.checks import Check, array, integer, missing, object_schema, says, string, wrong
from translators.errors import BadRequest, Conflict, NotFound, TooLarge
from translators.excerpt import clean

KIND = "upload"
OPEN = 3600
"""Seconds that parts are taken."""
KNOWN = 24 * 3600
"""Seconds that it is known afterwards."""
GRACE = 3600
"""Seconds that parts outlive an upload, so that completing it in time may take its time."""
LARGEST_PART = 64 * 1024 * 1024
MOST_PARTS = 10_000


@says({"type": "string", "minLength": 1, "maxLength": 512})
def _name(value: Any, param: str) -> None:
    string(value, param)
    if not 0 < len(value) <= 512:
        raise wrong(param, f"Invalid '{param}': expected 1 to 512 characters.")


_WANTED: Mapping[str, Check] = {
    "filename": _name,
    "purpose": is_purpose,
    "bytes": integer(0),
    "mime_type": _name,
}
_WANTED_TOO: Mapping[str, Check] = {"expires_after": is_expiry}
_COMPLETED: Mapping[str, Check] = {"part_ids": array(string, "strings")}
_COMPLETED_TOO: Mapping[str, Check] = {"md5": string}
WANTED = object_schema(_WANTED, _WANTED_TOO)
COMPLETED = object_schema(_COMPLETED, _COMPLETED_TOO)


@define(eq=False)
class Uploads:
    files: Files

    async def create(self, owner: str, body: Mapping[str, Any]) -> dict[str, Any]:
        _check(body, _WANTED, _WANTED_TOO)
        intakes, size = self.files.intakes, body["bytes"]
        if size > self.files.max_file:
            raise too_large(self.files.max_file, "bytes")
        room = await intakes.room(owner)
        if room is not None and size > room:
            raise no_room(intakes.storage.config.quota)
        now = int(intakes.clock())
        kept = {name: body[name] for name in ("filename", "purpose", "bytes", "mime_type")}
        kept["seconds"] = (body.get("expires_after") or {}).get("seconds")
        kept["status"] = "pending"
        document = Document(KIND, intakes.new_id("upload_"), owner, now, kept, expires=now + OPEN + KNOWN)
        [made] = await intakes.storage.store.commit(Put(document))
        return self._told(made)

    async def take(self, owner: str, id: str) -> AbstractAsyncContextManager[Intake]:
        """A context in which the bytes of a part can be written; ``keep`` makes a part of them."""
        upload = await self._pending(owner, id)
        most = min(LARGEST_PART, upload.body["bytes"])
        longest = TooLarge(f"A part of this upload may have at most {most} bytes.", param="data")
        return self.files.intakes.begin(owner, "part_", longest, most)

    async def keep(self, intake: Intake, id: str) -> dict[str, Any]:
        upload = await self._pending(intake.owner, id)
        now = int(self.files.intakes.clock())
        part = Document(
            *(PART, intake.id, intake.owner, now, {}),
            label=upload.id,
            size=intake.size,
            expires=upload.created + OPEN + GRACE,
        )
        await intake.keep(part)
        return {"id": part.id, "object": "upload.part", "created_at": now, "upload_id": upload.id}

    async def complete(self, owner: str, id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        _check(body, _COMPLETED, _COMPLETED_TOO)
        upload = await self._get(owner, id)
        if upload.body["status"] == "completed" and upload.body["part_ids"] == body["part_ids"]:
            return await self._told_with_file(upload)
        self._demand_pending(upload)
        parts = await self._parts(upload)
        chosen = _chosen(parts, body["part_ids"], upload)
        freed = sum(part.size for part in parts.values())
        async with self.files.receive(owner, freed) as intake:
            await intake.write(self._joined(chosen))
            md5 = body.get("md5")
            if md5 is not None and md5.lower() != intake.md5.hexdigest():
                raise wrong("md5", "The MD5 of the joined parts is not the one that was given.")
            file = self._file(upload, intake)
            done = {"status": "completed", "file_id": file.id, "part_ids": list(body["part_ids"])}
            [kept, upload, *_] = await intake.keep(
                file,
                Change(evolve(upload, body={**upload.body, **done}), expect=upload.revision),
                *map(ended, parts.values()),
                freed=freed,
            )
        self.files.intakes.tidy(*parts.values())
        return self._told(upload, kept)

    async def cancel(self, owner: str, id: str) -> dict[str, Any]:
        upload = await self._get(owner, id)
        if upload.body["status"] == "cancelled":
            return self._told(upload)
        self._demand_pending(upload)
        parts = await self._parts(upload)
        cancelled = evolve(upload, body={**upload.body, "status": "cancelled"})
        [upload, *_] = await self.files.intakes.storage.store.commit(
            Change(cancelled, expect=upload.revision), *map(ended, parts.values())
        )
        self.files.intakes.tidy(*parts.values())
        return self._told(upload)

    async def _get(self, owner: str, id: str) -> Document:
        try:
            return await self.files.intakes.storage.store.get(KIND, id, owner)
        except NotFound:
            raise NotFound(f"No such Upload object: {clean(id[:100])}", param="id") from None

    async def _pending(self, owner: str, id: str) -> Document:
        upload = await self._get(owner, id)
        self._demand_pending(upload)
        return upload

    def _demand_pending(self, upload: Document) -> None:
        status = self._status(upload)
        if status != "pending":
            raise BadRequest(
                f"This upload is {status}, and nothing more can be done with it.", code=f"upload_{status}"
            )

    def _status(self, upload: Document) -> str:
        status: str = upload.body["status"]
        late = self.files.intakes.clock() >= upload.created + OPEN
        return "expired" if late and status == "pending" else status

    async def _parts(self, upload: Document) -> dict[str, Document]:
        page = Page(MOST_PARTS, ascending=True)
        listed = await self.files.intakes.storage.store.list(PART, upload.owner, page, label=upload.id)
        return {part.id: part for part in listed.documents}

    async def _joined(self, parts: Sequence[Document]) -> AsyncIterator[bytes]:
        for part in parts:
            try:
                async with aclosing(self.files.intakes.read(part.id)) as pieces:
                    async for piece in pieces:
                        yield piece
            except NotFound:
                raise Conflict("Somebody else has done something with this upload meanwhile.") from None

    def _file(self, upload: Document, intake: Intake) -> Document:
        body = upload.body
        about = About(body["filename"], body["purpose"], body["seconds"], body["mime_type"])
        return about.document(intake.id, intake.owner, int(self.files.intakes.clock()), intake.size)

    async def _told_with_file(self, upload: Document) -> dict[str, Any]:
        try:
            file = await self.files.get(upload.owner, upload.body["file_id"])
        except NotFound:
            raise no_such_file(upload.body["file_id"]) from None
        return self._told(upload, file)

    def _told(self, upload: Document, file: Document | None = None) -> dict[str, Any]:
        seen = {
            "id": upload.id,
            "object": "upload",
            "bytes": upload.body["bytes"],
            "created_at": upload.created,
            "expires_at": upload.created + OPEN,
            "filename": upload.body["filename"],
            "purpose": upload.body["purpose"],
            "status": self._status(upload),
        }
        return seen if file is None else {**seen, "file": told(file)}


def _check(body: Mapping[str, Any], required: Mapping[str, Check], optional: Mapping[str, Check]) -> None:
    for name, check in {**required, **optional}.items():
        if body.get(name) is not None:
            check(body[name], name)
        elif name in required:
            raise missing(name)


def _chosen(parts: Mapping[str, Document], ids: Sequence[str], upload: Document) -> list[Document]:
    for number, id in enumerate(ids):
        if id not in parts:
            raise wrong(f"part_ids[{number}]", f"This upload has no part `{clean(id[:100])}`.")
    if len(set(ids)) < len(ids):
        raise wrong("part_ids", "A part can be in a file once only.")
    size = sum(parts[id].size for id in ids)
    if size != upload.body["bytes"]:
        raise wrong(
            "part_ids",
            f"The parts have {size} bytes together, but the upload was to have {upload.body['bytes']}.",
        )
    return [parts[id] for id in ids]
