"""Where in the order of all documents a page of a list is: between two places, walked one way or the other.

Ids of ``after`` and ``before`` have been looked up by the store; a place never changes, so that what else happens
between two queries moves no page.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from proxy.stores.base import Document, Listed, Page

_LAST = 2**63 - 1


@frozen
class Stretch:
    low: int
    high: int
    """Both excluded."""
    upward: bool
    """Which way to walk; ``more`` is what lies that way."""
    turned: bool
    """Walked against the list's order."""

    @classmethod
    def of(cls, page: Page, after: int | None, before: int | None) -> Stretch:
        first, last = (after, before) if page.ascending else (before, after)
        turned = before is not None and after is None
        return cls(
            0 if first is None else first, _LAST if last is None else last, page.ascending != turned, turned
        )

    def listed(self, found: Sequence[Document], limit: int) -> Listed:
        """``found`` is what lies there, one more than wanted if there is more."""
        documents = tuple(found[:limit])
        return Listed(documents[::-1] if self.turned else documents, len(found) > limit)
