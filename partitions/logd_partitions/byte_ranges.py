"""Which bytes of a file are known to be good."""

from bisect import bisect_right

RANGES_MAX = 1024
"""Enough for readers all over a segment; beyond it ranges are forgotten, and checked again."""


class ByteRanges:
    """Disjoint ranges [start, end), sorted; touching ones are one."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> "zip[tuple[int, int]]":
        return zip(self._starts, self._ends, strict=True)

    def covers(self, start: int, end: int) -> bool:
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and end <= self._ends[at]

    def add(self, start: int, end: int) -> None:
        first = bisect_right(self._starts, start)
        if first and self._ends[first - 1] >= start:
            first -= 1
            start = self._starts[first]
        last = bisect_right(self._starts, end)
        if last > first:
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        if len(self._starts) > RANGES_MAX:
            del self._starts[0], self._ends[0]

    def clear(self) -> None:
        self._starts.clear()
        self._ends.clear()
