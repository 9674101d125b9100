"""The rows of ``proxy.routes.table`` that are about files."""

from __future__ import annotations

from proxy.describe import AFTER, FORM, ORDER, Query, Route, delete, get, json_of, named, post
from proxy.files import MADE_HERE, MOST_LISTED, PURPOSES
from proxy.routes import files, uploads

FILES = "/v1/files"
UPLOADS = "/v1/uploads"

FILE_TAGS = {"files": "What one keeps here.", "uploads": "The same, in parts."}

_BYTES = {"application/octet-stream": {"type": "string", "format": "binary"}}
_MOST = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": MOST_LISTED}
_LISTED = (
    Query("purpose", "Only those for this.", {"type": "string", "enum": [*PURPOSES, *MADE_HERE]}),
    Query("limit", "How many at most.", _MOST),
    ORDER,
    AFTER,
)

FILE_ROUTES: tuple[Route, ...] = (
    post(
        *(FILES, files.create, "createFile", "Keep a file"),
        body={FORM: named("FileRequest")},
        answer=json_of("File"),
    ),
    get(FILES, files.index, "listFiles", "List one's own files", json_of("FileList"), query=_LISTED),
    get(FILES + "/{id}", files.show, "retrieveFile", "Look up a file", json_of("File")),
    delete(FILES + "/{id}", files.delete, "deleteFile", "Delete a file", json_of("FileDeleted")),
    get(
        *(FILES + "/{id}/content", files.content, "downloadFile", "The bytes of a file"),
        answer=_BYTES,
        also={206: _BYTES},
        head=True,
    ),
    post(
        *(UPLOADS, uploads.create, "createUpload", "Begin a file that comes in parts"),
        body=json_of("UploadRequest"),
        answer=json_of("Upload"),
    ),
    post(
        *(UPLOADS + "/{id}/parts", uploads.add, "addUploadPart", "Bring a part"),
        body={FORM: named("UploadPartRequest")},
        answer=json_of("UploadPart"),
    ),
    post(
        *(UPLOADS + "/{id}/complete", uploads.complete, "completeUpload", "Make a file of the parts"),
        body=json_of("UploadCompletion"),
        answer=json_of("Upload"),
    ),
    post(UPLOADS + "/{id}/cancel", uploads.cancel, "cancelUpload", "Give it up", json_of("Upload")),
)
