"""Which part of a list a client wants: ``limit``, ``after`` and ``order``, as OpenAI's lists take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.keepers import Page
from translators.errors import BadRequest

MOST = 100
LONGEST_ID = 256


def read_page(query: Mapping[str, str], order: str = "desc") -> Page:
    limit = query.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MOST):
        raise BadRequest(f"Invalid 'limit': expected an integer from 1 to {MOST}.", param="limit")
    order = query.get("order", order)
    if order not in ("asc", "desc"):
        raise BadRequest("Invalid 'order': expected 'asc' or 'desc'.", param="order")
    after = query.get("after", "")
    if len(after) > LONGEST_ID:
        raise BadRequest(f"Invalid 'after': expected at most {LONGEST_ID} characters.", param="after")
    return Page(int(limit), after, order == "asc")


def paged(entries: Sequence[dict[str, Any]], page: Page) -> dict[str, Any]:
    """The wanted part of ``entries``, which stand in the wanted order."""
    start = 0
    if page.after:
        places = [place for place, entry in enumerate(entries) if entry["id"] == page.after]
        if not places:
            raise BadRequest("Invalid 'after': nothing in this list has that id.", param="after")
        start = places[0] + 1
    data = list(entries[start : start + page.limit])
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + page.limit < len(entries),
    }
