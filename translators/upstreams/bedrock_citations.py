"""Where stretches of an agent's answer come from.

A citation names a stretch by its words and by offsets that count differently than ours: the words are looked for in
what was said after the stretch before it, and the offsets are believed only where the words are not found. Each
source of a stretch is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from translators import affinity
from translators.events import Citation

MAX_CITATIONS = 256
"""Stretches of one answer."""
MAX_SOURCES = 32
"""Sources of one stretch."""
_LONGEST_SOURCE = 4096
_LONGEST_QUOTE = 2000
_ORIGIN = "x-amz-bedrock-kb-source-uri"

_PLACES = {
    "s3Location": "uri",
    "webLocation": "url",
    "confluenceLocation": "url",
    "salesforceLocation": "url",
    "sharePointLocation": "url",
    "oneDriveLocation": "url",
    "googleDriveLocation": "url",
    "kendraDocumentLocation": "uri",
    "customDocumentLocation": "id",
}


@define(eq=False)
class Sources:
    raw: list[Any] = field(factory=list, init=False)
    """Citations as they were told."""
    _end: int = field(default=0, init=False)
    """Where the last stretch ended."""
    _told: dict[tuple[str, int, int], None] = field(factory=dict, init=False)

    def read(self, attribution: Any, told: affinity.Told) -> Iterator[Citation]:
        """The sources of a chunk; ``told`` is the answer so far, put together only where something is cited."""
        for citation in _list(_members(attribution).get("citations")):
            references = _list(_members(citation).get("retrievedReferences"))[:MAX_SOURCES]
            if not references or len(self.raw) >= MAX_CITATIONS:
                continue
            self.raw.append(citation)
            part = _members(_members(citation.get("generatedResponsePart")).get("textResponsePart"))
            start, end = self._stretch(part, told.text)
            for reference in references:
                found = _cited(_members(reference), start, end)
                if found is not None and (found.source, start, end) not in self._told:
                    self._told[found.source, start, end] = None
                    yield found

    def _stretch(self, part: Mapping[str, Any], said: str) -> tuple[int, int]:
        words = part.get("text")
        start = said.find(words, self._end) if isinstance(words, str) and words else -1
        if start >= 0:
            self._end = start + len(words or "")
            return start, self._end
        span = _members(part.get("span"))
        return _offset(span.get("start")), _offset(span.get("end"))


def _cited(reference: Mapping[str, Any], start: int, end: int) -> Citation | None:
    metadata = _members(reference.get("metadata"))
    source = _place(_members(reference.get("location"))) or _text(metadata.get(_ORIGIN))
    if not source or len(source) > _LONGEST_SOURCE or not source.isprintable():
        return None
    title = _text(metadata.get("title")) or _text(metadata.get("source_title"))
    title = title or source.partition("?")[0].rstrip("/").rpartition("/")[2]
    quote = _text(_members(reference.get("content")).get("text"))[:_LONGEST_QUOTE]
    return Citation(start, end, source, title[:256], quote)


def _place(location: Mapping[str, Any]) -> str:
    return next(
        (
            text
            for name, member in _PLACES.items()
            if (text := _text(_members(location.get(name)).get(member)))
        ),
        "",
    )


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _offset(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 31 else 0
