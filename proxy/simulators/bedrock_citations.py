"""Where an answer is from: citations of its sentences, with references of every kind of location.

Each citation is of one sentence of the answer, in order, the first again when there are no more. A span counts
characters and its end is the place after the last of them, which AWS does not say: a client should trust the text.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.simulators.bedrock_knobs import Agent

_SENTENCE = re.compile(r"[^.!?]+[.!?]*\s*")
_LOCATIONS: tuple[tuple[str, str, str, str], ...] = (
    ("S3", "s3Location", "uri", "s3://standin-handbook/chapter-{n}.pdf"),
    ("WEB", "webLocation", "url", "https://handbook.example/{n}"),
    ("CONFLUENCE", "confluenceLocation", "url", "https://example.atlassian.net/wiki/{n}"),
    ("SALESFORCE", "salesforceLocation", "url", "https://example.my.salesforce.com/{n}"),
    ("SHAREPOINT", "sharePointLocation", "url", "https://example.sharepoint.com/{n}"),
    ("CUSTOM", "customDocumentLocation", "id", "document-{n}"),
    ("KENDRA", "kendraDocumentLocation", "uri", "https://kendra.example/{n}"),
    ("SQL", "sqlLocation", "query", "SELECT title FROM chapters WHERE id = {n}"),
    ("ONEDRIVE", "oneDriveLocation", "url", "https://onedrive.example/{n}"),
    ("GOOGLEDRIVE", "googleDriveLocation", "url", "https://drive.example/{n}"),
)
"""Kind, member, its only member, and what is in it."""


def references(count: int) -> list[dict[str, Any]]:
    return [_reference(number) for number in range(1, count + 1)]


def _reference(number: int) -> dict[str, Any]:
    kind, member, part, form = _LOCATIONS[(number - 1) % len(_LOCATIONS)]
    address = form.format(n=number)
    return {
        "content": {"type": "TEXT", "text": f"What chapter {number} says."},
        "location": {"type": kind, member: {part: address}},
        "metadata": {
            "x-amz-bedrock-kb-source-uri": f"s3://standin-handbook/chapter-{number}.pdf",
            "x-amz-bedrock-kb-document-page-number": float(number),
        },
    }


def attribution(text: str, agent: Agent) -> dict[str, Any]:
    """That of a whole answer."""
    sentences = list(_SENTENCE.finditer(text))
    cited = []
    for number in range(1, agent.citations + 1):
        start, end, part = 0, len(text), text
        if sentences:
            found = sentences[(number - 1) % len(sentences)]
            part = found[0].rstrip()
            start, end = found.start(), found.start() + len(part)
        cited.append(
            {
                "generatedResponsePart": {
                    "textResponsePart": {"text": part, "span": {"start": start, "end": end}}
                },
                "retrievedReferences": [_reference(number)] if agent.references else [],
            }
        )
    return {"citations": cited}
