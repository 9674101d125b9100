"""Pieces of Dify's events in our vocabulary: files, sources, counts, forms, outputs.

All of it was written by somebody else: what does not have its shape says nothing, and what has is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from translators import wirejson
from translators.events import Citation, File, Usage
from translators.upstreams.dify_files import mime_of

MAX_SOURCES = 64
_LONGEST_ADDRESS = 4096
_LONGEST_QUOTE = 2000
_UNSAFE = {ord(char): f"%{ord(char):02X}" for char in "()<>\"'\\` "}
_USUAL_OUTPUTS = ("text", "answer", "output", "result")


def members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def words(value: Any, longest: int = 256) -> str:
    return value[:longest] if isinstance(value, str) else ""


def number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0


def usage(told: Any) -> Usage | None:
    """Counts as they are told; prices are left to Dify."""
    if not isinstance(told, dict) or "prompt_tokens" not in told:
        return None
    return Usage(number(told["prompt_tokens"]), number(told.get("completion_tokens")))


def origin(address: str) -> str:
    """Scheme and host of an address; empty where it has none."""
    scheme, sep, rest = address.partition("://")
    return f"{scheme}{sep}{rest.partition('/')[0]}" if sep else ""


def file(told: Mapping[str, Any], site: str) -> File | None:
    """A file of the answer; None for one that the user brought, or that has no address."""
    url = _address(told.get("url") or told.get("remote_url"), site)
    if not url or told.get("belongs_to") == "user":
        return None
    kind = words(told.get("type"))
    path = url.partition("?")[0]
    name = words(told.get("filename"))
    mime = words(told.get("mime_type")) or mime_of(name or path, kind)
    if not name and not mime.startswith("image/"):
        name = path.rpartition("/")[2] or "file"  # a link has to have a text to be seen
    id = words(told.get("related_id")) or words(told.get("id"))
    return File(id, url, mime, name)


def _address(value: Any, site: str) -> str:
    """``value`` as an address that can stand in a link."""
    if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS or not value.isprintable():
        return ""
    url: str = value.translate(_UNSAFE)
    if url.startswith("/") and not url.startswith("//"):
        return site + url
    return url if re.match(r"https?://[^/]", url, re.IGNORECASE) else ""


def citations(resources: Any) -> Iterator[Citation]:
    """The sources that have an address; a title alone is no source to follow."""
    for resource in resources[:MAX_SOURCES] if isinstance(resources, list) else ():
        if not isinstance(resource, dict):
            continue
        about = members(resource.get("doc_metadata"))
        for value in (about.get("url"), about.get("source"), resource.get("url")):
            address = _address(value, "")
            if address and not address.startswith("/"):
                title = words(resource.get("document_name")) or words(resource.get("title"))
                yield Citation(None, None, address, title, words(resource.get("content"), _LONGEST_QUOTE))
                break


def form_text(form: Mapping[str, Any]) -> str:
    """What a run that waits for somebody asks, with the answers it takes."""
    lines = [words(form.get("form_content"), 1 << 16).strip()]
    actions = form.get("actions")
    for action in actions[:MAX_SOURCES] if isinstance(actions, list) else ():
        title = words(members(action).get("title")) or words(members(action).get("id"))
        lines.append(f"- {title}" if title else "")
    return "\n".join(filter(None, lines)) or words(form.get("node_title"))


def output_text(outputs: Any, variable: str) -> str:
    """The answer among the outputs of a workflow: the one that is configured, the only text, the usual names."""
    if not isinstance(outputs, dict) or not outputs:
        return ""
    if outputs.get(variable) is not None:
        chosen = outputs[variable]
        return chosen if isinstance(chosen, str) else wirejson.dumps(chosen).decode()
    texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
    if len(texts) == 1:
        return next(iter(texts.values()))
    for name in _USUAL_OUTPUTS:
        if name in texts:
            return texts[name]
    return wirejson.dumps(outputs).decode()
