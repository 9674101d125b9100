"""Where the bytes of files are kept, from one address: a directory of our own, or a bucket.

``s3://bucket/prefix`` is a bucket, with ``?endpoint=`` and ``?region=`` for what the environment does not say; a
``file:`` address or nothing at all is a directory. Making one opens nothing: that is for the first call.

A blob and the document that speaks of it are two writes, and the machine may fall over between them. So nobody
writes a blob without announcing it first: by a document of the kind ``PENDING`` with its name, which goes in the
same commit that brings the document of the kind that has it. Whatever sweeps expired documents of ``HOLDING``
kinds away takes their blobs first, and so nothing is left that nobody speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from proxy.stores.base import Blobs
from proxy.stores.blobs_directory import DirectoryBlobs
from proxy.stores.blobs_s3 import S3Blobs

FILE = "file"
PART = "upload.part"
PENDING = "blob"
HOLDING = frozenset({FILE, PART, PENDING})
"""The kinds of documents that have a blob of their own id."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PREFIX = re.compile(r"(?:(?!\.)[A-Za-z0-9._=-]+/)*(?!\.)[A-Za-z0-9._=-]+")


def blobs_at(url: str, directory: Path) -> Blobs:
    """``directory`` is where they are if ``url`` is empty. Raises ValueError for what is no address."""
    if not url:
        return DirectoryBlobs(directory)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost") and not query:
        return DirectoryBlobs(Path(unquote(parts.path)))
    if parts.scheme != "s3":
        raise ValueError("expected s3://bucket/prefix or file:///directory")
    return _bucket(parts.netloc, parts.path.strip("/"), query)


def _bucket(bucket: str, prefix: str, query: Mapping[str, str]) -> S3Blobs:
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("expected the name of a bucket after s3://")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(
            "a prefix is made of letters, digits and ._=- between slashes, none of which a dot follows"
        )
    unknown = query.keys() - {"endpoint", "region"}
    if unknown:
        raise ValueError("only 'endpoint' and 'region' can be given after the question mark")
    endpoint = query.get("endpoint", "")
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise ValueError("an endpoint begins with http:// or https://")
    return S3Blobs(bucket, prefix, endpoint, query.get("region", ""))
