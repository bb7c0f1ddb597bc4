"""What of a partition is done beyond its first record that is not.

Kept with the group's commit (`done_ranges`), so that whoever has the partition next repeats none of
it, however far behind one slow record the commit stands.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Range = tuple[int, int]
"""Offsets [start, end)."""


class DoneRanges:
    """Ranges of offsets, sorted, that neither overlap nor touch."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, end: int) -> None:
        """Nothing where `start` is not below `end`."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)  # the first that reaches, or touches, `start`
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def through(self, offset: int) -> int:
        """The first offset from `offset` on that is not done."""
        index = bisect_right(self._starts, offset) - 1
        return max(offset, self._ends[index]) if index >= 0 else offset

    def next_start(self, offset: int) -> int | None:
        """Where the first range begins that lies beyond `offset`; None: there is none."""
        index = bisect_right(self._starts, offset)
        return self._starts[index] if index < len(self._starts) else None

    def beyond(self, offset: int) -> tuple[Range, ...]:
        """Those that lie wholly beyond `offset`, which is not done."""
        first = bisect_right(self._ends, offset)
        return tuple(zip(self._starts[first:], self._ends[first:], strict=True))

    def forget(self, offset: int) -> None:
        """Those that end before or at `offset`."""
        passed = bisect_right(self._ends, offset)
        del self._starts[:passed], self._ends[:passed]
