"""Files of a client's own in a chat: where a part names one that is kept here, its content is put in.

So every platform gets it the way it gets any file that comes inside a request. Only a request that has the
beginning of such an id in it is looked at, which most have not, and nothing is asked of the storage before a part
names one. All contents together may be as large as a request may be.

Ids that begin so and that nobody knows here are left to an upstream that may have files of its own. While the
storage cannot say whose an id is, nobody is asked: the upstream would call a file of ours missing.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

from attrs import define, evolve, field

from proxy.files import Files
from proxy.stores.base import Document
from translators.errors import BadRequest, NotFound
from translators.request import Prompt

MARK = b'"file-'
"""What a request has in it that names a file."""
MOST_NAMED = 100
"""Different files that one request may name."""
WITH_FILES = "openai"
"""The kind of upstream that may know ids of its own."""

Part: TypeAlias = dict[str, Any]
Filled: TypeAlias = Callable[[Part, str, str], Part]
"""A part with its file's data address and name put in."""


@define
class Attachments:
    files: Files
    owner: str
    kind: str
    """Of the upstream that is asked."""
    most: int
    """Characters of base64."""
    _found: dict[str, tuple[str, str] | None] = field(factory=dict, init=False)
    _left: int = field(init=False)

    @_left.default
    def _all(self) -> int:
        return self.most

    async def put_in(self, prompt: Prompt) -> Prompt:
        """Raises NotFound or BadRequest, naming the part."""
        messages = [
            await self._message(message, f"messages[{number}]")
            for number, message in enumerate(prompt.messages)
        ]
        return evolve(prompt, body={**prompt.body, "messages": messages}) if self._found else prompt

    async def _message(self, message: dict[str, Any], param: str) -> dict[str, Any]:
        content = message.get("content")
        if not isinstance(content, list):
            return message
        parts = [await self._part(part, f"{param}.content[{number}]") for number, part in enumerate(content)]
        return {**message, "content": parts}

    async def _part(self, part: Part, param: str) -> Part:
        for name, fill in _NAMING.get(part["type"], {}).items():
            id = _at(part, name)
            if id.startswith("file-"):
                found = await self._content(id, f"{param}.{name}")
                return part if found is None else fill(part, *found)
        return part

    async def _content(self, id: str, param: str) -> tuple[str, str] | None:
        """A data address and a name; None for what is not for us to know."""
        if id not in self._found:
            if len(self._found) == MOST_NAMED:
                raise BadRequest(
                    f"A request may name {MOST_NAMED} files.", param=param, code="too_many_files"
                )
            self._found[id] = await self._read(id, param)
        found = self._found[id]
        if found is not None:
            self._left -= len(found[0])
            if self._left < 0:
                raise self._too_large(id, param)
        return found

    async def _read(self, id: str, param: str) -> tuple[str, str] | None:
        try:
            document = await self.files.get(self.owner, id)
            if document.size * 4 // 3 > self._left:
                raise self._too_large(id, param)
            return await self._address(document), document.body["filename"]
        except NotFound as error:
            if self.kind == WITH_FILES:
                return None
            raise NotFound(error.message, param=param) from None

    async def _address(self, document: Document) -> str:
        pieces = [f"data:{document.body['mime']};base64,".encode()]
        async with aclosing(self.files.read(document)) as reading:
            pieces += [piece async for piece in _base64(reading)]
        return b"".join(pieces).decode()

    def _too_large(self, id: str, param: str) -> BadRequest:
        return BadRequest(
            f"The file '{id}' is too large to go with a question: all files of one may have {self.most * 3 // 4} "
            "bytes together.",
            param=param,
            code="file_too_large",
        )


async def _base64(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A piece at a time, so that nothing else waits for all of it."""
    rest = b""
    async for piece in pieces:
        piece = rest + piece
        even = len(piece) - len(piece) % 3
        rest = piece[even:]
        yield base64.b64encode(piece[:even])
    yield base64.b64encode(rest)


def _at(part: Mapping[str, Any], path: str) -> str:
    value: Any = part
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _as_file(part: Part, address: str, name: str) -> Part:
    inner = part.get("file")
    kept = {key: value for key, value in inner.items() if key != "file_id"} if isinstance(inner, dict) else {}
    return {"type": "file", "file": {"filename": name, **kept, "file_data": address}}


def _as_image(part: Part, address: str, name: str) -> Part:
    inner = part.get("image_url")
    kept = inner if isinstance(inner, dict) else {}
    return {"type": "image_url", "image_url": {**kept, "url": address}}


_NAMING: Mapping[str, Mapping[str, Filled]] = {
    "file": {"file.file_id": _as_file, "file_id": _as_file},
    "image_url": {"image_url.url": _as_image, "image_url": _as_image},
    "image": {"file_id": _as_image},
}
"""Where parts of each type name a file, and what they become."""
