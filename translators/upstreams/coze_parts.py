"""What a user shows: images, sounds and files beside the words.

An address is passed on for Coze to fetch. What comes inside the request is handed in first, one multipart
upload for each thing, and known by its hash from then on: the same picture in every turn of a conversation is
uploaded once. The boundary is made of that hash, too, and nobody can put the hash of a text into the text.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from translators.errors import BadRequest
from translators.record import record
from translators.upstreams.coze_ids import told_id
from translators.upstreams.plan import Call

MAX_UPLOADS = 32

_MIME = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}", re.ASCII)
_FORMAT = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@record
class Upload:
    """A file to hand in before the question can be asked."""

    file_name: str
    mime: str
    content: bytes
    digest: str

    @classmethod
    def of(cls, file_name: str, mime: str, content: bytes) -> Upload:
        digest = sha256(f"{file_name}\n{mime}\n".encode())  # the platform goes by the name, so it counts
        digest.update(content)
        return cls(file_name, mime, content, digest.hexdigest())

    def call(self, headers: Mapping[str, str]) -> Call:
        boundary = f"deltawire-{self.digest[:40]}"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{self.file_name}"\r\n'
            f"Content-Type: {self.mime}\r\n\r\n"
        )
        body = b"%b%b\r\n--%b--\r\n" % (head.encode(), self.content, boundary.encode())
        kind = f"multipart/form-data; boundary={boundary}"
        return Call("POST", "v1/files/upload", body, {"Content-Type": kind, **headers})


@record
class Element:
    """One thing beside the words; exactly one of the three says where it is."""

    type: str
    file_url: str = ""
    file_id: str = ""
    upload: Upload | None = None

    def document(self, files: Mapping[str, str]) -> dict[str, str]:
        if self.file_url:
            return {"type": self.type, "file_url": self.file_url}
        return {
            "type": self.type,
            "file_id": files[self.upload.digest] if self.upload is not None else self.file_id,
        }


def words_of(content: Any) -> str:
    """The words of a message whose other parts do not count."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = (part.get("text") or part.get("refusal") for part in content)
    return "\n".join(text for text in parts if isinstance(text, str) and text)


def shown_in(content: Sequence[Mapping[str, Any]], param: str) -> tuple[Element, ...]:
    """Whatever is not words among the parts of a user's message."""
    elements = []
    for number, part in enumerate(content):
        place = f"{param}[{number}]"
        if part["type"] in ("text", "refusal"):
            continue
        read = _PARTS.get(part["type"])
        if read is None:
            raise BadRequest(
                f"Content of type '{part['type'][:40]}' cannot be shown to this model.",
                param=place,
                code="unsupported_content",
            )
        elements.append(read(part, place))
    return tuple(elements)


def uploads_of(elements: Sequence[Element]) -> dict[str, Upload]:
    """What has to be handed in, by digest."""
    uploads = {element.upload.digest: element.upload for element in elements if element.upload is not None}
    if len(uploads) > MAX_UPLOADS:
        raise BadRequest(f"A request may bring at most {MAX_UPLOADS} files.", code="too_many_files")
    return uploads


def _image_url(part: Mapping[str, Any], param: str) -> Element:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return _at(url, "image", "image", f"{param}.image_url")


def _input_audio(part: Mapping[str, Any], param: str) -> Element:
    audio = _object(part, "input_audio", param)
    form = audio.get("format")
    if not isinstance(form, str) or not _FORMAT.fullmatch(form):
        raise _refuse("The format of audio is a short name such as wav.", f"{param}.input_audio.format")
    content = _decoded(audio.get("data"), f"{param}.input_audio.data")
    return Element("audio", upload=Upload.of(f"audio.{form}", f"audio/{form}", content))


def _file(part: Mapping[str, Any], param: str) -> Element:
    if "file_url" in part or "file_id" in part:
        return _as_it_is(part, param)
    file = _object(part, "file", param)
    data, name = file.get("file_data"), file.get("filename")
    if data is None:
        return _as_it_is({"type": "file", **file}, f"{param}.file")
    name = _UNSAFE.sub("_", name[-100:]).strip("._") if isinstance(name, str) else ""
    if isinstance(data, str) and not data.startswith("data:"):
        content = _decoded(data, f"{param}.file.file_data")
        return Element("file", upload=Upload.of(name or "file", "application/octet-stream", content))
    return Element("file", upload=_inside(data, name, "file", f"{param}.file.file_data"))


def _as_it_is(part: Mapping[str, Any], param: str) -> Element:
    """The original proxy's own parts, which name an address or a file that Coze has."""
    if part.get("file_url") is not None:
        return _at(part["file_url"], part["type"], part["type"], f"{param}.file_url")
    file_id = told_id(part.get("file_id"))
    if not file_id:
        raise _refuse("A file is named by file_url or by the file_id of an upload.", param)
    return Element(part["type"], file_id=file_id)


_PARTS: dict[str, Callable[[Mapping[str, Any], str], Element]] = {
    "image_url": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "image": _as_it_is,
    "audio": _as_it_is,
}


def _at(url: Any, type: str, stem: str, param: str) -> Element:
    if isinstance(url, str) and url[:5].lower() == "data:":
        return Element(type, upload=_inside(url, "", stem, param))
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise _refuse("An address must begin with http://, https:// or data:.", param)
    return Element(type, file_url=url)


def _inside(uri: Any, file_name: str, stem: str, param: str) -> Upload:
    """The file that a ``data:`` address holds."""
    if not isinstance(uri, str):
        raise _refuse("File data must be base64 or a data: address.", param)
    head, _, data = uri[5:].partition(",")
    mime, *options = (word.strip().lower() for word in head.split(";"))
    if "base64" not in options:
        raise _refuse("A data: address must be in base64.", param, "invalid_base64")
    mime = mime if _MIME.fullmatch(mime) else "application/octet-stream"
    suffix = _UNSAFE.sub("", mime.partition("/")[2].partition("+")[0])
    return Upload.of(file_name or f"{stem}.{_SUFFIXES.get(suffix, suffix)}", mime, _decoded(data, param))


_SUFFIXES = {"jpeg": "jpg", "octet-stream": "bin", "plain": "txt", "mpeg": "mp3"}


def _decoded(data: Any, param: str) -> bytes:
    try:
        content = b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError):
        content = b""
    if not content:
        raise _refuse("The data of a file must be base64.", param, "invalid_base64")
    return content


def _object(part: Mapping[str, Any], name: str, param: str) -> Mapping[str, Any]:
    value = part.get(name)
    if not isinstance(value, dict):
        raise _refuse(f"A part of type {name} needs an object of that name.", f"{param}.{name}")
    return value


def _refuse(message: str, param: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, param=param, code=code)
