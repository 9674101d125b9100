"""Times counted in buckets, so that millions of them fit in a line of JSON and two runs can be put together.

A bucket is 1/64 of its power of two wide, which makes a percentile wrong by less than 1.6 %. ``engine/load.c``
counts by the same rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import frozen

_BITS = 7


@frozen
class Histogram:
    buckets: tuple[tuple[int, int], ...] = ()
    """Lower bound in nanoseconds and count, in order."""
    most: int = 0

    @classmethod
    def of(cls, times: Iterable[int]) -> Histogram:
        times = list(times)
        counted = Counter(time >> shift << shift for time in times for shift in [_shift(time)])
        return cls(tuple(sorted(counted.items())), max(times, default=0))

    @classmethod
    def told(cls, buckets: Sequence[Sequence[int]], most: int) -> Histogram:
        return cls(tuple((floor, count) for floor, count in buckets), most)

    @property
    def count(self) -> int:
        return sum(count for _, count in self.buckets)

    def percentile(self, percent: float) -> float | None:
        """Nanoseconds, from the middle of the bucket; 100 is the greatest itself."""
        if not self.buckets:
            return None
        if percent >= 100:
            return float(self.most)
        wanted, seen = self.count * percent / 100, 0
        for floor, count in self.buckets:
            seen += count
            if seen >= wanted:
                return min(floor + ((1 << _shift(floor)) - 1) / 2, float(self.most))
        return float(self.most)

    def with_another(self, other: Histogram) -> Histogram:
        counted = Counter(dict(self.buckets)) + Counter(dict(other.buckets))
        return Histogram(tuple(sorted(counted.items())), max(self.most, other.most))


def _shift(time: int) -> int:
    return max(time.bit_length() - _BITS, 0)
