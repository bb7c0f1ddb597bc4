"""A disk that has no space for appends stands in health as long as that is so."""

from harness.manual_clock import ManualClock
from logd.broker.space_watch import ENOUGH_ABOVE_BYTES, FULL_BELOW_BYTES, LOOK_AGAIN_MS, SpaceWatch


def test_a_disk_without_space_stands_in_health_as_long_as_it_is() -> None:
    clock, free = ManualClock(), [0]
    watch = SpaceWatch(clock, "/data", 1000, lambda path: free[0])

    def told(bytes_free: int) -> list[str]:
        free[0] = bytes_free
        clock.advance(LOOK_AGAIN_MS)
        return [problem.reason for problem in watch.problems()]

    assert told(1000 + FULL_BELOW_BYTES) == []
    assert told(1000 + FULL_BELOW_BYTES - 1) == ["STORAGE_FULL"]
    clock.advance(600_000)
    assert told(0) == ["STORAGE_FULL"], "though nobody asks for anything"
    assert told(1000 + ENOUGH_ABOVE_BYTES - 1) == ["STORAGE_FULL"]
    assert told(1000 + ENOUGH_ABOVE_BYTES) == []
