"""Which bytes of a file are known to be good."""

from bisect import bisect_left, bisect_right

RANGES_MAX = 1024
"""Enough for readers all over a segment; beyond it ranges are forgotten, and checked again."""


class ByteRanges:
    """Disjoint ranges [start, end); touching ones are one.

    Safe from any thread: a change replaces all at once, so at worst one of two changes at the same
    time is lost, and those bytes are checked again.
    """

    __slots__ = ("_bounds",)

    def __init__(self) -> None:
        self._bounds: list[int] = []  # start, end, start, end, ... rising

    def __len__(self) -> int:
        return len(self._bounds) // 2

    def end_at(self, position: int) -> int:
        """The end of the range that holds `position`; `position` itself where none does."""
        bounds = self._bounds
        at = bisect_right(bounds, position)
        return bounds[at] if at % 2 else position

    def add(self, start: int, end: int) -> None:
        bounds = self._bounds
        low, high = bisect_left(bounds, start), bisect_right(bounds, end)
        new_start = [start] if low % 2 == 0 else []
        new_end = [end] if high % 2 == 0 else []
        bounds = bounds[:low] + new_start + new_end + bounds[high:]
        self._bounds = bounds[-2 * RANGES_MAX :]
