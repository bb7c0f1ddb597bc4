"""The machine's clocks."""

import time


class SystemClock:
    """Implements `logd.model.seams.Clock`."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def boottime_ms(self) -> int:
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # absent on macOS
        return time.clock_gettime_ns(clock) // 1_000_000
