"""What a scenario is judged by: loss, disorder and growth. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

WARM_UP_PART = 1 / 3
"""Of a run's samples: what comes before is not compared."""
SAMPLES_MIN = 6
PROBLEMS_MAX = 20


class Ledger:
    """What each producer was told, against what was read. A producer sends to one partition, and
    waits for each answer, so that its numbers must come back in order, without a gap.

    Memory does not grow with records: only numbers whose fate is unknown are kept.
    """

    def __init__(self) -> None:
        self._unknown: dict[int, set[int]] = defaultdict(set)
        self._skipped: dict[int, set[int]] = defaultdict(set)
        """Passed by in reading while unknown: lost, if they are acknowledged later."""
        self._read_end: dict[int, int] = defaultdict(int)
        self._acknowledged_end: dict[int, int] = defaultdict(int)
        self._problems: list[str] = []
        self.acknowledged_records = 0
        self.read_records = 0

    def sending(self, producer: int, begin: int, end: int) -> None:
        """`end` is exclusive, here and below."""
        self._unknown[producer].update(range(begin, end))

    def acknowledged(self, producer: int, begin: int, end: int) -> None:
        self._unknown[producer].difference_update(range(begin, end))
        if lost := sorted(self._skipped[producer].intersection(range(begin, end))):
            self._lost(producer, lost)
        self._acknowledged_end[producer] = end
        self.acknowledged_records += end - begin

    def read(self, producer: int, number: int) -> None:
        due = self._read_end[producer]
        self.read_records += 1
        if number < due:
            self._problem(f"disorder: producer {producer}: {number} came after {due - 1}")
            return
        self._missing(producer, due, number)
        self._read_end[producer] = number + 1

    def problems(self) -> list[str]:
        """Once all is read."""
        for producer, end in self._acknowledged_end.items():
            self._missing(producer, self._read_end[producer], end)
            self._read_end[producer] = max(end, self._read_end[producer])
        if not self.read_records:
            self._problem("loss: nothing was read, so nothing is proven")
        return self._problems

    def _missing(self, producer: int, begin: int, end: int) -> None:
        unknown = self._unknown[producer].intersection(range(begin, end))
        self._skipped[producer] |= unknown
        if lost := [number for number in range(begin, end) if number not in unknown]:
            self._lost(producer, lost)

    def _lost(self, producer: int, lost: list[int]) -> None:
        self._problem(
            f"loss: producer {producer}: {len(lost)} acknowledged, first {lost[0]}, not read"
        )

    def _problem(self, problem: str) -> None:
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)


def growth(name: str, series: Sequence[float], bound: float) -> list[str]:
    """After warm-up, the second half's median may be above the first's by `bound`, no more."""
    settled = series[int(len(series) * WARM_UP_PART) :]
    if len(series) < SAMPLES_MIN:
        return [f"growth: {name}: {len(series)} samples are too few, {SAMPLES_MIN} are needed"]
    half = len(settled) // 2
    before, after = median(settled[:half]), median(settled[half:])
    if after - before <= bound:
        return []
    return [f"growth: {name}: from {before:g} to {after:g}, more than {bound:g} above"]


def slowed(series: Sequence[float], times: float, more_ms: float) -> list[str]:
    """The second half's median wait may be `times` the first's and `more_ms`, no more."""
    half = len(series) // 2
    if not half:
        return ["slowed: no call was timed"]
    before, after = median(series[:half]), median(series[half:])
    if after <= before * times + more_ms:
        return []
    return [f"slowed: producers waited {before:.1f} ms, and {after:.1f} ms in the second half"]
