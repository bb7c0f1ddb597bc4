"""Health tells of descriptors that run short, and stops when they don't."""

import pytest

from harness.manual_clock import ManualClock
from logd.broker.descriptor_watch import LOOK_AGAIN_MS, DescriptorWatch


class Process:
    """How many descriptors it has open, and what that took."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.open: int | None = 0
        self.limit: int | None = 1000
        self.counts = 0
        self.watch = DescriptorWatch(self.clock, self.count, lambda: self.limit)

    def count(self) -> int | None:
        self.counts += 1
        if self.open == self.limit:
            raise OSError(24, "Too many open files")
        return self.open

    def told(self, count: int | None) -> str:
        self.open = count
        self.clock.advance(LOOK_AGAIN_MS)
        return " ".join(problem.message.split(";")[0][:11] for problem in self.watch.problems())


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([100, 800], ["", ""]),
        ([801], ["801 of 1000"]),
        ([801, 750, 700, 699, 750], ["801 of 1000", "750 of 1000", "700 of 1000", "", ""]),
        ([1000], ["1000 of 100"]),
        ([None], [""]),
    ],
)
def test_when_it_is_told(counts: list[int | None], told: list[str]) -> None:
    process = Process()
    assert [process.told(count) for count in counts] == told


def test_it_stands_since_it_began() -> None:
    process = Process()
    began_ms = process.clock.wall_ms() + LOOK_AGAIN_MS
    process.told(900)
    process.told(950)
    (problem,) = process.watch.problems()
    assert (problem.severity, problem.reason, problem.resource, problem.since_ms) == (
        "warning",
        "FILE_DESCRIPTORS_LOW",
        "process",
        began_ms,
    )


def test_no_limit_no_problem() -> None:
    process = Process()
    process.limit = None
    assert process.told(10**6) == ""


def test_it_counts_once_a_second_whoever_asks() -> None:
    process = Process()
    for _ in range(100):
        process.watch.problems()
    assert process.counts == 1
