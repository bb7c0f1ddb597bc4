"""Notices when the loop stands still: everything waits then, so it is logged and counted."""

import asyncio
from collections.abc import Callable

import structlog

logger = structlog.get_logger()

STALL_MS_MAX = 50
TICK_MS = 100


class LoopWatch:
    """Ticks on the loop and measures how late each tick comes; calls `at_tick` at each."""

    def __init__(self, at_tick: Callable[[], None] = lambda: None) -> None:
        self._at_tick = at_tick
        self.stalls = 0
        self.longest_stall_ms = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK_MS / 1000
        self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late_ms = (asyncio.get_running_loop().time() - self._due) * 1000
        if late_ms > STALL_MS_MAX:
            self.stalls += 1
            self.longest_stall_ms = max(self.longest_stall_ms, late_ms)
            logger.warning("the loop stood still", stall_ms=round(late_ms), stalls=self.stalls)
        self._at_tick()
        self.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
