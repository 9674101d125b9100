"""What a Dify run does beside saying words, as far as it has to be kept in mind until the answer ends.

Most runs do nothing else, and keep nothing of the kind; how many things of each sort are kept is bounded where they
are heard (``dify_answer``).
"""

from __future__ import annotations

from typing import Any

from attrs import define, field


@define(eq=False)
class Seen:
    cut: set[str] = field(factory=set)
    """Nodes whose model had to stop."""
    tools: dict[str, tuple[str, str]] = field(factory=dict)
    """The calls of an agent: what went in and came out."""
    shown: set[str] = field(factory=set)
    """Addresses of files."""
    forms: dict[str, dict[str, str]] = field(factory=dict)
    extras: dict[str, Any] = field(factory=dict)
