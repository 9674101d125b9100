"""When an answer came: reported side by side and never judged, since two servers may well differ in speed.

A frame came when the read that completed it returned. Frames of one read have no gap between them, so a server that
holds frames together shows as many short gaps and a few long ones.
"""

from __future__ import annotations

from attrs import define, field

from proxy.compare.record import Recording


@define
class Times:
    """Seconds since the request was sent."""

    total: float
    size: int
    reads: int
    first_byte: float | None
    first_word: float | None = None
    frames: list[float] = field(factory=list)
    """When each frame came."""

    @classmethod
    def of(cls, recording: Recording) -> Times:
        pieces = recording.pieces
        size = sum(len(data) for _, data in pieces)
        return cls(recording.total, size, len(pieces), pieces[0][0] if pieces else None)

    def spoke(self, when: float) -> None:
        if self.first_word is None:
            self.first_word = when

    def gap(self, percent: int) -> float | None:
        """That percentile of the gaps between frames; 100 is the longest."""
        gaps = sorted(after - before for before, after in zip(self.frames, self.frames[1:], strict=False))
        return gaps[min(len(gaps) * percent // 100, len(gaps) - 1)] if gaps else None
