"""Names the gateway gives to what it makes.

An ``Envelope`` is what every frame of one answer repeats. It is made once per request, from a clock and an
id factory that come in as arguments, and it never changes: upstream ids do not reach the client.
"""

from __future__ import annotations

from translators.record import record


@record
class Envelope:
    id: str
    created: int
    model: str
    """The name the client asked for, whatever the upstream calls it."""

    def tool_call_id(self, choice: int, index: int) -> str:
        """An id for a tool call that came without one: stable within the answer, unique beyond it."""
        suffix = self.id.rpartition("-")[2]
        return f"call_{suffix}_{choice}_{index}" if choice else f"call_{suffix}_{index}"
