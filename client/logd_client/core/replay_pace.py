"""When the records of a replay are due: by its clock, as the coordinator told it last."""

import math

from logd_client.core.partition_position import PartitionPosition


class ReplayPace:
    """Times are ms of a monotonic clock; append times are what the replay's clock is to reach. With
    a speed of 0 there is no such clock, and all is due.

    Whoever reads calls `look` first; nothing else moves time on.
    """

    def __init__(self) -> None:
        self._speed = 0.0
        self._told_clock_ms = 0
        self._told_ms = 0
        self._now_ms = 0
        self._waiting: dict[PartitionPosition, int] = {}
        """Partition -> the append time that it waits for."""

    @property
    def runs(self) -> bool:
        """Whether anything waits for its time at all."""
        return self._speed > 0

    def tell(self, speed: float, clock_ms: int, now_ms: int) -> None:
        """So the clock stands, and so it runs."""
        self._speed, self._told_clock_ms = speed, clock_ms
        self._told_ms = self._now_ms = now_ms

    def look(self, now_ms: int) -> None:
        """It is so late."""
        self._now_ms = now_ms

    def is_due(self, append_ms: int) -> bool:
        return not self.runs or append_ms <= self._clock_ms

    def hold(self, at: PartitionPosition, append_ms: int) -> None:
        """It waits for this time."""
        self._waiting[at] = append_ms

    def forget(self, at: PartitionPosition) -> None:
        """It waits no more."""
        self._waiting.pop(at, None)

    def due(self) -> list[PartitionPosition]:
        """Those whose time has come."""
        if not self._waiting or not self.is_due(min(self._waiting.values())):
            return []
        return [at for at, append_ms in self._waiting.items() if self.is_due(append_ms)]

    @property
    def wait_ms(self) -> int | None:
        """Until the next one's time has come; None: none waits."""
        if not self._waiting:
            return None
        if not self.runs:
            return 0
        left_ms = (min(self._waiting.values()) - self._clock_ms) / self._speed
        return max(0, math.ceil(left_ms))

    @property
    def _clock_ms(self) -> float:
        return self._told_clock_ms + (self._now_ms - self._told_ms) * self._speed
