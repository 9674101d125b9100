"""Pieces of the chat dialect that its streamed and its whole form share."""

from __future__ import annotations

from typing import Any

from translators.events import Citation, File, Finish, Usage


def usage_document(usage: Usage) -> dict[str, Any]:
    """Real counts only: what the upstream did not count is left out."""
    if usage.native is not None:
        return usage.native
    document: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    if usage.cached is not None:
        document["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.reasoning is not None:
        document["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return document


def annotation(citation: Citation) -> dict[str, Any]:
    where = {"start_index": citation.start or 0, "end_index": citation.end or 0}
    return {
        "type": "url_citation",
        "url_citation": {**where, "title": citation.title, "url": citation.source},
    }


def file_link(file: File) -> str:
    """A produced file as Markdown, which is all that a chat message can carry."""
    name = file.name.replace("[", "(").replace("]", ")")
    mark = "!" if file.mime.startswith("image/") else ""
    return f"{mark}[{name}]({file.url})\n"


def extension(finish: Finish) -> dict[str, Any]:
    """What the platform says beyond the dialect, as a member of the last chunk or of the whole answer."""
    return {"deltawire": {"platform": finish.platform}} if finish.platform else {}
