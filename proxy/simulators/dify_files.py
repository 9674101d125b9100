"""Files that go with a question: are they allowed, do they exist, whose are they.

A local file must have been uploaded by the same user. A remote one would be fetched by the platform before the run;
the stand-in never leaves the machine, so it looks at the URL alone.
"""

from __future__ import annotations

import mimetypes
import posixpath
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from proxy.simulators.dify_apps import MEGABYTE, App
from proxy.simulators.dify_errors import invalid
from proxy.simulators.dify_store import Store, Upload, User

LIMITS = {"image": 10, "document": 15, "audio": 50, "video": 100, "custom": 15}
"""Megabytes an upload of each kind may have."""

_EXTENSIONS = {
    "image": ("jpg", "jpeg", "png", "webp", "gif", "svg"),
    "video": ("mp4", "mov", "mpeg", "webm"),
    "audio": ("mp3", "m4a", "wav", "amr", "mpga"),
    "document": (
        "txt",
        "md",
        "markdown",
        "mdx",
        "pdf",
        "html",
        "htm",
        "xlsx",
        "xls",
        "docx",
        "csv",
        "pptx",
        "xml",
    ),
}


def kind_of(extension: str) -> str:
    return next((kind for kind, known in _EXTENSIONS.items() if extension in known), "custom")


def limit_of(upload_name: str) -> int:
    extension = upload_name.rpartition(".")[2].lower()
    return LIMITS[kind_of(extension)] * MEGABYTE


def attach(files: Iterable[dict[str, Any]], app: App, store: Store, user: User) -> list[dict[str, Any]]:
    """The files of a question as the platform tells them; nothing when the app takes none."""
    if not app.file_types:
        return []
    attached = [_attached(one, app, store, user) for one in files]
    if sum(one["type"] == "image" for one in attached) > app.max_images:
        raise invalid(f"Number of image files exceeds the maximum limit {app.max_images}")
    if len(attached) > app.max_files:
        raise invalid(f"Number of files exceeds the maximum limit {app.max_files}")
    for one in attached:
        if one["related_id"] is not None:
            store.uploads[one["related_id"]].used = True
    return attached


def _attached(given: dict[str, Any], app: App, store: Store, user: User) -> dict[str, Any]:
    method = given.get("transfer_method")
    if method == "local_file":
        found = store.upload(str(given.get("upload_file_id")), user)
        if found is None:
            raise invalid("Invalid upload file")
        told = uploaded(found)
    elif method == "remote_url":
        told = _remote(given.get("url"))
    else:
        raise invalid(f"Invalid file transfer method: {method}")
    kind = given.get("type", "custom")
    if kind not in (*_EXTENSIONS, "custom"):
        raise invalid(f"'{kind}' is not a valid FileType")
    if kind not in ("custom", *app.file_types):
        raise invalid(f"File validation failed for file: {told['filename']}")
    return {**told, "type": kind_of(told["extension"][1:]) if kind == "custom" else kind}


def _remote(url: Any) -> dict[str, Any]:
    if not url or not isinstance(url, str):
        raise invalid("Invalid file url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(f"Reached maximum retries (3) for URL {url}")
    name = posixpath.basename(parts.path) or "unknown_file"
    mime_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return described(name, mime_type, -1, "remote_url", remote_url=url, url=url)


def uploaded(upload: Upload) -> dict[str, Any]:
    url = f"/files/{upload.id}/file-preview?timestamp=1760000000&nonce=0f&sign=x"
    return described(
        upload.name, upload.mime_type, len(upload.data), "local_file", related_id=upload.id, url=url
    )


def described(
    name: str,
    mime_type: str,
    size: int,
    method: str,
    *,
    url: str,
    remote_url: str | None = None,
    related_id: str | None = None,
) -> dict[str, Any]:
    extension = f".{name.rpartition('.')[2].lower()}" if "." in name else ".bin"
    return {
        "dify_model_identity": "__dify__file__",
        "id": None,
        "tenant_id": "00000000-0000-4000-8000-00000000e001",
        "type": kind_of(extension[1:]),
        "transfer_method": method,
        "remote_url": remote_url,
        "related_id": related_id,
        "filename": name,
        "extension": extension,
        "mime_type": mime_type,
        "size": size,
        "url": url,
    }
