import time

from logd.system.system_clock import SystemClock


def test_the_clocks_are_the_machine_s_in_milliseconds() -> None:
    clock = SystemClock()
    before, after = time.time(), time.time() + 5
    assert before * 1000 - 1 <= clock.wall_ms() <= after * 1000
    monotonic = time.monotonic()
    assert monotonic * 1000 - 1 <= clock.monotonic_ms() <= (monotonic + 5) * 1000
    assert clock.boottime_ms() >= clock.monotonic_ms() - 1
