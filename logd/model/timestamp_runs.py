"""Timestamps of a batch's records where many in a row are alike: a cost per run, not per record."""

from bisect import bisect_right
from itertools import pairwise


class TimestampRuns:
    """Record i has the time of the last run that starts at or before i. ms since 1970 UTC."""

    __slots__ = ("_starts", "times_ms")

    def __init__(self, first_ms: int) -> None:
        """One run from record 0."""
        self._starts = [0]
        self.times_ms = [first_ms]

    def begin(self, index: int, time_ms: int) -> None:
        """Record `index`, which is not below the last run's start, begins a run."""
        if index == self._starts[-1]:
            self.times_ms[-1] = time_ms
        else:
            self._starts.append(index)
            self.times_ms.append(time_ms)

    def at(self, index: int) -> int:
        """The time of one record."""
        return self.times_ms[bisect_right(self._starts, index) - 1]

    def deltas(self, count: int) -> bytes:
        """int64 little-endian, each of `count` records' time less the first's."""
        base_ms = self.times_ms[0]
        runs = zip(pairwise([*self._starts, count]), self.times_ms, strict=True)
        return b"".join(
            (time_ms - base_ms).to_bytes(8, "little", signed=True) * (end - start)
            for (start, end), time_ms in runs
        )
