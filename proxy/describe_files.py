"""What the bodies of the Files API and of the Uploads API look like.

Those of requests in JSON are the tables that check them.
"""

from __future__ import annotations

from typing import Any

from proxy.files import LONGEST_NAME, MADE_HERE, PURPOSES, is_purpose
from proxy.uploads import COMPLETED, WANTED
from translators.checks import Schema

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "integer", "minimum": 0, "description": "Seconds since 1970."}
_BYTES: Schema = {"type": "string", "format": "binary"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_PURPOSE: Schema = {"enum": [*PURPOSES, *MADE_HERE]}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


FILE_SCHEMAS: dict[str, Any] = {
    "FileRequest": _object(
        {"file": _BYTES, "purpose": is_purpose.schema},
        {
            "expires_after[anchor]": {"const": "created_at"},
            "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
        },
    ),
    "File": _object(
        {
            "id": _TEXT,
            "object": {"const": "file"},
            "bytes": _COUNT,
            "created_at": _TIME,
            "filename": _NAME,
            "purpose": _PURPOSE,
            "status": {"const": "processed"},
        },
        {"expires_at": _TIME},
    ),
    "FileList": _object(
        {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _named("File")},
            "has_more": {"type": "boolean"},
            "first_id": _MAYBE_TEXT,
            "last_id": _MAYBE_TEXT,
        }
    ),
    "FileDeleted": _object({"id": _TEXT, "object": {"const": "file"}, "deleted": {"const": True}}),
    "UploadRequest": WANTED,
    "Upload": _object(
        {
            "id": _TEXT,
            "object": {"const": "upload"},
            "bytes": _COUNT,
            "created_at": _TIME,
            "expires_at": _TIME,
            "filename": _NAME,
            "purpose": _PURPOSE,
            "status": {"enum": ["pending", "completed", "cancelled", "expired"]},
        },
        {"file": _named("File")},
    ),
    "UploadPartRequest": _object({"data": _BYTES}),
    "UploadPart": _object(
        {"id": _TEXT, "object": {"const": "upload.part"}, "created_at": _TIME, "upload_id": _TEXT}
    ),
    "UploadCompletion": COMPLETED,
}
