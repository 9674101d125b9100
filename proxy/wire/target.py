"""Where a path leads below a base address: the path and query that stand in a request.

Dots, empty segments and whole addresses lead elsewhere, which yarl knows all about. Most paths have none of that
and stand in the request as they are.
"""

from __future__ import annotations

import re

from yarl import URL

_STRAIGHT = re.compile(r"(?:[\w%~-][\w%~.-]*/)*[\w%~-][\w%~.-]*(?:\?[\w%~.=&-]+)?", re.ASCII)


def target(base: URL, path: str) -> str:
    """``path``, encoded already, after ``base``, whose own path ends with a slash."""
    if _STRAIGHT.fullmatch(path):
        return base.raw_path + path
    return base.join(URL(path, encoded=True)).raw_path_qs
