"""Files on their way to an agent, and those that it makes.

Bytes inside a message and objects in S3 can go with a question; an address on the web cannot, because Amazon does
not fetch it and neither does the gateway. Only the last user message counts: what came with earlier ones was given
to the agent then.

What the code interpreter made comes as bytes and is told as a ``data:`` address, so that it is there with the
answer. When the answer is over it is kept among the caller's files as well.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from translators.errors import BadRequest
from translators.events import File

MAX_FILES = 5
MAX_BYTES = 10 * 1024 * 1024
MAX_MADE = 64

_DATA = re.compile(r"data:([\w.+-]{1,80}/[\w.+-]{1,80})?((?:;[\w.+=\"-]{1,120}){0,8});base64,", re.ASCII)
_S3 = re.compile(r"s3://[a-z0-9.-]{3,63}/([^\x00-\x1f\x7f]{1,1024})", re.IGNORECASE)
_WEB = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"\\/\ud800-\udfff]+")
_UNLINKED = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\[\]()<>`]+")
_MIME = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}", re.ASCII)

_BY_ENDING = {
    **{ending: f"image/{ending}" for ending in ("png", "jpeg", "gif", "webp")},
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "json": "application/json",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_ENDINGS = {mime: ending for ending, mime in _BY_ENDING.items()}
_TABLES = frozenset(_BY_ENDING[ending] for ending in ("csv", "xls", "xlsx"))
_UNKNOWN = "application/octet-stream"


@frozen
class Attachment:
    name: str
    mime: str
    data: str = ""
    """Base64."""
    size: int = 0
    uri: str = ""
    """Of an object in S3, instead of data."""

    def document(self, code_interpreter: bool) -> dict[str, Any]:
        source: dict[str, Any] = (
            {"sourceType": "S3", "s3Location": {"uri": self.uri}}
            if self.uri
            else {"sourceType": "BYTE_CONTENT", "byteContent": {"mediaType": self.mime, "data": self.data}}
        )
        use = "CODE_INTERPRETER" if code_interpreter and self.mime in _TABLES else "CHAT"
        return {"name": self.name, "useCase": use, "source": source}


def attachments(message: Mapping[str, Any], at: str) -> tuple[Attachment, ...]:
    """The files of one chat message, which stands at the place ``at`` of the request. Raises BadRequest."""
    content = message.get("content")
    if not isinstance(content, list):
        return ()
    found: list[Attachment] = []
    for number, part in enumerate(content):
        place = f"{at}.content[{number}]"
        if part["type"] in ("text", "refusal"):
            continue
        read = _PARTS.get(part["type"])
        if read is None:
            raise _wrong(
                f"Content of type '{part['type'][:40]}' cannot be shown to an agent.",
                place,
                "unsupported_content",
            )
        found.append(read(part, place, len(found) + 1))
    if len(found) > MAX_FILES:
        raise _wrong(f"A message may carry at most {MAX_FILES} files.", at, "too_many_files")
    if sum(one.size for one in found) > MAX_BYTES:
        raise _wrong(
            f"The files of a message may have at most {MAX_BYTES} bytes together.", at, "file_too_large"
        )
    return tuple(found)


def _image(part: Mapping[str, Any], at: str, number: int) -> Attachment:
    image = part["image_url"]
    url = image if isinstance(image, str) else image["url"]
    return _located(url, "", f"image-{number}", f"{at}.image_url.url")


def _file(part: Mapping[str, Any], at: str, number: int) -> Attachment:
    if isinstance(part.get("file_url"), str):
        return _located(part["file_url"], "", f"file-{number}", f"{at}.file_url")
    file = part.get("file")
    file = file if isinstance(file, dict) else {}
    name, data = file.get("filename"), file.get("file_data")
    name = name if isinstance(name, str) else ""
    if not isinstance(data, str):
        raise _wrong(
            "A file for an agent needs 'file_data': ids of files mean nothing to Amazon Bedrock.",
            f"{at}.file",
        )
    if not data.startswith("data:") and "://" not in data[:16]:
        data = f"data:{_mime_of(name) or _UNKNOWN};base64,{data}"
    return _located(data, name, f"file-{number}", f"{at}.file.file_data")


def _sound(part: Mapping[str, Any], at: str, number: int) -> Attachment:
    raise _wrong("An agent cannot hear: audio is not supported.", f"{at}.input_audio", "unsupported_content")


_PARTS: dict[str, Callable[[Mapping[str, Any], str, int], Attachment]] = {
    "image_url": _image,
    "file": _file,
    "input_audio": _sound,
}


def _located(url: str, name: str, stem: str, param: str) -> Attachment:
    if _WEB.match(url):
        raise _wrong(
            "Amazon Bedrock does not fetch files from the web: send a data: address in base64, or one of S3.",
            param,
            "unsupported_url",
        )
    s3 = _S3.fullmatch(url)
    if s3 is not None:
        name = name or s3[1].rpartition("/")[2]
        return Attachment(_named(name, stem, _mime_of(name)), _mime_of(name), uri=url)
    head = _DATA.match(url)
    if head is None:
        raise _wrong("Expected an address that begins with data:, in base64, or with s3://.", param)
    mime = (head[1] or _mime_of(name) or _UNKNOWN).lower()
    data = url[head.end() :]
    return Attachment(_named(name, stem, mime), mime, data, _size(data, param))


def _size(text: str, param: str) -> int:
    try:
        size = len(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise _wrong("The data is not valid base64.", param) from None
    if not size:
        raise _wrong("The data is empty.", param)
    return size


def _mime_of(name: str) -> str:
    return _BY_ENDING.get(name.rpartition(".")[2].lower(), "") if "." in name else ""


def _named(name: str, stem: str, mime: str) -> str:
    name = _UNSAFE.sub("_", name).strip()[-120:]
    ending = _ENDINGS.get(mime, "bin")
    return name if "." in name.strip(".") else f"{name or stem}.{ending}"


def _wrong(message: str, param: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, param=param, code=code)


def made(told: Mapping[str, Any]) -> File:
    """A file of the answer. Raises ValueError if its bytes cannot be read."""
    data, mime, name = (told.get(member) for member in ("bytes", "type", "name"))
    data = data if isinstance(data, str) else ""
    binascii.a2b_base64(data, strict_mode=True)
    mime = mime.lower() if isinstance(mime, str) else ""
    mime = mime if _MIME.fullmatch(mime) else _UNKNOWN
    name = re.split(r"[/\\]", name)[-1] if isinstance(name, str) else ""
    name = _UNLINKED.sub("_", name[-200:]).strip("_")
    return File("", f"data:{mime};base64,{data}", mime, name or "file")


def content(file: File) -> bytes:
    """What was made, out of its address."""
    return b64decode(file.url.partition(",")[2])


def link(file: File) -> str:
    """The file as it will come back in a chat client's history."""
    return f"{'!' if file.mime.startswith('image/') else ''}[{file.name}]({file.url})\n"
