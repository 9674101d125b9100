"""Files that go with a question: what a chat message carries, as Dify wants it.

An address on the web is fetched by Dify itself. Bytes inside a message are uploaded first, under the same user who
asks, because files belong to a user there. A Dify file id is passed on. Only the last user message counts: what
came with earlier ones was given to the app then.

The multipart body is made here. Its boundary is the digest of the content, so it cannot occur in it, and the same
file makes the same request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import frozen

from translators.errors import BadRequest
from translators.upstreams.plan import Call

MAX_FILES = 20
"""Each one of them may be a request of its own; a run takes ten."""

Kind: TypeAlias = Literal["image", "document", "audio", "video"]

_DATA = re.compile(r"data:([\w.+-]{1,80}/[\w.+-]{1,80})?((?:;[\w.+=\"-]{1,120}){0,8});base64,", re.ASCII)
_WEB = re.compile(r"https?://[^\s/?#]{1,255}\S{0,8000}", re.IGNORECASE)
FILE_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "text/plain": "txt",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "audio/mpeg": "mp3",
    "audio/x-wav": "wav",
    "audio/mp4": "m4a",
}
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}


@frozen
class Upload:
    """Bytes that Dify has to have before the question."""

    kind: Kind
    name: str
    mime: str
    data: bytes

    def key(self, user: str) -> str:
        """The same for the same file of the same user."""
        return f"upload:{self._digest(user.encode('utf-8', 'replace'))}"

    def call(self, user: str, headers: Mapping[str, str], path: str = "files/upload") -> Call:
        boundary = f"deltawire-{self._digest()[:48]}"  # 70 characters are all that it may have
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\n{user}\r\n'
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{self.name}"\r\n'
        head += f"Content-Type: {self.mime}\r\n\r\n"
        tail = f"\r\n--{boundary}--\r\n"
        body = b"".join((head.encode("utf-8", "replace"), self.data, tail.encode()))
        form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return Call("POST", path, body, {**headers, **form})

    def _digest(self, more: bytes = b"") -> str:
        digest = hashlib.sha256(f"{self.mime} {self.name}\n".encode("utf-8", "replace") + more + b"\n")
        digest.update(self.data)
        return digest.hexdigest()


@frozen
class Given:
    """A file that is already where Dify can find it."""

    kind: Kind
    url: str = ""
    id: str = ""

    def document(self) -> dict[str, str]:
        if self.id:
            return {"type": self.kind, "transfer_method": "local_file", "upload_file_id": self.id}
        return {"type": self.kind, "transfer_method": "remote_url", "url": self.url}


Attachment: TypeAlias = Upload | Given


def attachments(message: Mapping[str, Any], at: str) -> list[Attachment]:
    """The files of one chat message, which stands at the place ``at`` of the request. Raises BadRequest."""
    content = message.get("content")
    found: list[Attachment] = []
    for number, part in enumerate(content if isinstance(content, list) else ()):
        read = _PARTS.get(part["type"])
        if read is not None:
            found.append(read(part, f"{at}.content[{number}]"))
    if len(found) > MAX_FILES:
        raise BadRequest(f"A message may carry at most {MAX_FILES} files.", param=at, code="too_many_files")
    return found


def _image(part: Mapping[str, Any], at: str) -> Attachment:
    image = part["image_url"]
    url = image if isinstance(image, str) else image["url"]
    return _located(url, "image", "", f"{at}.image_url.url")


def _picture(part: Mapping[str, Any], at: str) -> Attachment:
    return _located(part["file_url"], "image", "", f"{at}.file_url")


def _sound(part: Mapping[str, Any], at: str) -> Attachment:
    audio = part["input_audio"]
    mime = _AUDIO.get(audio["format"])
    if mime is None:
        raise _wrong("Audio has to be in the format 'wav' or 'mp3'.", f"{at}.input_audio.format")
    data = _decoded(audio["data"], f"{at}.input_audio.data")
    return Upload("audio", f"audio.{audio['format']}", mime, data)


def _file(part: Mapping[str, Any], at: str) -> Attachment:
    file = part["file"]
    name = file.get("filename") if isinstance(file.get("filename"), str) else ""
    if isinstance(file.get("file_id"), str):
        if not FILE_ID.fullmatch(file["file_id"]):
            raise _wrong("This is not the id of a file that was uploaded to Dify.", f"{at}.file.file_id")
        return Given(_kind_of(_mime_of(name)), id=file["file_id"])
    data = file.get("file_data")
    if not isinstance(data, str):
        raise _wrong("A file needs 'file_data' or 'file_id'.", f"{at}.file")
    if (
        not data.startswith("data:") and "://" not in data[:16]
    ):  # the bytes alone, which base64 never looks like
        data = f"data:{_mime_of(name)};base64,{data}"
    return _located(data, None, name, f"{at}.file.file_data")


_PARTS: dict[str, Callable[[Mapping[str, Any], str], Attachment]] = {
    "image_url": _image,
    "image": _picture,
    "input_audio": _sound,
    "file": _file,
}


def _located(url: str, kind: Kind | None, name: str, param: str) -> Attachment:
    if _WEB.fullmatch(url):
        return Given(kind or _kind_of(_mime_of(name or url.partition("?")[0])), url=url)
    head = _DATA.match(url)
    if head is None:
        raise _wrong("Expected an address that begins with https:// or data:, the latter in base64.", param)
    mime = (head[1] or "application/octet-stream").lower()
    data = _decoded(url[head.end() :], param)
    return Upload(kind or _kind_of(mime), safe_name(name, mime, kind or "file"), mime, data)


def _decoded(text: str, param: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("The data is not valid base64.", param) from None
    if not data:
        raise _wrong("The data is empty.", param)
    return data


def _wrong(message: str, param: str) -> BadRequest:
    return BadRequest(message, param=param, code="invalid_value")


def _kind_of(mime: str) -> Kind:
    return _KINDS.get(mime.partition("/")[0], "document")


_KINDS: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}

_BY_EXTENSION = {
    **{ending: f"image/{ending}" for ending in ("png", "jpeg", "webp", "gif")},
    **{ending: f"video/{ending}" for ending in ("mp4", "webm", "mpeg")},
    **{ending: f"audio/{ending}" for ending in ("m4a", "amr", "mpga")},
    **{ending: mime for mime, ending in _EXTENSIONS.items()},
    "wav": "audio/wav",
    "mov": "video/quicktime",
    "pdf": "application/pdf",
}


def _mime_of(name: str) -> str:
    """By the ending of a name or an address; empty where it says nothing."""
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower(), "")


def mime_of(name: str, kind: str) -> str:
    """The media type of a file that the platform names, as far as its ending or its kind tell."""
    return _mime_of(name) or (f"{kind}/*" if kind in _KINDS else "")


def safe_name(name: str, mime: str, stem: str) -> str:
    """``name`` as it may stand in a header; Dify wants an ending, and judges by it."""
    ending = _EXTENSIONS.get(mime) or re.sub(r"[^a-z0-9].*", "", mime.partition("/")[2]) or "bin"
    name = re.sub(r'[\x00-\x1f\x7f"\\/\ud800-\udfff]+', "_", name).strip()[-120:]
    return name if "." in name.strip(".") else f"{name or stem}.{ending}"
