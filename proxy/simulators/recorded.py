"""What a stand-in heard: one value for each request, the same from every stand-in.

Tests read these to see what an upstream was really sent. Headers keep their order and repetitions and are
found whatever their case; the body is bytes, because what was sent is what counts.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from multidict import CIMultiDictProxy

from translators import wirejson


@frozen(eq=False)
class Recorded:
    """One request."""

    method: str
    path: str
    """The request target as it was sent, query and percent signs included."""
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int
    """1 for the first connection the stand-in accepted, 2 for the second."""

    @property
    def document(self) -> Any:
        return wirejson.loads(self.body)
